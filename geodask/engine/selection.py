"""Some rows of many: as a range where they are evenly spaced, else as an array of row numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np

Rows = range | np.ndarray
"""Row numbers from 0 on, int64 where they are an array."""

GATHERED_ROWS = 4096
"""Rows of storage without chunks that are read as one slice, when some of them are wanted."""


def as_rows(index: Any, n: int) -> Rows:
    """The rows of ``n`` that a row, a slice, a mask or row numbers name. Raises IndexError."""
    if isinstance(index, tuple) and len(index) == 2 and index[1] is Ellipsis:
        index = index[0]  # as scikit-learn takes rows of an array
    if isinstance(index, slice):
        return range(n)[index]
    if isinstance(index, int | np.integer) and not isinstance(index, bool):
        if not -n <= index < n:
            raise IndexError(f"Row {index} must lie in 0 to {n - 1}. Pass such a row.")
        return range(int(index) % n, int(index) % n + 1)
    rows = np.asarray(index)
    if rows.dtype == bool:
        if rows.shape != (n,):
            raise IndexError(
                f"A mask needs the shape ({n},), but {rows.shape} came. Pass one value a row."
            )
        return np.flatnonzero(rows)
    if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
        raise IndexError("Points are indexed by a row, a slice, a mask or row numbers.")
    if rows.size and not (-n <= rows.min() and rows.max() < n):
        raise IndexError(f"Row numbers must lie in 0 to {n - 1}, but others came.")
    rows = rows.astype(np.int64)
    return np.where(rows < 0, rows + n, rows)


def pick(rows: Rows, some: Rows) -> Rows:
    """The rows at some positions of ``rows``; a range of a range is a range."""
    if isinstance(rows, range):
        if isinstance(some, range):
            return rows[_as_slice(some)]
        return rows.start + rows.step * some
    return rows[as_index(some)]


def as_index(rows: Rows) -> slice | np.ndarray:
    """The rows as an index of an array: a range as a slice, which copies nothing."""
    return _as_slice(rows) if isinstance(rows, range) else rows


def _as_slice(rows: range) -> slice:
    # A slice would take a stop of -1 for the last row.
    return slice(rows.start, rows.stop if rows.stop >= 0 else None, rows.step)


def gather(read: Callable[[int, int], np.ndarray], rows: Rows, unit: int) -> np.ndarray:
    """The rows in their order, from a reader of slices; a chunk of ``unit`` rows is read once."""
    if isinstance(rows, range) and rows.step == 1:
        return read(rows.start, rows.stop)
    nothing = read(0, 0)
    numbers = np.asarray(rows, np.int64)
    out = np.empty((len(numbers), *nothing.shape[1:]), nothing.dtype)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    step = max(unit, GATHERED_ROWS)
    for begin in np.unique(ordered // step) * step:
        left, right = np.searchsorted(ordered, [begin, begin + step])
        low, high = int(ordered[left]), int(ordered[right - 1]) + 1
        out[order[left:right]] = read(low, high)[ordered[left:right] - low]
    return out
