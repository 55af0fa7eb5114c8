"""What spaces of matrices with orthonormal columns share: the matrices, and squared distances."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays.columns import excess, nearest, orthonormal, uniform
from ..arrays.matrices import descends, flat, is_finite, unit_like
from ..arrays.namespace import eps, like, namespace, sqrt, wide
from .base import Manifold, Rows
from .given import batch
from .shadowed import LAST_DIGITS, Shadowed


@dataclass(frozen=True)
class Orthonormal(Shadowed):
    """Matrices with orthonormal columns, of a shape and in a metric that a subclass states.

    A stored matrix stands for the nearest one whose columns are orthonormal to the last digit.
    """

    smallest_n: ClassVar[int] = 2

    @property
    @abstractmethod
    def point_shape(self) -> tuple[int, int]: ...

    # --- points ---------------------------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The factor with orthonormal columns. NaN where the columns are linearly dependent: none
        is the nearest."""
        return like(nearest(wide(x)), x)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "has columns that are not orthonormal",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({2})

    def complaints(self, p: Any) -> Any:
        xp, finite = namespace(p), is_finite(p)
        tolerance = 16 * math.sqrt(self.n) * eps(p)
        x = xp.where(finite[..., None, None], wide(p), unit_like(wide(p)))
        off = xp.max(xp.abs(excess(x)), axis=(-2, -1))
        code = xp.astype(~(off <= tolerance), xp.int8) * 2
        return xp.where(finite, code, xp.full_like(code, 1))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Uniform: of the same law after every rotation."""
        return uniform((*batch(shape), *self.point_shape), seed)

    def _matrices(self, y: Any) -> Any:
        """Rows of entries (..., n k) as matrices."""
        return namespace(y).reshape(y, (*y.shape[:-1], *self.point_shape))

    def _rest(self, p: Any) -> Any:
        """Orthonormal columns across those of p."""
        return namespace(p).linalg.qr(p, mode="complete")[0][..., self.point_shape[1] :]

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        return orthonormal(wide(x))

    def features(self, x: Any) -> Any:
        """The canonical points."""
        return self.canonical(x)

    def rank(self, p: Any, q: Any) -> Any:
        """The squared distance, measured from the same one of both: so it is symmetric."""
        xp, later = namespace(p), descends(q - p)[..., None, None]
        return self.square(xp.where(later, q, p), xp.where(later, p, q))

    @abstractmethod
    def square(self, p: Any, q: Any) -> Any:
        """The squared distance of canonical points, with the same bytes whatever the batch."""

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        xp = namespace(x.points)
        p = xp.take(x.features, rows, axis=0)
        return self.rank(p, xp.take(y.features, others, axis=0))

    def rank_to_dist(self, rank: Any) -> Any:
        return sqrt(rank)

    def rank_error(self, rank: Any) -> Any:
        return self.rank_spread(rank, self.off) + 2.0**-49 * rank

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return dist * (2 * rank**0.5 + dist)

    def dist_error(self, dist: Any, x: Rows) -> Any:
        return self.off + LAST_DIGITS * dist

    @property
    def off(self) -> float:
        """How far a computed distance may be from that of what two stored rows stand for: some
        roundings of each entry, twice, and of singular values that are at most 2."""
        return 8 * self.n * math.sqrt(self.point_shape[1]) * 2.0**-52

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        p = flat(x.features)
        return p, 0 * p[..., 0] + self.off
