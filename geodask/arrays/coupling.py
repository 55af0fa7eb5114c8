"""Symmetric positive definite matrices as covariances: batches (*batch, n, n).

The optimal map between centred normal distributions with the covariances p and q is the one
positive definite T with T p T = q (Olkin and Pukelsheim, The distance between two random vectors
with given dispersion matrices, 1982). For a factor z of p, p = z z^T, it makes T z one of q, and
none is nearer to z. Here is T - 1, from q - p: so its digits are kept where p and q are close.
"""

import math
from typing import Any, NamedTuple

from array_api_compat import is_torch_array

from .matrices import factor, product, svd, symmetric, transpose
from .namespace import namespace, where
from .symmetric import definite

ORDERS = 32
"""Terms of the Taylor series of a vector that is carried."""
SHARE = 1 / 3
"""The part of the radius of convergence that a series goes: 3^-32 is 5e-16."""
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
    left, values, inside = _coupled(a, b, step)
    sums = values[..., :, None] + (a.root * a.root)[..., None, :]
    return product(left, product(transpose(left), inside) / sums) / a.root[..., :, None]


def _coupled(a: Axes, b: Axes, step: Any) -> tuple[Any, Any, Any]:
    """The axes of M, its eigenvalues, and z^T (q - p) z."""
    left, values, _ = svd(product(transpose(a.factor), b.factor))
    return left, values, product(product(transpose(a.factor), step), a.factor)


def optimal_step(p: Any, q: Any) -> Any:
    """T - 1: from X of `rise`, and a step of Newton's.

    M^2 - W^2 is W X + X W + X^2, and what that lacks of z^T (q - p) z is M dX + dX M.
    """
    if is_torch_array(p) and (p.requires_grad or q.requires_grad):
        from .differentiable import OptimalStep

        return OptimalStep.apply(p, q)
    a, b = _exact_axes(p), _exact_axes(q)
    left, values, inside = _coupled(a, b, q - p)
    back, square, values = transpose(left), a.root * a.root, values[..., :, None]
    x = symmetric(product(left, product(back, inside) / (values + square[..., None, :])))
    rest = inside - square[..., :, None] * x - x * square[..., None, :] - product(x, x)
    rest = product(product(back, rest), left) / (values + transpose(values))
    x = x + product(product(left, rest), back)
    vectors = a.factor / square[..., None, :]
    return symmetric(product(product(vectors, x), transpose(vectors)))


def _exact_axes(p: Any) -> Axes:
    """As `axes`, of a smaller error beside the largest eigenvalue: that of `definite`."""
    xp, (values, vectors) = namespace(p), definite(p, factor(p))
    root = xp.flip(values**0.5, axis=-1)
    return Axes(xp.flip(vectors, axis=-1) * root[..., None, :], root)


def lyapunov(z: Any, u: Any, turn: Any = None) -> Any:
    """The matrices x with p x + x p = u for p = z z^T; ``turn`` is `spectrum` of z, where known.

    In the axes of p the entries of u over sums of two eigenvalues.
    """
    values, vectors = spectrum(z) if turn is None else turn
    if is_torch_array(z) and (z.requires_grad or u.requires_grad):
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


def carried(z: Any, h: Any, x: Any, least: Any, largest: Any) -> Any:
    """Vectors x at the factors z as they are at z + h, carried along the line in parallel.

    Both h and x are horizontal: T - 1 times z, whose eigenvalues are from ``least`` to ``largest``,
    and z^T x is symmetric. A parallel vector turns by what is vertical alone, x' = -z k with k
    skew, so that z^T x stays symmetric: z^T z k + k z^T z = h^T x - x^T h (O'Neill, The fundamental
    equations of a submersion, 1966). All of it is linear in powers of t, so Taylor's coefficients
    come one by one.

    A series from t converges as far as no two eigenvalues of (z + t h)^T (z + t h), t complex, add
    to zero. They do not where the arguments of 1 + t l, l from least to largest, differ by less
    than pi / 2: then the matrix times some number has a positive real part. So much holds in the
    circle (Thales) whose diameter ends where 1 + t l is zero for the least and the largest.
    """
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
