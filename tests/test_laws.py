"""Every law of `geodask.testing`, for every manifold and array library, on easy and hard rows."""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import array_api_strict
import numpy as np
import pytest
import scipy.linalg
import torch

import geodask as gd
from geodask import testing
from geodask.manifolds.base import Manifold
from geodask.manifolds.composite import Composite
from geodask.manifolds.difference import FEW
from geodask.manifolds.hyperbolic import Hyperbolic
from geodask.manifolds.orthonormal import Orthonormal
from geodask.manifolds.rearranged import Rearranged
from geodask.manifolds.spd import SPD
from geodask.manifolds.stiefel import Stiefel

MODELS = (gd.Lorentz, gd.HalfSpace, gd.HyperbolicPolar)
MATRICES = (
    gd.SPDAffineInvariant,
    gd.SPDBuresWasserstein,
    gd.SPDLogCholesky,
    gd.SPDLogEuclidean,
)
HERMITIAN = (
    gd.HPDAffineInvariant,
    gd.HPDBuresWasserstein,
    gd.HPDLogCholesky,
    gd.HPDLogEuclidean,
)
MANIFOLDS: list[Manifold] = [
    *(gd.Sphere(n, curvature=curvature) for n in (3, 2, 17, 384) for curvature in (1.0, 0.25)),
    *(gd.Euclidean(n) for n in (1, 3, 17)),
    *(gd.PoincareBall(n, curvature=K) for n, K in ((6, -1.0), (1, -1.0), (2, -0.25))),
    *(space(n, curvature=K) for space in MODELS for n, K in ((2, -1.0), (5, -0.25))),
    *(gd.Simplex(n) for n in (2, 17)),
    *(space(n) for space in MATRICES for n in (4, 1)),
    *(gd.Gaussians(n) for n in (3, 1)),
    *(gd.GaussiansBuresWasserstein(n) for n in (2, 1)),
    *(space(2) for space in HERMITIAN),
    gd.HPDBuresWasserstein(1),
    gd.EuclideanMatrices(2, 3),
    *(gd.Torus(n) for n in (3, 1)),
    *(gd.Rotations(n) for n in (4, 2, 3, 5)),
    *(gd.RigidMotions(n, weight) for n, weight in ((2, 1.0), (3, 0.25))),
    *(gd.Grassmann(n, k) for n, k in ((5, 2), (2, 1), (4, 1), (4, 3))),
    *(gd.StiefelCanonical(n, k) for n, k in ((3, 2), (7, 2))),
    *(gd.StiefelEuclidean(n, k) for n, k in ((4, 1), (7, 2))),
    gd.Oblique(3, 2),
    gd.Product((gd.Sphere(3), gd.PoincareBall(2), gd.Euclidean(2)), weights=(1.0, 0.5, 2.0)),
    gd.Product((gd.SPDAffineInvariant(2), gd.Lorentz(3), gd.Torus(2)), weights=(2.0, 1.0, 0.3)),
    gd.Power(gd.Product((gd.SPDLogEuclidean(2), gd.HalfSpace(2))), 2, weight=0.5),
]
STRICT = (array_api_strict, "float64")
KINDS = [(np, "float64"), (torch, "float32"), STRICT]
FURTHER = [(np, "float32"), (torch, "float64"), (*STRICT, "hard")]
"""What differs from those by little; hard rows of the strict library, which is the slowest."""


def is_long(on: Manifold, kind: tuple[Any, ...]) -> bool:
    """Beside numpy every run takes the first space of each class; `-m long` the rest."""
    first = next(each for each in MANIFOLDS if type(each) is type(on))
    return kind in FURTHER or (kind[0] is not np and on != first)


def name_of(given: Any) -> str:
    """Of a space, and of a library with a dtype."""
    return str(given) if isinstance(given, Manifold) else "-".join([given[0].__name__, *given[1:]])


CASES = [
    pytest.param(on, kind, marks=[pytest.mark.long] * is_long(on, kind))
    for on in MANIFOLDS
    for kind in (*KINDS, *FURTHER)
]


def hard(on: Manifold) -> np.ndarray:
    """Axes, diagonals and rows close to them, rows twice, denormal coordinates, zeros, scales."""
    if isinstance(on, Rearranged | gd.Gaussians):
        return on.from_image(hard(on.image))
    if isinstance(on, Composite):
        rows = [[hard(part.space)] * part.copies for part in on.parts]
        count = max(len(each[0]) for each in rows)
        return on.join([np.stack([*map(partial(some, count), each)], axis=1) for each in rows])
    if isinstance(on, SPD | Orthonormal):
        return next(rows(on) for space, rows in HARD.items() if isinstance(on, space))
    axis, diagonal = np.eye(on.n)[0], np.ones(on.n)
    near, tiny = 1e-9 * np.arange(on.n), np.full(on.n, 5e-324)
    rows = np.array([axis, -axis, axis + near, axis + tiny, diagonal, diagonal, diagonal + near])
    if isinstance(on, gd.Torus):
        return on.project(np.concatenate([rows * scale for scale in (0, 1e-8, 1, 3)]))
    if isinstance(on, gd.Euclidean):
        return np.concatenate([rows * scale for scale in (0, 1e-8, 1, 1e8)])
    if isinstance(on, gd.PoincareBall):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.concatenate([unit * scale for scale in (0, 1e-8, 0.5, 0.999)])
    if isinstance(on, gd.Simplex):
        return on.project(np.concatenate([abs(rows) + inside for inside in (1e-7, 1e-3, 1.0)]))
    if isinstance(on, Hyperbolic):
        ball = gd.PoincareBall(on.dim, curvature=on.curvature)
        return ball.convert(hard(ball)[start_of(on) :], on)
    return on.project(rows)


def some(count: int, rows: np.ndarray) -> np.ndarray:
    """So many rows, from the first on again where there are fewer."""
    return np.resize(rows, (count, *rows.shape[1:]))


def hard_matrices(on: SPD) -> np.ndarray:
    """Equal eigenvalues and nearly equal ones, axes and others, of all scales; ill-conditioned."""
    n = on.n
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]
    spectra = [np.ones(n), 1 + 1e-9 * np.arange(n), 10.0 ** -np.arange(n), np.logspace(0, -4, n)]
    found = [(axes * values) @ axes.T for values in spectra for axes in (np.eye(n), turn)]
    whole = np.array([part * scale for part in found for scale in (1e-3, 1, 1e3)])
    return (whole + np.swapaxes(whole, 1, 2)) / 2


def hard_subspaces(on: gd.Grassmann) -> np.ndarray:
    """Those of axes, the same in other bases, nearly the same, orthogonal in part and nearly so."""
    n, k = on.point_shape
    rng, axes = np.random.default_rng(0), np.eye(n)
    turn = np.linalg.qr(rng.standard_normal((k, k)))[0]
    first, last = axes[:, :k], axes[:, n - k :]
    some = np.linalg.qr(rng.standard_normal((n, k)))[0]
    near = [some + 10.0**-i * np.ones((n, k)) for i in (5, 9, 12)]
    same = [part @ way for part in (first, some) for way in (np.eye(k), -np.eye(k), turn)]
    found = [*same, last, last + 1e-9, *near, np.tril(some)]
    return np.linalg.qr(np.array(found))[0]


def hard_rotations(on: gd.Rotations) -> np.ndarray:
    """By right angles and nearly so, by nothing and nearly so, by half a turn, all at once."""
    n = on.n
    a = np.triu(np.random.default_rng(0).standard_normal((n, n)), 1)
    plane = np.eye(n)[:1].T * np.eye(n)[1]
    ways = [way - way.T for way in (a, plane, np.eye(n, k=n // 2))]
    angles = (0, 1e-160, 1e-9, np.pi / 2, np.pi / 2 + 1e-9, np.pi - 1e-9, np.pi)
    found = [
        scipy.linalg.expm(angle / np.linalg.norm(way, 2) * way) for way in ways for angle in angles
    ]
    return np.array([*found, found[-1]])


def hard_frames(on: Stiefel) -> np.ndarray:
    """Those of axes, all of them turned by a right angle, in their own span and out of it; nearly
    the same, and the same twice. None is so far from another that no shortest way is known."""
    n, k = on.point_shape
    rng, axes = np.random.default_rng(0), np.eye(n)
    first, some = axes[:, :k], np.linalg.qr(rng.standard_normal((n, k)))[0]
    inside, outside = np.eye(k), axes.copy()
    if k > 1:
        inside[:2, :2] = [[0, -1], [1, 0]]
    outside[:, [k - 1, k]] = axes[:, [k, k - 1]]
    near = [first + 10.0**-i * np.ones((n, k)) for i in (5, 9, 12)]
    found = [first, first, first @ inside, outside[:, :k], some, some, *near, first + some / 4]
    return on.project(np.array(found))


HARD = {
    SPD: hard_matrices,
    gd.Rotations: hard_rotations,
    gd.Grassmann: hard_subspaces,
    Stiefel: hard_frames,
}


def start_of(on: Manifold) -> int:
    """Polar coordinates end at the origin, where and near which the first 14 rows are."""
    return 14 if isinstance(on, gd.HyperbolicPolar) else 0


@functools.cache
def samples(on: Manifold, kind: tuple[Any, ...]) -> list[testing.Sample]:
    xp, dtype, *_ = kind
    of_rows = {"easy": None, "hard": hard(on)}
    if kind[:2] == STRICT:
        del of_rows["easy" if "hard" in kind else "hard"]
    return [testing.sample(on, xp, points, dtype) for points in of_rows.values()]


@pytest.mark.parametrize(("on", "kind"), CASES, ids=name_of)
@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
def test_law(law: Callable, on: Manifold, kind: tuple[Any, ...]) -> None:
    for rows in samples(on, kind):
        law(on, rows)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0].__name__}-{kind[1]}")
@pytest.mark.parametrize("space", [gd.PoincareBall, gd.Lorentz, gd.HalfSpace])
def test_products_keep_the_laws_of_ranks(space: type[Manifold], kind: tuple[Any, str]) -> None:
    on = space(FEW + 9)
    for rows in samples(on, kind):
        for law in testing.LAWS[-4:]:
            law(on, rows)


class Plain(gd.Sphere):
    """A sphere without fast paths."""

    norm, dist, midpoint, pair_ranks = (
        getattr(Manifold, name) for name in ("norm", "dist", "midpoint", "pair_ranks")
    )


def test_the_references_obey_the_laws() -> None:
    testing.check_manifold(Plain(3, curvature=0.25))


# --- the laws can fail --------------------------------------------------------------------------

S = gd.Sphere(3)


class Stretched(gd.StereographicCoordinates):
    """A chart whose vectors are longer than they are."""

    def vector(self, p: Any, a: Any) -> Any:
        return 1.01 * super().vector(p, a)


CLOCK = iter(range(10**6))


def longer_shadow(on: Manifold, x: Any, aim: Any) -> Any:
    flat, off = S.shadow(x, aim)
    return 1.01 * flat, off


WRONG = {
    "value_round_trips": {"to_spec": lambda on: {"manifold": "Sphere", "n": 4}},
    "random_repeats": {"random": lambda on, shape, seed: S.random(shape, next(CLOCK))},
    "results_stay_on_the_manifold": {"exp": lambda on, p, u: p + u},
    "projections_are_idempotent": {"to_tangent": lambda on, p, v: S.to_tangent(p, v) + 1e-9 * p},
    "inner_is_bilinear": {"norm": lambda on, p, u: abs(u).sum(-1)},
    "exp_starts_with_its_tangent": {"exp": lambda on, p, u: S.exp(p, 1.001 * u)},
    "exp_and_log_are_inverse": {"log": lambda on, p, q: S.to_tangent(p, q - p)},
    "dist_of_exp_is_the_length": {"dist": lambda on, p, q: np.arccos((p * q).sum(-1).clip(-1, 1))},
    "dist_is_a_metric": {"dist": lambda on, p, q: S.dist(p, q) ** 2},
    "transport_is_an_isometry": {"transport": lambda on, p, q, u: S.to_tangent(q, u)},
    "geodesics_have_constant_speed": {"geodesic": lambda on, p, q, t: S.project(p + t * (q - p))},
    "midpoint_is_half_way": {"midpoint": lambda on, p, q: S.geodesic(p, q, 0.5001)},
    "shape_dtype_and_library_stay": {"dist": lambda on, p, q: S.dist(p, q).squeeze()},
    "batch_equals_loop": {"norm": lambda on, p, u: S.norm(p, u - u.mean(0))},
    "gradients_are_finite": {"norm": lambda on, p, u: (u * u).sum(-1) ** 0.5},
    "closed_forms_equal_the_reference": {"dist": lambda on, p, q: 2 * S.dist(p, q)},
    "coordinates_are_isometric": {"to_basis": lambda on, p, y: y[..., 1:]},
    "coordinates_name_tangent_vectors": {"from_basis": lambda on, p, c: S.from_basis(p, -c)},
    "coordinates_reach_points": {"log_frame": lambda on, p, q: S.to_tangent(p, q - p)},
    "charts_are_coordinates": {"chart": property(lambda on: Stretched(on))},
    "metric_tensor_is_the_inner_product": {
        "metric_tensor": lambda on, p, chart=None: 1.0001 * S.metric_tensor(p, chart)
    },
    "tensors_keep_shape_and_kind": {
        "scalar_curvature": lambda on, p: np.float64(S.scalar_curvature(p)).squeeze()
    },
    "symbols_agree": {
        "christoffel": lambda on, p, method=None: (1 + 1e-6 * (method is None)) * S.christoffel(p)
    },
    "connection_is_the_acceleration": {"connection": lambda on, p, u, v: -S.connection(p, u, v)},
    "riemann_has_its_symmetries": {
        "curvature_tensor": lambda on, p, u, v, w: S.inner(p, v, w)[..., None] * u
    },
    "curvatures_agree": {
        "curvature_tensor": lambda on, p, u, v, w: -S.curvature_tensor(p, u, v, w)
    },
    "traces_agree": {"ricci": lambda on, p: -S.ricci(p)},
    "sectional_curvature_is_that_of_planes": {
        "constant_curvature": property(lambda on: 1.0001),
    },
    "rank_orders_by_distance": {"rank": lambda on, p, q: S.rank(p, q) ** 2},
    "rank_is_exact_to_its_error": {"rank": lambda on, p, q: (1 - p @ q.T).diagonal() / 2},
    "pair_ranks_equal_the_reference": {"rank": lambda on, p, q: S.rank(p, q) * (1 + 1e-15)},
    "shadows_lie_no_farther_apart": {"aim": lambda on, x: 0, "shadow": longer_shadow},
    "surrogate_keeps_its_bound": {"score": lambda on, rank, x: S.score(rank, x) + 2 * x.slack},
}


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
def test_a_law_catches_what_breaks_it(law: Callable) -> None:
    broken = type("Broken", (gd.Sphere,), WRONG[law.__name__])(3)
    with pytest.raises(AssertionError):
        law(broken, testing.sample(S, torch if law.__name__ == "gradients_are_finite" else np))
