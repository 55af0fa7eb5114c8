"""A report of a job or a result as one HTML file, made from what is stored."""

import time
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from dask.utils import format_bytes, format_time

from ..engine.jobs import Job
from ..engine.result import Result, complete_group
from ..errors import SpecError, StoreError
from . import tables
from .account import stages
from .html import alone, facts_table


def report(of: Job | Result, path: str | Path | None = None) -> Path:
    """Writes what is known of a job or a result as one HTML file, which needs nothing else.

    Parameters
    ----------
    of : Job or result
        A job in any state, from `geodask.jobs` or ``plan.submit``; no cluster is needed. Or what
        ``plan.persist()`` or ``plan.compute()`` returned.
    path : path, optional
        ``geodask-<id or key>.html`` in the working directory without it.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    SpecError
        Where it is neither.
    """
    if isinstance(of, Job):
        title, name, body = f"Job {of.name or of.id}", of.id, _job(of)
    elif isinstance(of, Result):
        found = asdict(of.report)
        title = f"{found['operation']} {found['key'][:8]}"
        name, body = found["key"][:8], _result(found)
    else:
        raise SpecError(
            "A report is of a job or of a result",
            came=f"{type(of).__name__} came",
            do="Pass what plan.submit(), plan.persist() or geodask.jobs() gave.",
        )
    where = Path(f"geodask-{name}.html") if path is None else Path(path)
    where.write_text(alone(title, body), encoding="utf-8")
    return where


def _job(job: Job) -> str:
    state, asked = job.state, job.asked
    facts = {name: escape(text) for name, text in job.facts.items()}
    facts["priority"] = escape(str(asked["priority"]))
    for name in ("started", "ended"):
        if state.get(name):
            facts[name] = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(state[name]))
    parts = [facts_table(facts)]
    error = state.get("error")
    if error:
        blocks = "".join(f"<br>block {i}, rows {a:,} to {b:,}" for i, a, b in error["blocks"])
        said = f"<b>{escape(error['type'])}</b>: {escape(error['message'])}{blocks}"
        parts.append(f"<h2>Error</h2><p class='bad'>{said}</p>")
        parts.append(f"<pre>{escape(error['traceback'])}</pre>")
    for url in state.get("results", ()):
        try:
            body = complete_group(job.store, url).body["report"]
        except StoreError as gone:
            parts.append(f"<h2>Result</h2><p class='bad'>{escape(str(gone))}</p>")
            continue
        parts.append(f"<h2>{escape(body['operation'])} {body['key'][:8]}</h2>{_result(body)}")
    return "".join(parts)


def _result(found: dict[str, Any]) -> str:
    """What a report says, as HTML."""
    stats = found["stats"]
    facts = {
        "stored in": escape(found["url"]),
        "time": format_time(found["seconds"]) + (", found stored" if found["cache_hit"] else ""),
        "tasks": f"{found['blocks_computed']} run, {found['blocks_stored']} found stored",
        "certified": f"{found['certified']:.4%}",
        "rechecked": f"{found['rechecked']:.4%} of the pairs",
        "approximation error": f"{found['approximation_error']:g}",
        "device": escape(f"{found['device']}, {found['surrogate']}"),
        "peak memory": format_bytes(found["peak_bytes"]),
        **{f"rows {said(name)}": f"{count:,}" for name, count in found["health"].items()},
        "versions": escape(", ".join(f"{name} {each}" for name, each in found["versions"].items())),
    }
    counts = {
        said(name): f"{stats[name]:,}"
        for name in (
            "rows",
            "pairs",
            "measured",
            "flops",
            "bytes_read",
            "bytes_moved",
            "bytes_written",
        )
    }
    times = stages(stats)
    whole = max(1e-9, sum(times.values()))
    bar = "".join(
        f'<i style="width:{each / whole:.2%};background:{tables.COLORS[name]}"></i>'
        for name, each in times.items()
    )
    return (
        facts_table(facts)
        + f'<h2>Where the time of the tasks went</h2><div class="stages">{bar}</div>'
        + facts_table(tables.stage_facts(stats))
        + "<h2>Counts</h2>"
        + facts_table(counts)
    )


def said(name: str) -> str:
    """A name of ours, as it is read."""
    return name.replace("_", " ")
