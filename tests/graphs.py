"""Rows, masks and pairs as graphs have them, and the ranks of pairs by their definition."""

import numpy as np

import geodask as gd
from geodask.kernels.lists import Lists
from geodask.manifolds.base import rows_of
from geodask.ops.exclude import mask_lists

SPACES = {"Sphere": gd.Sphere(6), "Euclidean": gd.Euclidean(5), "PoincareBall": gd.PoincareBall(4)}


def rows(space: str, n: int, seed: int = 1) -> np.ndarray:
    """Random rows, and some of them twice."""
    x = SPACES[space].random(n, seed=seed)
    x[n // 2 : n // 2 + 9] = x[:9]
    return x.astype(np.float32)


def all_ranks(manifold: gd.Manifold, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    i, j = np.indices((len(x), len(y))).reshape(2, -1)
    ranks = manifold.pair_ranks(rows_of(manifold, x), i, rows_of(manifold, y), j)
    return ranks.reshape(len(x), len(y))


def random_mask(n: int, m: int, share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, m)) < share


def with_own(mask: np.ndarray) -> np.ndarray:
    return mask | np.eye(len(mask), dtype=bool)


def lists_of(mask: np.ndarray) -> Lists:
    return mask_lists(mask, mask.shape)


def random_pairs(n: int, p: int, seed: int = 0) -> np.ndarray:
    """Pairs of different rows in no order, of few rows and of many, some twice."""
    rng = np.random.default_rng(seed)
    of = np.where(rng.random(p) < 0.3, rng.integers(0, 3, p), rng.integers(0, n, p))
    pairs = np.stack([of, (of + rng.integers(1, n, p)) % n], axis=1)
    return np.concatenate([pairs, pairs[: p // 10]])


def brute_ranks(ranks: np.ndarray, pairs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """By the definition, a pair at a time."""
    numbers, found = np.arange(len(ranks)), []
    for row, other in pairs:
        rank = ranks[row, other]
        before = (ranks[row] < rank) | ((ranks[row] == rank) & (numbers < other))
        before[[row, other]] = False
        found.append(1 + int((before & ~(mask[row] if mask is not None else before[row])).sum()))
    return np.array(found, np.int64)
