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

from .fused import fold_lanes, minus_square, square_sum

GROUP = 128
EXTRAS = 5
NEAR_RIM = 2.0**-7
"""1 - |x|^2 from where it is taken in double-double: plain sums lose n / 8 roundings of 1."""

STEEP = 0.9
"""Cosines up to which 2 - 2 c has lost no more than two binary digits or three."""

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


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
            square = square_sum(step, lane)
            if not square < np.inf:
                sums[n + 3] += 1
                continue
            for j in range(n):
                sums[j] += weight * step[j]
            _count(sums, weight, square, 1.0, 0)
        add_group(sums, out)


@compiled
def sphere_logs(x, weights, p, out):
    """Of rows on a sphere, divided by their lengths: (u - c p) angle / sine for the cosine c.

    Where c is near 1 or -1, and nothing would be left of some digits, `_sphere_row` takes the row.
    """
    n = x.shape[1]
    sums = np.zeros(out.shape[1], np.float64)
    row, lane = np.empty(n, np.float64), np.empty(8, np.float64)
    cosines, scales = np.zeros(GROUP, np.float64), np.empty(GROUP, np.float64)
    squares, overs = np.empty(GROUP, np.float64), np.empty(GROUP, np.float64)
    for start in range(0, len(x), GROUP):
        group = x[start : start + GROUP]
        _sphere_cosines(group, p, cosines, scales)
        _angles(cosines, squares, overs)
        back = 0.0
        for i in range(len(group)):
            weight = weights[start + i]
            if not weight > 0:
                continue
            if not abs(cosines[i]) <= STEEP:
                for j in range(n):
                    row[j] = np.float64(group[i, j]) * scales[i]
                _sphere_row(row, weight, p, sums, lane)
                continue
            share = weight * overs[i]
            back += share * cosines[i]
            ahead = share * scales[i]
            for j in range(n):
                sums[j] += ahead * np.float64(group[i, j])
            bending = overs[i] * cosines[i]
            _count(sums, weight, squares[i], bending, cosines[i] <= 0)
        for j in range(n):
            sums[j] -= back * p[j]
        add_group(sums, out)


@compiled
def _sphere_cosines(group, p, cosines, scales):
    """<u, p> for u = x / |x|, and 1 / |x|, by lane sums."""
    n = len(p)
    whole = n - n % 8
    squares, products = np.empty(8, np.float64), np.empty(8, np.float64)
    for i in range(len(group)):
        squares[:] = 0.0
        products[:] = 0.0
        for start in range(0, whole, 8):
            for w in range(8):
                value = np.float64(group[i, start + w])
                squares[w] += value * value
                products[w] += value * p[start + w]
        for w in range(n - whole):
            value = np.float64(group[i, whole + w])
            squares[w] += value * value
            products[w] += value * p[whole + w]
        scales[i] = 1 / np.sqrt(fold_lanes(squares))
        cosines[i] = fold_lanes(products) * scales[i]


@compiled
def _angles(cosines, squares, overs):
    """The squares of the angles, and the angles divided by their sines; by `series.atan`."""
    for i in range(GROUP):
        near, far = 2 - 2 * cosines[i], 2 + 2 * cosines[i]
        t = np.sqrt(near / far)
        large = t > 1
        t = 1 / t if large else t
        for _ in range(3):
            t = t / (1 + np.sqrt(1 + t * t))
        square = t * t
        series = 1 / 17
        series = 1 / 15 - square * series
        series = 1 / 13 - square * series
        series = 1 / 11 - square * series
        series = 1 / 9 - square * series
        series = 1 / 7 - square * series
        series = 1 / 5 - square * series
        series = 1 / 3 - square * series
        series = 1 - square * series
        half = 8 * (t * series)
        angle = 2 * (math.pi / 2 - half if large else half)
        squares[i] = angle * angle
        overs[i] = 2 * angle / np.sqrt(near * far)


@compiled
def _sphere_row(row, weight, p, sums, lane):
    """Adds one unit vector by the shorter chord a of q - p and q + p.

    The log is (a - <a, p> p) angle / sine, and <a, p> is half the square of a: nothing cancels.
    """
    n = len(row)
    sign = 1.0
    near = square_sum(row - p, lane)
    far, along = 4 - near, -near / 2
    if near > 2:
        sign = -1.0
        far = square_sum(row + p, lane)
        along = far / 2
    if not far > 2.0**-102:  # the square of Sphere's distance from the antipode
        sums[n + 3] += 1
        return
    angle = 2 * math.atan2(np.sqrt(near), np.sqrt(far))
    over = 2 * angle / np.sqrt(near * far) if near > 0 else 1.0
    ahead, back = weight * over, weight * over * along
    for j in range(n):
        sums[j] += ahead * (row[j] - sign * p[j]) - back * p[j]
    _count(sums, weight, angle * angle, over * (far - near) / 4, far <= 2)


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
            left = 1 - square_sum(row, lane)
            if left < NEAR_RIM:
                left = _one_minus_square(row)
            square = square_sum(step, lane)
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
        high, low = minus_square(high, low, value)
    return high + low
