"""Groups of rows moved so that their means lie at the origin."""

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import scipy.linalg

import geodask as gd

SPD = gd.SPDAffineInvariant(4)
SPACES = [
    SPD,
    gd.SPDLogEuclidean(4),
    gd.SPDLogCholesky(4),
    gd.Euclidean(3),
    gd.EuclideanMatrices(2, 3),
    gd.Sphere(5, curvature=0.25),
    gd.PoincareBall(3, curvature=-0.5),
    gd.Lorentz(4),
    gd.HalfSpace(3),
    gd.HyperbolicPolar(4),
]
every_space = pytest.mark.parametrize("on", SPACES, ids=str)
SUBJECTS = np.array(["anna", "bert", "cleo"])[np.arange(90) % 3]


@pytest.fixture
def x() -> gd.Points:
    return gd.points(SPD.random(90, seed=1), SPD, ids=np.arange(100, 190))


def refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("something was computed")


@every_space
def test_the_origin_is_a_point(on: gd.Manifold) -> None:
    assert on.origin.shape == on.point_shape
    assert on.origin.dtype == np.float64
    assert on.check(on.origin[None]) is None


@every_space
def test_moving_to_the_origin_is_an_isometry(on: gd.Manifold) -> None:
    m, p, q = (on.random(60, seed=seed) for seed in range(3))
    there, other = on.recentred(m, p), on.recentred(m, q)
    assert np.allclose(on.dist(there, other), on.dist(p, q), rtol=1e-10, atol=1e-12)
    assert np.array_equal(on.recentred(m, m), np.broadcast_to(on.origin, m.shape))
    assert np.allclose(on.dist(on.origin, there), on.dist(m, p), rtol=1e-10, atol=1e-12)
    assert on.recentred(m[:1].astype("f4"), p.astype("f4")).dtype == np.float32
    if isinstance(on, gd.HyperbolicPolar):
        return  # tangent vectors at its origin have no coordinates
    back = on.exp(on.origin, on.transport(m, on.origin, on.log(m, p)))
    assert np.allclose(on.dist(back, there), 0, atol=1e-6)


@pytest.mark.parametrize(
    "on",
    [
        gd.HPDAffineInvariant(2), gd.HPDLogEuclidean(2), gd.Gaussians(2), gd.Rotations(4),
        gd.Grassmann(5, 2), gd.Oblique(3, 2), gd.RigidMotions(3), gd.Torus(2), gd.Simplex(4),
    ],
    ids=str,
)  # fmt: skip
def test_it_is_one_of_rows_that_have_logs(on: gd.Manifold) -> None:
    m = on.random_normal(1, on.origin, 0.1, seed=0)[0]
    p, q = (on.random_normal(40, m, 0.1, seed=seed) for seed in (1, 2))
    there, other = on.recentred(m, p), on.recentred(m, q)
    assert np.allclose(on.dist(there, other), on.dist(p, q), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "on",
    [
        gd.SPDBuresWasserstein(3), gd.HPDBuresWasserstein(2), gd.GaussiansBuresWasserstein(2),
        gd.StiefelCanonical(4, 2), gd.StiefelEuclidean(4, 2),
        gd.Product((gd.Sphere(3), gd.SPDBuresWasserstein(2))),
    ],
    ids=str,
)  # fmt: skip
def test_where_it_is_none_distances_and_angles_at_the_mean_are_kept(on: gd.Manifold) -> None:
    m = on.random(1, seed=0)[0]
    p, q = (on.random_normal(40, m, 0.1, seed=seed) for seed in (1, 2))
    there, other = on.recentred(m, p), on.recentred(m, q)
    assert abs(on.dist(there, other) - on.dist(p, q)).max() > 1e-5
    assert np.allclose(on.dist(on.origin, there), on.dist(m, p), rtol=1e-10)
    at, to = (on.inner(o, on.log(o, a), on.log(o, b)) for o, a, b in [
        (m, p, q), (on.origin, there, other),
    ])  # fmt: skip
    assert np.allclose(at, to, atol=1e-9)


def test_a_distribution_may_leave_the_simplex() -> None:
    on = gd.Simplex(3)
    rows = np.array([[0.2, 0.3, 0.5], [0.25, 0.3, 0.45], [0.98, 0.01, 0.01]])
    moved = on.recentred(np.array([0.9, 0.05, 0.05]), rows)
    assert np.isnan(moved).all(axis=1).tolist() == [True, True, False]
    assert on.recentred(rows, rows) == pytest.approx(np.full((3, 3), 1 / 3))


def test_covariances_are_whitened_by_the_mean_of_their_subject(x: gd.Points) -> None:
    found = gd.recentre(x, by=SUBJECTS)
    rows, moved = x.read(0, 90), found.read(0, 90)
    for name in np.unique(SUBJECTS):
        of = name == SUBJECTS
        mean = gd.mean(x[of]).compute().point
        root = scipy.linalg.inv(scipy.linalg.sqrtm(mean))
        assert np.allclose(moved[of], root @ rows[of] @ root, rtol=1e-9, atol=1e-12)
        again = gd.mean(gd.points(moved[of], SPD)).compute().point
        assert np.allclose(again, np.eye(4), atol=1e-7)
    assert found.manifold == SPD
    assert list(found.ids or ()) == list(range(100, 190))


@every_space
def test_each_mean_goes_to_the_origin(on: gd.Manifold) -> None:
    rows = on.exp(*near(on))
    found = gd.recentre(gd.points(rows, on), by=np.arange(60) // 20)
    for group in range(3):
        mean = gd.mean(found[20 * group : 20 * group + 20], tol=1e-10).compute().point
        assert on.dist(mean, on.origin) < 1e-7


def near(on: gd.Manifold) -> tuple[np.ndarray, np.ndarray]:
    """Three points with 20 short tangent vectors at each."""
    p = np.repeat(on.random(3, seed=1), 20, axis=0)
    u = on.random_tangent(p, seed=2)
    return p, 0.5 * u / on.norm(p, u).reshape(60, *[1] * (p.ndim - 1))


def test_without_labels_all_rows_are_one_group(x: gd.Points) -> None:
    mean = gd.mean(x).compute().point
    assert np.array_equal(gd.recentre(x).read(0, 90), SPD.recentred(mean, x.read(0, 90)))
    assert np.array_equal(gd.recentre(x, by=[7] * 90).read(0, 90), gd.recentre(x).read(0, 90))


def test_a_group_of_one_ends_at_the_origin_and_no_rows_are_no_group(x: gd.Points) -> None:
    labels = np.zeros(90, int)
    labels[41] = 1
    assert np.array_equal(gd.recentre(x, by=labels).read(41, 42)[0], np.eye(4))
    assert np.array_equal(gd.recentre(x[:1]).read(0, 1)[0], np.eye(4))
    assert gd.recentre(x[:0]).read(0, 0).shape == (0, 4, 4)


def test_rows_are_moved_lazily_and_means_are_found_once(
    x: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gd.recentre(x, by=SUBJECTS)
    entries = len(gd.store())
    with monkeypatch.context() as patched:
        patched.setattr("geodask.ops.frechet.add_logs", refuse)
        patched.setattr(gd.SPDAffineInvariant, "recentred", refuse)
        second = gd.recentre(x, by=SUBJECTS)
    assert len(gd.store()) == entries
    assert np.array_equal(first.read(0, 90), second.read(0, 90))
    order = np.argsort(SUBJECTS, kind="stable")  # groups that lie together are read in place
    x[order].save(tmp_path / "sorted.zarr")
    stored = gd.recentre(gd.open(tmp_path / "sorted.zarr"), by=SUBJECTS[order])
    assert np.array_equal(stored.read(0, 90), first.read(0, 90)[order])
    single = gd.points(x.read(0, 90).astype("f4"), SPD)
    assert gd.recentre(single, by=SUBJECTS).dtype == np.float32


@pytest.mark.usefixtures("client")
def test_on_a_cluster(x: gd.Points) -> None:
    found = gd.recentre(x, by=SUBJECTS)
    with dask.config.set(scheduler="sync"):
        right = found.array.compute()
    assert np.array_equal(found.array.compute(), right)


WRONG: dict[str, Any] = {
    "length": SUBJECTS[:5],
    "kind": np.arange(90.0),
    "mask": np.ones(90, bool),
    "shape": np.zeros((90, 1), int),
}


@pytest.mark.parametrize("by", WRONG.values(), ids=WRONG)
def test_labels_are_one_a_row(x: gd.Points, by: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"by must be labels \(90,\), integers or strings"):
        gd.recentre(x, by=by)


def test_every_row_has_a_label(x: gd.Points) -> None:
    labels = SUBJECTS.astype(object)
    for missing in (None, np.nan):
        labels[3] = missing
        with pytest.raises(gd.SpecError, match="row 3 has none"):
            gd.recentre(x, by=labels)


class Nowhere(gd.Sphere):
    """A space without an origin."""

    origin = gd.Manifold.origin


def test_a_space_without_an_origin_and_what_are_no_points_are_refused(x: gd.Points) -> None:
    nowhere = Nowhere(3)
    with pytest.raises(gd.SpecError, match="names no origin"):
        gd.recentre(gd.points(np.eye(3)[:1], nowhere))
    with pytest.raises(gd.SpecError, match="takes Points"):
        gd.recentre(x.read(0, 3))  # pyright: ignore[reportArgumentType]


def test_a_mean_that_is_not_found_is_told(x: gd.Points, monkeypatch: pytest.MonkeyPatch) -> None:
    rough = gd.mean
    monkeypatch.setattr("geodask.ops.recentre.mean", lambda x: rough(x, max_iterations=0))
    with pytest.warns(UserWarning, match="The mean of the 90 rows of the group of row 0"):
        gd.recentre(x)
