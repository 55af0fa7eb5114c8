"""The ranks of all pairs of two blocks of rows."""

import numpy as np

from ..manifolds.base import Manifold, rows_of
from .search import PAIRS


def all_ranks(manifold: Manifold, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The ranks (rows, others), float64, some million pairs at a time."""
    ours, theirs = rows_of(manifold, x), rows_of(manifold, y)
    out = np.empty((len(x), len(y)))
    step = max(1, PAIRS // max(1, len(y)))
    others = np.arange(len(y))
    for low in range(0, len(x), step):
        rows = np.arange(low, min(low + step, len(x)))
        pairs = np.repeat(rows, len(y)), np.tile(others, len(rows))
        ranks = manifold.pair_ranks(ours, pairs[0], theirs, pairs[1])
        out[low : low + step] = ranks.reshape(len(rows), len(y))
    return out
