"""How many digits are right: against mpmath, in every dtype, and at the ends of every range."""

import math
from decimal import Decimal, localcontext
from typing import Any

import array_api_strict
import numba
import numpy as np
import pytest
import torch
from mpmath import mp, mpf

import geodask as gd
import oracle
from geodask.arrays.device import to_host
from geodask.arrays.fused import pair_chords, row_norms
from geodask.arrays.lanes import lane_product, lane_square
from geodask.arrays.namespace import lane_sum, norm, unit
from geodask.arrays.product import HostProduct, device_product, product_error
from geodask.arrays.select import smallest
from geodask.arrays.series import atan, sinc
from geodask.manifolds.base import Manifold

EPS = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
SPACES = {
    gd.Sphere(3): oracle.Sphere(),
    gd.Sphere(17, curvature=0.25): oracle.Sphere(0.25),
    gd.Sphere(384): oracle.Sphere(),
    gd.Euclidean(1): oracle.Euclidean(),
    gd.Euclidean(384): oracle.Euclidean(),
}
ANGLES = np.array([1e-15, 1e-8, 1e-5, 1e-3, 0.1, 1, 1.57, 2, 3])

each_space = pytest.mark.parametrize("on", SPACES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", EPS)
each_library = pytest.mark.parametrize("xp", [np, torch], ids=lambda xp: xp.__name__)
every_library = pytest.mark.parametrize(
    "xp", [np, torch, array_api_strict], ids=lambda xp: xp.__name__
)


def arcs(on: Manifold, dtype: str, angles: np.ndarray = ANGLES) -> tuple[np.ndarray, ...]:
    """Points p and q at these angles (times a size, in flat space), the tangent from p to q, and
    another one."""
    p = on.random(len(angles), seed=0)
    u, w = (unit(on.random_tangent(p, seed)) for seed in (1, 2))
    u = u * angles[:, None]
    return tuple(x.astype(dtype) for x in (p, on.exp(p, u), u, w))


# --- methods against the oracle -----------------------------------------------------------------


@each_library
@pytest.mark.parametrize(
    ("dtype", "angle", "digits"),
    [
        ("float32", 1e-3, 1e-4),
        ("float32", 1e-5, 1e-2),
        ("float64", 1e-8, 1e-7),
        ("float64", 1, 1e-15),
    ],
)
def test_small_angles_keep_their_digits(dtype: str, angle: float, digits: float, xp: Any) -> None:
    # By arccos the first is off by 2 %, the next two are 0; with clamped products 0.014 and 4.5e-4.
    p, q, *_ = arcs(gd.Sphere(3), dtype, np.full(50, angle))
    found = gd.Sphere(3).dist(xp.asarray(p), xp.asarray(q))
    assert to_host(found) == pytest.approx(np.full(50, angle), rel=digits, abs=0)


@each_library
@each_dtype
@pytest.mark.parametrize("curvature", [1.0, 0.25])
def test_antipodes_are_at_pi(curvature: float, dtype: str, xp: Any) -> None:
    on = gd.Sphere(17, curvature=curvature)
    p = xp.asarray(arcs(on, dtype)[0])
    half_turn = np.dtype(dtype).type(math.pi / math.sqrt(curvature))
    assert (to_host(on.dist(p, -p)) == half_turn).all()
    assert (to_host(on.rank_to_dist(on.rank(p, -p))) == math.pi / math.sqrt(curvature)).all()


@each_library
@each_dtype
@each_space
def test_methods_are_right_to_a_few_roundings(on: Manifold, dtype: str, xp: Any) -> None:
    space, (p, q, u, w) = SPACES[on], arcs(on, dtype)
    x, y, v, z = (xp.asarray(part) for part in (p, q, u, w))
    found = [on.exp(x, v), on.log(x, y), on.transport(x, y, z), on.dist(x, y)[:, None]]
    for i, (arrived, tangent, carried, dist) in enumerate(zip(*map(to_host, found), strict=True)):
        (true_dist,) = oracle.dists(space, p[i : i + 1], q[i : i + 1])[0]
        errors = (
            oracle.error(arrived, space.exp(p[i], u[i])),
            oracle.error(tangent, space.log(p[i], q[i])),
            oracle.error(carried, space.transport(p[i], q[i], w[i])),
            oracle.error(dist, [true_dist]),
        )
        assert max(errors) <= 4 * EPS[dtype] * (1 + float(true_dist)), (
            f"angle {ANGLES[i]}: {errors}"
        )


@each_dtype
@each_space
def test_ranks_are_within_their_error(on: Manifold, dtype: str) -> None:
    space, (p, q, *_) = SPACES[on], arcs(on, dtype)
    x, y = np.concatenate([p, p * 3]), np.concatenate([q, p, -p, p * 7])
    ranks = on.rank(on.canonical(x)[:, None], on.canonical(y)[None])
    for found, error, true in zip(
        ranks.flat, on.rank_error(ranks).flat, oracle.ranks(space, x, y).flat, strict=True
    ):
        assert found == true or abs(mpf(found) - true) <= error, f"{found} instead of {true}"


@each_dtype
@each_space
def test_exact_ranks_agree_with_the_oracle(on: Manifold, dtype: str) -> None:
    p, q, *_ = arcs(on, dtype)
    with localcontext() as context:
        context.prec = 80
        stored = [[[Decimal(float(a)) for a in row] for row in x] for x in (p, q)]
        found = [on.exact_rank(*pair) for pair in zip(*stored, strict=True)]
    true = oracle.ranks(SPACES[on], p, q).diagonal()
    assert all(abs(mpf(str(a)) - b) <= b * mpf(10) ** -40 for a, b in zip(found, true, strict=True))


@each_dtype
@each_space
def test_distances_by_rank_are_right_in_float64(on: Manifold, dtype: str) -> None:
    p, q, *_ = arcs(on, dtype)
    found = on.rank_to_dist(on.rank(on.canonical(p), on.canonical(q)))
    true = oracle.dists(SPACES[on], p, q).diagonal().astype(float)
    assert (abs(found - true) <= 2 * EPS["float64"] * (1 + true)).all()


# --- the cut locus ------------------------------------------------------------------------------


@every_library
@pytest.mark.parametrize(("dtype", "beside"), [("float32", 1e-5), ("float64", 1e-13)])
def test_nan_at_the_cut_locus_and_nowhere_else(dtype: str, beside: float, xp: Any) -> None:
    on = gd.Sphere(17, curvature=0.25)
    p, q, _, w = arcs(on, dtype, np.array([1.0, math.pi - beside, 1.0]))
    q[0] = -p[0]
    p, q, w = (xp.asarray(x) for x in (p, q, w))
    for found in (
        on.log(p, q), on.transport(p, q, w), on.midpoint(p, q), on.geodesic(p, q, 0.25),
        Manifold.midpoint(on, p, q),
    ):  # fmt: skip
        assert np.isnan(to_host(found)).all(axis=1).tolist() == [True, False, False]
    assert np.isnan(to_host(Manifold.dist(on, p, q))).tolist() == [True, False, False]
    lengths = to_host(on.norm(q, on.transport(p, q, w)))[1:]
    assert lengths == pytest.approx(on.radius, rel=8 * EPS[dtype], abs=0)
    assert to_host(on.norm(p, on.log(p, q)))[1] == pytest.approx(2 * math.pi, rel=4 * beside, abs=0)


# --- lengths and series -------------------------------------------------------------------------


@each_library
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [("float64", scale) for scale in (5e-324, 1e-310, 1e-300, 1e-150, 1.0, 1e150, 1e300, 4e307)]
    + [("float32", scale) for scale in (2.0**-149, 1e-40, 1e-30, 1e30, 8e37)],
)
def test_lengths_of_tiny_and_huge_vectors(dtype: str, scale: float, xp: Any) -> None:
    rows = np.array([[1, 0, 0], [2, -1, 3], [1, 1, 1], [1, 1e-3, 1e-30]]) * scale
    rows = rows.astype(dtype)
    lengths = to_host(norm(xp.asarray(rows)))
    points = to_host(gd.Sphere(3).project(xp.asarray(rows)))
    least = np.finfo(dtype).smallest_subnormal
    for row, length, point in zip(rows, lengths, points, strict=True):
        true = oracle.length(row)
        assert abs(mpf(float(length)) - true) <= max(2 * EPS[dtype] * true, float(least))
        assert oracle.error(point, oracle.Sphere().point(row)) <= 2 * EPS[dtype]


@each_library
@each_dtype
def test_what_has_no_direction_is_nan_without_a_warning(dtype: str, xp: Any) -> None:
    rows = np.array([[0, 0], [math.inf, 1], [-math.inf, math.inf], [math.nan, 1], [0, 1]], dtype)
    found = to_host(gd.Sphere(2).project(xp.asarray(rows)))
    assert np.isnan(found).all(axis=1).tolist() == [True, True, True, True, False]


@every_library
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sinc(dtype: str, xp: Any) -> None:
    switch = EPS[dtype] ** 0.25
    t = np.concatenate(
        [[0, 5e-324], np.geomspace(1e-30, 3, 200), switch * np.linspace(0.9, 1.1, 21)]
    )
    t = np.concatenate([t, -t]).astype(dtype)
    true = np.array([float(mp.sinc(mpf(float(each)))) for each in t])
    assert to_host(sinc(xp.asarray(t))) == pytest.approx(true, rel=2 * EPS[dtype], abs=0)


def arguments() -> np.ndarray:
    """For the arctangent: every magnitude, the ends, both sides of where its formula changes."""
    wide = 10.0 ** np.random.default_rng(0).uniform(-300, 300, 500)
    middle = 10.0 ** np.random.default_rng(1).uniform(-3, 3, 1500)
    return np.concatenate([[0, 1e-300, 1 - 2**-53, 1, 1 + 2**-52, 1.7e308, np.inf], wide, middle])


def test_arctangent_is_right_to_the_error_it_states() -> None:
    x = arguments()
    true = [mp.atan(mpf(value)) for value in x]
    errors = [abs(mpf(a) / b - 1) if b else mpf(a) for a, b in zip(atan(x), true, strict=True)]
    assert max(errors) < 8e-16


@every_library
def test_arctangent_has_the_same_bytes_however_it_is_called(xp: Any) -> None:
    x = arguments()
    bits = atan(x).tobytes()
    assert to_host(atan(xp.asarray(x))).tobytes() == bits
    assert to_host(atan(xp.asarray(x[::-1].copy())))[::-1].tobytes() == bits
    assert to_host(atan(xp.asarray(np.repeat(x, 3))[::3])).tobytes() == bits
    alone = [to_host(atan(xp.asarray(x[i : i + 1]))).tobytes() for i in range(0, len(x), 9)]
    assert b"".join(alone) == atan(x)[::9].tobytes()


# --- sums, products, selection ------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 17, 31, 384])
def test_lane_sums_have_the_same_bytes_however_they_are_made(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((50, n)) * 10.0 ** (np.arange(50)[:, None] - 25)
    bits = lane_sum(x).tobytes()
    ways = [
        lane_sum(torch.asarray(x)),
        lane_sum(array_api_strict.asarray(x)),
        lane_sum(np.asfortranarray(x)),
        lane_sum(torch.asarray(np.asfortranarray(x))),
        lane_sum(np.repeat(x, 2, axis=1)[:, ::2]),
        lane_sum(np.flip(x, axis=0))[::-1],
        [lane_sum(row) for row in x],
    ]
    assert all(np.asarray(way).tobytes() == bits for way in ways)


@numba.njit
def of_lanes(x, p):
    products, squares = np.empty(len(x)), np.empty(len(x))
    for i in range(len(x)):
        products[i], squares[i] = lane_product(x[i], p), lane_square(x[i], p)
    return products, squares


@pytest.mark.parametrize("n", [1, 7, 8, 17, 384])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_loops_have_the_bytes_of_lane_sums(dtype: str, n: int) -> None:
    x, y = np.random.default_rng(n).standard_normal((2, 30, n)).astype(dtype)
    s, t = np.random.default_rng(0).uniform(0.5, 2, (2, 30))
    rows, others = np.indices((30, 30)).reshape(2, -1)
    a, b = x.astype(float), y.astype(float)
    assert row_norms(x).tobytes() == np.sqrt(lane_sum(a * a)).tobytes()
    products, squares = of_lanes(x, b[0])
    assert products.tobytes() == lane_sum(a * b[0]).tobytes()
    assert squares.tobytes() == lane_sum((a - b[0]) ** 2).tobytes()
    u, v = (a * s[:, None])[rows], (b * t[:, None])[others]
    near, far = pair_chords(x, s, rows, y, t, others)
    assert near.tobytes() == lane_sum((u - v) ** 2).tobytes()
    assert far.tobytes() == lane_sum((u + v) ** 2).tobytes()


@pytest.mark.parametrize("n", [1, 9, 100, 384])
def test_lane_sums_are_right_to_the_error_they_state(n: int) -> None:
    x = 1 + np.random.default_rng(n).random((50, n))
    true = np.array([math.fsum(row) for row in x])
    assert (abs(lane_sum(x) - true) <= (n / 8 + 3) * EPS["float64"] / 2 * true).all()


@pytest.mark.parametrize("n", [1, 17, 384, 4096])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_of_matrices_are_within_their_error(precision: str, n: int) -> None:
    x, y = torch.asarray(np.random.default_rng(n).random((2, 20, n)))  # of one sign: errors add up
    x, y = (part.bfloat16() if precision == "bfloat16" else part.float() for part in (x, y))
    true = (x.double() @ y.double().T).numpy()
    bound = product_error(n) * torch.outer(x.double().norm(dim=1), y.double().norm(dim=1)).numpy()
    assert (abs(device_product(x, y).double().numpy() - true) <= bound).all()
    for library in ("numpy", "torch") if precision == "float32" else ("torch",):
        kind = torch.uint16 if precision == "bfloat16" else torch.float32
        tile = HostProduct(library, precision, (20, 20))(*(z.view(kind).numpy() for z in (x, y)))
        found = torch.asarray(tile).view(x.dtype).double().numpy()
        once_more = 2.0**-8 * abs(found) if precision == "bfloat16" else 0
        assert (abs(found - true) <= bound + once_more).all()


@every_library
@pytest.mark.parametrize("k", [0, 1, 3, 10, 11])
def test_smallest(k: int, xp: Any) -> None:
    values = np.random.default_rng(k).integers(0, 5, (40, 10)).astype(float)  # full of ties
    found = to_host(smallest(xp.asarray(values), k))
    assert found.shape == (40, min(k, 10))
    assert all(len(set(row)) == len(row) for row in found.tolist())
    chosen = np.take_along_axis(values, found, axis=1)
    assert (np.sort(chosen, axis=1) == np.sort(values, axis=1)[:, :k]).all()


# --- the oracle itself --------------------------------------------------------------------------


def test_the_oracle_knows_what_everybody_knows() -> None:
    e = np.eye(3)
    assert abs(oracle.dists(oracle.Sphere(), e[:1], e[1:2])[0, 0] - mp.pi / 2) < 1e-45
    assert oracle.ranks(oracle.Sphere(), e[:1], -7 * e[:1])[0, 0] == mp.inf
    assert oracle.ranks(oracle.Euclidean(), e[:1] * 1e-20, e[:1])[0, 0] < 1
    assert oracle.dists(oracle.Euclidean(), [[3, 0]], [[0, 4]])[0, 0] == 5
    line = np.array([[0.0], [3.0], [1.0], [1.0], [2.0]])
    assert oracle.knn(oracle.Euclidean(), line, 2) == [[2, 3], [4, 2], [3, 0], [2, 0], [1, 2]]
    assert oracle.knn(oracle.Euclidean(), line, 2, line[:2]) == [
        [0, 1],
        [1, 0],
        [0, 1],
        [0, 1],
        [1, 0],
    ]
