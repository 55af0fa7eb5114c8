"""The upper half-space: hyperbolic space above a hyperplane, conformal to flat space."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

from ..arrays.namespace import dot, eps, like, namespace, norm, root, where
from .conformal import Conformal
from .difference import Weighted
from .hyperbolic import Hyperbolic
from .radial import first_axis, reflect, unit_or_zero


@final
@dataclass(frozen=True)
class HalfSpace(Conformal):
    """Rows of R^n with a positive last coordinate, the height t, and the metric |du|^2 / t^2.

    The origin, as seen by the other models, is (0, ..., 0, 1). Formulas: sinh^2(dist / 2) =
    |p - q|^2 / (4 t_p t_q); the translations p + t_p (z - origin) carry the geodesics that start at
    the origin to all others, exactly in the relative sense (Ratcliffe, Foundations of hyperbolic
    manifolds, 2006, 4.6).
    """

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The point itself. NaN where the height is not positive: no point is the nearest."""
        return where((x[..., -1] > 0)[..., None], x, math.nan)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Hyperbolic.complaint_texts,
        2: "has a height, its last coordinate, that is not positive",
    }

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        finite = xp.all(xp.isfinite(p), axis=-1)
        height = xp.astype(p[..., -1], xp.float64)
        above = finite & (height > 0)
        inside = xp.where(above[..., None], xp.astype(p, xp.float64), _origin(p))
        # sinh^2(dist / 2) > 1 / eps, where a square might overflow.
        nearest = 1 / root(self.weight(inside) * eps(p) / 2)
        code = xp.astype(norm(inside - _origin(p)) > nearest, xp.int8) * 3
        code = xp.where(above, code, xp.full_like(code, 2))
        return xp.where(finite, code, xp.full_like(code, 1))

    # --- models ---------------------------------------------------------------------------------

    def to_polar(self, p: Any) -> tuple[Any, Any]:
        xp, p = namespace(p), self.canonical(p)
        origin = _origin(p)
        direction = self._direction(origin, p)
        at_origin = (xp.max(xp.abs(direction), axis=-1) == 0)[..., None]
        direction = xp.where(at_origin, first_axis(p), direction)
        return direction, 2 * xp.asinh(self._half_sinh(origin, p))

    def from_polar(self, direction: Any, radius: Any) -> Any:
        # 1 over cosh r - c sinh r, where c is the upward part of the direction.
        xp = namespace(direction, radius)
        level, up = direction[..., :-1], direction[..., -1]
        short = xp.where(up > 0, dot(level, level) / (1 + xp.abs(up)), 1 - up)
        height = 1 / (xp.exp(-radius) + short * xp.sinh(radius))
        level = (height * xp.sinh(radius))[..., None] * level
        return xp.concat([level, height[..., None]], axis=-1)

    def to_frame(self, p: Any, u: Any) -> Any:
        p = self.canonical(p)
        return _upside_down(reflect(u / p[..., -1:], _from_below(p)))

    def from_frame(self, p: Any, y: Any) -> Any:
        p = self.canonical(p)
        return p[..., -1:] * reflect(_upside_down(y), _from_below(p))

    # --- geometry -------------------------------------------------------------------------------

    def weight(self, p: Any) -> Any:
        xp = namespace(p)
        height = xp.astype(p[..., -1], xp.float64)
        return 0.5 / where(height > 2.0**-1022, height, math.nan)

    def weighted(self, x: Any) -> Weighted:
        # Rows that are out of reach, or no numbers, have no score in float32.
        xp, weighted = namespace(x), super().weighted(x)
        height, largest = weighted.points[..., -1], xp.max(xp.abs(weighted.points), axis=-1)
        sound = (height > 2.0**-60) & (largest < 2.0**60)
        return weighted._replace(weights=where(sound, weighted.weights, math.nan))

    @property
    def weight_error(self) -> float:
        return 2.0**-53

    scale: ClassVar[float] = 2.0**-40

    @property
    def working_bytes(self) -> int:
        return 16  # coordinates of the ball, and their squares

    def in_ball(self, weighted: Weighted) -> Weighted:
        xp = namespace(weighted.weights)
        p = xp.astype(weighted.points, xp.float64)
        level, height = p[..., :-1], p[..., -1:]
        square = dot(level, level)[..., None]
        over = square + (height + 1) ** 2
        points = xp.concat([2 * level, square + (height - 1) * (height + 1)], axis=-1) / over
        return Weighted((over / (4 * height))[..., 0], points, None)

    def bend(self, p: Any) -> Any:
        return -_origin(p)

    def exp(self, p: Any, u: Any) -> Any:
        height = self.canonical(p)[..., -1:]
        length = norm(u) / height[..., 0]
        z = height * self.from_polar(unit_or_zero(u) + 0 * height, length)
        there = namespace(z).concat([p[..., :-1] + z[..., :-1], z[..., -1:]], axis=-1)
        return like(there, p, u)

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        square = sum(((a - b) * (a - b) for a, b in zip(p, q, strict=True)), Decimal(0))
        return square / (4 * p[-1] * q[-1])


def _origin(p: Any) -> Any:
    """(0, ..., 0, 1), float64, like the rows p."""
    xp = namespace(p)
    zeros = xp.astype(xp.zeros_like(p), xp.float64)
    return xp.concat([zeros[..., :-1], zeros[..., -1:] + 1], axis=-1)


def _from_below(p: Any) -> Any:
    """The directions from (0, ..., 0, -1), the centre of the inversion that leads to the ball."""
    return unit_or_zero(p + _origin(p))


def _upside_down(u: Any) -> Any:
    return namespace(u).concat([u[..., :-1], -u[..., -1:]], axis=-1)
