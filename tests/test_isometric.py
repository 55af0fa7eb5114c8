"""Spaces that are carried over by a map get every operation: neighbours, pairs, means, verbs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import geodask as gd

A = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 3.0]])

SPACES = [
    (gd.Simplex(5), "float32"),
    (gd.SPDLogCholesky(3), "float64"),
    (gd.SPDLogEuclidean(4), "float32"),
    (gd.SPDAffineInvariant(3), "float64"),
    (gd.SPDAffineInvariant(4), "float32"),
    (gd.SPDBuresWasserstein(3), "float64"),
    (gd.SPDBuresWasserstein(4), "float32"),
    (gd.EuclideanMatrices(2, 3), "float32"),
    (gd.HPDAffineInvariant(2), "float64"),
    (gd.HPDBuresWasserstein(2), "float32"),
    (gd.HPDLogCholesky(3), "float64"),
    (gd.HPDLogEuclidean(2), "float32"),
    (gd.Gaussians(1), "float64"),
    (gd.Gaussians(4), "float32"),
    (gd.GaussiansBuresWasserstein(2), "float32"),
    (gd.Torus(2), "float32"),
    (gd.Rotations(3), "float32"),
    (gd.Rotations(4), "float64"),
    (gd.Grassmann(5, 2), "float32"),
    (gd.Grassmann(3, 1), "float64"),
    (gd.StiefelCanonical(4, 2), "float64"),
    (gd.StiefelEuclidean(3, 1), "float32"),
    (gd.RigidMotions(3, weight=0.5), "float32"),
    (gd.Oblique(3, 2), "float64"),
    (gd.Product((gd.Sphere(3), gd.PoincareBall(2), gd.Euclidean(1)), (1.0, 0.5, 2.0)), "float32"),
    (gd.Power(gd.SPDAffineInvariant(2), 2, weight=3.0), "float64"),
]
every_space = pytest.mark.parametrize(("on", "dtype"), SPACES, ids=lambda part: str(part))


@pytest.fixture
def x(on: gd.Manifold, dtype: str, tmp_path: Path) -> gd.Points:
    rows = on.random(600 if on.is_minimal else 60, seed=1)  # where logs are found by shooting
    if math.isfinite(on.injectivity_radius):  # so near to each other that they have one mean
        rows = on.geodesic(rows[0], rows, 0.25)
    gd.points(rows.astype(dtype), on).save(tmp_path / "x.zarr")
    return gd.open(tmp_path / "x.zarr")


def distances(x: gd.Points) -> np.ndarray:
    rows = x.manifold.canonical(x.read(0, len(x)))
    found = x.manifold.dist(rows[:, None], rows[None])
    np.fill_diagonal(found, np.inf)
    return found


@pytest.mark.usefixtures("small_tasks")
@every_space
def test_neighbours_are_exact_and_certified(x: gd.Points) -> None:
    found = gd.knn(x, k=4).persist()
    truth = distances(x)
    assert np.array_equal(found.indices.compute(), np.argsort(truth, axis=1)[:, :4])
    assert np.allclose(found.distances.compute(), np.sort(truth, axis=1)[:, :4], rtol=1e-9)
    assert found.report.certified == x.manifold.is_minimal
    if not x.manifold.is_minimal:
        return
    audit = found.audit(rows=8)
    assert (audit.wrong, audit.undecided) == (0, 0)
    assert audit.distance_error < 1e-12


@every_space
def test_pairs_and_all_distances(x: gd.Points) -> None:
    truth = distances(x)
    radius = float(np.quantile(truth, 0.01))
    found = gd.within(x, radius=radius).compute()
    upper = np.triu(np.ones_like(truth, bool), 1)
    assert len(found.row) == (truth[upper] <= radius).sum()
    np.fill_diagonal(truth, 0.0)
    assert np.allclose(gd.pairwise(x[:40]).compute().distances, truth[:40, :40], atol=1e-12)


@every_space
def test_the_mean_has_logs_that_sum_to_zero(x: gd.Points) -> None:
    found = gd.mean(x, tol=1e-10).compute()
    rows = x.manifold.canonical(x.read(0, len(x)))
    assert found.converged
    assert x.manifold.check(found.point[None]) is None
    rest = x.manifold.norm(found.point, x.manifold.log(found.point, rows).mean(axis=0))
    assert rest <= 1e-8
    assert found.variance == pytest.approx(np.mean(x.manifold.dist(found.point, rows) ** 2))


@every_space
def test_verbs_take_rows_of_any_shape(x: gd.Points) -> None:
    y, shape = x[::-1], x.manifold.point_shape
    v = gd.log_map(x, y)
    assert v.shape == (len(x), *shape)
    there = gd.exp_map(x, v)
    tolerance = 1e-5 if x.dtype == np.float32 else 1e-9
    rows, ends = (x.manifold.canonical(each.read(0, len(x))) for each in (y, there))
    assert x.manifold.dist(ends, rows).max() <= tolerance * (1 + abs(rows).max())
    assert gd.transport(x, y, v).compute().shape == (len(x), *shape)
    assert gd.midpoint(x, y).shape == (len(x), *shape)
    assert np.allclose(gd.norm(x, v).compute(), gd.dist(x, y).compute(), rtol=1e-4)


def test_the_simplex_has_the_angle_of_square_roots() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
    assert gd.Simplex(3).dist(p, q) == pytest.approx(2 * np.arccos(0.5))
    assert gd.Simplex(2).dist(np.eye(2)[0], np.eye(2)[1]) == pytest.approx(np.pi)
    assert np.isnan(gd.Simplex(2).exp(np.array([0.5, 0.5]), np.array([2.0, -2.0]))).all()


def test_an_outcome_that_is_impossible_in_both_stays_so() -> None:
    on, p, q = gd.Simplex(4), np.array([0, 0.3, 0.3, 0.4]), np.array([0, 0.2, 0.5, 0.3])
    u = on.log(p, q)
    assert np.allclose(on.exp(p, u), q, rtol=1e-15)
    assert on.norm(p, u) == pytest.approx(on.dist(p, q), rel=1e-15)
    assert on.transport(p, q, u)[0] == 0
    assert np.isnan(on.log(p, np.full(4, 0.25))).any()


def test_matrices_have_the_distance_of_their_logarithms() -> None:
    on = gd.SPDLogEuclidean(4)
    p, q = on.random(2, seed=3)
    logs: Any = [scipy.linalg.logm(each) for each in (p, q)]
    assert on.dist(p, q) == pytest.approx(np.linalg.norm(logs[0] - logs[1]), rel=1e-12)
    other = gd.SPDLogCholesky(4)
    a, b = np.linalg.cholesky(p), np.linalg.cholesky(q)
    steps = np.tril(a - b, -1), np.log(np.diag(a)) - np.log(np.diag(b))
    expected = np.hypot(*map(np.linalg.norm, steps))
    assert other.dist(p, q) == pytest.approx(expected, rel=1e-12)


WRONG = {
    gd.Simplex(3): {
        "negative": [-0.5, 0.5, 1.0],
        "sum": [0.2, 0.2, 0.2],
        "NaN": [np.nan, 0.5, 0.5],
    },
    gd.SPDLogEuclidean(2): {
        "not symmetric": [[1.0, 0.5], [0.0, 1.0]],
        "not positive definite": [[1.0, 2.0], [2.0, 1.0]],
        "singular": [[1.0, 1.0], [1.0, 1.0]],
        "NaN": [[np.inf, 0.0], [0.0, 1.0]],
    },
    gd.Rotations(2): {
        "reflection": [[1.0, 0.0], [0.0, -1.0]],
        "not orthonormal": [[1.0, 1e-6], [0.0, 1.0]],
        "NaN": [[np.nan, 0.0], [0.0, 1.0]],
    },
    gd.StiefelEuclidean(3, 2): {
        "not orthonormal": [[1.0, 0.5], [0.0, 1.0], [0.0, 0.0]],
        "NaN": [[1.0, 0.0], [0.0, np.inf], [0.0, 0.0]],
    },
    gd.RigidMotions(2): {
        "part 0 .*reflection": np.diag([1.0, -1.0, 1.0]),
        "last row": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 4.0, 1.0]],
        "NaN or infinity in its last row": [[1.0, 0, 0.0], [0, 1.0, 0.0], [0.0, -np.inf, 1.0]],
        "part 1 .*NaN": [[1.0, 0.0, np.inf], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    },
}


@pytest.mark.parametrize(
    ("on", "said", "row"),
    [(on, said, row) for on, some in WRONG.items() for said, row in some.items()],
)
def test_rows_that_are_no_points_are_refused(on: gd.Manifold, said: str, row: Any) -> None:
    rows = on.random(3, seed=0)
    rows[1] = row
    with pytest.raises(gd.NotOnManifoldError, match=f"row 1 .*{said}"):
        gd.points(rows, on)


def test_what_can_be_mended_is() -> None:
    on = gd.SPDLogEuclidean(2)
    mended = gd.points(np.array([[[2.0, 0.5], [0.0, 1.0]]]), on, project=True)
    assert mended.read(0, 1).tolist() == [[[2.0, 0.25], [0.25, 1.0]]]
    counts = gd.points(np.array([[1.0, 3.0, 4.0]]), gd.Simplex(3), project=True)
    assert counts.read(0, 1).tolist() == [[0.125, 0.375, 0.5]]
    turn = gd.points(np.array([[[0.0, -2.0], [1.0, 0.0]]]), gd.Rotations(2), project=True)
    assert np.allclose(turn.read(0, 1), [[[0.0, -1.0], [1.0, 0.0]]], atol=1e-15)
    with pytest.raises(gd.NotOnManifoldError, match="reflection"):
        gd.points(np.array([[[0.0, 1.0], [1.0, 0.0]]]), gd.Rotations(2), project=True)
    with pytest.raises(gd.NotOnManifoldError):
        gd.points(np.array([[[1.0, 2.0], [2.0, 1.0]]]), on, project=True)


def test_a_last_row_is_mended_where_it_is_finite() -> None:
    on = gd.RigidMotions(2)
    rows = on.random(3, seed=0)
    rows[1, 2] = [3.0, 4.0, 1.0]
    with pytest.raises(gd.NotOnManifoldError, match=r"row 1 has a last row .*pass project=True"):
        gd.points(rows, on)
    assert gd.points(rows, on, project=True).read(1, 2)[0, 2].tolist() == [0.0, 0.0, 1.0]
    rows[1, 2, 0] = np.inf
    with pytest.raises(gd.NotOnManifoldError, match="these rows; project=True mends"):
        gd.points(rows, on)
    with pytest.raises(gd.NotOnManifoldError, match=r"row 1 .*NaN"):
        gd.points(rows, on, project=True)


def test_complaints_name_parts_of_parts() -> None:
    inner = gd.Product((gd.Euclidean(2), gd.SPDAffineInvariant(2)))
    on = gd.Product((inner, gd.Sphere(3)))
    x = on.random(4, seed=0)
    x[2, 2:6] = [1, 2, 2, 1]
    with pytest.raises(gd.NotOnManifoldError) as told:
        gd.points(x, on)
    assert "row 2 in part 0 in part 1 is not positive definite" in str(told.value)
    assert "pass project=True" not in str(told.value)
    x[2, 6:] *= 2  # graver is what no projection mends
    with pytest.raises(gd.NotOnManifoldError, match="in part 0 in part 1 is not positive definite"):
        gd.points(x, on)
    x[2, 2:6] = [1, 0, 0, 1]
    with pytest.raises(gd.NotOnManifoldError, match=r"in part 1 .*unit length.*pass project=True"):
        gd.points(x, on)
    x[2, 2:6] = [1, 1, 1, 1]
    with pytest.raises(gd.NotOnManifoldError, match=r"in part 0 in part 1 is singular.*gd.shrink"):
        gd.points(x, on)


def test_complaints_of_many_parts_are_told_apart() -> None:
    on: gd.Manifold = gd.Sphere(2)
    for other in (gd.Simplex(3), gd.SPDAffineInvariant(2), gd.RigidMotions(2), gd.Torus(1)):
        count = len(on.complaint_texts) + len(other.complaint_texts)
        on = gd.Product((on, other))
        assert len(set(on.complaint_texts.values())) == count
        assert on.mended_by_project < set(on.complaint_texts)


def test_shapes_are_checked() -> None:
    with pytest.raises(gd.PointShapeError, match="integer m"):
        gd.EuclideanMatrices(2, 0)
    with pytest.raises(gd.PointShapeError):
        gd.points(np.zeros((3, 4)), gd.SPDLogEuclidean(2))


def test_the_affine_invariant_distance_is_that_of_all_congruences() -> None:
    on = gd.SPDAffineInvariant(4)
    p, q, a = *on.random(2, seed=3), np.random.default_rng(4).standard_normal((4, 4))
    values = scipy.linalg.eigvalsh(q, p)
    assert on.dist(p, q) == pytest.approx(np.linalg.norm(np.log(values)), rel=1e-13)
    assert on.dist(a @ p @ a.T, a @ q @ a.T) == pytest.approx(on.dist(p, q), rel=1e-11)
    u = np.array([[1e-9, 0.0], [0.0, -2e-9]])
    near = gd.SPDAffineInvariant(2)
    assert near.dist(np.eye(2), np.eye(2) + u) == pytest.approx(np.sqrt(5) * 1e-9, rel=1e-8)
    assert near.dist(p[:2, :2], p[:2, :2]) == 0.0


@pytest.mark.parametrize("space", [gd.SPDAffineInvariant, gd.SPDLogEuclidean, gd.SPDLogCholesky])
def test_matrices_that_are_none_have_distances_nan(space: type[gd.Manifold]) -> None:
    on = space(2)
    p = on.random(3, seed=0)
    p[1] = np.nan
    assert np.isnan(on.dist(p, p[0])).tolist() == [False, True, False]
    assert np.isnan(on.log(p[0], p)[1]).all()


@pytest.mark.parametrize("on", [gd.SPDLogEuclidean(3), gd.SPDAffineInvariant(3)], ids=str)
@pytest.mark.parametrize("step", [2.0**-20, 2.0**-40, 2.0**-50])
def test_distances_of_nearly_equal_matrices_keep_their_digits(on: Any, step: float) -> None:
    # By the difference of both logarithms the second is off by a thousandth, the last by a tenth.
    p = A @ A.T
    q = p * (1 + step)  # of small whole numbers, exactly
    true = math.sqrt(3) * math.log1p(step)
    assert on.dist(p, q) == pytest.approx(true, rel=1e-14, abs=0)
    assert on.log(p, q) == pytest.approx(math.log1p(step) * p, rel=1e-13, abs=0)


@pytest.mark.parametrize(("spread", "digits"), [(13, 1e-11), (26, 1e-7), (30, 1e-6)])
def test_verbs_of_matrices_whose_ratio_has_eigenvalues_far_apart(
    spread: int, digits: float
) -> None:
    # p = A a A^T and q = A b A^T are exact, and so is all else in these axes. Eigenvalues of p^-1 q
    # lie between 2^-spread and 2^spread: seen from p, float64 loses the one beside the other.
    on, a = gd.SPDAffineInvariant(3), 2.0 ** np.array([0, spread // 2, spread])
    b, u = a[::-1], np.array([[1.0, 1.0, 0.0], [1.0, 2.0, 1.0], [0.0, 1.0, 1.0]])
    p, q, ratio = A * a @ A.T, A * b @ A.T, np.sqrt(b / a)
    logs = np.log(b / a)
    length = np.linalg.norm(logs)
    assert on.dist(p, q) == pytest.approx(length, rel=digits)
    assert on.dist(q, p) == pytest.approx(length, rel=digits)
    assert on.norm(p, on.log(p, q) - A * (a * logs) @ A.T) <= digits * length
    u, there = A @ u @ A.T, A @ (ratio[:, None] * u * ratio) @ A.T
    assert on.norm(q, on.transport(p, q, u) - there) <= digits * on.norm(p, u)


def test_logarithms_keep_the_digits_of_small_entries_beside_large_ones() -> None:
    # Whichever comes first: libraries lose four more where the largest is last.
    for scale in (np.array([1.0, 2.0**7, 2.0**13]), np.array([2.0**13, 2.0**7, 1.0])):
        p = scale[:, None] * (A @ A.T) * scale
        found = gd.SPDLogEuclidean(3).dist(p, 3 * p)
        assert found == pytest.approx(math.sqrt(3) * math.log(3), rel=1e-14, abs=0)


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_a_lower_bound_never_hides_a_pair(condition: float) -> None:
    """Ill-conditioned matrices around far apart centres, some equal, against brute force."""
    on, rng = gd.SPDAffineInvariant(3), np.random.default_rng(7)
    turns = np.linalg.qr(rng.standard_normal((400, 3, 3)))[0]
    spectra = np.exp(rng.uniform(0, np.log(condition), (400, 3)))
    rows = (turns * spectra[:, None]) @ np.swapaxes(turns, 1, 2)
    rows = (rows + np.swapaxes(rows, 1, 2)) / 2
    rows[50:60] = rows[0]
    found = gd.knn(gd.points(rows, on), k=5).compute()
    ranks = on.rank(rows[:, None], rows[None])
    np.fill_diagonal(ranks, np.inf)
    truth = np.lexsort((np.broadcast_to(np.arange(400), ranks.shape), ranks), axis=1)[:, :5]
    assert np.array_equal(found.indices, truth)
    assert found.audit(rows=4).wrong == 0


@every_space
def test_normal_points_have_the_variance_of_their_scale(on: gd.Manifold, dtype: str) -> None:
    p = on.random(1, seed=1)[0]
    x = on.random_normal((50, 40), p, 0.01, seed=2)
    assert x.shape == (50, 40, *on.point_shape)
    square = np.mean(on.dist(p, x) ** 2) / 0.01**2
    assert square == pytest.approx(on.dim, rel=4 * np.sqrt(2 / (on.dim * 2000)))
