"""The Poincaré ball: hyperbolic space inside the unit sphere, conformal to flat space."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.doubled import one_minus_square
from ..arrays.namespace import dot, eps, is_host, like, namespace, norm, where, widen
from ..arrays.threads import over_rows
from . import radial
from .conformal import Conformal
from .hyperbolic import Hyperbolic

SLICE_ROWS = 4096
"""Rows whose distances are computed at once."""


@final
@dataclass(frozen=True)
class PoincareBall(Conformal):
    """The open unit ball of R^n with the conformal metric of sectional curvature K < 0.

    Points are stored in the unit ball for every K, with 1 - |x|^2 at least the epsilon of their
    dtype: out to a distance of 8.3, 17.3 and 37.4 over sqrt(-K) from the origin in float16, float32
    and float64. Formulas: with d = q - p, Q(x) = 1 - |x|^2 and D = |d|^2 + Q(p) Q(q),
    sinh^2(dist / 2) = |d|^2 / (Q(p) Q(q)), and the Möbius sum -p + q = (Q(p) d - |d|^2 p) / D
    (Ungar, Analytic Hyperbolic Geometry, 2005, rewritten in differences, which cancel nothing).
    `exp` is that of `radial`.
    """

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The point itself. NaN outside the ball, which is open: no point of it is the nearest."""
        return where((_left_to_rim(x) > 0)[..., None], x, math.nan)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Hyperbolic.complaint_texts,
        2: "lies outside the unit ball or on its rim",
    }

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        inside = _left_to_rim(p)
        code = xp.astype(inside < eps(p), xp.int8) * 3
        code = xp.where(inside > 0, code, xp.full_like(code, 2))
        return xp.where(xp.all(xp.isfinite(p), axis=-1), code, xp.full_like(code, 1))

    def near_limit(self, x: Any) -> Any:
        limit = 16 * eps(x)  # what the radius says, without a logarithm
        if not (is_host(x) and x.ndim == 2):
            return _left_to_rim(x) < limit
        from ..arrays.fused import row_norms

        # |x| > 1 - limit where 1 - |x|^2 < limit, and is computed with n roundings at most.
        near = ~(row_norms(widen(x)) <= 1 - 2 * limit - self.n * 2.0**-52)
        near[near] = _left_to_rim(x[near]) < limit
        return near

    # --- models ---------------------------------------------------------------------------------

    def to_polar(self, p: Any) -> tuple[Any, Any]:
        p = self.canonical(p)
        return radial.split(2 * self.weight(p)[..., None] * p, radial.first_axis(p))

    def from_polar(self, direction: Any, radius: Any) -> Any:
        return namespace(radius).tanh(radius / 2)[..., None] * direction

    def to_frame(self, p: Any, u: Any) -> Any:
        return 2 * self.weight(p)[..., None] * u

    def from_frame(self, p: Any, y: Any) -> Any:
        return y / (2 * self.weight(p))[..., None]

    # --- geometry -------------------------------------------------------------------------------

    def weight(self, p: Any) -> Any:
        inside = _to_rim(p)
        return 1 / where(inside > 0, inside, math.nan)

    @property
    def weight_error(self) -> float:
        # One rounding of the reciprocal, one of the sum; and what the sum lost, where it is small.
        return 2.0**-52 + 2 * (self.n + 1) ** 2 * 2.0**-54

    def bend(self, p: Any) -> Any:
        return p

    def dist(self, p: Any, q: Any) -> Any:
        if not (is_host(p) and p.shape == q.shape and p.ndim == 2 and p.dtype == q.dtype == "f4"):
            return super().dist(p, q)
        from ..arrays.fused import ball_half_sinhs

        out = np.empty(len(p), np.float32)

        def fill(start: int, stop: int) -> None:
            for low in range(start, stop, SLICE_ROWS):
                rows = slice(low, min(low + SLICE_ROWS, stop))
                ball_half_sinhs(p[rows], q[rows], out[rows])
                out[rows] = 2 * self.radius * np.arcsinh(out[rows])

        over_rows(fill, len(p), 2 * self.n)
        return out

    def exp(self, p: Any, u: Any) -> Any:
        # The Möbius sum of p and y = tanh(t / 2) u / |u|, as a difference from p: Q(p) (y + |y|^2
        # p) / D with D = 1 + 2 <p, y> + |p|^2 |y|^2 has the digits of p. Where the geodesic turns
        # back, and D is small, or rounding leads out of the ball, what is seen from the origin.
        xp, x = namespace(p, u), self.canonical(p)
        direction, radius = self.to_polar(p)
        v = self.to_frame(p, u)
        far = self.from_polar(*radial.exp(direction, radius, *radial.parts(direction, v)))
        half = norm(v) / 2
        some = where(half > 0, half, 1.0)
        y = (where(half > 0, xp.tanh(some) / some, 1.0) / 2)[..., None] * v
        square = dot(y, y)
        over = 1 + 2 * dot(x, y) + dot(x, x) * square
        ahead = over > 0.25
        over = self.weight(p) * where(ahead, over, 1.0)
        near = x + (y + square[..., None] * x) / over[..., None]
        inside = _left_to_rim(near) > 0
        return like(xp.where((ahead & inside)[..., None], near, far), p, u)

    def add_logs(self, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
        from ..arrays.logs import ball_logs

        ball_logs(x, weights, p, _to_rim(p[None])[0], sums)

    def exact_rank(self, p: list[Decimal], q: list[Decimal]) -> Decimal:
        square = sum(((a - b) * (a - b) for a, b in zip(p, q, strict=True)), Decimal(0))
        inside = [1 - sum((a * a for a in each), Decimal(0)) for each in (p, q)]
        return square / (inside[0] * inside[1])

    # --- gyrovectors ----------------------------------------------------------------------------

    def mobius_add(self, p: Any, q: Any) -> Any:
        """The Möbius sum of p and q: the translation of the origin to p, applied to q.

        In the coordinates of the unit ball, whatever K (Ungar, Analytic Hyperbolic Geometry, 2005).
        It is neither commutative nor associative: see `gyration`.
        """
        step = p + q
        square, inside = dot(step, step), one_minus_square(p)
        over = square + inside * one_minus_square(q)
        moved = inside[..., None] * step + square[..., None] * p
        return like(moved / over[..., None], p, q)

    def mobius_scale(self, p: Any, t: Any) -> Any:
        """t times p: on the ray through p, at t times its distance from the origin.

        t is (...,); where it is negative, on the opposite ray.
        """
        direction, radius = self.to_polar(p)
        return like(self.from_polar(direction, t * radius), p)

    def gyration(self, p: Any, q: Any, u: Any) -> Any:
        """gyr[p, q] u, the rotation with p + (q + r) = (p + q) + gyr[p, q] r for all r."""
        pq, pp, qq = dot(p, q), dot(p, p), dot(q, q)
        pu, qu = dot(p, u), dot(q, u)
        along_p = (1 + 2 * pq) * qu - pu * qq
        along_q = -(pu + qu * pp)
        turned = along_p[..., None] * p + along_q[..., None] * q
        return u + 2 * turned / (1 + 2 * pq + pp * qq)[..., None]


def _to_rim(p: Any) -> Any:
    """1 - |p|^2 in double-double."""
    if not (is_host(p) and p.ndim == 2 and p.dtype.kind == "f"):
        return one_minus_square(p)
    from ..arrays.fused import one_minus_squares

    return one_minus_squares(widen(p))


def _left_to_rim(x: Any) -> Any:
    """The same of any rows: coordinates that are far out, or no numbers, count as 2."""
    return _to_rim(where(namespace(x).abs(x) <= 2, x, 2.0))
