"""Orthonormal frames as rotations make them."""

import math
from dataclasses import dataclass
from typing import final

from .stiefel import Stiefel


@final
@dataclass(frozen=True)
class StiefelCanonical(Stiefel):
    """n x k matrices with orthonormal columns, k < n, by the canonical metric.

    That of tangent vectors p a + w is |a|^2 / 2 + |w|^2, so a rotation of all columns counts as in
    `Rotations` (Edelman, Arias and Smith, The geometry of algorithms with orthogonality
    constraints, 1998). `log` is found by shooting: up to the injectivity radius it is the shortest,
    beyond it may not be, and it is NaN where none is found; so neighbours are never certified.
    Chords over the root of 2 are no longer.
    """

    @property
    def weight(self) -> float:
        return 0.5

    @property
    def injectivity_radius(self) -> float:
        """A lower bound: no curvature is above 5 / 4 (Rentmeesters, Algorithms for data fitting on
        some common homogeneous spaces, 2013), and no loop shorter than 2 pi (Stoye, Mataigne, Absil
        and Zimmermann, Shortest geodesic loops, 2025). At 0.913 pi there are conjugate points."""
        return math.pi * math.sqrt(4 / 5)
