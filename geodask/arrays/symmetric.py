"""Functions of symmetric matrices, and their derivatives: batches (*batch, n, n).

f(p) = V f(w) V^T for the eigenvalues w of p. Its derivative along u has, in the axes of V, the
entries of u there times f[w_i, w_j]: divided differences f[a, b] = (f(a) - f(b)) / (a - b), here in
forms that keep their digits where eigenvalues are close or equal (Daleckii and Krein; Higham,
Functions of matrices, 2008, 3.2). torch differentiates both: its own derivative of eigenvectors is
infinite at equal eigenvalues.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from .columns import orthonormal
from .matrices import congruent, eigh, norm_of, product, spanned, symmetric, transpose
from .namespace import eps, is_differentiated, namespace, norm, where
from .refined import cholesky
from .series import sinhc


class Function(NamedTuple):
    """A function of a real number, by which one of symmetric matrices is meant."""

    value: Callable[[Any], Any]
    difference: Callable[[Any, Any], Any]
    """f[a, b]: of arrays that broadcast, f'(a) where both are equal."""
    curve: Callable[[Any], Any]
    """f''(a)."""


def _log_difference(step: Any, total: Any) -> Any:
    """log[a, b] from a - b and a + b: log(a / b) = 2 atanh(r) with r = (a - b) / (a + b)."""
    xp = namespace(step, total)
    r = step / total
    small = xp.abs(r) < eps(r) ** 0.25
    safe = where(~small, r, 0.5)
    return 2 / total * xp.where(small, 1 + r * r / 3, xp.atanh(safe) / safe)


LOG = Function(
    value=lambda a: namespace(a).log(a),
    difference=lambda a, b: _log_difference(a - b, a + b),
    curve=lambda a: -1 / (a * a),
)
EXP = Function(
    value=lambda a: namespace(a).exp(a),
    difference=lambda a, b: namespace(a, b).exp((a + b) / 2) * sinhc((a - b) / 2),
    curve=lambda a: namespace(a).exp(a),
)


LOG1P = Function(
    value=lambda a: namespace(a).log1p(a),
    difference=lambda a, b: _log_difference(a - b, 2 + a + b),
    curve=lambda a: -1 / (1 + a) ** 2,
)
"""log(1 + a)."""
EXPM1 = Function(value=lambda a: namespace(a).expm1(a), difference=EXP.difference, curve=EXP.curve)
"""e^a - 1."""


def _root_ratio(a: Any) -> Any:
    return namespace(a).sqrt((1 + a) / (1 - a))


ROOT_RATIO = Function(
    value=_root_ratio,
    difference=lambda a, b: 2 / ((1 - a) * (1 - b) * (_root_ratio(a) + _root_ratio(b))),
    curve=lambda a: (1 + 2 * a) / ((1 - a * a) * (1 - a) ** 2 * _root_ratio(a)),
)
"""The root of q / p for p = (1 - a) / 2 and q = (1 + a) / 2."""
GIVEN_LOG = Function(
    value=lambda a: a,
    difference=lambda a, b: 1 / EXP.difference(a, b),
    curve=lambda a: -namespace(a).exp(-2 * a),
)
"""The logarithm of eigenvalues that are given by it."""

Axes = tuple[Any, Any]
"""Eigenvalues (..., n) and vectors (..., n, n)."""


def definite(p: Any) -> Axes:
    """Of positive definite matrices, small eigenvalues to more digits than `eigh` has of them.

    For the factor L of p = L L^T and the axes V that are found, the rows of V^T L are as long as
    the roots of eigenvalues. Where rounding of V by e mixes the longest one s into a row r, across
    it, the square of its length changes by e^2 s^2, a share of e^2 times the condition; what `eigh`
    loses of it is e s^2. What is left is the rounding of L.
    """
    vectors = orthonormal(eigh(p)[1], 1)  # to the last digit, of which rotations cost some
    roots = norm(transpose(vectors) @ cholesky(p))
    return roots * roots, vectors


def of(function: Function, p: Any, axes: Axes | None = None) -> Any:
    """The function of symmetric matrices p, whose axes the caller may know better than p tells."""
    if is_differentiated(p):
        from .differentiable import Value

        return Value.apply(p, function, axes)
    values, vectors = axes or eigh(p)
    return spanned(vectors, function.value(values))


def along(function: Function, p: Any, u: Any, axes: Axes | None = None) -> Any:
    """Its derivative at p along symmetric matrices u."""
    if is_differentiated(p, u):
        from .differentiable import Slope

        return Slope.apply(p, u, function)
    values, vectors = axes or eigh(p)
    inside = differences(function, values) * congruent(transpose(vectors), u)
    return congruent(vectors, inside)


def step(function: Function, p: Any, q: Any, axes: tuple[Axes, Axes] | None = None) -> Any:
    """f(q) - f(p), with the digits of q - p where that is small.

    It is V (f[a_i, b_j] * V^T (q - p) W) W^T for the eigenvalues and vectors a, V of p and b, W of
    q, and V^T (q - p) W is (b_j - a_i) V^T W: what rounding leaves of the first is a share of
    q - p, of the second one of b_j - a_i, so each entry is taken from the better.
    """
    if is_differentiated(p, q):
        return of(function, q) - of(function, p)
    xp = namespace(p, q)
    (a, v), (b, w) = axes or (eigh(p), eigh(q))
    a, b, back = a[..., :, None], b[..., None, :], transpose(v)
    apart = norm_of(q - p)[..., None, None]
    near = apart <= xp.abs(a) + xp.abs(b)
    inside = function.difference(b, a) * (back @ (q - p) @ w)
    inside = xp.where(near, inside, (function.value(b) - function.value(a)) * (back @ w))
    return symmetric(product(v @ inside, transpose(w)))


def between_logs(p: Any, q: Any, u: Any, axes: tuple[Axes, Axes]) -> Any:
    """The symmetric matrices that change log q as u changes log p.

    From the axes of p straight to those of q: matrices between them, where all entries are as large
    as the least eigenvalue makes some, would be rounded by what others do not have.
    """
    if is_differentiated(p, q, u):
        return along(EXP, of(LOG, q), along(LOG, p, u))
    (a, v), (b, w) = axes
    inside = congruent(transpose(w) @ v, differences(LOG, a) * congruent(transpose(v), u))
    return congruent(w, inside / differences(LOG, b))


def differences(function: Function, values: Any) -> Any:
    """f[w_i, w_j] of eigenvalues: (..., n, n)."""
    return function.difference(values[..., :, None], values[..., None, :])


def second_differences(function: Function, values: Any) -> Any:
    """f[w_i, w_j, w_k] of eigenvalues: (..., n, n, n).

    Where all three are nearly equal, half of the second derivative; else from two first ones that
    are farthest apart, which loses as many digits as they are closer than 1.
    """
    xp = namespace(values)
    a, b, c = values[..., :, None, None], values[..., None, :, None], values[..., None, None, :]
    first = differences(function, values)
    ab, bc, ac = first[..., :, :, None], first[..., None, :, :], first[..., :, None, :]
    size = xp.abs(a) + xp.abs(b) + xp.abs(c)
    wide_ac, wide_ab = xp.abs(a - c), xp.abs(a - b)
    by_ac = xp.where(wide_ac > 0, (ab - bc) / where(wide_ac > 0, a - c, 1.0), 0 * (ab - bc))
    by_ab = xp.where(wide_ab > 0, (ac - bc) / where(wide_ab > 0, a - b, 1.0), 0 * (ac - bc))
    apart = xp.where(wide_ac >= wide_ab, by_ac, by_ab)
    close = xp.maximum(wide_ac, wide_ab) <= eps(values) ** 0.5 * size
    return xp.where(close, function.curve((a + b + c) / 3) / 2, apart)
