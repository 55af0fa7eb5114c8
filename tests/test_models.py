"""The models of hyperbolic space: each right to the last digits, and all of them one space."""

import math
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
import torch
from mpmath import mp, mpf

import geodask as gd
from geodask.arrays.device import to_host
from geodask.arrays.doubled import Doubled, plus, quotient, root, square_sum
from geodask.arrays.series import sinh
from rim import MODELS, each_model, families, space

each_other = pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: model.__name__)
each_library = pytest.mark.parametrize("xp", [np, torch], ids=lambda xp: xp.__name__)


# --- numbers ------------------------------------------------------------------------------------


def test_double_double_keeps_thirty_digits() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 9)) * 10.0 ** rng.uniform(-8, 8, (40, 1))
    total = square_sum(x, 1.0)
    over = plus(root(total), 1.0)
    share = quotient(x, Doubled(*(part[:, None] for part in over)))
    with mp.workprec(300):
        for i, row in enumerate(x):
            true = 1 + sum(mpf(a) ** 2 for a in row)
            found = mpf(total.high[i]) + mpf(total.low[i])
            assert abs(found / true - 1) < mpf(2) ** -98
            for a, high, low in zip(row, share.high[i], share.low[i], strict=True):
                part = mpf(a) / (1 + mp.sqrt(true))
                assert abs((mpf(high) + mpf(low)) / part - 1) < mpf(2) ** -101


def test_sinh_is_right_and_has_the_same_bytes_everywhere() -> None:
    x = np.concatenate([[0.0], np.logspace(-300, 0, 400), np.linspace(0.2, 300, 700)])
    x = np.concatenate([x, -x[1:], [699.0]])
    found = sinh(x)
    for a, b in zip(x, found, strict=True):
        assert abs(mpf(float(b)) - mp.sinh(mpf(float(a)))) <= 5e-16 * abs(b)
    assert to_host(sinh(torch.as_tensor(x))).tobytes() == found.tobytes()


# --- one space ----------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("dim", [1, 2, 7])
@pytest.mark.parametrize("curvature", [-1.0, -0.25])
def test_models_are_isometric(model: type, dim: int, curvature: float) -> None:
    ball, on = space(gd.PoincareBall, dim, curvature), space(model, dim, curvature)
    x, y = ball.random(30, seed=0), ball.random(30, seed=1)
    u, v = ball.random_tangent(x, seed=2), ball.random_tangent(x, seed=3)
    p, q = ball.convert(x, on), ball.convert(y, on)
    a, b = ball.convert_tangent(x, u, on), ball.convert_tangent(x, v, on)
    assert on.check(p) is None
    size = ball.norm(x, u) * ball.norm(x, v)
    np.testing.assert_allclose(on.dist(p, q), ball.dist(x, y), rtol=1e-13)
    assert (abs(on.inner(p, a, b) - ball.inner(x, u, v)) <= 1e-12 * size).all()
    for mine, theirs in (
        (on.convert(p, ball), x),
        (on.convert_tangent(p, a, ball), u),
        (on.convert(on.exp(p, a / 8), ball), ball.exp(x, u / 8)),
        (on.convert_tangent(p, on.log(p, q), ball), ball.log(x, y)),
        (on.convert_tangent(q, on.transport(p, q, a), ball), ball.transport(x, y, u)),
        (on.dist_to_origin(p), ball.dist_to_origin(x)),
        (on.dist_to_hyperplane(q, p, a), ball.dist_to_hyperplane(y, x, u)),
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-12)


@each_model
def test_tangent_vectors_are_converted_by_the_derivative(model: type) -> None:
    ball, on = gd.PoincareBall(4), space(model, 4)
    x = ball.random(30, seed=0)
    u = ball.random_tangent(x, seed=1)
    u /= ball.norm(x, u)[:, None]
    ends = [ball.convert(ball.exp(x, step * u), on) for step in (1e-5, -1e-5)]
    found = ball.convert_tangent(x, u, on)
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, found, atol=1e-8 * abs(found).max())


@each_other
@pytest.mark.parametrize("radius", [5.0, 12.0])
def test_all_models_give_the_same_neighbours(model: type, radius: float) -> None:
    x = families(radius, 5, "float64")
    on = space(model, 5)
    found = gd.knn(gd.points(gd.PoincareBall(5).convert(x, on), on), k=8).compute()
    right = gd.knn(gd.points(x, gd.PoincareBall(5)), k=8).compute()
    # Where rounding to another model's floats moves points by less than they are apart.
    grain = 2.0**-48 * math.exp(radius)
    gaps = np.diff(right.distances, axis=1, prepend=0).min(axis=1) > 8 * grain
    assert gaps.sum() > 50
    assert (found.indices[gaps] == right.indices[gaps]).all()
    np.testing.assert_allclose(found.distances, right.distances, atol=8 * grain)


def test_models_of_another_space_are_refused() -> None:
    x = gd.PoincareBall(3).random(5, seed=0)
    for other in (gd.Lorentz(3), gd.Lorentz(4, curvature=-2.0), gd.Euclidean(3)):
        with pytest.raises(gd.SpecError, match="dimension 3 and curvature"):
            gd.PoincareBall(3).convert(x, other)


@each_model
def test_curvature_near_zero_is_flat_space(model: type) -> None:
    # Near the origin distances tend to those of flat coordinates over sqrt(-K).
    ball, on = space(gd.PoincareBall, 4, -1e-12), space(model, 4, -1e-12)
    x = 1e-6 * np.random.default_rng(0).standard_normal((50, 4))
    p = ball.convert(x, on)
    flat = 2e6 * np.linalg.norm(x[:-1] - x[1:], axis=1)
    np.testing.assert_allclose(on.dist(p[:-1], p[1:]), flat, rtol=1e-9)
    np.testing.assert_allclose(on.norm(p[:-1], on.log(p[:-1], p[1:])), flat, rtol=1e-9)


@each_library
def test_boosts_are_isometries(xp: Any) -> None:
    on, speed = gd.Lorentz(5), 3.0
    boost = np.eye(5)
    boost[:2, :2] = [[math.cosh(speed), math.sinh(speed)], [math.sinh(speed), math.cosh(speed)]]
    p, q = on.random(50, seed=0), on.random(50, seed=1)
    there = [on.project(xp.asarray(x @ boost)) for x in (p, q)]
    grain = 2.0**-44 * (p[:, 0] + q[:, 0]) * math.exp(speed)
    found = to_host(on.dist(*there))
    assert (abs(found - on.dist(p, q)) <= grain).all()
    assert (found > 10 * grain).all()


@each_library
def test_mobius_translations_are_isometries(xp: Any) -> None:
    on = gd.PoincareBall(4, curvature=-0.5)
    a, p, q = (xp.asarray(on.random(50, seed)) for seed in range(3))
    moved = on.mobius_add(a, p), on.mobius_add(a, q)
    np.testing.assert_allclose(to_host(on.dist(*moved)), to_host(on.dist(p, q)), rtol=1e-11)
    np.testing.assert_allclose(to_host(on.mobius_add(-a, moved[0])), to_host(p), atol=1e-12)


# --- gyrovectors and functions ------------------------------------------------------------------


def test_gyrovector_identities() -> None:
    on = gd.PoincareBall(3, curvature=-2.0)
    p, q, r = (on.random(40, seed) for seed in range(3))
    twice = on.mobius_add(p, on.mobius_add(q, r))
    turned = on.mobius_add(on.mobius_add(p, q), on.gyration(p, q, r))
    np.testing.assert_allclose(twice, turned, atol=1e-11)
    swapped = on.gyration(p, q, on.mobius_add(q, p))
    np.testing.assert_allclose(on.mobius_add(p, q), swapped, atol=1e-11)
    np.testing.assert_allclose(
        np.linalg.norm(on.gyration(p, q, r), axis=1), np.linalg.norm(r, axis=1), rtol=1e-11
    )
    np.testing.assert_allclose(on.mobius_scale(p, 2.0), on.mobius_add(p, p), atol=1e-13)
    np.testing.assert_allclose(on.dist_to_origin(on.mobius_scale(p, -0.3)), 0.3 * on.dist(0 * p, p))


def test_distances_to_hyperplanes_are_those_of_ganea_et_al() -> None:
    on = gd.PoincareBall(3)
    p, q = on.random(40, seed=0), on.random(40, seed=1)
    normal = np.random.default_rng(2).standard_normal((40, 3))
    x = on.mobius_add(-q, p)
    across = 2 * (x * normal).sum(1)
    across /= (1 - (x * x).sum(1)) * np.linalg.norm(normal, axis=1)
    np.testing.assert_allclose(on.dist_to_hyperplane(p, q, normal), np.arcsinh(across), rtol=1e-10)
    foot = on.exp(q, np.cross(normal, p) / 9)  # along the hyperplane
    np.testing.assert_allclose(on.dist_to_hyperplane(foot, q, normal), 0, atol=1e-12)
    assert np.isnan(on.dist_to_hyperplane(p[:1], q[:1], 0 * normal[:1])).all()


@each_model
@pytest.mark.parametrize("radius", [0.0, 3.0, 12.0])
def test_busemann_functions_are_limits_of_distances(model: type, radius: float) -> None:
    on = space(model, 4, -0.25)
    n = np.random.default_rng(0).standard_normal((30, 4))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    p = on.from_polar(n, np.full(30, radius))
    far = on.from_polar(np.roll(n, 1, axis=0), np.full(30, 30.0))
    limit = on.dist(p, far) - on.dist_to_origin(far)
    np.testing.assert_allclose(on.busemann(p, np.roll(n, 1, axis=0)), limit, atol=1e-3)
    np.testing.assert_allclose(on.busemann(p, n), -2 * radius, atol=1e-9)


# --- accuracy -----------------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize(("radius", "apart"), [(10.0, 1e-6), (15.0, 1e-3), (5.0, 1e-3), (30, 0.5)])
@pytest.mark.parametrize("outward", [False, True])
def test_lorentz_keeps_small_distances_far_out(
    radius: float, apart: float, outward: bool, xp: Any
) -> None:
    # acosh gives 1.7e-8 for the first and 0.031 for the second; -4.9e-4 in float32 for the third.
    on = gd.Lorentz(4)
    p = on.from_polar(np.eye(3)[:1], np.array([radius]))
    y = np.array([[apart, 0, 0]]) if outward else np.array([[0, apart, 0]])
    q = on.exp(p, on.from_frame(p, y))
    grain = 2.0**-50 * math.exp(radius)
    with localcontext() as context:
        context.prec = 100
        stored = [[Decimal(a) for a in row.tolist()] for row in (p[0], q[0])]
        true = 2 * math.asinh(math.sqrt(on.exact_rank(*stored)))
    found = float(on.dist(xp.asarray(p), xp.asarray(q))[0])
    assert found == pytest.approx(true, rel=1e-13)
    assert found == pytest.approx(apart, abs=grain)


@pytest.mark.parametrize("radius", [1.0, 8.0, 20.0, 36.0])
@each_model
def test_geodesics_past_the_origin_end_on_the_manifold(model: type, radius: float) -> None:
    on, rng = space(model, 3), np.random.default_rng(0)
    n = rng.standard_normal((50, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    opposite = -n + 0.3 * rng.standard_normal((50, 3))
    opposite /= np.linalg.norm(opposite, axis=1, keepdims=True)
    p, q = (on.from_polar(each, np.full(50, radius)) for each in (n, opposite))
    there = on.exp(p, on.log(p, q))
    assert np.isfinite(there).all()
    if radius < 30:
        assert on.check(there) is None
    # Rounding a tangent turns it by eps, which grows with the sinh of its length.
    grain = 2.0**-48 * math.exp(2 * radius)
    if model is gd.HyperbolicPolar:
        grain = 2.0**-46 * math.exp(radius)
    if grain < 0.1:
        assert (on.dist(there, q) <= 100 * grain).all()


def test_polar_geodesics_reach_across_the_origin_at_any_radius() -> None:
    on = gd.HyperbolicPolar(3)
    for radius in (15.0, 50.0, 300.0):
        p, q = np.array([[0.6, 0.8, radius]]), np.array([[-0.8, 0.6, radius]])
        np.testing.assert_allclose(on.exp(p, on.log(p, q)), q, rtol=1e-12)


def test_lorentz_in_float32() -> None:
    on = gd.Lorentz(4)
    p = on.from_polar(np.eye(3)[:1], np.array([5.0]))
    q = on.exp(p, on.from_frame(p, np.array([[0, 1e-3, 0]])))
    near = on.dist(p.astype("f4"), q.astype("f4"))
    assert near == pytest.approx(1e-3, rel=0.02)
    far = on.from_polar(np.eye(3), np.full(3, 10.0)).astype("f4")
    assert not on.dist(far, far).any()


def test_polar_distances_do_not_end() -> None:
    on = gd.HyperbolicPolar(4)
    n = np.random.default_rng(0).standard_normal((40, 2, 3))
    n /= np.linalg.norm(n, axis=2, keepdims=True)
    r = np.random.default_rng(1).uniform(0, 300, (40, 2))
    found = on.dist(on.from_polar(n[:, 0], r[:, 0]), on.from_polar(n[:, 1], r[:, 1]))
    with mp.workdps(400):
        for i in range(40):
            u, v = (mp.matrix(row.tolist()) for row in n[i])
            u, v = u / mp.norm(u), v / mp.norm(v)
            a, b = map(mpf, r[i].tolist())
            cosh = mp.cosh(a) * mp.cosh(b) - mp.sinh(a) * mp.sinh(b) * (u.T * v)[0]
            assert abs(mp.acosh(cosh) - mpf(float(found[i]))) < 1e-15 * found[i]


# --- input --------------------------------------------------------------------------------------

BAD: list[tuple[type, list[float], str]] = [
    (gd.Lorentz, [1.1, 0.0, 0.0], "not on the hyperboloid"),
    (gd.Lorentz, [-1.0, 0.0, 0.0], "not on the hyperboloid"),
    (gd.Lorentz, [1e16, 1e16, 0.0], "farther out than its dtype"),
    (gd.Lorentz, [np.inf, 0.0, 0.0], "NaN or infinity"),
    (gd.HalfSpace, [0.0, 0.0], "height, its last coordinate, that is not positive"),
    (gd.HalfSpace, [1.0, -2.0], "height, its last coordinate, that is not positive"),
    (gd.HalfSpace, [1e10, 1e-10], "farther out than its dtype"),
    (gd.HalfSpace, [0.0, 1e300], "farther out than its dtype"),
    (gd.HalfSpace, [np.nan, 1.0], "NaN or infinity"),
    (gd.HyperbolicPolar, [1.0, 0.1, 2.0], "not of unit length"),
    (gd.HyperbolicPolar, [0.0, 0.0, 2.0], "zero vector"),
    (gd.HyperbolicPolar, [1.0, 0.0, -1.0], "negative or above 300"),
    (gd.HyperbolicPolar, [1.0, 0.0, 301.0], "negative or above 300"),
    (gd.HyperbolicPolar, [1.0, np.nan, 1.0], "NaN or infinity"),
]


@pytest.mark.parametrize(("model", "row", "words"), BAD)
@pytest.mark.parametrize("xp", [np, torch])
def test_rows_that_are_no_points_are_refused(
    model: type, row: list[float], words: str, xp: Any
) -> None:
    on = space(model, 2)
    x = on.random(9, seed=0)
    x[4] = row
    text = on.check(xp.asarray(x))
    assert text is not None
    assert "1 of 9 rows" in text
    assert "row 4 " in text
    assert words in text
    with pytest.raises(gd.NotOnManifoldError, match="row 4"):
        gd.points(x, on)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@each_model
def test_rows_up_to_the_stated_distance_are_points(model: type, dtype: str) -> None:
    reach = {"float16": 7, "float32": 16, "float64": 36}[dtype]
    on = space(model, 3)
    n = np.random.default_rng(0).standard_normal((50, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    near = on.project(on.from_polar(n, np.full(50, reach)).astype(dtype))
    assert on.check(near) is None
    if model is not gd.HyperbolicPolar:
        far = on.from_polar(n, np.full(50, reach + 3.0))
        with np.errstate(over="ignore"):
            assert on.check(far.astype(dtype)) is not None


def test_a_row_off_the_hyperboloid_is_mended_by_project() -> None:
    x = gd.Lorentz(4).random(20, seed=0)
    x[3, 0] *= 1.5
    with pytest.raises(gd.NotOnManifoldError, match="project=True"):
        gd.points(x, gd.Lorentz(4))
    mended = gd.points(x, gd.Lorentz(4), project=True)
    assert (mended.read(0, 20)[:, 1:] == x[:, 1:]).all()


@each_model
@pytest.mark.parametrize(("near", "far"), [(20.0, 20.0), (14.0, 28.0), (30.0, 30.0)])
def test_midpoints_far_out_are_half_way(model: type, near: float, far: float) -> None:
    on = space(model, 2)
    p = on.from_polar(np.array([[0.6, 0.8]]), np.array([far]))
    q = on.from_polar(np.array([[0.28, -0.96]]), np.array([near]))
    middle = on.midpoint(p, q)
    grain = 2.0**-48 * math.exp(abs(far - near) / 2 + 2)
    if model is gd.PoincareBall:
        grain *= math.exp(far)  # it goes by way of a stored tangent vector
    assert abs(on.dist(p, middle) - on.dist(middle, q))[0] <= 8 * grain
    if model in (gd.Lorentz, gd.HyperbolicPolar):
        assert on.dist(on.geodesic(p, q, 1.0), q)[0] <= 2.0**-48 * math.exp(near)


@pytest.mark.parametrize("row", [[np.nan, 0, 1], [0, 0, 1], [np.inf, 0, 2], [1, 0, -3]])
def test_polar_rows_that_are_no_points_are_not_at_a_distance(row: list[float]) -> None:
    on = gd.HyperbolicPolar(3)
    with np.errstate(invalid="ignore"):
        assert np.isnan(on.dist(np.array([row], float), on.random(3, seed=0))).all()


def test_rows_of_another_length_are_refused_by_pairwise() -> None:
    on = gd.PoincareBall(3)
    x = on.random(4, seed=0)
    for p, q in ((x[:, :2], x), (x, x[:, :2])):
        with pytest.raises(ValueError, match="broadcast"):
            on.pairwise(p, q)


@each_model
def test_integers_and_mixed_dtypes_are_promoted(model: type) -> None:
    on = space(model, 2)
    p = {gd.PoincareBall: [0, 0], gd.Lorentz: [1, 0, 0], gd.HalfSpace: [0, 3]}.get(model, [1, 0, 2])
    x = on.random(1, seed=0)
    whole = on.dist(np.array([p]), x)
    assert whole.dtype == np.float64
    assert whole == on.dist(np.array([p], float), x)
    assert on.dist(x.astype(np.float32), x).dtype == np.float64
    assert on.log(x.astype(np.float32), x).dtype == np.float64


def test_directions_of_busemann_functions_have_no_length() -> None:
    on, direction = gd.PoincareBall(3), np.array([0.6, 0.8, 0])
    p = on.random(9, seed=0)
    np.testing.assert_allclose(on.busemann(p, 2 * direction), on.busemann(p, direction))
    assert np.isnan(on.busemann(p, 0 * direction)).all()


@each_model
def test_second_derivatives(model: type) -> None:
    on = space(model, 3)
    p = torch.as_tensor(on.random(1, seed=0)[0])
    q = torch.as_tensor(on.random(1, seed=1)[0])
    free = torch.autograd.functional.hessian(lambda x: on.dist(x[None], q[None])[0] ** 2, p)
    slopes = [
        torch.func.grad(lambda x: on.dist(x[None], q[None])[0] ** 2)(p + step)
        for step in 1e-6 * torch.cat([torch.eye(len(p)), -torch.eye(len(p))]).double()
    ]
    by_steps = torch.stack(slopes[: len(p)]) - torch.stack(slopes[len(p) :])
    torch.testing.assert_close(free, by_steps / 2e-6, rtol=1e-5, atol=1e-5)
