"""Neighbours in the models of hyperbolic space: exact, and certified where they are proven."""

import functools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch

import geodask as gd
from geodask.arrays.polar import PolarProducts
from geodask.kernels.lists import one_each
from geodask.kernels.nearest import HostNearest
from geodask.manifolds.base import rows_of
from geodask.manifolds.difference import FEW
from geodask.manifolds.hyperbolic import Hyperbolic
from neighbours import KERNELS, NUMPY, Kernel, cut
from rim import MODELS, each_model, families, rows, space

each_other = pytest.mark.parametrize("model", MODELS[1:], ids=lambda model: model.__name__)
each_library = pytest.mark.parametrize("xp", [np, torch], ids=lambda xp: xp.__name__)


def exact(on: Hyperbolic, x: np.ndarray, i: int) -> list[tuple[Decimal, int]]:
    """(rank, row number) of all other rows, in order."""
    stored = [[Decimal(float(a)) for a in row] for row in x]
    ranks = [on.exact_rank(stored[i], row) for row in stored]
    return sorted((rank, j) for j, rank in enumerate(ranks) if j != i)


@each_other
@pytest.mark.parametrize(
    "dim",
    [1, 2, 10, pytest.param(64, marks=pytest.mark.slow), pytest.param(256, marks=pytest.mark.long)],
)
@pytest.mark.parametrize(
    ("dtype", "radius"), [("float32", 4), ("float32", 14), ("float64", 8), ("float64", 30)]
)
def test_no_row_is_wrong(model: type, dtype: str, radius: float, dim: int) -> None:
    on, x = space(model, dim), rows(model, radius, dim, dtype, seed=dim)
    if model is gd.HyperbolicPolar and dtype == "float64":
        x[:, -1] *= 9
    often = dim < 64 and model is not gd.HyperbolicPolar  # which takes 300 digits
    check_neighbours(on, x, range(0, len(x), 60 if often else 150))


def check_neighbours(on: Hyperbolic, x: np.ndarray, asked: range) -> None:
    result = gd.knn(gd.points(x, on), k=7).compute()
    assert result.certified.all()
    with localcontext() as context:
        context.prec = 300 if isinstance(on, gd.HyperbolicPolar) else 100
        for i in asked:
            order = exact(on, x, i)
            ranks = {j: rank for rank, j in order}
            for j, found, (rank, _) in zip(
                result.indices[i], result.distances[i], order, strict=False
            ):
                within = Decimal(float(on.rank_error(np.float64(rank))))
                assert abs(ranks[int(j)] - rank) <= 2 * within
                true = 2 * math.asinh(math.sqrt(rank)) if rank < 1e300 else 0
                assert found == pytest.approx(true, rel=1e-13)


SURROGATES = [(model, dim) for model in MODELS[1:] for dim in (6, FEW + 1)]
"""Differences and products."""


@functools.cache
def ranked(model: type, dim: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, some of them twice, and the nine nearest of each with their ranks, from all pairs."""
    x = rows(model, {"float16": 5, "float32": 13, "float64": 25}[dtype], dim, "float64")
    on = space(model, dim)
    x = on.project(x.astype(dtype))
    x = np.concatenate([x, x[:40]])
    p = on.canonical(x)
    ranks = on.rank(p[:, None], p[None])
    np.fill_diagonal(ranks, np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(len(x)), ranks.shape), ranks), axis=1)[:, :9]
    return x, order, np.take_along_axis(ranks, order, axis=1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("model", "dim"), SURROGATES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_kernel_gives_the_same_bytes(
    model: type, kernel: Kernel, dtype: str, dim: int
) -> None:
    on, (x, order, ranks) = space(model, dim), ranked(model, dim, dtype)
    kind, place, precision = kernel
    running = kind(on, x, 9, place, precision, one_each(np.arange(len(x))))
    for start, stop in cut(len(x), 97):
        running.fold(x[start:stop], start)
    indices, found, certified = running.result()
    assert (indices == order).all()
    assert found.tobytes() == ranks.tobytes()
    assert certified.all()


def folded(on: Hyperbolic, x: np.ndarray, k: int = 5) -> np.ndarray:
    running = HostNearest(on, x, k, NUMPY, "auto", one_each(np.arange(len(x))))
    running.fold(x, 0)
    return running.result()[0]


def test_lorentz_needs_what_the_ball_rounds_away(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows on one ray, closer to each other than floats of the ball can tell.
    on = gd.Lorentz(3)
    r = 20 + 1e-9 * np.arange(400)
    x = on.from_polar(
        np.broadcast_to([0.6, 0.8], (400, 2)), r[np.random.default_rng(0).permutation(400)]
    )
    right = folded(on, x)
    p = on.canonical(x)
    ranks = on.rank(p[:, None], p[None])
    np.fill_diagonal(ranks, np.inf)
    assert (right == np.argsort(ranks, axis=1, kind="stable")[:, :5]).all()
    queries = gd.Lorentz.queries
    tight = {"share": 2.0**-20}
    monkeypatch.setattr(gd.Lorentz, "queries", lambda on, *a: queries(on, *a)._replace(**tight))
    monkeypatch.setattr(gd.Lorentz, "low_error", 0.0)
    assert (folded(on, x) != right).any()


def test_half_space_scores_fit_in_float32() -> None:
    # The highest rows and the lowest: their weighted differences would overflow.
    on, rng = gd.HalfSpace(3), np.random.default_rng(0)
    x = (
        np.concatenate([[[0, 0, 1]] * 200, [[0, 0, 1]] * 200])
        * np.exp(np.repeat([35.0, -35.0], 200) + rng.uniform(-1, 1, 400))[:, None]
    )
    check_neighbours(on, x, range(0, 400, 50))
    check_neighbours(on, np.concatenate([x[:3], x[200:]]), range(0, 200, 50))


def test_equal_directions_of_other_lengths_are_one_ray() -> None:
    on = gd.HyperbolicPolar(5)
    x = np.full((3, 5), 0.5)
    x[:, 4] = [290, 290.25, 290.5]
    x[1, :4] *= 1 + 2.0**-52
    x[2, 0] *= 1 + 2.0**-52
    assert on.dist(x[:1], x[1:2])[0] == pytest.approx(0.25, rel=1e-14)
    assert on.dist(x[:1], x[2:])[0] > 500


@each_model
def test_the_audit_knows_the_model(model: type) -> None:
    on = space(model, 5, -0.5)
    x = gd.PoincareBall(5, curvature=-0.5).convert(families(13, 5, "float64"), on)
    audit = gd.knn(gd.points(x, on), k=5).compute().audit(rows=60)
    assert (audit.rows, audit.wrong) == (60, 0)
    assert audit.distance_error < 1e-12


# --- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 2, 5, 256])
def test_the_weighted_rows_of_the_hyperboloid_are_as_near_as_they_say(dim: int) -> None:
    on = space(gd.Lorentz, dim)
    x = on.random(4000, seed=dim)
    weighted = on.weighted(x)
    assert np.linalg.norm(weighted.low, axis=1).max() <= on.low_error * 1.01
    steps = [Decimal(0)] * 3
    with localcontext() as context:
        context.prec = 60
        for i in range(3):
            time = (1 + sum(Decimal(float(a)) ** 2 for a in x[i, 1:])).sqrt()
            for a, high, low in zip(x[i, 1:], weighted.points[i], weighted.low[i], strict=True):
                found = Decimal(float(high)) + Decimal(float(low))
                steps[i] += (found - Decimal(float(a)) / (1 + time)) ** 2
            assert steps[i].sqrt() * 2**53 <= Decimal(on.root_error)


@pytest.mark.parametrize("dim", [64, 256])
def test_ranks_are_exact_to_their_error_at_the_rim(dim: int) -> None:
    on = space(gd.Lorentz, dim)
    x = np.array(
        [np.full(dim, math.sinh(36) / math.sqrt(dim) * (1 + i * 2.0**-50)) for i in range(9)]
    )
    x = on.project(np.concatenate([x[:, :1], x], axis=1))
    found = on.rank(x[:1], x)
    with localcontext() as context:
        context.prec = 120
        stored = [[Decimal(float(a)) for a in row] for row in x]
        for rank, row in zip(found, stored, strict=True):
            gap = abs(Decimal(float(rank)) - on.exact_rank(stored[0], row))
            assert gap <= Decimal(float(on.rank_error(rank)))


@pytest.mark.parametrize("n", [17, 257, 1025])
def test_one_ray_stays_one_ray_in_many_dimensions(n: int) -> None:
    on = gd.HyperbolicPolar(n)
    scale = np.arange(-3, 4) * 2.0**-52 + 1
    x = np.full((7, n), 1 / math.sqrt(n - 1)) * scale[:, None]
    x[:, -1] = 300
    assert not on.dist(x[:1], x).any()
    x[:, -1] += np.arange(7) / 8 - 1
    result = gd.knn(gd.points(x, on), k=2).compute()
    assert (result.indices == [[1, 2], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 4]]).all()
    assert result.audit(rows=7).wrong == 0


def test_directions_of_few_units_apart_are_ranked_to_their_error() -> None:
    on = gd.HyperbolicPolar(3)
    base = np.array([0.6, 0.8]) + 2.0**-53 * np.array([[7, 0], [3, 4], [4, 3], [100, 75], [0, 1]])
    x = np.concatenate([base, np.full((5, 1), 300.0)], axis=1)
    with localcontext() as context:
        context.prec = 700
        stored = [[Decimal(float(a)) for a in row] for row in x]
        for i in range(5):
            for j in range(5):
                rank = on.rank(x[i : i + 1], x[j : j + 1])[0]
                gap = abs(Decimal(float(rank)) - on.exact_rank(stored[i], stored[j]))
                assert gap <= Decimal(float(on.rank_error(rank)))


@pytest.mark.parametrize("dim", [FEW + 1, 300])
def test_products_of_directions_are_as_right_as_steps(dim: int) -> None:
    on, rng = space(gd.HyperbolicPolar, dim), np.random.default_rng(0)
    towards = rng.standard_normal((2, 120, dim)) * 10.0 ** rng.uniform(-16, 0, (2, 120, 1))
    direction = rng.standard_normal(dim) / math.sqrt(dim) + towards
    x, y = on.from_polar(
        direction / np.linalg.norm(direction, axis=-1, keepdims=True), rng.uniform(0, 300, (2, 120))
    )
    queries = on.queries(rows_of(on, x), "float64")
    targets = on.targets(rows_of(on, y), None, "float64")
    assert queries.scores is PolarProducts
    found = PolarProducts((120, 120))(queries.operand, targets.operand)
    scores = on.score(on.rank(x[:, None], y[None]), queries)
    assert (np.abs(found / scores - 1) <= queries.share / 2).all()


def test_ranks_that_leave_float64_are_within_their_error() -> None:
    on = gd.HyperbolicPolar(3)
    assert on.rank_error(on.rank(np.array([0.6, 0.8, 1e-200]), np.array([0.6, 0.8, 9e-200]))) > 0


@each_model
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dim", [4, FEW + 1])
@np.errstate(invalid="ignore")
def test_rows_that_are_no_points_are_never_certified(model: type, kernel: Kernel, dim: int) -> None:
    on, (kind, place, precision) = space(model, dim), kernel
    x = on.random(60, seed=0)
    bad = x.copy()
    bad[7, 1] = np.nan
    for queries, targets in ((x[:20], bad), (bad[:20], x)):
        running = kind(on, queries, 3, place, precision)
        running.fold(targets, 0)
        _, ranks, certified = running.result()
        assert not certified[7 if targets is x else slice(None)].any()
        assert not np.isnan(ranks).any()


def test_half_space_rows_beyond_float32_are_never_certified() -> None:
    on = gd.HalfSpace(2)
    for y in ([[0, 1e-200], [0, 2e-300], [0, 1e-100]], [[0, 1e300], [0, 1e200], [0, 2.0]]):
        running = HostNearest(on, np.array([[0, 1e-300], [0, 1.0]]), 1, NUMPY, "auto")
        with np.errstate(all="ignore"):
            running.fold(np.array(y), 0)
        assert not running.result()[2].any()
