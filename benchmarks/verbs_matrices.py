"""The verbs of other libraries, in the order and the forms of geodask: where points are matrices.

Forms are changed in float64, rounded once to the dtype of the rows, and changed back in float64:
complex matrices for parts, projections for bases. Metrics differ in constants: on SE(n) geomstats
counts a rotation twice, which is that of geodask with half the weight of a translation, times two;
of projections dist^2 is twice that of subspaces. Nobody has a closed form of the Bures-Wasserstein
transport: geomstats takes steps, a hundred here, in place of its ten.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from verbs import Verb, Verbs, base_point_last, by_torch, transport

STEPS = 100


def geoopt_affine() -> Verbs:
    """geoopt.SymmetricPositiveDefinite."""
    import geoopt

    on = geoopt.SymmetricPositiveDefinite()
    return by_torch(dist=on.dist, exp=on.expmap, log=on.logmap, transport=on.transp)


def geoopt_log_euclidean() -> Verbs:
    """geoopt.SymmetricPositiveDefinite("LEM"), which has a distance alone."""
    from geoopt.manifolds.symmetric_positive_definite import SymmetricPositiveDefinite

    on = SymmetricPositiveDefinite("AIM")
    return by_torch(dist=on._log_eucliden_metric)  # "LEM" warns that it has nothing else


def geomstats_spd(metric: str, n: int) -> Verbs:
    """geomstats.SPDMatrices, with SPDAffineMetric or another."""
    from geomstats.geometry import spd_matrices

    return _with_transport(getattr(spd_matrices, metric)(spd_matrices.SPDMatrices(n, equip=False)))


def geomstats_hpd(metric: str, n: int) -> Verbs:
    """geomstats.HPDMatrices, with HPDAffineMetric or another."""
    from geomstats.geometry import hpd_matrices

    metric = getattr(hpd_matrices, metric)(hpd_matrices.HPDMatrices(n, equip=False))
    return _complex(_with_transport(metric))


def geomstats_log_cholesky(n: int) -> Verbs:
    """geomstats.CholeskyMetric of factors, pulled back."""
    from geomstats.geometry.positive_lower_triangular_matrices import (
        PositiveLowerTriangularMatrices,
    )
    from geomstats.geometry.pullback_metric import PullbackDiffeoMetric
    from geomstats.geometry.spd_matrices import CholeskyMap, SPDMatrices

    image = PositiveLowerTriangularMatrices(n)
    return base_point_last(PullbackDiffeoMetric(SPDMatrices(n, equip=False), CholeskyMap(), image))


def _with_transport(metric: Any) -> Verbs:
    steps = {"n_steps": STEPS} if "Wasserstein" in type(metric).__name__ else {}
    return base_point_last(metric) | {"transport": transport(metric, **steps)}


def pyriemann(metric: str, verbs: tuple[str, ...]) -> Verbs:
    """pyriemann.geometry, row by row: its reference points are single."""
    from pyriemann.geometry import distance, tangentspace

    found = {
        "dist": partial(distance.distance, metric=metric),
        "exp": lambda p, u: tangentspace.exp_map(u, p, metric=metric),
        "log": lambda p, q: tangentspace.log_map(q, p, metric=metric),
        "transport": lambda p, q, u: tangentspace.transport(u, p, q, metric=metric),
    }
    return {verb: partial(_row_by_row, found[verb]) for verb in verbs}


def pyriemann_complex(metric: str, verbs: tuple[str, ...]) -> Verbs:
    """The same of complex matrices."""
    return _complex(pyriemann(metric, verbs))


def geomstats_subspaces(n: int, k: int) -> Verbs:
    """geomstats.Grassmannian: projections, and their changes."""
    from geomstats.geometry.grassmannian import Grassmannian

    verbs = _with_transport(Grassmannian(n, k).metric)
    exp, log, carry = (verbs[each] for each in ("exp", "log", "transport"))

    def point(x: np.ndarray) -> np.ndarray:
        return (_basis(x) @ _basis(x).mT).astype(x.dtype)

    def change(p: np.ndarray, u: np.ndarray) -> np.ndarray:
        half = u.astype(float) @ _basis(p).mT
        return (half + half.mT).astype(p.dtype)

    return {
        "dist": lambda p, q: verbs["dist"](point(p), point(q)) / np.sqrt(2),
        "exp": lambda p, u: _spanned(exp(point(p), change(p, u)), k),
        "log": lambda p, q: log(point(p), point(q)) @ _basis(p),
        "transport": lambda p, q, u: carry(point(p), point(q), change(p, u)) @ _basis(q),
    }


def _basis(x: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(x.astype(float), full_matrices=False)
    return left @ right


def _spanned(projection: np.ndarray, k: int) -> np.ndarray:
    even = (projection + projection.mT).astype(float) / 2
    return np.linalg.eigh(even)[1][..., -k:]


def geomstats_frames(n: int, k: int) -> Verbs:
    """geomstats.Stiefel, whose metric is the canonical one."""
    from geomstats.geometry.stiefel import Stiefel

    return base_point_last(Stiefel(n, k).metric)


def geoopt_frames() -> Verbs:
    """geoopt.EuclideanStiefel, whose transport is a projection."""
    import geoopt

    return by_torch(exp=geoopt.EuclideanStiefel().expmap)


def geomstats_rotations(n: int) -> Verbs:
    """geomstats.SpecialOrthogonal."""
    from geomstats.geometry.special_orthogonal import SpecialOrthogonal

    return _with_transport(SpecialOrthogonal(n).metric)


def geomstats_motions(n: int) -> Verbs:
    """geomstats.SpecialEuclidean."""
    from geomstats.geometry.special_euclidean import SpecialEuclidean

    verbs = _with_transport(SpecialEuclidean(n).metric)
    return verbs | {"dist": lambda p, q: verbs["dist"](p, q) / np.sqrt(2)}


# --- forms ----------------------------------------------------------------------------------------


def _row_by_row(method: Callable[..., Any], *rows: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(method(*row)) for row in zip(*rows, strict=True)])


def _complex(verbs: Verbs) -> Verbs:
    """Verbs of complex matrices as such of real and imaginary parts."""

    def split(method: Verb, *rows: np.ndarray) -> np.ndarray:
        found = method(*(x[:, 0] + 1j * x[:, 1] for x in rows))
        return found.real if found.ndim == 1 else np.stack([found.real, found.imag], axis=1)

    return {verb: partial(split, method) for verb, method in verbs.items()}
