"""The rank of given rows among all rows by their distance from others, exactly."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..engine.operation import Budget, Cost, Layout, Operation, Work
from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report, Result, place_of
from ..engine.tasks import slices, stream
from ..kernels.counting import HELD, counting, row_ranks, sorted_marks
from ..kernels.lists import Lists, one_each
from ..kernels.search import PAIRS, TILE, measuring_bytes
from ..storage.array import ArraySpec
from .compared import check_points, pairs_layout
from .exclude import (
    column,
    heaviest,
    holds,
    list_bytes,
    mask_lists,
    read_integers,
    read_lists,
    selected,
    with_one,
)
from .pairs import Asked, asked
from .tiling import Tiling, fitting

GATHER_ROWS = 4096
"""Rows that are read at once, or a chunk of the storage, to gather a few of them."""


@dataclass(frozen=True)
class RanksResult(Result):
    """Of every pair the rank: Dask arrays after `persist`, numpy after `compute`."""

    ranks: Any
    """(p,) int64, from 1 on, in the order of the pairs as they were given."""
    distances: Any
    """(p,) float64 geodesic distances of the pairs, in the unit of the metric."""
    certified: Any
    """(p,) bool: right in real arithmetic, except among ranks closer than rounding."""
    report: Report
    plan: "RanksPlan"

    @property
    def mean_rank(self) -> float:
        """The mean of `ranks`: of all pairs, as they were given. NaN where there are none.

        Where ``exclude`` holds the pairs themselves, a row's targets do not count for each other:
        that is the mean rank of Nickel and Kiela (2017).
        """
        return float(np.mean(self.ranks)) if len(self.ranks) else math.nan

    @property
    def mean_average_precision(self) -> float:
        """The mean over the rows with pairs of the average precision of their targets (MAP).

        The targets of a row are the others of its pairs, each once. They are ranked among
        themselves and all rows that count, which are those not excluded. The precision at a target
        is the share of targets among what is ranked down to it; their mean over the targets of a
        row is its average precision. So it is the same whether ``exclude`` holds the pairs
        themselves or not. Without ``exclude`` it is the MAP of Nickel and Kiela (2017) in their
        reconstruction; with the pairs of training excluded, and those of a test asked for, it is
        that of their link prediction in the filtered setting. NaN where there are no pairs.
        """
        return self.plan.asked.mean_average_precision(np.asarray(self.ranks))

    def __repr__(self) -> str:
        where = place_of(self.ranks)
        return f"<ranks of {len(self.ranks)} pairs, {where}; certified {self.report.certified:.2%}>"


@dataclass(frozen=True)
class RanksPlan(Plan):
    """A plan for distinct pairs in their order, that knows in which they were asked for."""

    asked: Asked = field(repr=False, compare=False)


@dataclass(frozen=True)
class Ranks(Operation):
    """The ranks of pairs. Inputs: all rows; the queries' numbers; pairs (query, other), sorted;
    and, where some are excluded, the lists of the queries as starts and others."""

    heaviest: tuple[int, ...] = ()
    """Of the pairs that are excluded, the most of 1, 2, 4 ... queries; empty where none are."""

    reopens: ClassVar[bool] = False
    name: ClassVar[str] = "ranks"
    version: ClassVar[int] = 1

    def parameters(self) -> dict[str, Any]:
        return {"excluding": bool(self.heaviest)}

    def checks(self, position: int) -> bool:
        return position == 0

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        x, queries, pairs = inputs[:3]
        each = len(pairs) / max(1, len(queries))
        cut = pairs_layout(x.manifold.size, len(queries), len(x))
        rows = max(1, min(len(pairs), round(cut.rows_per_block * each)))
        return Layout(len(pairs), rows, len(x), cut.others_per_panel)

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        kinds = {"ranks": "int64", "distances": "float64", "certified": "bool"}
        p, rows = layout.rows, layout.rows_per_block
        return [ArraySpec(name, (p,), rows, kind) for name, kind in kinds.items()]

    def partials(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec:
        # For each pair: how many come before it, the bits of its rank, whether it is certified.
        rows = layout.rows_per_block
        return ArraySpec("partials", (layout.blocks * layout.panels * rows, 3), rows, "int64")

    def partial(self, work: Work, block: int, panel: int) -> np.ndarray:
        start, stop = work.layout.block(block)
        tiling = self._tiling(work.inputs, work.layout, work.budget)
        packed = np.empty((stop - start, 3), np.int64)
        for low in range(start, stop, tiling.rows):
            pairs = read_integers(work.inputs[2], low, min(low + tiling.rows, stop))
            part = packed[low - start :][: len(pairs)]
            self._count(work, pairs, (*work.layout.panel(panel), tiling.step), part)
        return packed

    def _count(
        self, work: Work, pairs: np.ndarray, panel: tuple[int, int, int], packed: np.ndarray
    ) -> None:
        """The rows of a panel (start, stop, step) that come before each of some pairs, packed."""
        x, budget, stats = work.inputs[0], work.budget, work.stats
        first, last = int(pairs[0, 0]), int(pairs[-1, 0]) + 1
        numbers = read_integers(work.inputs[1], first, last)
        rows, others = pairs[:, 0] - first, pairs[:, 1]
        queries, found = (x[some].read(0, len(some)) for some in (numbers, others))
        stats.bytes_read += queries.nbytes + found.nbytes
        with stats.timing_kernel():
            ranks = row_ranks(x.manifold, queries, rows, found, np.arange(len(found)))
            del found
            marks, order = sorted_marks(rows, ranks, others)
            hidden = self._excluded(work.inputs, first, numbers)
            where = budget.place, budget.surrogate
            running = counting(x.manifold, queries, marks, *where, hidden)
        for number, block in stream(x, slices(*panel), stats):
            with stats.timing_kernel():
                running.fold(block, number)
        packed[order, 0] = running.counts()
        packed[:, 1] = ranks.view(np.int64)
        packed[:, 2] = running.certified[rows] & ~np.isnan(ranks)
        stats.pairs += running.pairs
        stats.measured += running.measured

    def _excluded(self, inputs: tuple[Points, ...], first: int, numbers: np.ndarray) -> Lists:
        if self.heaviest:
            return read_lists(inputs[-2:], first, first + len(numbers))
        return one_each(numbers)

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        start, stop = work.layout.block(block)
        total, certified, bits = np.ones(stop - start, np.int64), np.ones(stop - start, bool), None
        for part in parts:
            total += part[: stop - start, 0]
            certified &= part[: stop - start, 2] != 0
            bits = part[: stop - start, 1]
        ranks = np.ascontiguousarray(bits).view(np.float64)
        distances = work.inputs[0].manifold.rank_to_dist(ranks)
        return {"ranks": total, "distances": distances, "certified": certified}

    # --- cost -----------------------------------------------------------------------------------

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x, queries = inputs[:2]
        tiling = self._tiling(inputs, layout, budget)
        compared = float(len(queries)) * len(x)
        passes = layout.blocks * math.ceil(layout.rows_per_block / tiling.rows)
        padded = layout.blocks * layout.rows_per_block
        return Cost(
            flops=2 * x.manifold.size * compared,
            worst_flops=8 * x.manifold.size * compared,
            bytes_read=(passes * len(x) + layout.panels * 2 * layout.rows) * x.row_bytes,
            bytes_written=padded * (17 + layout.panels * 24),
            task_bytes=self._task_bytes(inputs, layout, tiling),
        )

    def _tiling(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Tiling:
        needs = partial(self._task_bytes, inputs, layout)
        return fitting(self.name, inputs[0], layout, needs, budget.task_bytes)

    def _task_bytes(self, inputs: tuple[Points, ...], layout: Layout, tiling: Tiling) -> int:
        x, rows, step = inputs[0], tiling.rows, tiling.step
        n, stored, kernel = x.manifold.size, x.dtype.itemsize, max(4, x.dtype.itemsize)
        extra = x.manifold.working_bytes
        # A query for each pair at worst: as stored, as operands, and what is known of the pair.
        queries = rows * (n * (stored + kernel + 4 + extra) + 160) + layout.rows_per_block * 24
        queries += list_bytes(self.heaviest, rows)
        queries += 2 * max(each.source.decoded_bytes for each in inputs[1:])
        # To gather rows, whole chunks or runs of rows are read.
        reach = max(x.source.decoded_bytes, min(GATHER_ROWS, len(x)) * x.row_bytes)
        gathering = rows * n * (stored + kernel) + 3 * reach
        # A slice in use, its operands, one being read and its chunks being decoded.
        targets = step * (n * (kernel + 4 + extra + 3 * stored) + 64)
        targets += 2 * max(0, x.source.decoded_bytes - step * x.row_bytes)
        # The product's tile twice, the candidates of its rows, and those that are measured.
        tile = min(TILE[0], rows)
        buffers = tile * (2 * 4 * min(TILE[1], step) + 28 * HELD)
        buffers += measuring_bytes(x.manifold) + 48 * min(
            PAIRS, tile * max(HELD, min(TILE[1], step))
        )
        merging = layout.rows_per_block * 96
        return int(max(queries + max(gathering, targets + buffers), merging))

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        """With marks among the nearest hundredth: what is farther is quick to rule out."""
        manifold = inputs[0].manifold
        x, y = (manifold.random(rows, seed=seed).astype(np.float32) for rows, seed in DRAWN)
        each = np.arange(len(x))
        ranks = [row_ranks(manifold, x, each, y[:100], np.full_like(each, j)) for j in range(100)]
        marks, _ = sorted_marks(each, np.min(ranks, axis=0), np.zeros_like(each))
        running = counting(manifold, x, marks, budget.place, budget.surrogate)
        running.fold(y, 1)  # compiles
        begin, folds = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.5:
            running.fold(y, 1)
            folds += 1
        rate = folds * len(x) * len(y) / (time.perf_counter() - begin)
        return rate * len(inputs[2]) / max(1, len(inputs[1]))  # the layout counts pairs

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> RanksResult:
        given = {name: plan.asked.in_given_order(values) for name, values in arrays.items()}
        return RanksResult(**given, report=report, plan=plan)


DRAWN = ((1024, 0), (8192, 1))
"""Rows and seeds of a trial."""


def ranks(x: Points, pairs: Any, *, exclude: Any = None) -> Plan:
    """A plan for the rank of ``other`` among all rows by distance from ``row``, for many pairs.

    Parameters
    ----------
    x : Points
        All rows, (n, *point_shape).
    pairs : array of int
        Pairs (row, other) of row numbers, (p, 2), in any order, such as the edges of a graph.
    exclude : array or sparse matrix, optional
        Pairs of rows that do not count, such as other known edges (the filtered setting of link
        prediction): a boolean mask (n, n), or a scipy sparse matrix of that shape, of which what is
        stored and not zero is excluded. Pairs that are asked for may be among them.

    Returns
    -------
    Plan
        Whose `RanksResult` holds ``ranks`` and ``distances``, ``mean_rank`` and
        ``mean_average_precision``.

    Raises
    ------
    ValueError
        Where a pair is of a row with itself.
    IndexError
        Where there is no such row.
    SpecError
        Where pairs are no pairs of integers, or exclude is no such mask.

    Notes
    -----
    The rank of a pair is 1 plus the number of rows that come before ``other``, in the order of
    `knn`: by rank in float64, then by row number. The row itself and what is excluded do not count.
    A task compares the rows of its pairs with a panel of all rows, and measures in float64 what may
    be as near as the farthest ``other`` of a row: time grows with the ranks, up to that of
    measuring every pair. Rows without pairs cost nothing.
    """
    check_points("ranks", x)
    rows, others, order = asked(pairs, len(x))
    numbers, queries = np.unique(rows, return_inverse=True)
    inputs = (x, column(numbers), column(np.stack([queries, others], axis=1)))
    lists = one_each(numbers)
    if exclude is not None:
        lists = with_one(selected(mask_lists(exclude, (len(x), len(x))), numbers), numbers)
    if len(lists.others) == len(numbers):
        known = Asked(rows, order, np.zeros(len(rows), bool))
        return RanksPlan(Ranks(), inputs, known)
    known = Asked(rows, order, holds(lists, queries, others))
    lists_of = column(lists.starts), column(lists.others)
    return RanksPlan(Ranks(heaviest(lists)), (*inputs, *lists_of), known)
