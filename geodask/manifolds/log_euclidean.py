"""Symmetric positive definite matrices with the log-Euclidean metric."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

from ..arrays.decimals import logarithm, symmetric
from ..arrays.matrices import flat_symmetric, from_flat, lowest_and_highest
from ..arrays.namespace import like, namespace, norm, wide
from ..arrays.symmetric import EXP, LOG, along, of, step
from .euclidean import Euclidean
from .isometric import Isometric
from .spd import SPD


@final
@dataclass(frozen=True)
class SPDLogEuclidean(SPD, Isometric):
    """Symmetric positive definite n x n matrices; distances are those of their logarithms.

    A flat space: its geodesics are straight lines of logarithms (Arsigny, Fillard, Pennec and
    Ayache, Geometric means in a novel vector space structure on symmetric positive-definite
    matrices, 2007).
    """

    @property
    def image(self) -> Euclidean:
        return Euclidean(self.dim)

    def to_image(self, p: Any) -> Any:
        return flat_symmetric(of(LOG, p))

    def from_image(self, x: Any) -> Any:
        return of(EXP, from_flat(x, self.n))

    def push(self, p: Any, u: Any) -> Any:
        xp = namespace(p, u)
        return flat_symmetric(along(LOG, p + xp.zeros_like(u), u + xp.zeros_like(p)))

    def pull(self, p: Any, y: Any) -> Any:
        y = from_flat(y, self.n)
        xp = namespace(p, y)
        return along(EXP, of(LOG, p + xp.zeros_like(y)), y + xp.zeros_like(p))

    # --- geometry: of differences of logarithms, which keep their digits where points are close --

    def dist(self, p: Any, q: Any) -> Any:
        return like(norm(self._step(wide(p), wide(q))), p, q)

    def log(self, p: Any, q: Any) -> Any:
        p_wide = wide(p)
        return like(self.pull(p_wide, self._step(p_wide, wide(q))), p, q)

    def _step(self, p: Any, q: Any) -> Any:
        return flat_symmetric(step(LOG, p, q))

    # --- exact neighbours -----------------------------------------------------------------------

    def blur(self, p: Any) -> Any:
        # Eigenvalues are those of p + e with |e| of some n roundings of |p| (Higham, Accuracy and
        # stability of numerical algorithms, 2002, 1.8), and a logarithm moves by as much as its
        # number does, relatively; then rounding of the logarithms and their product.
        least, largest = lowest_and_highest(p)
        share = 8 * self.n * 2.0**-52
        return share * (math.sqrt(self.n) * largest / least + norm(self.to_image(p)))

    def exact_image(self, p: list[list[Decimal]]) -> list[Decimal]:
        n, root = range(self.n), Decimal(2).sqrt()
        log = logarithm(symmetric(p))
        return [log[i][j] * (1 if i == j else root) for i in n for j in range(i + 1)]
