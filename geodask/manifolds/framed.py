"""Models of hyperbolic space whose geometry is computed from directions and distances."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from ..arrays.namespace import dot, like, namespace
from . import radial
from .hyperbolic import Hyperbolic


@dataclass(frozen=True)
class Framed(Hyperbolic):
    """The geometry of `radial` in a model that stores a coordinate more than it has dimensions.

    A subclass says how its tangent vectors are stored.
    """

    smallest_n: ClassVar[int] = 2

    @property
    def dim(self) -> int:
        return self.n - 1

    @property
    def working_bytes(self) -> int:
        return 48  # coordinates in double-double, and the halves of the factors of its products

    @abstractmethod
    def parts(self, p: Any, u: Any) -> tuple[Any, Any]:
        """A tangent vector along the radius (...,) and across it (..., dim), orthonormal."""

    @abstractmethod
    def tangent(self, p: Any, along: Any, across: Any) -> Any:
        """The tangent vector at p with these parts."""

    @abstractmethod
    def way(self, p: Any, q: Any) -> tuple[Any, Any]:
        """From the direction of p to that of q, to more digits than they have; the radius of q."""

    def to_frame(self, p: Any, u: Any) -> Any:
        along, across = self.parts(p, u)
        return across + along[..., None] * self.to_polar(p)[0]

    def from_frame(self, p: Any, y: Any) -> Any:
        return self.tangent(p, *radial.parts(self.to_polar(p)[0], y))

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        (along, across), (along_v, across_v) = self.parts(p, u), self.parts(p, v)
        return like(self.radius**2 * (along * along_v + dot(across, across_v)), p, u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return like(self.radius * radial.whole(*self.parts(p, u)), p, u)

    def exp(self, p: Any, u: Any) -> Any:
        return like(self.from_polar(*radial.exp(*self.to_polar(p), *self.parts(p, u))), p, u)

    def log(self, p: Any, q: Any) -> Any:
        return like(self.tangent(p, *self._velocity(p, q, 1.0)), p, q)

    @property
    def frame_columns(self) -> int:
        return self.dim

    def log_frame(self, p: Any, q: Any) -> Any:
        along, across = self._velocity(p, q, 1.0)
        return across + along[..., None] * self.to_polar(p)[0]

    def exp_frame(self, p: Any, y: Any) -> Any:
        direction, radius = self.to_polar(p)
        return self.from_polar(*radial.exp(direction, radius, *radial.parts(direction, y)))

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        carried = radial.transport(*self.to_polar(p), *self.way(p, q), self.parts(p, u))
        return like(self.tangent(q, *carried), p, q, u)

    def geodesic(self, p: Any, q: Any, t: Any) -> Any:
        # Not by way of a stored tangent vector, which far out has few digits left of a direction.
        xp = namespace(p, q)
        t = xp.asarray(t, dtype=xp.float64)
        found = radial.exp(*self.to_polar(p), *self._velocity(p, q, t))
        return like(self.from_polar(*found), p, q)

    def _velocity(self, p: Any, q: Any, t: Any) -> tuple[Any, Any]:
        """t times the velocity from p to q."""
        length = t * self.dist(self.canonical(p), q) / self.radius
        along, across = radial.towards(*self.to_polar(p), *self.way(p, q))
        return length * along, length[..., None] * across
