"""The truth to 50 digits, by mpmath and without geodask: what tests compare with.

Stored rows are the real numbers that their floats are. Vectors come back as lists of mpf, and what
a row stands for is computed here again: on the sphere its direction, in flat space itself.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mpmath import mp, mpf

mp.dps = 50

Vector = Sequence[Any]


class Sphere:
    """Unit vectors, distances divided by the root of the curvature."""

    def __init__(self, curvature: float = 1.0):
        self.radius = 1 / mp.sqrt(curvature)

    def point(self, x: Vector) -> list[mpf]:
        return combine(1 / length(x), x)

    def tangent(self, p: Vector, v: Vector) -> list[mpf]:
        """The part of v that is orthogonal to the point p."""
        return combine(1, v, -mp.fdot(p, v), p)

    def rank(self, xx: Any, xy: Any, yy: Any) -> mpf:
        """tan^2 of half the angle, from inner products: (|x||y| - xy) / (|x||y| + xy)."""
        both = mp.sqrt(xx * yy) + abs(xy)
        small = mpf(xx * yy - xy * xy) / both**2  # no digits are lost, as inner products are exact
        return small if xy >= 0 else 1 / small if small else mp.inf

    def rank_to_dist(self, rank: mpf) -> mpf:
        return 2 * self.radius * mp.atan(mp.sqrt(rank))

    def exp(self, p: Vector, u: Vector) -> list[mpf]:
        p = self.point(p)
        u = self.tangent(p, u)
        t = length(u)
        return combine(mp.cos(t), p, mp.sinc(t), u)

    def log(self, p: Vector, q: Vector) -> list[mpf]:
        p, q = self.point(p), self.point(q)
        across = self.tangent(p, q)
        sine = length(across)
        return combine(mp.atan2(sine, mp.fdot(p, q)) / sine if sine else 0, across)

    def transport(self, p: Vector, q: Vector, u: Vector) -> list[mpf]:
        p, q = self.point(p), self.point(q)
        u, axis = self.tangent(p, u), combine(1, p, 1, q)
        return combine(1, u, -2 * mp.fdot(axis, u) / mp.fdot(axis, axis), axis)


class Euclidean:
    """Vectors as they are."""

    def point(self, x: Vector) -> list[mpf]:
        return combine(1, x)

    def rank(self, xx: Any, xy: Any, yy: Any) -> mpf:
        return mpf(xx - 2 * xy + yy)

    def rank_to_dist(self, rank: mpf) -> mpf:
        return mp.sqrt(rank)

    def exp(self, p: Vector, u: Vector) -> list[mpf]:
        return combine(1, p, 1, u)

    def log(self, p: Vector, q: Vector) -> list[mpf]:
        return combine(1, q, -1, p)

    def transport(self, p: Vector, q: Vector, u: Vector) -> list[mpf]:
        return combine(1, u)


def ranks(space: Sphere | Euclidean, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The rank of every pair of stored rows: (q, m), objects of mpf."""
    one = max(fraction_bits(x), fraction_bits(y))
    a, b = integers(x, one), integers(y, one)
    xx, yy, xy = (a * a).sum(axis=1), (b * b).sum(axis=1), a @ b.T
    unit = mpf(2) ** (-2 * one)  # the rank of the sphere has no unit
    unit = unit if isinstance(space, Euclidean) else mpf(1)
    found = [[space.rank(xx[i], xy[i, j], yy[j]) for j in range(len(b))] for i in range(len(a))]
    return np.array(found, object).reshape(len(a), len(b)) * unit


def dists(space: Sphere | Euclidean, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The distance of every pair of stored rows: (q, m), objects of mpf."""
    return np.vectorize(space.rank_to_dist, otypes=[object])(ranks(space, x, y))


def knn(space: Sphere | Euclidean, x: np.ndarray, k: int, y: np.ndarray | None = None) -> list:
    """For each row of x the k nearest of y, by (rank, row number) in real arithmetic.

    Without y the rows are their own targets, and none is its own neighbour.
    """
    found = ranks(space, x, x if y is None else y)
    if y is None:
        np.fill_diagonal(found, mp.inf)
    order = [sorted(range(len(row)), key=lambda j: (row[j], j)) for row in found]
    return [[j for j in row if y is not None or j != i][:k] for i, row in enumerate(order)]


def error(actual: Any, expected: Sequence[Any]) -> float:
    """The largest difference of two vectors' coordinates; NaN where there is one."""
    gaps = [abs(mpf(float(a)) - e) for a, e in zip(actual, expected, strict=True)]
    return float("nan") if any(map(mp.isnan, gaps)) else float(max(gaps))


def combine(*terms: Any) -> list[mpf]:
    """a x + b y + ... from a, x, b, y, ..."""
    scales, vectors = terms[::2], [map(mpf, map(_plain, vector)) for vector in terms[1::2]]
    return [mp.fdot(scales, coordinates) for coordinates in zip(*vectors, strict=True)]


def length(v: Vector) -> mpf:
    return mp.sqrt(mp.fdot(v, v))


def integers(x: np.ndarray, bits: int) -> np.ndarray:
    """Floats as integers in units of 2^-bits, exactly: Python's, as objects."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    whole = (mantissa * 2.0**53).astype(np.int64).astype(object)
    return whole << (exponent.astype(object) - 53 + bits)


def fraction_bits(x: np.ndarray) -> int:
    """How many binary digits after the point the smallest of the floats may have."""
    return 53 - int(np.frexp(np.asarray(x, np.float64))[1].min(initial=0))


def _plain(value: Any) -> Any:
    return value if isinstance(value, mpf) else float(value)
