"""A kNN that grows: which of its pairs a stored result does not know.

A row whose own values, label or excluded pairs are not those of the base is compared with all
targets, and so is one whose stored answer names a target that is gone: others, farther ones, come
in its place. For any other row the stored answer holds among the targets that are as they were, and
it is compared with those that have come.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..engine.base import Base, Spans, Stored, gaps
from ..engine.operation import Layout, Work
from ..engine.points import Points
from ..engine.tasks import slices, stream
from ..events import Stats
from ..kernels.lists import LEFT_OUT, Lists, one_each
from ..kernels.nearest import Answer, nobody
from ..manifolds.euclidean import Euclidean
from .compared import QUERIES, TARGETS
from .exclude import read_integers, read_lists, selected
from .rowset import RowSet
from .where import EVERYBODY

STEP = 1 << 16
"""Rows whose columns are compared at once."""

Columns = dict[str, Points]
"""What is known of rows besides: ``ours`` and ``theirs``, labels of queries and of targets, and
``starts`` and ``others``, the lists of excluded targets."""


@dataclass(frozen=True)
class Growth:
    """What is to be compared, where a base knows the rest."""

    base: Base
    changed: RowSet
    """Queries of which the base knows nothing."""
    gone: RowSet
    """Targets of the base that are not there any more, or not as they were."""
    come: RowSet
    """Targets that are there, and were not, or not as they are."""
    there: int
    """How many targets are there."""

    def layout(self, layout: Layout, k: int) -> Layout:
        """That of a run from scratch, with what is known."""
        lost = 1 - (1 - self.gone.held / max(1, self.gone.rows)) ** k
        asked, come = self.changed.pieces(), self.come.pieces()
        return replace(layout, base=self.base.key, asked=asked, come=come, lost=lost)

    def asked(self, start: int, stop: int) -> np.ndarray:
        """Which of the queries start:stop are compared with all targets: (stop - start,) bool."""
        asked = self.changed.mask(start, stop)
        known = max(start, min(stop, self.base.rows[0]))
        if self.gone.held and known > start:
            named = self.base.arrays["indices"].read(start, known)
            asked[: known - start] |= self.gone.holds(named).any(axis=1)
            # One that is not certified may owe that to what is gone.
            asked[: known - start] |= ~self.base.arrays["certified"].read(start, known)
        return asked

    def limits(self, rows: np.ndarray) -> np.ndarray:
        """The rank of the last of the base's answer to each of some rows that are not asked."""
        first = int(rows[0])
        ranks = self.base.arrays["ranks"].read(first, int(rows[-1]) + 1)
        return ranks[rows - first, -1]

    def known(self, start: int, stop: int, k: int) -> Answer:
        """The base's answers for the queries start:stop, and empty ones for those asked."""
        held = nobody(stop - start, k)
        kept = np.flatnonzero(~self.asked(start, stop))
        if len(kept):
            last = int(kept[-1]) + 1
            for name, values in held._asdict().items():
                values[kept] = self.base.arrays[name].read(start, start + last)[kept]
        return held

    def count_near_limit(
        self, work: Work, sides: tuple[Points, Points], block: int, step: int
    ) -> None:
        """Counts the rows that the base has not: queries of a block; targets with the first one."""
        spans = [(QUERIES, sides[0], self._uncounted(0, *work.layout.block(block)))]
        if block == 0 and len(self.base.kept) > 1:
            spans.append((TARGETS, sides[1], self._uncounted(1, 0, len(sides[1]))))
        for of, points, some in spans:
            each = [part for span in some for part in slices(*span, step)]
            for first, rows in stream(points, each, work.stats):
                work.count_near_limit(points, rows, first, of)

    def _uncounted(self, side: int, start: int, stop: int) -> list[tuple[int, int]]:
        return gaps(() if self.recounted else self.base.kept[side], start, stop)

    @property
    def recounted(self) -> bool:
        """Whether all rows are counted anew: what counted among them and is gone, nobody knows."""
        return self.base.near_limit > 0 and self.base.replaced

    def account(self, stats: Stats) -> float:
        """Adds to the tasks' counts what the base has counted; the share of pairs that it knew."""
        stats.near_limit += 0 if self.recounted else self.base.near_limit
        return max(0.0, 1 - stats.pairs / max(1, self.changed.rows * self.there))

    def task_bytes(self, k: int, rows: int) -> int:
        """Memory to find out which of so many queries are asked, and how far the others look."""
        chunk = self.base.arrays["ranks"].chunk_rows
        bits = self.changed.rows + self.gone.rows + self.come.rows
        return 6 * 8 * k * (rows + chunk) + bits // 4


def growth(base: Base, sides: tuple[Points, Points], itself: bool, columns: Columns) -> Growth:
    """What is to be compared of the first side's rows with those of the second."""
    x, y = sides
    before = {name: _integers(values) for name, values in base.columns.items()}
    queries, targets = _fresh(base.kept[0], len(x)), _fresh(base.kept[-1], len(y))
    n, m = min(len(x), base.rows[0]), min(len(y), base.rows[-1])
    for start, stop, one, other in _labels(before, columns, "ours", EVERYBODY, n):
        queries[start:stop] |= one != other
    for start, stop in _steps(n if "starts" in before or "starts" in columns else 0):
        lists = (_lists(each, start, stop, itself) for each in (before, columns))
        queries[start:stop] |= _differ(*lists)
    was, now = np.ones(base.rows[-1], bool), np.ones(len(y), bool)
    for labels, there in ((before, was), (columns, now)):
        if "theirs" in labels:
            for start, stop in _steps(len(there)):
                there[start:stop] = read_integers(labels["theirs"], start, stop) != LEFT_OUT
    for start, stop, one, other in _labels(before, columns, "theirs", 0, m):
        targets[start:stop] |= one != other
    gone = np.ones(base.rows[-1], bool)
    gone[:m] = targets[:m]
    changed, left, come = map(RowSet.of, (queries, gone & was, targets & now))
    return Growth(base, changed, left, come, int(now.sum()))


def _fresh(kept: Spans, rows: int) -> np.ndarray:
    fresh = np.ones(rows, bool)
    for start, stop in kept:
        fresh[start:stop] = False
    return fresh


def _integers(values: Stored) -> Points:
    return Points(values, Euclidean(values.shape[1]))


def _steps(rows: int) -> Iterator[tuple[int, int]]:
    yield from pairwise([*range(0, rows, STEP), rows])


def _labels(
    before: Columns, columns: Columns, name: str, default: int, rows: int
) -> Iterator[tuple[int, int, Any, Any]]:
    """The labels of rows start:stop as they were and as they are: (start, stop, were, are)."""
    both = before.get(name), columns.get(name)
    if both == (None, None):
        return
    for start, stop in _steps(rows):
        one, other = (
            default if each is None else read_integers(each, start, stop) for each in both
        )
        yield start, stop, one, other


def _lists(columns: Columns, start: int, stop: int, itself: bool) -> Lists:
    """The targets that each of some queries must not find, itself among them in a self-join."""
    if "starts" in columns:
        return read_lists((columns["starts"], columns["others"]), start, stop)
    if itself:
        return one_each(np.arange(start, stop))
    return Lists(np.zeros(stop - start + 1, np.int64), np.empty(0, np.int64))


def _differ(one: Lists, other: Lists) -> np.ndarray:
    """Which of the lists are not the same: (rows,) bool."""
    differ = np.diff(one.starts) != np.diff(other.starts)
    alike = np.flatnonzero(~differ)
    one, other = selected(one, alike), selected(other, alike)
    differ[alike[one.rows[one.others != other.others]]] = True
    return differ
