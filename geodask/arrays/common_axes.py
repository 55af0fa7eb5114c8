"""Two symmetric positive definite matrices in their common axes: batches (*batch, n, n)."""

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from . import eigen, factors
from .matrices import (
    LARGEST,
    carried,
    cholesky,
    diagonal,
    eigh,
    eigvalsh,
    on_host,
    solved,
    spanned,
    transpose,
)
from .namespace import LANES, constant, is_differentiated, namespace, sqrt, where
from .symmetric import GIVEN_LOG, ROOT_RATIO, of
from .vectors import gather, vectors

compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

NEAR = 0.5
"""Up to this e, log(b / a) = 2 atanh(e) has more digits than the logarithms of a and b."""


class Pencil(NamedTuple):
    """p and q by L with L L^T = c p + q / c: where L is the unit matrix, they commute.

    There c p is L a L^T and q / c is L b L^T with a + b = 1, so that e = b - a has their axes, and
    log(b / a) = 2 atanh(e). Small entries of a lie beside large ones of e; what is seen from p
    alone is more even: with p = K K^T and S = L^-1 K, a is c S S^T.
    """

    own: Any
    """K, triangular."""
    other: Any
    """The same of q."""
    low: Any
    """L, triangular."""
    step: Any
    """e, whose eigenvalues lie between -1 and 1."""
    power: Any
    """c is two to this: so that c p and q / c have nearly the same determinant. (..., 1, 1)."""


def pencil(p: Any, q: Any) -> Pencil:
    """Of float64 matrices."""
    xp = namespace(p, q)
    own, other = cholesky(p), cholesky(q)
    ratios = xp.log2(diagonal(other) / diagonal(own))
    power = xp.round(xp.mean(ratios, axis=-1))[..., None, None]
    return Pencil(own, other, *scaled_step(p, q, power), power)


def scaled_step(p: Any, q: Any, power: Any) -> tuple[Any, Any]:
    """L and e."""
    p, q = 2.0**power * p, 2.0**-power * q
    low = cholesky(p + q)
    return low, carried(low, q - p)


def logs_between(p: Any, q: Any) -> Any:
    """The logarithms of the eigenvalues of p^-1 q (..., n): infinite where float64 loses one beside
    another."""
    return logs_of(*steps_between(p, q))


def logs_of(values: Any, power: Any) -> Any:
    """The same from the eigenvalues of e, and log2 c (..., 1)."""
    xp = namespace(values)
    lost = xp.abs(values) >= 1
    logs = 2 * xp.atanh(where(~lost, values, 0.0)) + math.log(4) * power
    return where(~lost, logs, math.inf)


def steps_between(p: Any, q: Any) -> tuple[Any, Any]:
    """The eigenvalues of e (..., n), and log2 c (..., 1)."""
    n = p.shape[-1]
    found = on_host(_steps, [p, q], [(n,), (1,)]) if n <= LARGEST else None
    if found is not None:
        return found[0], found[1]
    made = pencil(p, q)
    return eigvalsh(made.step), made.power[..., 0]


def log_between(p: Any, q: Any) -> tuple[Any, Any]:
    """K with p = K K^T, and the logarithm of K^-1 q K^-T."""
    found = pencil(constant(p), constant(q))
    logs, vectors = _axes(found)
    if not is_differentiated(p, q):
        return found.own, spanned(vectors, logs)
    own = cholesky(p)
    return own, of(GIVEN_LOG, carried(own, q), (logs, vectors))


def root_between(p: Any, q: Any) -> tuple[Any, Any]:
    """K with p = K K^T, and E K for the root E of q p^-1, for which E p E^T = q."""
    found = pencil(p, q)
    turned = found.low @ of(ROOT_RATIO, found.step) @ solved(found.low, found.own)
    return found.own, 2.0**found.power * turned


def _axes(found: Pencil) -> tuple[Any, Any]:
    """Logarithms of the eigenvalues of K^-1 q K^-T, and vectors."""
    values, vectors = eigh(found.step)
    p, q = (transpose(vectors) @ solved(found.low, each) for each in (found.own, found.other))
    xp = namespace(p)
    # Their squares are no less than the root of the least float64, whatever the scales of p and q.
    a, b = (sqrt(xp.sum(each * each, axis=-1)) for each in (p, q))
    near = xp.abs(values) < NEAR
    logs = 2 * xp.atanh(where(near, values, 0.0)) + math.log(4) * found.power[..., 0]
    return xp.where(near, logs, 2 * xp.log(b / a)), transpose(p / a[..., None])


# --- the compiled loop ----------------------------------------------------------------------------


@compiled
def _steps(p, q, values, powers):
    n = values.shape[1]
    low, step, other = vectors((n, n)), vectors((n, n)), vectors((n, n))
    scale, none, room = vectors((2,)), vectors((0, 0)), eigen.room_for(n)
    for first in range(0, len(values), LANES):
        gather(p, first, low)
        gather(q, first, other)
        factors.factor(low)
        factors.factor(other)
        for lane in range(LANES):
            power = _even(low.array[:, :, lane], other.array[:, :, lane])
            scale.array[0, lane], scale.array[1, lane] = 2.0**power, 2.0**-power
            if first + lane < len(powers):
                powers[first + lane, 0] = power
        gather(p, first, low)
        gather(q, first, step)
        for i in range(n):
            for j in range(n):
                own, beside = scale[0] * low[i, j], scale[1] * step[i, j]
                low[i, j], step[i, j] = own + beside, beside - own
        factors.factor(low)
        factors.carry(low, step)
        eigen.solve(step, none, room)
        eigen.give(room, first, values)


@compiled
def _even(own, other):
    """log2 c."""
    total = 0.0
    for i in range(len(own)):
        total += math.log2(other[i, i] / own[i, i])
    return np.rint(total / len(own))
