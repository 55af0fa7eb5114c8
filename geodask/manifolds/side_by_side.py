"""The chart of products and powers: the coordinates of the parts, one after the other."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from ..arrays.namespace import like, namespace, wide
from ..geodesics.curvature import Metric
from .charts import ORDER, Chart

if TYPE_CHECKING:
    from .parts import Part, Parts


@final
@dataclass(frozen=True)
class SideBySide(Chart):
    """Tensors are those of the parts, in blocks, for no part bends another."""

    space: "Parts"

    def coordinates(self, p: Any) -> Any:
        return self._row(lambda chart, x: chart.coordinates(x), p)

    def components(self, p: Any, v: Any) -> Any:
        return self._row(lambda chart, x, u: chart.components(x, u), p, v)

    def point(self, p: Any, c: Any) -> Any:
        return self._joined(lambda chart, x, own: chart.point(x, own), p, c)

    def vector(self, p: Any, a: Any) -> Any:
        return self._joined(lambda chart, x, own: chart.vector(x, own), p, a)

    def reach(self, p: Any) -> Any:
        """The shortest of the parts."""
        xp = namespace(p)
        found = [part.space.chart.reach(x) for part, x in self._parts(p)]
        return xp.min(xp.concat(found, axis=-1), axis=-1)

    def metric(self, p: Any) -> Metric:
        near = [(part, part.space.chart.metric(x)) for part, x in self._parts(p)]

        def metric(c: Any, a: Any, b: Any) -> Any:
            own = zip(near, *map(self._own, (c, a, b)), strict=True)
            found = [part.weight * of(*each) for (part, of), *each in own]
            return sum(namespace(c).sum(each, axis=-1) for each in found)

        return metric

    @property
    def known_to_torch(self) -> bool:
        return all(part.space.chart.known_to_torch for part in self.space.parts)

    @property
    def has_symbols(self) -> bool:
        return all(part.space.chart.has_symbols for part in self.space.parts)

    def symbols(self, p: Any) -> Any:
        return self._blocks(3, lambda part, x: part.space.chart.symbols(x), p)

    # --- tensors --------------------------------------------------------------------------------

    def metric_tensor(self, p: Any) -> Any:
        return self._blocks(2, lambda part, x: part.weight * part.space.chart.metric_tensor(x), p)

    def christoffel(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        how = self.method_for("christoffel", method, order)
        return self._blocks(3, lambda part, x: part.space.chart.christoffel(x, how, order), p)

    def riemann(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        how = self.method_for("riemann", method, order)
        return self._blocks(4, lambda part, x: part.space.chart.riemann(x, how, order), p)

    def ricci(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        how = self.method_for("ricci", method, order)
        return self._blocks(2, lambda part, x: part.space.chart.ricci(x, how, order), p)

    def curvature_tensor(
        self, p: Any, u: Any, v: Any, w: Any, method: str | None = None, order: int = ORDER
    ) -> Any:
        how = self.method_for("riemann", method, order)
        each = zip(self.space.parts, *map(self.space.split, (p, u, v, w)), strict=True)
        found = [
            part.space.chart.curvature_tensor(*own, method=how, order=order) for part, *own in each
        ]
        return self.space.join(found)

    def scalar_curvature(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        """The sum of those of the parts: a weight makes lengths larger and the trace smaller."""
        how, found = self.method_for("scalar_curvature", method, order), 0.0
        for part, x in self._parts(wide(p)):
            own = part.space.scalar_curvature(x, how, order)
            found = found + namespace(own).sum(own, axis=-1) / part.weight
        return like(found, p)

    def error_of_differences(self, p: Any, order: int = ORDER, rank: int = 3) -> Any:
        def error(part: "Part", x: Any) -> Any:
            return part.space.chart.error_of_differences(x, order, rank)

        return self._blocks(rank, error, p)

    # --- parts ----------------------------------------------------------------------------------

    def _parts(self, p: Any) -> Iterator[tuple["Part", Any]]:
        return zip(self.space.parts, self.space.split(p), strict=True)

    def _row(self, of: Callable[..., Any], *rows: Any) -> Any:
        """What charts (..., copies, dim) say of each part, in one row."""
        xp, found = namespace(*rows), []
        for part, *each in zip(self.space.parts, *map(self.space.split, rows), strict=True):
            own = of(part.space.chart, *each)
            found.append(xp.reshape(own, (*own.shape[:-2], own.shape[-2] * own.shape[-1])))
        return xp.concat(found, axis=-1)

    def _joined(self, of: Callable[..., Any], p: Any, c: Any) -> Any:
        pairs = zip(self._parts(p), self._own(c), strict=True)
        return self.space.join([of(part.space.chart, x, own) for (part, x), own in pairs])

    def _own(self, c: Any) -> list[Any]:
        """The components (..., copies, dim) of each part."""
        found, start = [], 0
        for part in self.space.parts:
            shape = part.copies, part.space.dim
            stop = start + math.prod(shape)
            found.append(namespace(c).reshape(c[..., start:stop], (*c.shape[:-1], *shape)))
            start = stop
        return found

    def _blocks(self, rank: int, of: Callable[["Part", Any], Any], p: Any) -> Any:
        """Tensors (..., copies, dim, ..., dim) of each part, zeros between them."""
        xp, whole, start = namespace(p), wide(p), 0
        batch = p.shape[: p.ndim - len(self.space.point_shape)]
        shape = *batch, *(self.space.dim,) * rank
        found = xp.zeros(shape, dtype=xp.float64, device=p.device)
        for part, x in self._parts(whole):
            each = of(part, x)
            for copy in range(part.copies):
                sides = (slice(start, start + part.space.dim),) * rank
                found[(..., *sides)] = each[(..., copy, *(slice(None),) * rank)]
                start += part.space.dim
        return like(found, p)
