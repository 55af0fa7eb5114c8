"""Products with Cholesky factors and axes of many small matrices on the host, eight in step.

What is symmetric is computed once, below the diagonal, and mirrored.
"""

import numba
import numpy as np

from .doubled import SPLITTER
from .namespace import LANES, sqrt, where
from .vectors import gather, vectors

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


@compiled
def cholesky(p, out):
    """L with p = L L^T, of rows (rows, n, n); NaN from where p is not positive definite."""
    n = p.shape[1]
    a = vectors((n, n))
    for first in range(0, len(p), LANES):
        gather(p, first, a)
        factor(a)
        _scatter_lower(a, first, out)


@compiled
def refined(p, low, out):
    """The factors L to the last digit, from ``low`` that are off by rounding.

    p - L L^T is summed up in double-double, as in `doubled`.
    """
    n = p.shape[1]
    a, b, x = vectors((n, n)), vectors((n, n)), vectors((n, n))
    high, rest = vectors((n, n)), vectors((n, n))
    for first in range(0, len(p), LANES):
        gather(p, first, a)
        gather(low, first, b)
        for i in range(n):
            for j in range(i + 1):
                spread = SPLITTER * b[i, j]
                high[i, j] = spread - (spread - b[i, j])
                rest[i, j] = b[i, j] - high[i, j]
        for i in range(n):
            for j in range(i + 1):
                total, lost = a[i, j], 0 * a[i, j]
                for k in range(j + 1):
                    part = 0 - b[i, k] * b[j, k]
                    after = (high[i, k] * high[j, k] + part) + high[i, k] * rest[j, k]
                    after = (after + rest[i, k] * high[j, k]) + rest[i, k] * rest[j, k]
                    before, total = total, total + part
                    step = total - before
                    lost = lost + ((before - (total - step)) + (part - step)) - after
                x[i, j] = total + lost
                x[j, i] = total + lost
        carry(b, x)
        for i in range(n):
            for j in range(i + 1):
                step = b[i, j] * x[j, j] / 2
                for k in range(j + 1, i + 1):
                    step = step + b[i, k] * x[k, j]
                a[i, j] = b[i, j] + step
            # What was definite by rounding alone is not.
            a[i, i] = where(a[i, i] > 0, a[i, i], np.nan)
        _scatter_lower(a, first, out)


@compiled
def inverse(low, out):
    """L^-1."""
    n = low.shape[1]
    a, x = vectors((n, n)), vectors((n, n))
    for first in range(0, len(low), LANES):
        gather(low, first, a)
        for i in range(n):
            for j in range(n):
                x[i, j] = 1.0 if i == j else 0.0
        _solve(a, x)
        _scatter_lower(x, first, out)


@compiled
def solved(low, u, out):
    """L^-1 u."""
    n = low.shape[1]
    a, x = vectors((n, n)), vectors((n, n))
    for first in range(0, len(low), LANES):
        gather(low, first, a)
        gather(u, first, x)
        _solve(a, x)
        for lane in range(min(LANES, len(low) - first)):
            for i in range(n):
                for j in range(n):
                    out[first + lane, i, j] = x.array[i, j, lane]


@compiled
def carried(low, u, out):
    """L^-1 u L^-T of symmetric u."""
    n = u.shape[1]
    a, x = vectors((n, n)), vectors((n, n))
    for first in range(0, len(u), LANES):
        gather(low, first, a)
        gather(u, first, x)
        carry(a, x)
        _scatter(x, first, out)


@compiled
def congruent(a, u, out):
    """a u a^T of symmetric u."""
    n = u.shape[1]
    b, x, y = vectors((n, n)), vectors((n, n)), vectors((n, n))
    for first in range(0, len(u), LANES):
        gather(a, first, b)
        gather(u, first, x)
        turn(b, x, y)
        _scatter(x, first, out)


@compiled
def spanned(axes, values, out):
    """V w V^T of axes V and values w (rows, 1, n)."""
    n = axes.shape[1]
    z, w, x, y = vectors((n, n)), vectors((1, n)), vectors((n, n)), vectors((n, n))
    for first in range(0, len(axes), LANES):
        gather(axes, first, z)
        gather(values, first, w)
        for i in range(n):
            for k in range(n):
                y[i, k] = z[i, k] * w[0, k]
        _multiply(y, z, x)
        _scatter(x, first, out)


@compiled
def _solve(low, x):
    """x becomes L^-1 x."""
    n = len(x.array)
    for i in range(n):
        for k in range(i):
            part = low[i, k]
            for j in range(n):
                x[i, j] = x[i, j] - part * x[k, j]
        for j in range(n):
            x[i, j] = x[i, j] / low[i, i]


@compiled
def factor(a):
    """a becomes L below the diagonal."""
    n = len(a.array)
    for j in range(n):
        rest = a[j, j]
        for k in range(j):
            rest = rest - a[j, k] * a[j, k]
        a[j, j] = sqrt(where(rest > 0, rest, np.nan))
        over = 1 / a[j, j]
        for i in range(j + 1, n):
            rest = a[i, j]
            for k in range(j):
                rest = rest - a[i, k] * a[j, k]
            a[i, j] = rest * over


@compiled
def carry(low, x):
    """x becomes L^-1 x L^-T below the diagonal."""
    n = len(x.array)
    _solve(low, x)
    for i in range(n):
        for j in range(i + 1):
            part = x[i, j] / low[j, j]
            x[i, j] = part
            for k in range(j + 1, i + 1):
                x[i, k] = x[i, k] - part * low[k, j]


@compiled
def turn(a, x, y):
    """x becomes a x a^T below the diagonal; y is room for a x."""
    n = len(x.array)
    for i in range(n):
        for j in range(n):
            y[i, j] = a[i, 0] * x[0, j]
        for k in range(1, n):
            part = a[i, k]
            for j in range(n):
                y[i, j] = y[i, j] + part * x[k, j]
    _multiply(y, a, x)


@compiled
def _multiply(a, b, x):
    """x becomes the lower triangle of a b^T."""
    n = len(x.array)
    for i in range(n):
        for j in range(i + 1):
            total = a[i, 0] * b[j, 0]
            for k in range(1, n):
                total = total + a[i, k] * b[j, k]
            x[i, j] = total


@compiled
def _scatter(a, first, out):
    """Lower triangles, and the same above the diagonal."""
    for lane in range(min(LANES, len(out) - first)):
        row = out[first + lane]
        for i in range(len(row)):
            for j in range(i + 1):
                row[i, j] = row[j, i] = a.array[i, j, lane]


@compiled
def _scatter_lower(a, first, out):
    """Lower triangles, and zeros above the diagonal."""
    for lane in range(min(LANES, len(out) - first)):
        row = out[first + lane]
        for i in range(len(row)):
            for j in range(i + 1):
                row[i, j] = a.array[i, j, lane]
            row[i, i + 1 :] = 0.0
