"""The Poincaré ball: hyperbolic space inside the unit sphere, conformal to flat space."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.doubled import one_minus_square
from ..arrays.namespace import dot, eps, namespace, norm, sqrt, where
from ..arrays.series import asinh, sinhc
from ..errors import SpecError
from .base import Manifold
from .difference import WeightedDifference


@final
@dataclass(frozen=True)
class PoincareBall(WeightedDifference):
    """The open unit ball of R^n with the conformal metric of sectional curvature K < 0.

    Points are stored in the unit ball for every K; the curvature scales the metric alone. Distances
    go from 0 to infinity, but floats end: 1 - |x|^2 is at least the epsilon of the stored dtype, so
    points reach to a distance of 8.3, 17.3 and 37.4 over sqrt(-K) from the origin in float16,
    float32 and float64. Formulas: with d = q - p, Q(x) = 1 - |x|^2 and D = |d|^2 + Q(p) Q(q),
    sinh^2(dist / 2) = |d|^2 / (Q(p) Q(q)), and the Möbius sum -p + q = (Q(p) d - |d|^2 p) / D
    (Ungar, Analytic Hyperbolic Geometry, 2005, rewritten in differences, which cancel nothing).
    """

    curvature: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.curvature < 0 and math.isfinite(self.curvature)):
            raise SpecError(
                f"Hyperbolic space has negative finite curvature, but curvature={self.curvature!r} "
                "came. Pass curvature=-1.0, or use Euclidean for curvature 0."
            )
        object.__setattr__(self, "curvature", float(self.curvature))

    @property
    def dim(self) -> int:
        return self.n

    @property
    def radius(self) -> float:
        """1 / sqrt(-K): distances are those of curvature -1 times this."""
        return 1 / math.sqrt(-self.curvature)

    @property
    def injectivity_radius(self) -> float:
        return math.inf

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The point itself. NaN outside the ball, which is open: no point of it is the nearest."""
        return where((_left_to_rim(x) > 0)[..., None], x, math.nan)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "lies outside the unit ball or on its rim",
        3: "lies closer to the rim than its dtype can tell apart",
    }

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        inside = _left_to_rim(p)
        code = xp.astype(inside < eps(p), xp.int8) * 3
        code = xp.where(inside > 0, code, xp.full_like(code, 2))
        return xp.where(xp.all(xp.isfinite(p), axis=-1), code, xp.full_like(code, 1))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Directions uniform, distances from the origin uniform between 0 and 4 / sqrt(-K)."""
        shape = (shape,) if isinstance(shape, int) else shape
        rng = np.random.default_rng(seed)
        v = rng.standard_normal((*shape, self.n))
        return np.tanh(2 * rng.random(shape))[..., None] * v / norm(v)[..., None]

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return _like(p, dot(u, v) * (2 * self.radius / one_minus_square(p)) ** 2)

    def norm(self, p: Any, u: Any) -> Any:
        return _like(p, norm(u) * (2 * self.radius / one_minus_square(p)))

    def dist(self, p: Any, q: Any) -> Any:
        return _like(p, 2 * self.radius * namespace(p, q).asinh(_half_sinh(p, q)))

    def exp(self, p: Any, u: Any) -> Any:
        # p + y with y = tanh(t) u / |u|, t half the length; 1 - |y|^2 = 1 / cosh^2 t.
        xp = namespace(p, u)
        inside = one_minus_square(p)
        half = norm(u) / inside
        sech = 1 / xp.cosh(half)
        y = u * (sinhc(half) * sech / inside)[..., None]
        step = p + y
        square = dot(step, step)
        over = square + inside * (sech * sech)
        return _like(p, (inside[..., None] * step + square[..., None] * p) / over[..., None])

    def log(self, p: Any, q: Any) -> Any:
        xp = namespace(p, q)
        direction = self._direction(p, q)
        return _like(p, direction * (xp.asinh(_half_sinh(p, q)) * one_minus_square(p))[..., None])

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # The translation along the geodesic is two reflections: in the hyperplane across it at p,
        # and in the one half-way, an inversion that takes p to q along the line through both. As
        # reflections they keep lengths however the points are rounded.
        along, chord = self._direction(p, q), _unit(q - p)
        u = u - 2 * dot(along, u)[..., None] * along
        u = u - 2 * dot(chord, u)[..., None] * chord
        return _like(p, u * (one_minus_square(q) / one_minus_square(p))[..., None])

    def _direction(self, p: Any, q: Any) -> Any:
        """The unit vector, of flat length, from p towards q; zero where they are equal."""
        step = q - p
        return _unit(one_minus_square(p)[..., None] * step - dot(step, step)[..., None] * p)

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        xp = namespace(x)
        return xp.astype(x, xp.float64)

    def weight(self, p: Any) -> Any:
        inside = one_minus_square(p)
        return 1 / where(inside > 0, inside, math.nan)

    @property
    def weight_error(self) -> float:
        # One rounding of the reciprocal, one of the sum; and what the sum lost, where it is small.
        return 2.0**-52 + 2 * (self.n + 1) ** 2 * 2.0**-54

    def rank_to_dist(self, rank: Any) -> Any:
        return 2 * self.radius * asinh(sqrt(rank))

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        square = sum(((a - b) * (a - b) for a, b in zip(p, q, strict=True)), Decimal(0))
        inside = [1 - sum((a * a for a in each), Decimal(0)) for each in (p, q)]
        return square / (inside[0] * inside[1])


def _left_to_rim(x: Any) -> Any:
    """1 - |x|^2 of any rows: coordinates that are far out, or no numbers, count as 2."""
    return one_minus_square(where(namespace(x).abs(x) <= 2, x, 2.0))


def _half_sinh(p: Any, q: Any) -> Any:
    """sinh(d / 2) in curvature -1."""
    xp = namespace(p, q)
    return norm(q - p) / xp.sqrt(one_minus_square(p) * one_minus_square(q))


def _unit(v: Any) -> Any:
    length = norm(v)[..., None]
    return v / where(length > 0, length, 1.0)


def _like(p: Any, values: Any) -> Any:
    """Factors are float64; what a method gives has the dtype of its points."""
    return namespace(values).astype(values, p.dtype)
