"""How many seconds of work a plan still has, told to the scheduler: clusters adapt to it."""

import time
from collections.abc import Callable

from ..events import Event, PlanStarted, Stats, StepStarted, TaskDone, Watcher

TOPIC = "geodask-plans"
"""The topic of the scheduler's events that plans tell theirs under."""
TELL_SECONDS = 1.0
"""They are told this often, at most."""


class Remaining:
    """A watcher beside another. What a task takes is known from those that have ended."""

    def __init__(self, tell: Callable[[float, float], None], watch: Watcher):
        self._tell, self._watch, self._told_at = tell, watch, 0.0
        self._whole, self._left, self._done, self._stats = 0.0, 0.0, 0.0, Stats()

    def __call__(self, event: Event) -> None:
        self._watch(event)
        if isinstance(event, PlanStarted):
            self._whole, self._left = event.work, event.work - event.stored
        elif isinstance(event, StepStarted):
            self._left = self._whole - event.stored
        elif isinstance(event, TaskDone):
            self._left, self._done = self._left - event.work, self._done + event.work
            self._stats.add(event.stats)
        if time.monotonic() - self._told_at > TELL_SECONDS:
            self._told_at = time.monotonic()
            rate = self._stats.seconds / self._done if self._done else 0.0
            self._tell(self._left * rate, self._stats.seconds / max(1, self._stats.tasks))
