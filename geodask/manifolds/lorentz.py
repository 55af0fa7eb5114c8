"""The hyperboloid: hyperbolic space as a sheet in Minkowski space."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

from ..arrays import doubled
from ..arrays.namespace import dot, eps, like, namespace, norm, root, where, wide
from ..arrays.polar import polar, polar_step
from . import radial
from .coordinates import SpaceCoordinates
from .difference import Weighted, WeightedDifference
from .framed import Framed
from .hyperbolic import Hyperbolic

NEAR = 4
"""|q - p| (p_0 + q_0) up to which flat products are rounded by few roundings of the length of u."""


@final
@dataclass(frozen=True)
class Lorentz(Framed, WeightedDifference):
    """The upper sheet of x_1^2 + ... - x_0^2 = -1 in R^n, of sectional curvature K < 0.

    The time coordinate is at index 0; a row stands for the point with its other coordinates, and
    its time is computed from them. Points are stored on the unit hyperboloid for every K. Rounding
    of a coordinate moves a point by eps sinh(r) at the distance r from the origin, as in the ball.

    Formulas. With s for the space coordinates, the point a = s / (1 + x_0) of the ball and the
    weight (1 + x_0) / 2, which is 1 / (1 - |a|^2), give sinh^2(dist / 2) as a weighted squared
    difference; a is kept in double-double, because differences of hyperboloid coordinates lose
    cosh^2(r) of their digits. The geometry is that of `radial`.
    """

    @property
    def chart(self) -> SpaceCoordinates:
        return SpaceCoordinates(self)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The point with the same space coordinates."""
        xp = namespace(x)
        space = xp.astype(x[..., 1:], xp.float64)
        return like(_with_time(space), x)

    def to_tangent(self, p: Any, v: Any) -> Any:
        xp = namespace(p, v)
        p = self.canonical(p)
        time, space = xp.astype(v[..., 0], xp.float64), xp.astype(v[..., 1:], xp.float64)
        along = dot(p[..., 1:], space) - p[..., 0] * time
        return like(_tangent(p, space + along[..., None] * p[..., 1:]), v)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Hyperbolic.complaint_texts,
        2: "is not on the hyperboloid: its time is not sqrt(1 + |x|^2) of its other coordinates",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({2})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        finite = xp.all(xp.isfinite(p), axis=-1)
        q = where(finite[..., None], xp.astype(p, xp.float64), 0.0)
        time = xp.hypot(norm(q[..., 1:]), xp.ones_like(q[..., 0]))
        tolerance = 4 * self.n**0.5 * eps(p)
        code = xp.astype(xp.abs(q[..., 0] - time) > tolerance * time, xp.int8) * 2
        code = xp.where((1 + time) * eps(p) > 2, xp.full_like(code, 3), code)
        return xp.where(finite, code, xp.full_like(code, 1))

    # --- models ---------------------------------------------------------------------------------

    def to_polar(self, p: Any) -> tuple[Any, Any]:
        xp = namespace(p)
        space = xp.astype(p[..., 1:], xp.float64)
        return radial.split(space, radial.first_axis(space))

    def from_polar(self, direction: Any, radius: Any) -> Any:
        return _with_time(namespace(radius).sinh(radius)[..., None] * direction)

    # --- geometry -------------------------------------------------------------------------------

    def parts(self, p: Any, u: Any) -> tuple[Any, Any]:
        xp = namespace(p, u)
        space = xp.astype(u[..., 1:], xp.float64)
        along, across = radial.parts(self.to_polar(p)[0], space)
        return along / self.canonical(p)[..., 0], across

    def tangent(self, p: Any, along: Any, across: Any) -> Any:
        x = self.canonical(p)
        return _tangent(x, across + (along * x[..., 0])[..., None] * self.to_polar(p)[0])

    def way(self, p: Any, q: Any) -> tuple[Any, Any]:
        x, y = (polar(*self._long(each)) for each in (p, q))
        return polar_step(x, y), y.radius

    def _long(self, p: Any) -> tuple[Any, Any]:
        """A vector in the direction of p, exactly, and the distance from the origin."""
        direction, radius = self.to_polar(p)
        space = self.canonical(p)[..., 1:]
        return namespace(space).where((radius > 0)[..., None], space, direction), radius

    def exp(self, p: Any, u: Any) -> Any:
        # Without the radius of the end, whose sinh would be off as often as it is long.
        return like(_with_time(radial.end(*self.to_polar(p), *self.parts(p, u))), p, u)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # u + <q - p, u> (p + q) / (1 - <p, q>) has the digits of u. The product is rounded by a
        # share of |q - p| |u|, flat lengths that grow like the time: so from near the origin only.
        xp, x, y = namespace(p, q, u), self.canonical(p), self.canonical(q)
        step, both, space = (y - x)[..., 1:], y + x, xp.astype(u[..., 1:], xp.float64)
        rising = dot(step, both[..., 1:]) / both[..., 0]  # the step in time
        share = dot(step, space) - rising * dot(x[..., 1:], space) / x[..., 0]
        share = share / (2 + 2 * self.rank(x, y))
        close = _tangent(y, space + share[..., None] * both[..., 1:])
        near = norm(step) * both[..., 0] < NEAR
        return like(xp.where(near[..., None], close, super().transport(p, q, wide(u))), p, q, u)

    def log(self, p: Any, q: Any) -> Any:
        # d / sinh(d) (q - cosh(d) p), where cosh(d) = 1 + 2 rank: of exact differences. With s for
        # sinh(d / 2), sinh(d) is 2 s sqrt(1 + s^2): that of a rounded d is d times as far off. It
        # is also the length of the vector, and that to more digits from near the origin to afar.
        x, y = self.canonical(p), self.canonical(q)
        rank = self.rank(x, y)
        space = (y - x)[..., 1:] - (2 * rank)[..., None] * x[..., 1:]
        apart, afar = rank > 0, (rank > 1) & (x[..., 0] < NEAR)
        half_sinh = where(apart, root(rank), 1.0)
        square = dot(space, space) - (dot(x[..., 1:], space) / x[..., 0]) ** 2
        sinh = where(afar, root(where(afar, square, 0.0)) / 2, half_sinh * root(1 + rank))
        share = where(apart, namespace(rank).asinh(half_sinh) / sinh, 1.0)
        return like(_tangent(x, space * share[..., None]), p, q)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        return self.curvature * self.inner(p, u, v)[..., None] * self.canonical(p)

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        """With the time coordinate computed from the others."""
        xp = namespace(x)
        return _with_time(xp.astype(x[..., 1:], xp.float64))

    low_error: ClassVar[float] = 1.01 * 2.0**-53

    @property
    def root_error(self) -> float:
        # A weighted row is off by (n + 4) 2^-105 of its length, which is at most 1, and the
        # weights reach 2^52.
        return (self.n + 4) * 2.0**-52

    def weighted(self, x: Any) -> Weighted:
        xp = namespace(x)
        space = xp.astype(x[..., 1:], xp.float64)
        over = doubled.plus(doubled.root(doubled.square_sum(space, 1.0)), 1.0)
        points = doubled.quotient(space, doubled.column(over))
        return Weighted(over.high / 2, points.high, points.low)

    @property
    def weight_error(self) -> float:
        return 2.0**-52

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        times = [(1 + sum((a * a for a in each[1:]), Decimal(0))).sqrt() for each in (p, q)]
        steps = [(a - b, a + b) for a, b in zip(p[1:], q[1:], strict=True)]
        later = sum((a * b for a, b in steps), Decimal(0)) / (times[0] + times[1])
        return (sum((a * a for a, _ in steps), Decimal(0)) - later * later) / 4


def _with_time(space: Any) -> Any:
    xp = namespace(space)
    length = norm(space)[..., None]
    return xp.concat([xp.hypot(length, xp.ones_like(length)), space], axis=-1)


def _tangent(p: Any, space: Any) -> Any:
    """The tangent vector at p with these space coordinates."""
    time = dot(p[..., 1:], space) / p[..., 0]
    return namespace(space).concat([time[..., None], space], axis=-1)
