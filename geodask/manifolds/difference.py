"""Spaces whose rank is a weighted squared difference: |a - b|^2 w(p) w(q).

Hyperbolic space in coordinates of the ball and the half-space is one. Ranks span dozens of powers
of ten there, so a bound for a whole block of rows is of no use; both surrogates have one that grows
with the weight of the target alone.

- Differences, for few dimensions: that of two floats is right to half a unit, so the whole is right
  to a small share of itself.
- One product of matrices, for many: faster, and right to a few units of w(q), which leaves possible
  the targets at a flat distance of 2^-10 or so.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..arrays.difference import Differences
from ..arrays.namespace import is_host, lane_sum, namespace, where
from ..arrays.product import FLUSHED, fill_columns, product_error, rounded
from .base import Queries, Rows, Targets
from .hyperbolic import Hyperbolic

FEW = 64
"""Dimensions up to which differences are as fast as products, which leave more pairs possible far
out."""

LEEWAY = 2.0**-12
"""What differences of rounded coordinates may be off by, as a share, so that beyond it the loss is
bounded by the rounding alone: |a + e|^2 <= (1 + s) |a|^2 + (1 + 1/s) |e|^2."""


class Weighted(NamedTuple):
    """Rows in coordinates whose weighted squared differences are ranks."""

    weights: Any
    """(rows,) float64."""
    points: Any
    """(rows, columns)"""
    low: Any
    """What rounding took away from the points, or None where they are exact."""

    def take(self, rows: Any) -> "Weighted":
        """Some of the rows."""
        xp = namespace(self.weights)
        parts = (None if each is None else xp.take(each, rows, axis=0) for each in self)
        return Weighted._make(parts)

    def ranks(self, other: "Weighted") -> Any:
        """Ranks row by row, float64."""
        xp = namespace(self.weights)
        step = xp.astype(self.points, xp.float64) - xp.astype(other.points, xp.float64)
        if self.low is not None:
            step = step + (self.low - other.low)
        return lane_sum(step * step) * (self.weights * other.weights)


class Frame(NamedTuple):
    """What targets share with the queries."""

    weights: Any
    scale: float
    """What scores are multiplied with."""
    centre: Any = None
    """Where products start from; None for differences."""
    reach: float = 0.0
    lost: float = 0.0
    """How long the operands of queries are, and how much of one is rounded away, at most."""


@dataclass(frozen=True)
class WeightedDifference(Hyperbolic):
    """The part that finds neighbours; a subclass states the weighted rows."""

    @abstractmethod
    def weighted(self, x: Any) -> Weighted:
        """Coordinates of stored rows, and their weights, the same bytes everywhere."""

    def in_ball(self, weighted: Weighted) -> Weighted:
        """The same in coordinates of the unit ball, float64, right to `BALL_ERROR`."""
        return weighted

    @property
    @abstractmethod
    def weight_error(self) -> float:
        """The relative error of a weight."""

    @property
    def root_error(self) -> float:
        """How far it may be with what is in ``low``, for both rows, times the largest weight."""
        return 0.0

    low_error: ClassVar[float] = 0.0
    """How far a weighted row may be from its point, without what is in ``low``."""
    scale: ClassVar[float] = 1.0
    """What differences are multiplied with, so that float32 holds them."""

    def features(self, x: Any) -> Weighted:
        return self.weighted(x)

    def rank(self, p: Any, q: Any) -> Any:
        return self.weighted(p).ranks(self.weighted(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        a, b = x.features, y.features
        if not is_host(a.points) or a.low is not None:
            return a.take(rows).ranks(b.take(others))
        from ..arrays.fused import pair_squares

        squares = pair_squares(a.points, rows, b.points, others)
        return squares * (a.weights[rows] * b.weights[others])

    def rank_error(self, rank: Any) -> Any:
        # Two roundings a square, n / 8 + 3 in the lane sum, two in the weights and their product;
        # two more in a step with its low parts, whose end moves the root of the rank. And squares
        # that leave float64 downwards, times the largest weights, 2^53 each.
        share = (self.n / 8 + 13) * 2.0**-53 + 2.01 * self.weight_error
        off = self.root_error
        return share * rank + (2 * rank**0.5 + off) * off + self.n * 2.0**-960

    def precision(self, asked: str) -> str:
        return "float32"

    def queries(self, x: Rows, precision: str) -> Queries:
        return self._queries_of_differences(x) if self.dim <= FEW else self._queries_of_products(x)

    def targets(self, y: Rows, frame: Frame, precision: str) -> Targets:
        targets = self._targets_of_products if self.dim > FEW else self._targets_of_differences
        return targets(y, frame)

    def score(self, rank: Any, queries: Queries) -> Any:
        return -queries.frame.scale * rank / queries.frame.weights

    # --- differences ----------------------------------------------------------------------------

    def _queries_of_differences(self, x: Rows) -> Queries:
        # The score is -|x - y|^2 w(y). In float32 a difference, its square, n additions, the weight
        # and the product with it round once each, n + 4 in all; float64 rows are taken in float64
        # and rounded once. The kernel rounds bounds to float32, by two units at most. The ranks
        # themselves are rounded too, by far less.
        share = 1.01 * (self.n + 6) * 2.0**-24 + 4 * (self.n + 16) * 2.0**-53
        share = share + 4 * self.weight_error + (1.01 * LEEWAY if self.low_error else 0.0)
        weights = x.features.weights
        frame = Frame(weights, self.scale)
        return Queries(x.features.points, _no_slack(weights), frame, share, Differences)

    def _targets_of_differences(self, y: Rows, frame: Frame) -> Targets:
        xp = namespace(y.features.weights)
        points = y.features.points
        scaled = frame.scale * y.features.weights
        lost = FLUSHED * (1 + self.n * scaled)
        lost = lost + 1.01 * (2 * self.low_error) ** 2 / LEEWAY * scaled
        operand = xp.concat([points, xp.astype(scaled, points.dtype)[:, None]], axis=1)
        nobody = xp.zeros((0,), dtype=xp.int64)
        return Targets(operand, float(xp.max(lost)), lost, nobody)

    # --- products -------------------------------------------------------------------------------

    def _queries_of_products(self, x: Rows) -> Queries:
        # With a = x - c and b = y - c the score is 2 a.(w b) - |a|^2 w - |b|^2 w: n columns, one,
        # and three of ones against the last term.
        weighted = self.in_ball(x.features)
        xp = namespace(weighted.weights)
        sound = xp.isfinite(weighted.weights)
        points = where(sound[:, None], xp.astype(weighted.points, xp.float64), 0.0)
        centre = xp.mean(points, axis=0)
        twice = xp.full_like(weighted.weights, 2.0)
        operand, lost, length = rounded(points, centre, twice, "float32", extra=4)
        operand[:, -4] = xp.astype(length * length / 4, xp.float32)
        operand[:, -3:] = 1
        frame = Frame(weighted.weights, 1.0, centre, float(xp.max(length)), float(xp.max(lost)))
        return Queries(operand, _no_slack(weighted.weights), frame)

    def _targets_of_products(self, y: Rows, frame: Frame) -> Targets:
        weighted = self.in_ball(y.features)
        xp = namespace(weighted.weights)
        weights = weighted.weights
        operand, lost, length = rounded(weighted.points, frame.centre, weights, "float32", extra=4)
        square = length * length / weights  # |b|^2 w
        operand[:, -4] = xp.astype(-weights, xp.float32)
        # What a product may be off by: rounding of operands, of |a|^2 and of w, of the sum; then
        # of coordinates in the ball, of weights and of ranks, and operands that are flushed.
        apart = frame.reach * frame.reach / 4 * weights  # |a|^2 w at most
        ours = length + lost
        spread = frame.lost * ours + frame.reach * lost + 2.02 * 2.0**-24 * apart
        spread = spread + self._gamma * ((frame.reach + frame.lost) * ours + apart + square)
        spread = spread + (16 * BALL_ERROR + 16 * self.weight_error) * weights
        spread = spread + (self.n + 4) * (2.0**-48 + 4 * FLUSHED) * weights
        # It goes into the last term, so a product lies above only.
        fill_columns(operand, operand.shape[1] - 3, 1.01 * spread - square)
        nobody = xp.zeros((0,), dtype=xp.int64)
        return Targets(operand, 4 * self.n * FLUSHED, 2.03 * spread, nobody)

    @property
    def _gamma(self) -> float:
        return 1.02 * product_error(self.n + 4)


BALL_ERROR = 2.0**-48


def _no_slack(weights: Any) -> Any:
    """Zeros, but NaN where a row is no point, so that it is not certified."""
    return 0 * weights
