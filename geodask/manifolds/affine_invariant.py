"""Symmetric positive definite matrices with the affine-invariant metric."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

from ..arrays import decimals
from ..arrays.common_axes import log_between, logs_between, root_between
from ..arrays.matrices import (
    carried,
    cholesky,
    congruent,
    flat_symmetric,
    from_flat,
    lower_inverse,
    lowest_and_highest,
    symmetric,
)
from ..arrays.namespace import lane_sum, like, namespace, norm, sqrt, where, wide
from ..arrays.pencils import Sides, level, pair_logs
from ..arrays.series import sinhc
from ..arrays.symmetric import EXPM1, LOG, LOG1P, of
from ..arrays.threads import in_slices
from .base import Rows
from .charts import ORDER
from .shadowed import LAST_DIGITS, Shadowed
from .spd import SPD

CENTRED = 256
"""Queries whose mean is the centre of the lower bound."""
STEPS = 4
"""Steps to that mean: it need not be exact, for the bound holds at every point."""


@final
@dataclass(frozen=True)
class SPDAffineInvariant(SPD, Shadowed):
    """Symmetric positive definite n x n matrices; p and q lie as far apart as their images under
    any congruence, A p A^T and A q A^T.

    dist^2 is the sum of squared logarithms of the eigenvalues of p^-1 q (Bhatia, Positive definite
    matrices, 2007, 6.1; Pennec, Fillard and Ayache, A Riemannian framework for tensor computing,
    2006). Formulas are those of `common_axes`, which keep their digits where p and q are close, and
    where one eigenvalue of p^-1 q is far larger than another. Neighbours: at any centre logarithms
    lie no farther apart than points do (Bhatia, 6.1.9), so a product of matrices rules out most
    pairs; it proves none. Of pairs so unlike that float64 loses an eigenvalue beside the largest,
    some 30 apart, ranks may be infinite.
    """

    @property
    def injectivity_radius(self) -> float:
        return math.inf

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        xp, low = namespace(p, u, v), _factor(p)
        found = xp.sum(carried(low, wide(u)) * carried(low, wide(v)), axis=(-2, -1))
        return like(found, p, u, v)

    def norm(self, p: Any, u: Any) -> Any:
        inside = carried(_factor(p), wide(u))
        xp = namespace(inside)
        return like(norm(xp.reshape(inside, (*inside.shape[:-2], self.size))), p, u)

    @in_slices
    def dist(self, p: Any, q: Any) -> Any:
        return like(norm(logs_between(wide(p), wide(q))), p, q)

    @in_slices
    def exp(self, p: Any, u: Any) -> Any:
        low = _factor(p)
        step = of(EXPM1, carried(low, wide(u)))
        return like(symmetric(wide(p) + congruent(low, step)), p, u)

    @in_slices
    def log(self, p: Any, q: Any) -> Any:
        low, inside = log_between(wide(p), wide(q))
        return like(congruent(low, inside), p, q)

    @in_slices
    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # E u E^T for the root E of q p^-1.
        low, turned = root_between(wide(p), wide(q))
        return like(congruent(turned, carried(low, wide(u))), p, q, u)

    def _translated(self, p: Any, origin: Any, q: Any) -> Any:
        # A congruence, which moves points as it does tangent vectors: p^-1/2 q p^-1/2.
        return origin + self.transport(p, origin, q - p)

    # --- curvature ------------------------------------------------------------------------------

    def curvature_tensor(self, p: Any, u: Any, v: Any, w: Any) -> Any:
        # Where p is the unit matrix: -[[u, v], w] / 4.
        low = _factor(p)
        u, v, w = (carried(low, wide(each)) for each in (u, v, w))
        turn = u @ v - v @ u
        return congruent(low, w @ turn - turn @ w) / 4

    def scalar_curvature(self, p: Any, method: str | None = None, order: int = ORDER) -> Any:
        if self.method_for("scalar_curvature", method, order) != "closed":
            return super().scalar_curvature(p, method, order)
        return -self.n * (self.n - 1) * (self.n + 2) / 8 + 0 * self.norm(p, 0 * p)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        xp = namespace(p)
        turned = xp.linalg.solve(p + xp.zeros_like(v), v + xp.zeros_like(p))
        return -symmetric(u @ turned)

    # --- tangent vectors in a frame -------------------------------------------------------------

    @property
    def frame_columns(self) -> int:
        return self.dim

    def to_frame(self, p: Any, u: Any) -> Any:
        return flat_symmetric(carried(_factor(p), u))

    def from_frame(self, p: Any, y: Any) -> Any:
        return congruent(_factor(p), from_flat(y, self.n))

    def log_frame(self, p: Any, q: Any) -> Any:
        return flat_symmetric(of(LOG1P, carried(_factor(p), q - p)))

    def exp_frame(self, p: Any, y: Any) -> Any:
        low = _factor(p)
        return symmetric(p + congruent(low, of(EXPM1, from_flat(y, self.n))))

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        return self.to_frame(q, self.transport(p, q, self.from_frame(p, y)))

    def bending(self, dist: Any) -> Any:
        # The curvature is at least -1/2: t coth t for t = dist / sqrt(2).
        t = dist / math.sqrt(2)
        return namespace(dist).cosh(t) / sinhc(t)

    # --- exact neighbours -----------------------------------------------------------------------

    def features(self, x: Any) -> Sides:
        p = self.canonical(x)
        least, largest = lowest_and_highest(p)
        sound = least > 0
        xp = namespace(p)
        unit = xp.eye(self.n, dtype=p.dtype, device=p.device)
        found = level(xp.where(sound[..., None, None], p, unit))
        return Sides(p, where(sound, found, math.nan), largest / least)

    def rank(self, p: Any, q: Any) -> Any:
        """The squared distance, whatever the order of the two."""
        xp = namespace(p, q)
        a, b = (self.features(xp.reshape(x, (-1, *self.point_shape))) for x in (p, q))
        counts = [xp.arange(math.prod(x.shape[:-2]), device=x.device) for x in (p, q)]
        pairs = [xp.reshape(at, x.shape[:-2]) for at, x in zip(counts, (p, q), strict=True)]
        rows, others = xp.broadcast_arrays(*pairs)
        found = self._ranks(a, xp.reshape(rows, (-1,)), b, xp.reshape(others, (-1,)))
        return xp.reshape(found, rows.shape)

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        return self._ranks(x.features, rows, y.features, others)

    def _ranks(self, a: Sides, rows: Any, b: Sides, others: Any) -> Any:
        logs = pair_logs(a, rows, b, others)
        return lane_sum(logs * logs)

    def rank_to_dist(self, rank: Any) -> Any:
        return sqrt(rank)

    def rank_error(self, rank: Any) -> Any:
        return (self.dim + 16) * 2.0**-52 * rank

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return dist * (2 * rank**0.5 + dist)

    def rank_bound(self, rank: Any, p: Any, q: Any) -> Any:
        xp = namespace(p)
        condition = xp.maximum(*(_condition(each) for each in (p, q)))
        return self.rank_error(rank) + self.rank_spread(rank, self._off(rank**0.5, condition))

    def _off(self, dist: Any, condition: Any) -> Any:
        """How far a computed distance may be off, where the sum of both sides has a condition.

        What is turned by the L^-1 of this sum errs by so many roundings of its norm, times the
        condition, and its eigenvalues e by as much (Golub and Van Loan, Matrix computations, 2013,
        8.7.2; `arrays.eigen` says how much less it was found to be). l = 2 atanh(e), at most dist
        and log 2 for what their scale is off, errs by 2 cosh^2(l / 2) <= 2 e^l as much.
        """
        return 4 * self._roundings * condition * namespace(dist).exp(dist)

    @property
    def _roundings(self) -> float:
        return 8 * self.n**1.5 * 2.0**-52

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        p, q = decimals.symmetric(p), decimals.symmetric(q)
        side = decimals.lower_inverse(decimals.cholesky(p))
        inside = decimals.product(decimals.product(side, q), decimals.turned(side))
        return sum((x * x for row in decimals.logarithm(inside) for x in row), Decimal(0))

    # --- the lower bound ------------------------------------------------------------------------

    def dist_error(self, dist: Any, x: Rows) -> Any:
        # Added to one side, the other has a condition that is 2 e^dist times its own at most.
        xp = namespace(dist)
        return self._off(dist, 2 * xp.exp(dist) * x.features.condition) + LAST_DIGITS * dist

    def aim(self, x: Rows) -> Any:
        """L^-1 for the mean of some queries, or nearly."""
        xp = namespace(x.points)
        p = x.features.points[: min(CENTRED, x.points.shape[0]), ...]
        mean = xp.mean(p, axis=0)
        for _ in range(STEPS):
            mean = self.exp(mean, xp.mean(self.log(mean, p), axis=0))
        return lower_inverse(cholesky(mean))

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """Logarithms at the centre (Bhatia, 6.1.9)."""
        inside = congruent(aim, x.features.points)
        least, largest = lowest_and_highest(inside)
        flat = flat_symmetric(of(LOG, inside))
        return flat, self._roundings * (largest / least + norm(flat))


def _factor(p: Any) -> Any:
    return cholesky(wide(p))


def _condition(p: Any) -> Any:
    least, largest = lowest_and_highest(p)
    return largest / least
