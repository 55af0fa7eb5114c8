"""Matrices with the flat metric."""

import math
from dataclasses import dataclass
from typing import Any, final

from ..arrays.namespace import namespace
from .covariances import Covariances
from .euclidean import Euclidean
from .rearranged import Rearranged


@final
@dataclass(frozen=True)
class EuclideanMatrices(Rearranged, Covariances):
    """Matrices of n rows and m columns; distances are Frobenius norms of differences."""

    m: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_whole("m", 1)

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.n, self.m)

    @property
    def image(self) -> Euclidean:
        return Euclidean(math.prod(self.point_shape))

    def to_image(self, p: Any) -> Any:
        return namespace(p).reshape(p, (*p.shape[:-2], self.n * self.m))

    def from_image(self, x: Any) -> Any:
        return namespace(x).reshape(x, (*x.shape[:-1], self.n, self.m))
