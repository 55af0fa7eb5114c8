"""Angles: the flat torus, and the circle as the torus of one."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.decimals import arctangent
from ..arrays.namespace import dot, eps, lane_sum, like, namespace, norm, sqrt, where, wide
from .base import Manifold, Rows
from .coordinates import Vectors
from .given import batch
from .shadowed import Shadowed

TURN = 2 * math.pi, 2.4492935982947064e-16
"""A whole turn in two parts."""


@dataclass(frozen=True)
class Torus(Shadowed):
    """Rows of n angles from -pi to pi, in radians; dist^2 is the sum of squared differences.

    Differences are taken the short way round, so the farthest points lie pi sqrt(n) apart. A flat
    space. Tangent vectors are rates of the angles.
    """

    @property
    def dim(self) -> int:
        return self.n

    @property
    def origin(self) -> np.ndarray:
        """Angles of 0."""
        return np.zeros(self.n)

    @property
    def injectivity_radius(self) -> float:
        return math.pi

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The same angles, less whole turns."""
        xp, y = namespace(x), wide(x)
        turns = xp.round(y / TURN[0])
        # Of one turn or two the product is exact; of more, sines and cosines know the rest.
        near = xp.abs(turns) <= 2
        less = (y - turns * TURN[0]) - turns * TURN[1]
        return like(xp.where(near, less, xp.atan2(xp.sin(y), xp.cos(y))), x)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "has an angle beyond pi",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({2})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        largest = xp.max(xp.abs(wide(p)), axis=-1)
        code = xp.astype(largest > math.pi * (1 + eps(p)), xp.int8) * 2
        return xp.where(xp.isfinite(largest), code, xp.full_like(code, 1))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Uniform."""
        return np.random.default_rng(seed).uniform(-math.pi, math.pi, (*batch(shape), self.n))

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return dot(u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return norm(u)

    def dist(self, p: Any, q: Any) -> Any:
        return like(norm(_short_way(p, q)), p, q)

    def exp(self, p: Any, u: Any) -> Any:
        return like(self.project(wide(p) + wide(u)), p, u)

    def log(self, p: Any, q: Any) -> Any:
        """NaN where an angle differs by half a turn, within the rounding of two angles."""
        step = like(_short_way(p, q), p, q)
        opposite = namespace(step).abs(step) >= math.pi * (1 - 2 * eps(step))
        return where(~opposite, step, math.nan)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        return u + 0 * self.log(p, q)

    def midpoint(self, p: Any, q: Any) -> Any:
        return self.exp(p, self.log(p, q) / 2)

    constant_curvature: ClassVar[float] = 0.0

    @property
    def chart(self) -> Vectors:
        return Vectors(self)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        return 0 * (u + v) + namespace(p).zeros_like(p)

    # --- exact neighbours -----------------------------------------------------------------------

    def rank(self, p: Any, q: Any) -> Any:
        """The squared distance."""
        step = _short_way(p, q)
        return lane_sum(step * step)

    def rank_to_dist(self, rank: Any) -> Any:
        return sqrt(rank)

    def rank_error(self, rank: Any) -> Any:
        # A difference is right to three roundings, and to as many of the low part of a turn.
        return (self.n / 8 + 16) * 2.0**-52 * rank + self.n * 2.0**-100

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return dist * (2 * rank**0.5 + dist)

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        turn = 8 * arctangent(Decimal(1))
        steps = [abs(a - b) % turn for a, b in zip(p, q, strict=True)]
        return sum((min(x, turn - x) ** 2 for x in steps), Decimal(0))

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """Cosines and sines: a chord is no longer than its arc."""
        p = wide(x.points)
        xp = namespace(p)
        return xp.concat([xp.cos(p), xp.sin(p)], axis=-1), 0 * p[..., 0] + self.n * 2.0**-50


@final
@dataclass(frozen=True)
class Circle(Torus):
    """Rows of one angle from -pi to pi, in radians; distances are angles, up to pi."""

    n: int = 1

    def __post_init__(self) -> None:
        self._keep_whole("n", 1, 1)


def _short_way(p: Any, q: Any) -> Any:
    """q - p less whole turns, to few roundings of itself also where it is close to a turn."""
    p, q = wide(p), wide(q)
    xp, step = namespace(p, q), q - p
    # What rounding took from the difference (Knuth).
    part = step + p
    lost = (q - part) + ((part - step) - p)
    turns = xp.round(step / TURN[0])
    return ((step - turns * TURN[0]) + lost) - turns * TURN[1]
