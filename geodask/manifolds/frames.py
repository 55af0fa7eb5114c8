"""Tangent vectors as rows of numbers: in frames, which are made for speed, and by coordinates."""

from collections.abc import Callable
from typing import Any

from ..arrays.namespace import wide
from ..errors import PointShapeError


class Frames:
    """A manifold with a frame at every canonical point: components whose inner product is the flat
    one, in units of curvature 1, 0 or -1, as many as are convenient. Coordinates are made of them:
    orthonormal, `dim` of them, in the unit of the metric.
    """

    n: int
    dim: Any
    exp: Callable[..., Any]
    log: Callable[..., Any]
    canonical: Callable[..., Any]

    @property
    def unit(self) -> float:
        """Distances are this times those of curvature 1, 0 or -1, in which frames are."""
        return 1.0

    @property
    def frame_columns(self) -> int:
        """How many components a tangent vector has in a frame."""
        return self.n

    def to_frame(self, p: Any, u: Any) -> Any:
        """Tangent vectors at a canonical point as components whose inner product is the flat one,
        float64: (..., columns)."""
        return u

    def from_frame(self, p: Any, y: Any) -> Any:
        """The tangent vectors at p with these components."""
        return y

    def log_frame(self, p: Any, q: Any) -> Any:
        """The log as such components."""
        return self.to_frame(p, self.log(p, q))

    def exp_frame(self, p: Any, y: Any) -> Any:
        """exp of the tangent vectors with these components."""
        return self.exp(p, self.from_frame(p, y))

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        """Components at p as those at q: an isometry, near the identity where q is near p."""
        return y

    def to_basis(self, p: Any, y: Any) -> Any:
        """Components in a frame as `dim` ones, in an orthonormal basis of the tangent space:
        themselves, but where a frame has more."""
        return y

    def from_basis(self, p: Any, c: Any) -> Any:
        """The components in the frame of those in the basis."""
        return c

    def coordinates(self, p: Any, u: Any) -> Any:
        """Tangent vectors at p by orthonormal coordinates, whose inner product is `inner`, float64:
        (..., dim)."""
        p = self.canonical(p)
        return self.unit * self.to_basis(p, self.to_frame(p, wide(u)))

    def from_coordinates(self, p: Any, c: Any) -> Any:
        """The tangent vectors at p with these coordinates.

        Raises PointShapeError where there are not `dim` in a row.
        """
        p = self.canonical(p)
        return self.from_frame(p, self._in_frame(p, c))

    def log_coordinates(self, p: Any, q: Any) -> Any:
        """Those of log(p, q)."""
        p = self.canonical(p)
        return self.unit * self.to_basis(p, self.log_frame(p, self.canonical(q)))

    def exp_coordinates(self, p: Any, c: Any) -> Any:
        """exp of the tangent vectors at p with these coordinates, as `from_coordinates`."""
        p = self.canonical(p)
        return self.exp_frame(p, self._in_frame(p, c))

    def _in_frame(self, p: Any, c: Any) -> Any:
        """Coordinates as components in the frame."""
        if not c.ndim or c.shape[-1] != self.dim:
            raise PointShapeError(
                f"Tangent vectors of {self} have rows of {self.dim} coordinates",
                came=f"an array of shape {tuple(c.shape)} came",
                do=f"Pass one of shape (..., {self.dim}).",
            )
        return self.from_basis(p, wide(c)) / self.unit
