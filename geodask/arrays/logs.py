"""Compiled sums of logarithms over rows: one pass that reads a row, takes its log and adds it.

``out`` has a row of running sums and one of what their rounding lost. The columns are the weighted
sum of the logs at ``p``, in the frame of `Manifold.log_frame`, and then `EXTRAS` numbers: the
weighted sums of dist^2 and of `Manifold.bending`, the weight, the rows that have no log, and the
rows at a right angle or more. Rows of weight zero are left out.

Rows of a group are added in turn; the sums of groups are added in double-double. Where a block of
rows begins with a group, the sums depend on its rows alone, and what is lost of the sum of many
rows is what is lost in one group. Compiled without fast-math, as `fused`.
"""

import math

import numba
import numpy as np

from .doubled import SPLITTER
from .fused import fold_lanes

GROUP = 128
EXTRAS = 5
NEAR_RIM = 2.0**-7
"""1 - |x|^2 from where it is taken in double-double: plain sums lose n / 8 roundings of 1."""

compiled = numba.njit(nogil=True, cache=True)


@compiled
def add_group(sums, out):
    """Adds the sums of a group to the running ones, and clears them."""
    for j in range(len(sums)):
        total = out[0, j] + sums[j]
        part = total - out[0, j]
        out[1, j] += (out[0, j] - (total - part)) + (sums[j] - part)
        out[0, j] = total
        sums[j] = 0.0


@compiled
def add_terms(terms, out):
    """Adds rows of terms, as many as `out` has columns."""
    sums = np.zeros(out.shape[1], np.float64)
    for start in range(0, len(terms), GROUP):
        for i in range(start, min(start + GROUP, len(terms))):
            for j in range(len(sums)):
                sums[j] += terms[i, j]
        add_group(sums, out)


@compiled
def _count(sums, weight, square, bending, beyond):
    n = len(sums) - EXTRAS
    sums[n] += weight * square
    sums[n + 1] += weight * bending
    sums[n + 2] += weight
    sums[n + 4] += beyond


@compiled
def flat_logs(x, weights, p, out):
    """Of rows in flat space: x - p."""
    n = x.shape[1]
    sums = np.zeros(out.shape[1], np.float64)
    step = np.empty(n, np.float64)
    lane = np.empty(8, np.float64)
    for start in range(0, len(x), GROUP):
        for i in range(start, min(start + GROUP, len(x))):
            weight = weights[i]
            if not weight > 0:
                continue
            for j in range(n):
                step[j] = np.float64(x[i, j]) - p[j]
            square = _square(step, lane)
            if not square < np.inf:
                sums[n + 3] += 1
                continue
            for j in range(n):
                sums[j] += weight * step[j]
            _count(sums, weight, square, 1.0, 0)
        add_group(sums, out)


@compiled
def _square(v, lane):
    """``lane_sum(v * v)``."""
    n = len(v)
    whole = n - n % 8
    lane[:] = 0.0
    for start in range(0, whole, 8):
        for w in range(8):
            lane[w] += v[start + w] * v[start + w]
    for w in range(n - whole):
        lane[w] += v[whole + w] * v[whole + w]
    return fold_lanes(lane)


@compiled
def sphere_logs(x, weights, p, out):
    """Of rows on a sphere, divided by their lengths.

    With a the shorter of the chords q - p and q + p, the log is (a - <a, p> p) (angle / sine), and
    <a, p> is half the square of a: nothing cancels.
    """
    n = x.shape[1]
    sums = np.zeros(out.shape[1], np.float64)
    row, step = np.empty(n, np.float64), np.empty(n, np.float64)
    lane = np.empty(8, np.float64)
    for start in range(0, len(x), GROUP):
        for i in range(start, min(start + GROUP, len(x))):
            weight = weights[i]
            if not weight > 0:
                continue
            for j in range(n):
                row[j] = np.float64(x[i, j])
            scale = 1 / np.sqrt(_square(row, lane))
            for j in range(n):
                row[j] *= scale
                step[j] = row[j] - p[j]
            near = _square(step, lane)
            far, along = 4 - near, -near / 2
            if near > 2:
                for j in range(n):
                    step[j] = row[j] + p[j]
                far = _square(step, lane)
                along = far / 2
            if not far > 2.0**-102:  # the square of Sphere's distance from the antipode
                sums[n + 3] += 1
                continue
            angle = 2 * math.atan2(np.sqrt(near), np.sqrt(far))
            over = 2 * angle / np.sqrt(near * far) if near > 0 else 1.0
            ahead, back = weight * over, weight * over * along
            for j in range(n):
                sums[j] += ahead * step[j] - back * p[j]
            _count(sums, weight, angle * angle, over * (far - near) / 4, far <= 2)
        add_group(sums, out)


@compiled
def ball_logs(x, weights, p, inside, out):
    """Of rows in the unit ball, where 1 - |p|^2 is ``inside``; the formula is that of Conformal."""
    n = x.shape[1]
    sums = np.zeros(out.shape[1], np.float64)
    row, step = np.empty(n, np.float64), np.empty(n, np.float64)
    lane = np.empty(8, np.float64)
    for start in range(0, len(x), GROUP):
        for i in range(start, min(start + GROUP, len(x))):
            weight = weights[i]
            if not weight > 0:
                continue
            for j in range(n):
                row[j] = np.float64(x[i, j])
                step[j] = row[j] - p[j]
            left = 1 - _square(row, lane)
            if left < NEAR_RIM:
                left = _one_minus_square(row)
            square = _square(step, lane)
            if not (left > 0 and square < np.inf):
                sums[n + 3] += 1
                continue
            half = np.sqrt(square / (inside * left))  # sinh(dist / 2)
            dist = 2 * math.asinh(half)
            over = dist / np.sqrt(square * (square + inside * left)) if square > 0 else 0.0
            ahead, back = weight * over * inside, weight * over * square
            for j in range(n):
                sums[j] += ahead * step[j] - back * p[j]
            cosh, sinh = 1 + 2 * half * half, 2 * half * np.sqrt(1 + half * half)
            _count(sums, weight, dist * dist, dist * cosh / sinh if half > 0 else 1.0, 0)
        add_group(sums, out)


@compiled
def _one_minus_square(v):
    """`doubled.one_minus_square`."""
    high, low = 1.0, 0.0
    for value in v:
        square = value * value
        spread = SPLITTER * value
        upper = spread - (spread - value)
        lower = value - upper
        rest = ((upper * upper - square) + upper * lower) + lower * upper
        rest = rest + lower * lower
        total = high - square
        part = total - high
        low = low + (((high - (total - part)) + (-square - part)) - rest)
        high = total
    return high + low
