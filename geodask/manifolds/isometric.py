"""A space carried over by a map from another one, with all that the other can do."""

from abc import abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ..arrays.namespace import like, namespace, wide
from ..arrays.threads import in_slices
from .base import Manifold, Queries, Rows, Targets, rows_of
from .charts import Chart
from .coordinates import ImageCoordinates


@dataclass(frozen=True)
class Isometric(Manifold):
    """A space whose points have images in another one, where the metric is.

    A subclass says what its points are, and the map with its differential, there and back. Every
    geodesic is that of the images, and so are neighbours, with their proofs: the images are what is
    measured.
    """

    @property
    @abstractmethod
    def image(self) -> Manifold:
        """The space that the metric comes from."""

    @abstractmethod
    def to_image(self, p: Any) -> Any:
        """The images of points."""

    @abstractmethod
    def from_image(self, x: Any) -> Any:
        """The points with these images. NaN where there is none."""

    @abstractmethod
    def push(self, p: Any, u: Any) -> Any:
        """The differential of `to_image`: tangent vectors at the images of p."""

    @abstractmethod
    def pull(self, p: Any, y: Any) -> Any:
        """Its inverse: the tangent vectors at p that are pushed to these."""

    @abstractmethod
    def blur(self, p: Any) -> Any:
        """How far apart, in the metric, the computed image of a canonical point and its image in
        real arithmetic may lie, and the blur of the image: (*batch,)."""

    @abstractmethod
    def exact_image(self, p: Any) -> list[Decimal]:
        """The image of a stored row of Decimals, to the digits of the decimal context."""

    # --- values ---------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return self.image.dim

    @property
    def origin(self) -> np.ndarray:
        return self.from_image(self.image.origin)

    @property
    def injectivity_radius(self) -> float:
        return self.image.injectivity_radius

    @property
    def is_minimal(self) -> bool:
        return self.image.is_minimal

    @property
    def chart(self) -> Chart:
        return ImageCoordinates(self)

    @property
    def constant_curvature(self) -> float | None:
        return self.image.constant_curvature

    @property
    def has_curvature(self) -> bool:
        return self.image.has_curvature

    # --- geometry: in float64, for the map may stretch what float32 has lost --------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        x, y, z = self.to_image(wide(p)), self._pushed(p, u), self._pushed(p, v)
        return like(self.image.inner(x, y, z), p, u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return like(self.image.norm(self.to_image(wide(p)), self._pushed(p, u)), p, u)

    @in_slices
    def dist(self, p: Any, q: Any) -> Any:
        return like(self.image.dist(self.to_image(wide(p)), self.to_image(wide(q))), p, q)

    @in_slices
    def exp(self, p: Any, u: Any) -> Any:
        there = self.image.exp(self.to_image(wide(p)), self._pushed(p, u))
        return like(self.from_image(there), p, u)

    @in_slices
    def log(self, p: Any, q: Any) -> Any:
        p_wide, q_wide = wide(p), wide(q)
        y = self.image.log(self.to_image(p_wide), self.to_image(q_wide))
        return like(self.pull(p_wide, y), p, q)

    @in_slices
    def transport(self, p: Any, q: Any, u: Any) -> Any:
        x, y = self.to_image(wide(p)), self.to_image(wide(q))
        there = self.image.transport(x, y, self._pushed(p, u))
        return like(self.pull(wide(q), there), p, q, u)

    def geodesic(self, p: Any, q: Any, t: Any) -> Any:
        x, y = self.to_image(wide(p)), self.to_image(wide(q))
        t = namespace(x).asarray(t, dtype=x.dtype)
        return like(self.from_image(self.image.geodesic(x, y, t)), p, q)

    @in_slices
    def midpoint(self, p: Any, q: Any) -> Any:
        x, y = self.to_image(wide(p)), self.to_image(wide(q))
        return like(self.from_image(self.image.midpoint(x, y)), p, q)

    def _translated(self, p: Any, origin: Any, q: Any) -> Any:
        return self.from_image(self.image._translated(*map(self.to_image, (p, origin, q))))

    def curvature_tensor(self, p: Any, u: Any, v: Any, w: Any) -> Any:
        if self.constant_curvature is not None:
            return super().curvature_tensor(p, u, v, w)
        x, vectors = self.to_image(p), (self.push(p, each) for each in (u, v, w))
        return self.pull(p, self.image.curvature_tensor(x, *vectors))

    def _pushed(self, p: Any, u: Any) -> Any:
        return self.push(wide(p), wide(u))

    # --- tangent vectors in a frame -------------------------------------------------------------

    @property
    def unit(self) -> float:
        return self.image.unit

    @property
    def frame_columns(self) -> int:
        return self.image.frame_columns

    def to_frame(self, p: Any, u: Any) -> Any:
        return self.image.to_frame(self._placed(p), self.push(p, u))

    def from_frame(self, p: Any, y: Any) -> Any:
        return self.pull(p, self.image.from_frame(self._placed(p), y))

    def log_frame(self, p: Any, q: Any) -> Any:
        return self.image.log_frame(self._placed(p), self._placed(q))

    def exp_frame(self, p: Any, y: Any) -> Any:
        return self.from_image(self.image.exp_frame(self._placed(p), y))

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        return self.image.carry_frame(self._placed(p), self._placed(q), y)

    def to_basis(self, p: Any, y: Any) -> Any:
        return self.image.to_basis(self._placed(p), y)

    def from_basis(self, p: Any, c: Any) -> Any:
        return self.image.from_basis(self._placed(p), c)

    def bending(self, dist: Any) -> Any:
        return self.image.bending(dist)

    def longest_step(self, size: float) -> float:
        return self.image.longest_step(size)

    def tried(self, step: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        return self.image.tried(step, gradient)

    def is_far(self, logs: np.ndarray) -> np.ndarray:
        return self.image.is_far(logs)

    def add_logs(self, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
        self.image.add_logs(self._placed(p), self.to_image(self.canonical(x)), weights, sums)

    # --- exact neighbours -----------------------------------------------------------------------

    def features(self, x: Any) -> Rows:
        """The images, with the features that they have."""
        return rows_of(self.image, self.to_image(self.canonical(x)))

    def _placed(self, p: Any) -> Any:
        """The canonical images of canonical points."""
        return self.image.canonical(self.to_image(p))

    def rank(self, p: Any, q: Any) -> Any:
        return self.image.rank(self._placed(p), self._placed(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        return self.image.pair_ranks(x.features, rows, y.features, others)

    def rank_to_dist(self, rank: Any) -> Any:
        return self.image.rank_to_dist(rank)

    def rank_error(self, rank: Any) -> Any:
        return self.image.rank_error(rank)

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return self.image.rank_spread(rank, dist)

    def rank_bound(self, rank: Any, p: Any, q: Any) -> Any:
        within = self.rank_spread(rank, self.blur(p) + self.blur(q))
        return within + self.image.rank_bound(rank + within, self._placed(p), self._placed(q))

    def dist_error(self, dist: Any, x: Rows) -> Any:
        return self.image.dist_error(dist, x.features)

    def aim(self, x: Rows) -> Any:
        return self.image.aim(x.features)

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        flat, off = self.image.shadow(x.features, aim)
        return flat, off + self.blur(self.canonical(x.points))

    def exact_dist(self, rank: Decimal) -> Decimal:
        return self.image.exact_dist(rank)

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        return self.image.exact_rank(self.exact_image(p), self.exact_image(q))

    def precision(self, asked: str) -> str:
        return self.image.precision(asked)

    @property
    def working_bytes(self) -> int:
        return self.image.working_bytes

    def queries(self, x: Rows, precision: str) -> Queries:
        return self.image.queries(x.features, precision)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        return self.image.targets(y.features, frame, precision)

    def score(self, rank: Any, queries: Queries) -> Any:
        return self.image.score(rank, queries)
