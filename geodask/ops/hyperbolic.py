"""Operations on rows of hyperbolic space, one by one: models, gyrovectors and functions of points.

Lazy, as those in `pointwise`; the formulas are the methods of the manifolds.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..engine.points import Points
from ..manifolds.base import Manifold
from .pointwise import lazy
from .rowwise import Verb

CONVERT = Verb("convert", ("point", "space"), "point")
CONVERT_TANGENT = Verb("convert_tangent", ("point", "tangent", "space"), "tangent")
MOBIUS_ADD = Verb("mobius_add", ("point", "point"), "point")
MOBIUS_SCALE = Verb("mobius_scale", ("point", "time"), "point")
GYRATION = Verb("gyration", ("point", "point", "tangent"), "tangent")
BUSEMANN = Verb("busemann", ("point", "direction"), "scalar")
DIST_TO_ORIGIN = Verb("dist_to_origin", ("point",), "scalar")
DIST_TO_HYPERPLANE = Verb("dist_to_hyperplane", ("point", "point", "tangent"), "scalar")


def convert(x: Points, to: Manifold) -> Points:
    """The same points in another model of the same hyperbolic space, in their dtype.

    Rounding to float32 moves a point by some 1e-7 sinh(r) at the distance r from the origin:
    convert float64 rows where near-duplicates matter. Raises SpecError where ``to`` has another
    dimension or curvature.
    """
    return replace(lazy(CONVERT, x, to), ids=x.ids)


def convert_tangent(x: Points, v: Any, to: Manifold) -> Any:
    """The tangent vectors v at x as those at the same points in another model: (n, *shape)."""
    return lazy(CONVERT_TANGENT, x, v, to)


def mobius_add(x: Points, y: Any) -> Points:
    """Möbius sums of rows of the Poincaré ball: y moved as the origin is moved to x."""
    return lazy(MOBIUS_ADD, x, y)


def mobius_scale(x: Points, t: Any) -> Points:
    """Rows of the Poincaré ball at t times their distance from the origin; t a number or (n,)."""
    return lazy(MOBIUS_SCALE, x, t)


def gyration(x: Points, y: Any, v: Any) -> Any:
    """gyr[x, y] v, the rotations with x + (y + z) = (x + y) + gyr[x, y] z: (n, n_coordinates)."""
    return lazy(GYRATION, x, y, v)


def busemann(x: Points, direction: Any) -> Any:
    """Busemann functions of the ideal points in directions (dim,) or (n, dim): (n,) float64.

    0 at the origin, negative towards the ideal point, in the unit of the metric.
    """
    return lazy(BUSEMANN, x, direction)


def dist_to_origin(x: Points) -> Any:
    """Distances from the origin: (n,) float64, in the unit of the metric."""
    return lazy(DIST_TO_ORIGIN, x)


def dist_to_hyperplane(x: Points, y: Any, normal: Any) -> Any:
    """Signed distances of x to the geodesic hyperplanes through y across the tangents ``normal``.

    (n,) float64; positive on the side to which the normal points.
    """
    return lazy(DIST_TO_HYPERPLANE, x, y, normal)


VERBS: dict[Callable[..., Any], Verb] = {
    convert: CONVERT, convert_tangent: CONVERT_TANGENT, mobius_add: MOBIUS_ADD,
    mobius_scale: MOBIUS_SCALE, gyration: GYRATION, busemann: BUSEMANN,
    dist_to_origin: DIST_TO_ORIGIN, dist_to_hyperplane: DIST_TO_HYPERPLANE,
}  # fmt: skip
