"""Rows of plain numbers made of points: tangent coordinates, and images in a simpler space."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..engine.points import Points
from .pointwise import lazy
from .rowwise import Verb

TANGENT_COORDINATES = Verb("log_coordinates", ("point", "at"), "coordinates")
IMAGE = Verb("to_image", ("point",), "image")


def tangent_coordinates(x: Points, at: Any, *, on_undefined: str = "nan") -> Any:
    """Orthonormal coordinates of the logs of x at a point: (n, dim) float64, a Dask array.

    ``at`` is a point, such as ``gd.mean(x).compute().point``. Lengths are the distances from it, so
    at the mean the variances of the coordinates sum to that of the points. Undefined as `log_map`.
    """
    return lazy(TANGENT_COORDINATES, x, at, on_undefined=on_undefined)


def image(x: Points) -> Points:
    """The images of points in the space that their metric is carried over from, in float64.

    Logarithms for `SPDLogEuclidean`, Cholesky factors for `SPDLogCholesky`, as rows of numbers in
    flat space; neighbours and means of them are those of x, and nothing is made of x again once
    they are stored: ``gd.plan(gd.image, x).persist().points``, or by `Points.save`.
    """
    return replace(lazy(IMAGE, x), ids=x.ids)


VERBS: dict[Callable[..., Any], Verb] = {tangent_coordinates: TANGENT_COORDINATES, image: IMAGE}
