"""Hyperbolic space: distances to the last digits, and neighbours exact out to the rim."""

import math
from fractions import Fraction
from typing import Any

import dask
import numpy as np
import pytest
import torch
from mpmath import mp, mpf

import geodask as gd
from geodask.arrays.device import to_host
from geodask.arrays.doubled import one_minus_square
from geodask.arrays.elementary import asinhs
from geodask.arrays.series import asinh
from geodask.kernels.lists import one_each
from geodask.kernels.nearest import HostNearest
from geodask.manifolds.difference import FEW
from neighbours import KERNELS, RUNNABLE, TORCH, Kernel, cut
from rim import at_radius, exact_ranks, families

EPS = {"float32": 2.0**-23, "float64": 2.0**-52}
each_library = pytest.mark.parametrize("xp", [np, torch], ids=lambda xp: xp.__name__)


def half_distance(rank: mpf) -> mpf:
    return mp.asinh(mp.sqrt(rank))


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 10, 256])
def test_what_is_left_to_the_rim_keeps_its_digits(n: int) -> None:
    for power in range(0, 52, 3):
        x = at_radius(1, 20, n, seed=power)
        x *= math.sqrt(1 - 2.0**-power) / np.linalg.norm(x, axis=1, keepdims=True)
        for row, found in zip(x, one_minus_square(x), strict=True):
            true = 1 - sum(Fraction(float(a)) ** 2 for a in row)
            if true > Fraction(2) ** -52:
                within = gd.PoincareBall(n).weight_error
                assert abs(Fraction(float(found)) - true) <= Fraction(within) * true


def test_the_sum_of_squares_alone_loses_them() -> None:
    x = at_radius(30, 20, 5, seed=0)
    true = [1 - sum(Fraction(float(a)) ** 2 for a in row) for row in x]
    plain = [float(Fraction(1 - float(row @ row)) / t - 1) for row, t in zip(x, true, strict=True)]
    assert np.abs(plain).max() > 1e-5


def test_asinh_is_right_and_has_the_same_bytes_everywhere() -> None:
    x = np.concatenate([[0.0], np.logspace(-300, 150, 2000), np.linspace(0.1, 0.2, 500)])
    found = asinh(x)
    for a, b in zip(x, found, strict=True):
        assert abs(mpf(b) - mp.asinh(mpf(a))) <= 4e-15 * b
    assert to_host(asinh(torch.as_tensor(x))).tobytes() == found.tobytes()
    assert np.concatenate([asinh(x[i : i + 1]) for i in range(0, 2000, 97)]).tobytes() == (
        found[:2000:97].tobytes()
    )


def test_compiled_asinh_is_right_wherever_a_number_stands() -> None:
    x = np.concatenate([[0.0], np.logspace(-300, 150, 2000), np.linspace(0.1, 3, 5000)])
    found = np.empty_like(x)
    asinhs(x, found)
    for a, b in zip(x, found, strict=True):
        assert abs(mpf(b) - mp.asinh(mpf(a))) <= 1e-15 * b
    for size in (1, 3, 128):
        parts = [np.empty_like(x[i : i + size]) for i in range(0, len(x), size)]
        for i, part in enumerate(parts):
            asinhs(x[i * size : (i + 1) * size], part)
        assert np.concatenate(parts).tobytes() == found.tobytes()


@each_library
@pytest.mark.parametrize(
    ("dtype", "distance", "digits"),
    [
        ("float64", 1e-9, 1e-15),
        ("float64", 20, 1e-8),
        ("float64", 30, 1e-4),
        ("float32", 8, 1e-4),
        ("float32", 15, 0.05),
    ],
)
def test_distances_from_the_origin(dtype: str, distance: float, digits: float, xp: Any) -> None:
    # Peers saturate at 15.2 or 12.2, and give 0 for 1e-9; digits are those that the rows have.
    x = at_radius(distance, 50, 3, seed=0).astype(dtype)
    found = to_host(gd.PoincareBall(3).dist(xp.asarray(0 * x), xp.asarray(x)))
    assert found == pytest.approx(np.full(50, distance), rel=digits)
    ranks = exact_ranks(0 * x[:1], x)[0]
    for a, rank in zip(found, ranks, strict=True):
        assert abs(mpf(float(a)) - 2 * half_distance(rank)) <= 8 * EPS[dtype] * a


@each_library
@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("curvature", [-1.0, -0.25])
def test_distances_of_neighbours_far_out(dtype: str, curvature: float, xp: Any) -> None:
    on = gd.PoincareBall(5, curvature=curvature)
    x = families(14 if dtype == "float32" else 28, 5, dtype)
    found = to_host(on.dist(xp.asarray(x[:-20]), xp.asarray(x[20:])))
    for i in range(0, len(found), 7):
        true = 2 * half_distance(exact_ranks(x[i : i + 1], x[i + 20 : i + 21])[0][0]) * on.radius
        assert abs(mpf(float(found[i])) - true) <= 8 * EPS[dtype] * true


@each_library
def test_log_and_transport_far_out(xp: Any) -> None:
    on = gd.PoincareBall(5)
    x = families(26, 5, "float64")
    p, q = xp.asarray(x[:-20]), xp.asarray(x[20:])
    u = on.log(p, q)
    np.testing.assert_allclose(to_host(on.norm(p, u)), to_host(on.dist(p, q)), rtol=1e-13)
    v = xp.asarray(on.random_tangent(x[:-20], 3))
    carried = on.transport(p, q, v)
    np.testing.assert_allclose(to_host(on.norm(q, carried)), to_host(on.norm(p, v)), rtol=1e-13)
    back = to_host(on.transport(p, q, u)) + to_host(on.log(q, p))
    size = np.linalg.norm(to_host(on.log(q, p)), axis=1)
    assert (np.linalg.norm(back, axis=1) <= 1e-6 * size).all()


@pytest.mark.parametrize(("dtype", "roundings"), [("float32", 1), ("float64", 6)])
def test_tangents_are_carried_to_few_roundings(dtype: str, roundings: int) -> None:
    # From the origin of the ball a tangent is carried to q as itself, times 1 - |q|^2.
    rng = np.random.default_rng(0)
    q, u = rng.standard_normal((2, 500, 4)).astype(dtype)
    q /= 2 * np.linalg.norm(q, axis=1, keepdims=True)
    found = gd.PoincareBall(4).transport(0 * q, q, u)
    for start, end, carried in zip(u, q, found, strict=True):
        true = [mpf(float(a)) * (1 - mp.fdot(end, end)) for a in start]
        off = mp.norm([mpf(float(a)) - b for a, b in zip(carried, true, strict=True)])
        assert off <= roundings * EPS[dtype] * mp.norm(true)


def test_logs_on_the_hyperboloid_are_right_to_few_roundings() -> None:
    on, rng = gd.Lorentz(4), np.random.default_rng(0)
    x, y = rng.standard_normal((2, 200, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y *= np.sinh(rng.uniform(8, 12, (200, 1))) / np.linalg.norm(y, axis=1, keepdims=True)
    p, q = (on.project(np.column_stack([np.zeros(200), each])) for each in (x, y))
    for start, end, log in zip(x, y, on.log(p, q), strict=True):
        with mp.workdps(40):
            a, b = ([mpf(float(each)) for each in row] for row in (start, end))
            times = [mp.sqrt(1 + mp.fdot(each, each)) for each in (a, b)]
            cosh = times[0] * times[1] - mp.fdot(a, b)
            share = mp.acosh(cosh) / mp.sqrt(cosh * cosh - 1)
            true = [share * (each - cosh * other) for other, each in zip(a, b, strict=True)]
            off = mp.norm([mpf(float(each)) - t for each, t in zip(log[1:], true, strict=True)])
        assert off <= 4 * EPS["float64"] * mp.norm(true)


def test_curvature_near_zero_is_flat_space() -> None:
    # Distances from the origin of small sets tend to twice the flat ones over sqrt(-K).
    x = 1e-6 * np.random.default_rng(0).standard_normal((50, 4))
    found = gd.PoincareBall(4, curvature=-1e-12).dist(x[:-1], x[1:])
    flat = 2e6 * np.linalg.norm(x[:-1] - x[1:], axis=1)
    np.testing.assert_allclose(found, flat, rtol=1e-9)


# --- input --------------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", [0, 1.0, float("nan"), -float("inf")])
def test_hyperbolic_space_has_negative_curvature(curvature: float) -> None:
    with pytest.raises(gd.SpecError, match="negative finite curvature"):
        gd.PoincareBall(3, curvature=curvature)


@pytest.mark.parametrize("project", [False, True])
def test_rows_at_the_rim_and_beyond_are_refused(project: bool) -> None:
    rows = at_radius(1, 30, 3, seed=0).astype(np.float32)
    rows[4] = [1, 0, 0]
    rows[7] = [0.8, 0.8, 0]
    rows[9] = [1 - 2.0**-24, 0, 0]
    rows[11] = np.nan
    with pytest.raises(gd.NotOnManifoldError) as refused:
        gd.points(rows, gd.PoincareBall(3), project=project)
    text = str(refused.value)
    for row, words in ((4, "on its rim"), (7, "outside the unit ball"), (11, "NaN")):
        assert f"row {row} " in text
        assert words in text
    assert "row 9 lies farther out than its dtype can tell apart" in text


def test_rows_near_the_rim_are_counted() -> None:
    on = gd.PoincareBall(3)
    x = at_radius(np.repeat([5.0, 15.5], [90, 10]), 100, 3, seed=0).astype(np.float32)
    far, near = gd.points(x, on), gd.points(x[:50], on)
    assert gd.knn(far, k=2).compute().report.health["near_limit"] == 10
    assert gd.knn(near, k=2).compute().report.health["near_limit"] == 0
    assert gd.knn(near, far, k=2).compute().report.health["near_limit"] == 10
    assert gd.plan(gd.dist, near[:1], far).compute().report.health["near_limit"] == 10
    assert "near_limit 10" in repr(gd.knn(far, near, k=2).compute().report)


@pytest.mark.parametrize("n", [1, 3, 900])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_rows_near_the_rim_are_the_same_one_by_one(dtype: str, n: int) -> None:
    on, eps = gd.PoincareBall(n), np.finfo(dtype).eps
    gaps = eps * np.concatenate([np.linspace(0, 40, 200), 2.0 ** np.arange(6, 10)])
    x = np.random.default_rng(0).standard_normal((len(gaps), n))
    x *= (np.sqrt(1 - gaps) / np.linalg.norm(x, axis=1))[:, None]
    x = x.astype(dtype)
    found = on.near_limit(x)
    assert found.tolist() == [bool(on.near_limit(row)) for row in x]
    assert 0 < found.sum() < len(x)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, 1e160, 3.0])
def test_rows_far_outside_are_refused_without_a_warning(value: float) -> None:
    rows = at_radius(1, 30, 3, seed=0)
    rows[4, 1] = value
    for project in (False, True):
        with pytest.raises(gd.NotOnManifoldError, match=r"row 4 .* Correct or drop these rows\.$"):
            gd.points(rows, gd.PoincareBall(3), project=project)


# --- neighbours ---------------------------------------------------------------------------------


def answer(
    x: np.ndarray, k: int, kernel: Kernel, size: int = 97
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kind, place, precision = kernel
    running = kind(gd.PoincareBall(x.shape[1]), x, k, place, precision, one_each(np.arange(len(x))))
    for start, stop in cut(len(x), size):
        running.fold(x[start:stop], start)
    return running.result()


@pytest.mark.parametrize("n", [1, 2, 5, 64, 256])
@pytest.mark.parametrize(
    ("dtype", "radius"), [("float32", 4), ("float32", 14), ("float64", 8), ("float64", 30)]
)
def test_no_row_is_wrong_out_to_the_rim(dtype: str, radius: float, n: int) -> None:
    on, x = gd.PoincareBall(n), families(radius, n, dtype, seed=n)
    result = gd.knn(gd.points(x, on), k=7).compute()
    assert result.certified.all()
    asked = range(0, len(x), 37)
    for i, ranks in zip(asked, exact_ranks(x[asked], x), strict=True):
        order = sorted((rank, j) for j, rank in enumerate(ranks) if j != i)[:7]
        returned = [ranks[j] for j in result.indices[i]]
        gaps = [abs(a - b) for a, (b, _) in zip(returned, order, strict=True)]
        within = [2 * on.rank_error(float(rank)) for rank, _ in order]
        assert all(gap <= error for gap, error in zip(gaps, within, strict=True))
        for found, (rank, _) in zip(result.distances[i], order, strict=True):
            assert abs(mpf(found) - 2 * half_distance(rank)) <= mpf(1e-13) * found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n", [10, FEW + 1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_kernel_gives_the_same_bytes(kernel: Kernel, dtype: str, n: int) -> None:
    x = families(5 if dtype == "float16" else 13, n, "float64").astype(dtype)
    x = np.concatenate([x, x[:40], 0 * x[:3]])
    on = gd.PoincareBall(n)
    p = on.canonical(x)
    ranks = on.rank(p[:, None], p[None])
    np.fill_diagonal(ranks, np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(len(x)), ranks.shape), ranks), axis=1)[:, :9]
    indices, found, certified = answer(x, 9, kernel)
    assert (indices == order).all()
    assert found.tobytes() == np.take_along_axis(ranks, order, axis=1).tobytes()
    assert certified.all()


def test_equal_rows_give_the_lowest_numbers() -> None:
    x = gd.points(np.tile(at_radius(12, 1, 6, seed=0).astype("f4"), (1000, 1)), gd.PoincareBall(6))
    result = gd.knn(x, k=3).compute()
    assert (result.indices[3:] == [0, 1, 2]).all()
    assert not result.distances.any()


def almost_equal(kernel: Kernel, n: int) -> int:
    """Wrong neighbours of the origin, where ranks differ by less than a rounding of float32."""
    on, rng = gd.PoincareBall(n), np.random.default_rng(0)
    v = rng.standard_normal((4000, n))
    x = (0.5 * v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)
    x[0] = 0
    x[1:64, 0] = abs(x[1:64, 0])  # so that products do not start from the origin
    running = kernel[0](on, x[:64], 10, *kernel[1:], one_each(np.arange(64)))
    running.fold(x, 0)
    ranks = on.rank(np.zeros((1, n)), on.canonical(x))
    ranks[0] = np.inf
    return int((running.result()[0][0] != np.argsort(ranks, kind="stable")[:10]).sum())


@pytest.mark.parametrize("kernel", RUNNABLE, ids=str)
def test_without_the_share_rows_are_wrong(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert almost_equal(kernel, FEW) == 0
    queries = gd.PoincareBall.queries
    share = {"share": 2.0**-60}
    monkeypatch.setattr(
        gd.PoincareBall, "queries", lambda on, *rest: queries(on, *rest)._replace(**share)
    )
    assert almost_equal(kernel, FEW) > 0


@pytest.mark.parametrize("kernel", RUNNABLE, ids=str)
def test_without_the_spread_rows_are_wrong(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert almost_equal(kernel, FEW + 1) == 0
    targets = gd.PoincareBall.targets

    def proven_too_much(*arguments: Any) -> Any:
        found = targets(*arguments)
        return found._replace(above=0 * found.above)

    monkeypatch.setattr(gd.PoincareBall, "targets", proven_too_much)
    assert almost_equal(kernel, FEW + 1) > 0


@pytest.mark.parametrize("model", [gd.PoincareBall, gd.HalfSpace])
@pytest.mark.parametrize(("radius", "n"), [(0.01, 64), (1, 10), (4, 64), (4, 200), (14, 128)])
def test_distances_of_all_pairs_are_right_to_few_roundings(
    model: type, radius: float, n: int
) -> None:
    # Near rows, equal ones, and far ones, which are nearly all.
    x = at_radius(radius, 300, n, seed=1)
    y = np.concatenate([at_radius(radius, 600, n, seed=2), x[:9], x[:9] * (1 - 1e-6)])
    on = model(n, curvature=-0.5)
    x, y = (gd.PoincareBall(n, curvature=-0.5).convert(each, on).astype("f4") for each in (x, y))
    found = on.pairwise(x, y)
    true = on.dist(x[:, None].astype("f8"), y[None].astype("f8"))
    assert found.dtype == np.float32
    assert (np.abs(found - true) <= 8 * 2.0**-24 * true).all()


def test_distances_of_all_pairs_of_families_are_right_to_few_roundings() -> None:
    x, on = families(12, 10, "float32"), gd.PoincareBall(10)
    true = on.dist(x[:, None].astype("f8"), x[None].astype("f8"))
    for rows in (300, 1, 0):
        found = on.pairwise(x[:rows], x)
        assert found.shape == (rows, 300)
        assert (np.abs(found - true[:rows]) <= 8 * 2.0**-24 * true[:rows]).all()


def test_few_pairs_are_measured() -> None:
    x = families(12, 10, "float32")
    running = HostNearest(gd.PoincareBall(10), np.tile(x, (10, 1)), 5, TORCH, "auto", None)
    running.fold(x, 0)
    assert running.measured < 0.1 * running.pairs


def test_the_audit_knows_hyperbolic_space(client: Any) -> None:
    x = gd.points(families(13, 5, "float32"), gd.PoincareBall(5, curvature=-0.5))
    with dask.config.set({"geodask.memory-per-task": "100 MB"}):
        result = gd.knn(x, k=5).persist()
    audit = result.audit(rows=300)
    assert (audit.rows, audit.wrong) == (300, 0)
    assert audit.distance_error < 1e-12


def test_torch_differentiates_logs_of_the_hyperboloid_at_the_origin_and_at_equal_points() -> None:
    on = gd.Lorentz(3)
    origin = torch.tensor(on.origin)
    far = torch.tensor(on.exp(on.origin, np.array([0.0, 6.0, 1.0])))

    def first(space: torch.Tensor) -> torch.Tensor:
        return on.log(on.project(torch.cat([space[:1] * 0 + 1, space])), far)[1]

    at = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(first, at)
    assert torch.autograd.gradgradcheck(first, at)
    slopes = torch.autograd.functional.jacobian(lambda q: on.log(origin, q)[1:], origin)
    assert isinstance(slopes, torch.Tensor)
    assert torch.allclose(slopes[:, 1:], torch.eye(2, dtype=torch.float64))
