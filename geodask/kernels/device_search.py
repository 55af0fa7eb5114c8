"""The search of `search` in array operations alone, for GPUs."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..arrays.namespace import namespace
from ..arrays.product import device_product
from ..arrays.select import smallest
from ..manifolds.base import BEYOND, Rows, Targets
from .lists import Hidden, Named
from .search import ALL, PAIRS, SEEDS, Search

DEVICE_TILE = (2048, 8192)
"""Query rows by target rows of one product; the pairs of one tile, were all of them possible, still
fit beside it."""

GATHERED = 1 << 27
"""How many coordinates of pairs are gathered at once: in float64 1 GiB a side."""


class DeviceSearch(Search):
    """The search in array operations alone: for torch and cupy on a GPU."""

    def __init__(self, *of: Any):
        super().__init__(*of)
        self._hidden = Hidden(self._excluded, DEVICE_TILE[0])
        self._at_once = max(1, min(PAIRS, GATHERED // self.manifold.size))

    def _put(self, rows: np.ndarray) -> Any:
        return self.place.put(rows)

    def _fold(self, block: Rows, targets: Targets, named: Named) -> None:
        xp, numbers = namespace(targets.above), self.place.put(named.numbers)
        rows, others = len(self.x), block.points.shape[0]
        for begin in range(0, rows, DEVICE_TILE[0]):
            part = slice(begin, min(begin + DEVICE_TILE[0], rows))
            measured = self._best(part, others, targets, named)
            self._rank(part, block, *measured, numbers)
            for columns in _columns(others):
                tile, hidden = self._products(part, columns, targets, named)
                there = (measured[1] >= columns.start) & (measured[1] < columns.stop)
                tile[measured[0][there], measured[1][there] - columns.start] = BEYOND
                possible = self._possible(tile, part, columns, targets)
                possible[hidden] = False
                i, j = xp.nonzero(possible)
                self._rank(part, block, i, j + columns.start, numbers)

    def _products(
        self, part: slice, columns: slice, targets: Targets, named: Named
    ) -> tuple[Any, tuple[Any, Any]]:
        """The products of a tile, and the pairs that are hidden in it: theirs are `BEYOND`."""
        scores = self.queries.scores
        multiply = scores.on_device if scores else device_product
        tile = multiply(self.queries.operand[part, :], targets.operand[columns, :])
        hidden = self._hidden.within(part, named.cut(columns))
        hidden = self.place.put(hidden[0]), self.place.put(hidden[1])
        tile[hidden] = BEYOND
        return tile, hidden

    def _best(self, part: slice, others: int, targets: Targets, named: Named) -> tuple[Any, Any]:
        """The pairs that are measured first, as in `HostSearch._measure_best`."""
        xp, device = namespace(targets.above), targets.above.device
        proves = not bool(xp.all(xp.isinf(targets.above)))
        width = 0 if proves or self.best == ALL else SEEDS * self.best
        shape = part.stop - part.start, 0
        scores = xp.zeros(shape, dtype=xp.float32, device=device)
        numbers = xp.zeros(shape, dtype=xp.int64, device=device)
        for columns in _columns(others) if width else ():
            tile, _ = self._products(part, columns, targets, named)
            own = xp.arange(columns.start, columns.stop, device=device)
            scores = xp.concat([scores, xp.astype(tile, xp.float32)], axis=1)
            numbers = xp.concat([numbers, xp.broadcast_to(own[None, :], tile.shape)], axis=1)
            short = smallest(-scores, width)
            scores, numbers = (xp.take_along_axis(z, short, axis=1) for z in (scores, numbers))
        rows, places = xp.nonzero(
            (scores > BEYOND) & (scores >= self._floors(part, targets)[:, None])
        )
        return rows, numbers[rows, places]

    def _floors(self, part: slice, targets: Targets) -> Any:
        """Below this product no target is within the limit, by what has been measured."""
        floors = self.manifold.score(self._limits(), self.queries)[part]
        return floors - self.queries.slack[part] - targets.below

    def _possible(self, tile: Any, part: slice, columns: slice, targets: Targets) -> Any:
        """Whether the pairs of a tile may be near enough."""
        xp, share = namespace(tile), self.queries.share
        floors = self._floors(part, targets)
        # The best products of this tile already rule out what none of them can lose to.
        if self.best < tile.shape[1]:
            short = smallest(-tile, self.best)
            lower = xp.astype(xp.take_along_axis(tile, short, axis=1), xp.float64)
            above = xp.take(targets.above[columns], short.reshape(-1), axis=0)
            lower = lower - share * xp.abs(lower) - xp.reshape(above, lower.shape)
            proven = xp.min(lower, axis=1) - 2 * self.queries.slack[part] - targets.below
            floors = xp.maximum(floors, proven)
        # The scores are float32, and rounding keeps the order: none is lost by it.
        if share:  # where it is 0 and a floor infinite, their product is NaN
            floors = floors - share * xp.abs(floors)
        possible = ~(tile < xp.astype(floors, xp.float32)[:, None])  # all, where one is NaN
        possible = possible & ~(tile <= BEYOND)
        if targets.beyond.shape[0]:
            numbers = xp.arange(columns.start, columns.stop, device=targets.beyond.device)
            possible = possible | xp.any(numbers[:, None] == targets.beyond[None, :], axis=1)
        return possible


def _columns(others: int) -> Iterator[slice]:
    for left in range(0, others, DEVICE_TILE[1]):
        yield slice(left, min(left + DEVICE_TILE[1], others))
