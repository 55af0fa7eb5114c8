"""Compiled elementary functions of many numbers at once, by + - * / and square roots alone.

No branch and no call stands in a loop, so a processor computes several numbers in step; and as in
`series`, which says why, the bytes are the same on all of them.
"""

import math

import numba
import numpy as np

from .series import LN2

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

ONE = 1023 << 52
"""The bits of 1.0: its exponent, above 52 digits."""
ROOT_HALF = 0x3FE6A09E667F3BCD
"""The bits of the root of a half."""


@compiled
def angles(cosines, squares, overs):
    """The squares of the angles, and the angles divided by their sines; by `series.atan`."""
    for i in range(len(cosines)):
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
def asinhs(x, out):
    """Inverse hyperbolic sines of 0 and of numbers from 1e-300 to 1e150, to 1e-15 of themselves.

    asinh(x) = log(1 + s) for s = x + x^2 / (1 + sqrt(1 + x^2)), in which nothing cancels: s is
    right to 4 roundings of 2^-53. With 1 + s = 2^k (1 + f), and 1 + f from the root of a half to
    that of two, log(1 + f) = 2 atanh(t) for t = f / (2 + f), which is at most 0.172: ten terms of
    the Taylor series leave 3e-17 of it. Where k is 0, f is s; elsewhere the rounding of 1 + s is at
    most 2^-53 / 0.34 of the result.
    """
    bits = out.view(np.int64)
    for i in range(len(x)):
        square = x[i] * x[i]
        out[i] = 1 + (x[i] + square / (1 + np.sqrt(1 + square)))
    for i in range(len(x)):
        power = (bits[i] + (ONE - ROOT_HALF) >> 52) - 1023
        bits[i] -= power << 52
        square = x[i] * x[i]
        s = x[i] + square / (1 + np.sqrt(1 + square))
        f = s if power == 0 else out[i] - 1
        t = f / (2 + f)
        square = t * t
        series = 1 / 19
        series = 1 / 17 + square * series
        series = 1 / 15 + square * series
        series = 1 / 13 + square * series
        series = 1 / 11 + square * series
        series = 1 / 9 + square * series
        series = 1 / 7 + square * series
        series = 1 / 5 + square * series
        series = 1 / 3 + square * series
        series = 1 + square * series
        out[i] = power * LN2[0] + (power * LN2[1] + 2 * (t * series))
