"""Flat space: vectors of R^n with the straight-line distance."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple, final

import numpy as np

from ..arrays.chords import squared_chords
from ..arrays.namespace import dot, is_host, lane_sum, namespace, norm, sqrt, where
from ..arrays.product import FLUSHED, fill_columns, product_error, rounded
from .base import BEYOND, Manifold, Queries, Rows, Targets
from .coordinates import Vectors
from .given import batch

LARGEST = 1e150
"""Squares of larger coordinates leave float64."""

COLUMN_LOSS = 2.0**-20
"""What a half square may lose, as a share, when it is written into three columns of bfloat16."""


FARTHEST = 2.0**60
"""Targets farther out than that, in the frame of the queries, are measured one and all: their half
squares come too near to the end of float32."""


class Frame(NamedTuple):
    """The centre and the power of two that bring the query rows into the unit ball; what they
    lost there, as a share; and their squares."""

    centre: Any
    scale: float
    square: Any
    share: float


@final
@dataclass(frozen=True)
class Euclidean(Manifold):
    """R^n with the flat metric; distances are in the unit of the coordinates."""

    curvature: ClassVar[float] = 0.0

    @property
    def dim(self) -> int:
        return self.n

    @property
    def origin(self) -> np.ndarray:
        return np.zeros(self.n)

    @property
    def injectivity_radius(self) -> float:
        return math.inf

    @property
    def chart(self) -> Vectors:
        return Vectors(self)

    @property
    def constant_curvature(self) -> float:
        return self.curvature

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        return x

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: f"has coordinates beyond {LARGEST:g}, whose squares leave float64",
    }

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        largest = xp.max(xp.abs(p), axis=-1)
        code = xp.astype(xp.astype(largest, xp.float64) > LARGEST, xp.int8) * 2
        return xp.where(xp.isfinite(largest), code, xp.full_like(code, 1))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Standard normal."""
        return np.random.default_rng(seed).standard_normal((*batch(shape), self.n))

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return dot(u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return norm(u)

    def exp(self, p: Any, u: Any) -> Any:
        return p + u

    def log(self, p: Any, q: Any) -> Any:
        return q - p

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        return namespace(p).zeros_like(p + u + v)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        return u + namespace(p).zeros_like(p + q)

    def add_logs(self, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
        from ..arrays.logs import flat_logs

        flat_logs(x, weights, p, sums)

    # --- exact neighbours -----------------------------------------------------------------------

    def features(self, x: Any) -> Any:
        """Ones: a stored row stands for itself."""
        xp = namespace(x)
        return xp.ones_like(xp.astype(x[..., 0], xp.float64))

    def rank(self, p: Any, q: Any) -> Any:
        """The squared distance."""
        step = p - q
        return lane_sum(step * step)

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        if not is_host(x.points):
            return super().pair_ranks(x, rows, y, others)
        from ..arrays.fused import pair_chords

        return pair_chords(x.points, x.features, rows, y.points, y.features, others)[0]

    def rank_to_dist(self, rank: Any) -> Any:
        return sqrt(rank)

    def rank_error(self, rank: Any) -> Any:
        # One rounding a difference, one a square, n / 8 + 3 in the lane sum; and squares that
        # leave the range of float64 downwards.
        return (self.n / 8 + 8) * 2.0**-52 * rank + self.n * 2.0**-1074

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return dist * (2 * rank**0.5 + dist)

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        return sum(((a - b) * (a - b) for a, b in zip(p, q, strict=True)), Decimal(0))

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """The points themselves."""
        p = self.canonical(x.points)
        return p, 0 * p[..., 0]

    def rough_ranks(self, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return squared_chords(p, q)

    def queries(self, x: Rows, precision: str) -> Queries:
        # In the frame, u = scale (x - centre) and v = scale (y - centre), the score is
        # u.v - |v|^2 / 2 = (|u|^2 - scale^2 rank) / 2. The half square comes with the product, as
        # three columns of the targets against ones. Rounding takes at most a share s of |u| and t
        # of |v|, so the product errs by (s + t + st + gamma (1 + s)(1 + t)) |u| |v|, plus gamma
        # for the column; and |u| |v| <= (|u|^2 + |v|^2) / 2 makes a part for either row.
        xp = namespace(x.points)
        points = xp.astype(x.points, xp.float64)
        centre = xp.mean(points, axis=0)
        reach = float(xp.max(xp.abs(points - centre))) * math.sqrt(self.n)
        scale = 2.0 ** min(-math.frexp(reach)[1], 1023) if 0 < reach < math.inf else 1.0
        operand, lost, length = rounded(points, centre, x.features * scale, precision, extra=3)
        fill_columns(operand, self.n, xp.ones_like(length))
        operand[:, -2:] = operand[:, -3:-2]
        share, square = _share(lost, length), length * length
        # The ranks themselves are rounded; and operands under 2^-126, against others of at most
        # FARTHEST, may be flushed to zero.
        slack = (share + self._gamma + self._rounding) * square / 2
        slack = slack + self._underflow(scale) + self.n * FLUSHED * FARTHEST * 2.0**6
        return Queries(operand, slack, Frame(centre, scale, square, share))

    def targets(self, y: Rows, frame: Frame, precision: str) -> Targets:
        xp = namespace(y.points)
        scale = y.features * frame.scale
        operand, lost, length = rounded(y.points, frame.centre, scale, precision, extra=3)
        beyond = ~(length <= FARTHEST)
        (far,) = xp.nonzero(beyond)
        operand[far, :] = 0
        lost, length = where(~beyond, lost, 0.0), where(~beyond, length, 0.0)
        half, share = length * length / 2, _share(lost, length)
        # This side's part goes into the column itself, so a product lies above only.
        spread = 1.01 * (frame.share + share) + 3 * self._gamma + self._rounding + COLUMN_LOSS
        spread = spread * half
        fill_columns(operand, self.n, where(~beyond, spread - half, BEYOND))
        below = 1.01 * share * float(xp.max(frame.square)) / 2
        return Targets(operand, below, 2 * spread + below, far)

    def score(self, rank: Any, queries: Queries) -> Any:
        square, scale = queries.frame.square, queries.frame.scale
        scaled = rank * scale * scale
        margin = self._rounding * (square + scaled) + self._underflow(scale)
        return (square - scaled) / 2 - margin

    def _underflow(self, scale: float) -> float:
        """What a rank loses in squares that leave float64 downwards, in the frame."""
        return self.n * 2.0**-1074 * scale * scale

    @property
    def _gamma(self) -> float:
        return 1.02 * product_error(self.n + 3)

    @property
    def _rounding(self) -> float:
        return (self.n + 16) * 2.0**-51


def _share(lost: Any, length: Any) -> float:
    """The largest part of a row's length that rounding took away."""
    xp = namespace(length)
    return float(xp.max(where(length > 0, lost / where(length > 0, length, 1.0), 0.0)))
