"""Exponentials and logarithms of small matrices, above all of rotations: (*batch, n, n)."""

import math
from collections.abc import Callable
from typing import Any

from .columns import nearest, orthonormal
from .matrices import diagonal, flat_skew, norm_of, skew, symmetric, transpose, unit_like
from .namespace import namespace, norm, unit, where
from .series import sinc

ORDER, REACH = 13, 5.3
"""The order of Padé's quotient, and the norm up to which it is the exponential to rounding (Higham,
The scaling and squaring method for the matrix exponential revisited, 2005)."""
PADE = [math.comb(ORDER, j) / math.comb(2 * ORDER, j) / math.factorial(j) for j in range(ORDER + 1)]


Q = math.sqrt(2) - 1
ATAN = [
    (4 if j else 2) * (-1) ** j * math.fsum(Q ** (2 * k + 1) / (2 * k + 1) for k in range(j, 60))
    for j in range(25)
]
"""atan(t) / t for squares of t from 0 to 1, in Chebyshev polynomials of 2 t^2 - 1: by sums of one
sign, from the series of atan(t) itself, whose T_(2k+1) has 2 (-1)^k Q^(2k+1) / (2k+1)."""
PART, TERMS = 2.0, 26
"""Taylor's series of an operator up to this norm leaves 2^26 / 26!, under a rounding."""
LONG = 0.5
"""|R - 1| from which rounding R, and not its step, costs few roundings of its logarithm."""
CORRECTIONS = 2
"""Each squares what is left of an error of the root that turns it in its own planes."""


def exponential(a: Any) -> Any:
    """e^a. Of a skew-symmetric matrix Padé's quotient is a rotation to rounding."""
    xp = namespace(a)
    size = xp.max(xp.sum(xp.abs(a), axis=-2), axis=-1)[..., None, None]
    large = (size > REACH) & xp.isfinite(size)
    halvings = where(large, xp.ceil(xp.log2(where(large, size, REACH) / REACH)), 0.0)
    a = a / 2**halvings
    one, square = unit_like(a), a @ a
    even, odd = PADE[-2] * one, PADE[-1] * one
    for j in range(ORDER - 3, -1, -2):
        even, odd = even @ square + PADE[j] * one, odd @ square + PADE[j + 1] * one
    odd = a @ odd
    found, done = xp.linalg.solve(even - odd, even + odd), 0
    while bool(xp.any(halvings > done)):
        found, done = xp.where(halvings > done, found @ found, found), done + 1
    return found


def blocks_of_geodesic(a: Any, square: Any) -> tuple[Any, Any]:
    """c and s, (..., k, k), with which x c + w s is the first block [x q] e^z of the exponential of
    z = [[a, -r^T], [r, 0]], for any w = q r and r^T r = ``square``.

    Without q and r, whose derivatives are infinite where w is not of full rank.
    """
    xp, k = namespace(a, square), a.shape[-1]
    size = xp.max(xp.sum(xp.abs(square), axis=-1), axis=-1)[..., None, None]
    scale = xp.sqrt(where(size > 1, size, 1.0))  # of any size the same, but for rounding
    below = xp.concat([scale * unit_like(a), 0 * a], axis=-1)
    z = xp.concat([xp.concat([a, -square / scale], axis=-1), below], axis=-2)
    found = exponential(z)[..., :k]
    return found[..., :k, :], found[..., k:, :] / scale


def carried_along(operator: Callable[[Any], Any], x: Any, size: Any) -> Any:
    """e^operator x for a linear operator on matrices (*batch, n, k) whose norm is at most ``size``
    (*batch,). By Taylor's series, of as many parts of the way as keep its terms small.
    """
    xp = namespace(x)
    parts = where(size > PART, xp.ceil(where(size > PART, size, PART) / PART), 1.0)[..., None, None]
    done = 0
    while bool(xp.any(parts > done)):
        term = total = x
        for j in range(1, TERMS):
            term = operator(term) / (j * parts)
            total = total + term
        x, done = xp.where(parts > done, total, x), done + 1
    return x


def turn(a: Any) -> Any:
    """The rotation e^a for a skew-symmetric a; of up to three rows by Rodrigues' formula."""
    if a.shape[-1] > 3:
        return exponential(a)
    angle = norm(flat_skew(a))[..., None, None]
    return unit_like(a) + sinc(angle) * a + sinc(angle / 2) ** 2 / 2 * (a @ a)


def turn_back(step: Any, least: float) -> Any:
    """The skew-symmetric a with e^a = 1 + step, a rotation, of angles up to pi.

    It takes the step, which keeps the digits of small angles. NaN where the cosine of half an angle
    is at most ``least``, or nearly.
    """
    if step.shape[-1] < 4:
        return _by_half_turns(step, least)
    # By the root, whose angles are at most a right one, where those of the rotation may be more.
    xp, one = namespace(step), unit_like(step)
    half = nearest(2 * one + step, proper=True, least=least)
    for _ in range(CORRECTIONS):
        back = transpose(half)
        half = orthonormal(half + half @ skew(back @ (one + step) @ back) / 2, 1)
    near = (norm_of(step) <= math.sqrt(2))[..., None, None]
    step = xp.where(near, step, half - one)
    # Sine and cosine of angles up to a right one: the tangent of half of them is at most 1.
    angle = 2 * skew(arctangent(xp.linalg.solve(2 * one + symmetric(step), skew(step))))
    angle = xp.where((norm_of(step) > LONG)[..., None, None], _once_more(angle, step), angle)
    return xp.where(near, angle, 2 * angle)


def _once_more(a: Any, step: Any) -> Any:
    """a with what e^-a leaves of the rotation 1 + step: log(e^a e^b) for a small b, to terms that
    are a sixth of it where angles are right ones (Baker, Campbell and Hausdorff)."""
    rest = skew(exponential(-a) @ (unit_like(step) + step))
    turned = a @ rest - rest @ a
    return a + rest + turned / 2 + (a @ turned - turned @ a) / 12


def arctangent(t: Any) -> Any:
    """u atan(s) v^T for matrices t = u s v^T (..., n, k) with singular values s of at most 1."""
    one = unit_like(transpose(t) @ t)
    x = 2 * transpose(t) @ t - one
    last, found = 0 * x, ATAN[-1] * one
    for c in ATAN[-2:0:-1]:
        last, found = found, 2 * x @ found - last + c * one
    return t @ (x @ found - last + ATAN[0] * one)


def _by_half_turns(step: Any, least: float) -> Any:
    """In two or three dimensions: from h = (cos, sin times the axis) of half the angle.

    4 h h^T is linear in the rotation, and its row with the largest diagonal is h but for a factor
    (Shepperd, Quaternion from rotation matrix, 1978).
    """
    xp, n = namespace(step), step.shape[-1]
    if n == 2:  # about a third axis
        step = xp.concat([step, 0 * step[..., :1]], axis=-1)
        step = xp.concat([step, 0 * step[..., :1, :]], axis=-2)
    (a, b, c), (d, e, f), (g, h, i) = (
        [step[..., row, column] for column in range(3)] for row in range(3)
    )
    trace = a + e + i
    rows = [
        [4 + trace, h - f, c - g, d - b],
        [h - f, 2 * a - trace, b + d, c + g],
        [c - g, b + d, 2 * e - trace, f + h],
        [d - b, c + g, f + h, 2 * i - trace],
    ]
    square = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
    best = xp.argmax(diagonal(square), axis=-1)[..., None, None]
    best = xp.broadcast_to(best, (*best.shape[:-1], 4))
    half = unit(xp.take_along_axis(square, best, axis=-2)[..., 0, :])
    half = xp.where(half[..., :1] < 0, -half, half)
    cosine, sine = half[..., 0], norm(half[..., 1:])
    some = sine > 0
    angle = 2 * xp.atan2(sine, cosine)
    ratio = xp.where(some, angle / where(some, sine, 1.0), 2 * xp.ones_like(sine))
    x, y, z = (where(cosine > least, ratio * half[..., k], math.nan) for k in (1, 2, 3))
    rows = [[0 * x, -z, y], [z, 0 * y, -x], [-y, x, 0 * z]]
    return xp.stack([xp.stack(row[:n], axis=-1) for row in rows[:n]], axis=-2)
