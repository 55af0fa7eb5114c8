"""Symmetric positive definite matrices with the log-Euclidean metric."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

from ..arrays.decimals import logarithm, symmetric
from ..arrays.matrices import flat_symmetric, from_flat, lowest_and_highest
from ..arrays.namespace import constant, like, namespace, norm, where, wide
from ..arrays.symmetric import EXP, LOG, along, between_logs, definite, of, step
from ..arrays.threads import in_slices
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

    @in_slices
    def to_image(self, p: Any) -> Any:
        return flat_symmetric(of(LOG, p, _axes(p)))

    def from_image(self, x: Any) -> Any:
        return of(EXP, from_flat(x, self.n))

    def push(self, p: Any, u: Any) -> Any:
        xp = namespace(p, u)
        p, u = p + xp.zeros_like(u), u + xp.zeros_like(p)
        return flat_symmetric(along(LOG, p, u, _axes(p)))

    def pull(self, p: Any, y: Any) -> Any:
        y = from_flat(y, self.n)
        xp = namespace(p, y)
        p, y = p + xp.zeros_like(y), y + xp.zeros_like(p)
        values, vectors = axes = _axes(p)
        return along(EXP, of(LOG, p, axes), y, (xp.log(values), vectors))

    # --- geometry: of differences, which keep their digits where points are close ---------------

    def dist(self, p: Any, q: Any) -> Any:
        return like(norm(_step(wide(p), wide(q))), p, q)

    def exp(self, p: Any, u: Any) -> Any:
        # Short of the length of 1, no entry of the change is much larger than what it leads to.
        x, y = self.to_image(wide(p)), self._pushed(p, u)
        log, turned = from_flat(x, self.n), from_flat(x + y, self.n)
        near = wide(p) + step(EXP, log, turned)
        return like(where((norm(y) < 1)[..., None, None], near, of(EXP, turned)), p, u)

    def log(self, p: Any, q: Any) -> Any:
        p_wide = wide(p)
        return like(self.pull(p_wide, _step(p_wide, wide(q))), p, q)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        x, y = wide(p), wide(q)
        return like(between_logs(x, y, wide(u), (_axes(x), _axes(y))), p, q, u)

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


def _axes(p: Any) -> Any:
    return definite(constant(p))


def _step(p: Any, q: Any) -> Any:
    return flat_symmetric(step(LOG, p, q, (_axes(p), _axes(q))))
