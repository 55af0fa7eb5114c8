"""Eigenvalues and axes of many small symmetric matrices on the host, eight of them in step.

Reflections make a matrix tridiagonal, and rotations that diagonal: QL with explicit shifts, which
goes on by itself where a link is 0 (Bowdler, Martin, Reinsch and Wilkinson, The QR and QL
algorithms for symmetric matrices, 1968). Each step is an orthogonal map of the matrix to a few
roundings of its norm; of hard matrices no eigenvalue was off by more than n + 8 times 2^-52 of the
largest, for n up to 64. A lane whose links are gone waits for the others unchanged.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import register_jitable

from . import closed
from .namespace import LANES, sqrt, where
from .vectors import gather, some, vectors

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

for formula in closed.FORMULAS:
    register_jitable(formula)

LOST = 2.0**-900
"""Squares of this size have lost digits; the largest entry is near 1."""
ROUNDING = 2.0**-104
"""The square of 2^-52: a link that is less, beside its neighbours on the diagonal, is none."""
SWEEPS = 30
"""A row, after which a matrix is given up; two or three do."""


class Room(NamedTuple):
    """What eight matrices in step need besides themselves."""

    values: Any
    """(n,) vectors, as the next three."""
    links: Any
    turns: Any
    spare: Any
    scale: Any
    """One vector: what they were multiplied by."""
    order: Any
    """(8, n): where the eigenvalues of each lie, the least first."""


@compiled
def room_for(n):
    spare = vectors((n,)), vectors((n,)), vectors((n,)), vectors((n,))
    return Room(*spare, vectors((1,)), np.empty((LANES, n), np.int64))


@compiled
def decompose(x, values, axes):
    """Eigenvalues of rows of matrices (rows, n, n), the least first, into ``values`` (rows, n), and
    as columns of ``axes`` (rows, n, n), where that has columns, their axes.

    The lower triangles are read. NaN where an entry is not finite.
    """
    n, wanted = x.shape[1], axes.shape[2]
    a, z, room = vectors((n, n)), vectors((wanted, wanted)), room_for(n)
    for first in range(0, len(x), LANES):
        gather(x, first, a)
        solve(a, z, room)
        give(room, first, values)
        for lane in range(min(LANES, len(x) - first)):
            for k in range(wanted):
                for i in range(n):
                    axes[first + lane, k, i] = z.array[k, room.order[lane, i], lane]


@compiled
def solve(a, z, room):
    """Finds the eigenvalues of eight matrices, of which the lower triangles are read and lost, and
    puts the axes into ``z``, unless that is empty."""
    n = len(a.array)
    _scale(a, room.scale)
    if n == 2:
        _keep(closed.two(a[0, 0], a[1, 0], a[1, 1]), room.values, z)
    elif n == 3:
        lower = a[0, 0], a[1, 0], a[1, 1], a[2, 0], a[2, 1], a[2, 2]
        _keep(closed.three(*lower), room.values, z)
    else:
        _tridiagonal(a, room.values, room.links, room.turns, room.spare)
        if len(z.array):
            _turned(a, room.turns, z, room.spare)
        _diagonal(room.values, room.links, z, room.turns, room.spare)
    for lane in range(LANES):
        _sort(room.values.array[:, lane], room.order[lane])


@compiled
def give(room, first, values):
    """The eigenvalues that were found into rows from the first one on, as many as there are."""
    for lane in range(min(LANES, len(values) - first)):
        for i in range(values.shape[1]):
            value = room.values.array[room.order[lane, i], lane]
            values[first + lane, i] = value / room.scale.array[0, lane]


@compiled
def _scale(a, scale):
    """Brings matrices near 1 by powers of two; NaN where an entry is not finite."""
    n = len(a.array)
    top, rest = abs(a[0, 0]), 0 * a[0, 0]
    for i in range(n):
        for j in range(i + 1):
            size = abs(a[i, j])
            top, rest = where(size > top, size, top), rest + 0 * size
    scale[0] = closed.scale(top) + rest
    for i in range(n):
        for j in range(i + 1):
            a[i, j] = a[i, j] * scale[0]


@compiled
def _keep(found, d, z):
    values, rows = found
    for i, value in enumerate(values):
        d[i] = value
    if len(z.array):
        for k, row in enumerate(rows):
            for i, entry in enumerate(row):
                z[k, i] = entry


@compiled
def _tridiagonal(a, d, e, turns, p):
    """The diagonal, and below it the links; of the reflections 1 - t v v^T the numbers t, and v in
    the rows of a."""
    n = len(d.array)
    for k in range(n - 2):
        d[k] = a[k, k]
        e[k], turns[k] = _reflect(a, k, p)
        # The rest minus v w^T and w v^T for w = p - (t / 2) (p, v) v with p = t a v.
        for i in range(k + 1, n):
            v, total = a[k, i], p[i]
            for j in range(k + 1, i):
                total = total + a[i, j] * a[k, j]
                p[j] = p[j] + a[i, j] * v
            p[i] = total + a[i, i] * v
        half = 0 * d[k]
        for i in range(k + 1, n):
            p[i] = turns[k] * p[i]
            half = half + p[i] * a[k, i]
        half = half * turns[k] / 2
        for i in range(k + 1, n):
            p[i] = p[i] - half * a[k, i]
        for i in range(k + 1, n):
            v, w = a[k, i], p[i]
            for j in range(k + 1, i + 1):
                a[i, j] = a[i, j] - (v * p[j] + w * a[k, j])
    for k in range(max(n - 2, 0), n):
        d[k], e[k] = a[k, k], a[n - 1, k]


@compiled
def _reflect(a, k, p):
    """The link and the number t of the reflection that clears a column below; v into row k, and
    zeros into p."""
    n = len(a.array)
    x = a[k + 1, k]
    rest = 0 * x
    for i in range(k + 2, n):
        rest = rest + a[i, k] * a[i, k]
    done = rest <= LOST
    length = sqrt(x * x + rest)
    link = where(done, x, where(x > 0, 0 - length, length))
    over = where(done, 0, 1 / where(done, 1, x - link))
    a[k, k + 1], p[k + 1] = 1, 0
    for i in range(k + 2, n):
        a[k, i], p[i] = a[i, k] * over, 0
    return link, where(done, 0, (link - x) / link)


@compiled
def _turned(a, turns, z, p):
    """The product of the reflections."""
    n = len(z.array)
    none = 0 * a[0, 0]
    for i in range(n):
        for j in range(n):
            z[i, j] = none
        z[i, i] = none + 1
    for k in range(n - 3, -1, -1):
        for j in range(k + 1, n):
            p[j] = none
        for i in range(k + 1, n):
            v = turns[k] * a[k, i]
            for j in range(k + 1, n):
                p[j] = p[j] + v * z[i, j]
        for i in range(k + 1, n):
            v = a[k, i]
            for j in range(k + 1, n):
                z[i, j] = z[i, j] - v * p[j]


@compiled
def _diagonal(d, e, z, cosines, sines):
    """Rotates the links of a block away, from its last row up to its first, and z with them."""
    n = len(d.array)
    for _ in range(SWEEPS * n):
        first, last, shift, low, high = _block(d, e)
        if low == n:
            return
        q = d[high] - shift
        x, y = 0 * q + 1, 0 * q
        for i in range(high - 1, low - 1, -1):
            inside = (first <= i) & (last > i)
            here, link = d[i] - shift, e[i]
            square = q * q + link * link
            turned = inside & (square > LOST)
            length = where(turned, sqrt(square), 1)
            across, along = x * link, x * q
            e[i + 1] = where(inside, y * length, e[i + 1])
            x, y = where(turned, q / length, 1), where(turned, link / length, 0)
            q = where(inside, x * here - y * across, here)
            d[i + 1] = where(inside, along + y * (x * across + y * here) + shift, d[i + 1])
            d[i] = where(inside, x * q + shift, d[i])
            e[i] = where(inside, y * q, link)
            cosines[i], sines[i] = x, y
        for k in range(len(z.array)):
            rest = z[k, high]
            for i in range(high - 1, low - 1, -1):
                entry = z[k, i]
                z[k, i + 1] = sines[i] * entry + cosines[i] * rest
                rest = cosines[i] * entry - sines[i] * rest
            z[k, low] = rest
    first = _block(d, e)[0]
    for i in range(n):
        d[i] = where(first >= n, d[i], np.nan)


@compiled
def _block(d, e):
    """The first block of rows with links between them: its first row, n where there is none, its
    last, and of its first two rows the eigenvalue nearer to the first; and the first and the last
    row with a link in any lane."""
    n = len(d.array)
    after, low, high = d[n - 1], n, 0
    first, last = 0 * after + n, 0 * after
    x, y, z = after, last, after
    going = first > n
    for i in range(n - 2, -1, -1):
        here, link = d[i], e[i]
        linked = link * link > ROUNDING * abs(here) * abs(after) + LOST
        last = where(linked, where(going, last, i + 1), last)
        first, x = where(linked, i, first), where(linked, here, x)
        y, z = where(linked, link, y), where(linked, after, z)
        if some(linked):
            low, high = i, max(high, i + 1)
        after, going = here, linked
    half = (z - x) / 2
    reach = sqrt(half * half + y * y)
    side = where(half > 0, half + reach, half - reach)
    return first, last, x - y * (y / side), low, high


@compiled
def _sort(values, order):
    for i in range(len(values)):
        j = i
        while j > 0 and values[order[j - 1]] > values[i]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
