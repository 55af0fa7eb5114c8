"""What every space says of its curvature, by closed forms or by reference."""

import math
from typing import Any

from ..arrays.namespace import eps, like, namespace, where, wide
from ..errors import SpecError
from ..geodesics.slopes import Differences, rounded, stencil, step_error, step_size
from .charts import ORDER, Chart
from .normal import NormalCoordinates
from .tangents import tall


class Curved:
    """The part of a manifold that its charts and its curvature belong to.

    A space states `constant_curvature` or `curvature_tensor`, `connection` and `chart`, as far as
    there are closed forms, and has all the rest. Tensors are in the space's chart unless another
    one is passed; their index order and signs are those of `geodesics.curvature`, their methods
    those of `Chart.christoffel`.
    """

    # --- what a space may state -----------------------------------------------------------------

    @property
    def chart(self: Any) -> Chart:
        """The coordinates in which tensors are given."""
        return NormalCoordinates(self)

    @property
    def constant_curvature(self) -> float | None:
        """The sectional curvature, where it is the same for all planes."""
        return None

    def extent(self: Any, p: Any) -> Any:
        """A length (*batch,) over which the geometry near p, as it is stored, changes by its size:
        what steps of differences are shares of."""
        room = self.room(p) / 2
        return namespace(room).minimum(room, namespace(room).full_like(room, self.unit))

    def curvature_tensor(self: Any, p: Any, u: Any, v: Any, w: Any) -> Any:
        """R(u, v) w, with tangent vectors at p: (*batch, *point_shape).

        R(u, v) w = D_u D_v w - D_v D_u w - D_[u, v] w, so K (<v, w> u - <u, w> v) in a space of
        constant curvature K.
        """
        if self.constant_curvature is None:
            return self.chart.curvature_tensor(p, u, v, w)
        along_u, along_v = self.inner(p, v, w), self.inner(p, u, w)
        return self.constant_curvature * (tall(self, along_u) * u - tall(self, along_v) * v)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        """The Christoffel symbols in stored coordinates, of two tangent vectors: a geodesic has the
        acceleration p'' = -connection(p, p', p').

        Raises SpecError where a space does not state it.
        """
        raise SpecError(
            f"{type(self).__name__} must state its connection in closed form",
            came="it states none",
            do='Use christoffel(p, method="autodiff").',
        )

    @property
    def has_curvature(self) -> bool:
        """Whether the curvature is known in closed form."""
        own = type(self).curvature_tensor is not Curved.curvature_tensor
        return own or self.constant_curvature is not None

    @property
    def has_connection(self) -> bool:
        """Whether `connection` is."""
        return type(self).connection is not Curved.connection

    # --- tensors in a chart ---------------------------------------------------------------------

    def metric_tensor(self, p: Any, chart: Chart | None = None) -> Any:
        """The metric at p, as `Chart.metric_tensor`: (*batch, dim, dim)."""
        return self._in(chart).metric_tensor(p)

    def christoffel(
        self, p: Any, method: str | None = None, order: int = ORDER, chart: Chart | None = None
    ) -> Any:
        """The Christoffel symbols at p, as `Chart.christoffel`: (*batch, dim, dim, dim)."""
        return self._in(chart).christoffel(p, method, order)

    def riemann(
        self, p: Any, method: str | None = None, order: int = ORDER, chart: Chart | None = None
    ) -> Any:
        """Riemann's tensor at p, as `Chart.riemann`: (*batch, dim, dim, dim, dim)."""
        return self._in(chart).riemann(p, method, order)

    def ricci(
        self, p: Any, method: str | None = None, order: int = ORDER, chart: Chart | None = None
    ) -> Any:
        """Ricci's tensor at p, as `Chart.ricci`: (*batch, dim, dim)."""
        return self._in(chart).ricci(p, method, order)

    # --- numbers: the same in all charts --------------------------------------------------------

    def scalar_curvature(self: Any, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        """The trace of Ricci's tensor: (*batch,). Methods are those of `Chart.riemann`."""
        constant = self.constant_curvature
        closed = self.method_for("scalar_curvature", method, order) == "closed"
        if closed and constant is not None:
            return self.dim * (self.dim - 1) * constant + 0 * self.norm(p, 0 * p)
        return self.chart.scalar_curvature(p, method, order)

    def sectional_curvature(
        self: Any, p: Any, u: Any, v: Any, method: str | None = None, order: int = ORDER
    ) -> Any:
        """K = <R(u, v) v, u> / (|u|^2 |v|^2 - <u, v>^2) at p: (*batch,).

        NaN where u and v span no plane. Methods are those of `Chart.riemann`, but "differences" are
        those of `exp` along geodesics, which need no chart and no tensor: without a closed form
        they are what None takes. Those of order 6 are off by some 1e-8 over the square of `extent`.
        """
        x, (a, b) = wide(p), _plane(self, p, u, v)
        how = self.method_for("sectional_curvature", method, order)
        if how == "differences":
            return like(_along_geodesics(self, x, a, b, order), p, u, v)
        if how == "closed":
            turned = self.curvature_tensor(x, a, b, b)
        else:
            turned = self.chart.curvature_tensor(x, a, b, b, how, order)
        return like(self.inner(x, turned, a), p, u, v)

    def method_for(
        self: Any,
        tensor: str,
        method: str | None = None,
        order: int = ORDER,
        chart: Chart | None = None,
    ) -> str:
        """By which method one of these comes, as `Chart.method_for`."""
        if tensor == "sectional_curvature" and method is None and not self.has_curvature:
            method = "differences"
        return self._in(chart).method_for(tensor, method, order)

    def _in(self: Any, chart: Chart | None) -> Chart:
        if chart is None:
            return self.chart
        if not isinstance(chart, Chart):
            raise SpecError(
                f"chart= takes coordinates of {self}",
                came=f"{chart!r} came",
                do="Pass such as gd.NormalCoordinates(manifold), or none.",
            )
        if chart.space != self:
            raise SpecError(
                f"A chart of {self} is needed",
                came=f"one of {chart.space} came",
                do=f"Pass {type(chart).__name__}(manifold).",
            )
        return chart


def _plane(on: Any, p: Any, u: Any, v: Any) -> tuple[Any, Any]:
    """Orthonormal vectors that span what u and v do, float64. NaN where that is no plane."""
    x = wide(p)
    a, b = (_unit(on, x, wide(each)) for each in (u, v))
    for _ in range(2):
        b = on.to_tangent(x, b - tall(on, on.inner(x, a, b)) * a)
    # Vectors on one line are this far from it by the rounding of their dtype.
    left = on.norm(x, b)
    return a, b / tall(on, where(left > 64 * max(eps(u), eps(v)), left, math.nan))


def _unit(on: Any, p: Any, v: Any) -> Any:
    size = on.norm(p, v)
    return v / tall(on, where(size > 0, size, math.nan))


def _along_geodesics(on: Any, p: Any, u: Any, v: Any, order: int) -> Any:
    """K of the plane of orthonormal u and v, by where geodesics with velocities near u end.

    The derivative of exp at t u along v has the squared length 1 - K t^2 / 3 + O(t^3) (Lee,
    Introduction to Riemannian manifolds, 2018, chapter 10): a difference of exp, and a second one
    in t, which leaves out the odd powers.
    """
    reach = on.extent(p) + 0 * on.inner(p, u, v)
    near = rounded(step_size(order) * reach)
    far = rounded(step_size(order, step_error(order), derivative=2) * reach)
    slope = Differences(order, near[..., None])

    def squared(t: Any) -> Any:
        start = tall(on, t) * u
        moved = slope(lambda s: on.exp(p, start + tall(on, s[..., 0]) * v), 0 * near[..., None])
        # A point may stand for others, as a basis for its span: so only what is tangent counts.
        there = on.exp(p, start)
        return on.norm(there, on.to_tangent(there, moved[..., 0])) ** 2

    total = 0.0
    for m, weight in enumerate(stencil(order).second, 1):
        total = total + weight * (squared(m * far) - 1 + squared(-m * far) - 1)
    return -1.5 * total / far**2
