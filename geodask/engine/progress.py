"""Progress of a plan in a terminal: rows a second and the time that is left."""

import sys
from typing import Any

from ..events import Event, PlanEnded, PlanStarted, StepStarted, TaskDone


class Progress:
    """Draws a bar on standard error; silent where that is not a terminal, or when told."""

    def __init__(self, mode: str):
        self.shown = mode == "on" or (mode == "auto" and sys.stderr.isatty())
        self._bar: Any = None
        self._rows_per_work = 0.0

    def __call__(self, event: Event) -> None:
        if not self.shown:
            return
        if isinstance(event, PlanStarted):
            from tqdm import tqdm

            # A row counts as done by the share of its work, so the bar moves within a block.
            self._rows_per_work = event.rows / event.work if event.work else 0.0
            self._bar = tqdm(
                total=event.rows,
                initial=event.stored * self._rows_per_work,
                desc=event.name,
                unit=" rows",
                file=sys.stderr,
                bar_format="{desc} {percentage:3.0f}% |{bar}| {n:.0f}/{total} rows"
                " [{elapsed}<{remaining}, {rate_fmt}]",
            )
        elif self._bar is not None and isinstance(event, StepStarted):
            name = self._bar.desc.partition(" step ")[0].removesuffix(": ")
            self._bar.reset()
            self._bar.set_description_str(f"{name} step {event.step}")
            self._bar.update(event.stored * self._rows_per_work)
        elif self._bar is not None and isinstance(event, TaskDone):
            self._bar.update(event.work * self._rows_per_work)
        elif self._bar is not None and isinstance(event, PlanEnded):
            self._bar.close()
            self._bar = None
