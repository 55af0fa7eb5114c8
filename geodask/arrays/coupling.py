"""Symmetric positive definite matrices as covariances: batches (*batch, n, n).

The optimal map between centred normal distributions with the covariances p and q is the one
positive definite T with T p T = q (Olkin and Pukelsheim, The distance between two random vectors
with given dispersion matrices, 1982). For a factor z of p, p = z z^T, it makes T z one of q, and
none is nearer to z. Here is T - 1, from q - p: so its digits are kept where p and q are close.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .columns import orthonormal
from .matrices import (
    factor,
    half_lower,
    lowest_and_highest,
    norm_of,
    product,
    solved,
    svd,
    symmetric,
    transpose,
)
from .namespace import constant, is_differentiated, namespace, where
from .refined import lacking, refined

ORDERS = 32
"""Terms of the Taylor series of a vector that is carried."""
SHARE = 1 / 3
"""The part of the radius of convergence that a series goes: 3^-32 is 5e-16."""
LEAST = 2.0**-13
"""How small q may be beside p for a step of Newton's to have digits."""
FLAT = 0.25
"""Eigenvalues up to this do not count: one series is enough."""


class Axes(NamedTuple):
    """A factor of p along its axes: its columns are orthogonal."""

    factor: Any
    root: Any
    """(..., n) the lengths of these columns, the largest first."""


def axes(p: Any) -> Axes:
    """That of matrices; NaN where they are not positive definite."""
    left, root, _ = svd(factor(p))
    return Axes(left * root[..., None, :], root)


def rise(a: Axes, b: Axes, step: Any) -> Any:
    """(T - 1) z for the factor z of p, in its axes, from the axes of p and q and q - p.

    With W = z^T z, diagonal, and M = z^T T z, T p T = q is M^2 = z^T q z, so X = M - W solves
    M X + X W = z^T (q - p) z. M is the positive part of z^T y for any factor y of q, and known from
    its singular values: no square of a matrix is taken.
    """
    left, values = _coupled(a.factor, b.factor)
    return _rise(a.factor, a.root, left, values, step) / a.root[..., :, None]


def _coupled(z: Any, y: Any) -> tuple[Any, Any]:
    """The axes of M and its eigenvalues."""
    left, values, _ = svd(product(transpose(z), y))
    return left, values


def _rise(z: Any, root: Any, left: Any, values: Any, step: Any) -> Any:
    """X."""
    sums = values[..., :, None] + (root * root)[..., None, :]
    inside = product(product(transpose(z), step), z)
    return product(left, product(transpose(left), inside) / sums)


# --- straight lines of factors --------------------------------------------------------------------


class Frame(NamedTuple):
    """A factor z = V (w + e) of p, to the last digit: V orthonormal, w diagonal, e as small as
    rounding, a lower triangle.

    Its columns lie nearly along the axes of p, so each is rounded by a share of its own length, and
    matrices h z^T in the direction of a small eigenvalue no more than p itself.
    """

    factor: Any
    vectors: Any
    root: Any
    """(..., n) w, the largest first."""
    rest: Any

    def risen(self, x: Any) -> Any:
        """z^-T x."""
        across = x / self.root[..., :, None]
        lost = product(transpose(self.rest), across) / self.root[..., :, None]
        return product(self.vectors, across - lost)

    def moved(self, s: Any) -> Any:
        """V s V^T z."""
        return product(self.vectors, s * self.root[..., None, :] + product(s, self.rest))

    def inside(self, step: Any) -> Any:
        """The symmetric s of `moved`: of two columns the longer one has the digits."""
        along = product(transpose(self.vectors), step) / self.root[..., None, :]
        below = half_lower(along - product(along, self.rest) / self.root[..., None, :])
        return below + transpose(below)

    @property
    def sums(self) -> Any:
        """Of two eigenvalues each."""
        squares = self.root * self.root
        return squares[..., :, None] + squares[..., None, :]


class Line(NamedTuple):
    """Factors start + t step, where step start^-1 is symmetric: a geodesic."""

    start: Any
    step: Any
    end: Any
    """start + step, or where that has lost digits, another factor of the same matrix."""
    least: Any
    """The least and the largest eigenvalue of step start^-1."""
    largest: Any


def frame(p: Any) -> Frame:
    """By singular values of a lower factor, and what z z^T lacks of p."""
    vectors, root, _ = svd(refined(p, factor(p)))
    vectors = orthonormal(vectors, 1)  # to the last digit, of which rotations cost some
    z = vectors * root[..., None, :]
    # Of dz z^T + z dz^T = d, each of two columns could take its part: the longer one takes it.
    left = product(product(transpose(vectors), lacking(p, (z, z))), vectors)
    rest = half_lower(left) / root[..., None, :]
    return Frame(z + product(vectors, rest), vectors, root, rest)


def line_between(p: Any, q: Any) -> Line:
    """From p to q: (T - 1) z by `rise`, and a step of Newton's.

    (z + h) (z + h)^T - z z^T = z h^T + h z^T + h h^T, and what that lacks of q - p is that of
    (z + h) dh^T and its transpose: so z^T dh is the dX of M dX + dX M.
    """
    given, (p, q) = (p, q), (constant(p), constant(q))
    a, y, step = frame(p), frame(q).factor, q - p
    z = a.factor
    left, values = _coupled(z, y)
    h = a.risen(symmetric(_rise(z, a.root, left, values, step)))
    rest = lacking(step, (z, h), (h, z), (h, h))
    inside = product(product(transpose(z), rest), z)
    inside = product(product(transpose(left), inside), left)
    moved = inside / (values[..., :, None] + values[..., None, :])
    # Where q is far smaller than p, so that h is nearly -z, rounding of h is all that is left.
    counts = norm_of(q) > LEAST * norm_of(p)
    moved = where(counts[..., None, None], moved, 0.0)
    h = h + a.risen(product(product(left, moved), transpose(left)))
    return _line(a, h, _turned(y, z + h), optimal_step, given)


def _turned(z: Any, near: Any) -> Any:
    """The factor z turned to another one of its matrix, which may have lost digits where it is far
    shorter than what it is the sum of."""
    turn = namespace(z, near).linalg.solve(z, near)
    # Orthogonal but for rounding: a step of Newton's that makes it so (Schulz).
    return product(z, 1.5 * turn - 0.5 * (turn @ transpose(turn) @ turn))


def line_along(p: Any, u: Any) -> Line:
    """From p with the velocity u = x z^T + z x^T: twice, the second time of what is left of u."""
    given = p, symmetric(u)
    p, u = (constant(each) for each in given)
    a = frame(p)
    z, x, left = a.factor, 0 * u, u
    for _ in range(2):
        x = x + a.moved(product(product(transpose(a.vectors), left), a.vectors) / a.sums)
        left = lacking(u, (x, z), (z, x))
    return _line(a, x, z + x, _lift, given)


def _line(
    a: Frame, step: Any, end: Any, lift: Callable[[Any, Any], Any], given: tuple[Any, Any]
) -> Line:
    """With the derivatives of step start^-1, which ``lift`` makes of what was given."""
    steep, found = lowest_and_highest(a.inside(step)), (a.factor, step, end)
    if is_differentiated(*given):
        low = factor(given[0])
        start = low @ constant(solved(low, a.factor))
        moved = lift(*given) @ start
        slopes = (start, moved, start + moved)
        found = (x + (y - constant(y)) for x, y in zip(found, slopes, strict=True))
    start, step, end = found
    return Line(start, step, end, *steep)


def optimal_step(p: Any, q: Any) -> Any:
    """T - 1."""
    if is_differentiated(p, q):
        from .differentiable import OptimalStep

        return OptimalStep.apply(p, q)
    found = line_between(p, q)
    back = namespace(p, q).linalg.solve(transpose(found.start), transpose(found.step))
    return symmetric(transpose(back))


def _lift(p: Any, u: Any) -> Any:
    return lyapunov(factor(p), u)


def lyapunov(z: Any, u: Any, turn: Any = None) -> Any:
    """The matrices x with p x + x p = u for p = z z^T; ``turn`` is `spectrum` of z, where known.

    In the axes of p the entries of u over sums of two eigenvalues.
    """
    values, vectors = spectrum(z) if turn is None else turn
    if is_differentiated(z, u):
        from .differentiable import Lyapunov

        return Lyapunov.apply(z, u, values, vectors)
    sums, back = values[..., :, None] + values[..., None, :], transpose(vectors)
    return vectors @ ((back @ u @ vectors) / sums) @ back


def spectrum(z: Any) -> tuple[Any, Any]:
    """Eigenvalues and vectors of z z^T, without derivatives.

    From singular values: of a square the small ones are lost far sooner.
    """
    left, values, _ = svd(z)
    return values * values, left


def carried(line: Line, x: Any) -> Any:
    """Vectors x at the start z as they are at its end, carried along the line in parallel.

    Both the step h and x are horizontal: z^T x is symmetric. A parallel vector turns by what is
    vertical alone, x' = -z k with k skew, so that z^T x stays symmetric: z^T z k + k z^T z = h^T x
    - x^T h (O'Neill, The fundamental equations of a submersion, 1966). All of it is linear in
    powers of t, so Taylor's coefficients come one by one.

    A series from t converges as far as no two eigenvalues of (z + t h)^T (z + t h), t complex, add
    to zero. They do not where the arguments of 1 + t l, l from least to largest, differ by less
    than pi / 2: then the matrix times some number has a positive real part. So much holds in the
    circle (Thales) whose diameter ends where 1 + t l is zero for the least and the largest.
    """
    z, h, _, least, largest = line
    xp = namespace(z, h, x)
    x = x + xp.zeros_like(z + h)
    done = xp.zeros_like(least + largest + x[..., 0, 0])
    before = 1 / where(largest > FLAT, largest, FLAT)
    behind = (1 + least) / where(least < -FLAT, -least, FLAT)
    behind = where(behind > 0, behind, math.nan)
    while bool(xp.any(done < 1)):
        radius = xp.minimum(done + before, 1 - done + behind)
        step = xp.minimum(SHARE * radius, 1 - done)
        size = step[..., None, None]
        x = _series(z, h * size, x)
        z, done = z + h * size, where(step < 1 - done, done + step, 1.0)
    return x


def _series(z: Any, h: Any, x: Any) -> Any:
    """x at z + h, where the series converges."""
    xp = namespace(z, h, x)
    cross, last, turn = transpose(z) @ h, transpose(h) @ h, spectrum(transpose(z))
    cross = cross + transpose(cross)
    term, total = x, x
    k = before = xp.zeros_like(x)
    for order in range(ORDERS):
        skew = transpose(h) @ term - cross @ k - last @ before
        before, k = k, lyapunov(transpose(z), skew - transpose(skew), turn)
        term = -(z @ k + h @ before) / (order + 1)
        total = total + term
    return total
