"""What happens while a plan runs, told to whoever watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from time import perf_counter


@dataclass
class Stats:
    """What one task, or many, did. Sums add up; the peak is the largest."""

    tasks: int = 0
    """Tasks finished."""
    rows: int = 0
    """Rows of finished output."""
    pairs: int = 0
    """Pairs of rows considered."""
    measured: int = 0
    """Pairs whose rank was computed in float64."""
    flagged: int = 0
    """Rows that came out undefined (NaN), such as a log at the cut locus; of a matrix, rows of each
    tile that was computed."""
    near_limit: int = 0
    """Input rows whose coordinates have few digits left, such as those near the rim of a ball."""
    bytes_read: int = 0
    """Bytes of input rows read."""
    bytes_written: int = 0
    """Bytes of objects written."""
    read_seconds: float = 0.0
    """Seconds a task waited for its input."""
    kernel_seconds: float = 0.0
    """Seconds in the block kernels."""
    write_seconds: float = 0.0
    """Seconds writing and digesting objects."""
    seconds: float = 0.0
    """Seconds of tasks, added up over tasks that ran side by side."""
    peak_bytes: int = 0
    """Largest resident memory of a process that was seen, its libraries included."""

    def add(self, other: "Stats") -> None:
        """Takes in what another task did."""
        for part in fields(self):
            mine, theirs = getattr(self, part.name), getattr(other, part.name)
            joined = max(mine, theirs) if part.name == "peak_bytes" else mine + theirs
            setattr(self, part.name, joined)

    @contextmanager
    def timing_kernel(self) -> Iterator[None]:
        """Counts the seconds inside as the kernel's."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.kernel_seconds += perf_counter() - begin


@dataclass(frozen=True)
class PlanStarted:
    """A plan begins, or goes on where it was interrupted."""

    name: str
    """Operation and short key, as task names on the dashboard begin."""
    work: float
    """All of its work, in the operation's own measure (pairs of rows, or rows); of an iteration,
    that of a step."""
    stored: float
    """The part that was found stored."""
    rows: int
    """Rows of output in all."""


@dataclass(frozen=True)
class StepStarted:
    """An iteration begins a step, all of whose work is as much as that of the step before."""

    step: int
    stored: float
    """The part of its work that was found stored."""


@dataclass(frozen=True)
class TaskStarted:
    """A task is about to be handed over."""

    label: str
    """The name of the plan, the block, and the part of it."""


@dataclass(frozen=True)
class TaskDone:
    """A task's objects are written."""

    work: float
    """The part of the plan's work that it was."""
    stats: Stats
    """What it did."""
    label: str = ""
    """As it started; empty where it was another process that ran it."""


@dataclass(frozen=True)
class Waited:
    """Nothing has finished for a while."""


@dataclass(frozen=True)
class PlanEnded:
    """The plan is complete, or stopped. Of one that was found complete nothing else is told."""

    complete: bool
    """False where an error or the user stopped it."""
    url: str = ""
    """Where the complete result lies."""


Event = PlanStarted | StepStarted | TaskStarted | TaskDone | Waited | PlanEnded
Watcher = Callable[[Event], None]

_others: ContextVar[tuple[Watcher, ...]] = ContextVar("geodask-watchers", default=())


@contextmanager
def told(watcher: Watcher) -> Iterator[None]:
    """The watcher is told of all that plans do inside. What it raises ends their runs."""
    token = _others.set((*_others.get(), watcher))
    try:
        yield
    finally:
        _others.reset(token)


def watching(*watchers: Watcher) -> Watcher:
    """Some watchers, and those that are told of all that plans do here."""
    everyone = (*watchers, *_others.get())

    def tell(event: Event) -> None:
        for each in everyone:
            each(event)

    return tell
