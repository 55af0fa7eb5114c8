"""Hyperbolic geometry seen from the origin: points by direction and distance, curvature -1.

A tangent vector is given in the orthonormal frame that is carried from the origin along the radius
to its point, so its flat length is its length. Everything is float64, and in forms that lose no
more digits than the directions have: near the rim a direction that is off by e moves a point by
e sinh(radius), and no formula here is worse.
"""

from typing import Any

from ..arrays.namespace import dot, namespace, norm, where
from ..arrays.series import sinhc


def exp(direction: Any, radius: Any, u: Any) -> tuple[Any, Any]:
    """Direction and radius of the point reached with the initial velocity u.

    With t = |u| and a, the cosine of u and the radius, the new point is sinh(r') n' = C n + S with
    C = cosh t sinh r + a sinh t cosh r, which inwards is sinh(r - t) + (1 + a) sinh t cosh r.
    """
    xp = namespace(u)
    t = norm(u)
    along = dot(direction, u)
    across = u - along[..., None] * direction
    safe = where(t > 0, t, 1.0)
    cosine, sine = along / safe, norm(across) / safe
    inwards = cosine < 0
    outward = xp.cosh(t) * xp.sinh(radius) + cosine * xp.sinh(t) * xp.cosh(radius)
    more = sine * sine / (1 + xp.abs(cosine)) * xp.sinh(t) * xp.cosh(radius)
    along = xp.where(inwards, xp.sinh(radius - t) + more, outward)
    return split(along[..., None] * direction + sinhc(t)[..., None] * across, direction)


def log(direction: Any, radius: Any, other: Any, far: Any, dist: Any) -> Any:
    """The velocity to the point (other, far), which lies at the distance ``dist``."""
    return dist[..., None] * towards(direction, radius, other, far)


def towards(direction: Any, radius: Any, other: Any, far: Any) -> Any:
    """The unit vector at (direction, radius) towards (other, far); zero where they are equal.

    It is along sinh(r' - r) n - c cosh r sinh r' n + sinh r' (n' - n + c n), 2 c = |n' - n|^2.
    """
    xp = namespace(radius)
    step = other - direction
    half = dot(step, step) / 2
    along = xp.sinh(far - radius) - half * xp.cosh(radius) * xp.sinh(far)
    across = step + half[..., None] * direction
    return unit_or_zero(along[..., None] * direction + xp.sinh(far)[..., None] * across)


def transport(direction: Any, radius: Any, other: Any, far: Any, u: Any) -> Any:
    """u carried from (direction, radius) to (other, far) along the geodesic.

    The translation along it is two reflections: in the hyperplane across it at the first point, and
    in the one half-way, which in the ball is an inversion on the line through both. As reflections
    they keep lengths however the points are rounded.
    """
    xp = namespace(radius)
    chord = xp.sinh((far - radius) / 2)[..., None] * direction + (
        xp.cosh(radius / 2) * xp.sinh(far / 2)
    )[..., None] * (other - direction)
    return reflect(reflect(u, towards(direction, radius, other, far)), unit_or_zero(chord))


def split(x: Any, otherwise: Any) -> tuple[Any, Any]:
    """Direction and asinh of the length; of the zero vector another direction."""
    length = norm(x)
    some = (length > 0)[..., None]
    direction = x / where(some, length[..., None], 1.0)
    return namespace(x).where(some, direction, otherwise), namespace(x).asinh(length)


def first_axis(x: Any) -> Any:
    """Unit vectors like x along the first axis."""
    xp = namespace(x)
    return xp.concat([xp.ones_like(x[..., :1]), xp.zeros_like(x[..., 1:])], axis=-1)


def reflect(u: Any, normal: Any) -> Any:
    """u reflected in the hyperplane across a unit vector, or across none."""
    return u - 2 * dot(normal, u)[..., None] * normal


def unit_or_zero(v: Any) -> Any:
    """v / |v|, and zero for the zero vector."""
    length = norm(v)[..., None]
    return v / where(length > 0, length, 1.0)
