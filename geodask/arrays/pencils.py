"""How pairs of symmetric positive definite matrices differ: eigenvalues of p^-1 (q - p).

They keep their digits where p and q are close, as those of p^-1 q do not.
"""

from typing import Any, NamedTuple

import numba
import numpy as np

from . import eigen, factors
from .matrices import LARGEST, WORK, congruent, descends, eigvalsh
from .namespace import LANES, host_views, namespace, read_only
from .threads import over_rows
from .vectors import vectors

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


class Roots(NamedTuple):
    """Matrices, with what `pair_changes` needs again and again of each."""

    points: Any
    inverse: Any
    """Those of the Cholesky factors: L^-1 for p = L L^T."""
    condition: Any
    """(rows,) The largest eigenvalue over the least."""


def pair_changes(a: Roots, rows: Any, b: Roots, others: Any) -> Any:
    """Those of the pairs p = a[rows[c]] and q = b[others[c]], or of q and p: (pairs, n), float64.

    From the better conditioned side; where both are as good, from the one that is less at the first
    entry that differs: so the order of a pair does not count.
    """
    views, n = host_views(*a, rows, *b, others), a.points.shape[-1]
    if n > LARGEST or views is None:
        return _by_arrays(_taken(a, rows), _taken(b, others))
    a_points, a_inverse, a_condition, rows, *theirs, others = map(read_only, views)
    ours, theirs = Roots(a_points, a_inverse, a_condition), Roots(*theirs)
    values = np.empty((len(rows), n))

    def part(start: int, stop: int) -> None:
        pairs = slice(start, stop)
        _pair_changes(ours, rows[pairs], theirs, others[pairs], values[pairs])

    over_rows(part, len(values), WORK * n * n)
    return namespace(a.points).asarray(values)


def _taken(x: Roots, at: Any) -> Roots:
    return Roots(*(namespace(part).take(part, at, axis=0) for part in x))


def _by_arrays(p: Roots, q: Roots) -> Any:
    xp = namespace(p.points)
    step = q.points - p.points
    turned = (p.condition > q.condition) | ((p.condition == q.condition) & descends(step))
    turned = turned[..., None, None]
    side = xp.where(turned, q.inverse, p.inverse)
    return eigvalsh(congruent(side, xp.where(turned, -step, step)))


# --- the compiled loops ---------------------------------------------------------------------------


@compiled
def _pair_changes(a, rows, b, others, values):
    n = values.shape[1]
    side, step, spare = vectors((n, n)), vectors((n, n)), vectors((n, n))
    none, room = vectors((0, 0)), eigen.room_for(n)
    for first in range(0, len(values), LANES):
        for lane in range(LANES):
            c = min(first + lane, len(values) - 1)
            i, j = rows[c], others[c]
            p, q, inverse = a.points[i], b.points[j], a.inverse[i]
            same = a.condition[i] == b.condition[j]
            if a.condition[i] > b.condition[j] or (same and _is_larger(p, q)):
                p, q, inverse = q, p, b.inverse[j]
            for k in range(n):
                for m in range(n):
                    side.array[k, m, lane] = inverse[k, m]
                    step.array[k, m, lane] = q[k, m] - p[k, m]
        factors.turn(side, step, spare)
        eigen.solve(step, none, room)
        eigen.give(room, first, values)


@compiled
def _is_larger(p, q):
    """Whether p is, at the first entry that differs."""
    for k in range(len(p)):
        for m in range(len(p)):
            if p[k, m] != q[k, m]:
                return p[k, m] > q[k, m]
    return False
