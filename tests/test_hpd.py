"""Hermitian matrices against complex linear algebra."""

import numpy as np
import pytest
import scipy.linalg

import geodask as gd

SPACES = (
    gd.HPDAffineInvariant,
    gd.HPDBuresWasserstein,
    gd.HPDLogCholesky,
    gd.HPDLogEuclidean,
)


def whole(p: np.ndarray) -> np.ndarray:
    return p[..., 0, :, :] + 1j * p[..., 1, :, :]


def dist_of(space: type[gd.Manifold], z: np.ndarray, w: np.ndarray) -> float:
    """By the definition of each."""
    if space is gd.HPDAffineInvariant:
        return float(np.linalg.norm(np.log(scipy.linalg.eigvalsh(w, z))))
    if space is gd.HPDLogEuclidean:
        return float(np.linalg.norm(scipy.linalg.logm(z) - scipy.linalg.logm(w)))
    if space is gd.HPDLogCholesky:
        a, b = np.linalg.cholesky(z), np.linalg.cholesky(w)
        diagonals = np.log(np.diag(a).real) - np.log(np.diag(b).real)
        return float(np.hypot(np.linalg.norm(np.tril(a - b, -1)), np.linalg.norm(diagonals)))
    root = scipy.linalg.sqrtm(z)
    return float(np.sqrt(np.trace(z + w - 2 * scipy.linalg.sqrtm(root @ w @ root)).real))


@pytest.mark.parametrize("space", SPACES)
def test_distances_are_those_of_complex_matrices(space: type[gd.Manifold]) -> None:
    on = space(4)
    p, q = on.random(2, seed=3)
    assert on.dist(p, q) == pytest.approx(dist_of(space, whole(p), whole(q)), rel=1e-12)
    real = np.stack([p[0] @ p[0].T, 0 * p[0]]), np.stack([q[0] @ q[0].T, 0 * q[0]])
    flat = getattr(gd, space.__name__.replace("HPD", "SPD"))(4)
    assert on.dist(*real) == pytest.approx(flat.dist(real[0][0], real[1][0]), rel=1e-11)
    assert (on.dim, on.point_shape) == (16, (2, 4, 4))


@pytest.mark.parametrize("space", SPACES)
def test_coordinates_are_as_many_as_dimensions(space: type[gd.Manifold]) -> None:
    on = space(3)
    p, q, r = on.random(3, seed=4)
    y, z = on.log_coordinates(p, q), on.log_coordinates(p, r)
    assert y.shape == (on.dim,)
    assert y @ z == pytest.approx(on.inner(p, on.log(p, q), on.log(p, r)), rel=1e-10)
    assert on.exp_coordinates(p, y) == pytest.approx(q, abs=1e-12)
    metric, v = on.metric_tensor(p), on.log(p, q)
    parts = on.chart.components(p, v)
    assert parts @ metric @ parts == pytest.approx(y @ y, rel=1e-10)


@pytest.mark.parametrize("space", [gd.HPDAffineInvariant, gd.HPDBuresWasserstein])
def test_unitary_matrices_move_nothing_apart(space: type[gd.Manifold]) -> None:
    on, rng = space(3), np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3)))[0]
    p, q = on.random(2, seed=5)
    turned = [turn @ whole(each) @ turn.conj().T for each in (p, q)]
    there = [np.stack([each.real, each.imag]) for each in turned]
    assert on.dist(*there) == pytest.approx(on.dist(p, q), rel=1e-12)


def test_density_matrices_have_bures_distance() -> None:
    on = gd.HPDBuresWasserstein(2)
    p, q = (each / np.trace(each[0]) for each in on.random(2, seed=6))
    root = scipy.linalg.sqrtm(whole(p))
    fidelity = np.trace(scipy.linalg.sqrtm(root @ whole(q) @ root)).real ** 2
    assert on.dist(p, q) ** 2 == pytest.approx(2 - 2 * np.sqrt(fidelity), rel=1e-10)


def test_complex_arrays_are_refused_with_what_to_pass() -> None:
    on = gd.HPDAffineInvariant(2)
    z = whole(on.random(3, seed=0))
    with pytest.raises(gd.PointShapeError, match=r"is complex128.*np\.stack"):
        gd.points(z, on)
    assert len(gd.points(np.stack([z.real, z.imag], axis=1), on)) == 3
    with pytest.raises(gd.PointShapeError, match=r"shape \(rows, 2, 2, 2\)"):
        gd.points(z.real, on)


def test_rows_that_are_no_points_are_refused() -> None:
    on, unit = gd.HPDLogEuclidean(2), np.eye(2)
    for said, imaginary in (
        ("not Hermitian", np.array([[0.0, 0.5], [0.5, 0.0]])),
        ("singular", np.array([[0.0, 1.0], [-1.0, 0.0]])),
        ("not positive definite", np.array([[0.0, 2.0], [-2.0, 0.0]])),
        ("NaN", np.full((2, 2), np.nan)),
    ):
        with pytest.raises(gd.NotOnManifoldError, match=f"row 0 .*{said}"):
            gd.points(np.stack([unit, imaginary])[None], on)
    rows = np.stack([unit, np.array([[0.0, 0.5], [0.5, 0.0]])])[None]
    assert gd.points(rows, on, project=True).read(0, 1)[0, 1].tolist() == [[0.0, 0.0], [0.0, 0.0]]
