"""Hermitian positive definite matrices, with the metrics of symmetric ones."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.namespace import namespace
from .affine_invariant import SPDAffineInvariant
from .bures_wasserstein import SPDBuresWasserstein
from .coordinates import Stored
from .given import batch
from .log_cholesky import SPDLogCholesky
from .log_euclidean import SPDLogEuclidean
from .power import Power
from .rearranged import Rearranged
from .spd import SPD


@dataclass(frozen=True)
class HPD(Rearranged):
    """Hermitian positive definite n x n matrices, in a metric that a subclass states: rows
    (2, n, n), real and imaginary parts, as `np.stack([z.real, z.imag], axis=1)` makes of complex
    ones.

    With a number a + ib for each block [[a, -b], [b, a]] they are symmetric matrices of 2n x 2n,
    among which they hold every geodesic, Cholesky factor and logarithm; squared distances are
    halved there, for each eigenvalue comes twice. A stored matrix stands for its Hermitian part.
    """

    real: ClassVar[type[SPD]]
    """The space of these."""

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (2, self.n, self.n)

    @property
    def dim(self) -> int:
        return self.n**2

    @property
    def origin(self) -> np.ndarray:
        """The unit matrix."""
        return np.stack([np.eye(self.n), np.zeros((self.n, self.n))])

    @property
    def chart(self) -> "HermitianTriangle":
        return HermitianTriangle(self)

    @property
    def image(self) -> Power:
        return Power(self.real(2 * self.n), 1, weight=0.5)

    def to_image(self, p: Any) -> Any:
        xp, real, imaginary = namespace(p), p[..., 0, :, :], p[..., 1, :, :]
        upper = xp.stack([real, -imaginary], axis=-1)
        blocks = xp.stack([upper, xp.stack([imaginary, real], axis=-1)], axis=-3)
        return xp.reshape(blocks, (*p.shape[:-3], 1, 2 * self.n, 2 * self.n))

    def from_image(self, x: Any) -> Any:
        """The means of what is there twice."""
        xp = namespace(x)
        x = xp.reshape(x, (*x.shape[:-3], self.n, 2, self.n, 2))
        real = (x[..., 0, :, 0] + x[..., 1, :, 1]) / 2
        return xp.stack([real, (x[..., 1, :, 0] - x[..., 0, :, 1]) / 2], axis=-3)

    @property
    def complaint_texts(self) -> dict[int, str]:
        """Those of symmetric matrices."""
        texts = super().complaint_texts
        return {code: text.replace("symmetric", "Hermitian") for code, text in texts.items()}

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Exponentials of Hermitian matrices whose entries have standard deviation 1 / sqrt(n)."""
        x, y = np.random.default_rng(seed).standard_normal((2, *batch(shape), self.n, self.n))
        normal = (x + 1j * y) / math.sqrt(2 * self.n)
        values, vectors = np.linalg.eigh((normal + normal.conj().mT) / math.sqrt(2))
        found: Any = (vectors * np.exp(values)[..., None, :]) @ vectors.conj().mT
        return self.canonical(np.stack([found.real, found.imag], axis=-3))

    # --- tangent vectors in a basis: of what is there twice, one is taken -------------------------

    def to_basis(self, p: Any, y: Any) -> Any:
        xp, (places, _, _) = namespace(y), _twins(self.n)
        return math.sqrt(2) * xp.take(y, xp.asarray(places, device=y.device), axis=-1)

    def from_basis(self, p: Any, c: Any) -> Any:
        xp, (_, sources, signs) = namespace(c), _twins(self.n)
        taken = xp.take(c, xp.asarray(sources, device=c.device), axis=-1)
        return taken * xp.asarray(signs / math.sqrt(2), device=c.device)


@final
@dataclass(frozen=True)
class HermitianTriangle(Stored):
    """The real entries on and below the diagonal, and then the imaginary ones below it, row by
    row."""

    def reach(self, p: Any) -> Any:
        return super().reach(p) / 4  # as of `LowerTriangle`

    @property
    def places(self) -> np.ndarray:
        (i, j), (k, m), n = *_triangles(self.space.n), self.space.n
        return np.concatenate([n * i + j, n * n + n * k + m])

    def point(self, p: Any, c: Any) -> Any:
        (i, j), (k, m), n = *_triangles(self.space.n), self.space.n
        sources, signs = np.zeros((2, n, n), np.int64), np.zeros((2, n, n))
        sources[0, i, j] = sources[0, j, i] = np.arange(len(i))
        sources[1, k, m] = sources[1, m, k] = len(i) + np.arange(len(k))
        signs[0], signs[1, k, m], signs[1, m, k] = 1.0, 1.0, -1.0
        xp = namespace(c)
        taken = xp.take(c, xp.asarray(sources.reshape(-1), device=c.device), axis=-1)
        signed = taken * xp.asarray(signs.reshape(-1), dtype=c.dtype, device=c.device)
        return xp.reshape(signed, (*c.shape[:-1], 2, n, n))

    def vector(self, p: Any, a: Any) -> Any:
        return self.point(p, a) + namespace(p).zeros_like(p)


def _triangles(n: int) -> tuple[Any, Any]:
    """Rows and columns of entries on and below the diagonal, and of those below it."""
    return np.tril_indices(n), np.tril_indices(n, -1)


@cache
def _twins(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where in a lower triangle of 2n the parts of a Hermitian one lie; and for each of its entries
    which part that is, with a sign: 0 for those beside the diagonal that are none."""
    (i, j), (k, m) = _triangles(n)

    def place(row: np.ndarray, column: np.ndarray) -> np.ndarray:
        return row * (row + 1) // 2 + column

    places = np.concatenate([place(2 * i, 2 * j), place(2 * k + 1, 2 * m)])
    again = np.concatenate([place(2 * i + 1, 2 * j + 1), place(2 * k, 2 * m + 1)])
    sources, signs = np.zeros(n * (2 * n + 1), np.int64), np.zeros(n * (2 * n + 1))
    sources[places] = sources[again] = np.arange(n * n)
    signs[places], signs[again] = 1.0, np.where(np.arange(n * n) < len(i), 1.0, -1.0)
    return places, sources, signs


@final
@dataclass(frozen=True)
class HPDAffineInvariant(HPD):
    """Hermitian positive definite matrices; dist^2 is the sum of squared logarithms of the
    eigenvalues of p^-1 q, as in `SPDAffineInvariant`."""

    real = SPDAffineInvariant


@final
@dataclass(frozen=True)
class HPDLogEuclidean(HPD):
    """Hermitian positive definite matrices; distances are those of their logarithms, as in
    `SPDLogEuclidean`."""

    real = SPDLogEuclidean


@final
@dataclass(frozen=True)
class HPDLogCholesky(HPD):
    """Hermitian positive definite matrices; distances are those of their Cholesky factors, whose
    real diagonals count by their logarithms, as in `SPDLogCholesky`."""

    real = SPDLogCholesky


@final
@dataclass(frozen=True)
class HPDBuresWasserstein(HPD):
    """Hermitian positive definite matrices; distances are those of their nearest factors, as in
    `SPDBuresWasserstein`: of density matrices, which have trace 1, Bures' with fidelity F,
    dist^2 = 2 - 2 sqrt(F)."""

    real = SPDBuresWasserstein
