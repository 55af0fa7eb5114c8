"""The Fréchet mean: the point with the smallest mean squared distance to the rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..engine.opening import source_of
from ..engine.plan import Plan
from ..engine.points import Points, points
from ..engine.sources import Memory
from ..errors import SpecError
from ..manifolds.euclidean import Euclidean
from .compared import check_points
from .frechet import Mean, check_weights


def mean(
    x: Points,
    *,
    weights: Any = None,
    start: Any = None,
    tol: float = 1e-8,
    max_iterations: int = 100,
) -> Plan:
    """A plan for the Fréchet mean of the rows: the point of least mean squared distance.

    Parameters
    ----------
    x : Points
        The rows, (n, *point_shape), at least one.
    weights : array, optional
        One number a row, not negative and not all zero: (n,), which is held in memory, or a stored
        column (n, 1), which is not.
    start : array, optional
        A point (*point_shape) where the descent begins; without it, near the mean of the first
        rows that have a weight.
    tol : float
        The descent ends where the gradient is at most this share of the standard deviation.
    max_iterations : int
        The most steps; with 0 the start is measured and nothing else.

    Returns
    -------
    Plan
        Whose `MeanResult` holds ``point``, ``variance``, ``gradient_norm``, ``iterations`` and
        ``converged``. Each step is one pass over the rows, and is stored: a run goes on in it.

    Raises
    ------
    ValueError
        Where there are no rows, or weights are negative, not finite, all zero or of another length.
    CutLocusError
        By the plan, where rows lie opposite to the point where the descent ends.
    NotOnManifoldError
        Where the start is no point.

    Warns
    -----
    UserWarning
        Where a row lies half the injectivity radius from the mean or farther, on a sphere a right
        angle: then there may be several. Rows within an open ball of such a radius have one alone
        (Afsari, Riemannian L^p center of mass, 2011).

    Notes
    -----
    The sums are taken in one fixed order, so the bytes do not depend on chunks, threads or
    executors. Rounding leaves a gradient of a few 2^-52 of the coordinates: where the standard
    deviation times ``tol`` is less, the descent gives up with ``converged`` False.
    """
    check_points("mean", x)
    if len(x) == 0:
        raise ValueError("A mean needs at least one row, but none came. Pass one or more.")
    if not (0 <= tol < 1):
        raise ValueError(f"tol must lie between 0 and 1, but tol={tol!r} came. Pass such as 1e-8.")
    whole = isinstance(max_iterations, int | np.integer) and not isinstance(max_iterations, bool)
    if not whole or max_iterations < 0:
        raise ValueError(
            f"max_iterations must be a whole number from 0 on, but {max_iterations!r} came. "
            "Pass such as 100."
        )
    inputs = [x, *_weight_rows(weights, len(x)), *_start_row(start, x)]
    operation = Mean(float(tol), int(max_iterations), weights is not None, start is not None)
    return Plan(operation, tuple(inputs))


def _weight_rows(weights: Any, rows: int) -> Iterator[Points]:
    """The weights as an input of one column, checked at once where they are in memory."""
    if weights is None:
        return
    source = source_of(np.asarray(weights, float) if isinstance(weights, list) else weights)
    if source.shape not in ((rows,), (rows, 1)):
        raise ValueError(
            f"Weights are one number a row, of shape ({rows},), but {source.shape} came. "
            "Pass one weight for each row."
        )
    if len(source.shape) == 2 and not isinstance(source, Memory):
        yield Points(source, Euclidean(1))  # checked as they are read
        return
    values = np.asarray(source.read(0, rows), np.float64).reshape(-1, 1)
    check_weights(values[:, 0], 0)
    if not values.any():
        raise ValueError("Weights must not all be zero, but they are. Pass a positive one.")
    yield Points(Memory(values.shape, values.dtype, values), Euclidean(1))


def _start_row(start: Any, x: Points) -> Iterator[Points]:
    """The start as an input of one row."""
    if start is None:
        return
    row = np.asarray(start, dtype=np.float64)
    if row.shape != x.manifold.point_shape:
        raise SpecError(
            f"start must be one point of shape {x.manifold.point_shape}",
            came=f"the shape {row.shape} came",
            do="Pass one, such as the point of an earlier mean.",
        )
    yield points(row[None], x.manifold)
