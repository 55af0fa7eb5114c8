"""Compiled loops over rows on the host, bit for bit the array expressions named in each docstring.

Compiled without fast-math: no sum is reordered and nothing is contracted to a fused operation, so
the float64 results agree with those of numpy, torch and cupy. What they return does not depend on
threads, position or batch.
"""

import numba
import numpy as np

from .doubled import SPLITTER
from .lanes import lane_product

compiled = numba.njit(nogil=True, cache=True)


@compiled
def fold_lanes(lane):
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))


@compiled
def row_norms(x):
    """``sqrt(lane_sum(x * x))`` in float64: (rows, n) -> (rows,)."""
    out = np.empty(len(x), np.float64)
    for i in range(len(x)):
        out[i] = np.sqrt(lane_product(x[i], x[i]))
    return out


@compiled
def pair_chords(x, x_scale, rows, y, y_scale, others):
    """Squared distances of scaled rows to each other and to each other's opposites.

    For pairs (rows[c], others[c]) with u = x * x_scale and v = y * y_scale in float64:
    ``lane_sum((u - v) ** 2)`` and ``lane_sum((u + v) ** 2)``, both (pairs,).
    """
    near = np.empty(len(rows), np.float64)
    far = np.empty(len(rows), np.float64)
    minus = np.empty(8, np.float64)
    plus = np.empty(8, np.float64)
    n = x.shape[1]
    whole = n - n % 8
    for c in range(len(rows)):
        a, b = x[rows[c]], y[others[c]]
        s, t = x_scale[rows[c]], y_scale[others[c]]
        minus[:] = 0.0
        plus[:] = 0.0
        for start in range(0, whole, 8):
            for w in range(8):
                u, v = np.float64(a[start + w]) * s, np.float64(b[start + w]) * t
                minus[w] += (u - v) * (u - v)
                plus[w] += (u + v) * (u + v)
        for w in range(n - whole):
            u, v = np.float64(a[whole + w]) * s, np.float64(b[whole + w]) * t
            minus[w] += (u - v) * (u - v)
            plus[w] += (u + v) * (u + v)
        near[c], far[c] = fold_lanes(minus), fold_lanes(plus)
    return near, far


@compiled
def pair_squares(x, rows, y, others):
    """``lane_sum((u - v) ** 2)`` in float64 for the pairs u = x[rows[c]], v = y[others[c]]."""
    out = np.empty(len(rows), np.float64)
    lane = np.empty(8, np.float64)
    n = x.shape[1]
    whole = n - n % 8
    for c in range(len(rows)):
        a, b = x[rows[c]], y[others[c]]
        lane[:] = 0.0
        for start in range(0, whole, 8):
            for w in range(8):
                step = np.float64(a[start + w]) - np.float64(b[start + w])
                lane[w] += step * step
        for w in range(n - whole):
            step = np.float64(a[whole + w]) - np.float64(b[whole + w])
            lane[w] += step * step
        out[c] = fold_lanes(lane)
    return out


GROUP = 32
"""Rows whose sums run side by side, so that one need not wait for the last."""


@compiled
def minus_square(high, low, value):
    """A double-double minus the square of a number."""
    square = value * value
    spread = SPLITTER * value
    upper = spread - (spread - value)
    lower = value - upper
    rest = ((upper * upper - square) + upper * lower) + lower * upper
    rest = rest + lower * lower
    total = high - square
    part = total - high
    lost = (high - (total - part)) + (-square - part)
    return total, low + (lost - rest)


@compiled
def one_minus_squares(x):
    """`doubled.one_minus_square` of rows of float32 or float64: (rows, n) -> (rows,)."""
    n = x.shape[1]
    out = np.empty(len(x), np.float64)
    columns = np.empty((n, GROUP), np.float64)
    high, low = np.empty(GROUP, np.float64), np.empty(GROUP, np.float64)
    for first in range(0, len(x), GROUP):
        width = min(GROUP, len(x) - first)
        for j in range(width):
            for i in range(n):
                columns[i, j] = x[first + j, i]
        high[:] = 1.0
        low[:] = 0.0
        for i in range(n):
            column = columns[i]
            for j in range(GROUP):
                high[j], low[j] = minus_square(high[j], low[j], column[j])
        for j in range(width):
            out[first + j] = high[j] + low[j]
    return out


# The sums below feed upper bounds, or results that are rounded to float32, so their order is free.
_free = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})


@_free
def ball_half_sinhs(x, y, out):
    """|x - y| / sqrt((1 - |x|^2) (1 - |y|^2)) of float32 rows of the unit ball, into float32.

    Squares of float32 are exact in float64, and n 2^-53 is not much of 1 - |x|^2, which is 2^-23 at
    least. NaN outside the ball.
    """
    for r in range(len(x)):
        a, b = x[r], y[r]
        apart, left, right = 0.0, 0.0, 0.0
        for i in range(len(a)):
            u, v = np.float64(a[i]), np.float64(b[i])
            apart += (u - v) * (u - v)
            left += u * u
            right += v * v
        sound = left < 1 and right < 1
        out[r] = np.sqrt(apart / ((1 - left) * (1 - right))) if sound else np.nan


@_free
def product_half_sinhs(products, ours, theirs, least, out):
    """|x - y| sqrt(w w) of all pairs from their products, into float32: (rows, others).

    Either side comes as rows x, |x|^2 and w. Where squares cancel to less than a share ``least`` of
    themselves, the differences are taken.
    """
    (x, x_squares, x_weights), (y, y_squares, y_weights) = ours, theirs
    for i in range(len(products)):
        mine, weight = x_squares[i], x_weights[i]
        for start in range(0, len(y), GROUP * 8):
            stop = min(start + GROUP * 8, len(y))
            row, to = products[i, start:stop], out[i, start:stop]
            squares, weights = y_squares[start:stop], y_weights[start:stop]
            near = 0
            for j in range(len(row)):
                both = mine + squares[j]
                square = both - 2 * np.float64(row[j])
                near += not square >= least * both
                to[j] = np.sqrt(np.float32(square * (weight * weights[j])))
            for j in range(len(row) if near else 0):
                both = mine + squares[j]
                if not both - 2 * np.float64(row[j]) >= least * both:
                    apart = 0.0
                    for k in range(x.shape[1]):
                        step = np.float64(x[i, k]) - np.float64(y[start + j, k])
                        apart += step * step
                    to[j] = np.sqrt(apart * (weight * weights[j]))


# The two sums below feed an upper bound, not a result, so their order is free.
_bounding = numba.njit(nogil=True, cache=True, fastmath={"reassoc"})


@_bounding
def round_float32(x, centre, scale, out):
    """Stores (x - centre) * scale in float32: (rows, n) into the first n columns of ``out``.

    Returns what rounding took away from each row and the row's own length, both (rows,).
    """
    lost = np.empty(len(x), np.float64)
    length = np.empty(len(x), np.float64)
    for i in range(len(x)):
        gap, square = 0.0, 0.0
        for j in range(x.shape[1]):
            value = (np.float64(x[i, j]) - centre[j]) * scale[i]
            out[i, j] = np.float32(value)
            step = value - np.float64(out[i, j])
            gap += step * step
            square += value * value
        lost[i], length[i] = np.sqrt(gap), np.sqrt(square)
    return lost, length


@_bounding
def round_bfloat16(x, centre, scale, out):
    """As `round_float32`, storing bit patterns of bfloat16 (uint16), rounded to nearest even."""
    lost = np.empty(len(x), np.float64)
    length = np.empty(len(x), np.float64)
    single = np.empty(x.shape[1], np.float32)
    bits = single.view(np.uint32)
    for i in range(len(x)):
        square = 0.0
        for j in range(x.shape[1]):
            value = (np.float64(x[i, j]) - centre[j]) * scale[i]
            square += value * value
            single[j] = np.float32(value)
        for j in range(x.shape[1]):
            half = np.uint32(0x7FFF) + ((bits[j] >> np.uint32(16)) & np.uint32(1))
            bits[j] = (bits[j] + half) & np.uint32(0xFFFF0000)
            out[i, j] = np.uint16(bits[j] >> np.uint32(16))
        gap = 0.0
        for j in range(x.shape[1]):
            step = (np.float64(x[i, j]) - centre[j]) * scale[i] - np.float64(single[j])
            gap += step * step
        lost[i], length[i] = np.sqrt(gap), np.sqrt(square)
    return lost, length
