"""What geodask is compared with: other libraries at their best settings, and the bare product.

Each function takes queries (q, n), points (m, n) and k, does what comes before a search (such as
filling an index, which is not timed), and returns the search, a function without arguments whose
answer is the row numbers (q, k).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

from geodask.arrays.threads import keep_to_one_thread, one_thread_each
from harness import Answer
from machine import TILE, Product, cores

Search = Callable[[], Answer]

TOPK_TILE = {"cpu": (512, 8192), "cuda": (8192, 32768)}
"""On the CPU the fastest of those that were tried, from 64 x 20000 to 1024 x 8192."""


def installed(module: str) -> bool:
    """Whether a peer is there."""
    return find_spec(module) is not None


def faiss_flat(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """FAISS IndexFlatIP on all cores; OPENBLAS_CORETYPE decides how fast its BLAS is."""
    import faiss

    index = faiss.IndexFlatIP(points.shape[1])
    index.add(points)

    def search() -> Answer:
        faiss.omp_set_num_threads(cores())
        return Answer(index.search(queries, k)[1])

    return search


def sklearn_brute(queries: np.ndarray, points: np.ndarray, k: int) -> Search:
    """scikit-learn's fused brute force; on the sphere chords are in the order of angles."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="euclidean").fit(points)
    return lambda: Answer(found.kneighbors(queries, return_distance=False))


def torch_topk(queries: np.ndarray, points: np.ndarray, k: int, way: Product) -> Search:
    """The product of a tile and its topk, merged over the tiles of a row."""
    import torch

    y = way.prepare(points)
    rows, columns = TOPK_TILE[way.device]

    def search() -> Answer:
        out = np.empty((len(queries), k), np.int64)
        for i in range(0, len(queries), rows):
            x = way.prepare(queries[i : i + rows])
            values, indices = [], []
            for j in range(0, len(y), columns):
                tile = way.multiply(x, y[j : j + columns])
                best, found = tile.topk(min(k, tile.shape[1]))
                values.append(best)
                indices.append(found + j)
            order = torch.cat(values, 1).topk(k).indices
            out[i : i + rows] = torch.cat(indices, 1).gather(1, order).cpu().numpy()
        return Answer(out)

    return search


def product_alone(queries: np.ndarray, points: np.ndarray, way: Product) -> Search:
    """All products, tile by tile, of operands that are there in the right form; no selection.

    As in geodask a thread for each core takes tiles of its own, which on a machine that others use
    as well is faster than threads that share a tile and wait for each other.
    """
    x, y = way.prepare(queries), way.prepare(points)
    rows, columns = TILE[way.device]

    def multiply(i: int) -> None:
        for j in range(0, len(y), columns):
            way.multiply(x[i : i + rows], y[j : j + columns])
        way.wait()

    def everything() -> Answer:
        threads = cores() if way.device == "cpu" else 1
        with one_thread_each(), ThreadPoolExecutor(threads, initializer=keep_to_one_thread) as pool:
            for _ in pool.map(multiply, range(0, len(x), rows)):
                pass
        return Answer()

    return everything
