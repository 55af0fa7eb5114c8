"""Pairs of rows as they are asked for, and what is known of them here, where they came from."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SpecError


@dataclass(frozen=True)
class Asked:
    """Distinct pairs, sorted, and the order in which they were asked for."""

    rows: np.ndarray
    """(distinct,) the row of each."""
    order: np.ndarray
    """(p,) which of them each pair was."""
    excluded: np.ndarray
    """(distinct,) bool: the other of this pair does not count for other pairs."""

    def in_given_order(self, values: Any) -> Any:
        """Values of the distinct pairs as values of the pairs."""
        if len(self.order) == len(self.rows) and (np.diff(self.order) == 1).all():
            return values
        return values[self.order]

    def mean_average_precision(self, ranks: np.ndarray) -> float:
        """From the ranks in the given order."""
        if len(self.rows) == 0:
            return math.nan
        found = np.empty(len(self.rows), np.int64)
        found[self.order] = ranks
        # Of one row's targets with the same rank all but the last do not count, or it had another.
        order = np.lexsort((~self.excluded, found, self.rows))
        rows, found, excluded = self.rows[order], found[order], self.excluded[order]
        _, starts, sizes = np.unique(rows, return_index=True, return_counts=True)
        first = np.repeat(starts, sizes)
        uncounted = np.cumsum(excluded) - excluded
        uncounted -= uncounted[first]
        precision = (np.arange(len(rows)) - first + 1) / (found + uncounted)
        return float(np.mean(np.add.reduceat(precision, starts) / sizes))


def asked(pairs: Any, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and others of the distinct pairs, sorted, and for each given pair which it is.

    Raises SpecError, IndexError or ValueError where they are no pairs of different rows below n.
    """
    values = np.asarray(pairs)
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "iu":
        raise SpecError(
            "pairs must be integers (row, other) of shape (p, 2)",
            came=f"shape {values.shape} of {values.dtype} came",
            do="Pass such an array, as numpy.stack([rows, others], axis=1) makes one.",
        )
    outside = np.flatnonzero(((values < 0) | (values >= n)).any(axis=1))
    if len(outside):
        raise IndexError(
            f"Pairs must be of rows 0 to {n - 1}, but pair {outside[0]} is "
            f"{tuple(map(int, values[outside[0]]))}. Pass row numbers of x."
        )
    alone = np.flatnonzero(values[:, 0] == values[:, 1])
    if len(alone):
        raise ValueError(
            f"A pair is of two rows, but pair {alone[0]} is {tuple(map(int, values[alone[0]]))}. "
            "Leave out pairs of a row with itself: they have no rank."
        )
    width = max(1, n)
    values = values.astype(np.int64)
    distinct, order = np.unique(values[:, 0] * width + values[:, 1], return_inverse=True)
    return distinct // width, distinct % width, order
