"""Normal coordinates, which every space has around each of its points."""

from dataclasses import dataclass
from typing import Any, final

from ..arrays.namespace import namespace
from ..geodesics.curvature import Metric
from ..geodesics.slopes import Differences, rounded, step_error, step_size
from .charts import ORDER, Chart
from .tangents import combined, orthonormal, over


@final
@dataclass(frozen=True)
class NormalCoordinates(Chart):
    """Those of the geodesics from each point, in an orthonormal basis of its own tangent space.

    Every space has them: the metric is the unit matrix, the Christoffel symbols vanish, and the
    metric near by is found from `exp` by differences (Lee, Introduction to Riemannian manifolds,
    2018, chapter 5).
    """

    def coordinates(self, p: Any) -> Any:
        """Zeros: a point is where its own are from."""
        xp = namespace(p)
        batch = p.shape[: p.ndim - len(self.space.point_shape)]
        return xp.zeros((*batch, self.space.dim), dtype=p.dtype, device=p.device)

    def point(self, p: Any, c: Any) -> Any:
        return self.space.exp(p, combined(self.space, c, self.basis(p)))

    def vector(self, p: Any, a: Any) -> Any:
        return combined(self.space, a, self.basis(p))

    def basis(self, p: Any) -> Any:
        space, xp = self.space, namespace(p)
        axes = xp.eye(space.size, dtype=p.dtype, device=p.device)
        axes = xp.reshape(axes, (space.size, *space.point_shape))
        at = over(space, p, 1)
        found = orthonormal(space, at, space.to_tangent(at, axes) + xp.zeros_like(at))
        return orthonormal(space, at, found)  # what the first turn has left by rounding

    def components(self, p: Any, v: Any) -> Any:
        return self.space.inner(over(self.space, p, 1), self.basis(p), over(self.space, v, 1))

    def metric(self, p: Any) -> Metric:
        space, e = self.space, self.basis(p)
        slopes = Differences(ORDER, rounded(step_size(ORDER) * self.reach(p))[..., None])

        def place(c: Any) -> Any:
            return space.exp(p, combined(space, c, e))

        def metric(c: Any, a: Any, b: Any) -> Any:
            moved = namespace(c).moveaxis(slopes(place, c), -1, c.ndim - 1)
            there = place(c)
            u, v = (space.to_tangent(there, combined(space, each, moved)) for each in (a, b))
            return space.inner(there, u, v)

        return metric

    @property
    def noise(self) -> float:
        return step_error(ORDER)

    @property
    def known_to_torch(self) -> bool:
        return False

    @property
    def has_symbols(self) -> bool:
        return True

    def symbols(self, p: Any) -> Any:
        xp, c = namespace(p), self.coordinates(p)
        return xp.zeros((*c.shape, *c.shape[-1:] * 2), dtype=p.dtype, device=p.device)
