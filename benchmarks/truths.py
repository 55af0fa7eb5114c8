"""Geometry in mpmath, from rows as they are stored: what the verbs of a manifold should answer.

Nothing here comes from geodask, and the formulas are textbook ones: where they lose digits there
are enough of them. A row is a list of mpf, a tangent vector too.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from mpmath import mp, mpf

Vector = list[Any]


class Truth(ABC):
    """A space."""

    digits = 120
    """At so many, answers are right to 25 and more, in hyperbolic space at distances of 80."""

    @abstractmethod
    def length(self, p: Vector, u: Vector) -> Any: ...

    @abstractmethod
    def dist(self, p: Vector, q: Vector) -> Any: ...

    @abstractmethod
    def exp(self, p: Vector, u: Vector) -> Vector: ...

    @abstractmethod
    def log(self, p: Vector, q: Vector) -> Vector: ...

    @abstractmethod
    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector: ...

    def drawn(self, p: Vector, v: Vector) -> Vector:
        """A tangent vector from normal numbers, of no direction more than of others, or nearly."""
        return v

    def reach(self, p: Vector, u: Vector) -> Any:
        """How often u leads from p to the cut locus."""
        return mp.inf

    def gap(self, found: Vector, true: Vector) -> Any:
        """How far a point is from the true one."""
        return self.dist(found, true)

    def full(self, p: Vector, u: Vector) -> Any:
        """The length of a vector that need not be tangent."""
        return self.length(p, u)

    def off(self, p: Vector, found: Vector, true: Vector) -> Any:
        """The length of what a tangent vector at p is off, over that of the true one."""
        return self.full(p, total(1, found, -1, true)) / self.full(p, true)


# --- vectors --------------------------------------------------------------------------------------


def exact(row: Any) -> Vector:
    """A stored row, its entries one after the other."""
    return [mpf(float(a)) for a in np.ravel(row)]


def total(*terms: Any) -> Vector:
    """a x + b y + ... from a, x, b, y, ..."""
    scales, vectors = terms[::2], terms[1::2]
    return [mp.fdot(scales, coordinates) for coordinates in zip(*vectors, strict=True)]


def size(v: Vector) -> Any:
    """The flat length."""
    return mp.sqrt(mp.fdot(v, v))


# --- hyperbolic space -----------------------------------------------------------------------------


class Ball(Truth):
    """The Poincaré ball, by Möbius sums (Ungar, 2005)."""

    def left(self, p: Vector) -> Any:
        return 1 - mp.fdot(p, p)

    def length(self, p: Vector, u: Vector) -> Any:
        return 2 * size(u) / self.left(p)

    def dist(self, p: Vector, q: Vector) -> Any:
        left = self.left(p) * self.left(q)
        return 2 * mp.asinh(size(total(1, q, -1, p)) / mp.sqrt(left)) if left > 0 else mp.inf

    def add(self, p: Vector, q: Vector) -> Vector:
        pq, qq = mp.fdot(p, q), mp.fdot(q, q)
        over = 1 + 2 * pq + mp.fdot(p, p) * qq
        return total((1 + 2 * pq + qq) / over, p, self.left(p) / over, q)

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.add(p, total(mp.tanh(self.length(p, u) / 2) / size(u), u))

    def log(self, p: Vector, q: Vector) -> Vector:
        step = self.add(total(-1, p), q)
        length = size(step)
        return total(self.left(p) * mp.atanh(length) / length, step)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        back, short = total(-1, p), total(1 / (2 * size(u)), u)
        turned = self.add(q, self.add(back, short))
        turned = self.add(total(-1, self.add(q, back)), turned)
        return total(self.left(q) / self.left(p) * 2 * size(u), turned)


class Half(Truth):
    """The upper half-space: the ball seen in the inversion e - 2 y / |y|^2 of y = p + e.

    e is (0, ..., 0, 1); back it is 2 z / |z|^2 - e of z = e - b.
    """

    ball = Ball()

    def into(self, p: Vector) -> Vector:
        y = [*p[:-1], p[-1] + 1]
        b = total(-2 / mp.fdot(y, y), y)
        return [*b[:-1], b[-1] + 1]

    def back(self, b: Vector) -> Vector:
        z = self.below(b)
        p = total(2 / mp.fdot(z, z), z)
        return [*p[:-1], p[-1] - 1]

    def below(self, b: Vector) -> Vector:
        return [*total(-1, b[:-1]), 1 - b[-1]]

    def turned(self, y: Vector, u: Vector) -> Vector:
        """The derivative of -2 y / |y|^2 along u."""
        square = mp.fdot(y, y)
        return total(-2 / square, u, 4 * mp.fdot(y, u) / square**2, y)

    def tangent(self, p: Vector, u: Vector) -> Vector:
        return self.turned([*p[:-1], p[-1] + 1], u)

    def length(self, p: Vector, u: Vector) -> Any:
        return size(u) / p[-1]

    def dist(self, p: Vector, q: Vector) -> Any:
        return self.ball.dist(self.into(p), self.into(q))

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.back(self.ball.exp(self.into(p), self.tangent(p, u)))

    def log(self, p: Vector, q: Vector) -> Vector:
        b = self.into(p)
        return self.turned(self.below(b), self.ball.log(b, self.into(q)))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        b = self.into(q)
        u = self.ball.transport(self.into(p), b, self.tangent(p, u))
        return self.turned(self.below(b), u)


class Sheet(Truth):
    """The hyperboloid; rows and tangents stand for their space coordinates, time comes first."""

    def point(self, p: Vector) -> Vector:
        return [mp.sqrt(1 + mp.fdot(p[1:], p[1:])), *p[1:]]

    def tangent(self, p: Vector, u: Vector) -> Vector:
        return [mp.fdot(p[1:], u[1:]) / self.point(p)[0], *u[1:]]

    def product(self, u: Vector, v: Vector) -> Any:
        return mp.fdot(u[1:], v[1:]) - u[0] * v[0]

    def length(self, p: Vector, u: Vector) -> Any:
        u = self.tangent(p, u)
        return mp.sqrt(self.product(u, u))

    def dist(self, p: Vector, q: Vector) -> Any:
        step = total(1, self.point(q), -1, self.point(p))
        square = abs(self.product(step, step))  # of equal points the last digit may be negative
        return 2 * mp.asinh(mp.sqrt(square) / 2)

    def exp(self, p: Vector, u: Vector) -> Vector:
        length = self.length(p, u)
        return total(mp.cosh(length), self.point(p), mp.sinh(length) / length, self.tangent(p, u))

    def log(self, p: Vector, q: Vector) -> Vector:
        d = self.dist(p, q)
        return total(d / mp.sinh(d), self.point(q), -d / mp.tanh(d), self.point(p))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        p, q, u = self.point(p), self.point(q), self.tangent(p, u)
        share = self.product(q, u) / (1 - self.product(p, q))
        return total(1, u, share, p, share, q)


class Polar(Truth):
    """Direction and distance from the origin, by the hyperboloid.

    A stored direction stands for that of length 1, and its velocity for the part across.
    """

    digits = 1200
    """Half as many are lost between points 300 away, on opposite sides of the origin."""
    sheet = Sheet()

    def direction(self, p: Vector) -> Vector:
        return total(1 / size(p[:-1]), p[:-1])

    def into(self, p: Vector) -> Vector:
        return [mp.cosh(p[-1]), *total(mp.sinh(p[-1]), self.direction(p))]

    def tangent(self, p: Vector, u: Vector) -> Vector:
        n, (*across, along) = self.direction(p), u
        outward = mp.cosh(p[-1]) * along - mp.sinh(p[-1]) * mp.fdot(n, across)
        return [mp.sinh(p[-1]) * along, *total(outward, n, mp.sinh(p[-1]), across)]

    def back(self, p: Vector) -> Vector:
        length = size(p[1:])
        return [*total(1 / length, p[1:]), mp.asinh(length)]

    def tangent_back(self, p: Vector, u: Vector) -> Vector:
        """u at p of the hyperboloid."""
        length = size(p[1:])
        outward = mp.fdot(p[1:], u[1:]) / length
        return [*total(1 / length, u[1:], -outward / length**2, p[1:]), outward / p[0]]

    def length(self, p: Vector, u: Vector) -> Any:
        return self.sheet.length(self.into(p), self.tangent(p, u))

    def dist(self, p: Vector, q: Vector) -> Any:
        return self.sheet.dist(self.into(p), self.into(q))

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.back(self.sheet.exp(self.into(p), self.tangent(p, u)))

    def log(self, p: Vector, q: Vector) -> Vector:
        p, q = self.into(p), self.into(q)
        return self.tangent_back(p, self.sheet.log(p, q))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        u = self.tangent(p, u)
        p, q = self.into(p), self.into(q)
        return self.tangent_back(q, self.sheet.transport(p, q, u))

    def gap(self, found: Vector, true: Vector) -> Any:
        """The length of the difference of coordinates.

        Far out the distance tells little: it grows with the logarithm of what a direction is off.
        """
        step = size(total(1, self.direction(found), -1, self.direction(true)))
        return mp.hypot(found[-1] - true[-1], mp.sinh(true[-1]) * step)


# --- the sphere -----------------------------------------------------------------------------------


class Round(Truth):
    """The unit sphere; a stored row stands for its direction, a tangent for its part across."""

    def point(self, p: Vector) -> Vector:
        return total(1 / size(p), p)

    def across(self, p: Vector, u: Vector) -> Vector:
        p = self.point(p)
        return total(1, u, -mp.fdot(p, u), p)

    def drawn(self, p: Vector, v: Vector) -> Vector:
        return self.across(p, v)

    def reach(self, p: Vector, u: Vector) -> Any:
        return mp.pi / self.length(p, u)

    def length(self, p: Vector, u: Vector) -> Any:
        return size(self.across(p, u))

    def dist(self, p: Vector, q: Vector) -> Any:
        p, q = self.point(p), self.point(q)
        return 2 * mp.atan2(size(total(1, p, -1, q)), size(total(1, p, 1, q)))

    def exp(self, p: Vector, u: Vector) -> Vector:
        u = self.across(p, u)
        length = size(u)
        return total(mp.cos(length), self.point(p), mp.sin(length) / length, u)

    def log(self, p: Vector, q: Vector) -> Vector:
        across = self.across(p, self.point(q))
        return total(self.dist(p, q) / size(across), across)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        p, q, u = self.point(p), self.point(q), self.across(p, u)
        return total(1, u, -mp.fdot(q, u) / (1 + mp.fdot(p, q)), total(1, p, 1, q))

    def full(self, p: Vector, u: Vector) -> Any:
        return size(u)
