"""Lists of row numbers, one for each row of a block: which pairs are not to be found."""

from typing import NamedTuple

import numpy as np

from ..arrays.select import ranges

LEFT_OUT = -1
"""The label of targets that nobody is to find."""


class Lists(NamedTuple):
    """For row i the sorted numbers ``others[starts[i] : starts[i + 1]]``, none of them twice."""

    starts: np.ndarray
    """(rows + 1,) int64, from 0 on."""
    others: np.ndarray
    """(starts[-1],) int64."""

    @property
    def rows(self) -> np.ndarray:
        """For each of the others the row whose list it is in."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def one_each(others: np.ndarray) -> Lists:
    """Lists of one entry, such as the row itself."""
    return Lists(np.arange(len(others) + 1), others)


class Named(NamedTuple):
    """What a block of targets is called."""

    numbers: np.ndarray
    """(rows,) int64, ascending: the number of each."""
    labels: np.ndarray | None = None
    """(rows,) int64: the group of each, where groups are kept apart."""

    def cut(self, columns: slice) -> "Named":
        """Those of some targets."""
        return Named(self.numbers[columns], None if self.labels is None else self.labels[columns])


class Hidden:
    """The pairs that must not be found: those of some lists, and those of one label.

    Kept by blocks of ``step`` rows, in the order of the others in each, so that those of a tile are
    one slice.
    """

    def __init__(self, lists: Lists | None, step: int):
        self._step = step
        self.labels: np.ndarray | None = None
        """(rows,) int64: rows do not find targets of their own label."""
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []
        if lists is None:
            return
        for begin in range(0, len(lists.starts) - 1, step):
            starts = lists.starts[begin : begin + step + 1]
            block = Lists(starts - starts[0], lists.others[starts[0] : starts[-1]])
            order = np.argsort(block.others, kind="stable")
            self._blocks.append((block.rows[order], block.others[order]))

    def within(self, part: slice, named: Named) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of a block of rows with some targets, both counted from 0."""
        rows, columns = self._listed(part, named.numbers)
        if self.labels is None or named.labels is None:
            return rows, columns
        more = equal_pairs(self.labels[part], named.labels)
        return np.concatenate([rows, more[0]]), np.concatenate([columns, more[1]])

    def _listed(self, part: slice, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self._blocks or len(numbers) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        rows, others = self._blocks[part.start // self._step]
        low, high = np.searchsorted(others, [numbers[0], numbers[-1] + 1])
        rows, others = rows[low:high], others[low:high]
        columns = np.searchsorted(numbers, others)
        there = numbers[columns] == others
        return rows[there], columns[there]


def equal_pairs(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places (i, j) with x[i] == y[j], by i."""
    order = np.argsort(y, kind="stable")
    ordered = y[order]
    first, last = (np.searchsorted(ordered, x, side=side) for side in ("left", "right"))
    counts = last - first
    return np.repeat(np.arange(len(x)), counts), order[ranges(first, counts)]
