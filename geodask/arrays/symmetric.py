"""Functions of symmetric matrices, and their derivatives: batches (*batch, n, n).

f(p) = V f(w) V^T for the eigenvalues w of p. Its derivative along u has, in the axes of V, the
entries of u there times f[w_i, w_j]: divided differences f[a, b] = (f(a) - f(b)) / (a - b), here in
forms that keep their digits where eigenvalues are close or equal (Daleckii and Krein; Higham,
Functions of matrices, 2008, 3.2). torch differentiates both: its own derivative of eigenvectors is
infinite at equal eigenvalues.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from array_api_compat import is_torch_array

from .matrices import congruent, eigh, spanned, transpose
from .namespace import eps, namespace, where
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
ROOT = Function(
    value=lambda a: namespace(a).sqrt(a),
    difference=lambda a, b: 1 / (namespace(a).sqrt(a) + namespace(b).sqrt(b)),
    curve=lambda a: -0.25 / a**1.5,
)


def of(function: Function, p: Any) -> Any:
    """The function of symmetric matrices p."""
    if is_torch_array(p) and p.requires_grad:
        from .differentiable import Value

        return Value.apply(p, function)
    values, vectors = eigh(p)
    return spanned(vectors, function.value(values))


def along(function: Function, p: Any, u: Any) -> Any:
    """Its derivative at p along symmetric matrices u."""
    if is_torch_array(p) and (p.requires_grad or u.requires_grad):
        from .differentiable import Slope

        return Slope.apply(p, u, function)
    values, vectors = eigh(p)
    inside = differences(function, values) * congruent(transpose(vectors), u)
    return congruent(vectors, inside)


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
