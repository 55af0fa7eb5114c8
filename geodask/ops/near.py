"""Pairs of rows within a radius: how many each row has, and the pairs piece by piece."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arrays.select import ranges
from ..engine.operation import Budget, Cost, Layout, Work
from ..engine.points import Points
from ..engine.result import Report
from ..engine.tasks import slices, stream
from ..errors import StoreError
from ..kernels.counting import HELD
from ..kernels.search import PAIRS
from ..kernels.within import Found, Within, within
from ..storage.array import ArraySpec
from .compared import Compared, pairs_layout, shortest_pairs
from .exclude import read_integers
from .knn import Knn
from .tiling import Tiling

PIECE = (1 << 12, 1 << 21)
"""Pairs of a piece: so many that a task is long enough, and in memory 24 bytes each."""


@dataclass(frozen=True)
class NearPairs(Compared):
    """What both passes share."""

    reopens: ClassVar[bool] = False
    radius: float
    itself: bool
    """One data set against itself: a pair stands once, its lower row first."""

    def parameters(self) -> dict[str, Any]:
        radius = self.radius if math.isfinite(self.radius) else "infinite"
        return {"radius": radius, "itself": self.itself}

    def search(
        self, work: Work, low: int, high: int, targets: tuple[int, int, int], keep: bool = True
    ) -> Iterator[Within]:
        """The search of rows low:high among targets (start, stop, step), after each slice."""
        x, y = self.sides(work.inputs)
        budget, stats = work.budget, work.stats
        start, stop, step = targets
        start = max(start, low) if self.itself else start
        with stats.timing_kernel():
            where = budget.place, budget.surrogate
            running = within(x.manifold, x.read(low, high), self.radius, *where)
        if not keep:
            running.only_count()
        if self.itself:
            running.only_after(np.arange(low, high))
        for number, block in stream(y, slices(start, max(start, stop), step), stats):
            with stats.timing_kernel():
                running.fold(block, number)
            yield running
        stats.pairs += running.pairs
        stats.measured += running.measured

    def work(self, layout: Layout, block: int, panel: int | None) -> float:
        if panel is None or not self.itself:
            return super().work(layout, block, panel)
        (start, stop), (first, last) = layout.block(block), layout.panel(panel)
        return float(stop - start) * max(0, last - max(first, start))

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        return Knn(min(10, max(1, len(inputs[0]))), self.itself).trial(inputs, budget)

    def task_bytes(self, inputs: tuple[Points, ...], layout: Layout, tiling: Tiling) -> int:
        """Memory of a search: that of a kNN with buffers of this size, and pairs being measured."""
        sides = self.sides(inputs)[: 1 if self.itself else 2]
        buffers = Knn(HELD // 4, self.itself)
        return buffers.task_bytes(sides, replace(layout, rows_per_block=1), tiling) + 96 * PAIRS


@dataclass(frozen=True)
class Degrees(NearPairs):
    """How many pairs each row has."""

    name: ClassVar[str] = "within-degrees"
    version: ClassVar[int] = 1

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        x, y = self.sides(inputs)
        return pairs_layout(x.manifold.size, len(x), len(y))

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        n, rows = layout.rows, layout.rows_per_block
        return [
            ArraySpec("degrees", (n,), rows, "int64"),
            ArraySpec("certified", (n,), rows, "bool"),
        ]

    def partials(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec:
        # For each row: how many pairs, and whether it is certified.
        rows = layout.rows_per_block
        return ArraySpec("partials", (layout.blocks * layout.panels * rows, 2), rows, "int64")

    def partial(self, work: Work, block: int, panel: int) -> np.ndarray:
        start, stop = work.layout.block(block)
        tiling = self.tiling(work.inputs, work.layout, work.budget)
        packed = np.zeros((stop - start, 2), np.int64)
        packed[:, 1] = 1
        for low in range(start, stop, tiling.rows):
            high = min(low + tiling.rows, stop)
            part = packed[low - start : high - start]
            targets = (*work.layout.panel(panel), tiling.step)
            for running in self.search(work, low, high, targets, keep=False):
                part[:, 0], part[:, 1] = running.counts, running.certified
        return packed

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        start, stop = work.layout.block(block)
        degrees, certified = np.zeros(stop - start, np.int64), np.ones(stop - start, bool)
        for part in parts:
            degrees += part[: stop - start, 0]
            certified &= part[: stop - start, 1] != 0
        return {"degrees": degrees, "certified": certified}

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x, y = self.sides(inputs)
        tiling = self.tiling(inputs, layout, budget)
        pairs = float(layout.rows) * layout.others / (2 if self.itself else 1)
        passes = layout.blocks * math.ceil(layout.rows_per_block / tiling.rows)
        return Cost(
            flops=2 * x.manifold.size * pairs,
            worst_flops=8 * x.manifold.size * pairs,
            bytes_read=passes * len(y) * y.row_bytes + layout.panels * len(x) * x.row_bytes,
            bytes_written=layout.blocks * layout.rows_per_block * (9 + 16 * layout.panels),
            task_bytes=self.task_bytes(inputs, layout, tiling),
        )

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> Any:
        return arrays, report


@dataclass(frozen=True)
class Pairs(NearPairs):
    """The pairs, of which it is known how many each row has.

    Inputs besides: the degrees, and for each border of pieces a row and a place among its pairs.
    """

    total: int
    piece: int
    products: float = 0.0
    """Pairs that the products rule out or not, of all pieces together."""

    name: ClassVar[str] = "within"
    version: ClassVar[int] = 1

    def work(self, layout: Layout, block: int, panel: int | None) -> float:
        start, stop = layout.block(block)
        return self.products * (stop - start) / max(1, self.total)

    def task_bytes(self, inputs: tuple[Points, ...], layout: Layout, tiling: Tiling) -> int:
        # The piece, and at worst as many pairs in a slice and its rows at both ends, sorted.
        return (
            super().task_bytes(inputs, layout, tiling)
            + 24 * self.piece
            + 96 * (self.piece + 2 * tiling.step)
        )

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        return Layout(self.total, self.piece)

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        kinds = {"row": "int64", "other": "int64", "distance": "float64"}
        return [ArraySpec(name, (self.total,), self.piece, kind) for name, kind in kinds.items()]

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        x, y = self.sides(work.inputs)
        start, stop = work.layout.block(block)
        (first, skipped), (last, taken) = read_integers(work.inputs[-1], block, block + 2)
        last += taken > 0  # of which some pairs belong to this piece
        degrees = read_integers(work.inputs[-2], first, last)
        places = np.cumsum(degrees) - degrees - skipped
        row, other = (np.full(stop - start, -1) for _ in range(2))
        ranks = np.empty(stop - start)
        tiling = self.tiling(work.inputs, work.layout, work.budget)
        for low in range(first, last, tiling.rows):
            high = min(low + tiling.rows, last)
            here = places[low - first : high - first]
            for running in self.search(work, low, high, (0, len(y), tiling.step)):
                found = running.take()
                at, here = _places(found, here)
                kept = (at >= 0) & (at < stop - start)
                row[at[kept]], other[at[kept]] = found.rows[kept] + low, found.numbers[kept]
                ranks[at[kept]] = found.ranks[kept]
        if (row < 0).any():
            raise StoreError("The pairs must be those that were counted, but some are missing.")
        return {"row": row, "other": other, "distance": x.manifold.rank_to_dist(ranks)}

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x, y = self.sides(inputs)
        tiling = self.tiling(inputs, layout, budget)
        pairs = float(len(x)) * len(y) / (2 if self.itself else 1)
        return Cost(
            flops=2 * x.manifold.size * pairs,
            worst_flops=8 * x.manifold.size * pairs,
            bytes_read=layout.blocks * len(y) * y.row_bytes + len(x) * x.row_bytes,
            bytes_written=24 * layout.blocks * layout.rows_per_block,
            task_bytes=self.task_bytes(inputs, layout, tiling),
        )

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> Any:
        return arrays, report


def _places(found: Found, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where pairs lie, those of each row from its place on; and the places behind them."""
    counts = np.bincount(found.rows, minlength=len(places))
    return ranges(places, counts), places + counts


def piece_pairs(n: int, rows: int, others: int, total: int) -> int:
    """Pairs of a piece, so that the rows they belong to are worth a task."""
    worth = shortest_pairs(n) / max(1, others)
    least, most = PIECE
    return int(min(max(least, worth * total / max(1, rows)), most))


def borders(degrees: np.ndarray, piece: int, total: int) -> np.ndarray:
    """For the first pair of each piece and for the end: its row, and its place among the row's."""
    ends = np.cumsum(degrees)
    firsts = np.minimum(np.arange(-(-total // piece) + 1) * piece, total)
    rows = np.searchsorted(ends, firsts, side="right")
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    return np.stack([rows, firsts - starts[rows]], axis=1)
