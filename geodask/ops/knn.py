"""k nearest neighbours of every row, exactly."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from ..engine.base import Base
from ..engine.operation import Budget, Cost, Layout, Work
from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report
from ..engine.tasks import slices, stream
from ..events import Stats
from ..kernels.lists import LEFT_OUT, Lists, one_each
from ..kernels.nearest import Answer, merge, nearest, nobody, pack, unpack
from ..kernels.search import TILE, measuring_bytes
from ..storage.array import ArraySpec
from .compared import QUERIES, TARGETS, Compared, check_points, pairs_layout
from .exclude import (
    check_left,
    column,
    excluded_lists,
    heaviest,
    list_bytes,
    read_integers,
    read_lists,
    selected,
)
from .growing import Growth, growth
from .neighbours import KnnResult
from .tiling import Tiling
from .where import labels_of, left

K_MAX = 1000


@dataclass(frozen=True)
class Knn(Compared):
    """The k rows of the targets nearest to each query; the targets may be the queries."""

    k: int
    itself: bool
    """One data set against itself: a row is not its own neighbour."""
    heaviest: tuple[int, ...] = ()
    """Of the pairs that are excluded, the most of 1, 2, 4 ... rows; empty where none are."""
    labelled: bool = False
    """Whether the last two inputs are labels, of queries and targets."""
    growth: Growth | None = None
    """What is to be compared, where a stored result knows the rest."""

    name: ClassVar[str] = "knn"
    version: ClassVar[int] = 2

    @property
    def label(self) -> str:
        return f"knn with k={self.k}"

    def parameters(self) -> dict[str, Any]:
        excluding = {"excluding": True} if self.heaviest else {}
        labelled = {"labelled": True} if self.labelled else {}
        return {"k": self.k, "itself": self.itself, **excluding, **labelled}

    def excluded(self, inputs: tuple[Points, ...], start: int, stop: int) -> Lists | None:
        """For each query of start:stop the targets that it must not find; None where it may all."""
        if self.heaviest:
            first = 1 if self.itself else 2
            return read_lists(inputs[first : first + 2], start, stop)
        return one_each(np.arange(start, stop)) if self.itself else None

    def query_labels(self, inputs: tuple[Points, ...], rows: Any) -> np.ndarray | None:
        """The labels of some queries, where there are any."""
        if not self.labelled:
            return None
        labels = inputs[-2][rows]
        return read_integers(labels, 0, len(labels))

    def target_labels(self, inputs: tuple[Points, ...], start: int, stop: int) -> np.ndarray | None:
        """The labels of some targets, where there are any."""
        return read_integers(inputs[-1], start, stop) if self.labelled else None

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        x, y = self.sides(inputs)
        layout = pairs_layout(x.manifold.size, len(x), len(y), (1 << 23) // self.k)
        return layout if self.growth is None else self.growth.layout(layout, self.k)

    @property
    def family(self) -> dict[str, Any]:
        return {"k": self.k, "itself": self.itself}

    @property
    def columns(self) -> dict[str, int]:
        names = ["starts", "others"] if self.heaviest else []
        names += ["ours", "theirs"] if self.labelled else []
        return {name: position for position, name in enumerate(names, 1 if self.itself else 2)}

    def grown(self, base: Base, inputs: tuple[Points, ...]) -> "Knn":
        columns = {name: inputs[position] for name, position in self.columns.items()}
        return replace(self, growth=growth(base, self.sides(inputs), self.itself, columns))

    def account(self, stats: Stats) -> float:
        return 0.0 if self.growth is None else self.growth.account(stats)

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        n, rows = layout.rows, layout.rows_per_block
        return [
            ArraySpec("indices", (n, self.k), rows, "int64"),
            ArraySpec("distances", (n, self.k), rows, "float64"),
            ArraySpec("certified", (n,), rows, "bool"),
            ArraySpec("ranks", (n, self.k), rows, "float64"),  # from which a result grows
        ]

    def partials(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec:
        rows = layout.rows_per_block
        shape = (layout.blocks * layout.panels * rows, 2 * self.k + 2)
        return ArraySpec("partials", shape, rows, "int64", ragged=True)

    def partial(self, work: Work, block: int, panel: int) -> np.ndarray:
        (start, stop), (first, last) = work.layout.block(block), work.layout.panel(panel)
        tiling = self.tiling(work.inputs, work.layout, work.budget)
        tiles = pairwise([*range(start, stop, tiling.rows), stop])
        searches = [each for tile in tiles for each in self._searches(*tile, first, last)]
        packed = np.empty((sum(len(rows) for rows, _ in searches), 2 * self.k + 2), np.int64)
        done = 0
        for rows, new in searches:
            found = self._search(work, rows, slices(first, last, tiling.step), new)
            pack(rows - start, found, packed[done : done + len(rows)])
            done += len(rows)
        return packed

    def _searches(
        self, low: int, high: int, first: int, last: int
    ) -> Iterator[tuple[np.ndarray, Growth | None]]:
        """Some of the queries low:high, and whether they meet only what has come in first:last."""
        rows = np.arange(low, high)
        if self.growth is None:
            yield rows, None
            return
        asked = self.growth.asked(low, high)
        if asked.any():
            yield rows[asked], None
        if not asked.all() and self.growth.come.mask(first, last).any():
            yield rows[~asked], self.growth

    def _search(
        self, work: Work, rows: np.ndarray, spans: list[tuple[int, int]], new: Growth | None
    ) -> Answer:
        """The nearest of some targets to some queries, both by their numbers.

        ``new``: that nothing is asked but targets that have come.
        """
        (x, y), budget, stats = self.sides(work.inputs), work.budget, work.stats
        first, stop = int(rows[0]), int(rows[-1]) + 1
        queries, hidden = x.read(first, stop), self.excluded(work.inputs, first, stop)
        ours = self.query_labels(work.inputs, slice(first, stop))
        if len(rows) < stop - first:
            queries = queries[rows - first]
            hidden = None if hidden is None else selected(hidden, rows - first)
            ours = None if ours is None else ours[rows - first]
        with stats.timing_kernel():
            running = nearest(y.manifold, queries, self.k, budget.place, budget.surrogate, hidden)
        if ours is not None:
            running.keep_apart(ours)
        if new is not None:
            running.limit(new.limits(rows))
            spans = new.come.narrowed(spans)
        for number, block in stream(y, spans, stats):
            labels = self.target_labels(work.inputs, number, number + len(block))
            if new is not None:
                there = new.come.mask(number, number + len(block))
                labels = np.where(there, 0 if labels is None else labels, LEFT_OUT)
            with stats.timing_kernel():
                running.fold(block, number, labels)
            if first == 0 and self.growth is None and not self.itself:
                work.count_near_limit(y, block, number, TARGETS)
        if spans[0][0] == 0 and self.growth is None:
            near = y.manifold.near_limit(queries)
            work.count_rows("near_limit", rows[np.asarray(near, bool)], QUERIES)
        stats.pairs += running.pairs
        stats.measured += running.measured
        with stats.timing_kernel():
            return running.result()

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        start, stop = work.layout.block(block)
        held = nobody(stop - start, self.k)
        if self.growth is not None:
            held = self.growth.known(start, stop, self.k)
            step = self.tiling(work.inputs, work.layout, work.budget).step
            self.growth.count_near_limit(work, self.sides(work.inputs), block, step)
        for part in parts:
            rows, new = unpack(part)
            joined = merge(held.cut(rows), new)
            for values, better in zip(held, joined, strict=True):
                values[rows] = better
        return {**held._asdict(), "distances": work.inputs[0].manifold.rank_to_dist(held.ranks)}

    # --- cost -----------------------------------------------------------------------------------

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x, y = self.sides(inputs)
        tiling = self.tiling(inputs, layout, budget)
        pairs = float(layout.rows) * layout.others * layout.new_share
        passes = math.ceil(layout.rows_per_block / tiling.rows)
        padded = layout.blocks * layout.rows_per_block
        return Cost(
            flops=2 * x.manifold.size * pairs,
            worst_flops=8 * x.manifold.size * pairs,
            bytes_read=int(layout.blocks * passes * len(y) * y.row_bytes * layout.new_share)
            + layout.panels * len(x) * x.row_bytes,
            bytes_written=padded * (24 * self.k + 1)
            + layout.rows * layout.panels * 8 * (2 * self.k + 2),
            task_bytes=self.task_bytes(inputs, layout, tiling),
        )

    def task_bytes(self, inputs: tuple[Points, ...], layout: Layout, tiling: Tiling) -> int:
        x, y = self.sides(inputs)
        n, k, rows, step = x.manifold.size, self.k, tiling.rows, tiling.step
        extra = x.manifold.working_bytes
        stored, kernel = x.dtype.itemsize, max(4, x.dtype.itemsize, y.dtype.itemsize)
        # Queries as stored, as operands, and their running answer packed and not.
        queries = (
            rows * (n * (stored + kernel + 4 + extra) + 32 * k + 64)
            + layout.rows_per_block * 16 * k
        )
        # A slice in use, its operands, one being read and its chunks being decoded.
        targets = step * (n * (kernel + 4 + extra + 3 * y.dtype.itemsize) + 64)
        # Chunks that are decoded whole for fewer rows: as bytes and as an array.
        targets += 2 * max(0, y.source.decoded_bytes - step * y.row_bytes)
        if self.heaviest:
            queries += list_bytes(self.heaviest, rows)
            queries += 2 * max(each.source.decoded_bytes for each in inputs[1:])
        if self.labelled:  # as stored, as integers, sorted, and the pairs of a tile
            queries += 64 * (rows + step) + 32 * min(TILE[0], rows) * min(TILE[1], step)
        if self.growth is not None:
            queries += self.growth.task_bytes(k, rows) + 2 * layout.others_per_panel
        reading = queries + 2 * x.source.decoded_bytes  # before any target is there
        # The product's tile twice, the candidates of its rows, and those that are measured.
        tile = min(TILE[0], rows)
        buffers = tile * (2 * 4 * min(TILE[1], step) + 28 * max(64, 4 * k))
        buffers += measuring_bytes(x.manifold)
        # Or a merge: what is held and what comes, side by side and sorted.
        merging = layout.rows_per_block * 8 * (2 * k + 2) * 6
        return int(max(queries + targets + buffers, reading, merging))

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        manifold = inputs[0].manifold
        x = manifold.random(2048, seed=0).astype(np.float32)
        y = manifold.random(8192, seed=1).astype(np.float32)
        k = min(self.k, 64)
        running = nearest(manifold, x, k, budget.place, budget.surrogate)
        running.fold(y, 0)  # compiles, and tightens the thresholds as a long panel does
        seconds, number = [], 1
        while sum(seconds) < 1.0 and number < 20:
            begin = time.perf_counter()
            running.fold(y, number * len(y))
            seconds.append(time.perf_counter() - begin)
            number += 1
        return len(x) * len(y) / sorted(seconds)[len(seconds) // 2]

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> KnnResult:
        known = {name: values for name, values in arrays.items() if name != "ranks"}
        return KnnResult(**known, report=report, plan=plan)


def knn(
    x: Points, y: Points | None = None, *, k: int, exclude: Any = None, where: Any = None
) -> Plan:
    """A plan for the k nearest rows of ``y`` to every row of ``x``, by geodesic distance.

    Parameters
    ----------
    x : Points
        The queries, (n, *point_shape).
    y : Points, optional
        The rows that are searched, (m, *point_shape), on the same manifold. Without it, the rows of
        ``x`` themselves, where a row is not its own neighbour (its duplicates are).
    k : int
        Neighbours a row, 1 to 1000, and no more than there are rows to choose from.
    exclude : array or sparse matrix, optional
        Known pairs that must not be returned, such as the edges of a graph: a boolean mask (n, m),
        or a scipy sparse matrix of that shape, of which what is stored and not zero is excluded.
    where : array, optional
        Which rows may be found. A boolean mask (m,): those where it is True. Or labels (n,),
        integers or strings: rows of one label do not find each other, such as the pages of one
        document; between two sets a pair of them, (n,) and (m,).

    Returns
    -------
    Plan
        Whose `KnnResult` holds ``indices``, ``distances`` and ``certified``.

    Raises
    ------
    ValueError
        Where k exceeds the rows there are, or those that a row may choose from, or is not positive.
    SpecError
        Where x and y lie on different manifolds, or exclude or where is no such array.

    Notes
    -----
    Exact: neighbours are ordered by (rank, row number), where the rank is computed in float64 from
    the two rows alone. The bytes do not depend on chunks, threads, executors, libraries or devices.
    """
    check_points("knn", x, y)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be a positive integer, but k={k!r} came. Pass 1 or more.")
    available = len(x) - 1 if y is None else len(y)
    if len(x) and k > available:
        raise ValueError(
            f"k must be at most the number of rows to choose from, {max(available, 0)}, "
            f"but k={k} came. Pass a smaller k."
        )
    if k > K_MAX:
        raise ValueError(
            f"k must be at most {K_MAX}, but k={k} came. "
            "For more neighbours use a radius, or the full distances."
        )
    inputs = (x,) if y is None else (x, y)
    own = np.arange(len(x)) if y is None else None
    targets = len(inputs[-1])
    lists = excluded_lists(exclude, (len(x), targets), own)
    labels = labels_of(where, len(x), targets, y is None)
    operation = Knn(int(k), y is None, heaviest(lists) if lists else (), labels is not None)
    if labels is not None:
        check_left(left(labels, lists, own is not None), k, "where")
    elif lists is not None:
        check_left(targets - np.diff(lists.starts), k, "exclude")
    more = [*(lists or ()), *(labels or ())]
    return Plan(operation, (*inputs, *map(column, more)))
