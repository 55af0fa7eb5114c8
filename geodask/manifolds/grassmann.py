"""Subspaces of R^n."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

import numpy as np

from ..arrays.columns import nearest, orthonormal, singular_values
from ..arrays.decimals import angle, difference, eigenvalues, turned
from ..arrays.decimals import orthonormal as exact_orthonormal
from ..arrays.decimals import product as exact_product
from ..arrays.matrices import flat, flat_symmetric, product, transpose, unit_like
from ..arrays.namespace import dot, eps, lane_sum, like, namespace, norm, where, wide
from ..arrays.rotations import arctangent, blocks_of_geodesic
from ..arrays.series import atan
from ..arrays.threads import in_slices
from .base import Rows
from .orthonormal import Orthonormal

HALVINGS = 8
"""Steps to orthonormal columns from cosines of angles up to half a right one."""


@final
@dataclass(frozen=True)
class Grassmann(Orthonormal):
    """Subspaces of R^n of dimension k: n x k matrices, each for what its orthonormal columns span.

    dist^2 is the sum of the squared principal angles, up to min(k, n - k) times (pi / 2)^2, in
    whatever bases. Tangent vectors at p are matrices with p^T u = 0, which turn with the basis.
    `log` is NaN where an angle is pi / 2 (Edelman, Arias and Smith, The geometry of algorithms with
    orthogonality constraints, 1998; Bendokat, Zimmermann and Absil, A Grassmann manifold handbook,
    2024). Neighbours: chordal distances, between projections to the subspaces, are no longer.
    """

    k: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep_whole("k", 1, self.n - 1)

    @property
    def point_shape(self) -> tuple[int, int]:
        return (self.n, self.k)

    @property
    def dim(self) -> int:
        return self.k * (self.n - self.k)

    @property
    def origin(self) -> np.ndarray:
        """The span of the first axes."""
        return np.eye(self.n, self.k)

    @property
    def injectivity_radius(self) -> float:
        return math.pi / 2

    def to_tangent(self, p: Any, v: Any) -> Any:
        return like(_across(wide(p), wide(v)), p, v)

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return dot(flat(u), flat(v))

    def norm(self, p: Any, u: Any) -> Any:
        return norm(flat(u))

    @in_slices
    def dist(self, p: Any, q: Any) -> Any:
        sines, cosines = _sines_and_cosines(wide(p), wide(q))
        return like(norm(namespace(sines).atan2(sines, cosines)), p, q)

    @in_slices
    def exp(self, p: Any, u: Any) -> Any:
        x, step = wide(p), _across(wide(p), wide(u))
        along, across = blocks_of_geodesic(0 * (transpose(x) @ step), transpose(step) @ step)
        return like(orthonormal(x @ along + step @ across, 1), p, u)

    @in_slices
    def log(self, p: Any, q: Any) -> Any:
        # In the basis of q nearest to that of p, sine and cosine of the angles are the parts across
        # and along p, and s (1 + c)^-1 is the tangent of their half, at most 1.
        x, y = wide(p), wide(q) @ _alignment(p, q)
        cosine, sine = transpose(x) @ y, transpose(_across(x, y))
        tangent = namespace(x).linalg.solve(unit_like(cosine) + transpose(cosine), sine)
        return like(2 * _across(x, arctangent(transpose(tangent))), p, q)

    @in_slices
    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # As on the sphere: the reflections at p and then half-way take p to q and u along.
        basis = _alignment(p, q)
        middle = orthonormal((wide(p) + wide(q) @ basis) / 2, HALVINGS)
        there = wide(u) - 2 * middle @ (transpose(middle) @ wide(u))
        return like(_across(wide(q), there @ transpose(basis)), p, q, u)

    def curvature_tensor(self, p: Any, u: Any, v: Any, w: Any) -> Any:
        u, v, w = (wide(each) for each in (u, v, w))
        beside = u @ (transpose(v) @ w) - v @ (transpose(u) @ w)
        return beside + w @ (transpose(v) @ u - transpose(u) @ v) + 0 * wide(p)

    # --- tangent vectors in a frame: their entries ----------------------------------------------

    @property
    def frame_columns(self) -> int:
        return self.size

    def to_frame(self, p: Any, u: Any) -> Any:
        return flat(u)

    def from_frame(self, p: Any, y: Any) -> Any:
        return self._matrices(y)

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        return flat(self.transport(p, q, self.from_frame(p, y)))

    def to_basis(self, p: Any, y: Any) -> Any:
        return flat(transpose(self._rest(p)) @ self.from_frame(p, y))

    def from_basis(self, p: Any, c: Any) -> Any:
        inside = namespace(c).reshape(c, (*c.shape[:-1], self.n - self.k, self.k))
        return flat(self._rest(p) @ inside)

    # --- exact neighbours -----------------------------------------------------------------------

    def square(self, p: Any, q: Any) -> Any:
        sines, cosines = _sines_and_cosines(p, q)
        some = cosines > 0
        angles = atan(where(some, sines / where(some, cosines, 1.0), math.inf))
        return lane_sum(angles * angles)

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        p, q = exact_orthonormal(p), exact_orthonormal(q)
        across = difference(q, exact_product(p, exact_product(turned(p), q)))
        squares, least = eigenvalues(exact_product(turned(across), across)), Decimal(0)
        angles = [angle(max(s, least).sqrt(), max(1 - s, least).sqrt()) for s in squares]
        return sum((x * x for x in angles), Decimal(0))

    @property
    def working_bytes(self) -> int:
        return 64 + 48 * (self.n + 1) // (2 * self.k)  # a shadow has n (n + 1) / 2 columns

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """Projections p p^T over the root of 2: their distance^2 is the sum of squared sines."""
        p = x.features
        found = flat_symmetric(product(p, transpose(p))) / math.sqrt(2)
        return found, 0 * found[..., 0] + self.off


def _across(p: Any, v: Any) -> Any:
    """The part of v across the span of p."""
    return v - product(p, product(transpose(p), v))


def _alignment(p: Any, q: Any) -> Any:
    """The rotation or reflection that makes of q the basis nearest to p."""
    least = 2 * max(eps(p), eps(q))
    return nearest(transpose(wide(q)) @ wide(p), least=least)


def _sines_and_cosines(p: Any, q: Any) -> tuple[Any, Any]:
    """Of the principal angles, the largest first: (..., k)."""
    cosines = singular_values(product(transpose(p), q))
    sines = singular_values(_across(p, q - p))
    return sines, namespace(cosines).flip(cosines, axis=-1)
