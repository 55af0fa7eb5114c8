"""The distances of all pairs of two blocks of rows."""

import numpy as np

from ..manifolds.base import Manifold, rows_of

GATHERED = 1 << 21
"""So many coordinates a side are gathered at once where a space has no loop of its own: 16 MiB."""


def all_dists(manifold: Manifold, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The distances (rows, others), float64: those of the ranks, some rows at a time."""
    ours, theirs = rows_of(manifold, x), rows_of(manifold, y)
    out = np.empty((len(x), len(y)))
    step = max(1, GATHERED // (manifold.size * max(1, len(y))))
    others = np.arange(len(y))
    for low in range(0, len(x), step):
        rows = np.arange(low, min(low + step, len(x)))
        pairs = np.repeat(rows, len(y)), np.tile(others, len(rows))
        ranks = manifold.pair_ranks(ours, pairs[0], theirs, pairs[1])
        out[low : low + step] = manifold.rank_to_dist(ranks).reshape(len(rows), len(y))
    return out
