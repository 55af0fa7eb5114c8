"""The probability simplex with the Fisher-Rao metric: distributions over n outcomes."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.namespace import eps, lane_sum, namespace, root, where, wide
from .base import Manifold
from .coordinates import AllButLast
from .given import batch
from .isometric import Isometric
from .sphere import Sphere


@final
@dataclass(frozen=True)
class Simplex(Isometric):
    """Rows of R^n that are not negative and sum to 1.

    Their square roots are points of a sphere of radius 2, where angles are half distances: two
    distributions lie at most pi apart, where no outcome is possible in both (Amari and Nagaoka,
    Methods of information geometry, 2000, 2.2). Where an outcome is impossible, so are tangent
    vectors: distances are defined, logs are NaN or leave the outcome impossible.
    """

    smallest_n: ClassVar[int] = 2

    @property
    def origin(self) -> np.ndarray:
        """The uniform distribution."""
        return np.full(self.n, 1 / self.n)

    @property
    def chart(self) -> AllButLast:
        return AllButLast(self)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """x over its sum. NaN where a coordinate is negative, or all are zero."""
        xp = namespace(x)
        total = xp.sum(x, axis=-1, keepdims=True)
        sound = (xp.min(x, axis=-1, keepdims=True) >= 0) & (total > 0)
        return x / where(sound, total, math.nan)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v - p * namespace(p, v).sum(v, axis=-1, keepdims=True)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "has a negative coordinate",
        3: "does not sum to 1",
    }
    mended_by_project: ClassVar[frozenset[int]] = frozenset({3})

    def complaints(self, p: Any) -> Any:
        xp = namespace(p)
        p, tolerance = wide(p), 2 * math.sqrt(self.n) * eps(p)
        total = lane_sum(p)
        code = xp.astype(xp.abs(total - 1) > tolerance, xp.int8) * 3
        code = xp.where(xp.min(p, axis=-1) < 0, xp.full_like(code, 2), code)
        return xp.where(xp.isfinite(total), code, xp.full_like(code, 1))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Uniform on the simplex."""
        return self.project(np.random.default_rng(seed).exponential(size=(*batch(shape), self.n)))

    def room(self, p: Any) -> Any:
        """The distance to where the first outcome becomes impossible."""
        xp = namespace(p)
        return 2 * xp.asin(xp.sqrt(xp.min(p, axis=-1)))

    # --- geometry -------------------------------------------------------------------------------

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        # Of the square roots s the acceleration is -|s'|^2 s, and p'' = 2 s s'' + 2 s'^2.
        product = u * v / p
        return (p * namespace(product).sum(product, axis=-1, keepdims=True) - product) / 2

    # --- images ---------------------------------------------------------------------------------

    @property
    def image(self) -> Sphere:
        return Sphere(self.n, curvature=0.25)

    def canonical(self, x: Any) -> Any:
        x = wide(x)
        return x / lane_sum(x)[..., None]

    def to_image(self, p: Any) -> Any:
        return root(p)

    def from_image(self, x: Any) -> Any:
        """The squares. NaN where a coordinate is negative: a geodesic ends at the boundary."""
        return where((namespace(x).min(x, axis=-1) >= 0)[..., None], x * x, math.nan)

    def push(self, p: Any, u: Any) -> Any:
        # What stays impossible does not move.
        some = p > 0
        return where(some, u / where(some, 2 * root(p), 1.0), where(u == 0, 0 * u, math.nan))

    def pull(self, p: Any, y: Any) -> Any:
        return where((p > 0) | (y == 0), 2 * root(p) * y, math.nan)

    def blur(self, p: Any) -> Any:
        # Two roundings a coordinate, that of the root and half of those before it.
        return 0 * p[..., 0] + 2.0**-50

    def exact_image(self, p: list[Decimal]) -> list[Decimal]:
        return [each.sqrt() for each in p]
