"""All pairs within a distance, exactly, from a stream of blocks of targets.

rank_limit         a rank that no pair within a radius exceeds
Within             one block of queries: `fold` blocks of targets, then `take` what was found
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays.device import Place, to_host
from ..arrays.namespace import namespace
from ..manifolds.base import Manifold
from .counting import HELD
from .device_search import DeviceSearch
from .lists import Lists
from .search import ALL, HostSearch, Search


class Found(NamedTuple):
    """Some pairs, by (row, number)."""

    rows: np.ndarray
    """(pairs,) int64: places in the block of queries."""
    numbers: np.ndarray
    """(pairs,) int64: numbers of targets."""
    ranks: np.ndarray
    """(pairs,) float64."""


def rank_limit(manifold: Manifold, radius: float) -> float:
    """A rank that none exceeds whose distance, as computed, is at most the radius.

    By bisection over the floats in their order. Computed distances grow with ranks but for a few
    units of 2^-53, by which one may fall from a rank to the next: hence the margin.
    """
    radius *= 1 + 2.0**-48

    def reached(bits: int) -> bool:
        rank = np.array([bits]).view(np.float64)
        with np.errstate(all="ignore"):
            return bool(manifold.rank_to_dist(rank)[0] <= radius)

    low, high = -1, int(np.array([math.inf]).view(np.int64)[0])
    if radius == math.inf or reached(high):
        return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reached(middle) else (low, middle)
    return float(np.array([max(low, 0)]).view(np.float64)[0])


class Within(Search):
    """The pairs of one block of queries whose computed distances are at most a radius."""

    def __init__(
        self,
        manifold: Manifold,
        x: np.ndarray,
        radius: float,
        place: Place,
        precision: str = "auto",
        excluded: Lists | None = None,
    ):
        self.best, self.capacity = ALL, HELD
        super().__init__(manifold, x, place, precision, excluded)
        self._radius = radius
        self._farthest = self._put(np.full(len(x), rank_limit(manifold, radius)))
        self._after: np.ndarray | None = None
        self._found: list[Found] | None = []
        self.counts = np.zeros(len(x), np.int64)
        """Pairs of each query so far."""

    def only_after(self, numbers: np.ndarray) -> None:
        """Takes for each query only targets with higher numbers than its own (queries,)."""
        self._after = numbers

    def only_count(self) -> None:
        """Keeps no pairs, however many there are."""
        self._found = None

    def _limits(self) -> Any:
        return self._farthest

    def _take(self, part: slice, rows: Any, ranks: Any, numbers: Any) -> None:
        distances = self.manifold.rank_to_dist(ranks)
        near = namespace(ranks).nonzero(distances <= self._radius)[0]
        found = Found(*(to_host(each[near]) for each in (rows, numbers, ranks)))
        found = found._replace(rows=found.rows.astype(np.int64) + part.start)
        if self._after is not None:
            later = found.numbers > self._after[found.rows]
            found = Found._make(each[later] for each in found)
        self.counts += np.bincount(found.rows, minlength=len(self.counts))
        if self._found is not None:
            self._found.append(found)

    def take(self) -> Found:
        """What was kept since it was last asked for."""
        nothing = Found(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        found = Found._make(map(np.concatenate, zip(nothing, *(self._found or ()), strict=True)))
        if self._found is not None:
            self._found = []
        order = np.lexsort((found.numbers, found.rows))
        return Found._make(each[order] for each in found)


class HostWithin(Within, HostSearch):
    """The pairs, found by compiled loops."""


class DeviceWithin(Within, DeviceSearch):
    """The pairs, found in array operations; what is near enough comes to the host."""


def within(
    manifold: Manifold,
    x: np.ndarray,
    radius: float,
    place: Place,
    precision: str = "auto",
    excluded: Lists | None = None,
) -> Within:
    """A search for the queries ``x`` on that library and device, in which nothing is found yet."""
    kind = HostWithin if place.on_host else DeviceWithin
    return kind(manifold, x, radius, place, precision, excluded)
