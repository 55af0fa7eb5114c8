"""Elementary functions near their delicate points, and some whose bytes never change."""

import math
from typing import Any

from .namespace import eps, namespace, sqrt, where


def sinc(t: Any) -> Any:
    """sin(t) / t, and 1 at t = 0 (not the signal-processing sinc: no factor of pi)."""
    xp = namespace(t)
    # Below the fourth root of eps the next term of the series is under a rounding error.
    small = xp.abs(t) < eps(t) ** 0.25
    safe = where(~small, t, 1.0)
    return xp.where(small, 1 - t * t / 6, xp.sin(safe) / safe)


def sinhc(t: Any) -> Any:
    """sinh(t) / t, and 1 at t = 0."""
    xp = namespace(t)
    small = xp.abs(t) < eps(t) ** 0.25
    safe = where(~small, t, 1.0)
    return xp.where(small, 1 + t * t / 6, xp.sinh(safe) / safe)


def sinhc_slope(t: Any) -> Any:
    """The derivative of sinh(t) / t, over t: (t cosh(t) - sinh(t)) / t^3, and 1 / 3 at t = 0."""
    xp = namespace(t)
    small = xp.abs(t) < 1
    safe = where(~small, t, 1.0)
    near = _even_series(t, [(2 * k + 2) / math.factorial(2 * k + 3) for k in range(TERMS)])
    return xp.where(small, near, (safe * xp.cosh(safe) - xp.sinh(safe)) / safe**3)


def sinhc_rest(t: Any) -> Any:
    """(sinh(t) - t) / t^3, and 1 / 6 at t = 0."""
    xp = namespace(t)
    small = xp.abs(t) < 1
    safe = where(~small, t, 1.0)
    near = _even_series(t, [1 / math.factorial(2 * k + 3) for k in range(TERMS)])
    return xp.where(small, near, (xp.sinh(safe) - safe) / safe**3)


TERMS = 9
"""Of a series whose coefficients fall as 1 / (2 k + 3)!: the rest is under 1e-19 below 1."""


def _even_series(t: Any, coefficients: list[float]) -> Any:
    """The sum of coefficients times 1, t^2, t^4, ..."""
    square, total = t * t, namespace(t).zeros_like(t)
    for coefficient in coefficients[::-1]:
        total = coefficient + square * total
    return total


ASINH_BELOW, ASINH_HALVINGS = 0.15, 12
ASINH = [
    (-1) ** k * math.comb(2 * k, k) / 4**k / (2 * k + 1) for k in range(10)
]  # Taylor's coefficients, of t, t^3, ...


def asinh(x: Any) -> Any:
    """Inverse hyperbolic sine of non-negative float64 values, with the same bytes everywhere.

    As `atan`. Halving, sinh(w / 2) = sinh(w) / sqrt(2 + 2 cosh(w)), brings the argument below 0.15,
    where ten terms of the Taylor series reach 1e-18; twelve halvings do so up to 1e150. The
    relative error is under 4e-15.
    """
    xp = namespace(x)
    t, factor = x, xp.ones_like(x)
    for _ in range(ASINH_HALVINGS):
        large = t > ASINH_BELOW
        t = xp.where(large, t / sqrt(2 + 2 * sqrt(1 + t * t)), t)
        factor = xp.where(large, 2 * factor, factor)
    square = t * t
    series = xp.full_like(t, ASINH[-1])
    for coefficient in ASINH[-2::-1]:
        series = coefficient + square * series
    return factor * (t * series)


LN2 = 0.6931471803691238, 1.9082149292705877e-10
"""The logarithm of 2 in two parts; whole numbers below 2^20 times the first are exact."""
SINH_SERIES_BELOW = 0.3


def sinh(x: Any) -> Any:
    """Hyperbolic sine of float64 values between -700 and 700, with the same bytes everywhere.

    As `atan`. Near zero a Taylor series; elsewhere from exp(|x|) = 2^k exp(r) with |r| below 0.35
    and the Taylor series of that. The relative error is under 1e-15.
    """
    xp = namespace(x)
    size = xp.abs(x)
    square = where(size < SINH_SERIES_BELOW, x * x, 0.0)
    near = xp.ones_like(x)
    for j in range(14, 0, -2):
        near = 1 + near * (square / (j * (j + 1)))
    power = xp.floor(size / LN2[0] + 0.5)
    rest = (size - power * LN2[0]) - power * LN2[1]
    grown = xp.ones_like(x)
    for j in range(15, 0, -1):
        grown = 1 + grown * (rest / j)
    for bit in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        has = power >= bit
        grown = xp.where(has, grown * 2.0**bit, grown)
        power = xp.where(has, power - bit, power)
    far = xp.sign(x) * ((grown - 1 / grown) / 2)
    return xp.where(size < SINH_SERIES_BELOW, x * near, far)


def atan(x: Any) -> Any:
    """Arctangent of non-negative float64 values, by + - * / and square roots in one fixed order.

    Libraries differ in the last digit of the arctangent, some even between the body and the tail of
    one array, so a distance that goes into a stored result is computed here: the same bytes from
    every library, processor and batch. Three times atan(x) = 2 atan(x / (1 + sqrt(1 + x^2))) brings
    the argument below tan(pi / 32), where nine terms of the Taylor series reach 1e-19. The relative
    error is under 8e-16, of arguments that are 0 or above 1e-300, as the root of a rank is.
    """
    xp = namespace(x)
    large = x > 1
    safe = where(large, x, 1.0)
    t = xp.where(large, 1 / safe, x)
    for _ in range(3):
        t = t / (1 + sqrt(1 + t * t))
    square = t * t
    series = xp.full_like(t, 1 / 17)
    for odd in range(15, 0, -2):
        series = 1 / odd - square * series
    angle = 8 * (t * series)
    return xp.where(large, math.pi / 2 - angle, angle)
