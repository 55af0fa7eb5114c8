"""Planted trees in the Poincaré ball, distances in it, and true neighbours by brute force.

A tree has a root and seven generations of four children each: 21,845 nodes. A child lies at the end
of a geodesic from its parent, of length step * U(0.6, 1.4), in the direction unit(0.9 g + o): g is
a random unit vector, o points away from the origin. A forest is several trees, as many as it needs
for its rows; each grows from a seed of its own, and its root is one step from the origin in a
random direction. The rows of a forest are drawn from all nodes at random.

Nodes are a direction and a distance from the origin in float64, so that none is lost far out; they
are rounded once, to the coordinates of the ball. Those that come too near its rim are dropped.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, prange

DEPTH, BRANCHING = 7, 4
WANDER = 0.9
"""How much of a direction is chance; the rest points away from the origin."""
SPREAD = (0.6, 1.4)
RIM = {"float32": 2e-7, "float64": 4e-16}
"""1 - |x|^2 of the outermost rows that are kept, less than two units of the dtype."""


@dataclass(frozen=True)
class Nodes:
    """Points of hyperbolic space: unit vectors (rows, n), and distances from the origin (rows,)."""

    directions: np.ndarray
    radii: np.ndarray

    def ball(self, dtype: str = "float32") -> np.ndarray:
        """Coordinates in the Poincaré ball, rounded once."""
        return (np.tanh(self.radii / 2)[:, None] * self.directions).astype(dtype)

    def moved(self, directions: np.ndarray, steps: np.ndarray) -> "Nodes":
        """The ends of geodesics of these lengths.

        Directions are unit vectors of the tangent space at the origin, carried along the radius.
        In the hyperboloid the end is cosh(step) p + sinh(step) v; this is its space-like part.
        """
        along = np.vecdot(directions, self.directions)
        across = directions - along[:, None] * self.directions
        outward = (
            np.cosh(steps) * np.sinh(self.radii) + np.sinh(steps) * np.cosh(self.radii) * along
        )
        end = outward[:, None] * self.directions + np.sinh(steps)[:, None] * across
        return Nodes(unit(end), np.arcsinh(np.linalg.norm(end, axis=1)))


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors (rows, n) without their lengths."""
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def shell(radius: float, rows: int, n: int, seed: int = 0) -> Nodes:
    """Nodes at about this distance from the origin, within a tenth, in random directions."""
    rng = np.random.default_rng(seed)
    directions = unit(rng.standard_normal((rows, n)))
    return Nodes(directions, radius * rng.uniform(0.9, 1.1, rows))


def tree(n: int, step: float, seed: tuple[int, ...]) -> Nodes:
    """The nodes of one tree, generation by generation."""
    rng = np.random.default_rng(seed)
    root = Nodes(unit(rng.standard_normal((1, n))), step * rng.uniform(*SPREAD, 1))
    generations = [root]
    for _ in range(DEPTH):
        last = generations[-1]
        parents = Nodes(*(np.repeat(part, BRANCHING, 0) for part in (last.directions, last.radii)))
        chance = unit(rng.standard_normal(parents.directions.shape))
        steps = step * rng.uniform(*SPREAD, len(chance))
        generations.append(parents.moved(unit(WANDER * chance + parents.directions), steps))
    return Nodes(
        np.concatenate([each.directions for each in generations]),
        np.concatenate([each.radii for each in generations]),
    )


def forest(rows: int, n: int, step: float, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Rows (rows, n) of the Poincaré ball, in random order, from as many trees as it takes."""
    kept: list[np.ndarray] = []
    while sum(map(len, kept)) < rows:
        x = tree(n, step, (seed, len(kept))).ball(dtype)
        x = x[inside(x) > RIM[dtype]]
        if not len(x):
            raise ValueError(f"With step {step} no node of a tree stays off the rim in {dtype}.")
        kept.append(x)
    every = np.concatenate(kept)
    return every[np.random.default_rng(seed).permutation(len(every))[:rows]]


# --- distances ------------------------------------------------------------------------------------


def inside(x: np.ndarray) -> np.ndarray:
    """1 - |x|^2 of rows: float64, right to its last digit.

    In two parts of few digits the products of coordinates are exact, and fsum rounds a sum once.
    """
    x = np.asarray(x, np.float64)
    high = x.astype(np.float32).astype(np.float64)
    low = x - high
    parts = [-high * high] if not low.any() else [-high * high, -2 * high * low, -low * low]
    return np.array([math.fsum((1.0, *row.tolist())) for row in np.concatenate(parts, axis=1)])


def radii(x: np.ndarray) -> np.ndarray:
    """Distances of rows from the origin."""
    length = np.linalg.norm(np.asarray(x, np.float64), axis=1)
    return 2 * np.arcsinh(length / np.sqrt(inside(x)))


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row by row: 2 asinh(|x - y| / sqrt((1 - |x|^2) (1 - |y|^2))), float64."""
    step = np.asarray(x, np.float64) - np.asarray(y, np.float64)
    return 2 * np.arcsinh(np.linalg.norm(step, axis=1) / np.sqrt(inside(x) * inside(y)))


def relative(found: np.ndarray, true: np.ndarray) -> float:
    """The largest relative error of distances; NaN counts as infinite."""
    gap = np.abs(np.asarray(found, np.float64) - true)
    share = np.where(gap == 0, 0.0, gap / np.where(true > 0, true, np.finfo(np.float64).tiny))
    return float(np.where(np.isnan(share), np.inf, share).max(initial=0.0))


def truth(queries: np.ndarray, points: np.ndarray, k: int, own: np.ndarray) -> np.ndarray:
    """Row numbers (q, k) of the nearest by (rank, row number); ``own`` is the row each query is.

    The rank is |x - y|^2 / ((1 - |x|^2) (1 - |y|^2)) in float64, right to n + 8 roundings.
    """
    x, y = (np.ascontiguousarray(each, np.float64) for each in (queries, points))
    found = np.empty((len(x), k), np.int64)
    _nearest(x, 1 / inside(queries), y, 1 / inside(points), own, found)
    return found


@njit(parallel=True, fastmath={"reassoc", "contract"})
def _nearest(x, x_weights, y, y_weights, own, found):  # pragma: no cover - compiled
    k = found.shape[1]
    for i in prange(len(x)):
        ranks = np.full(k + 1, np.inf)
        rows = np.full(k + 1, -1)
        for j in range(len(y)):
            square = 0.0
            for axis in range(x.shape[1]):
                step = x[i, axis] - y[j, axis]
                square += step * step
            rank = square * (x_weights[i] * y_weights[j])
            if rank < ranks[k - 1] and j != own[i]:
                place = k - 1
                while place > 0 and rank < ranks[place - 1]:
                    ranks[place], rows[place] = ranks[place - 1], rows[place - 1]
                    place -= 1
                ranks[place], rows[place] = rank, j
        found[i] = rows[:k]
