"""What spaces of square matrices can do with covariances that are not definite."""

from typing import Any

from ..arrays.matrices import transpose
from ..arrays.namespace import namespace
from ..errors import SpecError


class Covariances:
    """Square matrices, among them covariances: of rank less than n after an average reference, or
    where there are few samples.
    """

    point_shape: tuple[int, ...]

    def shrink(self, c: Any, amount: Any) -> Any:
        """(1 - amount) c + amount tr(c) / n: towards the multiple of 1 that has the same trace
        (Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices,
        2004, with an amount of one's own)."""
        n, m = self.point_shape
        if n != m:
            raise SpecError(f"Square matrices are shrunk, but points of {self} came. Pass others.")
        xp = namespace(c)
        unit = xp.eye(n, dtype=c.dtype, device=c.device)
        mean = xp.sum(c * unit, axis=(-2, -1), keepdims=True) / n
        return (1 - amount) * c + amount * mean * unit

    def compress(self, c: Any, basis: Any) -> Any:
        """W^T c W for the columns W of a basis (n, m): the covariance of W^T y for that of y."""
        return transpose(basis) @ c @ basis
