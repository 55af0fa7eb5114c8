"""A space whose points are those of another one, written in another order or shape."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ..arrays.namespace import namespace
from .isometric import Isometric


@dataclass(frozen=True)
class Rearranged(Isometric):
    """A space carried over by a map that only moves coordinates: so it moves tangent vectors too.

    A subclass states the other space and the map, there and back.
    """

    @property
    def complaint_texts(self) -> dict[int, str]:
        """Those of the other space."""
        return dict(self.image.complaint_texts)

    @property
    def mended_by_project(self) -> frozenset[int]:
        """As there."""
        return self.image.mended_by_project

    @property
    def remedies(self) -> dict[int, str]:
        """As there."""
        return self.image.remedies

    def project(self, x: Any) -> Any:
        """As there."""
        return self.from_image(self.image.project(self.to_image(x)))

    def to_tangent(self, p: Any, v: Any) -> Any:
        return self.from_image(self.image.to_tangent(self.to_image(p), self.to_image(v)))

    def complaints(self, p: Any) -> Any:
        return self.image.complaints(self.to_image(p))

    def near_limit(self, x: Any) -> Any:
        return self.image.near_limit(self.to_image(x))

    def room(self, p: Any) -> Any:
        return self.image.room(self.to_image(p))

    def extent(self, p: Any) -> Any:
        return self.image.extent(self.to_image(p))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """As there."""
        return self.from_image(self.image.random(shape, seed))

    def canonical(self, x: Any) -> Any:
        return self.from_image(self.image.canonical(self.to_image(x)))

    def push(self, p: Any, u: Any) -> Any:
        return self.to_image(u + namespace(p, u).zeros_like(p))

    def pull(self, p: Any, y: Any) -> Any:
        x = self.from_image(y)
        return x + namespace(p, x).zeros_like(p)

    @property
    def has_connection(self) -> bool:
        """As there: the map is linear."""
        return self.image.has_connection

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        return self.from_image(self.image.connection(*map(self.to_image, (p, u, v))))

    def blur(self, p: Any) -> Any:
        return self.image.blur(self.to_image(p))

    def exact_image(self, p: Any) -> list[Decimal]:
        return self.to_image(np.array(p, object)).tolist()
