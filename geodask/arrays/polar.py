"""Ranks of points of hyperbolic space in polar coordinates, and their scores tile by tile."""

from typing import Any, NamedTuple

import numpy as np

from .difference import RUN, PairScores, bounding
from .doubled import Doubled, column, difference, quotient, root, square_sum
from .namespace import lane_sum, namespace, where
from .series import sinh

FINEST = 2.0**-76
"""Coordinates of two directions that differ by less than this share of themselves are taken as
equal: rounding, by n 2^-104, makes steps of rows on one ray."""
SMALL = 0.25
"""Below it the Taylor series of the sinh is used, which keeps small differences of radii."""


class Polar(NamedTuple):
    """Rows as direction and radius, with what their ranks need, float64."""

    direction: Any
    """(rows, dim), of length 1, rounded."""
    low: Any
    """What rounding took away from it."""
    radius: Any
    """(rows,)"""
    half_sinh: Any
    """(rows,): sinh(radius) / 2."""

    def take(self, rows: Any) -> "Polar":
        """Some of the rows."""
        return Polar._make(namespace(each).take(each, rows, axis=0) for each in self)


def polar(direction: Any, radius: Any) -> Polar:
    """Directions (..., dim) of any length, and radii (...,), as `Polar`.

    NaN of the zero vector and of negative radii.
    """
    radius = where(radius >= 0, radius, np.nan)
    length = root(square_sum(direction))
    length = Doubled(*(where(length.high > 0, part, np.nan) for part in length))
    unit = quotient(direction, column(length))
    return Polar(unit.high, unit.low, radius, sinh(radius) / 2)


def polar_step(a: Polar, b: Polar) -> Any:
    """From the direction of a to that of b, to the last digits."""
    xp = namespace(a.radius)
    step = difference(Doubled(b.direction, b.low), Doubled(a.direction, a.low))
    least = FINEST * xp.maximum(xp.abs(a.direction), xp.abs(b.direction))
    return where(~(xp.abs(step) < least), step, 0.0)


def polar_ranks(a: Polar, b: Polar) -> Any:
    """sinh^2 of half the distance: sinh^2((r - s) / 2) + sinh(r) sinh(s) |u - v|^2 / 4."""
    step = polar_step(a, b)
    apart = sinh((a.radius - b.radius) / 2)
    return apart * apart + lane_sum(step * step) * (a.half_sinh * b.half_sinh)


def operand(x: Polar) -> Any:
    """Rows for `PolarScores`: direction, low, radius / 2, half_sinh, exp(+-radius / 2)."""
    xp = namespace(x.radius)
    half = x.radius / 2
    columns = (half, x.half_sinh, xp.exp(half), xp.exp(-half))
    return xp.concat([x.direction, x.low, *(column[:, None] for column in columns)], axis=1)


@bounding
def _polar(queries, columns, sums, tile):
    n = (queries.shape[1] - 4) // 2
    for i in range(len(queries)):
        half, left, up, down = queries[i, 2 * n :]
        for start in range(0, tile.shape[1], RUN):
            stop = min(start + RUN, tile.shape[1])
            width = stop - start
            sums[:] = 0
            for k in range(n):
                value, column = queries[i, k], columns[k, start:stop]
                rest, lows = queries[i, n + k], columns[n + k, start:stop]
                for j in range(width):
                    step = (value - column[j]) + (rest - lows[j])
                    least = FINEST * max(abs(value), abs(column[j]))
                    step = 0.0 if abs(step) < least else step
                    sums[j] += step * step
            far, right = columns[2 * n, start:stop], columns[2 * n + 1, start:stop]
            rise, fall = columns[2 * n + 2, start:stop], columns[2 * n + 3, start:stop]
            out = tile[i, start:stop]
            for j in range(width):
                apart = half - far[j]
                square = apart * apart
                near = apart * (1 + square * (1 / 6 + square * (1 / 120 + square / 5040)))
                wide = (up * fall[j] - down * rise[j]) / 2
                apart = near if square < SMALL * SMALL else wide
                rank = apart * apart + sums[j] * (left * right[j])
                out[j] = np.float32(-np.sqrt(np.sqrt(np.sqrt(rank))))


class PolarScores(PairScores):
    """Minus the eighth root of the rank, which float32 can hold for all radii, to 2^-23."""

    fill = staticmethod(_polar)

    @staticmethod
    def on_device(queries: Any, targets: Any) -> Any:
        xp = namespace(queries, targets)
        n = (queries.shape[1] - 4) // 2
        total = 0.0
        for k in range(n):
            value, column = queries[:, k][:, None], targets[:, k][None, :]
            step = value - column + (queries[:, n + k][:, None] - targets[:, n + k][None, :])
            least = FINEST * xp.maximum(xp.abs(value), xp.abs(column))
            step = where(~(xp.abs(step) < least), step, 0.0)
            total = total + step * step
        (half, left, up, down), (far, right, rise, fall) = (
            [each[:, 2 * n + k] for k in range(4)] for each in (queries, targets)
        )
        apart = half[:, None] - far[None, :]
        wide = (up[:, None] * fall[None, :] - down[:, None] * rise[None, :]) / 2
        square = apart * apart
        near = apart * (1 + square * (1 / 6 + square * (1 / 120 + square / 5040)))
        apart = xp.where(square < SMALL * SMALL, near, wide)
        rank = apart * apart + total * (left[:, None] * right[None, :])
        return xp.astype(-eighth_root(rank), xp.float32)


def eighth_root(x: Any) -> Any:
    """x to the power 1/8."""
    xp = namespace(x)
    return xp.sqrt(xp.sqrt(xp.sqrt(x)))
