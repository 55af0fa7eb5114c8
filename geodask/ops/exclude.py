"""Pairs that must not be returned: masks as users have them, and as inputs of an operation."""

from typing import Any

import numpy as np

from ..arrays.select import ranges
from ..engine.points import Points
from ..engine.sources import Memory
from ..errors import SpecError
from ..kernels.lists import Lists
from ..manifolds.euclidean import Euclidean

LIST_BYTES = 64
"""What a task holds for each excluded pair: as stored, as integers, and sorted by target."""


def mask_lists(exclude: Any, shape: tuple[int, int]) -> Lists:
    """For each row the excluded others, from a dense or sparse mask of that shape.

    Raises SpecError for anything else.
    """
    from scipy import sparse

    stored: Any = exclude if sparse.issparse(exclude) else None
    if stored is None and not isinstance(exclude, np.ndarray):
        raise SpecError(
            "exclude must be a mask: a boolean array or a scipy sparse matrix",
            came=f"{type(exclude).__name__} came",
            do="Make pairs (i, j) one with scipy.sparse.coo_array((numpy.ones(len(i), bool), "
            f"(i, j)), shape={shape}).",
        )
    if tuple(exclude.shape) != shape:
        raise SpecError(
            f"exclude must have one row a query and one column a target, {shape}",
            came=f"the shape {tuple(exclude.shape)} came",
            do="Pass a mask of that shape.",
        )
    if stored is None and exclude.dtype != bool:
        raise SpecError(
            "A dense mask must be boolean",
            came=f"one of {exclude.dtype} came",
            do="Pass mask.astype(bool), or a sparse matrix, where what is stored and not zero "
            "is excluded.",
        )
    if stored is None:
        starts = np.concatenate([[0], np.cumsum(exclude.sum(axis=1, dtype=np.int64))])
        return Lists(starts, np.nonzero(exclude)[1])
    rows = stored.tocsr(copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return Lists(rows.indptr.astype(np.int64), rows.indices.astype(np.int64))


def excluded_lists(exclude: Any, shape: tuple[int, int], own: np.ndarray | None) -> Lists | None:
    """The lists of a mask and, where there is one, of each row's own number.

    None where the mask excludes nothing beside: then no input is needed for it.
    """
    if exclude is None:
        return None
    lists, alone = mask_lists(exclude, shape), 0
    if own is not None:
        lists, alone = with_one(lists, own), len(own)
    return lists if len(lists.others) > alone else None


def check_left(left: np.ndarray, k: int, what: str) -> None:
    """Raises ValueError where a row may choose from fewer than k others."""
    row = int(left.argmin()) if len(left) else 0
    if len(left) and left[row] < k:
        raise ValueError(
            f"Every row must keep at least k={k} rows to choose from, but {what} leaves row "
            f"{row} {left[row]} of them. Exclude fewer, or pass a smaller k."
        )


def with_one(lists: Lists, also: np.ndarray) -> Lists:
    """The lists with one more entry in each: ``also`` (rows,)."""
    rows = np.concatenate([lists.rows, np.arange(len(also))])
    others = np.concatenate([lists.others, also])
    order = np.lexsort((others, rows))
    rows, others = rows[order], others[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]) | (others[1:] != others[:-1])
    return Lists(np.searchsorted(rows[new], np.arange(len(also) + 1)), others[new])


def selected(lists: Lists, rows: np.ndarray) -> Lists:
    """The lists of some rows."""
    starts, sizes = lists.starts[rows], np.diff(lists.starts)[rows]
    return Lists(np.concatenate([[0], np.cumsum(sizes)]), lists.others[ranges(starts, sizes)])


def holds(lists: Lists, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether the list of each row holds the other: (pairs,) bool, of sorted distinct pairs."""
    width = 1 + max(lists.others.max(initial=0), others.max(initial=0))
    return np.isin(rows * width + others, lists.rows * width + lists.others)


def heaviest(lists: Lists) -> tuple[int, ...]:
    """The most pairs of 1, 2, 4, 8 ... consecutive rows: for the memory of a task."""
    starts, rows = lists.starts, len(lists.starts) - 1
    spans = [min(1 << power, rows) for power in range(1 + (rows - 1).bit_length())]
    return tuple(int((starts[span:] - starts[:-span]).max(initial=0)) for span in spans)


def list_bytes(most: tuple[int, ...], rows: int) -> int:
    """Memory for the lists of so many consecutive rows, from what `heaviest` found."""
    return LIST_BYTES * most[min((rows - 1).bit_length(), len(most) - 1)] if most else 0


def column(values: np.ndarray) -> Points:
    """Integers as rows of an input: float64 holds them below 2^53."""
    rows = (values[:, None] if values.ndim == 1 else values).astype(np.float64)
    return Points(Memory(rows.shape, rows.dtype, rows), Euclidean(rows.shape[1]))


def read_integers(x: Points, start: int, stop: int) -> np.ndarray:
    """What `column` made an input of: (rows,), or (rows, columns)."""
    values = x.read(start, stop).astype(np.int64)
    return values[:, 0] if values.shape[1] == 1 else values


def read_lists(inputs: tuple[Points, ...], start: int, stop: int) -> Lists:
    """The lists of some rows, from the two inputs that hold their starts and their others."""
    starts = read_integers(inputs[0], start, stop + 1)
    return Lists(starts - starts[0], read_integers(inputs[1], int(starts[0]), int(starts[-1])))
