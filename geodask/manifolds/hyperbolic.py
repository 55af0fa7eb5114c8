"""What the models of hyperbolic space share: curvature, conversions, and exact neighbours.

Every model sees a point from the origin (`to_polar`) and a tangent vector in the orthonormal frame
that is carried there along the radius (`to_frame`), so each converts to each other.

The rank is sinh^2(dist / 2) in curvature -1. In coordinates of the ball or the half-space it is a
weighted squared difference, |p - q|^2 w(p) w(q). Ranks span dozens of powers of ten, and a product
of matrices loses the small ones; the difference of two floats is right to half a unit, so there the
whole is right to a small share of itself.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..arrays.difference import Differences, weighted_squares
from ..arrays.namespace import dot, is_host, lane_sum, namespace, norm, root, sqrt, where, widen
from ..arrays.product import FLUSHED
from ..arrays.series import asinh, sinhc
from ..arrays.threads import over_rows
from ..errors import SpecError
from .base import Manifold, Queries, Rows, Targets
from .radial import reflect, unit_or_zero

STRIP = 32
"""Rows whose distances to all others are computed at once."""

LEEWAY = 2.0**-12
"""What differences of rounded coordinates may be off by, as a share, so that beyond it the loss is
bounded by the rounding alone: |a + e|^2 <= (1 + s) |a|^2 + (1 + 1/s) |e|^2."""


@dataclass(frozen=True)
class Hyperbolic(Manifold):
    """Hyperbolic space of sectional curvature K < 0 in one of its models.

    Stored coordinates are those of curvature -1; K scales the metric alone. Floats end: in each
    model points reach to a distance of 8.3, 17.3 and 37.4 over sqrt(-K) from the origin in float16,
    float32 and float64, where neighbouring floats are about one unit of curvature apart.
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

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        3: "lies farther out than its dtype can tell apart: at most 8.3 / sqrt(-K) from the origin "
        "in float16, 17.3 in float32, 37.4 in float64",
    }

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Directions uniform, distances from the origin uniform between 0 and 4 / sqrt(-K)."""
        shape = (shape,) if isinstance(shape, int) else shape
        rng = np.random.default_rng(seed)
        v = rng.standard_normal((*shape, self.dim))
        return self.from_polar(v / norm(v)[..., None], 4 * rng.random(shape))

    # --- models ---------------------------------------------------------------------------------

    @abstractmethod
    def to_polar(self, p: Any) -> tuple[Any, Any]:
        """Directions (..., dim) in which points lie from the origin, and distances in curvature -1.

        float64. At the origin the direction is any.
        """

    @abstractmethod
    def from_polar(self, direction: Any, radius: Any) -> Any:
        """The points that lie there, float64."""

    @abstractmethod
    def to_frame(self, p: Any, u: Any) -> Any:
        """Tangent vectors in the frame carried from the origin along the radius: (..., dim).

        float64, orthonormal in curvature -1.
        """

    @abstractmethod
    def from_frame(self, p: Any, y: Any) -> Any:
        """The tangent vectors at p with these components."""

    def convert(self, p: Any, to: "Hyperbolic") -> Any:
        """The same points in another model, in their dtype.

        Raises SpecError where the other is of another dimension or curvature.
        """
        self._check_model(to)
        return like(p, to.from_polar(*self.to_polar(p)))

    def convert_tangent(self, p: Any, u: Any, to: "Hyperbolic") -> Any:
        """The tangent vectors u at p as those at the same points in another model."""
        self._check_model(to)
        return like(p, to.from_frame(to.from_polar(*self.to_polar(p)), self.to_frame(p, u)))

    def _check_model(self, to: Any) -> None:
        if not isinstance(to, Hyperbolic) or (to.dim, to.curvature) != (self.dim, self.curvature):
            raise SpecError(
                f"{self} has models of dimension {self.dim} and curvature {self.curvature}",
                came=f"{to} came",
                do="Pass another model of the same space.",
            )

    # --- functions ------------------------------------------------------------------------------

    def dist_to_origin(self, p: Any) -> Any:
        """Distance from the origin: (...,)."""
        return like(p, self.radius * self.to_polar(p)[1])

    def dist_to_hyperplane(self, p: Any, q: Any, normal: Any) -> Any:
        """Signed distance of p to the geodesic hyperplane through q across the tangent ``normal``.

        Positive on the side to which the normal points. NaN where the normal is zero. With u the
        velocity from q to p of length d, sinh(dist) = sinh(d) <u, normal> / (d |normal|) (Ganea et
        al., Hyperbolic neural networks, 2018).
        """
        xp = namespace(p, q)
        u = self.log(q, p)
        length = self.norm(q, normal)
        across = self.inner(q, u, normal) / where(length > 0, length, math.nan) / self.radius
        return self.radius * xp.asinh(across * sinhc(self.norm(q, u) / self.radius))

    def busemann(self, p: Any, direction: Any) -> Any:
        """The Busemann function of the ideal point in a unit direction from the origin: (...,).

        The limit of dist(p, g(t)) - t along the ray g from the origin: 0 at the origin, negative
        towards the ideal point. It is log(cosh r - sinh r <n, direction>) for p at the distance r
        in the direction n.
        """
        xp = namespace(p)
        n, r = self.to_polar(p)
        step = n - direction
        return like(p, self.radius * xp.log(xp.exp(-r) + xp.sinh(r) * dot(step, step) / 2))

    # --- exact neighbours -----------------------------------------------------------------------

    def rank_to_dist(self, rank: Any) -> Any:
        return 2 * self.radius * asinh(sqrt(rank))

    def dist(self, p: Any, q: Any) -> Any:
        rank = self.rank(self.canonical(p), self.canonical(q))
        return like(p, 2 * self.radius * namespace(p, q).asinh(root(rank)))


class Chart(NamedTuple):
    """Rows in coordinates whose weighted squared differences are ranks."""

    weights: Any
    """(rows,) float64."""
    points: Any
    """(rows, columns)"""
    low: Any
    """What rounding took away from the points, or None where they are exact."""

    def take(self, rows: Any) -> "Chart":
        """Some of the rows."""
        xp = namespace(self.weights)
        parts = (None if each is None else xp.take(each, rows, axis=0) for each in self)
        return Chart._make(parts)

    def step(self, other: "Chart") -> Any:
        """Differences of points, to the last digits, float64."""
        xp = namespace(self.weights)
        step = xp.astype(self.points, xp.float64) - xp.astype(other.points, xp.float64)
        return step if self.low is None else step + (self.low - other.low)


@dataclass(frozen=True)
class WeightedDifference(Hyperbolic):
    """The part that finds neighbours by |a - b|^2 w(p) w(q); a subclass states the chart."""

    @abstractmethod
    def chart(self, x: Any) -> Chart:
        """The chart's coordinates of stored rows, and the weights, the same bytes everywhere."""

    @property
    @abstractmethod
    def weight_error(self) -> float:
        """The relative error of a weight."""

    chart_error: ClassVar[float] = 0.0
    """How far a row of the chart may be from its point, without what is in ``low``."""
    root_error: ClassVar[float] = 0.0
    """How far it may be with that, for both rows, times the largest weight."""
    scale: ClassVar[float] = 1.0
    """What scores are multiplied with, so that float32 holds them."""

    def features(self, x: Any) -> Chart:
        return self.chart(x)

    def rank(self, p: Any, q: Any) -> Any:
        return _ranks(self.chart(p), self.chart(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        a, b = x.features, y.features
        if not is_host(a.points) or a.low is not None:
            return _ranks(a.take(rows), b.take(others))
        from ..arrays.fused import pair_squares

        squares = pair_squares(a.points, rows, b.points, others)
        return squares * (a.weights[rows] * b.weights[others])

    def rank_error(self, rank: Any) -> Any:
        # Two roundings a square, n / 8 + 3 in the lane sum, two in the weights and their product;
        # two more in a step with its low parts, whose end moves the root of the rank. And squares
        # that leave float64 downwards, times the largest weights, 2^53 each.
        share = (self.n / 8 + 13) * 2.0**-53 + 2.01 * self.weight_error
        off = self.root_error
        return share * rank + (2 * rank**0.5 + off) * off + self.n * 2.0**-960

    def queries(self, x: Rows, precision: str) -> Queries:
        # The score is -|x - y|^2 w(y). In float32 a difference, its square, n additions, the weight
        # and the product with it round once each, n + 4 in all; float64 rows are taken in float64
        # and rounded once. The kernel rounds bounds to float32, by two units at most. The ranks
        # themselves are rounded too, by far less.
        share = 1.01 * (self.n + 6) * 2.0**-24 + 4 * (self.n + 16) * 2.0**-53
        share = share + 4 * self.weight_error + (1.01 * LEEWAY if self.chart_error else 0.0)
        weights = x.features.weights
        slack = 0 * weights  # but NaN where a row is no point, so that it is not certified
        return Queries(x.features.points, slack, weights, share, Differences)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        xp = namespace(frame)
        points = y.features.points
        scaled = self.scale * y.features.weights
        lost = FLUSHED * (1 + self.n * scaled)
        lost = lost + 1.01 * (2 * self.chart_error) ** 2 / LEEWAY * scaled
        operand = xp.concat([points, xp.astype(scaled, points.dtype)[:, None]], axis=1)
        nobody = xp.zeros((0,), dtype=xp.int64)
        return Targets(operand, float(xp.max(lost)), lost, nobody)

    def score(self, rank: Any, queries: Queries) -> Any:
        return -self.scale * rank / queries.frame


@dataclass(frozen=True)
class Conformal(WeightedDifference):
    """The models inside flat space whose metric is the flat one times (2 w)^2: angles are flat."""

    @abstractmethod
    def weight(self, p: Any) -> Any:
        """w(p), half the factor by which the flat length grows: float64."""

    @abstractmethod
    def bend(self, p: Any) -> Any:
        """Minus half the gradient of 1 / w: geodesics bend away from it."""

    def chart(self, x: Any) -> Chart:
        return Chart(self.weight(self.canonical(x)), widen(x), None)

    def canonical(self, x: Any) -> Any:
        xp = namespace(x)
        return xp.astype(x, xp.float64)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return like(p, dot(u, v) * (2 * self.radius * self.weight(p)) ** 2)

    def norm(self, p: Any, u: Any) -> Any:
        return like(p, norm(u) * (2 * self.radius * self.weight(p)))

    def dist(self, p: Any, q: Any) -> Any:
        return like(p, 2 * self.radius * namespace(p, q).asinh(self._half_sinh(p, q)))

    def pairwise(self, p: Any, q: Any) -> Any:
        if not (is_host(p) and is_host(q)):
            return super().pairwise(p, q)
        out = np.empty((len(p), len(q)), np.result_type(p, q))
        left = self.weight(p)
        columns = np.concatenate([q.T, -self.weight(q)[None, :]])

        def fill(start: int, stop: int) -> None:
            for low in range(start, stop, STRIP):
                rows = slice(low, min(low + STRIP, stop))
                ranks = weighted_squares(p[rows], columns) * left[rows, None]
                out[rows] = 2 * self.radius * np.arcsinh(np.sqrt(ranks))

        over_rows(fill, len(p), len(q) * self.n)
        return out

    def log(self, p: Any, q: Any) -> Any:
        length = namespace(p, q).asinh(self._half_sinh(p, q)) / self.weight(p)
        return like(p, self._direction(p, q) * length[..., None])

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # The translation along the geodesic is two reflections: in the hyperplane across it at p,
        # and in the one half-way, an inversion that takes p to q along the line through both. As
        # reflections they keep lengths however the points are rounded.
        u = reflect(reflect(u, self._direction(p, q)), unit_or_zero(q - p))
        return like(p, u * (self.weight(p) / self.weight(q))[..., None])

    def _half_sinh(self, p: Any, q: Any) -> Any:
        """sinh(dist / 2) in curvature -1."""
        return norm(q - p) * root(self.weight(p) * self.weight(q))

    def _direction(self, p: Any, q: Any) -> Any:
        """The unit vector, of flat length, from p towards q; zero where they are equal."""
        step = q - p
        bent = step / self.weight(p)[..., None] - dot(step, step)[..., None] * self.bend(p)
        return unit_or_zero(bent)


def like(p: Any, values: Any) -> Any:
    """Factors are float64; what a method gives has the dtype of its points."""
    return namespace(values).astype(values, p.dtype)


def _ranks(a: Chart, b: Chart) -> Any:
    step = a.step(b)
    return lane_sum(step * step) * (a.weights * b.weights)
