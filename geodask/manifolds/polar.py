"""Hyperbolic space in geodesic polar coordinates, for points beyond the reach of other models."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

from ..arrays.namespace import dot, eps, namespace, norm, unit, where
from ..arrays.polar import (
    Polar,
    PolarScores,
    eighth_root,
    operand,
    polar,
    polar_ranks,
    polar_step,
)
from ..arrays.product import FLUSHED
from . import radial
from .base import Queries, Rows, Targets
from .hyperbolic import Hyperbolic, like


@final
@dataclass(frozen=True)
class HyperbolicPolar(Hyperbolic):
    """Rows of R^n: a unit direction in the first n - 1 coordinates, and last the distance r >= 0.

    r is the distance from the origin in curvature -1, up to 300; the sectional curvature K < 0
    scales the metric alone. A tangent vector is the velocity of these coordinates, so its length is
    that of (its last coordinate, sinh(r) times the others). At the origin they know one line only:
    there `log` and `transport` are NaN wherever the direction would have to change.

    Formulas: sinh^2(dist / 2) = sinh^2((a - b) / 2) + sinh(a) sinh(b) |u - v|^2 / 4, the law of
    cosines without its cancellations; the geometry is that of `radial`. Directions are taken to
    2^-99: rows on one ray, or closer to it, are as far apart as their distances.
    """

    smallest_n: ClassVar[int] = 2

    @property
    def dim(self) -> int:
        return self.n - 1

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """With a direction of length 1. NaN where there is none, or the distance is negative."""
        xp = namespace(x)
        direction = where((x[..., -1] >= 0)[..., None], unit(x[..., :-1]), math.nan)
        return xp.concat([direction, x[..., -1:] + 0 * direction[..., :1]], axis=-1)

    def to_tangent(self, p: Any, v: Any) -> Any:
        direction, _ = self.to_polar(p)
        across = v[..., :-1] - dot(direction, v[..., :-1])[..., None] * direction
        return like(
            v, namespace(across).concat([across, v[..., -1:] + 0 * across[..., :1]], axis=-1)
        )

    def reach(self, x: Any) -> float:
        return 300.0

    complaint_texts: ClassVar[dict[int, str]] = {
        **Hyperbolic.complaint_texts,
        2: "has a direction, its coordinates but the last, that is not of unit length",
        3: "has a distance, its last coordinate, that is negative or above 300",
        4: "has a zero vector as its direction",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({2})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        finite = xp.all(xp.isfinite(p), axis=-1)
        length = norm(xp.astype(where(finite[..., None], p[..., :-1], 1.0), xp.float64))
        tolerance = 2 * math.sqrt(self.n) * eps(p)
        code = xp.astype(xp.abs(length - 1) > tolerance, xp.int8) * 2
        code = xp.where(
            (p[..., -1] < 0) | (p[..., -1] > self.reach(p)), xp.full_like(code, 3), code
        )
        code = xp.where(length == 0, xp.full_like(code, 4), code)
        return xp.where(finite, code, xp.full_like(code, 1))

    # --- models ---------------------------------------------------------------------------------

    def to_polar(self, p: Any) -> tuple[Any, Any]:
        p = self.canonical(p)
        return unit(p[..., :-1]), p[..., -1]

    def from_polar(self, direction: Any, radius: Any) -> Any:
        xp = namespace(direction, radius)
        return xp.concat([direction, radius[..., None]], axis=-1)

    def to_frame(self, p: Any, u: Any) -> Any:
        along, across = self._parts(p, u)
        return across + along[..., None] * self.to_polar(p)[0]

    def from_frame(self, p: Any, y: Any) -> Any:
        return self._tangent(p, *radial.parts(self.to_polar(p)[0], y))

    def _parts(self, p: Any, u: Any) -> tuple[Any, Any]:
        """A tangent vector along the radius and across it, in an orthonormal frame."""
        xp = namespace(p, u)
        u = self.to_tangent(p, xp.astype(u, xp.float64))
        return u[..., -1], xp.sinh(self.canonical(p)[..., -1:]) * u[..., :-1]

    def _tangent(self, p: Any, along: Any, across: Any) -> Any:
        """The tangent vector with these parts. NaN at the origin where some of it is across."""
        xp = namespace(p, across)
        over = xp.sinh(self.canonical(p)[..., -1:])
        some = across / where(over > 0, over, math.nan)
        turn = xp.where((over == 0) & (across == 0), 0 * across, some)
        return xp.concat([turn, along[..., None]], axis=-1)

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        (along, across), (along_v, across_v) = self._parts(p, u), self._parts(p, v)
        return like(p, self.radius**2 * (along * along_v + dot(across, across_v)))

    def norm(self, p: Any, u: Any) -> Any:
        return like(p, self.radius * radial.whole(*self._parts(p, u)))

    def exp(self, p: Any, u: Any) -> Any:
        return like(p, self.from_polar(*radial.exp(*self.to_polar(p), *self._parts(p, u))))

    def log(self, p: Any, q: Any) -> Any:
        length = self.dist(self.canonical(p), q) / self.radius
        along, across = radial.towards(*self.to_polar(p), *self._way(p, q))
        return like(p, self._tangent(p, length * along, length[..., None] * across))

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        found = radial.transport(*self.to_polar(p), *self._way(p, q), self._parts(p, u))
        return like(p, self._tangent(q, *found))

    def _way(self, p: Any, q: Any) -> tuple[Any, Any]:
        """From the direction of p to that of q, and the radius of q."""
        x, y = self.features(p), self.features(q)
        return polar_step(x, y), y.radius

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        """As stored: the length of a direction does not count."""
        xp = namespace(x)
        return xp.astype(x, xp.float64)

    def features(self, x: Any) -> Polar:
        x = self.canonical(x)
        return polar(x[..., :-1], x[..., -1])

    @property
    def working_bytes(self) -> int:
        return 48

    def rank(self, p: Any, q: Any) -> Any:
        return polar_ranks(self.features(p), self.features(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        return polar_ranks(x.features.take(rows), y.features.take(others))

    def rank_error(self, rank: Any) -> Any:
        # Half the difference of two radii is rounded, and its sinh moves by up to 150 times that;
        # a sinh errs by four units, the lane sum by n / 8 + 5, directions at 2^-103 by 2^-46 where
        # they are 2^-56 apart.
        return ((self.n / 8 + 340) * 2.0**-53 + 2.0**-45) * rank

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        lengths = [sum((a * a for a in each[:-1]), Decimal(0)).sqrt() for each in (p, q)]
        steps = (a / lengths[0] - b / lengths[1] for a, b in zip(p[:-1], q[:-1], strict=True))
        square = sum((step * step for step in steps), Decimal(0))
        apart = _sinh((p[-1] - q[-1]) / 2)
        return apart * apart + _sinh(p[-1]) * _sinh(q[-1]) * square / 4

    def precision(self, asked: str) -> str:
        return "float64"

    def queries(self, x: Rows, precision: str) -> Queries:
        # Minus the eighth root of the rank. A rank is right to 2^-40 of itself in the scores too;
        # float32 rounds it once, and the kernel the bounds by two units.
        slack = 0 * x.features.half_sinh + FLUSHED  # but NaN where a row is no point
        return Queries(operand(x.features), slack, None, 4 * 2.0**-24, PolarScores)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        xp = namespace(y.features.radius)
        above = 0 * y.features.half_sinh
        nobody = xp.zeros((0,), dtype=xp.int64)
        return Targets(operand(y.features), float(xp.max(above)), above, nobody)

    def score(self, rank: Any, queries: Queries) -> Any:
        return -eighth_root(rank)


def _sinh(x: Decimal) -> Decimal:
    grown = x.exp()
    return (grown - 1 / grown) / 2
