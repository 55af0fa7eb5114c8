"""What an operation must say so that the engine can plan, run, resume and store it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..arrays.device import Place, place
from ..arrays.product import precision_for
from ..events import Seen, Stats
from ..storage.array import ArraySpec
from .base import Base
from .points import Points

PARTIALS = "partials"
"""The array of partial results, which goes when the blocks are finished."""
NOTED = 10
"""Rows of a kind that a task names."""
STATES = "states"
"""The array of an iteration's states, which goes when the result is there."""


@dataclass(frozen=True)
class Layout:
    """How the output is cut into blocks, of whole rows or of columns too, and the other side into
    panels.

    A function of sizes and dtypes alone, never of the machine: it decides what a task is and what
    is stored, so a run may go on anywhere. ``others`` is 0 where there is no other side.

    Where a result grows from another (``base``, by its key), only some rows are compared with all
    others (``asked``), and the rest with those of the others that are new (``come``). Both are
    (start, stop, how many there), as few as describe a task's work.
    """

    rows: int
    rows_per_block: int
    others: int = 0
    others_per_panel: int = 1
    base: str = ""
    asked: Sequence[Sequence[int]] = ()
    come: Sequence[Sequence[int]] = ()
    lost: float = 0.0
    """The part that is expected of rows that are asked as well, because the base's answer names
    others that are gone; 0 where none are."""
    iterative: bool = False
    """Blocks are the steps of an iteration over the other side's rows; block 0 is its start."""
    columns: int | None = None
    """Those of a matrix whose blocks are tiles; None where blocks are whole rows."""
    columns_per_block: int = 1
    symmetric: bool = False
    """Blocks are the tiles on and above the diagonal, and the transpose of each is stored too."""

    @property
    def blocks(self) -> int:
        down = math.ceil(self.rows / self.rows_per_block) if self.rows else 0
        return down * (down + 1) // 2 if self.symmetric else down * self._across

    @property
    def panels(self) -> int:
        return math.ceil(self.others / self.others_per_panel) if self.others else 0

    def block(self, i: int) -> tuple[int, int]:
        """The rows start, stop of block i."""
        row, _ = self._place(i)
        return row * self.rows_per_block, min((row + 1) * self.rows_per_block, self.rows)

    def columns_of(self, i: int) -> tuple[int, int]:
        """The columns start, stop of tile i."""
        assert self.columns is not None
        _, column = self._place(i)
        start = column * self.columns_per_block
        return start, min(start + self.columns_per_block, self.columns)

    def completes_rows(self, i: int) -> bool:
        """Whether block i holds the ends of its rows: each row has one such block."""
        return self._place(i)[1] == self._across - 1

    def chunks(self, i: int) -> list[int]:
        """The chunks of the result that block i writes: its own, and that of its transpose."""
        row, column = self._place(i)
        own, other = row * self._across + column, column * self._across + row
        return [own, other] if self.symmetric and row != column else [own]

    @property
    def _across(self) -> int:
        """Blocks side by side."""
        return 1 if self.columns is None else math.ceil(self.columns / self.columns_per_block)

    def _place(self, i: int) -> tuple[int, int]:
        """Block i as (row, column) of blocks."""
        if not self.symmetric:
            return divmod(i, self._across)
        # Column after column: the j before one have 1 + 2 + ... + j = j (j + 1) / 2 tiles.
        column = (math.isqrt(8 * i + 1) - 1) // 2
        return i - column * (column + 1) // 2, column

    def panel(self, p: int) -> tuple[int, int]:
        """The other side's rows start, stop of panel p."""
        return p * self.others_per_panel, min((p + 1) * self.others_per_panel, self.others)

    def panels_of(self, i: int) -> Sequence[int]:
        """The panels of which something is not known for block i."""
        if self.iterative and i == 0:
            return range(0)
        if not self.base or self.lost or _held(self.asked, *self.block(i)):
            return range(self.panels)
        return [p for p in range(self.panels) if _held(self.come, *self.panel(p))]

    def pairs(self, i: int, p: int) -> float:
        """Pairs of block i and panel p that are not known, as far as that can be foreseen."""
        return self._new(self.block(i), self.panel(p))

    @property
    def new_share(self) -> float:
        """The part of all pairs that is not known, as far as that can be foreseen."""
        new = self._new((0, self.rows), (0, self.others))
        return new / max(1, self.rows * self.others) if self.base else 1.0

    def _new(self, rows: tuple[int, int], others: tuple[int, int]) -> float:
        count, all_of_them = rows[1] - rows[0], others[1] - others[0]
        if not self.base:
            return count * all_of_them
        asked = _held(self.asked, *rows)
        asked += self.lost * (count - asked)
        return asked * all_of_them + (count - asked) * _held(self.come, *others)


def _held(spans: Sequence[Sequence[int]], start: int, stop: int) -> float:
    """How many of spans (start, stop, how many) lie in start:stop, as if evenly spread."""
    parts = ((max(0, min(b, stop) - max(a, start)) / (b - a), held) for a, b, held in spans)
    return sum(part * held for part, held in parts)


@dataclass(frozen=True)
class Budget:
    """Where a task computes and what it may hold: nothing here changes the bytes of a result.

    Libraries and devices are asked for by the client's settings and found where the task runs.
    """

    array: str
    device: str
    surrogate: str
    task_bytes: int | None = None
    """Memory for one task beyond the process itself; None where nothing limits it."""

    @property
    def place(self) -> Place:
        """The library and device of this process. Raises DeviceError where they are missing."""
        return place(self.array, self.device)

    def describe(self) -> tuple[str, str]:
        """This process's device, and the precision of its surrogates, in words."""
        return self.place.name(), precision_for(self.place, self.surrogate)


@dataclass(frozen=True)
class Cost:
    """What a plan will take, before it is run."""

    flops: float
    """Floating-point operations of the surrogate, or of the formula."""
    worst_flops: float
    """The same were every pair measured in float64."""
    bytes_read: int
    """Input rows read, over all tasks."""
    bytes_written: int
    """Result and partial results written."""
    task_bytes: int
    """Memory of one task beyond the process itself."""


@dataclass
class Work:
    """What one task works with, and what it notes."""

    inputs: tuple[Points, ...]
    layout: Layout
    budget: Budget
    stats: Stats
    state: np.ndarray | None = None
    """What an iteration's step begins with."""
    rows: dict[str, Seen] = field(default_factory=dict)
    """Rows that somebody should look at: by the name of their count, and of what they are rows."""

    def count_rows(self, kind: str, rows: np.ndarray, of: str = "rows") -> None:
        """Counts rows that somebody should look at, by their numbers: of the result, or of what is
        named."""
        if len(rows):
            setattr(self.stats, kind, getattr(self.stats, kind) + len(rows))
            known = self.rows.get(f"{kind} {of}", Seen())
            first = [*known.rows, *map(int, rows[: max(0, NOTED - known.count)])]
            self.rows[f"{kind} {of}"] = Seen(known.count + len(rows), first)

    def count_near_limit(self, x: Points, rows: np.ndarray, first: int, of: str) -> None:
        """Counts those whose coordinates have few digits left, among rows numbered from first."""
        self.count_rows("near_limit", first + np.flatnonzero(x.manifold.near_limit(rows)), of)


class Operation(ABC):
    """A frozen value: parameters and the functions of blocks. Its methods never see a cluster."""

    name: ClassVar[str]
    version: ClassVar[int]
    """Raised when the bytes of a result change."""
    reopens: ClassVar[bool] = True
    """Whether what the user gets is made of what is stored, and of nothing else."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The parameters that decide the result, as JSON."""

    def checks(self, position: int) -> bool:
        """Whether the rows of an input must be points of its manifold."""
        return True

    @property
    def family(self) -> dict[str, Any] | None:
        """The parameters of the results from which this one may grow; None where it cannot."""
        return None

    @property
    def columns(self) -> dict[str, int]:
        """The positions of inputs that are no points, but tell something of them, by a name."""
        return {}

    def grown(self, base: Base, inputs: tuple[Points, ...]) -> "Operation":
        """The same operation, which takes what is known from a stored result of its family.

        Raises DamagedBaseError where that cannot be read.
        """
        raise TypeError(f"{self.name} does not grow")

    def account(self, stats: Stats) -> float:
        """Adds to the tasks' counts what a base has counted; the share of pairs that it knew."""
        return 0.0

    @abstractmethod
    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        """The cut into tasks."""

    @abstractmethod
    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        """The arrays of the result, whose chunks are the blocks of the layout."""

    def partials(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec | None:
        """The array of partial results, one chunk for each (block, panel), or None."""
        return None

    def states(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec | None:
        """The array of an iteration's states, one chunk for each block, or None."""
        return None

    @abstractmethod
    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        """What it takes. Raises MemoryPlanError where no task fits the budget."""

    @abstractmethod
    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        """Work per second of one thread on synthetic rows of this kind; takes about a second."""

    def work(self, layout: Layout, block: int, panel: int | None) -> float:
        """The work of one task: pairs of rows, or rows where there is no other side."""
        if panel is not None:
            return float(layout.pairs(block, panel))
        start, stop = layout.block(block)
        return 0.0 if layout.panels else float(stop - start)

    def partial(self, work: Work, block: int, panel: int) -> np.ndarray:
        """The partial result of (block, panel)."""
        raise TypeError(f"{self.name} has no panels")

    @abstractmethod
    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        """The result's values in a block, from its partial results as they are read one by one."""

    @abstractmethod
    def result(self, plan: Any, arrays: dict[str, Any], report: Any) -> Any:
        """The value the user gets."""
