"""Tangent coordinates of data sets: isometric, lazy, and a step of scikit-learn's pipelines."""

import importlib
import sys
from pathlib import Path

import dask
import mpmath
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

import geodask as gd

SPD = gd.SPDAffineInvariant(4)
SPACES = [
    SPD,
    gd.SPDLogEuclidean(4),
    gd.SPDLogCholesky(4),
    gd.Sphere(6, curvature=0.25),
    gd.PoincareBall(3, curvature=-0.5),
    gd.Lorentz(4),
    gd.HalfSpace(3),
    gd.HyperbolicPolar(4),
    gd.Simplex(5),
    gd.Euclidean(3),
    gd.EuclideanMatrices(2, 3),
]


def near(on: gd.Manifold, rows: int = 200) -> np.ndarray:
    """Rows around a point, within half the radius where logs are unique."""
    p = np.broadcast_to(on.random(1, seed=1), (rows, *on.point_shape))
    u = on.random_tangent(p, seed=2)
    u = u / on.norm(p, u).reshape(rows, *[1] * (p.ndim - 1))
    return on.exp(p, 0.5 * min(1.0, on.room(p[:1])[0]) * u)


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


@pytest.mark.parametrize("on", SPACES, ids=str)
def test_variances_sum_to_that_of_the_points(on: gd.Manifold) -> None:
    x = gd.points(near(on), on)
    mean = gd.mean(x, tol=1e-12).compute()
    found = gd.tangent_coordinates(x, mean.point).compute()
    assert found.shape == (200, on.dim)
    assert found.dtype == np.float64
    assert found.var(axis=0).sum() == pytest.approx(mean.variance, rel=1e-10)
    distances = gd.dist(x, mean.point).compute()
    assert np.allclose(np.linalg.norm(found, axis=1), distances, rtol=1e-11)


def test_they_are_those_of_the_manifold_lazily_and_as_a_plan(tmp_path: Path) -> None:
    rows, at = SPD.random(300, seed=3), SPD.random(1, seed=4)[0]
    x = gd.points(rows, SPD)
    with dask.config.set(scheduler=refuse):
        lazy = gd.tangent_coordinates(x, at)
        gd.plan(gd.tangent_coordinates, x, at)
    right = SPD.log_coordinates(at, rows)
    assert np.array_equal(lazy.compute(), right)
    single = gd.points(at[None].astype(np.float32), SPD)
    rough = gd.tangent_coordinates(gd.points(rows.astype(np.float32), SPD), single)
    assert rough.dtype == np.float64
    assert np.allclose(rough.compute(), right, atol=1e-4)
    first = gd.plan(gd.tangent_coordinates, x, at).persist()
    assert np.array_equal(first.values.compute(), right)
    assert gd.plan(gd.tangent_coordinates, x, at).persist().report.cache_hit
    assert not gd.plan(gd.tangent_coordinates, x, rows[0]).persist().report.cache_hit
    with pytest.raises(gd.SpecError, match="gives no points"):
        _ = first.points


def test_at_the_unit_matrix_they_are_the_entries_of_the_logarithm() -> None:
    rows = SPD.random(5, seed=5)
    found = gd.tangent_coordinates(gd.points(rows, SPD), np.eye(4)).compute()
    i, j = np.tril_indices(4)
    scale = np.where(i == j, 1, np.sqrt(2))
    for row, mine in zip(rows, found, strict=True):
        log = np.array(mpmath.logm(mpmath.matrix(row.tolist())).tolist(), complex).real
        assert np.allclose(mine, scale * log[i, j], rtol=1e-12, atol=1e-13)


def test_digits_are_kept_where_the_base_point_is_ill_conditioned() -> None:
    at = np.diag([1e8, 1.0, 1e-8])
    u = np.array([[0.5, 0.2, 0.0], [0.2, -1.0, 0.3], [0.0, 0.3, 0.25]]) * 1e-6
    root = np.sqrt(at)
    on = gd.SPDAffineInvariant(3)
    c = on.log_coordinates(at, root @ (np.eye(3) + u) @ root)
    right = np.log1p(np.linalg.eigvalsh(u))
    assert np.linalg.norm(c) == pytest.approx(np.linalg.norm(right), rel=1e-9)


def test_rows_without_a_log_are_undefined() -> None:
    on = gd.Sphere(3)
    x = gd.points(np.array([[0, 0, 1.0], [0, 0, -1.0]]), on)
    at = np.array([0, 0, 1.0])
    assert np.isnan(gd.tangent_coordinates(x, at).compute()).all(axis=1).tolist() == [False, True]
    assert gd.plan(gd.tangent_coordinates, x, at).compute().report.health["undefined"] == 1
    with pytest.raises(gd.CutLocusError, match="rows 1"):
        gd.tangent_coordinates(x, at, on_undefined="raise").compute()
    with pytest.raises(gd.PointShapeError):
        gd.tangent_coordinates(x, np.eye(4)[0])


# --- the transformer ----------------------------------------------------------------------------


@pytest.fixture
def trials() -> tuple[np.ndarray, np.ndarray]:
    """Covariances of two classes with scattered scales, and their labels."""
    centres = np.repeat(SPD.random(2, seed=1), 60, axis=0)
    rows = SPD.exp(centres, 0.5 * SPD.random_tangent(centres, seed=3))
    return rows, np.repeat([0, 1], 60)


def pipeline() -> Pipeline:
    return make_pipeline(gd.TangentCoordinates(SPD), LogisticRegression())


def test_a_cross_validation(trials: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = trials
    scores = cross_val_score(pipeline(), rows, labels, cv=3, error_score="raise")
    assert scores.mean() > 0.9
    shuffled = np.random.default_rng(0).permutation(labels)
    assert cross_val_score(pipeline(), rows, shuffled, cv=3, error_score="raise").mean() < 0.7
    stored = gd.points(rows, SPD)
    again = cross_val_score(pipeline(), stored, labels, cv=3, error_score="raise")
    assert np.array_equal(again, scores)


def test_the_metric_is_a_parameter_to_search(trials: tuple[np.ndarray, np.ndarray]) -> None:
    spaces = [gd.SPDLogCholesky(4), SPD]
    grid = {"tangentcoordinates__manifold": spaces, "logisticregression__C": [0.1, 1.0]}
    found = GridSearchCV(pipeline(), grid, cv=2, error_score="raise").fit(*trials)
    assert found.best_params_["tangentcoordinates__manifold"] in spaces
    assert found.predict(trials[0]).shape == (120,)


def test_it_keeps_the_variance_and_comes_back(trials: tuple[np.ndarray, np.ndarray]) -> None:
    rows, _ = trials
    step = gd.TangentCoordinates(SPD)
    table = step.fit_transform(rows)
    mean = gd.mean(gd.points(rows, SPD)).compute()
    assert step.variance_ == mean.variance
    assert np.array_equal(step.mean_, mean.point)
    assert table.var(axis=0).sum() == pytest.approx(step.variance_, rel=1e-10)
    total = PCA().fit(table).explained_variance_.sum() * (len(rows) - 1) / len(rows)
    assert total == pytest.approx(step.variance_, rel=1e-10)
    assert np.allclose(step.inverse_transform(table), rows, rtol=1e-11, atol=1e-13)


def test_it_keeps_to_the_conventions(trials: tuple[np.ndarray, np.ndarray]) -> None:
    rows, _ = trials
    step = gd.TangentCoordinates(SPD)
    assert step.get_params() == {"manifold": SPD}
    assert clone(step).set_params(manifold=gd.SPDLogEuclidean(4)).manifold == gd.SPDLogEuclidean(4)
    assert repr(step) == "TangentCoordinates(manifold=SPDAffineInvariant(n=4))"
    with pytest.raises(NotFittedError):
        step.transform(rows)
    assert step.fit(rows) is step
    assert list(step.get_feature_names_out())[-1] == "tangentcoordinates9"
    assert step.set_output(transform="pandas").transform(rows).shape == (120, 10)
    assert step.transform(rows[:1]).shape == (1, 10)
    flat = gd.TangentCoordinates(gd.Sphere(3))
    assert flat.fit_transform(gd.Sphere(3).random(9, seed=0)[:1]).shape == (1, 2)
    for wrong, error in ((rows[:, 0], gd.PointShapeError), (-rows, gd.NotOnManifoldError)):
        with pytest.raises(error):
            step.transform(wrong)
    with pytest.raises(gd.SpecError, match="takes a manifold"):
        gd.TangentCoordinates("riemann").fit(rows)  # pyright: ignore[reportArgumentType]


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "geodask.learn.tangent", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    with pytest.raises(ImportError, match=r"pip install 'geodask\[learn\]'"):
        importlib.import_module("geodask.learn.tangent")


@pytest.mark.parametrize("on", SPACES, ids=str)
def test_rows_of_another_width_are_refused(on: gd.Manifold) -> None:
    p = on.random(1, seed=0)[0]
    fitted = gd.TangentCoordinates(on).fit(near(on, 9))
    for method in (
        lambda c: on.exp_coordinates(p, c),
        lambda c: on.from_coordinates(p, c),
        fitted.inverse_transform,
    ):
        for width in (on.dim - 1, on.dim + 1, 2 * on.dim, 0):
            with pytest.raises(gd.PointShapeError, match=rf"of shape \(3, {width}\) came"):
                method(np.ones((3, width)))
        with pytest.raises(gd.PointShapeError, match=r"of shape \(\) came"):
            method(np.ones(()))
    assert fitted.inverse_transform(0.1 * np.ones((3, on.dim))).shape == (3, *on.point_shape)
