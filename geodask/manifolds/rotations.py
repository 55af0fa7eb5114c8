"""Rotations of n dimensions."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.columns import nearest, orthonormal, singular_values
from ..arrays.decimals import angle, eigenvalues, turned
from ..arrays.decimals import orthonormal as exact_orthonormal
from ..arrays.decimals import product as exact_product
from ..arrays.decimals import symmetric as even
from ..arrays.matrices import flat, flat_skew, from_flat_skew, product, skew, transpose
from ..arrays.namespace import dot, eps, lane_sum, like, namespace, norm, root, sqrt, where, wide
from ..arrays.rotations import turn, turn_back
from ..arrays.series import atan
from ..arrays.threads import in_slices
from .base import Rows
from .orthonormal import Orthonormal


@final
@dataclass(frozen=True)
class Rotations(Orthonormal):
    """Rotation matrices of n rows, SO(n).

    dist^2 is the sum of the squared angles by which p^T q turns planes, up to n // 2 times pi^2: in
    three dimensions dist is the angle between two. That is the metric tr(u^T v) / 2, the same after
    every rotation from either side (Gallier and Xu, Computing exponentials of skew-symmetric
    matrices and logarithms of orthogonal matrices, 2002). Tangent vectors at p are p times
    skew-symmetric matrices. `log` is NaN where an angle is pi. Neighbours: chords are no longer.
    """

    @property
    def point_shape(self) -> tuple[int, int]:
        return (self.n, self.n)

    @property
    def dim(self) -> int:
        return self.n * (self.n - 1) // 2

    @property
    def origin(self) -> np.ndarray:
        return np.eye(self.n)

    @property
    def injectivity_radius(self) -> float:
        return math.pi

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The nearest rotation. NaN where two or more are as near."""
        return like(nearest(wide(x), proper=True), x)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Orthonormal.complaint_texts,
        3: "has a negative determinant: it is a reflection, or near one",
    }

    def complaints(self, p: Any) -> Any:
        xp, code = namespace(p), super().complaints(p)
        finite = where((code != 1)[..., None, None], wide(p), 1.0)
        mirrored = xp.linalg.det(finite) < 0
        return xp.where(mirrored, xp.full_like(code, 3), code)

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        p = super().random(shape, seed)
        p[..., -1] *= np.sign(np.linalg.det(p))[..., None]
        return p

    def to_tangent(self, p: Any, v: Any) -> Any:
        return like(wide(p) @ _body(p, v), p, v)

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return dot(flat(u), flat(v)) / 2

    def norm(self, p: Any, u: Any) -> Any:
        return norm(flat(u)) / math.sqrt(2)

    @in_slices
    def dist(self, p: Any, q: Any) -> Any:
        near, far = _half_tangents(wide(p), wide(q))
        angles = 2 * namespace(near).atan2(root(near), root(far))
        return like(norm(angles) / math.sqrt(self._copies), p, q)

    @in_slices
    def exp(self, p: Any, u: Any) -> Any:
        return like(orthonormal(wide(p) @ turn(_body(p, u)), 1), p, u)

    @in_slices
    def log(self, p: Any, q: Any) -> Any:
        return like(wide(p) @ _between(p, q), p, q)

    @in_slices
    def transport(self, p: Any, q: Any, u: Any) -> Any:
        half = turn(_between(p, q) / 2)
        return like(wide(p) @ half @ _body(p, u) @ half, p, q, u)

    def curvature_tensor(self, p: Any, u: Any, v: Any, w: Any) -> Any:
        # Of a group with a metric that is the same from either side: -[[u, v], w] / 4.
        u, v, w = (_body(p, each) for each in (u, v, w))
        turn = u @ v - v @ u
        return wide(p) @ (w @ turn - turn @ w) / 4

    # --- tangent vectors in a frame: what they are at the unit matrix ---------------------------

    @property
    def frame_columns(self) -> int:
        return self.dim

    def to_frame(self, p: Any, u: Any) -> Any:
        return flat_skew(_body(p, u))

    def from_frame(self, p: Any, y: Any) -> Any:
        return p @ from_flat_skew(y, self.n)

    def log_frame(self, p: Any, q: Any) -> Any:
        return flat_skew(_between(p, q))

    def exp_frame(self, p: Any, y: Any) -> Any:
        return orthonormal(p @ turn(from_flat_skew(y, self.n)), 1)

    # --- exact neighbours -----------------------------------------------------------------------

    def square(self, p: Any, q: Any) -> Any:
        near, far = _half_tangents(p, q)
        some = far > 0
        angles = 2 * atan(sqrt(where(some, near / where(some, far, 1.0), math.inf)))
        return lane_sum(angles * angles) / self._copies

    @property
    def _copies(self) -> int:
        """How often `_half_tangents` tells each angle."""
        return 1 if self.n < 4 else 2

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        between = exact_product(turned(exact_orthonormal(p)), exact_orthonormal(q))
        cosines, least = eigenvalues(even(between)), Decimal(0)  # which may be 1 and a last digit
        angles = [2 * angle(max(1 - c, least).sqrt(), max(1 + c, least).sqrt()) for c in cosines]
        return sum((x * x for x in angles), Decimal(0)) / 2

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """The points over the root of 2: a plane turned by t is as far as 2 sin(t / 2) apart."""
        flat, off = super().shadow(x, aim)
        return flat / math.sqrt(2), off


def _body(p: Any, u: Any) -> Any:
    """The skew-symmetric matrix that p turns into the tangent vector u."""
    return skew(transpose(wide(p)) @ wide(u))


def _between(p: Any, q: Any) -> Any:
    """The skew-symmetric matrix whose exponential takes p to q, from the right."""
    least = p.shape[-1] * max(eps(p), eps(q))
    p, q = wide(p), wide(q)
    return turn_back(transpose(p) @ (q - p), least)


def _half_tangents(p: Any, q: Any) -> tuple[Any, Any]:
    """Numerators and denominators of squared tangents of halves of the angles between rotations.

    Both (..., angles): of the one in up to three dimensions, else of each twice.
    """
    step = q - p
    if p.shape[-1] < 4:
        # cos t = 1 - |q - p|^2 / 4; sines keep the digits of small angles and of those near pi.
        entries, sines = flat(step), flat_skew(skew(product(transpose(p), step)))
        cosine, square = 1 - lane_sum(entries * entries) / 4, lane_sum(sines * sines)
        xp, acute = namespace(cosine), cosine >= 0
        near = xp.where(acute, square, (1 - cosine) ** 2)
        far = xp.where(acute, (1 + cosine) ** 2, square)
        return near[..., None], far[..., None]
    sines, cosines = singular_values(step), singular_values(q + p)
    return sines * sines, namespace(cosines).flip(cosines, axis=-1) ** 2
