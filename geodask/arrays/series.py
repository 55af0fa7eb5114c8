"""Elementary functions near their delicate points, and an arctangent whose bytes never change."""

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
