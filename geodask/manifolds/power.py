"""Several points of one space as one point."""

import math
from dataclasses import dataclass, field
from typing import Any, final

from ..errors import SpecError
from .base import Manifold
from .composite import Composite
from .given import as_weight
from .parts import Part


@final
@dataclass(frozen=True)
class Power(Composite):
    """``m`` points of one space at once, rows of shape (m, *its shape).

    dist^2 is the sum over them, times ``weight``.
    """

    n: int = field(init=False, repr=False, default=0)
    factor: Manifold
    m: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        factor = self.factor
        factor = Manifold.from_spec(factor) if isinstance(factor, dict) else factor
        object.__setattr__(self, "factor", factor)
        self._keep_whole("m", 1)
        object.__setattr__(self, "n", self.m)
        if not isinstance(factor, Manifold) or math.isnan(as_weight(self.weight)):
            raise SpecError(
                "Power(factor, m, weight) needs a manifold and a positive finite weight",
                came=f"{factor!r} and {self.weight!r} came",
                do="Pass such as gd.Power(gd.Sphere(3), 5).",
            )
        object.__setattr__(self, "weight", as_weight(self.weight))

    def to_spec(self) -> dict[str, Any]:
        spec = {"factor": self.factor.to_spec(), "m": self.m, "weight": self.weight}
        return {"manifold": "Power", **spec}

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.m, *self.factor.point_shape)

    @property
    def parts(self) -> tuple[Part, ...]:
        return (Part(self.factor, self.m, self.weight),)

    def split(self, x: Any) -> list[Any]:
        return [x]

    def join(self, values: list[Any]) -> Any:
        return values[0]
