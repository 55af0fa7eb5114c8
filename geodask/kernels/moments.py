"""Sums of the logarithms of rows at a point: what a step towards a mean asks of the data."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from ..arrays.logs import EXTRAS, GROUP, add_terms, ball_logs, flat_logs, sphere_logs
from ..arrays.namespace import lane_sum, widen
from ..manifolds.base import Manifold
from ..manifolds.euclidean import Euclidean
from ..manifolds.poincare import PoincareBall
from ..manifolds.sphere import Sphere

BLOCK = 8 * GROUP
"""Rows whose terms are computed at once, by libraries whose last digit may differ between the body
and the tail of an array: so blocks are the same however the rows come."""


class Moments(NamedTuple):
    """Weighted means over the rows that have a log at a point, in curvature 1, 0 or -1."""

    gradient: np.ndarray
    """(frame_columns,) of the logs: minus the gradient of half the mean square."""
    square: float
    """Of dist^2."""
    bending: float
    """Of `Manifold.bending`."""
    weight: float
    """Not a mean but the sum of the weights."""
    undefined: float
    """How many rows of positive weight have no log."""
    beyond: float
    """How many of them lie half the injectivity radius away, or farther."""


def no_sums(manifold: Manifold) -> np.ndarray:
    """Sums over no rows, (2, columns): what is added up, and what rounding took away from it."""
    return np.zeros((2, manifold.frame_columns + EXTRAS))


def add_logs(
    manifold: Manifold, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray
) -> None:
    """Adds stored rows (rows, n) with their weights (rows,) to the sums at a canonical point p.

    The rows must begin a group of `GROUP`, counted from where the sums began, so that the sums do
    not depend on how many come at once.
    """
    FUSED.get(type(manifold), _add_terms)(manifold, p, widen(x), weights, sums)


def merged(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The sums of several slices of rows, in their order, each (2, columns)."""
    first, *others = parts
    total = first.copy()
    for part in others:
        high = total[0] + part[0]
        ours = high - total[0]
        total[1] += part[1] + ((total[0] - (high - ours)) + (part[0] - ours))
        total[0] = high
    return total


def moments(sums: np.ndarray) -> Moments:
    """The means from the sums. Raises ValueError where no row has a weight."""
    total = sums[0] + sums[1]
    n = len(total) - EXTRAS
    square, bending, weight, undefined, beyond = map(float, total[n:])
    if not (weight + undefined > 0 and np.isfinite(weight)):
        raise ValueError(
            "Weights must have a positive finite sum, but theirs is "
            f"{weight}. Pass weights that are not all zero."
        )
    over = weight if weight > 0 else 1.0
    return Moments(total[:n] / over, square / over, bending / over, weight, undefined, beyond)


def _add_terms(
    manifold: Manifold, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray
) -> None:
    """The reference: the logs as the manifold computes them."""
    far = manifold.injectivity_radius / 2 / manifold.unit
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        used = weights[rows] > 0
        with np.errstate(all="ignore"):  # rows without a log are counted
            logs = manifold.log_frame(p, manifold.canonical(x[rows]))
        square = lane_sum(logs * logs)
        lost = used & ~np.isfinite(square)
        dist = np.where(lost, 0.0, np.sqrt(square))
        weight = np.where(used & ~lost, weights[rows], 0.0)
        columns = [dist * dist, manifold.bending(dist), np.ones(len(dist))]
        terms = np.column_stack([np.where(lost[:, None], 0.0, logs), *columns]) * weight[:, None]
        add_terms(np.column_stack([terms, lost, used & (dist >= far)]), sums)


def _add_ball(
    manifold: Any, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray
) -> None:
    ball_logs(x, weights, p, float(1 / manifold.weight(p)), sums)


FUSED: dict[type[Manifold], Callable[..., None]] = {
    Euclidean: lambda manifold, p, x, weights, sums: flat_logs(x, weights, p, sums),
    Sphere: lambda manifold, p, x, weights, sums: sphere_logs(x, weights, p, sums),
    PoincareBall: _add_ball,
}
"""The spaces whose logs are compiled together with their sums."""
