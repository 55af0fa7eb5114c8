"""Positive definite matrices in mpmath, by textbook formulas from rows as they are stored.

Nothing here comes from geodask. A row is the list of a matrix's entries, row by row; of a Hermitian
one those of the real and then of the imaginary part.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mpmath import mp

from truths import Truth, Vector, size

Function = Callable[[Any], Any]

SMALL = 1e-34
"""What of a Taylor series is left out."""


def matrix(x: Vector, rows: int) -> Any:
    columns = len(x) // rows
    return mp.matrix([x[i * columns : (i + 1) * columns] for i in range(rows)])


def entries(a: Any) -> Vector:
    return [mp.re(a[i, j]) for i in range(a.rows) for j in range(a.cols)]


def even(a: Any) -> Any:
    """The Hermitian part."""
    return (a + a.H) / 2


def odd(a: Any) -> Any:
    return (a - a.H) / 2


def eigen(a: Any) -> tuple[list[Any], Any]:
    """Of a Hermitian matrix."""
    values, vectors = mp.eighe(even(a)) if _is_complex(a) else mp.eigsy(even(a))
    return [mp.re(x) for x in values], vectors


def _is_complex(a: Any) -> bool:
    return any(isinstance(x, mp.mpc) for x in a)


def of(function: Function, a: Any) -> Any:
    """A function of a Hermitian matrix."""
    values, vectors = eigen(a)
    return vectors * mp.diag([function(x) for x in values]) * vectors.H


def along(function: Function, slope: Function, a: Any, u: Any) -> Any:
    """The derivative of a function of a Hermitian matrix (Daleckii and Krein)."""
    values, vectors = eigen(a)
    images, inside = [function(x) for x in values], vectors.H * u * vectors
    for i, x in enumerate(values):
        for j, y in enumerate(values):
            inside[i, j] *= slope(x) if x == y else (images[i] - images[j]) / (x - y)
    return vectors * inside * vectors.H


def lyapunov(a: Any, u: Any) -> Any:
    """The x of a x + x a = u, for a Hermitian a."""
    values, vectors = eigen(a)
    inside = vectors.H * u * vectors
    for i, x in enumerate(values):
        for j, y in enumerate(values):
            inside[i, j] /= x + y
    return vectors * inside * vectors.H


def inner(a: Any, b: Any) -> Any:
    """The real part of the trace of a^H b."""
    return mp.re(mp.fdot(((x, y) for x, y in zip(a, b, strict=True)), conjugate=True))


# --- positive definite matrices -------------------------------------------------------------------


@dataclass(frozen=True)
class Definite(Truth):
    """Hermitian positive definite matrices, real ones in one part; a row stands for its Hermitian
    part."""

    n: int
    parts: int = 1

    digits = 60

    def matrix(self, x: Vector) -> Any:
        if self.parts == 1:
            return even(matrix(x, self.n))
        half = len(x) // 2
        return even(matrix(x[:half], self.n) + mp.mpc(0, 1) * matrix(x[half:], self.n))

    def row(self, a: Any) -> Vector:
        return entries(a) if self.parts == 1 else entries(a) + entries(mp.mpc(0, -1) * a)

    def gap(self, found: Vector, true: Vector) -> Any:
        """Infinite where what was found is not positive definite."""
        least = min(eigen(self.matrix(found))[0])
        return self.dist(found, true) if least > 0 else mp.inf


class AffineInvariant(Definite):
    """Bhatia, Positive definite matrices, 2007, chapter 6."""

    def roots(self, p: Vector) -> tuple[Any, Any]:
        """p^1/2 and p^-1/2."""
        root = of(mp.sqrt, self.matrix(p))
        return root, root**-1

    def inside(self, p: Vector, u: Vector) -> tuple[Any, Any]:
        root, inverse = self.roots(p)
        return root, inverse * self.matrix(u) * inverse

    def drawn(self, p: Vector, v: Vector) -> Vector:
        root, _ = self.roots(p)
        return self.row(root * self.matrix(v) * root)

    def length(self, p: Vector, u: Vector) -> Any:
        inside = self.inside(p, u)[1]
        return mp.sqrt(inner(inside, inside))

    def dist(self, p: Vector, q: Vector) -> Any:
        return size([mp.log(x) for x in eigen(self.inside(p, q)[1])[0]])

    def exp(self, p: Vector, u: Vector) -> Vector:
        root, inside = self.inside(p, u)
        return self.row(root * of(mp.exp, inside) * root)

    def log(self, p: Vector, q: Vector) -> Vector:
        root, inside = self.inside(p, q)
        return self.row(root * of(mp.log, inside) * root)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        root, inverse = self.roots(p)
        turn = root * of(mp.sqrt, inverse * self.matrix(q) * inverse) * inverse
        return self.row(turn * self.matrix(u) * turn.H)


class FlatImage(Definite):
    """Positive definite matrices whose images, and differences of these, are flat."""

    @abstractmethod
    def image(self, p: Vector) -> Any: ...

    @abstractmethod
    def back(self, x: Any) -> Vector: ...

    @abstractmethod
    def push(self, p: Vector, u: Vector) -> Any: ...

    @abstractmethod
    def pull(self, p: Vector, y: Any) -> Vector: ...

    def drawn(self, p: Vector, v: Vector) -> Vector:
        return self.pull(p, self.push(self.row(mp.eye(self.n)), v))

    def length(self, p: Vector, u: Vector) -> Any:
        pushed = self.push(p, u)
        return mp.sqrt(inner(pushed, pushed))

    def dist(self, p: Vector, q: Vector) -> Any:
        step = self.image(q) - self.image(p)
        return mp.sqrt(inner(step, step))

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.back(self.image(p) + self.push(p, u))

    def log(self, p: Vector, q: Vector) -> Vector:
        return self.pull(p, self.image(q) - self.image(p))

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        return self.pull(q, self.push(p, u))


class LogEuclidean(FlatImage):
    """Arsigny, Fillard, Pennec and Ayache, 2007."""

    def image(self, p: Vector) -> Any:
        return of(mp.log, self.matrix(p))

    def back(self, x: Any) -> Vector:
        return self.row(of(mp.exp, x))

    def push(self, p: Vector, u: Vector) -> Any:
        return along(mp.log, lambda x: 1 / x, self.matrix(p), self.matrix(u))

    def pull(self, p: Vector, y: Any) -> Vector:
        return self.row(along(mp.exp, mp.exp, self.image(p), y))


class LogCholesky(FlatImage):
    """Lin, 2019: the lower factor, with the logarithms of its diagonal."""

    def factor(self, p: Vector) -> Any:
        return mp.cholesky(self.matrix(p))

    def image(self, p: Vector) -> Any:
        factor = self.factor(p)
        for i in range(self.n):
            factor[i, i] = mp.log(factor[i, i])
        return factor

    def back(self, x: Any) -> Vector:
        factor = x.copy()
        for i in range(self.n):
            factor[i, i] = mp.exp(x[i, i])
        return self.row(factor * factor.H)

    def push(self, p: Vector, u: Vector) -> Any:
        factor = self.factor(p)
        inverse = factor**-1
        half = inverse * self.matrix(u) * inverse.H
        for i in range(self.n):
            half[i, i] /= 2
            for j in range(i + 1, self.n):
                half[i, j] = mp.zero
        step = factor * half
        for i in range(self.n):
            step[i, i] /= factor[i, i]
        return step

    def pull(self, p: Vector, y: Any) -> Vector:
        factor, step = self.factor(p), y.copy()
        for i in range(self.n):
            step[i, i] *= factor[i, i]
        return self.row(step * factor.H + factor * step.H)


class BuresWasserstein(Definite):
    """Bhatia, Jain and Lim, 2019; Takatsu, 2011."""

    def lift(self, p: Vector, u: Vector) -> Any:
        """The Hermitian x of u = p x + x p."""
        return lyapunov(self.matrix(p), self.matrix(u))

    def drawn(self, p: Vector, v: Vector) -> Vector:
        root, v = of(mp.sqrt, self.matrix(p)), self.matrix(v)
        return self.row(root * v + v * root)

    def length(self, p: Vector, u: Vector) -> Any:
        lift = self.lift(p, u)
        return mp.sqrt(inner(lift, lift * self.matrix(p)))

    def dist(self, p: Vector, q: Vector) -> Any:
        p, q = self.matrix(p), self.matrix(q)
        root = of(mp.sqrt, p)
        values = eigen(root * q * root)[0]
        square = mp.fsum(mp.re(a[i, i]) for a in (p, q) for i in range(self.n))
        square -= 2 * mp.fsum(mp.sqrt(x) for x in values)
        return mp.sqrt(max(square, 0))  # of equal points the last digit may be negative

    def step(self, p: Vector, q: Vector) -> Any:
        """T - 1, where T takes the normal distribution of p to that of q."""
        root = of(mp.sqrt, self.matrix(p))
        inverse = root**-1
        return inverse * of(mp.sqrt, root * self.matrix(q) * root) * inverse - mp.eye(self.n)

    def exp(self, p: Vector, u: Vector) -> Vector:
        moved = mp.eye(self.n) + self.lift(p, u)
        return self.row(moved * self.matrix(p) * moved)

    def log(self, p: Vector, q: Vector) -> Vector:
        step, p = self.step(p, q), self.matrix(p)
        return self.row(step * p + p * step)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        """Along factors z of p, in a straight line to those of q, horizontal velocities y, those
        with z^H y Hermitian, change by vertical ones, z k with k^H = -k (O'Neill).

        A Taylor series of y and k around each of several points, in steps of a quarter of the way
        to where z may have no inverse: 1 + t s has none at -1/s, for the eigenvalues s of T - 1.
        """
        step, z = self.step(p, q), of(mp.sqrt, self.matrix(p))
        velocity, y = step * z, self.lift(p, u) * z
        steep, t = eigen(step)[0], mp.zero
        while t < 1:
            change = max(abs(s / (1 + t * s)) for s in steep)
            stride = min(1 - t, 1 / (4 * change)) if change else 1 - t
            y = _carried(z, velocity, y, stride)
            z, t = z + stride * velocity, t + stride
        lifted = y * z.H
        return self.row(lifted + lifted.H)


def _carried(z: Any, velocity: Any, y: Any, t: Any) -> Any:
    """y at z + t velocity.

    z k = y' and M k + k M = y^H z' - z'^H y for M = z^H z, power by power; y and k stand here with
    the powers of t.
    """
    values, vectors = eigen(z.H * z)
    linear, square = 2 * t * even(z.H * velocity), t**2 * velocity.H * velocity
    last = before = mp.zeros(z.rows)
    term, found, power = y, y, 0
    while mp.norm(term) > SMALL * mp.norm(found) or power < 4:
        inside = odd(term.H * velocity) * 2 - linear * last - last * linear
        inside = vectors.H * (inside - square * before - before * square) * vectors
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                inside[i, j] /= a + b
        turn = vectors * inside * vectors.H
        power += 1
        term = (z * turn + t * velocity * last) * (t / power)
        found, last, before = found + term, turn, last
    return found
