"""Selection along the last axis, and the numbers of many spans."""

from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from .namespace import is_host, namespace


def smallest(values: Any, k: int) -> Any:
    """Indices of the ``k`` smallest of each row, in no particular order: (rows, m) -> (rows, k).

    Ties are broken arbitrarily. Where k exceeds m, all m come. torch's own topk is called for its
    tensors: the generic partition of the array API helpers is some sixty times slower there.
    """
    k = min(k, values.shape[-1])
    if is_torch_array(values):
        return values.topk(k, dim=-1, largest=False, sorted=False).indices
    if is_host(values) and 0 < k < values.shape[-1]:
        return np.argpartition(values, k - 1, axis=-1)[..., :k]
    return namespace(values).argsort(values, axis=-1)[..., :k]


def ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers ``first[i] : first[i] + counts[i]`` of each i, one after the other: int64."""
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(first - before, counts)
