"""What the metrics on symmetric positive definite matrices share: the matrices."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays.matrices import finite_or_unit, is_finite, lowest_and_highest, symmetric, transpose
from ..arrays.namespace import eps, namespace, where, wide
from .base import Manifold


@dataclass(frozen=True)
class SPD(Manifold):
    """Symmetric positive definite n x n matrices, in a metric that a subclass states.

    A stored matrix stands for its symmetric part. Tangent vectors are symmetric matrices.
    """

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.n, self.n)

    @property
    def dim(self) -> int:
        return self.n * (self.n + 1) // 2

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The symmetric part. NaN where that is not positive definite: none is the nearest."""
        part = symmetric(x)
        return where(self._is_positive(part)[..., None, None], part, math.nan)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return symmetric(v) + namespace(p, v).zeros_like(p)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "is not symmetric",
        3: "is not positive definite",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({2})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        finite, tolerance = is_finite(p), 16 * self.n * eps(p)
        p = finite_or_unit(wide(p))
        largest = xp.max(xp.abs(p), axis=(-2, -1))
        uneven = xp.max(xp.abs(p - transpose(p)), axis=(-2, -1)) > tolerance * largest
        code = xp.astype(uneven, xp.int8) * 2
        code = xp.where(self._is_positive(symmetric(p)), code, xp.full_like(code, 3))
        return xp.where(finite, code, xp.full_like(code, 1))

    def _is_positive(self, p: Any) -> Any:
        """Whether the least eigenvalue is one, whatever rounding does to it."""
        least, largest = lowest_and_highest(wide(p))
        return least > self.n * 2.0**-52 * largest

    def near_limit(self, x: Any) -> Any:
        """Whether rounding of the stored numbers moves the least eigenvalue by a sixteenth or more
        of itself: such a matrix is ill-conditioned."""
        least, largest = lowest_and_highest(self.canonical(x))
        return least <= 16 * self.n * eps(x) * largest

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Exponentials of symmetric matrices whose entries have standard deviation 1 / sqrt(n)."""
        shape = (shape,) if isinstance(shape, int) else shape
        normal = np.random.default_rng(seed).standard_normal((*shape, *self.point_shape))
        values, vectors = np.linalg.eigh(symmetric(normal) * math.sqrt(2 / self.n))
        return symmetric((vectors * np.exp(values)[..., None, :]) @ transpose(vectors))

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        return symmetric(wide(x))
