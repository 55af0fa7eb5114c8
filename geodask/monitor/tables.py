"""The tables of the page and of reports, as HTML: whatever a user named is escaped."""

import time
from html import escape
from pathlib import PurePosixPath
from typing import Any

from dask.utils import format_bytes, format_time

from ..events import ADMISSION
from .account import left, rate, share, stages
from .html import NOTHING, count, facts_table, quiet, table, titled

SHOWN = 8
"""Runs of a table, and workers."""
SMOOTH = 10
"""Seconds that rates are the mean of."""
COLORS = {
    "read": "#4c9be8", "transfer": "#15a3a3", "kernel": "#2e9e5b", "merge": "#a35ad6",
    "write": "#c98500", "other": "#9aa0a6",
}  # fmt: skip
"""Of the stages."""
FLAGS = {"flagged": "undefined", "near_limit": "near the limit"}
"""Counts of rows that somebody should look at, and what is said of them."""
STATES = {"running": "busy", "completed": "good", "found": "good", "stopped": "bad", "lost": "bad"}


def plans(view: dict[str, Any]) -> str:
    """What there is to say at a glance, and of each plan."""
    return f'<div style="height: 58px">{tiles(view)}</div>{runs(view)}'


def tiles(view: dict[str, Any]) -> str:
    """What there is to say at a glance."""
    running = [run for run in view["runs"] if run["ended"] is None]
    last = view["history"][-SMOOTH:]
    rates = [some for each in last for some in each["rates"].values()]
    asked = view["cache"]["hits"] + view["cache"]["misses"]
    alerts = sum(each["alert"] for each in view.get("advice", ()))
    facts = {
        "plans at work": str(len(running)),
        "rows a second": count(sum(some["rows"] for some in rates) / max(1, len(last))),
        "pairs a second": count(sum(some["pairs"] for some in rates) / max(1, len(last))),
        "found in the store": f"{view['cache']['hits'] / asked:.0%}" if asked else "–",
        "workers": str(len(view["cluster"])) if "cluster" in view else "this process",
        "alerts": str(alerts),
    }
    kind = {"alerts": "bad" if alerts else ""}
    return '<div class="tiles">' + "".join(
        f'<div><b class="{kind.get(name, "")}">{text}</b><span>{name}</span></div>'
        for name, text in facts.items()
    ) + "</div>"  # fmt: skip


def runs(view: dict[str, Any]) -> str:
    """The latest plans: state, progress, rate and what is left."""
    rows = []
    shown = [
        run
        for run in view["runs"]
        if run["operation"] != ADMISSION or run["state"] not in ("completed", "replaced")
    ]
    for run in shown[:SHOWN]:
        seconds = max(0.0, (run["ended"] or view["now"]) - run["began"])
        each, more = rate(run, view["now"]), left(run, view["now"])
        part, state = share(run), run["state"]
        kind = STATES.get(state, "")
        bar = f'<span class="bar"><i class="{kind}" style="width:{part:.1%}"></i></span>{part:.1%}'
        step = f", step {run['step']}" if run["step"] else ""
        title = run["job_name"] or run["name"] or run["operation"]
        rows.append(
            [
                f'<span title="{escape(run["key"])}">{escape(title)}</span>',
                escape(run["manifold"]) or NOTHING,
                escape(run["device"]) or NOTHING,
                f'<span class="{kind}">{state}{step}</span>',
                bar,
                f"{count(run['stats']['tasks'])}",
                f"{count(run['stats']['rows'])}",
                f"{count(each)}/s" if state != "found" else NOTHING,
                f"{count(each * run['flops'] / run['work'])}"
                if run["flops"] and run["work"]
                else NOTHING,
                format_time(seconds) if run["state"] != "found" else NOTHING,
                NOTHING if more is None else format_time(more),
            ]
        )
    waiting, blank = view.get("queued", ())[:SHOWN], [NOTHING] * 7
    rows += [[f"job {escape(job)}", NOTHING, NOTHING, "queued", *blank] for job in waiting]
    heads = ["plan", "space", "on", "state", "done"]
    heads += ["tasks", "rows", "work", "flop/s", "time", "left"]
    if not rows:
        return titled("Plans", quiet("None has run yet. Run one, and it is here at once:"
                       " <code>gd.knn(x, k=10).persist()</code>"))  # fmt: skip
    return titled("Plans", table(heads, rows, numbers=range(5, 11)))


def cache(view: dict[str, Any]) -> str:
    """What the store was good for."""
    known = view["cache"]
    asked = known["hits"] + known["misses"]
    facts = {
        "found / computed": f"{known['hits']} / {known['misses']}"
        + (f" ({known['hits'] / asked:.0%})" if asked else ""),
        "bytes found": format_bytes(known["bytes_found"]),
        "time saved": format_time(known["seconds_saved"]) if known["seconds_saved"] else NOTHING,
        "evicted": f"{known['evictions']}, {format_bytes(known['bytes_evicted'])}",
    }
    return titled("Store", facts_table(facts))


def health(view: dict[str, Any], links: bool = True) -> str:
    """Rows to look at, and what failed; with links to them, where there is a server."""
    rows = []
    for run in view["runs"][:SHOWN]:
        stats, name = run["stats"], escape(run["job_name"] or run["name"])
        if links and (run["rows_to_see"] or run["errors"]):
            name = f'<a href="geodask/rows/{run["run"]}" target="_blank">{name}</a>'
        for part, text in FLAGS.items():
            if stats[part]:
                rows.append([name, f'<span class="warn">{stats[part]:,} rows {text}</span>', ""])
        for each in run["errors"][-3:]:
            where = f"block {each['block']}, rows {each['start']:,} to {each['stop']:,}"
            error = escape(each["error"])
            rows.append([name, where, f'<div class="cut bad" title="{error}">{error}</div>'])
        if run["error"] and not run["errors"]:
            error = escape(run["error"])
            rows.append([name, "", f'<div class="cut bad" title="{error}">{error}</div>'])
    lost, again = view["workers_lost"], sum(each["reruns"] for each in view["operations"])
    said = f"{lost} workers left the cluster, {again} tasks were given out again by Dask."
    note = f'<div class="quiet">{said}</div>' if lost or again else ""
    body = table(["plan", "where", "what"], rows[:SHOWN]) if rows else quiet("All rows are sound.")
    return titled("Health", body + note)


def rows(run: dict[str, Any]) -> str:
    """The rows of a run that somebody should look at, and its errors, in full."""
    about = {
        "plan": escape(run["job_name"] or run["name"]),
        "space": escape(run["manifold"]),
        "result": escape(run["url"]),
    }
    parts = [facts_table(about)]
    for name, seen in run["rows_to_see"].items():
        kind, _, of = name.partition(" ")
        some = ", ".join(f"{row:,}" for row in seen["rows"])
        count = seen["count"]
        more = f" and more, {count:,} in all" if count > len(seen["rows"]) else ""
        parts.append(f"<h2>{escape(of.capitalize())} {FLAGS[kind]}</h2><p>{some}{more}</p>")
    entry = PurePosixPath(run["url"]).name
    if run["rows_to_see"] and entry == f"{run['operation']}-{run['key']}":
        parts.append(f"<pre>result = geodask.store().get({escape(repr(entry))})</pre>")
    if run["errors"]:
        found = [
            [
                time.strftime("%H:%M:%S UTC", time.gmtime(each["at"])),
                f"{each['block']:,}",
                f"{each['start']:,} to {each['stop']:,}",
                f"<pre>{escape(each['error'])}</pre>",
            ]
            for each in reversed(run["errors"])
        ]
        parts.append("<h2>Errors</h2>" + table(["at", "block", "rows", "error"], found))
    return "".join(parts)


def workers(view: dict[str, Any]) -> str:
    """Those with the most work or the least room, the slowest first."""
    rows, cluster = [], view.get("cluster", {})
    running = (run for run in view["runs"] if run["ended"] is None)
    planned = max((run["task_bytes"] for run in running), default=0)
    names = sorted({*cluster, *(view["workers"] if not cluster else ())})
    slow = {
        name: view["workers"][name]["seconds"] / max(1, view["workers"][name]["tasks"])
        for name in names
        if name in view["workers"]
    }
    for name in sorted(names, key=lambda each: -slow.get(each, 0.0))[:SHOWN]:
        stats, known = view["workers"].get(name), cluster.get(name, {})
        memory = NOTHING
        if known.get("memory_limit"):
            part = known["memory"] / known["memory_limit"]
            kind = "bad" if part > 0.85 else "good"
            memory = (
                f'<span class="bar"><i class="{kind}" style="width:{min(1, part):.0%}"></i></span>'
                f"{format_bytes(known['memory'])}"
            )
        elif stats:
            memory = f"peak {format_bytes(stats['peak_bytes'])}"
        gpu = known.get("gpu")
        rows.append(
            [
                escape(str(known.get("name", name))),
                escape(known.get("status", "")),
                memory,
                format_bytes(planned * known["threads"]) if planned and known else NOTHING,
                f"{known['cpu']:.0f} %" if "cpu" in known else NOTHING,
                f"{gpu:.0f} %" if gpu is not None else NOTHING,
                count(stats["tasks"]) if stats else "0",
                format_time(slow[name]) if stats else NOTHING,
            ]
        )
    heads = ["worker", "", "memory", "tasks plan", "cpu", "gpu", "tasks", "a task"]
    more = len(names) - SHOWN
    note = f'<div class="quiet">and {more} that are faster</div>' if more > 0 else ""
    body = table(heads, rows, numbers=range(3, 8)) if rows else quiet("None has done anything yet.")
    return titled("Workers", body + note)


def advice(view: dict[str, Any]) -> str:
    """What could be better, with the evidence and the change."""
    rows = [
        [
            f'<span class="{"bad" if each["alert"] else "warn"}">{escape(each["rule"])}</span>',
            escape(each["plan"]),
            escape(each["evidence"]),
            escape(each["say"]),
        ]
        for each in view.get("advice", ())[:SHOWN]
    ]
    body = (
        table(["", "plan", "seen", "do"], rows) if rows else quiet("Nothing to say: all is well.")
    )
    return titled("Advice", body)


def stage_facts(stats: dict[str, Any]) -> dict[str, str]:
    """Where the time of tasks went, in words."""
    found = stages(stats)
    whole = max(1e-9, sum(found.values()))
    return {name: f"{format_time(each)}, {each / whole:.0%}" for name, each in found.items()}
