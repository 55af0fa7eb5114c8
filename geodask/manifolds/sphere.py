"""The sphere: unit vectors, measured by the angle between them."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.chords import squared_chords
from ..arrays.decimals import arctangent
from ..arrays.namespace import (
    dot,
    eps,
    is_host,
    lane_sum,
    like,
    namespace,
    norm,
    sqrt,
    unit,
    where,
    wide,
    widen,
)
from ..arrays.product import FLUSHED, product_error, rounded
from ..arrays.series import atan, sinc
from ..errors import SpecError
from .base import Manifold, Queries, Rows, Targets
from .given import as_number, batch
from .radial import reflect
from .rounds import StereographicCoordinates

REACH = 1.01
"""Unit vectors rounded to bfloat16 or better are at most this long."""


@final
@dataclass(frozen=True)
class Sphere(Manifold):
    """The unit vectors of R^n with the round metric of sectional curvature K > 0.

    Points are stored on the unit sphere for every K; the curvature scales the metric alone, so
    distances are angles divided by sqrt(K), from 0 to pi / sqrt(K). Formulas: chord forms, which
    keep the digits of small angles and of angles near pi that arccos of a product loses.
    """

    curvature: float = 1.0

    smallest_n: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        curvature = as_number(self.curvature)
        if not 0 < curvature < math.inf:
            raise SpecError(
                f"A sphere has positive finite curvature, but curvature={self.curvature!r} came. "
                "Pass curvature=1.0 for the unit sphere, or use Euclidean for curvature 0."
            )
        object.__setattr__(self, "curvature", curvature)

    @property
    def dim(self) -> int:
        return self.n - 1

    @property
    def radius(self) -> float:
        """1 / sqrt(K): distances are angles times this."""
        return 1 / math.sqrt(self.curvature)

    @property
    def origin(self) -> np.ndarray:
        """The end of the first axis."""
        return np.eye(1, self.n)[0]

    @property
    def injectivity_radius(self) -> float:
        return math.pi * self.radius

    @property
    def chart(self) -> StereographicCoordinates:
        return StereographicCoordinates(self)

    @property
    def constant_curvature(self) -> float:
        return self.curvature

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        return unit(x)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v - dot(p, v)[..., None] * p

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "is the zero vector, which has no direction",
        3: "is not of unit length",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({3})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        # Unit vectors rounded to the dtype, by whatever order of summation, are off by less.
        tolerance = 2 * math.sqrt(self.n) * eps(p)
        if is_host(p) and p.ndim == 2 and (abs(self.features(p) - 1) <= tolerance / 2).all():
            return np.zeros(len(p), np.int8)  # one quick pass where nothing is near the limit
        length = norm(xp.astype(p, xp.float64))
        code = xp.astype(xp.abs(length - 1) > tolerance, xp.int8) * 3
        code = xp.where(length == 0, xp.full_like(code, 2), code)
        return xp.where(xp.isfinite(length), code, xp.full_like(code, 1))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Uniform on the sphere."""
        return self.project(np.random.default_rng(seed).standard_normal((*batch(shape), self.n)))

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return dot(u, v) / self.curvature

    def norm(self, p: Any, u: Any) -> Any:
        return norm(u) * self.radius

    def dist(self, p: Any, q: Any) -> Any:
        return 2 * self.radius * namespace(p, q).atan2(norm(p - q), norm(p + q))

    def exp(self, p: Any, u: Any) -> Any:
        x, v = wide(p), wide(u)
        t = norm(v)[..., None]
        return like(self.project(namespace(x, v).cos(t) * x + sinc(t) * v), p, u)

    def log(self, p: Any, q: Any) -> Any:
        # The part of q orthogonal to p, taken from the chord to q or, beyond a right angle, from
        # the chord to its antipode: the shorter chord has no leading digits to lose.
        xp = namespace(p, q)
        near, far = norm(q - p)[..., None], norm(q + p)[..., None]
        across = xp.where(near <= far, q - p, q + p)
        across = self.to_tangent(p, across)
        sine = norm(across)[..., None]
        angle = 2 * xp.atan2(near, far)
        u = across * (angle / where(sine > 0, sine, 1.0))
        return where(~self._at_antipode(far), u, math.nan)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        return dot(u, v)[..., None] * p

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # The reflection that exchanges p and -q. Beyond a right angle it keeps lengths however
        # p + q is rounded, which <q - p, u>, equal to <p + q, u> but for rounding, does not near
        # the antipode; up to there that has less to be rounded.
        x, y, v = wide(p), wide(q), wide(u)
        both, sound = x + y, ~self._at_antipode(norm(p + q))
        near = norm(y - x) < norm(both)
        along = namespace(x, y, v).where(near, dot(y - x, v), dot(both, v))
        share = 2 * along / where(sound, dot(both, both), math.nan)
        return like(v - share[..., None] * both, p, q, u)

    def midpoint(self, p: Any, q: Any) -> Any:
        far = norm(p + q)[..., None]
        return (p + q) / where(~self._at_antipode(far), far, math.nan)

    @property
    def unit(self) -> float:
        return self.radius

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        return self.transport(p, q, y)

    def bending(self, dist: Any) -> Any:
        return namespace(dist).cos(dist) / sinc(dist)

    def to_basis(self, p: Any, y: Any) -> Any:
        return reflect(y, _half_way(p))[..., 1:]

    def from_basis(self, p: Any, c: Any) -> Any:
        xp = namespace(p, c)
        return reflect(xp.concat([xp.zeros_like(c[..., :1]), c], axis=-1), _half_way(p))

    def _at_antipode(self, far: Any) -> Any:
        # Closer to the antipode than the rounding of two unit vectors: no direction is left.
        return far <= 2 * eps(far)

    def add_logs(self, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
        from ..arrays.logs import sphere_logs

        sphere_logs(x, weights, p, sums)

    # --- exact neighbours -----------------------------------------------------------------------

    def features(self, x: Any) -> Any:
        """1 / |x| in float64: a stored row stands for its direction."""
        xp = namespace(x)
        if is_host(x) and x.ndim == 2:
            from ..arrays.fused import row_norms

            length = row_norms(widen(x))
        else:
            x = xp.astype(x, xp.float64)
            length = sqrt(lane_sum(x * x))
        return 1 / where(length > 0, length, math.nan)

    def canonical(self, x: Any) -> Any:
        xp = namespace(x)
        return xp.astype(x, xp.float64) * self.features(x)[..., None]

    def rank(self, p: Any, q: Any) -> Any:
        """tan^2 of half the angle, which keeps its digits at both ends: |p - q|^2 / |p + q|^2."""
        near, far = p - q, p + q
        return _ratio(lane_sum(near * near), lane_sum(far * far))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        if not is_host(x.points):
            return super().pair_ranks(x, rows, y, others)
        from ..arrays.fused import pair_chords

        return _ratio(*pair_chords(x.points, x.features, rows, y.points, y.features, others))

    def rank_to_dist(self, rank: Any) -> Any:
        return 2 * self.radius * atan(sqrt(rank))

    def rank_error(self, rank: Any) -> Any:
        # Canonical points err by one rounding a coordinate and by a common factor (the reciprocal
        # of the norm, n / 16 + 4 roundings); lane sums add n / 8 + 3. In all the half angle is off
        # by at most e, and its tangent t = sqrt(rank) by e (1 + t^2) / (1 - e t); where e t reaches
        # 1 the two points may be antipodes.
        return self._widened(rank, self._angle_error)

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        # The tangent of dist / 2 is at most 1.1 times that, up to half a right angle.
        half = 0.55 * dist / self.radius
        return self._widened(rank, where(half < 0.5, half, math.inf))

    def _widened(self, rank: Any, e: Any) -> Any:
        """How far the rank may move where the half angle does by as little as e."""
        t = namespace(rank).sqrt(rank)
        near = e * t < 1
        off = where(near, e * (1 + rank) / where(near, 1 - e * t, 1.0), math.inf)
        return off * (2 * t + off)

    def dist_error(self, dist: Any, x: Rows) -> Any:
        return 2 * self.radius * self._angle_error + 2.0**-49 * dist

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """The points: a chord is no longer than its arc."""
        p = self.radius * self.canonical(x.points)
        return p, 0 * p[..., 0] + self.radius * self._angle_error

    def exact_dist(self, rank: Decimal) -> Decimal:
        half = arctangent(rank.sqrt()) if rank.is_finite() else arctangent(Decimal(1)) * 2
        return 2 * half / Decimal(self.curvature).sqrt()

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        pp, qq = (sum((a * a for a in each), Decimal(0)) for each in (p, q))
        lengths = (pp * qq).sqrt()
        product = sum((a * b for a, b in zip(p, q, strict=True)), Decimal(0))
        if lengths + product == 0:
            return Decimal("Infinity")
        return (lengths - product) / (lengths + product)

    def rough_ranks(self, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return squared_chords(p, q)

    @property
    def _angle_error(self) -> float:
        return (self.n / 8 + 12) * 2.0**-52

    def queries(self, x: Rows, precision: str) -> Queries:
        # With u = a + da and v = b + db for the rounded operands a and b:
        # |a.b - u.v| <= |da| |b| + |u| |db|, and the product adds product_error(n) |a| |b|.
        operand, lost, _ = rounded(x.points, self._origin(x), x.features, precision)
        product = product_error(self.n) * REACH**2 + self.n * FLUSHED + 8 * self._angle_error
        return Queries(operand, REACH * lost + product, None)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        xp = namespace(y.points)
        operand, lost, _ = rounded(y.points, self._origin(y), y.features, precision)
        lost = REACH * lost
        nobody = xp.zeros((0,), dtype=xp.int64)
        return Targets(operand, float(xp.max(lost)), lost, nobody)

    def score(self, rank: Any, queries: Queries) -> Any:
        """The cosine; pairs of equal rank differ in theirs by less than eight angle errors."""
        finite = namespace(rank).isfinite(rank)
        r = where(finite, rank, 0.0)
        return where(finite, (1 - r) / (1 + r) - 8 * self._angle_error, -math.inf)

    def _origin(self, x: Rows) -> Any:
        xp = namespace(x.features)
        return xp.zeros_like(xp.astype(x.points[0, ...], xp.float64))


def _half_way(p: Any) -> Any:
    """The direction of p plus that end of the first axis which is nearer: the reflection along it
    takes p to the axis, so the coordinates but the first are those across p."""
    xp = namespace(p)
    end = xp.where(p[..., :1] < 0, -xp.ones_like(p[..., :1]), xp.ones_like(p[..., :1]))
    return unit(xp.concat([p[..., :1] + end, p[..., 1:]], axis=-1))


def _ratio(near: Any, far: Any) -> Any:
    """near / far, and infinity at the antipode, where far is 0."""
    return where(far > 0, near / where(far > 0, far, 1.0), math.inf)
