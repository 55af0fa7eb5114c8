"""The k nearest rows of a stream of blocks, exactly, by (rank, row number).

A surrogate of the rank (one product of matrices in low precision, with a proven bound) leaves for
each row a few columns that may belong to its nearest. Those are measured: their ranks are computed
in float64 in one fixed order of operations. What has been measured tightens the threshold, so
little is measured twice as much as needed, and no more than a fixed buffer is ever held. Where the
bound rules nothing out (a thousand equal rows), everything is measured, and the answer is the same.

    Nearest            the running answer for one block of queries: `fold` blocks of targets into it
    HostNearest        products by BLAS or oneDNN, selection by the compiled loops of `scan`
    DeviceNearest      the same in array operations alone, for GPUs
    merge              partial answers over disjoint targets into one
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays.device import Place, to_host
from ..arrays.namespace import namespace
from ..arrays.product import HostProduct, device_product, precision_for
from ..arrays.select import smallest
from ..manifolds.base import Manifold, Rows, Targets, rows_of

NOBODY = np.iinfo(np.int64).max
"""The row number in a place not yet filled: it is after every other."""

TILE = (1024, 2048)
"""Query rows by target rows of one product: in bfloat16 4 MiB, a processor's cache."""

DEVICE_TILE = (2048, 8192)
"""The same on a GPU; the pairs of one tile, were all of them possible, still fit beside it."""

PAIRS = 1 << 20
"""How many pairs are measured at once."""

GATHERED = 1 << 27
"""How many coordinates of them are gathered at once on a GPU: in float64 1 GiB a side."""


@dataclass
class Nearest(ABC):
    """The running answer: for each query the k least (rank, row number) so far.

    ``x`` is a block of one query or more, ``own`` the row number of its first row among the targets
    where the two sides are the same data (a row is not its own neighbour), or None. `fold` may be
    called with the targets in any order and in blocks of any size: the answer is the same.
    """

    manifold: Manifold
    x: np.ndarray
    k: int
    place: Place
    precision: str = "auto"
    own: int | None = None
    pairs: int = 0
    """Pairs considered so far."""
    measured: int = 0
    """Pairs whose rank was computed in float64."""
    ranks: Any = field(init=False)
    indices: Any = field(init=False)
    certified: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.precision = self.manifold.precision(precision_for(self.place, self.precision))
        self.certified = np.ones(len(self.x), bool)

    @abstractmethod
    def fold(self, y: np.ndarray, first: int) -> None:
        """Takes in the targets ``y`` (rows, n), whose first row has the number ``first``."""

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row numbers (q, k) int64, ranks (q, k) float64, certified (q,) bool.

        Where fewer than k targets came, the tail holds NOBODY and infinity.
        """
        return to_host(self.indices), to_host(self.ranks), self.certified

    def _count(self, targets: Targets, slack: Any, rows: int) -> None:
        """Rows whose bound is not a number (NaN, infinity in the data) cannot be certified."""
        self.pairs += len(self.x) * rows
        sound = math.isfinite(targets.below) and bool(np.isfinite(to_host(targets.above)).all())
        self.certified &= np.isfinite(to_host(slack)) & sound


class HostNearest(Nearest):
    """The running answer, by compiled loops over tiles in host memory."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rows = rows_of(self.manifold, self.x)
        self.queries = self.manifold.queries(self.rows, self.precision)
        self.ranks = np.full((len(self.x), self.k), math.inf)
        self.indices = np.full((len(self.x), self.k), NOBODY)
        q = min(TILE[0], len(self.x))
        capacity = max(64, 4 * self.k)
        tile = q, TILE[1]
        self._tile = (
            self.queries.scores(tile)
            if self.queries.scores
            else HostProduct(self.place.library, self.precision, tile)
        )
        self._buffer = (
            np.empty((q, capacity), np.int32),
            np.empty((q, capacity), np.float32),
            np.empty((q, capacity), np.float32),
            np.zeros(q, np.int32),
        )
        self._pairs = np.empty((2, q * capacity), np.int64)

    @np.errstate(over="ignore")  # of a rank in another frame, whose floor is then minus infinity
    def fold(self, y: np.ndarray, first: int) -> None:
        if len(y) == 0:
            return
        block = rows_of(self.manifold, y)
        targets = self.manifold.targets(block, self.queries.frame, self.precision)
        self._count(targets, self.queries.slack, len(y))
        for begin in range(0, len(self.x), TILE[0]):
            self._fold_rows(slice(begin, min(begin + TILE[0], len(self.x))), block, targets, first)

    def _fold_rows(self, part: slice, block: Rows, targets: Targets, first: int) -> None:
        from .scan import scan

        count = part.stop - part.start
        slack = self.queries.slack[part]
        twice = 2 * slack + targets.below
        own = np.full(count, -1)
        if self.own is not None:
            own = np.arange(part.start, part.stop) + (self.own - first)
        buffer = tuple(held[:count] for held in self._buffer)
        floors = self._floors(part, targets)
        self._measure_all(part, block, targets.beyond, own, first)
        for begin in range(0, len(block.points), TILE[1]):
            columns = slice(begin, begin + TILE[1])
            tile = self._tile(self.queries.operand[part], targets.operand[columns])
            patterns = tuple(tile.view(f"{kind}{tile.itemsize}") for kind in "ui")
            rows = own, np.zeros(count, np.int64)
            above = targets.above[columns]
            share = self.queries.share
            while scan(patterns, begin, self.k, (floors, twice, above, share), rows, buffer):
                self._measure(part, block, floors, buffer, first)
                floors = np.maximum(floors, self._floors(part, targets))
        self._measure(part, block, floors, buffer, first)

    def _floors(self, part: slice, targets: Targets) -> np.ndarray:
        """Below this product no target can be among the k nearest, by what has been measured."""
        from .scan import LOWEST

        queries = self.queries
        held = np.full(len(self.x), math.inf)
        held[part] = self.ranks[part, -1]
        floors = self.manifold.score(held, queries) - queries.slack - targets.below
        return np.maximum(floors[part], LOWEST)

    def _measure(self, part: slice, block: Rows, floors: Any, buffer: Any, first: int) -> None:
        """Ranks of all that the buffers hold, and the buffers empty again."""
        from .scan import collect

        total = collect(self.k, floors, buffer, self._pairs[0], self._pairs[1])
        self._insert(part, block, self._pairs[0, :total], self._pairs[1, :total], first)

    def _measure_all(self, part: slice, block: Rows, beyond: Any, own: Any, first: int) -> None:
        """Targets that the operands cannot represent, against every query."""
        step = max(1, PAIRS // len(own))
        for begin in range(0, len(beyond), step):
            some = beyond[begin : begin + step]
            rows, others = np.nonzero(own[:, None] != some)
            self._insert(part, block, rows, some[others], first)

    def _insert(self, part: slice, block: Rows, rows: Any, others: Any, first: int) -> None:
        from .scan import insert

        for begin in range(0, len(rows), PAIRS):
            i, j = rows[begin : begin + PAIRS], others[begin : begin + PAIRS]
            ranks = self.manifold.pair_ranks(self.rows, i + part.start, block, j)
            insert(self.ranks[part], self.indices[part], i, ranks, j + first)
        self.measured += len(rows)


class DeviceNearest(Nearest):
    """The running answer in array operations alone: for torch and cupy on a GPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rows = rows_of(self.manifold, self.place.put(self.x))
        self.queries = self.manifold.queries(self.rows, self.precision)
        xp = namespace(self.queries.slack)
        shape = (len(self.x), self.k)
        device = self.queries.slack.device
        self.ranks = xp.full(shape, math.inf, dtype=xp.float64, device=device)
        self.indices = xp.full(shape, NOBODY, dtype=xp.int64, device=device)

    @np.errstate(over="ignore")  # of a rank in another frame, whose floor is then minus infinity
    def fold(self, y: np.ndarray, first: int) -> None:
        if len(y) == 0:
            return
        block = rows_of(self.manifold, self.place.put(y))
        targets = self.manifold.targets(block, self.queries.frame, self.precision)
        self._count(targets, self.queries.slack, len(y))
        for begin in range(0, len(self.x), DEVICE_TILE[0]):
            part = slice(begin, min(begin + DEVICE_TILE[0], len(self.x)))
            for left in range(0, len(y), DEVICE_TILE[1]):
                columns = slice(left, min(left + DEVICE_TILE[1], len(y)))
                self._fold_tile(part, columns, block, targets, first)

    def _fold_tile(
        self, part: slice, columns: slice, block: Rows, targets: Targets, first: int
    ) -> None:
        xp = namespace(self.ranks)
        share = self.queries.share
        scores = self.queries.scores
        multiply = scores.on_device if scores else device_product
        tile = multiply(self.queries.operand[part, :], targets.operand[columns, :])
        floors = self.manifold.score(self.ranks[:, -1], self.queries)[part]
        floors = floors - self.queries.slack[part] - targets.below
        # The k best products of this tile already rule out what none of them can lose to; one more
        # where a row itself may be among them.
        best = self.k + (self.own is not None)
        if best < tile.shape[1]:
            short = smallest(-tile, best)
            lower = xp.astype(xp.take_along_axis(tile, short, axis=1), xp.float64)
            above = xp.take(targets.above[columns], short.reshape(-1), axis=0)
            lower = lower - share * xp.abs(lower) - xp.reshape(above, lower.shape)
            proven = xp.min(lower, axis=1) - 2 * self.queries.slack[part] - targets.below
            floors = xp.maximum(floors, proven)
        # The scores are float32, and rounding keeps the order: none is lost by it.
        if share:  # where it is 0 and a floor infinite, their product is NaN
            floors = floors - share * xp.abs(floors)
        possible = tile >= xp.astype(floors, xp.float32)[:, None]
        if targets.beyond.shape[0]:
            numbers = xp.arange(columns.start, columns.stop, device=targets.beyond.device)
            possible = possible | xp.any(numbers[:, None] == targets.beyond[None, :], axis=1)
        if self.own is not None:
            rows = xp.arange(part.start, part.stop, device=tile.device) + (self.own - first)
            others = xp.arange(columns.start, columns.stop, device=tile.device)
            possible = possible & (rows[:, None] != others[None, :])
        i, j = xp.nonzero(possible)
        step = max(1, min(PAIRS, GATHERED // self.manifold.n))
        for begin in range(0, i.shape[0], step):
            rows = i[begin : begin + step]
            others = j[begin : begin + step] + columns.start
            ranks = self.manifold.pair_ranks(self.rows, rows + part.start, block, others)
            self._insert(part, rows, ranks, others + first)
        self.measured += int(i.shape[0])

    def _insert(self, part: slice, rows: Any, ranks: Any, indices: Any) -> None:
        """Sorts what is held and what is new by (row, rank, row number); keeps k of each row."""
        xp = namespace(ranks)
        held = part.stop - part.start
        own = xp.arange(held, device=rows.device)
        rows = xp.concat([xp.repeat(own, self.k), rows])
        ranks = xp.concat([self.ranks[part, :].reshape(-1), ranks])
        indices = xp.concat([self.indices[part, :].reshape(-1), indices])
        order = xp.argsort(indices, stable=True)
        order = order[xp.argsort(ranks[order], stable=True)]
        order = order[xp.argsort(rows[order], stable=True)]
        starts = xp.searchsorted(rows[order], own)
        best = order[starts[:, None] + xp.arange(self.k, device=rows.device)[None, :]]
        self.ranks[part, :] = ranks[best]
        self.indices[part, :] = indices[best]


def nearest(
    manifold: Manifold,
    x: np.ndarray,
    k: int,
    place: Place,
    precision: str = "auto",
    own: int | None = None,
) -> Nearest:
    """An empty running answer for the queries ``x`` on that library and device."""
    kind = HostNearest if place.on_host else DeviceNearest
    return kind(manifold, x, k, place, precision, own)


def merge(
    indices: np.ndarray, ranks: np.ndarray, certified: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Partial answers over disjoint targets into one: (parts, q, k), (parts, q, k), (parts, q).

    Ordered by (rank, row number), so the order of the parts does not matter.
    """
    parts, q, k = ranks.shape
    ranks = np.moveaxis(ranks, 0, 1).reshape(q, parts * k)
    indices = np.moveaxis(indices, 0, 1).reshape(q, parts * k)
    best = np.lexsort((indices, ranks), axis=1)[:, :k]
    return (
        np.take_along_axis(indices, best, axis=1),
        np.take_along_axis(ranks, best, axis=1),
        np.asarray(certified.all(axis=0)),
    )
