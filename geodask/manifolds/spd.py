"""What the metrics on symmetric positive definite matrices share: the matrices."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays.matrices import finite_or_unit, is_finite, lowest_and_highest, symmetric, transpose
from ..arrays.namespace import eps, namespace, where, wide
from .base import Manifold
from .coordinates import LowerTriangle
from .covariances import Covariances
from .given import batch


@dataclass(frozen=True)
class SPD(Manifold, Covariances):
    """Symmetric positive definite n x n matrices, in a metric that a subclass states.

    A stored matrix stands for its symmetric part. One whose least eigenvalue may be the rounding of
    its dtype counts as singular. Tangent vectors are symmetric matrices.
    """

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.n, self.n)

    @property
    def dim(self) -> int:
        return self.n * (self.n + 1) // 2

    @property
    def origin(self) -> np.ndarray:
        """The unit matrix."""
        return np.eye(self.n)

    @property
    def chart(self) -> LowerTriangle:
        return LowerTriangle(self)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The symmetric part. NaN where that is not positive definite: none is the nearest."""
        part = symmetric(x)
        least, largest = lowest_and_highest(wide(part))
        positive = least > rounding(self.n, eps(x)) * largest
        return where(positive[..., None, None], part, math.nan)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return symmetric(v) + namespace(p, v).zeros_like(p)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "is not symmetric",
        3: "is not positive definite",
        4: "is singular, as after an average reference",
    }
    remedies: ClassVar[dict[int, str]] = {
        4: "Take singular matrices as points of gd.EuclideanMatrices(n, n) and make them definite: "
        "gd.shrink, or gd.compress to their gd.common_span."
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({2})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        finite, share = is_finite(p), rounding(self.n, eps(p))
        tolerance = unevenness(self.n, eps(p))
        p = finite_or_unit(wide(p))
        size = xp.max(xp.abs(p), axis=(-2, -1))
        uneven = xp.max(xp.abs(p - transpose(p)), axis=(-2, -1)) > tolerance * size
        code = xp.astype(uneven, xp.int8) * 2
        least, largest = lowest_and_highest(symmetric(p))
        sign = xp.where(-least > tolerance * largest, xp.full_like(code, 3), xp.full_like(code, 4))
        code = xp.where(least > share * largest, code, sign)
        return xp.where(finite, code, xp.full_like(code, 1))

    def near_limit(self, x: Any) -> Any:
        """Whether rounding may move the least eigenvalue by a sixteenth or more of itself: such a
        matrix is ill-conditioned."""
        least, largest = lowest_and_highest(self.canonical(x))
        return least <= 16 * rounding(self.n, eps(x)) * largest

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Exponentials of symmetric matrices whose entries have standard deviation 1 / sqrt(n)."""
        normal = np.random.default_rng(seed).standard_normal((*batch(shape), *self.point_shape))
        values, vectors = np.linalg.eigh(symmetric(normal) * math.sqrt(2 / self.n))
        return symmetric((vectors * np.exp(values)[..., None, :]) @ transpose(vectors))

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        return symmetric(wide(x))


def unevenness(n: int, eps: float) -> float:
    """What rounding may make of the difference of two entries that are equal, as a share of the
    largest."""
    return 16 * n * eps


def rounding(n: int, eps: float) -> float:
    """What rounding may make of an eigenvalue that is 0, as a share of the largest: that of finding
    a factor (`arrays.matrices.is_definite`), that of entries and sums in their dtype, whose epsilon
    is told, or that of float32 signals, whose squares were summed in a wider one."""
    return max(n * (n + 1) * 2.0**-52, 4 * eps, 2.0**-46)
