"""Symmetric positive definite matrices with the log-Cholesky metric."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, final

from ..arrays import decimals
from ..arrays.matrices import (
    diagonal,
    from_lower,
    lower,
    lower_inverse,
    norm_of,
    symmetric,
    with_diagonal,
)
from ..arrays.namespace import namespace, norm
from ..arrays.refined import cholesky, cholesky_slope, gathered
from ..arrays.threads import in_slices
from .euclidean import Euclidean
from .isometric import Isometric
from .spd import SPD


@final
@dataclass(frozen=True)
class SPDLogCholesky(SPD, Isometric):
    """Symmetric positive definite n x n matrices; distances are those of their Cholesky factors,
    whose diagonals count by their logarithms.

    A flat space: its geodesics are straight lines of triangles (Lin, Riemannian geometry of
    symmetric positive definite matrices via Cholesky decomposition, 2019).
    """

    @property
    def image(self) -> Euclidean:
        return Euclidean(self.dim)

    def extent(self, p: Any) -> Any:
        """Of an entry x of L beside a diagonal y, x^2 + y^2 is stored: log(y) turns over y^2."""
        xp = namespace(p)
        least = xp.min(diagonal(cholesky(p)) ** 2, axis=-1)
        return xp.minimum(super().extent(p), least)

    @in_slices
    def to_image(self, p: Any) -> Any:
        """The rows of the factor L, p = L L^T, with the logarithms of its diagonal."""
        factor = cholesky(p)
        return lower(with_diagonal(factor, namespace(p).log(diagonal(factor))))

    def from_image(self, x: Any) -> Any:
        factor = from_lower(x, self.n)
        factor = with_diagonal(factor, namespace(x).exp(diagonal(factor)))
        return symmetric(gathered((factor, factor)))

    def push(self, p: Any, u: Any) -> Any:
        factor = cholesky(p)
        step = cholesky_slope(factor, u)
        return lower(with_diagonal(step, diagonal(step) / diagonal(factor)))

    def pull(self, p: Any, y: Any) -> Any:
        factor = cholesky(p)
        step = from_lower(y, self.n)
        step = with_diagonal(step, diagonal(step) * diagonal(factor))
        return symmetric(gathered((step, factor), (factor, step)))

    def blur(self, p: Any) -> Any:
        # The factor is that of p + e with |e| <= (n + 1) roundings of |L| |L^T| (Higham, Accuracy
        # and stability of numerical algorithms, 2002, 10.1), and p itself has been rounded: in L,
        # `push` makes of it no more than this.
        xp = namespace(p)
        factor = cholesky(p)
        size = norm_of(xp.abs(lower_inverse(factor)) @ xp.abs(factor))
        off = (self.n + 4) * 2.0**-53 * size * size * (1 + norm_of(factor))
        return off + 2.0**-52 * norm(self.to_image(p))

    def exact_image(self, p: list[list[Decimal]]) -> list[Decimal]:
        factor = decimals.cholesky(decimals.symmetric(p))
        return [x.ln() if i == j else x for i, row in enumerate(factor) for j, x in enumerate(row)]
