"""All pairs that may be near enough, exactly, from a stream of blocks of targets.

A surrogate of the rank (one product of matrices in low precision, with a proven bound) leaves for
each query a few columns that may be nearer than its limit. Those are measured: their ranks are
computed in float64 in one fixed order of operations, and handed to whoever asks. No more than a
fixed buffer is ever held. Where the bound rules nothing out (a thousand equal rows), everything is
measured, and the answer is the same.

    Search             one block of queries: `fold` blocks of targets into it
    HostSearch         products by BLAS or oneDNN, selection by the compiled loops of `scan`

`device_search` has the same in array operations alone, for GPUs.

Pairs that are excluded get the least product of all (`BEYOND`) before anything looks at a tile.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ..arrays.device import Place, to_host
from ..arrays.product import HostProduct, precision_for
from ..manifolds.base import BEYOND, Manifold, Rows, Targets, rows_of
from .lists import LEFT_OUT, Hidden, Lists, Named

GATHERED = 1 << 18
"""How many coordinates of pairs are gathered at once, where they have to be."""

TILE = (1024, 2048)
"""Query rows by target rows of one product: in bfloat16 4 MiB, a processor's cache."""

SEEDS = 2
"""So many times as many pairs as a query asks for are measured first, where products prove
nothing: fewer leave the limit loose, more are measured in vain."""

ALL = 1 << 30
"""More pairs than there are: no number of them rules out others."""

PAIRS = 1 << 20
"""How many pairs are measured at once."""


def at_once(manifold: Manifold) -> int:
    """How many pairs are measured at once on the host: so many that, where their rows have to be
    gathered, the arrays stay in a processor's cache."""
    return max(1, GATHERED // manifold.size) if manifold.pair_arrays else PAIRS


def measuring_bytes(manifold: Manifold) -> int:
    """What that takes."""
    return 8 * manifold.pair_arrays * at_once(manifold) * manifold.size


class Search(ABC):
    """What is asked of one block of one query or more.

    ``excluded``: for each query the numbers of targets that it must not meet. `fold` may be called
    with the targets in any order and in blocks of any size: the answer is the same.
    """

    _hidden: Hidden

    best: int
    """So many pairs of a query rule out all that are farther."""
    capacity: int
    """So many pairs of a query are held on the host before they are measured."""

    def __init__(
        self,
        manifold: Manifold,
        x: np.ndarray,
        place: Place,
        precision: str,
        excluded: Lists | None,
    ):
        self.manifold, self.x, self.place = manifold, x, place
        self.precision = manifold.precision(precision_for(place, precision))
        self.certified = np.full(len(x), manifold.is_minimal)
        self.pairs = 0
        """Pairs considered so far."""
        self.measured = 0
        """Pairs whose rank was computed in float64."""
        self.rows = rows_of(manifold, self._put(x))
        self.queries = manifold.queries(self.rows, self.precision)
        self._excluded = excluded
        self._at_once = at_once(manifold)

    @abstractmethod
    def _put(self, rows: np.ndarray) -> Any:
        """Rows where they are computed with."""

    @abstractmethod
    def _limits(self) -> Any:
        """For each query the rank beyond which it asks for nothing, as far as it is known."""

    @abstractmethod
    def _take(self, part: slice, rows: Any, ranks: Any, numbers: Any) -> None:
        """Takes in measured pairs of the queries ``part``: their rows in it, ranks and targets."""

    @abstractmethod
    def _fold(self, block: Rows, targets: Targets, named: Named) -> None:
        """Takes in targets that are ready."""

    def _rank(self, part: slice, block: Rows, rows: Any, others: Any, numbers: Any) -> None:
        """Measures pairs of the queries ``part`` with targets of a block, so many at once."""
        for begin in range(0, len(rows), self._at_once):
            i, j = rows[begin : begin + self._at_once], others[begin : begin + self._at_once]
            ranks = self.manifold.pair_ranks(self.rows, i + part.start, block, j)
            self._take(part, i, ranks, numbers[j])
        self.measured += len(rows)

    def keep_apart(self, labels: np.ndarray) -> None:
        """Hides from each query the targets of its own label (queries,) int64."""
        self._hidden.labels = labels

    @np.errstate(over="ignore")  # of a rank in another frame, whose floor is then minus infinity
    def fold(self, y: np.ndarray, first: int, labels: np.ndarray | None = None) -> None:
        """Takes in the targets ``y`` (rows, n), whose first row has the number ``first``.

        ``labels``: the group of each (rows,) int64; those labelled `LEFT_OUT` are not there.
        """
        named = Named(np.arange(first, first + len(y)), labels)
        if labels is not None and (left_out := labels == LEFT_OUT).any():
            kept = np.flatnonzero(~left_out)
            y, named = y[kept], Named(named.numbers[kept], labels[kept])
        if len(y) == 0:
            return
        block = rows_of(self.manifold, self._put(y))
        targets = self.manifold.targets(block, self.queries.frame, self.precision)
        self.pairs += len(self.x) * len(y)
        # Rows whose bound is not a number (NaN, infinity in the data) cannot be certified. Where a
        # product proves nothing, because it is a bound from one side alone, `above` is infinite.
        sound = math.isfinite(targets.below) and not np.isnan(to_host(targets.above)).any()
        self.certified &= np.isfinite(to_host(self.queries.slack)) & sound
        self._fold(block, targets, named)


class HostSearch(Search):
    """The search by compiled loops over tiles in host memory."""

    def __init__(self, *of: Any):
        super().__init__(*of)
        q, capacity = min(TILE[0], len(self.x)), self.capacity
        self._hidden = Hidden(self._excluded, TILE[0])
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

    def _put(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def _fold(self, block: Rows, targets: Targets, named: Named) -> None:
        for begin in range(0, len(self.x), TILE[0]):
            self._fold_rows(slice(begin, min(begin + TILE[0], len(self.x))), block, targets, named)

    def _fold_rows(self, part: slice, block: Rows, targets: Targets, named: Named) -> None:
        from .scan import pattern_of, scan

        count = part.stop - part.start
        slack = self.queries.slack[part]
        twice = 2 * slack + targets.below
        buffer = tuple(held[:count] for held in self._buffer)
        self._measure_all(part, block, targets.beyond, named)
        measured = self._measure_best(part, block, targets, named)
        floors = self._floors(part, targets)
        for begin in range(0, len(block.points), TILE[1]):
            columns = slice(begin, begin + TILE[1])
            patterns = self._patterns(part, columns, targets, named)
            there = (measured[1] >= begin) & (measured[1] < begin + TILE[1])
            met = measured[0][there], measured[1][there] - begin
            patterns[0][met] = pattern_of(BEYOND, patterns[0].itemsize)
            starts = np.zeros(count, np.int64)
            bounds = floors, twice, targets.above[columns], self.queries.share
            while scan(patterns, begin, self.best, bounds, starts, buffer):
                self._measure(part, block, floors, buffer, named.numbers)
                np.maximum(floors, self._floors(part, targets), out=floors)
        self._measure(part, block, floors, buffer, named.numbers)

    def _floors(self, part: slice, targets: Targets) -> np.ndarray:
        """Below this product no target is within the limit, by what has been measured."""
        from .scan import LOWEST

        queries = self.queries
        floors = self.manifold.score(self._limits(), queries) - queries.slack - targets.below
        # A floor that is no number rules out nothing.
        return np.where(floors[part] > LOWEST, floors[part], LOWEST)

    def _measure(self, part: slice, block: Rows, floors: Any, buffer: Any, numbers: Any) -> None:
        """Ranks of all that the buffers hold, and the buffers empty again."""
        from .scan import collect

        total = collect(self.best, floors, buffer, self._pairs[0], self._pairs[1])
        self._rank(part, block, self._pairs[0, :total], self._pairs[1, :total], numbers)

    def _measure_best(
        self, part: slice, block: Rows, targets: Targets, named: Named
    ) -> tuple[np.ndarray, np.ndarray]:
        """Measures the pairs whose products are best, and returns them.

        Where products prove nothing, only what has been measured rules out others: so it pays to
        begin with those, at the price of all products twice.
        """
        from .scan import keep_best

        proves = not np.isinf(targets.above).all()
        width = 0 if proves or self.best == ALL else min(SEEDS * self.best, len(block.points))
        shape = part.stop - part.start, width
        scores, columns = np.full(shape, BEYOND, np.float32), np.zeros(shape, np.int64)
        for begin in range(0, len(block.points) if width else 0, TILE[1]):
            patterns = self._patterns(part, slice(begin, begin + TILE[1]), targets, named)
            keep_best(patterns, begin, scores, columns)
        rows, places = np.nonzero(
            (scores > BEYOND) & (scores >= self._floors(part, targets)[:, None])
        )
        columns = columns[rows, places]
        self._rank(part, block, rows, columns, named.numbers)
        return rows, columns

    def _patterns(
        self, part: slice, columns: slice, targets: Targets, named: Named
    ) -> tuple[np.ndarray, ...]:
        """The products of a tile, as integers of both kinds, those of hidden pairs `BEYOND`."""
        from .scan import pattern_of

        tile = self._tile(self.queries.operand[part], targets.operand[columns])
        patterns = tuple(tile.view(f"{kind}{tile.itemsize}") for kind in "ui")
        hidden = self._hidden.within(part, named.cut(columns))
        patterns[0][hidden] = pattern_of(BEYOND, tile.itemsize)
        return patterns

    def _measure_all(self, part: slice, block: Rows, beyond: Any, named: Named) -> None:
        """Targets that the operands cannot represent, against every query."""
        if len(beyond) == 0:
            return
        count, beyond = part.stop - part.start, np.sort(beyond)
        hidden, columns = self._hidden.within(part, named)
        places = np.minimum(np.searchsorted(beyond, columns), len(beyond) - 1)
        there = beyond[places] == columns
        hidden, places = hidden[there], places[there]
        step = max(1, PAIRS // count)
        for begin in range(0, len(beyond), step):
            some = beyond[begin : begin + step]
            possible = np.ones((count, len(some)), bool)
            here = (places >= begin) & (places < begin + step)
            possible[hidden[here], places[here] - begin] = False
            rows, others = np.nonzero(possible)
            self._rank(part, block, rows, some[others], named.numbers)
