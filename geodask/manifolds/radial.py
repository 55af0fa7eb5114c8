"""Hyperbolic geometry seen from the origin: points by direction and distance, curvature -1.

A tangent vector is given in the orthonormal frame that is carried from the origin along the radius
to its point, as its part along the direction of the point (...,) and the rest across (..., dim):
far out the rest may be small and yet decide where a geodesic ends. Another point is given by the
step from the one direction to the other, which the caller may know to more digits than either.
Everything is float64, and in forms that cancel nothing.
"""

from typing import Any

from ..arrays.namespace import dot, namespace, norm, root, where
from ..arrays.series import sinhc


def exp(direction: Any, radius: Any, along: Any, across: Any) -> tuple[Any, Any]:
    """Direction and radius of the point reached with an initial velocity."""
    return split(end(direction, radius, along, across), direction)


def end(direction: Any, radius: Any, along: Any, across: Any) -> Any:
    """The same point as sinh of its radius times its direction, the hyperboloid's coordinates.

    With t the length of the velocity and a = along / t, it is C n + sinh(t) / t across, where C =
    cosh t sinh r + a sinh t cosh r. Inwards, where these may cancel, they are sinh(r - t) + (1 + a)
    sinh t cosh r; elsewhere both parts of the velocity are stretched by the same number.
    """
    xp = namespace(along)
    size = norm(across)
    t = whole(along, across)
    safe = where(t > 0, t, 1.0)
    cosine, sine = along / safe, size / safe
    inwards = (cosine < 0) & (2 * xp.tanh(radius) > -cosine * xp.tanh(t))
    out = where(~inwards, t, 0.0)  # nothing overflows in the branch that is not taken
    outward = xp.cosh(out) * xp.sinh(radius) + sinhc(out) * along * xp.cosh(radius)
    more = (sine * xp.sinh(t)) * (sine * xp.cosh(radius)) / (1 + xp.abs(cosine))
    ahead = xp.where(inwards, xp.sinh(radius - t) + more, outward)
    return ahead[..., None] * direction + sinhc(t)[..., None] * across


def towards(direction: Any, radius: Any, step: Any, far: Any) -> tuple[Any, Any]:
    """The unit vector, along and across, towards (direction + step, far); zero where it is there.

    Not yet of length 1 it is sinh(r' - r) - c cosh r sinh r' along, sinh r' (step + c n) across,
    where 2 c = |step|^2.
    """
    xp = namespace(radius)
    half = dot(step, step) / 2
    along = xp.sinh(far - radius) - half * xp.cosh(radius) * xp.sinh(far)
    across = xp.sinh(far)[..., None] * (step + half[..., None] * direction)
    length = whole(along, across)
    length = where(length > 0, length, 1.0)
    return along / length, across / length[..., None]


def transport(
    direction: Any, radius: Any, step: Any, far: Any, tangent: tuple[Any, Any]
) -> tuple[Any, Any]:
    """A tangent, along and across, carried to (direction + step, far) along the geodesic.

    The translation along it is two reflections: in the hyperplane across it at the first point, and
    in the one half-way, which in the ball is an inversion on the line through both. As reflections
    they keep lengths however the points are rounded.
    """
    xp = namespace(radius)
    chord = (
        xp.sinh((far - radius) / 2)[..., None] * direction
        + (xp.cosh(radius / 2) * xp.sinh(far / 2))[..., None] * step
    )
    u, way = (
        across + along[..., None] * direction
        for along, across in (tangent, towards(direction, radius, step, far))
    )
    # Both once more of length 1: directions are so to their rounding only, and steps are short.
    turned = reflect(reflect(u, unit_or_zero(way)), unit_or_zero(chord))
    return parts(direction + step, turned)


def whole(along: Any, across: Any) -> Any:
    """The length of a vector from its parts."""
    return norm(namespace(across).concat([across, along[..., None]], axis=-1))


def parts(direction: Any, u: Any) -> tuple[Any, Any]:
    """A vector's part along a unit vector (...,), and the rest (..., dim)."""
    along = dot(direction, u)
    return along, u - along[..., None] * direction


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
    """u reflected in the hyperplane across a unit vector, or across none.

    Over its squared length: what that is off, two reflections would add up.
    """
    square = dot(normal, normal)
    share = 2 * dot(normal, u) / where(square > 0, square, 1.0)
    return u - share[..., None] * normal


def twice_reflected(u: Any, normal: Any, change: Any) -> Any:
    """u reflected in the hyperplane across ``normal`` - ``change`` and then in that across the unit
    vector ``normal``, or across none of both.

    For normals c - k and c, with m = |c - k|, the first, once of length 1, is off the second by
    d = (k + (m - 1) c) / m, and (m - 1) (m + 1) = |k|^2 - 2 <c, k>. With a = c - d the reflections
    make u + 2 <a, u> d - 2 (<d, u> + |d|^2 <a, u>) c: where d is short, so is all that is rounded.
    """
    longer = dot(change, change) - 2 * dot(normal, change)
    size = root(1 + longer)
    step = (change + (longer / (size + 1))[..., None] * normal) / size[..., None]
    along = dot(normal - step, u)
    back = dot(step, u) + dot(step, step) * along
    return u + 2 * (along[..., None] * step - back[..., None] * normal)


def unit_or_zero(v: Any) -> Any:
    """v / |v|, and zero for the zero vector."""
    length = norm(v)[..., None]
    return v / where(length > 0, length, 1.0)
