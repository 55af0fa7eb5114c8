"""Covariances that are not definite, made so by a step that is one's own: lazy, row by row."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..engine.points import Points
from ..errors import SpecError
from ..manifolds.base import Manifold
from ..manifolds.euclidean_matrices import EuclideanMatrices
from ..manifolds.given import as_number
from ..manifolds.spd import rounding, unevenness
from .compared import check_points
from .mean import mean
from .pointwise import lazy
from .rowwise import Verb

SHRINK = Verb("shrink", ("ambient", "amount", "into"), "point")
COMPRESS = Verb("compress", ("ambient", "basis", "into"), "point")


def shrink(x: Points, amount: float, to: Manifold) -> Points:
    """(1 - amount) C + amount tr(C) / n for each symmetric matrix C, as Points of another space.

    ``x`` are Points of `EuclideanMatrices(n, n)` or of a space of definite matrices, ``amount`` a
    number from 0 to 1, ``to`` such as `SPDAffineInvariant(n)`. What is no point of it is NaN. As a
    plan, ``gd.plan(gd.shrink, x, 0.1, to)``, the step is stored, with its amount in the key.
    """
    return replace(lazy(SHRINK, x, amount, to), ids=x.ids)


def compress(x: Points, basis: Any, to: Manifold) -> Points:
    """W^T C W for each symmetric matrix C and a basis W (n, m), as Points of another space.

    ``basis`` is such as that of `common_span`, ``to`` such as `SPDAffineInvariant(m)`. What is no
    point of it is NaN, as where the basis is not of rank m.
    """
    return replace(lazy(COMPRESS, x, basis, to), ids=x.ids)


def common_span(x: Points, *, tol: float | None = None) -> np.ndarray:
    """An orthonormal basis (n, m) of what symmetric matrices span together: m is their common rank.

    Those are the eigenvectors of their mean, the largest first, whose eigenvalues are more than
    ``tol`` of the largest: without it, four times what rounding may make of a zero, at least 2^-44
    in float64 and 2^-19 in float32. After an average reference m is n - 1. A pass over the rows, by
    a plan that is stored.

    Raises SpecError where that mean is not symmetric or has no positive eigenvalue, and for a
    ``tol`` that is no share.
    """
    check_points("common_span", x)
    side = x.manifold.point_shape[0]
    if x.manifold.point_shape != (side, side):
        raise SpecError(
            "common_span takes square matrices",
            came=f"points of {x.manifold} came",
            do="Pass Points of such a space, such as gd.EuclideanMatrices(n, n).",
        )
    eps = float(np.finfo(x.dtype).eps)
    share = 4 * rounding(side, eps) if tol is None else as_number(tol)
    if not 0 <= share < 1:
        raise SpecError(
            "common_span takes a tol from 0 to less than 1",
            came=f"tol={tol!r} came",
            do="Pass a share of the largest eigenvalue, or none.",
        )
    centre = mean(Points(x.source, EuclideanMatrices(side, side))).persist().point
    values, vectors = np.linalg.eigh(centre)
    uneven = abs(centre - centre.T).max() > unevenness(side, eps) * abs(centre).max()
    if uneven or not values[-1] > 0:
        raise SpecError(
            "common_span takes symmetric matrices whose mean has a positive eigenvalue",
            came=f"those of {x.source.label} have "
            + ("one that is not symmetric" if uneven else f"{values[-1]:.3g} as its largest"),
            do="Pass covariances.",
        )
    return vectors[:, values > share * values[-1]][:, ::-1].copy()


VERBS: dict[Callable[..., Any], Verb] = {shrink: SHRINK, compress: COMPRESS}
