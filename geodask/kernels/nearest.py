"""The k nearest rows of a stream of blocks, exactly, by (rank, row number).

What has been measured tightens the limit of the search, so little is measured twice as much as
needed.

    Nearest            the running answer for one block of queries: `fold` blocks of targets into it
    HostNearest        on the host
    DeviceNearest      in array operations alone, for GPUs
    merge              partial answers over disjoint targets into one
"""

import math
from typing import Any

import numpy as np

from ..arrays.device import Place, to_host
from ..arrays.namespace import namespace
from ..manifolds.base import Manifold
from .lists import Lists
from .search import DeviceSearch, HostSearch, Search

NOBODY = np.iinfo(np.int64).max
"""The row number in a place not yet filled: it is after every other."""


class Nearest(Search):
    """The running answer: for each query the k least (rank, row number) so far."""

    ranks: Any
    indices: Any

    def __init__(
        self,
        manifold: Manifold,
        x: np.ndarray,
        k: int,
        place: Place,
        precision: str = "auto",
        excluded: Lists | None = None,
    ):
        self.best, self.capacity = k, max(64, 4 * k)
        super().__init__(manifold, x, place, precision, excluded)
        self._within: Any = None

    def limit(self, ranks: np.ndarray) -> None:
        """Asks each query for nothing beyond a rank (q,)."""
        self._within = self._put(ranks)

    def _limits(self) -> Any:
        farthest = self.ranks[:, -1]
        if self._within is None:
            return farthest
        return namespace(farthest).minimum(farthest, self._within)

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row numbers (q, k) int64, ranks (q, k) float64, certified (q,) bool.

        Where fewer than k targets came, the tail holds NOBODY and infinity.
        """
        return to_host(self.indices), to_host(self.ranks), self.certified


class HostNearest(Nearest, HostSearch):
    """The running answer in host memory."""

    def __init__(self, *of: Any):
        super().__init__(*of)
        self.ranks = np.full((len(self.x), self.best), math.inf)
        self.indices = np.full((len(self.x), self.best), NOBODY)

    def _take(self, part: slice, rows: Any, ranks: Any, numbers: Any) -> None:
        from .scan import insert

        insert(self.ranks[part], self.indices[part], rows, ranks, numbers)


class DeviceNearest(Nearest, DeviceSearch):
    """The running answer on a GPU."""

    def __init__(self, *of: Any):
        super().__init__(*of)
        xp = namespace(self.queries.slack)
        shape, device = (len(self.x), self.best), self.queries.slack.device
        self.ranks = xp.full(shape, math.inf, dtype=xp.float64, device=device)
        self.indices = xp.full(shape, NOBODY, dtype=xp.int64, device=device)

    def _take(self, part: slice, rows: Any, ranks: Any, numbers: Any) -> None:
        """Sorts what is held and what is new by (row, rank, row number); keeps k of each row."""
        xp, k = namespace(ranks), self.best
        own = xp.arange(part.stop - part.start, device=rows.device)
        rows = xp.concat([xp.repeat(own, k), rows])
        ranks = xp.concat([self.ranks[part, :].reshape(-1), ranks])
        indices = xp.concat([self.indices[part, :].reshape(-1), numbers])
        order = xp.argsort(indices, stable=True)
        order = order[xp.argsort(ranks[order], stable=True)]
        order = order[xp.argsort(rows[order], stable=True)]
        starts = xp.searchsorted(rows[order], own)
        best = order[starts[:, None] + xp.arange(k, device=rows.device)[None, :]]
        self.ranks[part, :] = ranks[best]
        self.indices[part, :] = indices[best]


def nearest(
    manifold: Manifold,
    x: np.ndarray,
    k: int,
    place: Place,
    precision: str = "auto",
    excluded: Lists | None = None,
) -> Nearest:
    """An empty running answer for the queries ``x`` on that library and device."""
    kind = HostNearest if place.on_host else DeviceNearest
    return kind(manifold, x, k, place, precision, excluded)


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
