"""Operations on rows: lazy, broadcasting, in float64, with NaN and a count at the cut locus."""

from pathlib import Path

import dask
import numpy as np
import pytest

import geodask as gd

S = gd.Sphere(16, curvature=0.25)


@pytest.fixture
def x() -> gd.Points:
    return gd.points(S.random(500, seed=1).astype(np.float32), S)


@pytest.fixture
def y() -> gd.Points:
    return gd.points(S.random(500, seed=2), S)


def rows(x: gd.Points) -> np.ndarray:
    return S.canonical(np.asarray(x.array))


def equal(a: object, b: object) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


def test_everything_is_lazy(x: gd.Points, y: gd.Points) -> None:
    with dask.config.set(scheduler=refuse):
        v = gd.log_map(x, y)
        gd.dist(x, y)
        gd.norm(x, v)
        gd.inner(x, v, v)
        gd.transport(x, y, v)
        gd.exp_map(x, v)
        gd.midpoint(gd.exp_map(x, v), y)
        gd.geodesic(x, y, 0.25)
        gd.project(gd.midpoint(x, y))
        gd.plan(gd.log_map, x, y)


def test_values_are_those_of_the_manifold(x: gd.Points, y: gd.Points) -> None:
    p, q = rows(x), rows(y)
    v = gd.log_map(x, y)
    assert v.dtype == np.float64  # of float32 and float64 points
    assert equal(gd.dist(x, y), S.dist(p, q))
    assert equal(v, S.log(p, q))
    u = np.asarray(v)
    assert equal(gd.norm(x, v), S.norm(p, u))
    assert equal(gd.inner(x, u, 2 * u), S.inner(p, u, 2 * u))
    assert equal(gd.transport(x, y, v), S.transport(p, q, u))
    assert equal(gd.exp_map(x, v).array, S.exp(p, u))
    assert equal(gd.midpoint(x, y).array, S.midpoint(p, q))
    assert equal(gd.geodesic(x, y, 0.25).array, S.geodesic(p, q, 0.25))
    t = np.linspace(0, 1, len(x))
    assert equal(gd.geodesic(x, y, t).array, S.geodesic(p, q, t))


def test_types_of_results(x: gd.Points) -> None:
    assert gd.dist(x, x).dtype == np.float64
    assert gd.log_map(x, x).dtype == np.float32
    assert isinstance(gd.exp_map(x, np.zeros((500, 16), np.float32)), gd.Points)
    assert gd.midpoint(x, x).manifold == S
    assert gd.midpoint(x, x).dtype == np.float32


def test_one_point_serves_all_rows_from_either_side(x: gd.Points) -> None:
    p = rows(x)
    single = S.random(1, seed=5)[0]
    assert equal(gd.dist(x, single), S.dist(p, single))
    assert equal(gd.dist(x, gd.points(single[None], S)), S.dist(p, single))
    assert gd.dist(x[3], x).shape == (500,)
    assert equal(gd.dist(x[3], x), S.dist(p[3:4], p))
    assert gd.log_map(x[3], x).shape == (500, 16)
    assert gd.exp_map(x[3], gd.log_map(x[3], x)).shape == (500, 16)
    assert gd.dist(x[3], x[4]).shape == (1,)


def test_no_rows_and_one_row(x: gd.Points) -> None:
    none = x[:0]
    assert gd.dist(none, none).compute().shape == (0,)
    assert gd.midpoint(none, none).array.compute().shape == (0, 16)
    assert gd.log_map(x[:1], x[:1]).compute().shape == (1, 16)
    assert gd.dist(none, x[0]).compute().shape == (0,)
    assert gd.plan(gd.dist, none, none).compute().values.shape == (0,)


def test_any_chunking_gives_the_same(x: gd.Points, y: gd.Points) -> None:
    import dask.array as da

    truth = gd.dist(x, y).compute()
    for chunks in (1, 7, 499, 500):
        cut = gd.points(da.from_array(rows(x).astype("f4"), chunks=(chunks, 5)), S)
        assert np.allclose(gd.dist(cut, y).compute(), truth, rtol=1e-6)
        again = gd.dist(gd.points(da.from_array(y.read(0, 500), chunks=(chunks, 16)), S), x)
        assert equal(again, gd.dist(y, x))


def test_rows_cut_along_columns_are_put_together(x: gd.Points, y: gd.Points) -> None:
    import dask.array as da

    cut = gd.points(da.from_array(x.read(0, 500), chunks=(100, 5)), S)
    assert equal(gd.log_map(cut, y), gd.log_map(x, y))
    assert equal(gd.midpoint(cut, y).array, gd.midpoint(x, y).array)
    assert equal(gd.project(cut).array, gd.project(x).array)


def test_project_as_a_plan_takes_rows_off_the_manifold(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", 3 * S.random(20, seed=1))
    off = gd.points(tmp_path / "x.npy", S)
    assert S.check(np.asarray(gd.plan(gd.project, off).persist().values)) is None


def test_the_cut_locus_is_nan_and_counted_or_an_error() -> None:
    p = S.random(10, seed=3)
    q = S.random(10, seed=4)
    q[[2, 7]] = -p[[2, 7]]
    x, y = gd.points(p, S), gd.points(q, S)
    undefined = np.isnan(gd.log_map(x, y).compute()).any(axis=1)
    assert np.flatnonzero(undefined).tolist() == [2, 7]
    for function, arguments in (
        (gd.log_map, (x, y)),
        (gd.midpoint, (x, y)),
        (gd.transport, (x, y, np.zeros((10, 16)))),
        (gd.geodesic, (x, y, 0.5)),
    ):
        report = gd.plan(function, *arguments).persist().report
        assert report.health == {"undefined": 2, "near_limit": 0}, function
        with pytest.raises(gd.CutLocusError, match="rows 2, 7"):
            gd.plan(function, *arguments, on_undefined="raise").compute()
        lazy = function(*arguments, on_undefined="raise")
        with pytest.raises(gd.CutLocusError, match="rows 2, 7"):
            (lazy.array if isinstance(lazy, gd.Points) else lazy).compute()
    assert gd.dist(x, y).compute()[2] == pytest.approx(np.pi * 2, rel=1e-15)


def test_a_plan_is_stored_and_found(x: gd.Points, y: gd.Points) -> None:
    plan = gd.plan(gd.log_map, x, y)
    assert plan.explain().rows == 500
    first = plan.persist()
    assert equal(first.values, gd.log_map(x, y))
    assert gd.plan(gd.log_map, x, y).persist().report.cache_hit
    assert not gd.plan(gd.log_map, y, x).persist().report.cache_hit
    assert not gd.plan(gd.midpoint, x, y).persist().report.cache_hit
    assert gd.plan(gd.midpoint, x, y).persist().points.manifold == S
    assert gd.plan(gd.dist, x, x[0]).compute().values.shape == (500,)


@pytest.mark.usefixtures("client")
def test_a_plan_on_a_cluster(x: gd.Points, y: gd.Points) -> None:
    v = gd.log_map(x, y)
    result = gd.plan(gd.exp_map, x, v).persist()
    assert equal(result.values, gd.exp_map(x, v).array)


def test_what_does_not_fit_is_refused(x: gd.Points, y: gd.Points) -> None:
    with pytest.raises(gd.PointShapeError, match="equally many rows"):
        gd.dist(x, y[:7])
    with pytest.raises(gd.PointShapeError, match="points of shape"):
        gd.exp_map(x, np.zeros((500, 3)))
    with pytest.raises(gd.SpecError, match="are needed"):
        gd.dist(x, gd.points(np.eye(16), gd.Sphere(16)))
    with pytest.raises(gd.SpecError, match="must be Points"):
        gd.dist(np.eye(16), x)
    with pytest.raises(gd.SpecError, match="takes one of"):
        gd.plan(np.sin, x)
    with pytest.raises(TypeError, match="takes 2 arguments"):
        gd.plan(gd.dist, x)
    with pytest.raises(ValueError, match="on_undefined"):
        gd.log_map(x, y, on_undefined="zero")
    with pytest.raises(gd.NotOnManifoldError, match="row 1 is not of unit length"):
        gd.dist(x, np.concatenate([rows(x)[:1], 2 * rows(x)[1:]]))
