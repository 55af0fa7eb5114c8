"""Weighted squared differences of two blocks of rows: the surrogate where products lose digits."""

from abc import ABC, abstractmethod
from typing import Any

import numba
import numpy as np

from .namespace import namespace

RUN = 512
"""Columns whose sums stay in a processor's nearest cache while the coordinates pass by."""

# Fused operations round less often than the bounds allow for.
bounding = numba.njit(nogil=True, cache=True, fastmath={"contract"})


class PairScores(ABC):
    """Scores of all pairs of two blocks of rows, where a product of matrices will not do."""

    def __init__(self, tile: tuple[int, int]):
        self._tile = np.empty(tile[0] * tile[1], np.float32)

    def __call__(self, queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(q, columns), (m, columns) -> (q, m) float32, in memory that the next call uses again."""
        tile = self.room(queries, targets)
        kind = np.result_type(queries, targets)
        columns = np.ascontiguousarray(targets.T, kind)
        self.fill(queries.astype(kind, copy=False), columns, np.empty((2, RUN), kind), tile)
        return tile

    def room(self, queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Where the scores of these go."""
        return self._tile[: len(queries) * len(targets)].reshape(len(queries), len(targets))

    @staticmethod
    @abstractmethod
    def fill(queries: np.ndarray, columns: np.ndarray, sums: np.ndarray, tile: np.ndarray) -> None:
        """Fills a tile from rows and transposed rows; ``sums`` is room for two runs of columns."""

    @staticmethod
    @abstractmethod
    def on_device(queries: Any, targets: Any) -> Any:
        """The same in array operations, for GPUs."""


@bounding
def _four(row, k):
    return row[k], row[k + 1], row[k + 2], row[k + 3]


@bounding
def _added(total, a, b):
    steps = a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]
    total = total + steps[0] * steps[0] + steps[1] * steps[1]
    return total + steps[2] * steps[2] + steps[3] * steps[3]


@bounding
def _differences(queries, columns, sums, tile):
    # Two rows and four coordinates at a time: a number that was loaded is used more than once.
    n = queries.shape[1]
    whole = n - n % 4
    first, second = sums[0], sums[1]
    for i in range(0, len(queries), 2):
        other = min(i + 1, len(queries) - 1)
        one, two = queries[i], queries[other]
        for start in range(0, tile.shape[1], RUN):
            stop = min(start + RUN, tile.shape[1])
            width = stop - start
            sums[:] = 0
            for k in range(0, whole, 4):
                a, b = _four(one, k), _four(two, k)
                p, q = columns[k, start:stop], columns[k + 1, start:stop]
                r, s = columns[k + 2, start:stop], columns[k + 3, start:stop]
                for j in range(width):
                    target = p[j], q[j], r[j], s[j]
                    first[j] = _added(first[j], a, target)
                    second[j] = _added(second[j], b, target)
            for k in range(whole, n):
                left, right, column = one[k], two[k], columns[k, start:stop]
                for j in range(width):
                    first[j] += (left - column[j]) * (left - column[j])
                    second[j] += (right - column[j]) * (right - column[j])
            weights = columns[n, start:stop]
            upper, lower = tile[i, start:stop], tile[other, start:stop]
            for j in range(width):
                upper[j] = -(first[j] * weights[j])
                lower[j] = -(second[j] * weights[j])


class Differences(PairScores):
    """``-w |x - y|^2`` for rows x and (y, w), summed in the precision of the operands."""

    fill = staticmethod(_differences)

    @staticmethod
    def on_device(queries: Any, targets: Any) -> Any:
        xp = namespace(queries, targets)
        n = queries.shape[1]
        total = 0.0
        for k in range(n):
            step = queries[:, k][:, None] - targets[:, k][None, :]
            total = total + step * step
        return xp.astype(-(total * targets[:, n][None, :]), xp.float32)


def weighted_squares(x: np.ndarray, columns: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """``w |x - y|^2`` for all pairs of rows x and columns (y, -w), in float64: the tile, filled."""
    _differences(x.astype(np.float64), columns, np.empty((2, RUN), np.float64), tile)
    return tile
