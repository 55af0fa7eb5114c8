"""Progress of a plan, in a terminal or a notebook: rows a second and the time that is left."""

import sys
from importlib.util import find_spec
from typing import Any

from ..events import Event, PlanEnded, PlanStarted, StepStarted, TaskDone

DELAY = 0.5
"""Seconds before a bar is drawn: what is done by then needs none."""


class Progress:
    """Draws a bar, in a notebook as a widget; silent where there is neither, or when told."""

    def __init__(self, mode: str):
        self.shown = mode == "on" or (mode == "auto" and (sys.stderr.isatty() or in_notebook()))
        self._bar: Any = None
        self._rows_per_work = 0.0

    def __call__(self, event: Event) -> None:
        if not self.shown:
            return
        if isinstance(event, PlanStarted):
            # A row counts as done by the share of its work, so the bar moves within a block.
            self._rows_per_work = event.rows / event.work if event.work else 0.0
            self._bar = _kind()(
                total=event.rows,
                initial=event.stored * self._rows_per_work,
                desc=event.name,
                unit=" rows",
                delay=DELAY,
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


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this process."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _kind() -> Any:
    """The bar that tqdm draws here; its widget needs ipywidgets."""
    if in_notebook() and find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm_notebook

        return tqdm_notebook
    from tqdm import tqdm

    return tqdm
