"""Charts of the sphere and of hyperbolic space around a point: stereographic, angles, polar."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..arrays.namespace import dot, namespace, norm, unit, where
from ..arrays.series import sinhc, sinhc_rest, sinhc_slope
from ..geodesics.curvature import Metric
from .charts import ORDER, Chart

if TYPE_CHECKING:
    from .hyperbolic import Hyperbolic


@final
@dataclass(frozen=True)
class StereographicCoordinates(Chart):
    """Those of the sphere seen from its pole (0, ..., 0, 1): x / (1 - x_n), without the last.

    They reach all points but the pole. The metric is (2 / (1 + |c|^2))^2 times the flat one (Lee,
    Introduction to Riemannian manifolds, 2018, chapter 3).
    """

    def __post_init__(self) -> None:
        self._need(_is_sphere(self.space), "a sphere", "gd.Sphere(3)")

    def coordinates(self, p: Any) -> Any:
        return p[..., :-1] / self._height(p)[..., None]

    def point(self, p: Any, c: Any) -> Any:
        square = dot(c, c)[..., None]
        return namespace(c).concat([2 * c, square - 1], axis=-1) / (square + 1)

    def vector(self, p: Any, a: Any) -> Any:
        x, h = p[..., :-1], self._height(p)[..., None]
        along = dot(x, a)[..., None]
        return namespace(p).concat([h * a - along * x, h * along], axis=-1)

    def components(self, p: Any, v: Any) -> Any:
        xp, h, (x, last) = namespace(p, v), self._height(p)[..., None], (p[..., :-1], p[..., -1:])
        # The last of a tangent vector, which near the pole is small, to as many digits as others.
        safe = where(last > 0.5, last, 1.0)
        down = xp.where(last > 0.5, -dot(x, v[..., :-1])[..., None] / safe, v[..., -1:])
        return (h * v[..., :-1] + x * down) / (h * h)

    def reach(self, p: Any) -> Any:
        """Half the chord to the pole, or less."""
        xp = namespace(p)
        return self.space.unit * xp.sqrt(self._height(p) / 2)

    @property
    def has_symbols(self) -> bool:
        return True

    def symbols(self, p: Any) -> Any:
        # The gradient of log(2 / (1 + |c|^2)) is -2 c / (1 + |c|^2) = -x.
        xp = namespace(p)
        unit = xp.eye(self.space.dim, dtype=p.dtype, device=p.device)
        slope = where(self._height(p)[..., None] > 0, -p[..., :-1], math.nan)
        found = conformal_connection(slope[..., None, None, :], unit[:, None, :], unit)
        return xp.moveaxis(found, -1, -3)

    # What is the same in all charts comes in this one or that from the other pole, whichever is
    # farther: that one sees a point as this one does its mirror image.

    def curvature_tensor(
        self, p: Any, u: Any, v: Any, w: Any, method: str | None = None, order: int = ORDER
    ) -> Any:
        last = p[..., -1:]
        side = -namespace(p).sign(where(last != 0, last, -1.0))
        rows = (_mirrored(x, side) for x in (p, u, v, w))
        found = super().curvature_tensor(*rows, method=method, order=order)
        return _mirrored(found, side)

    def scalar_curvature(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        below = namespace(p).concat([p[..., :-1], -abs(p[..., -1:])], axis=-1)
        return super().scalar_curvature(below, method, order)

    def _height(self, p: Any) -> Any:
        """1 - x_n, without cancellation; NaN at the pole."""
        last, square = p[..., -1], dot(p[..., :-1], p[..., :-1])
        xp = namespace(p)
        height = xp.where(last > 0, square / (1 + xp.abs(last)), 1 - last)
        return where(height > 0, height, math.nan)


@final
@dataclass(frozen=True)
class PolarCoordinates(Chart):
    """The distance of a point from the origin of hyperbolic space, times its direction.

    They are normal coordinates there: straight lines through it are geodesics. The metric is 1
    along such a line and (sinh(r) / r)^2 across it, over -K. Points are those of `HyperbolicPolar`,
    which know no directions at the origin itself.
    """

    space: "Hyperbolic"

    def coordinates(self, p: Any) -> Any:
        direction, radius = self.space.to_polar(p)
        return radius[..., None] * direction

    def point(self, p: Any, c: Any) -> Any:
        return self.space.from_polar(unit(c), norm(c))

    def vector(self, p: Any, a: Any) -> Any:
        direction, radius = self.space.to_polar(p)
        along = dot(direction, a)[..., None]
        turn = (a - along * direction) / where(radius > 0, radius, math.nan)[..., None]
        return namespace(p).concat([turn, along], axis=-1)

    def components(self, p: Any, v: Any) -> Any:
        direction, radius = self.space.to_polar(p)
        return radius[..., None] * v[..., :-1] + v[..., -1:] * direction

    def reach(self, p: Any) -> Any:
        """That of the metric, to which the origin is a point like others."""
        _, radius = self.space.to_polar(p)
        return self.space.unit + 0 * radius

    def metric(self, p: Any) -> Metric:
        # (sinh(r) / r)^2 is 1 + r^2 (sinh(r) - r) / r^3 (sinh(r) / r + 1), to all digits near 0.
        def metric(c: Any, a: Any, b: Any) -> Any:
            r = norm(c)
            n = c / where(r > 0, r, 1.0)[..., None]
            across = (v - dot(n, v)[..., None] * n for v in (a, b))
            more = r * r * sinhc_rest(r) * (sinhc(r) + 1)
            return (dot(a, b) + more * dot(*across)) * self.space.unit**2

        return metric

    @property
    def has_symbols(self) -> bool:
        return True

    def symbols(self, p: Any) -> Any:
        # r'' = sinh(r) cosh(r) |n'|^2 and n'' = -|n'|^2 n - 2 coth(r) r' n', of which c = r n makes
        # c'' = (sinh(r) cosh(r) - r) |n'|^2 n + 2 (1 - r coth(r)) r' n'.
        n, r = self.space.to_polar(p)
        across = self._across(n)
        turned = (r * sinhc_slope(r) / sinhc(r))[..., None, None, None]
        pulled = (4 * r * sinhc_rest(2 * r))[..., None, None, None]
        one = n[..., None, :, None] * across[..., :, None, :]
        two = n[..., None, None, :] * across[..., :, :, None]
        return turned * (one + two) - pulled * n[..., :, None, None] * across[..., None, :, :]

    def _across(self, direction: Any) -> Any:
        """The projection of flat space across directions: (*batch, dim, dim)."""
        unit = namespace(direction).eye(
            self.space.dim, dtype=direction.dtype, device=direction.device
        )
        return unit - direction[..., :, None] * direction[..., None, :]


@final
@dataclass(frozen=True)
class SphericalCoordinates(Chart):
    """Those of the sphere in R^3: the angle from (0, 0, 1), and the longitude, -pi to pi.

    They reach all points but the two poles.
    """

    def __post_init__(self) -> None:
        fits = _is_sphere(self.space) and self.space.n == 3
        self._need(fits, "the sphere in R^3", "gd.Sphere(3), or use stereographic coordinates")

    def coordinates(self, p: Any) -> Any:
        xp, across = namespace(p), self._across(p)
        angles = [xp.atan2(across, p[..., 2]), xp.atan2(p[..., 1], p[..., 0])]
        return xp.stack(angles, axis=-1)

    def point(self, p: Any, c: Any) -> Any:
        xp, t, s = namespace(c), c[..., 0], c[..., 1]
        parts = [xp.sin(t) * xp.cos(s), xp.sin(t) * xp.sin(s), xp.cos(t)]
        return xp.stack(parts, axis=-1)

    def vector(self, p: Any, a: Any) -> Any:
        down, onwards = self._axes(p)
        return a[..., :1] * down + a[..., 1:] * onwards

    def components(self, p: Any, v: Any) -> Any:
        down, onwards = self._axes(p)
        turn = dot(onwards, v) / self._across(p) ** 2
        return namespace(p).stack([dot(down, v) + 0 * turn, turn], axis=-1)

    def reach(self, p: Any) -> Any:
        return self.space.unit * self._across(p)

    @property
    def has_symbols(self) -> bool:
        return True

    def symbols(self, p: Any) -> Any:
        xp, z, across = namespace(p), p[..., 2], self._across(p)
        none, bent, turned = 0 * across, -across * z, z / across
        rows = [none, none, none, bent, none, turned, turned, none]
        return xp.reshape(xp.stack(rows, axis=-1), (*p.shape[:-1], 2, 2, 2))

    def _axes(self, p: Any) -> tuple[Any, Any]:
        """The two basis vectors."""
        xp, x, y, z, across = namespace(p), p[..., 0], p[..., 1], p[..., 2], self._across(p)
        down = xp.stack([z * x / across, z * y / across, -across], axis=-1)
        return down, xp.stack([-y, x, 0 * z], axis=-1)

    def _across(self, p: Any) -> Any:
        """The distance from the axis, the sine of the first angle; NaN at the poles."""
        across = namespace(p).hypot(p[..., 0], p[..., 1])
        return where(across > 0, across, math.nan)


def _is_sphere(space: Any) -> bool:
    from .sphere import Sphere

    return isinstance(space, Sphere)


def _mirrored(x: Any, side: Any) -> Any:
    """With the last coordinate turned round where the side is -1."""
    return namespace(x, side).concat([x[..., :-1], side * x[..., -1:]], axis=-1)


def conformal_connection(slope: Any, u: Any, v: Any) -> Any:
    """That of the flat metric times e^(2 f), where f has this gradient (Lee, 2018, chapter 7)."""
    along_u, along_v = dot(slope, u)[..., None], dot(slope, v)[..., None]
    return along_u * v + along_v * u - dot(u, v)[..., None] * slope
