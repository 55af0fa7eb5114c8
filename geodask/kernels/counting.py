"""How many rows are nearer than given ones, exactly, by (rank, row number).

Each query has some rows of its own, its marks. Only the farthest of them limits the search: what
may be as near is measured, and counted for every mark that it comes before. So a query costs its
products and, in float64, about as many pairs as the rank of its farthest mark.

    Marks              the marks of a block of queries
    Counting           the running counts: `fold` blocks of targets into it
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays.device import Place, to_host
from ..manifolds.base import Manifold, rows_of
from .device_search import DeviceSearch
from .lists import Lists
from .search import ALL, HostSearch, Search

HELD = 256
"""Pairs of a query that are held before they are measured."""


class Marks(NamedTuple):
    """The marks of queries i, ``starts[i] : starts[i + 1]``, one or more, by (rank, number)."""

    starts: np.ndarray
    """(queries + 1,) int64."""
    ranks: np.ndarray
    """(marks,) float64; infinite where a rank is no number, which comes after all others."""
    numbers: np.ndarray
    """(marks,) int64."""


class Counting(Search):
    """The running counts: for each mark the targets that come before it."""

    def __init__(
        self,
        manifold: Manifold,
        x: np.ndarray,
        marks: Marks,
        place: Place,
        precision: str = "auto",
        excluded: Lists | None = None,
    ):
        self.best, self.capacity = ALL, HELD
        super().__init__(manifold, x, place, precision, excluded)
        self.marks = marks
        self._first = np.zeros(len(marks.ranks), np.int64)
        self._farthest = self._put(marks.ranks[marks.starts[1:] - 1])

    def _limits(self) -> Any:
        return self._farthest

    def _take(self, part: slice, rows: Any, ranks: Any, numbers: Any) -> None:
        from .scan import tally

        found = to_host(rows) + part.start, to_host(ranks), to_host(numbers)
        tally(self._first, tuple(self.marks), found)

    def counts(self) -> np.ndarray:
        """For each mark, in their order: (marks,) int64."""
        # A target was noted at the first mark that it comes before, and comes before the rest too.
        total = np.concatenate([[0], np.cumsum(self._first)])
        queries = np.repeat(self.marks.starts[:-1], np.diff(self.marks.starts))
        return total[1:] - total[queries]


class HostCounting(Counting, HostSearch):
    """The running counts, found by compiled loops."""


class DeviceCounting(Counting, DeviceSearch):
    """The running counts, found in array operations; what is measured is counted on the host."""


def counting(
    manifold: Manifold,
    x: np.ndarray,
    marks: Marks,
    place: Place,
    precision: str = "auto",
    excluded: Lists | None = None,
) -> Counting:
    """Running counts from 0 for the queries ``x`` on that library and device."""
    kind = HostCounting if place.on_host else DeviceCounting
    return kind(manifold, x, marks, place, precision, excluded)


def row_ranks(
    manifold: Manifold, x: np.ndarray, rows: np.ndarray, y: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """The ranks of the pairs (x[rows[c]], y[others[c]]): (pairs,) float64."""
    return manifold.pair_ranks(rows_of(manifold, x), rows, rows_of(manifold, y), others)


def sorted_marks(
    rows: np.ndarray, ranks: np.ndarray, numbers: np.ndarray
) -> tuple[Marks, np.ndarray]:
    """The marks (queries 0, 1 ... in ``rows``, each once or more), and where each came from."""
    ranks = np.where(np.isnan(ranks), math.inf, ranks)
    order = np.lexsort((numbers, ranks, rows))
    starts = np.searchsorted(rows[order], np.arange(int(rows.max(initial=-1)) + 2))
    return Marks(starts, ranks[order], numbers[order]), order
