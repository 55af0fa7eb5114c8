"""Charts of most spaces: stored numbers, and those of an image."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from ..arrays.matrices import diagonal, from_lower, transpose, with_diagonal
from ..arrays.namespace import dot, like, namespace, norm, wide
from ..geodesics.curvature import Metric
from .charts import ORDER, Chart
from .tangents import along, over

if TYPE_CHECKING:
    from .isometric import Isometric


@dataclass(frozen=True)
class Stored(Chart):
    """Some of the stored numbers, on which the others depend.

    Being linear in what is stored, they have the Christoffel symbols of its `connection`.
    """

    @property
    def places(self) -> np.ndarray:
        """Where they stand in a stored row: (dim,)."""
        return np.arange(self.space.dim)

    def coordinates(self, p: Any) -> Any:
        xp, shape = namespace(p), self.space.point_shape
        flat = xp.reshape(p, (*p.shape[: p.ndim - len(shape)], self.space.size))
        return xp.take(flat, xp.asarray(self.places, device=p.device), axis=-1)

    def components(self, p: Any, v: Any) -> Any:
        return self.coordinates(v)

    @property
    def has_symbols(self) -> bool:
        return self.space.has_connection

    def symbols(self, p: Any) -> Any:
        space, e = self.space, self.basis(p)
        pairs = space.connection(over(space, p, 2), along(space, e, 0, 2), along(space, e, 1, 2))
        return namespace(p).moveaxis(self.coordinates(pairs), -1, -3)


@final
@dataclass(frozen=True)
class Vectors(Stored):
    """All coordinates of a vector: of an open subset of R^n."""

    def point(self, p: Any, c: Any) -> Any:
        return c

    def vector(self, p: Any, a: Any) -> Any:
        return a + namespace(p).zeros_like(p)


@final
@dataclass(frozen=True)
class Entries(Stored):
    """All numbers of a stored array, one after the other: of an open subset of R^(m x n)."""

    def point(self, p: Any, c: Any) -> Any:
        return namespace(c).reshape(c, (*c.shape[:-1], *self.space.point_shape))

    def vector(self, p: Any, a: Any) -> Any:
        return self.point(p, a) + namespace(p).zeros_like(p)


@final
@dataclass(frozen=True)
class AllButLast(Stored):
    """The coordinates of a distribution but the last, which brings their sum to 1."""

    def point(self, p: Any, c: Any) -> Any:
        xp = namespace(c)
        return xp.concat([c, 1 - xp.sum(c, axis=-1, keepdims=True)], axis=-1)

    def vector(self, p: Any, a: Any) -> Any:
        xp = namespace(p, a)
        last = -xp.sum(a, axis=-1, keepdims=True)
        return xp.concat([a, last], axis=-1) + xp.zeros_like(p)


@final
@dataclass(frozen=True)
class SpaceCoordinates(Stored):
    """The coordinates of the hyperboloid but the first, its time."""

    @property
    def places(self) -> np.ndarray:
        return np.arange(1, self.space.n)

    def point(self, p: Any, c: Any) -> Any:
        xp = namespace(c)
        length = norm(c)[..., None]
        return xp.concat([xp.hypot(length, xp.ones_like(length)), c], axis=-1)

    def vector(self, p: Any, a: Any) -> Any:
        xp, space = namespace(p, a), p[..., 1:]
        time = dot(space, a) / xp.hypot(norm(space), xp.ones_like(p[..., 0]))
        return xp.concat([time[..., None], a + xp.zeros_like(space)], axis=-1)


@final
@dataclass(frozen=True)
class LowerTriangle(Stored):
    """The entries of a symmetric matrix on and below the diagonal, row by row."""

    def reach(self, p: Any) -> Any:
        return super().reach(p) / 4  # metrics are as steep as fourth powers of the inverse

    @property
    def places(self) -> np.ndarray:
        rows, columns = np.tril_indices(self.space.n)
        return rows * self.space.n + columns

    def point(self, p: Any, c: Any) -> Any:
        part = from_lower(c, self.space.n)
        return with_diagonal(part + transpose(part), diagonal(part))

    def vector(self, p: Any, a: Any) -> Any:
        return self.point(p, a) + namespace(p).zeros_like(p)


@final
@dataclass(frozen=True)
class ImageCoordinates(Chart):
    """Those of the images of points, in the chart of their space."""

    space: "Isometric"

    @property
    def _image(self) -> Chart:
        return self.space.image.chart

    def coordinates(self, p: Any) -> Any:
        return self._image.coordinates(self.space.to_image(p))

    def point(self, p: Any, c: Any) -> Any:
        return self.space.from_image(self._image.point(self.space.to_image(p), c))

    def vector(self, p: Any, a: Any) -> Any:
        return self.space.pull(p, self._image.vector(self.space.to_image(p), a))

    def components(self, p: Any, v: Any) -> Any:
        return self._image.components(self.space.to_image(p), self.space.push(p, v))

    def reach(self, p: Any) -> Any:
        return self._image.reach(self.space.to_image(p))

    def metric(self, p: Any) -> Metric:
        return self._image.metric(self.space.to_image(p))

    @property
    def known_to_torch(self) -> bool:
        return self._image.known_to_torch

    @property
    def has_symbols(self) -> bool:
        return self._image.has_symbols

    # --- tensors: as the image has them, for a chart may know better than by its metric ---------

    def metric_tensor(self, p: Any) -> Any:
        return self._there("metric_tensor", p)

    def christoffel(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        return self._there("christoffel", p, self.method_for("christoffel", method, order), order)

    def riemann(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        return self._there("riemann", p, self.method_for("riemann", method, order), order)

    def ricci(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        return self._there("ricci", p, self.method_for("ricci", method, order), order)

    def curvature_tensor(
        self, p: Any, u: Any, v: Any, w: Any, method: str | None = None, order: int = ORDER
    ) -> Any:
        x, vectors = self.space.to_image(p), (self.space.push(p, each) for each in (u, v, w))
        how = self.method_for("riemann", method, order)
        return self.space.pull(
            p, self._image.curvature_tensor(x, *vectors, method=how, order=order)
        )

    def scalar_curvature(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        how = self.method_for("scalar_curvature", method, order)
        return self._there("scalar_curvature", p, how, order)

    def error_of_differences(self, p: Any, order: int = ORDER, rank: int = 3) -> Any:
        return self._there("error_of_differences", p, order, rank)

    def _there(self, tensor: str, p: Any, *told: Any) -> Any:
        return like(getattr(self._image, tensor)(self.space.to_image(wide(p)), *told), p)
