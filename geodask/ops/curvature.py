"""Metric tensors, Christoffel symbols and curvature of rows, one by one.

Lazy, float64, as the operations in `pointwise`; formulas, index order and signs are those of
`manifolds.charts`. Components are those in the manifold's own chart, or in another one that is
passed: NaN in the rows that it does not reach.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..engine.points import Points
from ..errors import NotOnManifoldError
from ..manifolds.base import Manifold
from ..manifolds.charts import ORDER, Chart
from .pointwise import lazy
from .rowwise import Verb


@dataclass(frozen=True)
class Tensor(Verb):
    """A verb that gives a tensor, or a number of one, by a method that may be chosen."""

    rank: int = 0
    """Its indices: axes of the dimension each."""
    named: tuple[tuple[str, Any], ...] = (("method", None), ("order", ORDER), ("chart", None))
    """What else it is told, by name."""

    def told(self, manifold: Manifold, options: dict[str, Any]) -> "Tensor":
        named = dict(self.named)
        super().told(manifold, {name: options[name] for name in options.keys() - named.keys()})
        named |= options
        method = manifold.method_for(self.method, **named)
        if "method" in named:
            named["method"] = method
        return replace(self, named=tuple(named.items()))

    def options(self) -> dict[str, Any]:
        return dict(self.named)

    def undefined(self, rows: str) -> Exception:
        return NotOnManifoldError(
            f"{self.method} needs points that the chart reaches, and vectors that span a plane",
            came=f"{rows} have none",
            do='Leave them out, or pass on_undefined="nan".',
        )

    def row_shape(self, manifold: Manifold) -> tuple[int, ...]:
        return (manifold.dim,) * self.rank

    def working(self, manifold: Manifold) -> int:
        # Measured, as multiples of what all pairs of basis vectors take: differences of order 6 are
        # of six points at once, or of 36, and torch keeps all that it went through.
        d, size = manifold.dim, max(manifold.dim, manifold.size)
        method = self.options().get("method", "closed")
        if self.method == "sectional_curvature" and method != "autodiff":
            return 100 * size
        pairs = d * d * size
        if method != "closed":
            symbols = self.method == "christoffel"
            each = {"autodiff": (50, 360), "differences": (64, 400)}[method]
            return 12 * d**3 + each[0] * pairs if symbols else 15 * d**4 + each[1] * pairs
        alone = self.method == "metric_tensor" or manifold.constant_curvature is not None
        if self.rank < 3 and alone:
            return 20 * d * size + 3 * d**self.rank
        if self.rank < 3:
            return 5 * pairs
        return 5 * d ** (self.rank - 3) * pairs + d**self.rank


METRIC_TENSOR = Tensor("metric_tensor", ("point",), "tensor", rank=2, named=(("chart", None),))
CHRISTOFFEL = Tensor("christoffel", ("point",), "tensor", rank=3)
RIEMANN = Tensor("riemann", ("point",), "tensor", rank=4)
RICCI = Tensor("ricci", ("point",), "tensor", rank=2)
NUMBER = (("method", None), ("order", ORDER))
SCALAR = Tensor("scalar_curvature", ("point",), "scalar", named=NUMBER)
SECTIONAL = Tensor("sectional_curvature", ("point", "tangent", "tangent"), "scalar", named=NUMBER)


def metric_tensor(x: Points, *, chart: Chart | None = None) -> Any:
    """The inner products of the chart's basis vectors at x: (n, dim, dim) float64."""
    return lazy(METRIC_TENSOR, x, chart=chart)


def christoffel(
    x: Points, *, method: str | None = None, order: int = ORDER, chart: Chart | None = None
) -> Any:
    """The Christoffel symbols at x: (n, dim, dim, dim) float64, [row, k, i, j], k the upper index.

    ``method`` is "closed", "autodiff" or "differences", by default the first of these that the
    space has; differences are central ones of ``order`` 2, 4 or 6, whose error
    `Chart.error_of_differences` states. Raises SpecError where the space has no such method.
    """
    return lazy(CHRISTOFFEL, x, method=method, order=order, chart=chart)


def riemann(
    x: Points, *, method: str | None = None, order: int = ORDER, chart: Chart | None = None
) -> Any:
    """Riemann's tensor at x: (n, dim, dim, dim, dim) float64, [row, l, i, j, k].

    R(e_i, e_j) e_k is the sum of R[l, i, j, k] e_l, and a sphere has positive curvature. Methods
    are those of `christoffel`.
    """
    return lazy(RIEMANN, x, method=method, order=order, chart=chart)


def ricci(
    x: Points, *, method: str | None = None, order: int = ORDER, chart: Chart | None = None
) -> Any:
    """Ricci's tensor at x: (n, dim, dim) float64. Methods are those of `christoffel`."""
    return lazy(RICCI, x, method=method, order=order, chart=chart)


def scalar_curvature(x: Points, *, method: str | None = None, order: int = ORDER) -> Any:
    """The scalar curvature at x: (n,) float64. Methods are those of `christoffel`."""
    return lazy(SCALAR, x, method=method, order=order)


def sectional_curvature(
    x: Points, u: Any, v: Any, *, method: str | None = None, order: int = ORDER
) -> Any:
    """The sectional curvature of the planes of the tangent vectors u and v at x: (n,) float64.

    NaN where they span no plane. Methods are those of `christoffel`; "differences" are taken along
    geodesics, and are the default where there is no closed form.
    """
    return lazy(SECTIONAL, x, u, v, method=method, order=order)


VERBS: dict[Callable[..., Any], Verb] = {
    metric_tensor: METRIC_TENSOR, christoffel: CHRISTOFFEL, riemann: RIEMANN, ricci: RICCI,
    scalar_curvature: SCALAR, sectional_curvature: SECTIONAL,
}  # fmt: skip
