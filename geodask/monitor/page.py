"""The page in Dask's dashboard: made once for each who looks, and filled once a second.

It runs in the scheduler's event loop, so what an update costs does not depend on how many tasks or
blocks there are.
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import bokeh.layouts
import bokeh.models
import bokeh.plotting
from distributed.dashboard.components.scheduler import BOKEH_THEME, env

from ..events import ADMISSION
from . import html, tables
from .account import machine_limit, stages
from .book import SECONDS

# Properties of Bokeh's models are made when it is imported, unseen by type checkers.
layouts: Any = bokeh.layouts
models: Any = bokeh.models
plotting: Any = bokeh.plotting

UPDATE_MS = 1000
RATES = "Pairs (or rows) a second; dashed, the limit of the machines"
FAR = 4
"""A limit that is so many times farther than all rates is named, but not drawn."""
ACROSS = 40
"""Cells of the map of blocks, side by side."""
GREY = "#868a90"
LINES = ("#2f7de1", "#2e9e5b", "#c98500", "#a35ad6", "#d6453d", "#15a3a3")
CELL = {
    "missing": "rgba(128,128,128,0.18)",
    "stored": "#8ab8f0",
    "computed": "#2e9e5b",
    "running": "#f0b429",
    "failed": "#d6453d",
}
SHORT = """
  const units = ["", " k", " M", " G", " T"];
  let at = 0;
  while (Math.abs(tick) >= 1000 && at < 4) { tick /= 1000; at += 1; }
  return Number(tick.toPrecision(3)) + units[at];
"""
"""A number in three digits and its unit."""
AGAIN = """
  const again = async () => {
    try {
      if ((await fetch("geodask.json")).ok) { location.reload(); return; }
    } catch (error) { /* nobody is there yet */ }
    setTimeout(again, 1000);
  };
  again();
"""
"""Once a connection is lost, the page is loaded anew when a scheduler has it again."""
FILL = """
  cb_obj.tags.forEach((html, i) => {
    const box = Bokeh.index.find_one?.(divs[i])?.shadow_el?.querySelector(".filled");
    if (box == null) { divs[i].text = html; return; }
    if (box.shown !== html) { box.innerHTML = html; box.shown = html; }
  });
"""
"""Fills tables where they are: a text that changes has Bokeh make the table and lay out the page
anew, which takes most of an update. Where its views are not found so, as in older ones, it does."""
TEMPLATE = """
{% extends "simple.html" %}
{% block extra_resources %}
<style>
  .content { padding: 8px 16px; box-sizing: border-box; width: auto; }
  @media (prefers-color-scheme: dark) { body { background: #16181c; color: #dfe2e6; } }
</style>
{% endblock %}
"""
TABLES = {
    "plans": ((tables.plans,), 308),
    "look": ((tables.advice, tables.health), 160),
    "workers": ((tables.workers, tables.cache), 250),
}
"""What makes the tables that stand side by side, and their height: nothing moves when they are
filled."""


def document(scheduler: Any, extra: dict[str, Any], doc: Any) -> None:
    """Fills a new document for one who looks, and goes on to."""
    page = Page()

    def update() -> None:
        monitor = scheduler.plugins.get("geodask-monitor")
        if monitor is not None:  # it may be taken away while somebody looks
            page.update(monitor.view())

    update()
    doc.add_root(page.root)
    doc.title, doc.theme = "Dask: geodask", BOKEH_THEME
    doc.template = env.from_string(TEMPLATE)
    doc.template_variables.update(extra, active_page="geodask")
    doc.add_periodic_callback(update, UPDATE_MS)
    doc.js_on_event("connection_lost", models.CustomJS(code=AGAIN))


class Page:
    """All that is shown, and how it is filled."""

    def __init__(self) -> None:
        self.tables = {
            name: models.Div(
                text="", height=height, sizing_mode="stretch_width", name=f"geodask-{name}",
                stylesheets=[html.STYLE], styles={"overflow": "auto"},
                disable_math=True,  # TeX can hold links that run scripts
            )
            for name, (_, height) in TABLES.items()
        }  # fmt: skip
        self.rates, self.legend, rates = _rates()
        self.limits, self.operations = _limit(rates), rates
        self.stages, stage_figure = _stages()
        self.cells, self.map = _map()
        self.steps, self.descent = _steps()
        self._lines: list[str] = []
        self._shown = ""
        wide = {"sizing_mode": "stretch_width"}
        self.root = layouts.column(
            self.tables["plans"],
            layouts.row(rates, stage_figure, **wide),
            layouts.row(self.map, self.descent, **wide),
            self.tables["look"],
            self.tables["workers"],
            **wide,
        )
        divs = {"divs": list(self.tables.values())}
        self.root.js_on_change("tags", models.CustomJS(args=divs, code=FILL))

    def update(self, view: dict[str, Any]) -> None:
        """Shows what there is now."""
        texts = [html.beside(make(view) for make in makers) for makers, _ in TABLES.values()]
        if not self.root.tags:  # nobody sees it yet
            for div, text in zip(self.tables.values(), texts, strict=True):
                div.text = f'<div class="filled">{text}</div>'
        if self.root.tags != texts:
            self.root.tags = texts
        self._update_rates(view)
        shown = next((run for run in view["runs"] if run["ended"] is None), None)
        shown = shown or next(iter(view["runs"]), None)
        if shown is not None:
            self._update_stages(shown)
            self._update_map(shown)
        descents = (run for run in view["runs"] if run["steps"])
        self._update_steps(next(descents, None))

    def _update_rates(self, view: dict[str, Any]) -> None:
        history = view["history"][-SECONDS:]
        times = [1000.0 * each["at"] for each in history]
        told = {name for each in history for name in each["rates"]} - {ADMISSION}
        for name in sorted(told):
            if name not in self._lines and len(self._lines) < len(LINES):
                self._lines.append(name)
                item = self.legend.items[len(self._lines) - 1]
                item.update(label={"value": name}, visible=True)
                item.renderers[0].visible = True
        columns = {f"rate {i}": [0.0] * len(times) for i in range(len(LINES))}
        for i, name in enumerate(self._lines):
            rates = [each["rates"].get(name, {}).get("work", 0.0) for each in history]
            columns[f"rate {i}"] = _smooth(rates)
        _fill(self.rates, {"at": times, **columns})
        at_work = (run for run in view["runs"] if run["ended"] is None)
        running = next((run for run in at_work if run["operation"] != ADMISSION), None)
        limit = machine_limit(running, view.get("cluster", {})) if running else 0.0
        ends = times[:1] + times[-1:] if limit else []
        _fill(self.limits, {"at": ends, "limit": [limit] * len(ends)})
        highest = max([1.0, *chain(*columns.values())])
        highest = max(highest, min(limit, FAR * highest))
        self.operations.title.text = f"{RATES}, {html.count(limit)}/s" if limit else RATES
        _span(self.operations.x_range, view["now"] * 1000 - 60_000, view["now"] * 1000, times)
        _span(self.operations.y_range, 0.0, 1.1 * highest)

    def _update_stages(self, run: dict[str, Any]) -> None:
        found = stages(run["stats"])
        whole = max(1e-9, sum(found.values()))
        columns = {
            "stage": list(found),
            "share": [each / whole for each in found.values()],
            "seconds": list(found.values()),
            "color": [tables.COLORS[name] for name in found],
        }
        _fill(self.stages, columns)

    def _update_map(self, run: dict[str, Any]) -> None:
        cells = run["cells"]
        count, blocks, each = len(cells["finished"]), cells["blocks"], cells["each"]
        kinds, shares, names = [], [], []
        for i in range(count):
            held = min(each, blocks - each * i)
            done = cells["finished"][i] / held
            kind = "missing"
            if cells["failed"][i]:
                kind = "failed"
            elif cells["at_work"][i]:
                kind = "running"
            elif cells["finished"][i]:
                kind = "computed" if cells["computed"][i] else "stored"
            kinds.append(kind)
            shares.append(1.0 if kind in ("failed", "running", "missing") else max(0.25, done))
            last = each * i + held - 1
            names.append(f"{each * i}" if held == 1 else f"{each * i} to {last}")
        columns = {
            "x": [i % ACROSS for i in range(count)],
            "y": [-(i // ACROSS) for i in range(count)],
            "color": [CELL[kind] for kind in kinds],
            "alpha": shares,
            "kind": kinds,
            "blocks": names,
        }
        _fill(self.cells, columns)
        title = f"Blocks of {run['name'] or run['operation']}"
        if title != self._shown:  # plain, for TeX can hold links that run scripts
            self._shown, self.map.title.text = title, models.PlainText(text=title)

    def _update_steps(self, run: dict[str, Any] | None) -> None:
        """The first measure that an iteration tells of its steps."""
        told = [] if run is None else run["steps"]
        measure = next((name for step in told for name in step if name != "step"), "gradient_norm")
        steps = [step for step in told if measure in step]
        values = [max(step[measure], 1e-300) for step in steps]
        _fill(self.steps, {"step": [step["step"] for step in steps], "measure": values})
        values = values or [1e-8, 1.0]
        self.descent.title.text = f"{measure.replace('_', ' ').capitalize()} by step"
        _span(self.descent.x_range, 0, 10, self.steps.data["step"])
        _span(self.descent.y_range, min(values) / 3, 3 * max(values))


def _fill(source: Any, columns: dict[str, list[Any]]) -> None:
    """Hands a browser new columns, for which it draws a figure anew, where they are others."""
    if source.data != columns:
        source.data = columns


def _span(range: Any, start: float, end: float, shown: Sequence[float] = ()) -> None:
    """Widens a range as far as values need it. Bokeh's own ranges complain where there are none."""
    range.update(start=min([start, *shown]), end=max([end, *shown]))


def _smooth(rates: list[float]) -> list[float]:
    """The mean of the last seconds at each: tasks end some seconds apart, and several at once."""
    sums = [0.0, *accumulate(rates)]
    return [
        (sums[i] - sums[max(0, i - tables.SMOOTH)]) / min(i, tables.SMOOTH)
        for i in range(1, len(sums))
    ]


def _rates() -> tuple[Any, Any, Any]:
    """Lines for operations to come: to add one later, a browser would build the figure anew."""
    source = models.ColumnDataSource({"at": [], **{f"rate {i}": [] for i in range(len(LINES))}})
    shown = _figure(RATES, x_axis_type="datetime", **_ranges())
    shown.yaxis.formatter = models.CustomJSTickFormatter(code=SHORT)
    items = []
    for i, color in enumerate(LINES):
        line = shown.line(
            "at", f"rate {i}", source=source, color=color, line_width=2, visible=False
        )
        items.append(models.LegendItem(label="", renderers=[line], visible=False))
    legend = models.Legend(
        items=items, location="top_left", background_fill_alpha=0.0, border_line_color=None,
        label_text_color=GREY,
    )  # fmt: skip
    shown.add_layout(legend)
    return source, legend, shown


def _limit(shown: Any) -> Any:
    source = models.ColumnDataSource({"at": [], "limit": []})
    shown.line("at", "limit", source=source, color=GREY, line_dash="dashed", line_width=1.5)
    return source


def _stages() -> tuple[Any, Any]:
    names = list(tables.COLORS)
    source = models.ColumnDataSource({"stage": [], "share": [], "seconds": [], "color": []})
    shown = _figure("Where the tasks' time goes", y_range=names[::-1], x_range=models.Range1d(0, 1))
    shown.hbar("stage", right="share", height=0.6, color="color", source=source)
    shown.xaxis.formatter = models.NumeralTickFormatter(format="0%")
    shown.add_tools(models.HoverTool(tooltips=[("", "@stage: @seconds{0.0} s, @share{0%}")]))
    return source, shown


def _map() -> tuple[Any, Any]:
    empty: dict[str, list[Any]] = {
        name: [] for name in ("x", "y", "color", "alpha", "kind", "blocks")
    }
    source = models.ColumnDataSource(empty)
    shown = _figure(
        "Blocks", x_range=models.Range1d(-1, ACROSS), y_range=models.Range1d(-10.6, 0.8)
    )
    shown.rect("x", "y", 0.88, 0.82, source=source, color="color", alpha="alpha", line_color=None)
    shown.axis.visible, shown.grid.visible = False, False
    shown.add_tools(models.HoverTool(tooltips=[("", "block @blocks: @kind")]))
    return source, shown


def _steps() -> tuple[Any, Any]:
    source = models.ColumnDataSource({"step": [], "measure": []})
    shown = _figure("Gradient norm by step", y_axis_type="log", **_ranges())
    shown.line("step", "measure", source=source, color=LINES[0], line_width=2)
    shown.scatter("step", "measure", source=source, color=LINES[0], size=6)
    return source, shown


def _ranges() -> dict[str, Any]:
    return {"x_range": models.Range1d(0, 1), "y_range": models.Range1d(1e-8, 1)}


def _figure(title: str, **options: Any) -> Any:
    shown = plotting.figure(
        title=title, height=220, sizing_mode="stretch_width", tools="", toolbar_location=None,
        **options,
    )  # fmt: skip
    shown.title.text_color = GREY
    for part in shown.axis:
        part.axis_label_text_color = part.major_label_text_color = GREY
        part.axis_line_color = part.major_tick_line_color = part.minor_tick_line_color = None
    shown.grid.grid_line_color = "rgba(128,128,128,0.2)"
    shown.outline_line_color = None
    return shown
