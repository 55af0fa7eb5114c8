"""Eigenvalues and axes of symmetric 2 x 2 and 3 x 3 matrices, by + - * / and square roots alone.

Written for single entries: arrays of any library, with the same bytes from all, and the vectors of
compiled loops.
"""

from typing import Any

from .doubled import SPLITTER
from .namespace import like, namespace, sqrt, where, wide

SWEEPS = 5
"""Rounds of rotations. From the third on each at least squares what is left off the diagonal, as a
share of it; of millions of matrices, the worst that a search found, none had 1e-17 left after four.
"""


def eigh(p: Any) -> tuple[Any, Any]:
    """As `matrices.eigh`, for n = 2 and 3."""
    xp, n = namespace(p), p.shape[-1]
    power = scale(xp.max(xp.abs(wide(p)), axis=(-2, -1)))
    near_1 = wide(p) * power[..., None, None]
    lower = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))[: n * (n + 1) // 2]
    values, axes = (two if n == 2 else three)(*(near_1[..., i, j] for i, j in lower))
    values = xp.stack(values, axis=-1)
    axes = xp.stack([xp.stack(row, axis=-1) for row in axes], axis=-2)
    order = xp.argsort(values, axis=-1)
    columns = xp.broadcast_to(order[..., None, :], axes.shape)
    values = xp.take_along_axis(values, order, axis=-1) / power[..., None]
    return like(values, p), like(xp.take_along_axis(axes, columns, axis=-1), p)


def two(a, b, c):
    """Of [[a, b], [b, c]]: eigenvalues right to a few roundings of themselves, be they ever so far
    apart, and axes as columns.

    The one farther from 0 is a sum in which nothing cancels; the other the determinant over it.
    """
    half, middle = (c - a) / 2, (a + c) / 2
    reach = sqrt(half * half + b * b)
    far = where(middle >= 0, middle + reach, middle - reach)
    near = _determinant(a, b, c) / where(abs(far) > 0, far, 1.0)
    low, high = where(middle >= 0, near, far), where(middle >= 0, far, near)
    _, x, y = _turn(half, b)
    values = where(half >= 0, low, high), where(half >= 0, high, low)
    return values, ((x, y), (0 - y, x))


def three(a, d, b, e, f, c):
    """Of [[a, d, e], [d, b, f], [e, f, c]], by Jacobi's rotations: of a positive definite matrix
    they keep the digits of small eigenvalues that its entries determine, relative to their columns
    (Demmel and Veselic, Jacobi's method is more accurate than QR, 1992)."""
    none = 0 * a
    one = none + 1
    u, v, w = (one, none, none), (none, one, none), (none, none, one)
    for _ in range(SWEEPS):
        t, x, y = _turn((b - a) / 2, d)
        a, b, e, f = a - t * d, b + t * d, x * e - y * f, y * e + x * f
        u, v, w = _first(u, x, y), _first(v, x, y), _first(w, x, y)
        t, x, y = _turn((c - a) / 2, e)
        a, c, d, f = a - t * e, c + t * e, 0 - y * f, x * f
        u, v, w = _outer(u, x, y), _outer(v, x, y), _outer(w, x, y)
        t, x, y = _turn((c - b) / 2, f)
        b, c, d, e, f = b - t * f, c + t * f, x * d, y * d, none
        u, v, w = _last(u, x, y), _last(v, x, y), _last(w, x, y)
    return (a, b, c), (u, v, w)


def _turn(half, b):
    """Tangent, cosine and sine of the lesser angle that makes [[-half, b], [b, half]] diagonal."""
    reach = sqrt(half * half + b * b)
    side = where(half >= 0, half + reach, half - reach)
    t = b / where(abs(side) > 0, side, 1.0)
    x = 1 / sqrt(1 + t * t)
    return t, x, t * x


def _first(row, x, y):
    return x * row[0] - y * row[1], y * row[0] + x * row[1], row[2]


def _outer(row, x, y):
    return x * row[0] - y * row[2], row[1], y * row[0] + x * row[2]


def _last(row, x, y):
    return row[0], x * row[1] - y * row[2], y * row[1] + x * row[2]


def _determinant(a, b, c):
    """a c - b b, with what rounding takes from the products."""
    upper, square = a * c, b * b
    return (upper - square) + (_lost(a, c, upper) - _lost(b, b, square))


def _lost(a, b, product):
    """a b - product, exactly."""
    a_high, b_high = _high(a), _high(b)
    a_low, b_low = a - a_high, b - b_high
    return ((a_high * b_high - product) + (a_high * b_low + a_low * b_high)) + a_low * b_low


def _high(a):
    spread = SPLITTER * a
    return spread - (spread - a)


def scale(top):
    """A power of two that brings numbers, the largest of them ``top``, to where squares keep their
    digits: between 2^-300 and 2^300."""
    one = 0 * top + 1
    found = where(top > 2.0**200, 2.0**-400 * one, where(top < 2.0**-200, 2.0**400 * one, one))
    return where(top > 2.0**600, 2.0**-900 * one, where(top < 2.0**-600, 2.0**900 * one, found))


FORMULAS = two, three, scale, _turn, _first, _outer, _last, _determinant, _lost, _high
"""What compiled loops take from here."""
