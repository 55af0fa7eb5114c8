"""Ranks of points of hyperbolic space in polar coordinates, and their scores tile by tile."""

from typing import Any, NamedTuple

import numba
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
    """Rows for the scores below: direction, low, radius / 2, half_sinh, exp(+-radius / 2)."""
    xp = namespace(x.radius)
    half = x.radius / 2
    columns = (half, x.half_sinh, xp.exp(half), xp.exp(-half))
    return xp.concat([x.direction, x.low, *(column[:, None] for column in columns)], axis=1)


@bounding
def _scores(query, targets, squares, out):
    """Scores of a query, from the four columns of either side's radii and |u - v|^2."""
    half, left, up, down = query
    far, right, rise, fall = targets
    for j in range(len(out)):
        apart = half - far[j]
        square = apart * apart
        near = apart * (1 + square * (1 / 6 + square * (1 / 120 + square / 5040)))
        wide = (up * fall[j] - down * rise[j]) / 2
        apart = near if square < SMALL * SMALL else wide
        rank = apart * apart + squares[j] * (left * right[j])
        out[j] = np.float32(-np.sqrt(np.sqrt(np.sqrt(rank))))


@bounding
def _by_steps(queries, columns, sums, tile):
    n = (queries.shape[1] - 4) // 2
    sums = sums[0]
    for i in range(len(queries)):
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
            _scores(queries[i, 2 * n :], (far, right, rise, fall), sums, tile[i, start:stop])


class PolarScores(PairScores):
    """Minus the eighth root of the rank, which float32 can hold for all radii, to 2^-23."""

    fill = staticmethod(_by_steps)

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


# The order of a sum of squares is free: its bound holds for all.
@numba.njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def _square_sum(steps):
    total = 0.0
    for k in range(len(steps)):
        total += steps[k] * steps[k]
    return total


@bounding
def _by_products(queries, targets, products, radial, tile, start):
    n = (queries.shape[1] - 4) // 2
    # A product of unit vectors errs by (n + 4) 2^-52; from here on |u - v|^2 is right to 2^-22.
    least = (n + 4) * 2.0**-29
    squares, steps = np.empty(len(targets), np.float64), np.empty(n, np.float64)
    for i in range(len(queries)):
        for j in range(len(targets)):
            squares[j] = 2 - 2 * products[i, j]
        query = queries[i]
        for j in range(len(targets)):
            if not squares[j] >= least:
                target = targets[j]
                for k in range(n):
                    step = (query[k] - target[k]) + (query[n + k] - target[n + k])
                    finest = FINEST * max(abs(query[k]), abs(target[k]))
                    steps[k] = 0.0 if abs(step) < finest else step
                squares[j] = _square_sum(steps)
        out = tile[i, start : start + len(targets)]
        _scores(query[2 * n :], (radial[0], radial[1], radial[2], radial[3]), squares, out)


class PolarProducts(PolarScores):
    """The same from products of directions, but where these are too near each other for that.

    On a GPU all are taken in steps.
    """

    def __init__(self, tile: tuple[int, int]):
        super().__init__(tile)
        self._products = np.empty(tile[0] * RUN)

    def __call__(self, queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
        n = (queries.shape[1] - 4) // 2
        tile = self.room(queries, targets)
        for start in range(0, len(targets), RUN):
            part = targets[start : start + RUN]
            products = self._products[: len(queries) * len(part)].reshape(len(queries), -1)
            np.matmul(queries[:, :n], part[:, :n].T, out=products)
            radial = np.ascontiguousarray(part[:, 2 * n :].T)
            _by_products(queries, part, products, radial, tile, start)
        return tile


def eighth_root(x: Any) -> Any:
    """x to the power 1/8."""
    xp = namespace(x)
    return xp.sqrt(xp.sqrt(xp.sqrt(x)))
