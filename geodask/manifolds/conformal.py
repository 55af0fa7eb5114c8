"""Models of hyperbolic space inside flat space whose angles are the flat ones."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays.difference import weighted_squares
from ..arrays.namespace import dot, is_host, like, namespace, norm, root, wide, widen
from ..arrays.threads import over_rows
from .coordinates import Vectors
from .difference import Weighted, WeightedDifference
from .radial import twice_reflected, unit_or_zero
from .rounds import conformal_connection

STRIP_ROWS = 128
"""Rows whose distances to all others are computed at once."""

Fill = tuple[type, Callable[[slice, np.ndarray, np.ndarray], None]]
"""Takes rows, room for as many results in the type that comes first, and where they go."""

FEW_TERMS = 128
"""Terms of a product that float32 adds with a loss of few roundings."""
FAR = 0.25
"""|x - y|^2 as a share of |x|^2 + |y|^2 from where it is right, by such products, to few roundings
more. The distance is right to half as many or, where it is more than 2, to fewer."""


@dataclass(frozen=True)
class Conformal(WeightedDifference):
    """A part of flat space whose metric is the flat one times (2 w)^2, for a weight w."""

    @abstractmethod
    def weight(self, p: Any) -> Any:
        """w(p), half the factor by which the flat length grows: float64."""

    @abstractmethod
    def bend(self, p: Any) -> Any:
        """Minus half the gradient of 1 / w: geodesics bend away from it."""

    @property
    def chart(self) -> Vectors:
        return Vectors(self)

    def weighted(self, x: Any) -> Weighted:
        return Weighted(self.weight(self.canonical(x)), widen(x), None)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return like(dot(u, v) * (2 * self.radius * self.weight(p)) ** 2, p, u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return like(norm(u) * (2 * self.radius * self.weight(p)), p, u)

    def dist(self, p: Any, q: Any) -> Any:
        return like(2 * self.radius * namespace(p, q).asinh(self._half_sinh(p, q)), p, q)

    def pairwise(self, p: Any, q: Any) -> Any:
        if not (is_host(p) and is_host(q) and p.shape[1:] == q.shape[1:] == self.point_shape):
            return super().pairwise(p, q)
        out = np.empty((len(p), len(q)), np.result_type(p, q))
        kind, fill = self._by_products(p, q) if out.dtype == "f4" else self._by_steps(p, q)

        def distances(start: int, stop: int) -> None:
            room = np.empty((STRIP_ROWS, len(q)), kind)
            for low in range(start, stop, STRIP_ROWS):
                rows = slice(low, min(low + STRIP_ROWS, stop))
                fill(rows, room[: rows.stop - low], out[rows])
                np.arcsinh(out[rows], out=out[rows])
                out[rows] *= 2 * self.radius

        over_rows(distances, len(p), len(q) * self.n, blas=True)
        return out

    def _by_products(self, p: np.ndarray, q: np.ndarray) -> Fill:
        """What fills rows of sinh(dist / 2) in float32."""
        from ..arrays.fused import product_half_sinhs

        p, q = widen(p), widen(q)
        x, y = p.astype(np.float64), q.astype(np.float64)
        ours, theirs = (p, dot(x, x), self.weight(p)), (q, dot(y, y), self.weight(q))
        least = self.n * 2.0**-28
        if self.n <= FEW_TERMS and _mostly_far(x, y):
            x, y, least = p, q, FAR

        def fill(rows: slice, room: np.ndarray, out: np.ndarray) -> None:
            mine = tuple(part[rows] for part in ours)
            product_half_sinhs(np.matmul(x[rows], y.T, out=room), mine, theirs, least, out)

        return x.dtype.type, fill

    def _by_steps(self, p: np.ndarray, q: np.ndarray) -> Fill:
        """The same by differences, in float64."""
        ours = self.weight(p)
        columns = np.concatenate([q.T, -self.weight(q)[None, :]])

        def fill(rows: slice, room: np.ndarray, out: np.ndarray) -> None:
            np.sqrt(weighted_squares(p[rows], columns, room) * ours[rows, None], out=out)

        return np.float64, fill

    def log(self, p: Any, q: Any) -> Any:
        length = namespace(p, q).asinh(self._half_sinh(p, q)) / self.weight(p)
        return like(self._direction(p, q) * length[..., None], p, q)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        slope = 2 * self.weight(p)[..., None] * self.bend(p)  # of the logarithm of the weight
        return conformal_connection(slope, u, v)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        # The translation along the geodesic is two reflections: in the hyperplane across it at p,
        # and in the one half-way, an inversion that takes p to q along the line through both. The
        # normals are those of `_direction` and the chord, which differ by |q - p|^2 w(p) bend(p).
        step = wide(q) - wide(p)
        bent = (norm(step) * self.weight(p))[..., None] * wide(self.bend(p))
        turned = twice_reflected(wide(u), unit_or_zero(step), bent)
        return like(turned * (self.weight(p) / self.weight(q))[..., None], p, q, u)

    def _half_sinh(self, p: Any, q: Any) -> Any:
        """sinh(dist / 2) in curvature -1."""
        return norm(q - p) * root(self.weight(p) * self.weight(q))

    def _direction(self, p: Any, q: Any) -> Any:
        """The unit vector, of flat length, from p towards q; zero where they are equal."""
        step = q - p
        bent = step / self.weight(p)[..., None] - dot(step, step)[..., None] * self.bend(p)
        return unit_or_zero(bent)


def _mostly_far(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether hardly any pair is near, as far as a few of them tell: near ones cost more."""
    x, y = _some(x, 1), _some(y, 2)  # rows at other places: those at the same may well be near
    both = dot(x, x)[:, None] + dot(y, y)[None, :]
    return np.count_nonzero(both - 2 * x @ y.T < FAR * both) <= both.size >> 8


def _some(x: np.ndarray, place: int) -> np.ndarray:
    step = max(1, len(x) // 64)
    return x[place * step // 3 :: step]
