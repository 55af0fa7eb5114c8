"""Products of different spaces, such as those of mixed curvature that graphs are embedded into."""

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from ..arrays.namespace import namespace
from ..errors import SpecError
from .base import Manifold
from .composite import Composite
from .given import as_weight, in_order
from .parts import Part


@final
@dataclass(frozen=True)
class Product(Composite):
    """Points of several spaces side by side: dist^2 is the sum of theirs, times ``weights``.

    A row holds the coordinates of all, each space's flattened and one after the other, as
    `Product((PoincareBall(2), Sphere(3), Euclidean(2)))` has rows of 7 (Gu, Sala, Gunel and Re,
    Learning mixed-curvature representations in product spaces, 2019).
    """

    n: int = field(init=False, repr=False, default=0)
    factors: tuple[Manifold, ...]
    weights: tuple[float, ...] = ()
    """One for each space, 1 where none are given."""

    def __post_init__(self) -> None:
        given = in_order(self.factors)
        factors = tuple(Manifold.from_spec(x) if isinstance(x, dict) else x for x in given)
        weights = tuple(map(as_weight, in_order(self.weights))) or (1.0,) * len(factors)
        sound = factors and all(isinstance(each, Manifold) for each in factors)
        if not sound or len(weights) != len(factors) or any(map(math.isnan, weights)):
            raise SpecError(
                "Product(factors, weights) needs manifolds, and for each a positive finite weight",
                came=f"{self.factors!r} and {self.weights!r} came",
                do="Pass such as gd.Product((gd.Sphere(3), gd.Euclidean(2)), weights=(1.0, 0.5)).",
            )
        object.__setattr__(self, "factors", factors)
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "n", sum(each.size for each in factors))

    def to_spec(self) -> dict[str, Any]:
        factors = [each.to_spec() for each in self.factors]
        return {"manifold": "Product", "factors": factors, "weights": list(self.weights)}

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(Part(each, 1, w) for each, w in zip(self.factors, self.weights, strict=True))

    def split(self, x: Any) -> list[Any]:
        stops = itertools.accumulate(each.size for each in self.factors)
        xp, batch = namespace(x), x.shape[:-1]
        return [
            xp.reshape(x[..., stop - each.size : stop], (*batch, 1, *each.point_shape))
            for each, stop in zip(self.factors, stops, strict=True)
        ]

    def join(self, values: list[Any]) -> Any:
        xp, flat = namespace(*values), []
        for each, x in zip(self.factors, values, strict=True):
            batch = x.shape[: x.ndim - 1 - len(each.point_shape)]
            flat.append(xp.reshape(x, (*batch, each.size)))
        batch = np.broadcast_shapes(*(x.shape[:-1] for x in flat))
        return xp.concat([xp.broadcast_to(x, (*batch, x.shape[-1])) for x in flat], axis=-1)
