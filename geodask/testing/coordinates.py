"""The laws of tangent vectors by their orthonormal coordinates."""

import numpy as np

from ..arrays.namespace import dot, namespace
from ..manifolds.base import Manifold
from .rows import Sample, close, column, grain, length, on_host, same_rows


def coordinates_are_isometric(on: Manifold, s: Sample) -> None:
    """There are `dim` of them, float64, and their inner product is the metric."""
    u, v = on.coordinates(s.p, s.u), on.coordinates(s.p, s.v)
    assert tuple(u.shape) == (s.p.shape[0], on.dim), f"{on.dim} coordinates: {u.shape}"
    assert u.dtype == namespace(u).float64, u.dtype
    assert type(u) is type(s.p), type(u)
    lengths = on_host(on.norm(s.p, s.u)), on_host(on.norm(s.p, s.v))
    within = s.tolerance * s.skew
    close(length(u), lengths[0], within * lengths[0])
    close(dot(u, v), on.inner(s.p, s.u, s.v), within * lengths[0] * lengths[1])


def coordinates_name_tangent_vectors(on: Manifold, s: Sample) -> None:
    """Each tangent vector has its own, and all that there are belong to one."""
    v = on.coordinates(s.p, s.v)
    same_rows(s, on.from_coordinates(s.p, v), s.v, s.v)
    c = np.random.default_rng(3).standard_normal(v.shape)
    c = namespace(v).asarray(c / column(length(c), c))
    close(on.coordinates(s.p, on.from_coordinates(s.p, c)), c, column(s.tolerance * s.skew, c))


def coordinates_reach_points(on: Manifold, s: Sample) -> None:
    """Those of a log are as long as the distance, and lead to where the tangent vector does."""
    c = on.log_coordinates(s.p, s.q)
    close(length(c), on.dist(s.p, s.q), grain(on, s))
    same_rows(s, on.from_coordinates(s.p, c), on.log(s.p, s.q))
    same_rows(s, on.exp_coordinates(s.p, c), s.q)


LAWS = (coordinates_are_isometric, coordinates_name_tangent_vectors, coordinates_reach_points)
