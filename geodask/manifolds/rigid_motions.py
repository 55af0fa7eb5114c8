"""Rigid motions of n dimensions: rotations with translations."""

import math
from dataclasses import dataclass
from typing import Any, final

from ..arrays.matrices import flat
from ..arrays.namespace import eps, namespace, where
from ..errors import SpecError
from .euclidean import Euclidean
from .given import as_weight
from .product import Product
from .rearranged import Rearranged
from .rotations import Rotations


@final
@dataclass(frozen=True)
class RigidMotions(Rearranged):
    """Rigid motions [[R, t], [0, 1]], SE(n): matrices of n + 1 rows, R a rotation of n dimensions.

    dist^2 is that of the rotations plus ``weight`` times |t - s|^2. It is the metric that no motion
    from the left changes and that has tr(w^T w) / 2 + weight |v|^2 for velocities R w and R v: the
    rotation of v keeps its length, so SE(n) is the product of SO(n) and R^n (Park, Distance metrics
    on the rigid-body motions with applications to mechanism design, 1995). Geodesics go straight
    ahead while they turn, and are no screws; which ones are shortest is known, as in the factors.
    """

    weight: float = 1.0
    """What a unit of length counts beside a radian, squared."""

    smallest_n = Rotations.smallest_n

    def __post_init__(self) -> None:
        super().__post_init__()
        if math.isnan(as_weight(self.weight)):
            raise SpecError(
                "RigidMotions needs a positive finite weight",
                came=f"weight={self.weight!r} came",
                do="Pass such as 1 / length**2 for the length that counts as a radian.",
            )
        object.__setattr__(self, "weight", as_weight(self.weight))

    @property
    def point_shape(self) -> tuple[int, int]:
        return (self.n + 1, self.n + 1)

    @property
    def image(self) -> Product:
        return Product((Rotations(self.n), Euclidean(self.n)), (1.0, self.weight))

    def to_image(self, p: Any) -> Any:
        """The rotation and the translation, side by side."""
        return namespace(p).concat([flat(p[..., :-1, :-1]), p[..., :-1, -1]], axis=-1)

    def from_image(self, x: Any) -> Any:
        return self._matrix(x, 1.0)

    def _matrix(self, x: Any, corner: float) -> Any:
        xp, n = namespace(x), self.n
        turn = xp.reshape(x[..., : n * n], (*x.shape[:-1], n, n))
        upper = xp.concat([turn, x[..., n * n :, None]], axis=-1)
        last = xp.zeros_like(upper[..., :1, :])
        last = xp.concat([last[..., :-1], xp.full_like(last[..., -1:], corner)], axis=-1)
        return xp.concat([upper, last], axis=-2)

    def pull(self, p: Any, y: Any) -> Any:
        x = self._matrix(y, 0.0)
        return x + namespace(p, x).zeros_like(p)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return self._matrix(self.image.to_tangent(self.to_image(p), self.to_image(v)), 0.0)

    def project(self, x: Any) -> Any:
        """With the nearest rotation. NaN where the last row is not finite."""
        finite = namespace(x).all(namespace(x).isfinite(x[..., -1, :]), axis=-1)
        return where(finite[..., None, None], super().project(x), math.nan)

    @property
    def _last_row(self) -> int:
        """The complaint after those of the parts."""
        return 1 + max(self.image.complaint_texts)

    @property
    def complaint_texts(self) -> dict[int, str]:
        """Those of the parts, and of the last row."""
        own = "has a last row other than zeros and a one", "holds NaN or infinity in its last row"
        return super().complaint_texts | dict(enumerate(own, self._last_row))

    @property
    def mended_by_project(self) -> frozenset[int]:
        """Those of the parts, and other finite numbers in the last row."""
        return super().mended_by_project | {self._last_row}

    def complaints(self, p: Any) -> Any:
        xp, codes = namespace(p), super().complaints(p)
        unit = xp.eye(self.n + 1, dtype=p.dtype, device=p.device)[-1, :]
        off = xp.max(xp.abs(p[..., -1, :] - unit), axis=-1)
        other = xp.where((off > 16 * eps(p)) & (codes == 0), self._last_row, codes)
        return xp.where(xp.isfinite(off), other, self._last_row + 1)
