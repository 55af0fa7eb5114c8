"""Weighted squared differences of two blocks of rows: the surrogate where products lose digits."""

from abc import ABC, abstractmethod
from typing import Any

import numba
import numpy as np

from .namespace import namespace

RUN = 256
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
        self.fill(queries.astype(kind, copy=False), columns, np.empty(RUN, kind), tile)
        return tile

    def room(self, queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Where the scores of these go."""
        return self._tile[: len(queries) * len(targets)].reshape(len(queries), len(targets))

    @staticmethod
    @abstractmethod
    def fill(queries: np.ndarray, columns: np.ndarray, sums: np.ndarray, tile: np.ndarray) -> None:
        """Fills a tile from rows and transposed rows; ``sums`` is room for a run of columns."""

    @staticmethod
    @abstractmethod
    def on_device(queries: Any, targets: Any) -> Any:
        """The same in array operations, for GPUs."""


@bounding
def _differences(queries, columns, sums, tile):
    n = queries.shape[1]
    for i in range(len(queries)):
        for start in range(0, tile.shape[1], RUN):
            stop = min(start + RUN, tile.shape[1])
            width = stop - start
            sums[:] = 0
            for k in range(n):
                value, column = queries[i, k], columns[k, start:stop]
                for j in range(width):
                    step = value - column[j]
                    sums[j] += step * step
            weights, out = columns[n, start:stop], tile[i, start:stop]
            for j in range(width):
                out[j] = -(sums[j] * weights[j])


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
    _differences(x.astype(np.float64), columns, np.empty(RUN, np.float64), tile)
    return tile
