"""How pairs of many symmetric positive definite matrices differ, in the axes that each has in
common: as `common_axes`, from what is known of every matrix before.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from . import eigen, factors
from .common_axes import logs_of, scaled_step
from .matrices import LARGEST, WORK, cholesky, descends, diagonal, eigvalsh
from .namespace import LANES, host_views, namespace, read_only
from .threads import over_rows
from .vectors import vectors

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


class Sides(NamedTuple):
    """Matrices, with what pairs need of each."""

    points: Any
    level: Any
    """(rows,) The mean of log2 of the diagonals of Cholesky factors; NaN where there is none."""
    condition: Any
    """(rows,) The largest eigenvalue over the least."""


def level(p: Any) -> Any:
    """That of matrices: (*batch,)."""
    xp = namespace(p)
    return xp.mean(xp.log2(diagonal(cholesky(p))), axis=-1)


def pair_logs(a: Sides, rows: Any, b: Sides, others: Any) -> Any:
    """The logarithms of the eigenvalues of p^-1 q, or all of them with the other sign, of the pairs
    p = a[rows[c]], q = b[others[c]]: (pairs, n), float64; infinite as those of `common_axes`.

    From the one that is less at the first entry that differs: so the order of a pair does not
    count.
    """
    views, n = host_views(*a, rows, *b, others), a.points.shape[-1]
    if n > LARGEST or views is None:
        return _by_arrays(_taken(a, rows), _taken(b, others))
    ours, rows, theirs, others = _sides(views)
    logs = np.empty((len(rows), n))

    def part(start: int, stop: int) -> None:
        pairs = slice(start, stop)
        _pair_logs(ours, rows[pairs], theirs, others[pairs], logs[pairs])

    over_rows(part, len(logs), WORK * n * n)
    return namespace(a.points).asarray(logs)


def _sides(views: list[np.ndarray]) -> tuple[Sides, np.ndarray, Sides, np.ndarray]:
    *ours, rows, points, levels, condition, others = map(read_only, views)
    return Sides(*ours), rows, Sides(points, levels, condition), others


def _taken(x: Sides, at: Any) -> Sides:
    return Sides(*(namespace(part).take(part, at, axis=0) for part in x))


def _by_arrays(p: Sides, q: Sides) -> Any:
    xp = namespace(p.points)
    turned = descends(q.points - p.points)
    power = xp.round(xp.where(turned, p.level - q.level, q.level - p.level))[..., None]
    turned = turned[..., None, None]
    less = xp.where(turned, q.points, p.points), xp.where(turned, p.points, q.points)
    return logs_of(eigvalsh(scaled_step(*less, power[..., None])[1]), power)


# --- the compiled loop ----------------------------------------------------------------------------


@compiled
def _pair_logs(a, rows, b, others, logs):
    n = logs.shape[1]
    low, step, powers = vectors((n, n)), vectors((n, n)), np.empty(LANES)
    none, room = vectors((0, 0)), eigen.room_for(n)
    for first in range(0, len(logs), LANES):
        for lane in range(LANES):
            c = min(first + lane, len(logs) - 1)
            i, j = rows[c], others[c]
            p, q, power = a.points[i], b.points[j], b.level[j] - a.level[i]
            if _is_larger(p, q):
                p, q, power = q, p, -power
            powers[lane] = np.rint(power)
            up, down = 2.0 ** powers[lane], 2.0 ** -powers[lane]
            for k in range(n):
                for m in range(n):
                    own, beside = up * p[k, m], down * q[k, m]
                    low.array[k, m, lane], step.array[k, m, lane] = own + beside, beside - own
        factors.factor(low)
        factors.carry(low, step)
        eigen.solve(step, none, room)
        eigen.give(room, first, logs)
        for lane in range(min(LANES, len(logs) - first)):
            for k in range(n):
                e = logs[first + lane, k]
                # The library's own, one by one: arrays of it depend on where a number stands.
                log = 2 * math.atanh(e) if abs(e) < 1 else math.inf + 0 * e
                logs[first + lane, k] = log + math.log(4) * powers[lane]


@compiled
def _is_larger(p, q):
    """Whether p is, at the first entry that differs."""
    for k in range(len(p)):
        for m in range(len(p)):
            if p[k, m] != q[k, m]:
                return p[k, m] > q[k, m]
    return False
