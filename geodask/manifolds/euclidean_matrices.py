"""Matrices with the flat metric."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

import numpy as np

from ..arrays.namespace import namespace
from ..errors import PointShapeError
from .euclidean import Euclidean
from .isometric import Isometric


@final
@dataclass(frozen=True)
class EuclideanMatrices(Isometric):
    """Matrices of n rows and m columns; distances are Frobenius norms of differences."""

    m: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.m, int | np.integer) or self.m < 1:
            raise PointShapeError(
                "EuclideanMatrices(n, m) needs a number of columns m of at least 1",
                came=f"m={self.m!r} came",
                do="Pass the shape of a stored matrix.",
            )
        object.__setattr__(self, "m", int(self.m))

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.n, self.m)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        return x

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v

    complaint_texts = Euclidean.complaint_texts

    def complaints(self, p: Any) -> Any:
        return self.image.complaints(self.to_image(p))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Standard normal."""
        return self.from_image(self.image.random(shape, seed))

    # --- images ---------------------------------------------------------------------------------

    @property
    def image(self) -> Euclidean:
        return Euclidean(math.prod(self.point_shape))

    def to_image(self, p: Any) -> Any:
        return namespace(p).reshape(p, (*p.shape[:-2], self.n * self.m))

    def from_image(self, x: Any) -> Any:
        return namespace(x).reshape(x, (*x.shape[:-1], self.n, self.m))

    def push(self, p: Any, u: Any) -> Any:
        return self.to_image(u + namespace(p, u).zeros_like(p))

    def pull(self, p: Any, y: Any) -> Any:
        return self.from_image(y) + namespace(p, y).zeros_like(p)

    def blur(self, p: Any) -> Any:
        return 0 * p[..., 0, 0]

    def exact_image(self, p: list[list[Decimal]]) -> list[Decimal]:
        return [x for row in p for x in row]
