"""Matrices with columns of unit length: a power of spheres."""

from dataclasses import dataclass
from typing import Any, ClassVar, final

from ..arrays.namespace import namespace
from .power import Power
from .rearranged import Rearranged
from .sphere import Sphere


@final
@dataclass(frozen=True)
class Oblique(Rearranged):
    """Matrices of n rows and m columns of unit length.

    dist^2 is the sum of the squared angles between columns, so the farthest points lie pi sqrt(m)
    apart (Absil and Gallivan, Joint diagonalization on the oblique manifold for independent
    component analysis, 2006).
    """

    m: int = 1

    smallest_n: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_whole("m", 1)

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.n, self.m)

    @property
    def image(self) -> Power:
        return Power(Sphere(self.n), self.m)

    def to_image(self, p: Any) -> Any:
        return namespace(p).matrix_transpose(p)

    def from_image(self, x: Any) -> Any:
        return namespace(x).matrix_transpose(x)
