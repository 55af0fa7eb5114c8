"""What a chart is: coordinates of a space, and the tensors of its geometry in them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..arrays.namespace import like, namespace, wide
from ..errors import SpecError
from ..geodesics import curvature
from ..geodesics.curvature import raised
from ..geodesics.slopes import ROUNDINGS, stencil
from .tangents import along, gram, nth, over, trace

if TYPE_CHECKING:
    from .base import Manifold

METHODS = ("closed", "autodiff", "differences")
ORDER = 6
"""The order of differences where none is chosen."""


@dataclass(frozen=True)
class Chart(ABC):
    """Coordinates (*batch, dim) of a space: a frozen value.

    Its basis at a point are the tangent vectors e_i along which one coordinate grows and the others
    stay. Tensors are in that basis, with the upper index first and the sign of the curvature that
    `geodesics.curvature` states; where a chart does not reach they are NaN. A subclass says what
    its coordinates are, and may know the Christoffel symbols.
    """

    space: "Manifold"

    def __post_init__(self) -> None:
        from .base import Manifold

        self._need(isinstance(self.space, Manifold), "a manifold", "gd.Sphere(3)")

    def _need(self, holds: bool, what: str, example: str) -> None:
        """Raises SpecError where a space has no such coordinates."""
        if not holds:
            raise SpecError(
                f"{type(self).__name__} are those of {what}",
                came=f"{self.space!r} came",
                do=f"Pass such as {example}.",
            )

    def to_spec(self) -> dict[str, Any]:
        """The chart as JSON: its class name and its space."""
        return {"chart": type(self).__name__, "space": self.space.to_spec()}

    # --- coordinates, of points p (*batch, *point_shape) in float64 -----------------------------

    @abstractmethod
    def coordinates(self, p: Any) -> Any:
        """The coordinates of points. NaN where the chart does not reach."""

    @abstractmethod
    def point(self, p: Any, c: Any) -> Any:
        """The points with coordinates c, in the chart that holds p."""

    @abstractmethod
    def vector(self, p: Any, a: Any) -> Any:
        """The tangent vectors at p with components a (*batch, dim)."""

    @abstractmethod
    def components(self, p: Any, v: Any) -> Any:
        """The components of tangent vectors at p: (*batch, dim)."""

    def basis(self, p: Any) -> Any:
        """The tangent vectors e_i at points: (*batch, dim, *point_shape)."""
        unit = namespace(p).eye(self.space.dim, dtype=p.dtype, device=p.device)
        return self.vector(over(self.space, p, 1), unit)

    def reach(self, p: Any) -> Any:
        """The length (*batch,) over which the metric in these coordinates changes by its size."""
        return self.space.extent(p)

    def metric(self, p: Any) -> curvature.Metric:
        """The metric as a function of coordinates near those of p, and of components there."""

        def metric(c: Any, a: Any, b: Any) -> Any:
            q = self.point(p, c)
            return self.space.inner(q, self.vector(q, a), self.vector(q, b))

        return metric

    @property
    def noise(self) -> float:
        """How far that function is off, as a share."""
        return ROUNDINGS

    @property
    def known_to_torch(self) -> bool:
        """Whether torch can differentiate it."""
        return True

    @property
    def has_symbols(self) -> bool:
        """Whether `symbols` are known."""
        return False

    def symbols(self, p: Any) -> Any:
        """The Christoffel symbols in closed form."""
        raise NotImplementedError(f"{self} knows no Christoffel symbols")

    # --- tensors --------------------------------------------------------------------------------

    def metric_tensor(self, p: Any) -> Any:
        """g[i, j] = inner(e_i, e_j): (*batch, dim, dim)."""
        return like(gram(self.space, wide(p), self.basis(wide(p))), p)

    def christoffel(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        """C[k, i, j], the derivative of e_j along e_i being sum_k C[k, i, j] e_k.

        (*batch, dim, dim, dim): in closed form, by differentiation of the metric with torch
        ("autodiff"), or by central "differences" of order 2, 4 or 6, which are off by no more than
        `error_of_differences`; None takes the first of these that the space has. Raises SpecError
        where it does not have the one that is asked for.
        """
        x, how = wide(p), self.method_for("christoffel", method, order)
        if how == "closed":
            return like(self.symbols(x), p)
        metric, c = self.metric(x), self.coordinates(x)
        if how == "autodiff":
            return like(curvature.christoffel_by_torch(metric, c), p)
        reach = self.reach(x)
        return like(curvature.christoffel_by_differences(metric, c, reach, order, self.noise), p)

    def riemann(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        """R[l, i, j, k], with R(e_i, e_j) e_k = sum_l R[l, i, j, k] e_l: (*batch, dim, ..., dim).

        Methods are those of `christoffel`; "autodiff" takes differences of order 6 of symbols that
        torch finds, since of functions of symmetric matrices torch has no second derivative.
        """
        x, how = wide(p), self.method_for("riemann", method, order)
        if how == "closed":
            return like(self._riemann(x), p)
        metric, c, reach = self.metric(x), self.coordinates(x), self.reach(x)
        if how == "autodiff":
            return like(curvature.riemann_by_torch(metric, c, reach), p)
        return like(curvature.riemann_by_differences(metric, c, reach, order, self.noise), p)

    def ricci(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        """Ric[j, k] = sum_i R[i, i, j, k]: (*batch, dim, dim). Methods are those of `riemann`."""
        space, constant = self.space, self.space.constant_curvature
        if self.method_for("ricci", method, order) != "closed":
            found = self.riemann(p, method, order)
            return sum(found[..., i, i, :, :] for i in range(space.dim))
        if constant is not None:
            return (space.dim - 1) * constant * self.metric_tensor(p)
        return like(self._ricci(wide(p)), p)

    def curvature_tensor(
        self, p: Any, u: Any, v: Any, w: Any, method: str | None = None, order: int = ORDER
    ) -> Any:
        """R(u, v) w, with tangent vectors at p: (*batch, *point_shape). Methods are those of
        `riemann`."""
        a, b, c = (self.components(p, each) for each in (u, v, w))
        found = (self.riemann(p, method, order) @ c[..., None, None, :, None])[..., 0]
        found = (found @ b[..., None, :, None])[..., 0]
        return self.vector(p, (found @ a[..., None])[..., 0])

    def scalar_curvature(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        """The trace of Ricci's tensor: (*batch,). Methods are those of `riemann`."""
        x = wide(p)
        return like(trace(raised(self.metric_tensor(x), self.ricci(x, method, order))), p)

    def error_of_differences(self, p: Any, order: int = ORDER, rank: int = 3) -> Any:
        """How far Christoffel symbols (rank 3) or Riemann's tensor (rank 4) by differences may be
        off, where the metric changes by no more than its size over `reach`: as they are shaped."""
        x = wide(p)
        g, reach = self.metric_tensor(x), self.reach(x)
        return like(curvature.error_of_differences(g, reach, order, self.noise, rank), p)

    def method_for(self, tensor: str, method: str | None, order: int = ORDER) -> str:
        """By which method a tensor, named as its own is, comes where this one is asked for.

        Raises SpecError where it does not, or where there are no differences of the order.
        """
        stencil(order)
        closed = self.has_symbols if tensor == "christoffel" else self.space.has_curvature
        there = (closed, self.known_to_torch, True)
        known = [name for name, known in zip(METHODS, there, strict=True) if known]
        if method is None or method in known:
            return method or known[0]
        raise SpecError(
            f"{tensor} of {self.space} in {type(self).__name__} comes by {' or '.join(known)}",
            came=f"method={method!r} came",
            do=f"Pass method={known[0]!r}, or none.",
        )

    def _riemann(self, p: Any) -> Any:
        space, e = self.space, self.basis(p)
        i, j, k = (along(space, e, place, 3) for place in range(3))
        at = over(space, p, 3)
        found = self.components(at, space.curvature_tensor(at, i, j, k))
        return namespace(p).moveaxis(found, -1, -4)

    def _ricci(self, p: Any) -> Any:
        space, e, at = self.space, self.basis(p), over(self.space, p, 2)
        j, k = (along(space, e, place, 2) for place in range(2))
        total = 0.0
        for number in range(space.dim):  # the whole tensor would be as many times as large
            i = over(space, nth(space, e, number), 2)
            total = total + self.components(at, space.curvature_tensor(at, i, j, k))[..., number]
        return total
