"""Tensors of rows: lazy, blocks by what they take, plans by what they are told, and the service."""

import tracemalloc
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from geodask.engine.operation import Budget
from geodask.ops import curvature
from geodask.service.operations import offers

S = gd.Sphere(4, curvature=0.25)
VERBS = [verb for verb in curvature.VERBS if verb is not gd.sectional_curvature]


@pytest.fixture
def x() -> gd.Points:
    return gd.points(S.random(200, seed=1).astype(np.float32), S)


def tangents(x: gd.Points) -> list[np.ndarray]:
    p = S.canonical(np.asarray(x.array))
    return [S.random_tangent(p, seed) for seed in (1, 2)]


def cost_of(operation: Any, x: gd.Points, task_bytes: int | None = None) -> Any:
    budget = Budget("numpy", "cpu", "float32", task_bytes)
    return operation.cost((x,), operation.layout((x,)), budget)


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


def test_tensors_are_lazy_float64_and_those_of_the_manifold(x: gd.Points) -> None:
    p, (u, v) = S.canonical(np.asarray(x.array)), tangents(x)
    with dask.config.set(scheduler=refuse):
        found = {verb.__name__: verb(x) for verb in VERBS}
        planes = gd.sectional_curvature(x, u, v)
    for name, values in found.items():
        assert values.dtype == np.float64
        assert values.shape == getattr(S, name)(p).shape
        assert np.array_equal(values.compute(), getattr(S, name)(p))
    assert np.array_equal(planes.compute(), S.sectional_curvature(p, u, v))
    assert gd.ricci(x[:0]).compute().shape == (0, 3, 3)


def test_methods_orders_and_charts_are_told_on(x: gd.Points) -> None:
    p, (u, v) = S.canonical(np.asarray(x.array)), tangents(x)
    for method in ("closed", "autodiff", "differences"):
        found = gd.christoffel(x, method=method, order=4).compute()
        assert np.array_equal(found, S.christoffel(p, method, 4))
    found = gd.sectional_curvature(x, u, v, method="differences", order=2).compute()
    assert np.array_equal(found, S.sectional_curvature(p, u, v, "differences", 2))
    normal = gd.NormalCoordinates(S)
    assert (gd.christoffel(x, chart=normal).compute() == 0).all()
    assert np.allclose(gd.metric_tensor(x, chart=normal), np.eye(3), atol=1e-14)


def test_what_a_space_does_not_have_is_refused_before_anything_is_computed(x: gd.Points) -> None:
    spd = gd.points(gd.SPDLogEuclidean(2).random(3, seed=0), gd.SPDLogEuclidean(2))
    with pytest.raises(gd.SpecError, match="comes by autodiff or differences"):
        gd.christoffel(spd, method="closed")
    with pytest.raises(gd.SpecError, match="A chart of"):
        gd.metric_tensor(x, chart=gd.StereographicCoordinates(gd.Sphere(4)))
    with pytest.raises(gd.SpecError, match="order 2, 4 or 6"):
        gd.plan(gd.ricci, x, order=5)
    with pytest.raises(gd.SpecError, match="must be Points"):
        gd.ricci(np.eye(4))  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="scalar_curvature takes no chart"):
        gd.plan(gd.scalar_curvature, x, chart=None)
    with pytest.raises(TypeError, match="dist takes no order"):
        gd.plan(gd.dist, x, x, order=2)


def test_a_plan_is_found_under_what_it_was_told(x: gd.Points) -> None:
    first = gd.plan(gd.ricci, x).persist()
    assert np.array_equal(np.asarray(first.values), gd.ricci(x).compute())
    assert gd.plan(gd.ricci, x, method="closed").persist().report.cache_hit
    for told in ({"method": "autodiff"}, {"chart": gd.NormalCoordinates(S)}, {"order": 4}):
        assert not gd.plan(gd.ricci, x, **told).persist().report.cache_hit


def test_rows_that_a_chart_does_not_reach_are_nan_and_counted() -> None:
    rows = np.concatenate([S.random(3, seed=0), np.eye(4)[3:]])
    x = gd.points(rows, S)
    result = gd.plan(gd.christoffel, x).compute()
    assert result.report.health["undefined"] == 1
    assert np.isnan(result.values[3]).all()
    with pytest.raises(gd.NotOnManifoldError, match="rows 3 have none"):
        gd.plan(gd.christoffel, x, on_undefined="raise").compute()


def test_blocks_are_cut_by_what_their_rows_take() -> None:
    wide = gd.points(gd.Sphere(384).random(50, seed=0), gd.Sphere(384))
    assert gd.christoffel(wide).chunks[0] == (1,) * 50  # of 550 MB each
    assert gd.ricci(wide).chunks[0] == (4,) * 12 + (2,)
    operation = gd.plan(gd.christoffel, wide).operation
    with pytest.raises(gd.MemoryPlanError, match="christoffel needs"):
        cost_of(operation, wide, task_bytes=2**30)


@pytest.mark.parametrize("method", ["closed", "differences"])  # torch's memory is not seen
@pytest.mark.parametrize("on", [gd.PoincareBall(8), gd.SPDLogCholesky(2)], ids=str)
@pytest.mark.parametrize("verb", [gd.metric_tensor, gd.christoffel, gd.riemann, gd.ricci])
def test_a_block_takes_no_more_memory_than_it_states(
    verb: Any, on: gd.Manifold, method: str
) -> None:
    told = {} if verb is gd.metric_tensor else {"method": method}
    if verb is gd.christoffel and on.chart.has_symbols is False and method == "closed":
        told = {}
    few = gd.points(on.random(2, seed=0), on)
    x = gd.points(on.random(16, seed=0), on)
    operation = gd.plan(verb, x, **told).operation
    rows = np.asarray(x.array)
    operation.block(on, [np.asarray(few.array)], 0, np.float64)
    stated, peaks = cost_of(operation, x).task_bytes, []
    while len(peaks) < 50 and not any(peak < stated for peak in peaks):
        tracemalloc.start()  # it sees what other threads of the process allocate as well
        operation.block(on, [rows], 0, np.float64)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(peaks) < stated


@pytest.mark.parametrize("method", ["closed", "autodiff", "differences"])
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_blocks_of_one_row_and_of_many_are_the_same(verb: Any, method: str) -> None:
    on = gd.SPDAffineInvariant(2)
    x = gd.points(on.random(4, seed=0), on)
    told = {} if verb is gd.metric_tensor else {"method": method}
    together = verb(x, **told).compute()
    for i in range(4):
        alone = verb(x[i : i + 1], **told).compute()
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-12, atol=1e-12)


def test_the_service_offers_them_with_their_methods(x: gd.Points, tmp_path: Path) -> None:
    offered = offers()["christoffel"]
    told = offered.schema("christoffel")["properties"]["parameters"]["properties"]
    assert told["method"]["enum"] == ["closed", "autodiff", "differences"]
    assert told["order"]["enum"] == [2, 4, 6]
    plan = offered.make(x, method="differences", order=2, on_undefined="raise")
    assert plan.operation.verb.options()["order"] == 2
    assert "method" not in offers()["metric_tensor"].parameters
    assert offers()["geodesic"].make(x, x, t=0.5).operation.verb.method == "geodesic"
