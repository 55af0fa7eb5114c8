"""Sums of the logarithms of rows at a point: what a step towards a mean asks of the data."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..arrays.logs import EXTRAS
from ..arrays.namespace import widen
from ..manifolds.base import Manifold


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

    The rows must begin a multiple of `SUMMED` after those where the sums began, so that the sums do
    not depend on how many come at once.
    """
    manifold.add_logs(p, widen(x), weights, sums)


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
