"""Hyperbolic space in geodesic polar coordinates, for points beyond the reach of other models."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.namespace import dot, eps, like, namespace, norm, unit, where
from ..arrays.polar import (
    Polar,
    PolarProducts,
    PolarScores,
    eighth_root,
    operand,
    polar,
    polar_ranks,
    polar_step,
)
from ..arrays.product import FLUSHED
from .base import Queries, Rows, Targets
from .framed import Framed
from .hyperbolic import Hyperbolic
from .rounds import PolarCoordinates

FEW = 32
"""Dimensions up to which steps of directions are as fast as products."""


@final
@dataclass(frozen=True)
class HyperbolicPolar(Framed):
    """Rows of R^n: a unit direction in the first n - 1 coordinates, and last the distance r >= 0.

    r is the distance from the origin in curvature -1, up to 300; the sectional curvature K < 0
    scales the metric alone. A tangent vector is the velocity of these coordinates, so its length is
    that of (its last coordinate, sinh(r) times the others). At the origin they know one line only:
    there `log` and `transport` are NaN wherever the direction would have to change.

    Formulas: sinh^2(dist / 2) = sinh^2((a - b) / 2) + sinh(a) sinh(b) |u - v|^2 / 4, the law of
    cosines without its cancellations; the geometry is that of `radial`. A row stands for its
    direction divided by its length, to thirty digits; coordinates of two directions that agree to
    2^-76 of themselves count as equal, so rows on one ray are as far apart as their distances.
    """

    @property
    def chart(self) -> PolarCoordinates:
        return PolarCoordinates(self)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """With a direction of length 1. NaN where there is none, or the distance is negative."""
        xp = namespace(x)
        direction = where((x[..., -1] >= 0)[..., None], unit(x[..., :-1]), math.nan)
        return xp.concat([direction, x[..., -1:] + 0 * direction[..., :1]], axis=-1)

    def to_tangent(self, p: Any, v: Any) -> Any:
        direction, _ = self.to_polar(p)
        across = v[..., :-1] - dot(direction, v[..., :-1])[..., None] * direction
        along = v[..., -1:] + 0 * across[..., :1]
        return like(namespace(across).concat([across, along], axis=-1), v)

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

    # --- geometry -------------------------------------------------------------------------------

    def parts(self, p: Any, u: Any) -> tuple[Any, Any]:
        xp = namespace(p, u)
        u = self.to_tangent(p, xp.astype(u, xp.float64))
        return u[..., -1], xp.sinh(self.canonical(p)[..., -1:]) * u[..., :-1]

    def tangent(self, p: Any, along: Any, across: Any) -> Any:
        """The tangent vector with these parts. NaN at the origin where some of it is across."""
        xp = namespace(p, across)
        over = xp.sinh(self.canonical(p)[..., -1:])
        some = across / where(over > 0, over, math.nan)
        turn = xp.where((over == 0) & (across == 0), 0 * across, some)
        return xp.concat([turn, along[..., None]], axis=-1)

    def extent(self, p: Any) -> Any:
        """Directions turn faster near the origin, and not at all there."""
        radius = where(p[..., -1] > 0, p[..., -1], math.nan)
        return namespace(p).minimum(super().extent(p), self.radius * radius)

    def way(self, p: Any, q: Any) -> tuple[Any, Any]:
        x, y = self.features(p), self.features(q)
        return polar_step(x, y), y.radius

    # --- exact neighbours -----------------------------------------------------------------------

    def features(self, x: Any) -> Polar:
        x = self.canonical(x)  # as stored: the length of a direction does not count
        return polar(x[..., :-1], x[..., -1])

    def rank(self, p: Any, q: Any) -> Any:
        return polar_ranks(self.features(p), self.features(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        return polar_ranks(x.features.take(rows), y.features.take(others))

    def rank_error(self, rank: Any) -> Any:
        # Half the difference of two radii is rounded, and its sinh moves by up to 150 times that;
        # a sinh errs by four units, the lane sum by n / 8 + 5. And squares that leave float64.
        return (self.n / 8 + 340) * 2.0**-53 * rank + self.n * 2.0**-1000

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        # Of the directions as they are taken, to 2^-104, and of steps that count.
        x, y = (self.features(np.array([float(a) for a in each])) for each in (p, q))
        square = Decimal(0)
        for i in np.flatnonzero(polar_step(x, y)):
            ends = (x.direction[i], x.low[i]), (y.direction[i], y.low[i])
            (a, b), (c, d) = ((Decimal(float(part)) for part in end) for end in ends)
            square += (a - c + b - d) ** 2
        apart = _sinh((p[-1] - q[-1]) / 2)
        return apart * apart + _sinh(p[-1]) * _sinh(q[-1]) * square / 4

    def precision(self, asked: str) -> str:
        return "float64"

    def queries(self, x: Rows, precision: str) -> Queries:
        # Minus the eighth root of the rank. In the scores a rank is right to 2^-21 of itself: steps
        # of directions to 2^-28, or by products their squares to 2^-22, the series of the sinh to
        # 2^-33. float32 rounds it once, and the kernel the bounds by two units.
        scores = PolarScores if self.dim <= FEW else PolarProducts
        slack = _nothing(x.features) + FLUSHED
        return Queries(operand(x.features), slack, None, 4 * 2.0**-24, scores)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        xp = namespace(y.features.radius)
        nobody = xp.zeros((0,), dtype=xp.int64)
        return Targets(operand(y.features), 0.0, _nothing(y.features), nobody)

    def score(self, rank: Any, queries: Queries) -> Any:
        return -eighth_root(rank)


def _nothing(x: Polar) -> Any:
    """Zeros, but NaN where a row is no point, so that it is not certified: (rows,)."""
    return 0 * (x.half_sinh + namespace(x.radius).sum(x.direction, axis=-1))


def _sinh(x: Decimal) -> Decimal:
    grown = x.exp()
    return (grown - 1 / grown) / 2
