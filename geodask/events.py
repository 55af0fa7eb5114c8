"""What happens while a plan runs, told to whoever watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from threading import local
from time import perf_counter
from typing import Any

STAGES = ("read", "transfer", "kernel", "merge", "write")
"""What the seconds of tasks are told apart by."""
ADMISSION = "admission"
"""The operation of what is no plan: rows that are digested and checked before one."""


class Moved(local):
    """What this thread has moved between host and devices so far."""

    seconds: float = 0.0
    bytes: int = 0


moved = Moved()


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
    flops: int = 0
    """Floating-point operations of the work, as `Plan.explain` states them."""
    flagged: int = 0
    """Rows that came out undefined (NaN), such as a log at the cut locus; of a matrix, rows of each
    tile that was computed."""
    near_limit: int = 0
    """Input rows whose coordinates have few digits left, such as those near the rim of a ball."""
    bytes_read: int = 0
    """Bytes of input rows read."""
    bytes_moved: int = 0
    """Bytes moved between host and device."""
    bytes_written: int = 0
    """Bytes of objects written."""
    read_seconds: float = 0.0
    """Seconds a task waited for its input."""
    transfer_seconds: float = 0.0
    """Seconds moving arrays between host and device."""
    kernel_seconds: float = 0.0
    """Seconds in the block kernels, those moves apart."""
    merge_seconds: float = 0.0
    """Seconds putting partial results together, and reading them."""
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

    @property
    def stages(self) -> dict[str, float]:
        """The seconds of each stage."""
        return {stage: getattr(self, f"{stage}_seconds") for stage in STAGES}

    @contextmanager
    def timing_kernel(self) -> Iterator[None]:
        """Counts the seconds inside as the kernel's, but those of moving arrays."""
        begin, seconds, size = perf_counter(), moved.seconds, moved.bytes
        try:
            yield
        finally:
            moving = moved.seconds - seconds
            self.transfer_seconds += moving
            self.kernel_seconds += perf_counter() - begin - moving
            self.bytes_moved += moved.bytes - size


@dataclass(frozen=True)
class Seen:
    """Rows that somebody should look at."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    """The first of them."""


@dataclass(frozen=True)
class About:
    """What a plan is, for whoever shows it."""

    key: str = ""
    """The name of its result's content."""
    operation: str = ""
    manifold: str = ""
    """In words."""
    url: str = ""
    """Where the result will lie."""
    created: float = 0.0
    """When that was begun: a result that went and is computed again is another."""
    blocks: int = 0
    """Those of the output; of an iteration, the start and the most steps there may be."""
    missing: tuple[int, ...] = ()
    """The blocks that were not stored; of an iteration, the step that comes next."""
    slots: int = 0
    """Tasks that run side by side."""
    device: str = ""
    """What they compute with, and the precision of surrogates."""
    task_bytes: int = 0
    """The memory that the plan states for a task, beyond its process."""
    flops: float = 0.0
    """Floating-point operations of all of its work, as `Plan.explain` states them; of an iteration,
    of a step."""
    bytes_to_read: int = 0
    """Bytes of input rows that all of its work reads, likewise."""
    chunk_bytes: int = 0
    """Bytes of a chunk of the storage of the largest input; 0 where it has none."""
    codec: str = ""
    """What it is decoded with."""
    known: Stats = field(default_factory=Stats)
    """What the tasks did whose results were found stored."""
    iterative: bool = False


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
    about: About = field(default_factory=About)


@dataclass(frozen=True)
class StepStarted:
    """An iteration begins a step, all of whose work is as much as that of the step before."""

    step: int
    stored: float
    """The part of its work that was found stored."""


@dataclass(frozen=True)
class StepDone:
    """An iteration has ended a step."""

    step: int
    measures: dict[str, float]
    """What tells how far it has converged, by name."""


@dataclass(frozen=True)
class TaskStarted:
    """A task is about to be handed over."""

    label: str
    """The name of the plan, the block, and the part of it."""
    block: int


@dataclass(frozen=True)
class TaskDone:
    """A task's objects are written."""

    work: float
    """The part of the plan's work that it was."""
    stats: Stats
    """What it did."""
    label: str = ""
    """As it started; empty where it was another process that ran it."""
    block: int = -1
    worker: str = ""
    """The process that ran it."""
    finishes: bool = False
    """Whether its block is finished with it."""
    rows: dict[str, Seen] = field(default_factory=dict)
    """Rows that somebody should look at: by the name of their count, and of what they are rows."""


@dataclass(frozen=True)
class TaskFailed:
    """A task has failed. What is told of it later is another try."""

    label: str
    block: int
    rows: tuple[int, int]
    """Those of the block, start and stop."""
    error: str
    """Its type and what it says."""
    final: bool
    """Whether the block is given up, or the run."""


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
    report: dict[str, Any] = field(default_factory=dict)
    """That of the complete result, as JSON."""
    manifold: str = ""
    """In words."""
    size: int = 0
    """Its bytes."""
    saved: float = 0.0
    """The seconds that it took to compute, of one that was found."""
    error: str = ""
    """The type of the error that stopped it, and what it says."""


@dataclass(frozen=True)
class Evicted:
    """Entries of the store were taken away, so that what is to come has room."""

    entries: int
    size: int
    """Bytes of all of them."""


Event = (
    PlanStarted | StepStarted | StepDone | TaskStarted | TaskDone | TaskFailed | Waited | PlanEnded
    | Evicted
)  # fmt: skip
Watcher = Callable[[Event], None]

_job: ContextVar[tuple[str, str]] = ContextVar("geodask-job", default=("", ""))
_others: ContextVar[tuple[Watcher, ...]] = ContextVar("geodask-watchers", default=())


@contextmanager
def as_job(id: str, name: str) -> Iterator[None]:
    """What runs inside is a job's."""
    token = _job.set((id, name))
    try:
        yield
    finally:
        _job.reset(token)


def current_job() -> tuple[str, str]:
    """The id and the name of the job that runs here; empty where it is none."""
    return _job.get()


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
