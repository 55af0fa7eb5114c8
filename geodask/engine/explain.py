"""What a plan will cost, in words and numbers."""

import math
from dataclasses import dataclass

from .html import Shown


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """The cost of a plan on the workers at hand, before it runs."""

    name: str
    rows: int
    """Output rows; of an iteration, the rows that it passes over."""
    blocks: int
    """Blocks of the output: of rows, or tiles of a matrix."""
    panels: int
    """Panels of the other side; 0 where there is none."""
    flops: float
    """Floating-point operations of the surrogate, or of the formula."""
    worst_flops: float
    """The same were every pair measured in float64."""
    bytes_read: int
    bytes_written: int
    base_bytes: int
    """Resident memory of a worker process before any data, its libraries loaded and tried."""
    task_bytes: int
    """Memory that one task takes beyond that."""
    held_bytes: int
    """What `compute` holds in this process besides; `persist` holds nothing."""
    slots: int
    """Tasks that run side by side."""
    slots_each: int
    """Tasks side by side in one process."""
    hours: float
    """Time for what is not stored yet, from a trial on these workers."""
    steps: int
    """The most passes of an iteration, 0 where there is none. Flops, bytes and hours are those of
    the next one: how many there will be is not known."""
    stored: float
    """Share of the tasks whose results are stored already."""
    hit: bool
    """Whether the result is complete in the store: then a run only reads."""
    url: str

    @property
    def worker_bytes(self) -> int:
        """Resident memory a worker will reach: base + task, for each task side by side."""
        return self.base_bytes + self.slots_each * self.task_bytes

    @property
    def facts(self) -> dict[str, str]:
        """All of it in words."""
        tasks = f"{self.blocks} blocks"
        if self.panels:
            tasks += f" x {self.panels} panels"
        if self.steps:
            tasks = f"at most {self.steps} steps, each {self.panels} panels"
        each = " a step" if self.steps else ""
        traffic = f"{size(self.bytes_read)} read, {size(self.bytes_written)} written{each}"
        state = "complete: a run only reads" if self.hit else f"{self.stored:.0%} of the tasks"
        return {
            "tasks": f"{tasks}, {self.slots} side by side",
            "flops": f"{self.flops:.3g}, at worst {self.worst_flops:.3g} in float64{each}",
            "traffic": traffic,
            "memory": f"{size(self.worker_bytes)} a worker: {size(self.base_bytes)} base"
            f" + {self.slots_each} x {size(self.task_bytes)} a task;"
            f" compute() holds {size(self.held_bytes)} more",
            "time": f"{duration(self.hours)}{each}",
            "stored": f"{state}, {self.url}",
        }

    @property
    def title(self) -> str:
        return f"Plan {self.name}: {self.rows} rows"


def size(count: float) -> str:
    """Bytes as people read them."""
    power = min(5, int(math.log(max(count, 1), 1024)))
    return f"{count / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[power]}"


def duration(hours: float) -> str:
    """A time as people say it."""
    if hours < 1 / 60:
        return f"{hours * 3600:.2g} seconds"
    if hours < 1:
        return f"{hours * 60:.2g} minutes"
    return f"{hours:.3g} hours" if hours < 100 else f"{hours / 24:.3g} days"
