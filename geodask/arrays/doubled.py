"""Double-double arithmetic: twice the digits of float64, from + - * / and square roots alone.

Two floats, a value and what its rounding lost, stand for their sum. Error-free transformations of
Dekker and Knuth, in one fixed order and without fused operations, so that every library gives the
same bytes (Ogita, Rump and Oishi, Accurate sum and dot product, 2005).
"""

from typing import Any, NamedTuple

from .namespace import namespace, sqrt

SPLITTER = 2.0**27 + 1


class Doubled(NamedTuple):
    """high + low, float64 both: ``high`` is the sum rounded."""

    high: Any
    low: Any


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
        square = _product(x[..., i], x[..., i])
        total = exact_sum(high, -square.high)
        high, low = total.high, low + (total.low - square.low)
    return high + low


def square_sum(x: Any, start: float = 0.0) -> Doubled:
    """start + |x|^2 over the last axis, to (n + 1) 2^-104 of itself: (..., n) -> (...)."""
    xp = namespace(x)
    x = xp.astype(x, xp.float64)
    found = Doubled(xp.full_like(x[..., 0], start), xp.zeros_like(x[..., 0]))
    for i in range(x.shape[-1]):
        square = _product(x[..., i], x[..., i])
        total = exact_sum(found.high, square.high)
        found = _normal(total.high, total.low + (found.low + square.low))
    return found


def root(x: Doubled) -> Doubled:
    """Square roots of positive values."""
    high = sqrt(x.high)
    square = _product(high, high)
    rest = ((x.high - square.high) - square.low) + x.low
    return _normal(high, rest / (2 * high))


def plus(x: Doubled, value: float) -> Doubled:
    """x + value, where both are positive."""
    total = exact_sum(x.high, 0 * x.high + value)
    return _normal(total.high, total.low + x.low)


def column(x: Doubled) -> Doubled:
    """(...,) to compute with (..., n)."""
    return Doubled(x.high[..., None], x.low[..., None])


def quotient(a: Any, b: Doubled) -> Doubled:
    """a / b of float64 values a: broadcast, to a few 2^-105 of itself."""
    high = a / b.high
    back = _product(high, b.high)
    rest = ((a - back.high) - back.low) - high * b.low
    return _normal(high, rest / b.high)


def difference(a: Doubled, b: Doubled) -> Any:
    """a - b, rounded once where it is no less than 2^-100 of them."""
    large, small = exact_sum(a.high, -b.high), exact_sum(a.low, -b.low)
    total = exact_sum(large.high, small.high)
    return total.high + (total.low + (large.low + small.low))


def _normal(high: Any, low: Any) -> Doubled:
    total = high + low
    return Doubled(total, low - (total - high))


def _product(a: Any, b: Any) -> Doubled:
    """a * b and what its rounding lost, exactly (a, b within 2^-480 and 2^500)."""
    product = a * b
    a, b = _split(a), _split(b)
    rest = ((a.high * b.high - product) + a.high * b.low) + a.low * b.high
    return Doubled(product, rest + a.low * b.low)


def _split(a: Any) -> Doubled:
    """Upper and lower half of the digits."""
    spread = SPLITTER * a
    high = spread - (spread - a)
    return Doubled(high, a - high)


def exact_sum(a: Any, b: Any) -> Doubled:
    """a + b and what its rounding lost, exactly."""
    total = a + b
    part = total - a
    return Doubled(total, (a - (total - part)) + (b - part))
