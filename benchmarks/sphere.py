"""Rows on a sphere, and their true neighbours by brute force in float64."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import zarr

import geodask as gd
from geodask.arrays.namespace import lane_sum

DIMENSIONS = 384
CHUNK_ROWS = 8192
MARGIN = 1e-9
"""A cosine in float64 errs by less than 1e-13; a rank moves a cosine by less than that."""
CLUSTER_ROWS = 100


def uniform(rows: int, n: int = DIMENSIONS, seed: int = 0) -> np.ndarray:
    """Unit vectors (rows, n) in float32, uniform on the sphere."""
    return unit(np.random.default_rng(seed).standard_normal((rows, n), dtype=np.float32))


def clustered(rows: int, n: int = DIMENSIONS, seed: int = 0) -> np.ndarray:
    """Unit vectors (rows, n) in float32 in clusters of some hundred rows, in any order.

    The distance of a row from its centre is spread evenly in its logarithm over 1e-7 to 1: each
    cluster holds copies that float32 cannot tell apart, near-duplicates and distant relations.
    """
    rng = np.random.default_rng(seed)
    count = max(1, rows // CLUSTER_ROWS)
    # Every part of the data has the same centres, whatever its own seed.
    centres = uniform(count, n, seed=1_000_003)
    x = rng.standard_normal((rows, n), dtype=np.float32) / np.sqrt(np.float32(n))
    x *= (10 ** rng.uniform(-7, 0, rows)).astype(np.float32)[:, None]
    return unit(centres[rng.integers(count, size=rows)] + x)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def stored(path: Path, rows: int, n: int = DIMENSIONS, seed: int = 0) -> gd.Points:
    """Uniform rows in a Zarr array without compression; a chunk at a time, so of any size."""
    chunk = max(1, min(CHUNK_ROWS, rows))
    array = zarr.create_array(
        str(path), shape=(rows, n), chunks=(chunk, n), dtype="float32", compressors=None
    )
    for number, start in enumerate(range(0, rows, chunk)):
        count = min(chunk, rows - start)
        array[start : start + count] = uniform(count, n, seed + number)
    return gd.points(path, gd.Sphere(n))


def blocks(x: gd.Points) -> Iterator[tuple[int, np.ndarray]]:
    """All rows, as (number of the first, rows)."""
    for start in range(0, len(x), CHUNK_ROWS):
        yield start, x.read(start, min(start + CHUNK_ROWS, len(x)))


def truth(
    queries: np.ndarray,
    points: Iterable[tuple[int, np.ndarray]],
    k: int,
    own: np.ndarray | None = None,
) -> np.ndarray:
    """Row numbers (q, k) of the nearest by (rank, row number).

    Cosines in float64 rule out what cannot be among them; the ranks of the rest come from the
    reference on the manifold, not from the compiled loops. ``own``: the row that each query is.
    """
    manifold = gd.Sphere(queries.shape[1])
    p = _canonical(queries)
    ranks = [np.empty(0)] * len(p)
    indices = [np.empty(0, np.int64)] * len(p)
    for first, rows in points:
        q = _canonical(rows)
        cosines = p @ q.T
        if own is not None:
            inside = np.flatnonzero((own >= first) & (own < first + len(rows)))
            cosines[inside, own[inside] - first] = -np.inf
        for i, row in enumerate(cosines):
            floor = np.partition(row, -k)[-k] - MARGIN if len(row) > k else -2.0
            near = np.flatnonzero(row >= max(floor, -2.0))
            found = np.concatenate([ranks[i], manifold.rank(p[i], q[near])])
            others = np.concatenate([indices[i], near + first])
            best = np.lexsort((others, found))[:k]
            ranks[i], indices[i] = found[best], others[best]
    return np.stack(indices)


def _canonical(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x * (1 / np.sqrt(lane_sum(x * x)))[:, None]
