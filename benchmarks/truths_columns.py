"""Rotations and subspaces in mpmath, by textbook formulas and nothing of geodask."""

from dataclasses import dataclass
from typing import Any

from mpmath import mp

from truths import Truth, Vector, size
from truths_matrices import Function, entries, matrix, odd, of


def orthonormal(x: Any) -> Any:
    """The nearest matrix with orthonormal columns."""
    return x * of(lambda value: 1 / mp.sqrt(value), x.H * x)


def spun(a: Any, function: Function) -> Any:
    """A function of i a for a skew-symmetric a, of which real parts are taken."""
    values, vectors = mp.eighe(mp.mpc(0, 1) * odd(a))
    found = vectors * mp.diag([function(mp.re(x)) for x in values]) * vectors.H
    return found.apply(mp.re)


@dataclass(frozen=True)
class Turns(Truth):
    """Rotations, with the metric tr(u^T v) / 2; a row stands for the nearest one."""

    n: int

    digits = 60

    def point(self, p: Vector) -> Any:
        return orthonormal(matrix(p, self.n))

    def body(self, p: Any, u: Vector) -> Any:
        return odd(p.T * matrix(u, self.n))

    def length(self, p: Vector, u: Vector) -> Any:
        return size(entries(self.body(self.point(p), u))) / mp.sqrt(2)

    def full(self, p: Vector, u: Vector) -> Any:
        return size(u) / mp.sqrt(2)

    def drawn(self, p: Vector, v: Vector) -> Vector:
        p = self.point(p)
        return entries(p * self.body(p, v))

    def reach(self, p: Vector, u: Vector) -> Any:
        values, _ = mp.eighe(mp.mpc(0, 1) * self.body(self.point(p), u))
        return mp.pi / max(abs(x) for x in values)

    def between(self, p: Any, q: Any) -> Any:
        """The logarithm of p^T q, by Cayley's map: its tangents of half the angles."""
        turn, unit = p.T * q, mp.eye(self.n)
        return spun((turn - unit) * (turn + unit) ** -1, lambda x: mp.mpc(0, -2) * mp.atan(x))

    def dist(self, p: Vector, q: Vector) -> Any:
        return size(entries(self.between(self.point(p), self.point(q)))) / mp.sqrt(2)

    def exp(self, p: Vector, u: Vector) -> Vector:
        p = self.point(p)
        return entries(p * spun(self.body(p, u), lambda x: mp.expj(-x)))

    def log(self, p: Vector, q: Vector) -> Vector:
        p = self.point(p)
        return entries(p * self.between(p, self.point(q)))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        p = self.point(p)
        half = spun(self.between(p, self.point(q)) / 2, lambda x: mp.expj(-x))
        return entries(p * half * self.body(p, u) * half)


@dataclass(frozen=True)
class Spans(Truth):
    """Subspaces (Edelman, Arias and Smith, 1998); a row stands for the nearest orthonormal columns,
    which span it, and tangent vectors at it turn with these."""

    n: int

    digits = 60

    def point(self, p: Vector) -> Any:
        return orthonormal(matrix(p, self.n))

    def across(self, p: Any, u: Any) -> Any:
        return u - p * (p.T * u)

    def length(self, p: Vector, u: Vector) -> Any:
        return size(entries(self.across(self.point(p), matrix(u, self.n))))

    def full(self, p: Vector, u: Vector) -> Any:
        return size(u)

    def drawn(self, p: Vector, v: Vector) -> Vector:
        return entries(self.across(self.point(p), matrix(v, self.n)))

    def turned(self, u: Any) -> tuple[list[Any], Any]:
        """Angles and axes of what is u in the columns of a basis."""
        values, vectors = mp.eigsy(u.T * u)
        return [mp.sqrt(abs(x)) for x in values], vectors

    def reach(self, p: Vector, u: Vector) -> Any:
        return mp.pi / 2 / max(self.turned(matrix(u, self.n))[0])

    def way(self, p: Any, q: Any) -> Any:
        """The logarithm of a basis."""
        slope = self.across(p, q) * (p.T * q) ** -1
        tangents, vectors = self.turned(slope)
        shares = [mp.atan(x) / x if x else mp.one for x in tangents]
        return slope * vectors * mp.diag(shares) * vectors.T

    def dist(self, p: Vector, q: Vector) -> Any:
        return size(entries(self.way(self.point(p), self.point(q))))

    def end(self, p: Any, u: Any) -> Any:
        """The basis that is carried to where u leads."""
        angles, vectors = self.turned(u)
        cosines = mp.diag([mp.cos(x) for x in angles])
        sines = mp.diag([mp.sin(x) / x if x else mp.one for x in angles])
        return (p * vectors * cosines + u * vectors * sines) * vectors.T

    def exp(self, p: Vector, u: Vector) -> Vector:
        p = self.point(p)
        return entries(self.end(p, self.across(p, matrix(u, self.n))))

    def log(self, p: Vector, q: Vector) -> Vector:
        return entries(self.way(self.point(p), self.point(q)))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        p, q = self.point(p), self.point(q)
        way, u = self.way(p, q), self.across(p, matrix(u, self.n))
        angles, vectors = self.turned(way)
        sines = mp.diag([mp.sin(x) / x if x else mp.one for x in angles])
        cosines = mp.diag([(mp.cos(x) - 1) / x**2 if x else -mp.one / 2 for x in angles])
        moving = way * vectors
        u += (moving * cosines - p * vectors * sines) * (moving.T * u)
        return entries(u * (self.end(p, way).T * q))
