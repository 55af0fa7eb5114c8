"""Images of points, kept: logarithms and Cholesky factors that are computed once."""

from pathlib import Path

import dask
import numpy as np
import pytest

import geodask as gd

SPACES = [
    (gd.SPDLogEuclidean(4), "float32"),
    (gd.SPDLogCholesky(4), "float64"),
    (gd.Simplex(5), "float32"),
    (gd.EuclideanMatrices(2, 3), "float64"),
]
every_space = pytest.mark.parametrize(("on", "dtype"), SPACES, ids=lambda part: str(part))


@pytest.fixture
def x(on: gd.Manifold, dtype: str) -> gd.Points:
    return gd.points(on.random(300, seed=1).astype(dtype), on, ids=np.arange(300))


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


@every_space
def test_neighbours_of_images_are_those_of_the_points(x: gd.Points, tmp_path: Path) -> None:
    with dask.config.set(scheduler=refuse):
        there = gd.image(x)
        plan = gd.plan(gd.image, x)
    on = x.manifold
    assert there.manifold == on.image  # pyright: ignore[reportAttributeAccessIssue]
    assert there.dtype == np.float64
    assert list(there.ids or ()) == list(range(300))
    mine = gd.knn(x, k=5).persist()
    there.save(tmp_path / "image.zarr")
    for images in (there, plan.persist().points, gd.open(tmp_path / "image.zarr")):
        found = gd.knn(images, k=5).persist()
        assert np.array_equal(found.indices.compute(), mine.indices.compute())
        assert np.array_equal(found.distances.compute(), mine.distances.compute())
    assert found.report.cache_hit  # the three are one by their content
    assert plan.persist().report.cache_hit
    variance = gd.mean(images).compute().variance
    assert variance == pytest.approx(gd.mean(x).compute().variance, rel=1e-12)


def test_once_they_are_stored_none_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    on = gd.SPDLogEuclidean(4)
    stored = gd.plan(gd.image, gd.points(on.random(300, seed=1), on)).persist()
    monkeypatch.setattr(gd.SPDLogEuclidean, "to_image", refuse)
    assert gd.knn(stored.points, k=3).compute().report.certified == 1.0
    assert gd.mean(stored.points).compute().converged


def test_they_are_logarithms_and_cholesky_factors() -> None:
    p = np.array([[[4.0, 2.0], [2.0, 5.0]]])
    factor = gd.image(gd.points(p, gd.SPDLogCholesky(2))).read(0, 1)[0]
    assert np.allclose(factor, [np.log(2), 1, np.log(2)], rtol=1e-15)
    log = gd.image(gd.points(np.diag([1.0, np.e])[None], gd.SPDLogEuclidean(2))).read(0, 1)[0]
    assert np.allclose(log, [0, 0, 1], atol=1e-15)


def test_a_space_that_is_not_carried_over_has_none() -> None:
    x = gd.points(gd.SPDAffineInvariant(3).random(5, seed=0), gd.SPDAffineInvariant(3))
    with pytest.raises(gd.SpecError, match=r"to_image is a verb of .*SPDLogCho"):
        gd.image(x)
