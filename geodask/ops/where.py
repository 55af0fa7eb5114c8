"""Which rows may find which: a mask of those that are searched, or groups that are kept apart."""

from typing import Any

import numpy as np

from ..errors import SpecError
from ..kernels.lists import LEFT_OUT, Lists

EVERYBODY = -2
"""The label of queries that may find all targets that are there."""


def labels_of(
    where: Any, queries: int, targets: int, itself: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """The labels of queries and of targets: a query does not find targets of its own.

    None without ``where``. Raises SpecError where it is neither a mask nor labels.
    """
    if where is None:
        return None
    parts = where if isinstance(where, tuple) else (where,)
    values = [as_labels(part) for part in parts]
    if len(values) == 1 and values[0].dtype == bool and values[0].shape == (targets,):
        mask = np.where(values[0], 0, LEFT_OUT)
        return np.full(queries, EVERYBODY), mask
    sizes = [(queries,)] if itself else [(queries,), (targets,)]
    sound = [value.shape for value in values] == sizes
    if not sound or any(value.dtype == bool or value.dtype.kind in "fc" for value in values):
        took = "labels" if itself else "a pair of labels, of the queries and of the targets"
        raise SpecError(
            f"where must be a boolean mask ({targets},) of the rows that may be found, or {took}, "
            "integers or strings, one a row",
            came=" and ".join(f"{value.dtype} of shape {value.shape}" for value in values),
            do="Pass one of them.",
        )
    codes = numbered(values)
    return (codes, codes) if itself else (codes[:queries], codes[queries:])


def as_labels(part: Any) -> np.ndarray:
    """What was passed, as an array; one of objects that are all True or False is a mask."""
    found = np.asarray(part)
    truths = found.dtype == object and all(isinstance(each, bool | np.bool) for each in found.flat)
    return found.astype(bool) if truths and found.size else found


def numbered(values: list[np.ndarray]) -> np.ndarray:
    """Numbers in the order in which labels come first: those of first rows stay as rows come."""
    import pandas as pd

    kinds = {value.dtype.kind in "iu" for value in values if value.dtype != object}
    if len(kinds) > 1:
        raise SpecError(
            "Labels of queries and of targets are of one kind",
            came="integers and strings came",
            do="Convert one of them.",
        )
    codes, _ = pd.factorize(np.concatenate([value.astype(object) for value in values]))
    if (codes < 0).any():
        raise SpecError(
            "Every row needs a label",
            came=f"row {int(np.argmax(codes < 0))} has none",
            do="Give rows without a group labels of their own.",
        )
    return codes.astype(np.int64)


def left(labels: tuple[np.ndarray, np.ndarray], lists: Lists | None, own: bool) -> np.ndarray:
    """For each query how many targets it may find: (queries,).

    ``own``: whether it is itself among them, and does not count.
    """
    ours, theirs = labels
    there = np.sort(theirs[theirs != LEFT_OUT])
    first, last = (np.searchsorted(there, ours, side=side) for side in ("left", "right"))
    found = len(there) - (last - first)
    if lists is not None:  # which hold a row itself, where there are any
        rows, others = lists.rows, lists.others
        also = (theirs[others] != LEFT_OUT) & (theirs[others] != ours[rows])
        return found - np.bincount(rows[also], minlength=len(ours))
    if own:
        found = found - ((theirs != LEFT_OUT) & (theirs != ours))
    return found
