"""What metrics of orthonormal frames share: geodesics that are found by shooting."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ..arrays.columns import orthonormal
from ..arrays.matrices import (
    flat,
    flat_skew,
    from_flat_skew,
    norm_of,
    product,
    skew,
    symmetric,
    transpose,
)
from ..arrays.namespace import (
    constant,
    dot,
    is_differentiated,
    lane_sum,
    like,
    namespace,
    norm,
    wide,
)
from ..arrays.rotations import blocks_of_geodesic, carried_along, exponential
from ..arrays.shooting import ROUNDING, Shots
from ..arrays.threads import in_slices
from ..errors import SpecError
from .base import Rows
from .orthonormal import Orthonormal


@dataclass(frozen=True)
class Stiefel(Orthonormal):
    """n x k matrices with orthonormal columns, k < n, and a metric that is weight |a|^2 + |w|^2 of
    tangent vectors p a + w, where a is skew-symmetric and p^T w = 0.

    After every rotation from the left or the right it is the same (Hüper, Markina and Silva Leite,
    A Lagrangian approach to extremal curves on Stiefel manifolds, 2021).
    """

    k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_whole("k", 1, self.n - 1)

    @property
    @abstractmethod
    def weight(self) -> float: ...

    @property
    def point_shape(self) -> tuple[int, int]:
        return (self.n, self.k)

    @property
    def dim(self) -> int:
        return self.n * self.k - self.k * (self.k + 1) // 2

    @property
    def origin(self) -> np.ndarray:
        """The first axes."""
        return np.eye(self.n, self.k)

    @property
    def is_minimal(self) -> bool:
        return False

    def to_tangent(self, p: Any, v: Any) -> Any:
        x, w = wide(p), wide(v)
        return like(w - product(x, symmetric(product(transpose(x), w))), p, v)

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        a, b = (self.to_frame(wide(p), wide(each)) for each in (u, v))
        return like(dot(a, b), p, u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return like(norm(self.to_frame(wide(p), wide(u))), p, u)

    @in_slices
    def exp(self, p: Any, u: Any) -> Any:
        x = wide(p)
        a, w = _parts(x, wide(u))
        along, across = blocks_of_geodesic(2 * self.weight * a, transpose(w) @ w)
        end = (x @ along + w @ across) @ exponential(self._spin * a)
        return like(orthonormal(end, 1), p, u)

    @property
    def _spin(self) -> float:
        """How fast a geodesic turns from the right, as a share of a."""
        return 1 - 2 * self.weight

    def log(self, p: Any, q: Any) -> Any:
        x, y = self.canonical(p), self.canonical(q)
        found = Shots(x, y, self.weight)
        u = found.velocity()
        if is_differentiated(x, y):
            # A step that changes nothing but for rounding, and has the derivatives.
            u = u + found.change(y - self.exp(x, u))
        return like(self.to_tangent(x, u), p, q)

    @in_slices
    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # p a + w leads along e^tW p e^tz for a skew-symmetric W. Of a vector e^tW v e^tz the
        # covariant derivative is e^tW (v' + turned(v)) e^tz: so v is the exponential of that.
        x = self.canonical(p)
        step = self.log(x, self.canonical(q))
        a, w = _parts(x, step)
        weight, size = self.weight, 2.5 * norm_of(constant(step))

        def turned(v: Any) -> Any:
            b, beside = _parts(x, v)
            inside = (2 * weight - 0.5) * (b @ a - a @ b) + skew(transpose(w) @ beside)
            return x @ inside + weight * (beside @ a - w @ b)

        def moved(v: Any) -> Any:
            b = transpose(x) @ v
            return x @ (2 * weight * a @ b - transpose(w) @ v) + w @ b + self._spin * (v @ a)

        v = carried_along(turned, self.to_tangent(x, wide(u)) + 0 * step, size)
        return like(self.to_tangent(self.canonical(q), carried_along(moved, v, size)), p, q, u)

    # --- tangent vectors in a frame: their entries ----------------------------------------------

    @property
    def frame_columns(self) -> int:
        return self.size

    def to_frame(self, p: Any, u: Any) -> Any:
        return flat(_stretched(p, u, math.sqrt(self.weight)))

    def from_frame(self, p: Any, y: Any) -> Any:
        u = self._matrices(y)
        return _stretched(p, u, 1 / math.sqrt(self.weight))

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        return self.to_frame(q, self.transport(p, q, self.from_frame(p, y)))

    def to_basis(self, p: Any, y: Any) -> Any:
        u = self._matrices(y)
        inside = flat_skew(skew(transpose(p) @ u)) * math.sqrt(2)
        return namespace(y).concat([inside, flat(transpose(self._rest(p)) @ u)], axis=-1)

    def from_basis(self, p: Any, c: Any) -> Any:
        xp, count = namespace(c), self.k * (self.k - 1) // 2
        beside = xp.reshape(c[..., count:], (*c.shape[:-1], self.n - self.k, self.k))
        u = self._rest(p) @ beside
        if self.k > 1:
            u = u + p @ from_flat_skew(c[..., :count] / math.sqrt(2), self.k)
        return flat(u)

    # --- neighbours -----------------------------------------------------------------------------

    def square(self, p: Any, q: Any) -> Any:
        c = Shots(p, q, self.weight).c
        return lane_sum(c * c)

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        raise SpecError(
            "A rank in decimals is that of a shortest geodesic",
            came=f"{self} finds geodesics that may not be",
            do="Compare distances of `dist`.",
        )

    @property
    def off(self) -> float:
        return super().off + ROUNDING

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """The points times a root: where the weight is at most 1, the metric is at least as much as
        the flat one times the weight, in which no way is shorter than the chord."""
        flat, off = super().shadow(x, aim)
        return math.sqrt(self.weight) * flat, off


def _parts(p: Any, u: Any) -> tuple[Any, Any]:
    """a and w of tangent vectors u = p a + w."""
    inside = transpose(p) @ u
    return skew(inside), u - p @ inside


def _stretched(p: Any, u: Any, factor: float) -> Any:
    """Tangent vectors p a + w with another a."""
    return u + (factor - 1) * (p @ (transpose(p) @ u))
