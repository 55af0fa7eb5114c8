"""Orthonormal frames in mpmath, by textbook formulas and nothing of geodask.

A geodesic with the velocity u = p a + r is e^tW p e^tz, with W p = 2 weight p a + r, where W is
skew-symmetric, and z = (1 - 2 weight) a, for the metric weight |a|^2 + |r|^2 (Zimmermann and Hüper,
2022). Transport is by the Christoffel symbols of Edelman, Arias and Smith, 1998, in the frame that
moves along.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp
from scipy.linalg import expm

from truths import Truth, Vector, size
from truths_columns import orthonormal, spun
from truths_matrices import entries, even, matrix, odd

STEPS = 100
"""Newton's, in float64; most ends need some ten."""
LONGEST = 0.25
"""The longest of them."""
MET = 1e-12


@dataclass(frozen=True)
class Frames(Truth):
    """By the canonical metric, of weight 1 / 2, or the Euclidean one, of weight 1; a row stands for
    the nearest frame."""

    n: int
    k: int
    weight: float

    digits = 60

    def point(self, p: Vector) -> Any:
        return orthonormal(matrix(p, self.n))

    def parts(self, p: Any, u: Any) -> tuple[Any, Any]:
        """a and r."""
        inside = p.T * u
        return odd(inside), u - p * inside

    def length(self, p: Vector, u: Vector) -> Any:
        a, r = self.parts(self.point(p), matrix(u, self.n))
        return mp.sqrt(self.weight * size(entries(a)) ** 2 + size(entries(r)) ** 2)

    def full(self, p: Vector, u: Vector) -> Any:
        return size(u)

    def gap(self, found: Vector, true: Vector) -> Any:
        return size(entries(self.point(found) - self.point(true)))

    def drawn(self, p: Vector, v: Vector) -> Vector:
        return entries(self.tangent(self.point(p), matrix(v, self.n)))

    def tangent(self, p: Any, v: Any) -> Any:
        a, r = self.parts(p, v)
        return p * a + r

    def turns(self, p: Any, u: Any) -> tuple[Any, Any]:
        """W and z."""
        a, r = self.parts(p, u)
        moved = r * p.T
        return 2 * self.weight * p * a * p.T + moved - moved.T, (1 - 2 * self.weight) * a

    def end(self, p: Any, u: Any) -> Any:
        turn, spin = self.turns(p, u)
        return _turned(turn) * p * _turned(spin)

    def exp(self, p: Vector, u: Vector) -> Vector:
        p = self.point(p)
        return entries(self.end(p, self.tangent(p, matrix(u, self.n))))

    def way(self, p: Any, q: Any) -> Any:
        """The velocity to q: by Newton's method in float64, and on by its last derivatives."""
        u, back = self.shot(_floats(p), _floats(q))
        u = self.tangent(p, mp.matrix(u.tolist()))
        back = mp.matrix(back.tolist())
        for _ in range(mp.dps):
            left = q - self.end(p, u)
            if size(entries(left)) < mp.mpf(10) ** (8 - mp.dps):
                break
            u = self.tangent(p, u + matrix(list(back * mp.matrix(entries(left))), self.n))
        return u

    def shot(self, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The velocity, and the derivative of it by the end, flat."""

        def ends(c: np.ndarray) -> np.ndarray:
            u = (axes @ c).reshape(p.shape)
            inside = p.T @ u
            r, a = u - p @ inside, (inside - inside.T) / 2
            moved = 2 * self.weight * p @ a @ p.T + r @ p.T - p @ r.T
            return (expm(moved) @ p @ expm((1 - 2 * self.weight) * a)).reshape(-1)

        axes = _axes(p)
        units = 1e-6 * np.eye(axes.shape[1])
        c, longest = 0 * units[0], LONGEST
        left = q.reshape(-1) - ends(c)
        for _ in range(STEPS):
            slope = np.array([ends(c + each) - ends(c - each) for each in units]).T / 2e-6
            back = np.linalg.pinv(slope)
            if np.linalg.norm(left) < MET:
                break
            step = back @ left
            step *= min(1.0, longest / max(np.linalg.norm(step), 1e-300))
            after = q.reshape(-1) - ends(c + step)
            if np.linalg.norm(after) < np.linalg.norm(left):
                c, left = c + step, after
            else:
                longest = np.linalg.norm(step) / 2
        return (axes @ c).reshape(p.shape), axes @ back

    def dist(self, p: Vector, q: Vector) -> Any:
        p, q = self.point(p), self.point(q)
        a, r = self.parts(p, self.way(p, q))
        return mp.sqrt(self.weight * size(entries(a)) ** 2 + size(entries(r)) ** 2)

    def log(self, p: Vector, q: Vector) -> Vector:
        return entries(self.way(self.point(p), self.point(q)))

    def symbols(self, p: Any, u: Any, v: Any) -> Any:
        """Christoffel's, of two tangent vectors."""
        if self.weight == 1:
            return p * even(u.T * v)
        (_, r), (_, s) = self.parts(p, u), self.parts(p, v)
        return (u * v.T + v * u.T) * p / 2 + p * even(r.T * s)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        # V = e^tW v e^tz is parallel where v' = -(W v + v z + symbols(step, v)), all along.
        p = self.point(p)
        step = self.way(p, self.point(q))
        turn, spin = self.turns(p, step)
        v = term = self.tangent(p, matrix(u, self.n))
        for j in range(1, 2 * mp.dps):
            moved = turn * term + term * spin + self.symbols(p, step, term)
            term = self.tangent(p, -moved / j)
            v += term
        return entries(_turned(turn) * v * _turned(spin))


def _turned(a: Any) -> Any:
    """e^a of a skew-symmetric one."""
    return spun(a, lambda x: mp.expj(-x))


def _floats(a: Any) -> np.ndarray:
    return np.array(a.tolist(), float)


def _axes(p: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the flat tangent vectors: (n k, dim)."""
    n, k = p.shape
    units = np.eye(n * k).reshape(-1, n, k)
    tangent = units - p @ (p.T @ units + units.mT @ p) / 2
    left, values, _ = np.linalg.svd(tangent.reshape(-1, n * k).T)
    return left[:, : int(np.sum(values > 0.5))]
