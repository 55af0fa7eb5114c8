"""The tables of the page and of reports, as HTML: whatever a user named is escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from dask.utils import format_bytes, format_time

from .account import left, rate, share, stages

SHOWN = 8
"""Runs of a table, and workers."""
SMOOTH = 10
"""Seconds that rates are the mean of."""
COLORS = {
    "read": "#4c9be8", "kernel": "#2e9e5b", "merge": "#a35ad6", "write": "#c98500",
    "other": "#9aa0a6",
}  # fmt: skip
"""Of the stages."""
STATES = {"running": "busy", "completed": "good", "found": "good", "stopped": "bad", "lost": "bad"}
NOTHING = '<span class="quiet">–</span>'
VALUES = """
--line: rgba(128,128,128,.28); --quiet: #868a90; --good: #2e9e5b; --bad: #d6453d;
  --busy: #2f7de1; --warn: #c98500;
  font: 13px/1.45 system-ui, sans-serif; color: inherit; width: 100%;
"""
RULES = """
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; color: var(--quiet); white-space: nowrap; }
th, td { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; }
.quiet { color: var(--quiet); } .good { color: var(--good); } .bad { color: var(--bad); }
.busy { color: var(--busy); } .warn { color: var(--warn); }
.bar { display: inline-block; width: 90px; height: 7px; border-radius: 4px;
  background: var(--line); vertical-align: middle; margin-right: 6px; overflow: hidden; }
.bar i { display: block; height: 100%; background: var(--busy); }
.bar i.good { background: var(--good); } .bar i.bad { background: var(--bad); }
.tiles { display: flex; flex-wrap: wrap; gap: 26px; }
.tiles b { display: block; font-size: 21px; font-weight: 600; line-height: 1.25; }
.tiles span { color: var(--quiet); }
h3 { font-size: 13px; font-weight: 600; margin: 0 0 4px; }
.cut { max-width: 34em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""
STYLE = f":host {{ {VALUES} }} :host > .bk-clearfix {{ width: 100%; }} {RULES}"
"""For parts of the page, which share no styles."""
SCOPED = f".gd {{ {VALUES} {RULES} }}"
"""For what stands among other things."""
UNTOUCHED = 'class="gd tex2jax_ignore mathjax_ignore"'
"""What user's names stand in: MathJax, which makes links of TeX, leaves it alone."""


def count(number: float) -> str:
    """A number in three digits: 12, 1.23 k, 45.6 M."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 999.5 or unit == " T":
            return f"{number:.3g}{unit}" if unit or number % 1 else f"{number:.0f}"
        number /= 1000
    return ""


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
    for run in view["runs"][:SHOWN]:
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
    heads = ["plan", "space", "state", "done", "tasks", "rows", "work", "flop/s", "time", "left"]
    if not rows:
        return _titled("Plans", _quiet("None has run yet. Run one, and it is here at once:"
                       " <code>gd.knn(x, k=10).persist()</code>"))  # fmt: skip
    return _titled("Plans", table(heads, rows, numbers=range(4, 10)))


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
    return _titled("Store", facts_table(facts))


def health(view: dict[str, Any]) -> str:
    """Rows to look at, and what failed."""
    rows = []
    for run in view["runs"][:SHOWN]:
        stats, name = run["stats"], escape(run["job_name"] or run["name"])
        for part, text in {"flagged": "undefined", "near_limit": "near the limit"}.items():
            if stats[part]:
                rows.append([name, f'<span class="warn">{stats[part]:,} rows {text}</span>', ""])
        for each in run["errors"][-3:]:
            where = f"block {each['block']}, rows {each['start']:,} to {each['stop']:,}"
            error = escape(each["error"])
            rows.append([name, where, f'<div class="cut bad" title="{error}">{error}</div>'])
        if run["error"] and not run["errors"]:
            error = escape(run["error"])
            rows.append([name, "", f'<div class="cut bad" title="{error}">{error}</div>'])
    lost = view["workers_lost"]
    note = f'<div class="quiet">{lost} workers left the cluster.</div>' if lost else ""
    body = table(["plan", "where", "what"], rows[:SHOWN]) if rows else _quiet("All rows are sound.")
    return _titled("Health", body + note)


def workers(view: dict[str, Any]) -> str:
    """Those with the most work or the least room, the slowest first."""
    rows, cluster = [], view.get("cluster", {})
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
                f"{known['cpu']:.0f} %" if "cpu" in known else NOTHING,
                f"{gpu:.0f} %" if gpu is not None else NOTHING,
                count(stats["tasks"]) if stats else "0",
                format_time(slow[name]) if stats else NOTHING,
            ]
        )
    heads = ["worker", "", "memory", "cpu", "gpu", "tasks", "a task"]
    more = len(names) - SHOWN
    note = f'<div class="quiet">and {more} that are faster</div>' if more > 0 else ""
    body = (
        table(heads, rows, numbers=range(3, 7)) if rows else _quiet("None has done anything yet.")
    )
    return _titled("Workers", body + note)


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
        table(["", "plan", "seen", "do"], rows) if rows else _quiet("Nothing to say: all is well.")
    )
    return _titled("Advice", body)


def stage_facts(stats: dict[str, Any]) -> dict[str, str]:
    """Where the time of tasks went, in words."""
    found = stages(stats)
    whole = max(1e-9, sum(found.values()))
    return {name: f"{format_time(each)}, {each / whole:.0%}" for name, each in found.items()}


def facts_table(facts: dict[str, str]) -> str:
    """Names and what is said of them, both HTML."""
    return table([], [[f'<span class="quiet">{name}</span>', text] for name, text in facts.items()])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """Rows of cells that are HTML; some columns hold numbers."""
    right = set(numbers)
    kinds = ['class="n"' if i in right else "" for i in range(20)]
    head = "".join(f"<th {kinds[i]}>{name}</th>" for i, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td {kinds[i]}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if heads else ''}{body}</table>"


def _titled(title: str, body: str) -> str:
    return f"<h3>{title}</h3>{body}"


def _quiet(text: str) -> str:
    return f'<div class="quiet">{text}</div>'
