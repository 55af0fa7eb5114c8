"""Orthonormal frames as a surface in flat space."""

import math
from dataclasses import dataclass
from typing import Any, final

from ..arrays.matrices import flat
from .stiefel import Stiefel


@final
@dataclass(frozen=True)
class StiefelEuclidean(Stiefel):
    """n x k matrices with orthonormal columns, k < n, by the metric of their entries.

    That of tangent vectors is tr(u^T v) (Edelman, Arias and Smith, The geometry of algorithms with
    orthogonality constraints, 1998). `log` is found by shooting: up to the injectivity radius it is
    the shortest, beyond it may not be, and it is NaN where none is found; so neighbours are never
    certified. Chords are no longer.
    """

    @property
    def weight(self) -> float:
        return 1.0

    @property
    def injectivity_radius(self) -> float:
        """Zimmermann and Stoye, The injectivity radius of the compact Stiefel manifold under the
        Euclidean metric, 2024."""
        return math.pi

    def to_frame(self, p: Any, u: Any) -> Any:
        return flat(u)

    def from_frame(self, p: Any, y: Any) -> Any:
        return self._matrices(y)
