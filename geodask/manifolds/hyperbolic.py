"""Spaces whose rank is a weighted squared difference: |p - q|^2 w(p) w(q).

Hyperbolic space in the ball and in the half-space is one: sinh^2(d / 2) is of this form. Ranks span
dozens of powers of ten there, and a product of matrices loses the small ones. The surrogate is the
difference itself, in float32 where the rows are stored so: the difference of two floats is right to
half a unit, so the whole is right to a small share of itself.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from ..arrays.namespace import is_host, lane_sum, namespace, widen
from ..arrays.product import FLUSHED
from .base import Manifold, Queries, Rows, Targets


@dataclass(frozen=True)
class WeightedDifference(Manifold):
    """The part of such a space that finds neighbours; a subclass states the weight."""

    @abstractmethod
    def weight(self, p: Any) -> Any:
        """w(p) of canonical points, float64 and the same bytes from every library: (rows,)."""

    @property
    @abstractmethod
    def weight_error(self) -> float:
        """The relative error of a weight."""

    def features(self, x: Any) -> Any:
        return self.weight(self.canonical(x))

    def rank(self, p: Any, q: Any) -> Any:
        step = p - q
        return lane_sum(step * step) * (self.weight(p) * self.weight(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        if not is_host(x.points):
            return super().pair_ranks(x, rows, y, others)
        from ..arrays.fused import pair_squares

        squares = pair_squares(x.points, rows, y.points, others)
        return squares * (x.features[rows] * y.features[others])

    def rank_error(self, rank: Any) -> Any:
        # Two roundings a square, n / 8 + 3 in the lane sum, two in the weights and their product;
        # and squares that leave float64 downwards, times the largest weights, 2^53 each.
        share = (self.n / 8 + 9) * 2.0**-53 + 2.01 * self.weight_error
        return share * rank + self.n * 2.0**-960

    def queries(self, x: Rows, precision: str) -> Queries:
        # The score is -|x - y|^2 w(y). In float32 a difference, its square, n additions, the weight
        # and the product with it round once each, n + 4 in all; float64 rows are taken in float64
        # and rounded once. The kernel rounds bounds to float32, by two units at most. The ranks
        # themselves are rounded too, by far less.
        share = 1.01 * (self.n + 6) * 2.0**-24 + 4 * (self.n + 16) * 2.0**-53
        share = share + 4 * self.weight_error
        slack = 0 * x.features  # but NaN where a row is no point, so that it is not certified
        return Queries(widen(x.points), slack, x.features, share)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        xp = namespace(y.features)
        points = widen(y.points)
        weights = xp.astype(y.features, points.dtype)
        flushed = self.n * FLUSHED * y.features
        nobody = xp.zeros((0,), dtype=xp.int64)
        operand = xp.concat([points, weights[:, None]], axis=1)
        return Targets(operand, float(xp.max(flushed)), flushed, nobody)

    def score(self, rank: Any, queries: Queries) -> Any:
        return -rank / queries.frame
