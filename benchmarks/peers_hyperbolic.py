"""What geodask is compared with in the Poincaré ball: flat indexes by a lift, and libraries.

The lift makes hyperbolic neighbours those of an inner product: with a = 1 / (1 - |y|^2) the product
of [a y, a |y|^2, a] and [-2x, 1, |x|^2] is a |x - y|^2, which for one x is in the order of
distances. It is smallest for the nearest, so queries are negated where the largest come first.
Lifts are computed in float64 and rounded to float32 once.

Each function takes queries (q, n), points (m, n) and k, does what comes before a search, which is
not timed, and returns the search. Tiles are those that were fastest of the sizes tried.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import trees
from geodask.arrays.threads import keep_to_one_thread, one_thread_each
from harness import Answer
from machine import cores

Search = Callable[[], Answer]
Score = Callable[[slice, slice], torch.Tensor]

HNSW = {"M": 32, "efConstruction": 200, "efSearch": 512}
LIFT_TILE = (128, 8192)
DIFFERENCE_TILE = (64, 4096)
LIBRARY_TILE = 1 << 19
"""Coordinates in a tile of a library that holds all differences at once: they fit in a cache."""


@dataclass(frozen=True)
class Found:
    """Row numbers and distances (q, k), nearest first."""

    indices: np.ndarray
    distances: np.ndarray


def faiss_flat(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """FAISS IndexFlatIP on the lift."""
    import faiss

    index = faiss.IndexFlatIP(points.shape[1] + 2)
    return _faiss(index, queries, points, k)


def faiss_hnsw(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """FAISS IndexHNSWFlat on the lift, by inner product.

    Its graph joins rows whose lifts have large products with each other. The lift makes the product
    of a query and a row small where they are near; of two rows it says little.
    """
    import faiss

    index = faiss.IndexHNSWFlat(points.shape[1] + 2, HNSW["M"], faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW["efConstruction"]
    index.hnsw.efSearch = HNSW["efSearch"]
    return _faiss(index, queries, points, k)


def _faiss(index: Any, queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(cores())
    begin = time.perf_counter()
    index.add(lifted(points))
    facts = {"build_seconds": time.perf_counter() - begin}
    x, weights = -lifted_queries(queries), 1 / trees.inside(queries)

    def search() -> Answer:
        faiss.omp_set_num_threads(cores())
        keys, indices = index.search(x, k)
        return Answer(Found(indices, _distances(-keys, weights)), facts=facts)

    return search


def torch_lift(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """The float32 product of lifts, and topk."""
    x, y = torch.from_numpy(lifted_queries(queries)), torch.from_numpy(lifted(points))
    weights = 1 / trees.inside(queries)

    def search() -> Answer:
        keys, indices = _smallest(lambda i, j: x[i] @ y[j].T, LIFT_TILE, (len(x), len(y)), k)
        return Answer(Found(indices, _distances(keys, weights)))

    return search


def torch_difference(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """|x - y|^2 a in float32 from the differences, coordinate by coordinate, and topk."""
    x, y = (torch.from_numpy(np.ascontiguousarray(each.T)) for each in (queries, points))
    a = torch.from_numpy((1 / trees.inside(points)).astype(np.float32))
    weights = 1 / trees.inside(queries)

    def score(i: slice, j: slice) -> torch.Tensor:
        total = torch.zeros(x[0, i].numel(), y[0, j].numel())
        step = torch.empty_like(total)
        for u, v in zip(x[:, i], y[:, j], strict=True):
            torch.sub(u[:, None], v, out=step)
            total.addcmul_(step, step)
        return total.mul_(a[j])

    def search() -> Answer:
        keys, indices = _smallest(score, DIFFERENCE_TILE, (x.shape[1], y.shape[1]), k)
        return Answer(Found(indices, _distances(keys, weights)))

    return search


def geoopt_dist(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """geoopt.PoincareBall.dist in float32, tile by tile, and topk."""
    import geoopt

    ball = geoopt.PoincareBall()
    x, y = torch.from_numpy(queries), torch.from_numpy(points)
    return _library(lambda i, j: ball.dist(x[i, None], y[None, j]), x.shape, len(y), k)


def geomstats_dist(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """The distance of geomstats.PoincareBall in float64, tile by tile, and torch's topk."""
    from geomstats.geometry.poincare_ball import PoincareBall

    metric = PoincareBall(points.shape[1]).metric
    x, y = queries.astype(np.float64), points.astype(np.float64)

    def score(i: slice, j: slice) -> torch.Tensor:
        return torch.from_numpy(metric.dist(x[i, None], y[None, j]))

    return _library(score, x.shape, len(y), k)


def _library(score: Score, shape: tuple[int, ...], others: int, k: int) -> Search:
    columns = 2048
    rows = max(1, LIBRARY_TILE // (columns * shape[1]))

    def search() -> Answer:
        distances, indices = _smallest(score, (rows, columns), (shape[0], others), k)
        return Answer(Found(indices, distances))

    return search


# --- parts ----------------------------------------------------------------------------------------


def lifted(points: np.ndarray) -> np.ndarray:
    """[a y, a |y|^2, a] of points, float32."""
    y = points.astype(np.float64)
    a = (1 / trees.inside(points))[:, None]
    return np.concatenate([a * y, a - 1, a], axis=1).astype(np.float32)  # a |y|^2 = a - 1


def lifted_queries(queries: np.ndarray) -> np.ndarray:
    """[-2x, 1, |x|^2] of queries, float32."""
    x = queries.astype(np.float64)
    square = (1 - trees.inside(queries))[:, None]
    return np.concatenate([-2 * x, np.ones_like(square), square], axis=1).astype(np.float32)


def _distances(keys: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """From a |x - y|^2 (q, k), which rounding may leave below 0, and 1 / (1 - |x|^2)."""
    return 2 * np.arcsinh(np.sqrt(np.maximum(keys, 0) * weights[:, None]))


def _smallest(
    score: Score, tile: tuple[int, int], shape: tuple[int, int], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest scores of each row, and their columns; a thread a core takes rows of tiles."""

    @torch.no_grad()
    def part(start: int) -> tuple[torch.Tensor, torch.Tensor]:
        values, columns = [], []
        for first in range(0, shape[1], tile[1]):
            scores = score(slice(start, start + tile[0]), slice(first, first + tile[1]))
            best = scores.topk(min(k, scores.shape[1]), largest=False)
            values.append(best.values)
            columns.append(best.indices + first)
        best = torch.cat(values, 1).topk(k, largest=False)
        return best.values, torch.cat(columns, 1).gather(1, best.indices)

    with one_thread_each(), ThreadPoolExecutor(cores(), initializer=keep_to_one_thread) as pool:
        values, columns = zip(*pool.map(part, range(0, shape[0], tile[0])), strict=True)
    return torch.cat(values).numpy(), torch.cat(columns).numpy()
