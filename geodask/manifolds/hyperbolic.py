"""What the models of hyperbolic space share: curvature, conversions, and functions of points.

Every model sees a point from the origin (`to_polar`) and a tangent vector in the orthonormal frame
that is carried there along the radius (`to_frame`), so each converts to each other. The rank is
sinh^2(dist / 2) in curvature -1.
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import numpy as np

from ..arrays.namespace import dot, eps, like, namespace, norm, root, sqrt, unit, where
from ..arrays.series import asinh, sinhc
from ..errors import SpecError
from .base import Manifold, Rows
from .given import as_number, batch


@dataclass(frozen=True)
class Hyperbolic(Manifold):
    """Hyperbolic space of sectional curvature K < 0 in one of its models.

    Stored coordinates are those of curvature -1; K scales the metric alone. Floats end: but in
    polar coordinates, points reach to a distance of 8.3, 17.3 and 37.4 over sqrt(-K) from the
    origin in float16, float32 and float64, where neighbouring floats are about one unit apart.
    """

    curvature: float = -1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        curvature = as_number(self.curvature)
        if not -math.inf < curvature < 0:
            raise SpecError(
                f"Hyperbolic space has negative finite curvature, but curvature={self.curvature!r} "
                "came. Pass curvature=-1.0, or use Euclidean for curvature 0."
            )
        object.__setattr__(self, "curvature", curvature)

    @property
    def dim(self) -> int:
        return self.n

    @property
    def constant_curvature(self) -> float:
        return self.curvature

    @property
    def radius(self) -> float:
        """1 / sqrt(-K): distances are those of curvature -1 times this."""
        return 1 / math.sqrt(-self.curvature)

    @property
    def origin(self) -> np.ndarray:
        """Where the distances of `to_polar` begin."""
        return self.from_polar(np.eye(1, self.dim)[0], np.zeros(()))

    @property
    def injectivity_radius(self) -> float:
        return math.inf

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        3: "lies farther out than its dtype can tell apart: at most 8.3 / sqrt(-K) from the origin "
        "in float16, 17.3 in float32, 37.4 in float64",
    }

    def reach(self, x: Any) -> float:
        """How far from the origin points of the dtype of x may lie, in curvature -1."""
        return math.log(4 / eps(x))

    def near_limit(self, x: Any) -> Any:
        return self.to_polar(x)[1] > self.reach(x) - math.log(16)

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Directions uniform, distances from the origin uniform between 0 and 4 / sqrt(-K)."""
        rng = np.random.default_rng(seed)
        v = rng.standard_normal((*batch(shape), self.dim))
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
        self.check_model(to)
        return like(to.from_polar(*self.to_polar(p)), p)

    def convert_tangent(self, p: Any, u: Any, to: "Hyperbolic") -> Any:
        """The tangent vectors u at p as those at the same points in another model."""
        self.check_model(to)
        there = to.from_polar(*self.to_polar(p))
        return like(to.from_frame(there, self.to_frame(p, u)), p, u)

    def check_model(self, to: Any) -> None:
        """Raises SpecError where ``to`` is not a model of the same space."""
        if not isinstance(to, Hyperbolic) or (to.dim, to.curvature) != (self.dim, self.curvature):
            raise SpecError(
                f"{self} has models of dimension {self.dim} and curvature {self.curvature}",
                came=f"{to} came",
                do="Pass another model of the same space.",
            )

    @property
    def unit(self) -> float:
        return self.radius

    def _translated(self, p: Any, origin: Any, q: Any) -> Any:
        # Components in the frame stay, for it is carried from the origin along the radius.
        return self.exp_frame(origin, self.log_frame(p, q))

    def bending(self, dist: Any) -> Any:
        return namespace(dist).cosh(dist) / sinhc(dist)

    # --- functions ------------------------------------------------------------------------------

    def dist_to_origin(self, p: Any) -> Any:
        """Distance from the origin: (...,)."""
        return like(self.radius * self.to_polar(p)[1], p)

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
        """The Busemann function of the ideal point in a direction (..., dim) from the origin.

        The limit of dist(p, g(t)) - t along the ray g from the origin: 0 at the origin, negative
        towards the ideal point. It is log(cosh r - sinh r <n, direction>) for p at the distance r
        in the direction n.
        """
        xp = namespace(p)
        n, r = self.to_polar(p)
        step = n - unit(xp.astype(direction, xp.float64))
        return like(self.radius * xp.log(xp.exp(-r) + xp.sinh(r) * dot(step, step) / 2), p)

    # --- exact neighbours -----------------------------------------------------------------------

    def rank_to_dist(self, rank: Any) -> Any:
        return 2 * self.radius * asinh(sqrt(rank))

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        # sinh(a + b) - sinh(a) for a and b half of either distance.
        xp = namespace(rank)
        half = 0.5 * xp.asarray(dist / self.radius, dtype=xp.float64)
        s, sinh = rank**0.5, xp.sinh(half)
        off = s * 2 * xp.sinh(half / 2) ** 2 + (1 + rank) ** 0.5 * sinh
        return off * (2 * s + off)

    def exact_dist(self, rank: Decimal) -> Decimal:
        half = (rank.sqrt() + (rank + 1).sqrt()).ln()
        return 2 * half / Decimal(-self.curvature).sqrt()

    def dist_error(self, dist: Any, x: Rows) -> Any:
        # Far out the error of a rank is a fixed share of it, and so that of a distance is fixed.
        xp = namespace(dist)
        near = xp.minimum(dist, xp.full_like(dist, 64 * self.radius))
        return super().dist_error(near, x) + 2.0**-49 * dist

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """The logs at the origin: where the curvature is negative, exp takes points apart."""
        direction, radius = self.to_polar(self.canonical(x.points))
        # Directions and distances from the origin are right to some 32 roundings of theirs.
        return self.radius * radius[..., None] * direction, self.radius * 2.0**-46 * (1 + radius)

    def dist(self, p: Any, q: Any) -> Any:
        rank = self.rank(self.canonical(p), self.canonical(q))
        return like(2 * self.radius * namespace(p, q).asinh(root(rank)), p, q)
