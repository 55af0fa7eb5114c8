"""Orthonormal frames with the canonical and the Euclidean metric, against equations that are
integrated independently, and what is never certified."""

import math

import numpy as np
import pytest
import torch
from mpmath import mp
from scipy.integrate import solve_ivp

import geodask as gd
from geodask.arrays.decimals import decimals
from geodask.manifolds.stiefel import Stiefel

METRICS = (gd.StiefelCanonical, gd.StiefelEuclidean)
SPACES = [metric(n, k) for metric in METRICS for n, k in ((4, 1), (3, 2), (5, 2), (8, 3))]
every_space = pytest.mark.parametrize("on", SPACES, ids=str)


def at_length(on: Stiefel, p: np.ndarray, length: float, seed: int) -> np.ndarray:
    u = on.random_tangent(p, seed)
    return u * (length / on.norm(p, u))[..., None, None]


# --- the equations of both metrics, in entries ----------------------------------------------------


def acceleration(on: Stiefel, p: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Minus the Christoffel symbols of u and v: Edelman, Arias and Smith, 2.2.3 and 2.4.1."""
    if isinstance(on, gd.StiefelEuclidean):
        return -p @ (u.T @ v + v.T @ u) / 2
    across = np.eye(on.n) - p @ p.T
    return -((u @ v.T + v @ u.T) @ p + p @ (u.T @ across @ v + v.T @ across @ u)) / 2


def integrated(on: Stiefel, p: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The end of the geodesic, its velocity there, and v carried along: (3, n, k)."""

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        x, a, b = y.reshape(3, *on.point_shape)
        return np.array([a, acceleration(on, x, a, a), acceleration(on, x, a, b)]).ravel()

    start = np.array([p, u, v]).ravel()
    found = solve_ivp(slope, (0, 1), start, method="DOP853", rtol=1e-13, atol=1e-13)
    return found.y[:, -1].reshape(3, *on.point_shape)


@every_space
def test_geodesics_and_transport_solve_their_equations(on: Stiefel) -> None:
    p = on.random(1, seed=0)[0]
    u, v = at_length(on, p, 2.0, 1), on.random_tangent(p, 2)
    end, velocity, carried = integrated(on, p, u, v)
    assert abs(on.exp(p, u) - end).max() <= 1e-11
    assert abs(on.transport(p, end, v) - carried).max() <= 1e-10
    assert abs(on.transport(p, end, u) - velocity).max() <= 1e-10


@every_space
@pytest.mark.parametrize("share", [1e-9, 0.1, 0.7, 0.99])
def test_log_finds_what_exp_started_with(on: Stiefel, share: float) -> None:
    p = on.random(60, seed=3)
    u = at_length(on, p, share * on.injectivity_radius, 4)
    q = on.exp(p, u)
    # Near points that are conjugate the end says less of its start.
    assert abs(on.log(p, q) - u).max() <= (1e-14 if share < 0.5 else 1e-12)
    assert np.allclose(on.dist(p, q), share * on.injectivity_radius, rtol=0, atol=1e-14)


@every_space
def test_every_random_pair_has_a_way(on: Stiefel) -> None:
    p, q = on.random(300, seed=5), on.random(300, seed=6)
    u = on.log(p, q)
    assert abs(on.exp(p, u) - q).max() <= 1e-13
    assert (on.norm(p, u) >= math.sqrt(on.weight) * np.linalg.norm(q - p, axis=(1, 2))).all()


def missed(on: Stiefel, p: np.ndarray, u: np.ndarray, q: np.ndarray) -> float:
    """How far from q the geodesic ends, with 40 digits: e^W p e^z for skew-symmetric W and z."""
    with mp.workdps(40):
        x, v, end = (mp.matrix(each.tolist()) for each in (p, u, q))
        a = (x.T * v - v.T * x) / 2
        w = v - x * (x.T * v)
        turn = mp.expm(2 * on.weight * x * a * x.T + w * x.T - x * w.T)
        return float(mp.norm(turn * x * mp.expm((1 - 2 * on.weight) * a) - end))


@every_space
def test_ways_end_within_the_bound_on_rounding(on: Stiefel) -> None:
    p, q = on.random(8, seed=7), on.random(8, seed=8)
    u = on.log(p, q)
    gaps = [missed(on, *each) for each in zip(p, u, q, strict=True)]
    assert 0 < max(gaps) <= on.off
    # So the distance is that to a point no farther from q.
    assert np.allclose(on.rank_to_dist(on.rank(p, q)), on.norm(p, u), rtol=0, atol=on.off)


@pytest.mark.parametrize("metric", METRICS)
def test_single_columns_are_points_of_a_sphere(metric: type[Stiefel]) -> None:
    on, sphere = metric(5, 1), gd.Sphere(5)
    p, q = (sphere.random(40, seed=seed) for seed in (0, 1))
    a, b = p[..., None], q[..., None]
    u = sphere.random_tangent(p, seed=2)
    assert np.allclose(on.dist(a, b), sphere.dist(p, q), rtol=1e-14)
    assert np.allclose(on.log(a, b)[..., 0], sphere.log(p, q), rtol=0, atol=1e-14)
    assert np.allclose(on.exp(a, u[..., None])[..., 0], sphere.exp(p, u), rtol=0, atol=1e-14)
    carried = on.transport(a, b, u[..., None])[..., 0]
    assert np.allclose(carried, sphere.transport(p, q, u), rtol=0, atol=1e-13)
    v = on.random_tangent(a, seed=3)
    assert np.allclose(on.sectional_curvature(a, u[..., None], v), 1, rtol=1e-6)


def test_all_columns_but_one_are_rotations_by_the_canonical_metric() -> None:
    on, rotations = gd.StiefelCanonical(4, 3), gd.Rotations(4)
    p, q = (rotations.random(200, seed=seed) for seed in (0, 1))
    a, b = p[..., :3], q[..., :3]
    near = rotations.dist(p, q) < on.injectivity_radius
    assert near.sum() > 50
    assert np.allclose(on.dist(a, b)[near], rotations.dist(p, q)[near], rtol=1e-13)
    logs = rotations.log(p, q)[near]
    assert np.allclose(on.log(a, b)[near], logs[..., :3], rtol=0, atol=1e-12)


def test_all_columns_turned_at_once() -> None:
    """By an angle t in their own span: p a, with |a|^2 = 2 t^2."""
    p = gd.StiefelEuclidean(6, 2).random(1, seed=0)[0]
    turn = np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    assert gd.StiefelCanonical(6, 2).dist(p, p @ turn) == pytest.approx(0.7, rel=1e-14)
    long = 0.7 * math.sqrt(2)
    assert gd.StiefelEuclidean(6, 2).dist(p, p @ turn) == pytest.approx(long, rel=1e-14)


@pytest.mark.parametrize("metric", METRICS)
def test_where_no_way_is_found_there_is_nan(metric: type[Stiefel]) -> None:
    on = metric(4, 1)
    p, q = on.random(3, seed=0), on.random(3, seed=1)
    q[1] = -p[1]
    assert np.isnan(on.dist(p, q)).tolist() == [False, True, False]
    assert np.isnan(on.log(p, q)[1]).all()
    assert np.isnan(on.transport(p, q, on.random_tangent(p, 2))[1]).all()
    q[1] = np.nan
    assert np.isnan(on.dist(p, q)).tolist() == [False, True, False]


@every_space
def test_torch_knows_how_distances_grow(on: Stiefel) -> None:
    """The gradient of dist^2 / 2 at q is minus the log of p there."""
    p = on.random(20, seed=0)
    u = on.random_tangent(p, seed=1)
    q = on.exp(p, (0.9 * on.injectivity_radius / on.norm(p, u))[:, None, None] * u)
    end = torch.tensor(q, requires_grad=True)
    (on.dist(torch.tensor(p), end) ** 2 / 2).sum().backward()
    v = on.random_tangent(q, seed=2)
    slopes = (end.grad.numpy() * v).sum(axis=(1, 2))  # type: ignore[union-attr]
    assert np.allclose(slopes, -on.inner(q, on.log(q, p), v), rtol=0, atol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_square_matrices_are_refused(metric: type[Stiefel]) -> None:
    with pytest.raises(gd.PointShapeError, match="integer k from 1 to 2"):
        metric(3, 3)


# --- neighbours that are not proven ---------------------------------------------------------------

FRAMES = [
    gd.StiefelCanonical(4, 2),
    gd.StiefelEuclidean(3, 1),
    gd.Product((gd.StiefelEuclidean(3, 1), gd.Euclidean(1))),
]


@pytest.mark.parametrize("on", FRAMES, ids=str)
def test_neighbours_and_pairs_are_found_but_not_certified(on: gd.Manifold) -> None:
    rows = on.random(50, seed=2)
    x, dist = gd.points(rows, on), on.dist(rows[:, None], rows[None])
    near = float(np.quantile(dist, 0.1))
    np.fill_diagonal(dist, np.inf)
    found = gd.knn(x, k=3).compute()
    assert np.array_equal(found.indices, np.argsort(dist, axis=1)[:, :3])
    assert (found.report.certified, found.certified.any()) == (0.0, False)
    pairs = gd.within(x, radius=near).compute()
    assert len(pairs.row) == (np.triu(dist, 1)[np.triu_indices(50, 1)] <= near).sum()
    assert pairs.report.certified == 0.0
    with pytest.raises(gd.SpecError, match="audit"):
        found.audit(rows=4)
    stored = (rows[0], rows[1])
    with pytest.raises(gd.SpecError, match="shortest"):
        on.exact_rank(*map(decimals, stored))
