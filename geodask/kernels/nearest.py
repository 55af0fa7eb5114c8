"""The k nearest rows of a stream of blocks, exactly, by (rank, row number).

What has been measured tightens the limit of the search, so little is measured twice as much as
needed.

    Nearest            the running answer for one block of queries: `fold` blocks of targets into it
    HostNearest        on the host
    DeviceNearest      in array operations alone, for GPUs
    merge              partial answers over disjoint targets into one
    nobody             an answer that nobody has given yet
    pack, unpack       an answer as one array of integers
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays.device import Place, to_host
from ..arrays.namespace import namespace
from ..manifolds.base import Manifold
from .device_search import DeviceSearch
from .lists import Lists
from .search import HostSearch, Search

NOBODY = np.iinfo(np.int64).max
"""The row number in a place not yet filled: it is after every other."""


class Answer(NamedTuple):
    """What is known of the nearest of some queries."""

    indices: np.ndarray
    """(q, k) int64, by (rank, row number)."""
    ranks: np.ndarray
    """(q, k) float64."""
    certified: np.ndarray
    """(q,) bool."""

    def cut(self, rows: Any) -> "Answer":
        """That of some of the queries."""
        return Answer(*(values[rows] for values in self))


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

    def result(self) -> Answer:
        """The answer; where fewer than k targets came, its tail holds NOBODY and infinity."""
        return Answer(to_host(self.indices), to_host(self.ranks), self.certified)


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


def nobody(queries: int, k: int) -> Answer:
    """The answer among no targets."""
    shape = queries, k
    return Answer(np.full(shape, NOBODY), np.full(shape, math.inf), np.ones(queries, bool))


def merge(one: Answer, other: Answer) -> Answer:
    """Answers over disjoint targets into one.

    Ordered by (rank, row number), so the order of the two does not matter.
    """
    k = one.ranks.shape[1]
    ranks = np.concatenate([one.ranks, other.ranks], axis=1)
    indices = np.concatenate([one.indices, other.indices], axis=1)
    best = np.lexsort((indices, ranks), axis=1)[:, :k]
    return Answer(
        np.take_along_axis(indices, best, axis=1),
        np.take_along_axis(ranks, best, axis=1),
        one.certified & other.certified,
    )


def pack(rows: np.ndarray, answer: Answer, out: np.ndarray) -> None:
    """Writes to ``out`` (q, 2 k + 2) int64: what numbers the queries, and their answer."""
    k = answer.ranks.shape[1]
    out[:, 0], out[:, 1 : k + 1] = rows, answer.indices
    out[:, k + 1 : -1], out[:, -1] = answer.ranks.view(np.int64), answer.certified


def unpack(packed: np.ndarray) -> tuple[np.ndarray, Answer]:
    """What `pack` was given."""
    k = packed.shape[1] // 2 - 1
    ranks = np.ascontiguousarray(packed[:, k + 1 : -1]).view(np.float64)
    return packed[:, 0], Answer(packed[:, 1 : k + 1], ranks, packed[:, -1] != 0)
