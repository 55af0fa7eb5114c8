"""Lists of row numbers, one for each row of a block: which pairs are not to be found."""

from typing import NamedTuple

import numpy as np


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


class Hidden:
    """The pairs of some lists by blocks of ``step`` rows, in the order of the others in each.

    So those of a tile are one slice.
    """

    def __init__(self, lists: Lists | None, step: int):
        self._step = step
        self._blocks: list[tuple[np.ndarray, np.ndarray]] = []
        if lists is None:
            return
        for begin in range(0, len(lists.starts) - 1, step):
            starts = lists.starts[begin : begin + step + 1]
            block = Lists(starts - starts[0], lists.others[starts[0] : starts[-1]])
            order = np.argsort(block.others, kind="stable")
            self._blocks.append((block.rows[order], block.others[order]))

    def within(self, part: slice, first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """The pairs of a block of rows with the others first:stop, both counted from 0."""
        if not self._blocks:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        rows, others = self._blocks[part.start // self._step]
        low, high = np.searchsorted(others, [first, stop])
        return rows[low:high], others[low:high] - first
