"""What was counted, in words, for a terminal or a notebook."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from dask.utils import format_bytes, format_time

from ..engine.html import Shown
from . import html, tables


@dataclass(frozen=True, repr=False)
class Summary(Shown):
    """What plans did since the book was begun."""

    view: dict[str, Any]
    """All of it, as ``/geodask.json`` has it."""

    @property
    def title(self) -> str:
        return "What geodask did"

    @property
    def facts(self) -> dict[str, str]:
        view, found = self.view, {}
        for each in view["operations"]:
            stats = each["stats"]
            parts = [f"{stats['tasks']} tasks", f"{stats['rows']} rows"]
            parts += [f"{stats['pairs']:.4g} pairs"] if stats["pairs"] else []
            parts += [f"{format_time(stats['seconds'])} of work"] if stats["seconds"] else []
            found[f"{each['operation']} on {each['manifold']}"] = ", ".join(parts)
        cache = view["cache"]
        found["store"] = (
            f"{cache['hits']} found, {cache['misses']} computed, "
            f"{format_bytes(cache['bytes_found'])} and {format_time(cache['seconds_saved'])} saved"
        )
        running = [run["name"] for run in view["runs"] if run["ended"] is None]
        found["at work"] = ", ".join(running) or "nothing"
        for each in view.get("advice", ()):
            found[each["rule"]] = f"{each['evidence']}. {each['say']}"
        return found

    def _repr_html_(self) -> str:
        parts = (
            tables.plans,
            tables.advice,
            tables.cache,
            partial(tables.health, links=False),
            tables.workers,
        )
        body = "".join(f"<div>{make(self.view)}</div>" for make in parts)
        return f"<div {html.UNTOUCHED}><style>{html.SCOPED}</style>{body}</div>"
