"""Covariances of lower rank: told apart, and made definite by a step that is recorded."""

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import scipy.linalg
import zarr

import geodask as gd

FLAT = gd.EuclideanMatrices(6, 6)
SPD = gd.SPDAffineInvariant(6)
SMALL = gd.SPDAffineInvariant(5)


def referenced(rows: int, dtype: str = "float64", n: int = 6) -> np.ndarray:
    """Covariances, summed in a dtype, of float32 signals whose channels sum to zero."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((n, n))
    signals = (mixing @ rng.standard_normal((rows, n, 200))).astype("float32")
    signals = (signals - signals.mean(axis=1, keepdims=True)).astype(dtype)
    return signals @ np.swapaxes(signals, 1, 2) / np.asarray(200, dtype)


@pytest.fixture
def x() -> gd.Points:
    return gd.points(referenced(40), FLAT, ids=[f"epoch {i}" for i in range(40)])


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


# --- told apart ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [6, 24])
def test_every_matrix_is_singular_after_an_average_reference(n: int, dtype: str) -> None:
    for space in (gd.SPDAffineInvariant, gd.SPDLogCholesky, gd.SPDLogEuclidean):
        rows = referenced(50, dtype, n)
        assert (space(n).complaints(rows) == 4).all()
        with pytest.raises(gd.NotOnManifoldError, match="row 0 is singular, as after an average"):
            gd.points(rows, space(n))


def test_what_is_said_of_it() -> None:
    with pytest.raises(gd.NotOnManifoldError, match=r"make them definite: gd\.shrink, or gd\.com"):
        gd.points(referenced(3), SPD)
    rows = SPD.random(4, seed=0)
    rows[1], rows[2] = np.diag([1, 1, 1, 1, 1, -0.1]), np.ones((6, 6))
    assert SPD.complaints(rows).tolist() == [0, 3, 4, 0]
    with pytest.raises(gd.NotOnManifoldError, match="row 1 is not positive definite, row 2 is sin"):
        gd.points(rows, SPD)
    with pytest.raises(gd.NotOnManifoldError, match=r"gd\.shrink.* Correct or drop the others"):
        gd.points(rows, SPD)
    ends = np.array([np.diag([1.0, 1e-6]), np.diag([1.0, 1e-7]), np.zeros((2, 2)), -np.eye(2)])
    two = gd.SPDAffineInvariant(2)
    assert two.complaints(ends).tolist() == [0, 0, 4, 3]
    assert two.complaints(ends.astype("float32")).tolist() == [0, 4, 4, 3]


# --- shrinkage ----------------------------------------------------------------------------------


def test_shrinking_is_lazy_and_goes_towards_the_mean_eigenvalue(x: gd.Points) -> None:
    with dask.config.set(scheduler=refuse):
        found = gd.shrink(x, 0.1, SPD)
    rows, shrunk = x.read(0, 40), found.read(0, 40)
    trace = np.trace(rows, axis1=1, axis2=2)
    right = 0.9 * rows + 0.1 * trace[:, None, None] / 6 * np.eye(6)
    assert np.allclose(shrunk, right, rtol=1e-14, atol=1e-15)
    assert np.allclose(np.trace(shrunk, axis1=1, axis2=2), trace, rtol=1e-13)
    assert found.manifold == SPD
    assert list(found.ids or ())[:2] == ["epoch 0", "epoch 1"]
    assert gd.knn(found, k=3).compute().report.certified == 1.0
    single = gd.shrink(gd.points(rows.astype("float32"), FLAT), 0.1, SPD)
    assert single.dtype == np.float32
    definite = gd.shrink(found, 0.5, gd.SPDLogCholesky(6)).read(0, 40)
    assert np.allclose(definite, 0.5 * shrunk + 0.5 * trace[:, None, None] / 6 * np.eye(6))
    whole = gd.shrink(x, 1, SPD).read(0, 40)
    assert np.allclose(whole, trace[:, None, None] / 6 * np.eye(6), rtol=1e-14)


def test_the_amount_is_recorded(x: gd.Points) -> None:
    first = gd.plan(gd.shrink, x, 0.1, SPD).persist()
    assert gd.plan(gd.shrink, x, 0.1, SPD).persist().report.cache_hit
    other = gd.plan(gd.shrink, x, 0.2, SPD).persist().report
    assert not other.cache_hit
    assert other.key != first.report.key
    neighbours = gd.knn(first.points, k=3).persist()
    assert list(first.points.ids or ()) == list(x.ids or ())
    (step,) = gd.store().provenance(neighbours)["inputs"][0]["results"]
    assert step["parameters"]["verb"] == "shrink"
    assert step["parameters"]["amount"] == 0.1
    assert step["parameters"]["to"] == SPD.to_spec()
    assert not np.array_equal(
        neighbours.distances.compute(), gd.knn(gd.shrink(x, 0.2, SPD), k=3).compute().distances
    )


def test_what_is_no_point_afterwards_is_nan_and_counted(tmp_path: Path) -> None:
    rows = referenced(5)
    rows[1, 2, 3], rows[3] = np.nan, np.diag([1, 1, 1, 1, 1, -9.0])
    rows[4, 0, 1] += 1.0  # not symmetric
    zarr.save_array(str(tmp_path / "x.zarr"), rows)
    stored = gd.points(tmp_path / "x.zarr", FLAT)
    found = gd.shrink(stored, 0.1, SPD).read(0, 5)
    assert np.isnan(found).all(axis=(1, 2)).tolist() == [False, True, False, True, True]
    assert np.isfinite(found[[0, 2]]).all()
    assert gd.plan(gd.shrink, stored, 0.1, SPD).persist().report.health["undefined"] == 3
    assert gd.plan(gd.shrink, stored[:1], 0.0, SPD).compute().report.health["undefined"] == 1
    with pytest.raises(gd.NotOnManifoldError, match="row 1 holds NaN"):
        gd.knn(gd.shrink(stored, 0.1, SPD), k=1).compute()


@pytest.mark.parametrize("amount", [-0.1, 1.1, np.nan, "0.1", None, True, [0.1]])
def test_an_amount_is_a_number_from_0_to_1(x: gd.Points, amount: Any) -> None:
    with pytest.raises(ValueError, match="number from 0 to 1"):
        gd.shrink(x, amount, SPD)
    with pytest.raises(ValueError, match="number from 0 to 1"):
        gd.plan(gd.shrink, x, amount, SPD)


def test_spaces_that_do_not_fit_are_refused_at_once(x: gd.Points) -> None:
    with pytest.raises(gd.SpecError, match=r"gives rows of shape \(6, 6\), but .*n=5.* came"):
        gd.shrink(x, 0.1, SMALL)
    for none in (None, 3, "spd"):
        with pytest.raises(gd.SpecError, match=r"manifold to go to .*gd\.SPDAffineInvariant\(16"):
            gd.shrink(x, 0.1, none)  # pyright: ignore[reportArgumentType]
    for other in (gd.Rotations(6), gd.RigidMotions(5)):
        with pytest.raises(gd.SpecError, match=r"points of EuclideanMatrices, SPDAff.* came"):
            gd.shrink(x, 0.1, other)
    with pytest.raises(gd.SpecError, match="What compress gives are points of Euclidean"):
        gd.compress(x, np.eye(6)[:, :5], gd.Rotations(5))
    oblong = gd.points(np.ones((2, 2, 3)), gd.EuclideanMatrices(2, 3))
    with pytest.raises(gd.SpecError, match="Square matrices"):
        gd.shrink(oblong, 0.1, SPD)
    with pytest.raises(gd.SpecError, match="shrink is a verb of EuclideanMatrices, SPDAffine"):
        gd.shrink(gd.points(np.eye(3), gd.Sphere(3)), 0.1, SPD)
    with pytest.raises(gd.PointShapeError, match=r"\(6, 5\)"):
        gd.compress(x, np.eye(6)[:, :4], SMALL)


# --- projection ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_common_span_is_across_the_reference(dtype: str) -> None:
    found = gd.common_span(gd.points(referenced(40, dtype), FLAT))
    assert found.shape == (6, 5)
    assert np.allclose(found.T @ found, np.eye(5), atol=1e-14)
    assert abs(found.sum(axis=0)).max() < 1e-6
    kept = gd.common_span(gd.points(SPD.random(9, seed=1), SPD))
    assert kept.shape == (6, 6)
    one = gd.points(np.tile(np.diag([4.0, 2.0, 1.0]), (2, 1, 1)), gd.EuclideanMatrices(3, 3))
    assert abs(gd.common_span(one, tol=0.3)).tolist() == [[1, 0], [0, 1], [0, 0]]
    with pytest.raises(gd.SpecError, match="square matrices"):
        gd.common_span(gd.points(np.eye(3), gd.Sphere(3)))


@pytest.mark.parametrize("tol", [-1, 1, 2, np.nan, "0.1", [0.1]])
def test_a_tolerance_is_a_share(x: gd.Points, tol: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"tol from 0 to less than 1, but tol=.* came\. Pass"):
        gd.common_span(x, tol=tol)


def test_what_spans_nothing_is_refused(x: gd.Points) -> None:
    with pytest.raises(gd.SpecError, match="common_span takes Points"):
        gd.common_span(x.read(0, 9))  # pyright: ignore[reportArgumentType]
    for rows, text in (
        (np.zeros((4, 6, 6)), "have 0 as its largest"),
        (-referenced(4), "as its largest"),
        (np.random.default_rng(0).standard_normal((4, 6, 6)), "not symmetric"),
    ):
        with pytest.raises(gd.SpecError, match=rf"positive eigenvalue, but .*{text}.* Pass"):
            gd.common_span(gd.points(rows, FLAT))
    rounded = referenced(4) + 1e-16 * np.random.default_rng(0).standard_normal((4, 6, 6))
    assert gd.common_span(gd.points(rounded, FLAT)).shape == (6, 5)


def test_compressed_matrices_are_those_of_fewer_channels(x: gd.Points) -> None:
    basis = scipy.linalg.helmert(6).T  # orthonormal, across the constant vector
    with dask.config.set(scheduler=refuse):
        found = gd.compress(x, basis, SMALL)
    rows = found.read(0, 40)
    assert np.allclose(rows, basis.T @ x.read(0, 40) @ basis, rtol=1e-13, atol=1e-14)
    assert list(found.ids or ()) == list(x.ids or ())
    span = gd.common_span(x)
    other = gd.compress(x, span, SMALL)
    assert np.allclose(  # distances do not depend on the basis
        gd.pairwise(other).compute().distances, gd.pairwise(found).compute().distances, rtol=1e-9
    )
    plan = gd.plan(gd.compress, x, span, SMALL)
    assert plan.persist().points.manifold == SMALL
    assert gd.plan(gd.compress, x, span, SMALL).persist().report.cache_hit
    assert not gd.plan(gd.compress, x, basis, SMALL).persist().report.cache_hit
    assert plan.explain().hit


def test_a_basis_of_lower_rank_leaves_no_points(x: gd.Points) -> None:
    basis = np.ones((6, 5))
    basis[0] = range(5)
    report = gd.plan(gd.compress, x, basis, SMALL).compute().report
    assert report.health["undefined"] == 40
