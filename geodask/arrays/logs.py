"""Compiled sums of logarithms over rows: one pass that reads a row, takes its log and adds it.

``out`` has a row of running sums and one of what their rounding lost. The columns are the weighted
sum of the logs at ``p``, in the frame of `Manifold.log_frame`, and then `EXTRAS` numbers: the
weighted sums of dist^2 and of `Manifold.bending`, the weight, the rows that have no log, and the
rows at a right angle or more. Rows of weight zero are left out.

A log is a share of the row's step from p, and of p. So for a group of rows come first the lengths
that its logs depend on, then the shares, of all rows in step, and then the sums. The sums of groups
are added in double-double. Where a block of rows begins with a group, the sums depend on its rows
alone, and what is lost of the sum of many rows is what is lost in one group. Compiled without
fast-math, as `fused`.
"""

import math

import numba
import numpy as np

from .elementary import angles, asinhs
from .fused import minus_square
from .lanes import lane_product, lane_square

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
def _add_steps(group, p, shares, sums):
    """Adds shares of x - p, four rows at a time; rows without a share may be no numbers."""
    n = len(p)
    fours = len(group) - len(group) % 4
    for i in range(0, fours, 4):
        a, b, c, d = shares[i], shares[i + 1], shares[i + 2], shares[i + 3]
        if a != 0 and b != 0 and c != 0 and d != 0:
            for j in range(n):
                left = a * (group[i, j] - p[j]) + b * (group[i + 1, j] - p[j])
                right = c * (group[i + 2, j] - p[j]) + d * (group[i + 3, j] - p[j])
                sums[j] += left + right
        else:
            _add_each(group[i : i + 4], p, shares[i : i + 4], sums)
    _add_each(group[fours:], p, shares[fours:], sums)


@compiled
def _add_each(group, p, shares, sums):
    for i in range(len(group)):
        if shares[i] != 0:
            for j in range(len(p)):
                sums[j] += shares[i] * (group[i, j] - p[j])


@compiled
def _count(sums, square, bending, weight, lost, beyond):
    n = len(sums) - EXTRAS
    sums[n] += square
    sums[n + 1] += bending
    sums[n + 2] += weight
    sums[n + 3] += lost
    sums[n + 4] += beyond


@compiled
def flat_logs(x, weights, p, out):
    """Of rows in flat space: x - p."""
    sums = np.zeros(out.shape[1], np.float64)
    shares = np.empty(GROUP, np.float64)
    for start in range(0, len(x), GROUP):
        group = x[start : start + GROUP]
        square, total, lost = 0.0, 0.0, 0
        for i in range(len(group)):
            weight, apart = weights[start + i], lane_square(group[i], p)
            shares[i] = 0.0
            if not weight > 0:
                continue
            if not apart < np.inf:
                lost += 1
                continue
            shares[i] = weight
            square += weight * apart
            total += weight
        _count(sums, square, total, total, lost, 0)
        _add_steps(group, p, shares, sums)
        add_group(sums, out)


@compiled
def sphere_logs(x, weights, p, out):
    """Of rows on a sphere, divided by their lengths: (u - c p) angle / sine for the cosine c.

    Where c is near 1 or -1, and nothing would be left of some digits, `_sphere_row` takes the row.
    """
    n = len(p)
    origin = np.zeros(n, np.float64)
    sums = np.zeros(out.shape[1], np.float64)
    row = np.empty(n, np.float64)
    cosines, scales = np.zeros(GROUP, np.float64), np.empty(GROUP, np.float64)
    squares, overs = np.empty(GROUP, np.float64), np.empty(GROUP, np.float64)
    shares = np.empty(GROUP, np.float64)
    for start in range(0, len(x), GROUP):
        group = x[start : start + GROUP]
        for i in range(len(group)):
            scales[i] = 1 / np.sqrt(lane_product(group[i], group[i]))
            cosines[i] = lane_product(group[i], p) * scales[i]
        angles(cosines, squares, overs)
        square, total, back, beyond = 0.0, 0.0, 0.0, 0
        for i in range(len(group)):
            weight = weights[start + i]
            shares[i] = 0.0
            if not weight > 0:
                continue
            if not abs(cosines[i]) <= STEEP:
                for j in range(n):
                    row[j] = np.float64(group[i, j]) * scales[i]
                _sphere_row(row, weight, p, sums)
                continue
            share = weight * overs[i]
            shares[i] = share * scales[i]
            back += share * cosines[i]  # the bending as well: angle cosine / sine
            square += weight * squares[i]
            total += weight
            beyond += cosines[i] <= 0
        _count(sums, square, back, total, 0, beyond)
        _add_steps(group, origin, shares, sums)
        for j in range(n):
            sums[j] -= back * p[j]
        add_group(sums, out)


@compiled
def _sphere_row(row, weight, p, sums):
    """Adds one unit vector by the shorter chord a of q - p and q + p.

    The log is (a - <a, p> p) angle / sine, and <a, p> is half the square of a: nothing cancels.
    """
    n = len(row)
    sign = 1.0
    near = lane_square(row, p)
    far, along = 4 - near, -near / 2
    if near > 2:
        sign = -1.0
        apart = row + p
        far = lane_product(apart, apart)
        along = far / 2
    if not far > 2.0**-102:  # the square of Sphere's distance from the antipode
        sums[n + 3] += 1
        return
    angle = 2 * math.atan2(np.sqrt(near), np.sqrt(far))
    over = 2 * angle / np.sqrt(near * far) if near > 0 else 1.0
    ahead, back = weight * over, weight * over * along
    for j in range(n):
        sums[j] += ahead * (row[j] - sign * p[j]) - back * p[j]
    bending = over * (far - near) / 4
    _count(sums, weight * angle * angle, weight * bending, weight, 0, far <= 2)


@compiled
def ball_logs(x, weights, p, inside, out):
    """Of rows in the unit ball, where 1 - |p|^2 is ``inside``; the formula is that of Conformal."""
    n = len(p)
    sums = np.zeros(out.shape[1], np.float64)
    squares, lefts = np.zeros(GROUP, np.float64), np.ones(GROUP, np.float64)
    found = np.empty((3, GROUP), np.float64)
    dists, overs, bendings = found[0], found[1], found[2]
    shares = np.empty(GROUP, np.float64)
    for start in range(0, len(x), GROUP):
        group = x[start : start + GROUP]
        for i in range(len(group)):
            squares[i] = lane_square(group[i], p)
            lefts[i] = 1 - lane_product(group[i], group[i])
            if lefts[i] < NEAR_RIM:
                lefts[i] = _one_minus_square(group[i])
        _ball_distances(squares, lefts, inside, found)
        square, bending, total, back, lost = 0.0, 0.0, 0.0, 0.0, 0
        for i in range(len(group)):
            weight = weights[start + i]
            shares[i] = 0.0
            if not weight > 0:
                continue
            if not (lefts[i] > 0 and squares[i] < np.inf):
                lost += 1
                continue
            shares[i] = weight * overs[i] * inside
            back += weight * overs[i] * squares[i]
            square += weight * dists[i] * dists[i]
            bending += weight * bendings[i]
            total += weight
        _count(sums, square, bending, total, lost, 0)
        _add_steps(group, p, shares, sums)
        for j in range(n):
            sums[j] -= back * p[j]
        add_group(sums, out)


@compiled
def _ball_distances(squares, lefts, inside, found):
    """Of rows in the ball: the distance, what it gives a step to be a log, and the bending."""
    dists, overs, bendings = found[0], found[1], found[2]
    halves = np.sqrt(squares / (inside * lefts))  # sinh(dist / 2)
    asinhs(halves, dists)
    for i in range(GROUP):
        square, half, dist = squares[i], halves[i], 2 * dists[i]
        over = dist / np.sqrt(square * (square + inside * lefts[i]))
        cosh, sinh = 1 + 2 * half * half, 2 * half * np.sqrt(1 + half * half)
        bent = dist * cosh / sinh
        dists[i] = dist
        overs[i] = over if square > 0 else 0.0
        bendings[i] = bent if half > 0 else 1.0


@compiled
def _one_minus_square(v):
    """`doubled.one_minus_square`."""
    high, low = 1.0, 0.0
    for value in v:
        high, low = minus_square(high, low, np.float64(value))
    return high + low
