"""Sums in double-double arithmetic: twice the digits of float64, from + - * alone.

Two floats, a value and what its rounding lost, stand for their sum. Error-free transformations of
Dekker and Knuth, in one fixed order and without fused operations, so that every library gives the
same bytes (Ogita, Rump and Oishi, Accurate sum and dot product, 2005).
"""

from typing import Any

from .namespace import namespace

SPLITTER = 2.0**27 + 1


def one_minus_square(x: Any) -> Any:
    """1 - |x|^2 over the last axis, float64: (..., n) -> (...).

    Near the unit sphere it keeps the digits that 1 - dot(x, x) loses. What the roundings of each
    step lose is summed up in float64, which loses at most 2 (n + 1)^2 2^-106 of it; then the result
    is rounded once.
    """
    xp = namespace(x)
    x = xp.astype(x, xp.float64)
    high, low = xp.ones_like(x[..., 0]), xp.zeros_like(x[..., 0])
    for i in range(x.shape[-1]):
        square, rest = _square(x[..., i])
        high, lost = _sum(high, -square)
        low = low + (lost - rest)
    return high + low


def _square(a: Any) -> tuple[Any, Any]:
    """a * a and what its rounding lost, exactly (|a| within 2^-480 and 2^500)."""
    square = a * a
    spread = SPLITTER * a
    upper = spread - (spread - a)
    lower = a - upper
    return square, ((upper * upper - square) + 2 * (upper * lower)) + lower * lower


def _sum(a: Any, b: Any) -> tuple[Any, Any]:
    """a + b and what its rounding lost, exactly."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)
