"""Christoffel symbols and Riemann's tensor of a metric that is a function of coordinates.

A metric takes coordinates (*batch, d) and the components of two vectors there, (*batch, d) each, to
their inner products (*batch,), and broadcasts. Upper indices come first. Christoffel symbols are
[..., k, i, j], the derivative of e_j along e_i being sum_k C[k, i, j] e_k; Riemann's tensor is
[..., l, i, j, k], R(e_i, e_j) e_k = sum_l R[l, i, j, k] e_l with R(u, v) w = D_u D_v w - D_v D_u w
- D_[u, v] w, by which a sphere has positive curvature (Lee, Introduction to Riemannian manifolds,
2018, chapters 4, 5 and 7).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays.matrices import (
    diagonal,
    finite_or_unit,
    from_lower,
    is_finite,
    lower,
    transpose,
    with_diagonal,
)
from ..arrays.namespace import namespace, where
from .slopes import Differences, Function, by_torch, in_torch, rounded, step_error, step_size

Metric = Callable[[Any, Any, Any], Any]

FINEST = 6
"""The order of the differences of what torch finds."""


def matrix(metric: Metric, x: Any) -> Any:
    """The inner products of all basis vectors: (*batch, d, d)."""
    return _filled(_entries(metric, x), x.shape[-1])


def _entries(metric: Metric, x: Any) -> Any:
    """Those of the lower triangle, row by row: (*batch, d (d + 1) / 2)."""
    values = metric(x[None, ...], *_pairs(x))
    return namespace(x).moveaxis(values, 0, -1)


def _pairs(x: Any) -> tuple[Any, Any]:
    """The basis vectors whose inner products make the lower triangle: (count, 1, ..., d)."""
    xp, d = namespace(x), x.shape[-1]
    unit = np.eye(d)
    sides = (unit[places] for places in np.tril_indices(d))
    shape = (-1, *(1,) * (x.ndim - 1), d)
    first, second = (
        xp.asarray(side.reshape(shape), dtype=x.dtype, device=x.device) for side in sides
    )
    return first, second


def _filled(entries: Any, d: int) -> Any:
    """The symmetric matrices with these lower triangles."""
    part = from_lower(entries, d)
    return with_diagonal(part + transpose(part), diagonal(part))


def _symbols(g: Any, slope: Any) -> Any:
    """The Christoffel symbols of a metric and its slopes [k, i, j], along k."""
    along = namespace(g).moveaxis(slope, -1, -3)
    return raised(g, (along + transpose(along) - slope) / 2)


def _riemann(symbols: Function, x: Any, slopes: Differences) -> Any:
    """Riemann's tensor, of Christoffel symbols and the differences that make their slopes."""
    xp, d, batch = namespace(x), x.shape[-1], x.shape[:-1]
    slope = slopes(lambda y: lower(symbols(y)), x)
    slope = _filled(xp.moveaxis(slope, -1, -3), d)  # [i, l, j, k]
    at = symbols(x)
    turned = xp.reshape(at, (*batch, d * d, d)) @ xp.reshape(at, (*batch, d, d * d))
    half = xp.moveaxis(slope, -4, -3) + xp.reshape(turned, (*batch, d, d, d, d))
    return half - xp.moveaxis(half, -3, -2)


def raised(g: Any, lowered: Any) -> Any:
    """The first index of (*batch, d, ...) raised. NaN where the metric is not finite."""
    xp = namespace(g)
    tail = lowered.shape[g.ndim - 1 :]
    columns = xp.reshape(lowered, (*g.shape[:-1], math.prod(tail)))
    found = xp.linalg.solve(finite_or_unit(g), columns)
    return xp.reshape(where(is_finite(g)[..., None, None], found, math.nan), lowered.shape)


# --- by torch -----------------------------------------------------------------------------------


def christoffel_by_torch(metric: Metric, x: Any) -> Any:
    """The Christoffel symbols at x, by differentiation of the metric."""
    return in_torch(lambda y: _christoffel_by_torch(metric, y), x)


def riemann_by_torch(metric: Metric, x: Any, reach: Any) -> Any:
    """Riemann's tensor at x, by differences of order 6 of symbols that torch finds.

    Not by its second derivatives, which it may take to be 0: see `slopes.by_torch`. How far it is
    off: what `error_of_differences` says of Christoffel symbols of that order, over the reach.
    """
    slopes = Differences(FINEST, steps(matrix(metric, x), reach, step_size(FINEST)))
    return _riemann(lambda y: christoffel_by_torch(metric, y), x, slopes)


def _christoffel_by_torch(metric: Metric, x: Any) -> Any:
    first, second = _pairs(x)  # with coordinates of their own, so that one pass has all slopes
    each = x.expand(len(first), *x.shape)
    values, slopes = by_torch(lambda y: metric(y, first, second), each)
    d = x.shape[-1]
    g, slope = values.movedim(0, -1), slopes.movedim(0, -1)
    return _symbols(_filled(g, d), _filled(slope, d))


# --- by differences -----------------------------------------------------------------------------


def christoffel_by_differences(metric: Metric, x: Any, reach: Any, order: int, noise: float) -> Any:
    """The Christoffel symbols at x, by differences of an order of a metric with a relative noise.

    How far they are off: `error_of_differences`.
    """
    slopes = Differences(order, steps(matrix(metric, x), reach, step_size(order, noise)))
    return christoffel(metric, x, slopes)


def christoffel(metric: Metric, x: Any, slopes: Differences) -> Any:
    """The same by differences of any steps."""
    slope = transpose(slopes(lambda y: _entries(metric, y), x))
    return _symbols(matrix(metric, x), _filled(slope, x.shape[-1]))


def riemann_by_differences(metric: Metric, x: Any, reach: Any, order: int, noise: float) -> Any:
    """Riemann's tensor at x, by differences of an order of Christoffel symbols that are such."""
    g = matrix(metric, x)
    inner = Differences(order, steps(g, reach, step_size(order, noise)))
    outer = Differences(order, steps(g, reach, step_size(order, step_error(order, noise))))
    return _riemann(lambda y: christoffel(metric, y, inner), x, outer)


def steps(g: Any, reach: Any, size: float) -> Any:
    """Steps (*batch, d) along the coordinates, as long in the metric as a share of the reach.

    The reach is the length over which the metric changes by its size: so steps are small near the
    end of a space or of its coordinates.
    """
    return rounded(size * reach[..., None] / namespace(g).sqrt(diagonal(g)))


def error_of_differences(g: Any, reach: Any, order: int, noise: float, rank: int) -> Any:
    """How far Christoffel symbols (rank 3) or Riemann's tensor (rank 4) by differences may be off.

    Each component in the unit of its coordinates, for a metric that changes by its size over the
    reach, no faster than (1 - x)^-2.
    """
    error = step_error(order, noise)
    if rank == 4:
        error = step_error(order, error)
    return error * natural_size(g, reach, rank)


def natural_size(g: Any, reach: Any, rank: int) -> Any:
    """What the components of a tensor with one upper index are where they are neither large nor
    small: those of vectors of length 1 along the coordinates, over a power of the reach."""
    xp, d = namespace(g), g.shape[-1]
    length = xp.sqrt(diagonal(g))
    unit = xp.eye(d, dtype=g.dtype, device=g.device) + xp.zeros_like(g)
    upper = xp.sum(xp.abs(raised(g, unit)) * length[..., None, :], axis=-1)
    size = upper / reach[..., None] ** (rank - 2)
    for place in range(1, rank):
        columns = xp.reshape(length, (*length.shape[:-1], *[1] * place, d))
        size = size[..., None] * columns
    return size
