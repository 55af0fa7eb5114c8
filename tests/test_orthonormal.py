"""Spaces of matrices with orthonormal columns, against mpmath, scipy and each other."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from mpmath import mp, mpf

import geodask as gd
from geodask import testing
from geodask.arrays.rotations import arctangent
from geodask.manifolds.orthonormal import Orthonormal


def skew_with(angles: list[float], n: int, seed: int = 0) -> np.ndarray:
    """A skew-symmetric matrix that turns planes by these angles."""
    a = np.zeros((n, n))
    for i, angle in enumerate(angles):
        a[2 * i, 2 * i + 1], a[2 * i + 1, 2 * i] = -angle, angle
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    found = turn @ a @ turn.T
    return (found - found.T) / 2


def true_exponential(a: np.ndarray) -> np.ndarray:
    with mp.workdps(40):
        return np.array(mp.expm(mp.matrix(a.tolist())).tolist(), np.float64)


ANGLES = {
    2: [[1e-12], [1.0], [3.0], [math.pi - 1e-9]],
    3: [[1e-12], [1.0], [3.0], [math.pi - 1e-9]],
    4: [[1e-12, 2e-12], [1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [1e-9, math.pi - 1e-9]],
    5: [[1e-9, 1.0], [2.0, 2.0], [math.pi - 1e-3, 1.0], [math.pi - 1e-9, math.pi / 2]],
}


@pytest.mark.parametrize("n", ANGLES)
def test_rotations_turn_by_the_exponential(n: int) -> None:
    on = gd.Rotations(n)
    p = on.random(1, seed=1)[0]
    for angles in ANGLES[n]:
        a = skew_with(angles, n)
        q = on.exp(p, p @ a)
        assert abs(p.T @ q - true_exponential(a)).max() <= 4e-15
        assert on.dist(p, q) == pytest.approx(np.linalg.norm(angles), rel=1e-14, abs=1e-15)
        assert abs(p.T @ on.log(p, q) - a).max() <= 4e-14
        u = on.random_tangent(p, seed=2)
        half = true_exponential(a / 2)
        assert abs(on.transport(p, q, u) - p @ half @ p.T @ u @ half).max() <= 4e-14


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_half_a_turn_has_a_distance_and_no_log(n: int) -> None:
    on = gd.Rotations(n)
    p = on.random(1, seed=0)[0]
    opposite = p * np.where(np.arange(n) < 2, -1.0, 1.0)
    assert on.dist(p, opposite) == pytest.approx(math.pi, rel=1e-15)
    assert np.isnan(on.log(p, opposite)).all()
    assert np.isnan(on.transport(p, opposite, on.random_tangent(p, seed=1))).all()


def test_the_nearest_rotation() -> None:
    on, rng = gd.Rotations(3), np.random.default_rng(0)
    x = rng.standard_normal((50, 3, 3))
    p = on.project(x)
    assert on.check(p) is None
    others = on.exp(p, 1e-3 * on.random_tangent(p, seed=1))
    assert (np.linalg.norm(p - x, axis=(1, 2)) < np.linalg.norm(others - x, axis=(1, 2))).all()
    assert np.isnan(on.project(np.diag([1.0, 1.0, -1.0]))).all()  # of several, none


def with_angles(angles: list[float], on: gd.Grassmann) -> tuple[np.ndarray, np.ndarray]:
    """A subspace, and a tangent vector to one at these angles from it."""
    turn = gd.Rotations(on.n).random(1, seed=5)[0]
    bases = gd.Rotations(on.k).random(1, seed=6)[0] if on.k > 1 else np.ones((1, 1))
    steps = np.zeros((on.n - on.k, on.k))
    steps[range(len(angles)), range(len(angles))] = angles
    return turn[:, : on.k], turn[:, on.k :] @ steps @ bases.T


PRINCIPAL = [[1e-12, 1e-8], [0.3, 0.3], [1e-9, 1.5], [math.pi / 2 - 1e-9, 0.5], [1.2, 1.2]]


@pytest.mark.parametrize("angles", PRINCIPAL, ids=str)
@pytest.mark.parametrize("shape", [(4, 2), (5, 3), (9, 4)])
def test_subspaces_have_the_distance_of_their_angles(
    shape: tuple[int, int], angles: list[float]
) -> None:
    on = gd.Grassmann(*shape)
    p, u = with_angles(angles, on)
    q = on.exp(p, u)
    known = scipy.linalg.subspace_angles(p, q)[:2]  # the small one to half of its digits
    assert np.allclose(np.sort(known), np.sort(angles), atol=2e-8)
    assert on.dist(p, q) == pytest.approx(np.linalg.norm(angles), rel=1e-13, abs=1e-15)
    assert abs(on.log(p, q) - u).max() <= 4e-15
    other = q @ gd.Rotations(on.k).random(1, seed=2)[0]
    assert on.dist(p, other) == pytest.approx(np.linalg.norm(angles), rel=1e-13, abs=1e-15)
    assert abs(on.log(p, other) - u).max() <= 8e-15
    # With the singular values of u: Edelman, Arias and Smith, theorem 2.4.
    v = on.random_tangent(p, seed=3)
    left, sizes, right = np.linalg.svd(u, full_matrices=False)
    turned = -p @ right.T * np.sin(sizes) + left * (np.cos(sizes) - 1)
    assert abs(on.transport(p, q, v) - v - turned @ left.T @ v).max() <= 4e-15


@pytest.mark.parametrize("on", [gd.Rotations(4), gd.Grassmann(5, 2)], ids=str)
def test_the_bound_on_rounding_is_needed(on: gd.Manifold, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = testing.sample(on)
    testing.laws.rank_is_exact_to_its_error(on, rows)
    monkeypatch.setattr(Orthonormal, "off", 0.0)
    with pytest.raises(AssertionError):
        testing.laws.rank_is_exact_to_its_error(on, rows)


def test_orthogonal_directions_have_a_distance_and_no_log() -> None:
    on, axes = gd.Grassmann(4, 2), np.eye(4)
    for q, angles in ((axes[:, 2:], 2), (axes[:, 1:3], 1)):
        assert on.dist(axes[:, :2], q) == pytest.approx(math.pi / 2 * math.sqrt(angles), rel=1e-15)
        assert np.isnan(on.log(axes[:, :2], q)).all()


def test_lines_are_points_of_a_sphere_and_their_opposites() -> None:
    lines, sphere = gd.Grassmann(5, 1), gd.Sphere(5)
    p, q = (sphere.random(40, seed=seed) for seed in (0, 1))
    nearer = np.where(((p * q).sum(axis=1) < 0)[:, None], -q, q)
    assert np.allclose(lines.dist(p[..., None], q[..., None]), sphere.dist(p, nearer), rtol=1e-14)
    logs = lines.log(p[..., None], q[..., None])[..., 0]
    assert np.allclose(logs, sphere.log(p, nearer), rtol=0, atol=1e-14)


def test_subspaces_are_as_far_apart_as_what_is_orthogonal_to_them() -> None:
    p, q = gd.Grassmann(5, 2).random(2, seed=0)
    whole = [np.linalg.qr(each, mode="complete")[0] for each in (p, q)]
    across = gd.Grassmann(5, 3).dist(whole[0][:, 2:], whole[1][:, 2:])
    assert across == pytest.approx(gd.Grassmann(5, 2).dist(p, q), rel=1e-14)


@pytest.mark.parametrize("on", [gd.Rotations(3), gd.Grassmann(5, 2)], ids=str)
def test_uniform_points_have_the_moments_of_that_law(on: gd.Manifold) -> None:
    x = on.random(20_000, seed=0)
    assert abs(x.mean(axis=0)).max() < 0.02
    assert abs((x**2).mean(axis=0) - 1 / on.n).max() < 0.02


def test_normal_points_lie_around_their_centre() -> None:
    on = gd.Rotations(3)
    p = on.random(1, seed=0)[0]
    x = on.random_normal((50, 40), p, 0.1, seed=1)
    assert x.shape == (50, 40, 3, 3)
    assert (x == on.random_normal((50, 40), p, 0.1, seed=1)).all()
    steps = on.log(p, x).reshape(-1, 9)
    assert np.linalg.norm(steps.mean(axis=0)) < 0.01
    assert np.mean(on.dist(p, x) ** 2) == pytest.approx(0.1**2 * on.dim, rel=0.05)


def test_no_motion_from_the_left_changes_the_metric_of_motions() -> None:
    on = gd.RigidMotions(3, weight=0.25)
    g, p, q = on.random(3, seed=0)
    u = on.random_tangent(p, seed=1)
    assert on.norm(g @ p, g @ u) == pytest.approx(on.norm(p, u), rel=1e-14)
    assert on.dist(g @ p, g @ q) == pytest.approx(on.dist(p, q), rel=1e-14)
    assert abs(on.exp(g @ p, g @ u) - g @ on.exp(p, u)).max() <= 1e-14
    body = np.linalg.inv(p) @ u
    square = (body[:3, :3] ** 2).sum() / 2 + 0.25 * (body[:3, 3] ** 2).sum()
    assert on.inner(p, u, u) == pytest.approx(square, rel=1e-14)
    turns, ahead = gd.Rotations(3).dist(p[:3, :3], q[:3, :3]), q[:3, 3] - p[:3, 3]
    assert on.dist(p, q) == pytest.approx(np.hypot(turns, np.linalg.norm(ahead) / 2), rel=1e-14)
    with pytest.raises(gd.SpecError, match="positive finite weight"):
        gd.RigidMotions(3, weight=0.0)


@pytest.mark.parametrize("on", [gd.Rotations(4), gd.Rotations(5), gd.Grassmann(4, 2)], ids=str)
@pytest.mark.parametrize("xp", [np, torch], ids=lambda xp: xp.__name__)
def test_a_row_that_is_not_known_takes_no_other_with_it(on: gd.Manifold, xp: Any) -> None:
    p, q = on.random(5, 0), on.random(5, 1)
    known = on.dist(p, q)
    q[2, 0, 0], known[2] = np.nan, np.nan
    found = np.asarray(on.dist(xp.asarray(p), xp.asarray(q)))
    assert np.allclose(found, known, rtol=1e-14, equal_nan=True)


def test_angles_of_many_turns_come_home() -> None:
    x = np.array([[1e16], [-1e16], [1e20], [3.5], [9.5], [-12.6], [1e3]])
    with mp.workdps(60):
        true = [[float(mp.atan2(mp.sin(mpf(a)), mp.cos(mpf(a))))] for a in x[:, 0]]
    assert np.allclose(gd.Torus(1).project(x), true, rtol=4e-16, atol=0)


def test_the_arctangent_has_its_digits_up_to_half_a_right_angle() -> None:
    tangents = np.linspace(0.01, 1, 200)
    found = arctangent(tangents[:, None, None])[:, 0, 0]
    with mp.workdps(30):
        true = np.array([float(mp.atan(mpf(t))) for t in tangents.tolist()])
    assert np.allclose(found, true, rtol=8e-16, atol=0)
