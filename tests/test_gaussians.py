"""Normal distributions against formulas of their own."""

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.linalg

import geodask as gd


def fisher_rao(p: np.ndarray, q: np.ndarray) -> Any:
    """Of means and standard deviations on a line, to fifty digits (Atkinson and Mitchell)."""
    with mpmath.workdps(50):
        m, s, k, t = map(mpmath.mpf, (*p, *q))
        near, far = ((m - k) ** 2 + 2 * (s + sign * t) ** 2 for sign in (-1, 1))
        return 2 * mpmath.sqrt(2) * mpmath.atanh(mpmath.sqrt(near / far))


@pytest.mark.parametrize("step", [1e-12, 1e-8, 1e-3, 1.0, 1e3])
def test_fisher_rao_keeps_its_digits(step: float) -> None:
    on, rng = gd.Gaussians(1), np.random.default_rng(1)
    p = on.random(20, seed=0)
    q = p + step * p[:, 1:] * np.stack([rng.normal(size=(20, 1)), rng.random((20, 1))], axis=1)
    truth = [fisher_rao(*pair) for pair in zip(p[..., 0], q[..., 0], strict=True)]
    assert on.dist(p, q) == pytest.approx(np.array(truth, float), rel=1e-14)


def test_coordinates_are_independent_and_have_no_unit() -> None:
    on = gd.Gaussians(3)
    p, q = on.random(2, seed=2)
    truth = [fisher_rao(p[:, i], q[:, i]) for i in range(3)]
    assert on.dist(p, q) == pytest.approx(np.linalg.norm(np.array(truth, float)), rel=1e-14)
    unit, shift = np.array([1e3, 0.5, 1e-4]), np.array([[7.0, 0.0, -2.0], [0.0, 0.0, 0.0]])
    assert on.dist(unit * (p + shift), unit * (q + shift)) == pytest.approx(on.dist(p, q), rel=1e-9)
    information = np.concatenate([1 / p[1] ** 2, 2 / p[1] ** 2])
    assert on.metric_tensor(p) == pytest.approx(np.diag(information))
    assert gd.Gaussians(1).scalar_curvature(p[:, :1]) == pytest.approx(-1.0)


def test_wasserstein_has_means_and_covariances() -> None:
    line = gd.GaussiansBuresWasserstein(1)
    assert line.dist(np.array([[1.0], [4.0]]), np.array([[4.0], [36.0]])) == pytest.approx(5.0)
    on = gd.GaussiansBuresWasserstein(3)
    p, q = on.random(2, seed=4)
    root = np.real(scipy.linalg.sqrtm(p[1:]))
    middle = np.real(scipy.linalg.sqrtm(root @ q[1:] @ root))
    expected = ((p[0] - q[0]) ** 2).sum() + np.trace(p[1:] + q[1:] - 2 * middle)
    assert on.dist(p, q) ** 2 == pytest.approx(expected, rel=1e-12)
    assert (on.dim, on.point_shape, on.injectivity_radius) == (9, (4, 3), np.inf)


WRONG = {
    gd.Gaussians(2): {
        "standard deviation that is not positive": [[0.0, 0.0], [1.0, 0.0]],
        "farther from the standard normal": [[1e9, 0.0], [1.0, 1.0]],
        "NaN": [[np.nan, 0.0], [1.0, 1.0]],
    },
    gd.GaussiansBuresWasserstein(2): {
        "in the covariance is not symmetric": [[0.0, 0.0], [1.0, 0.5], [0.0, 1.0]],
        "in the covariance is not positive definite": [[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]],
        "in the covariance is singular": [[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]],
        "in the mean holds NaN": [[np.inf, 0.0], [1.0, 0.0], [0.0, 1.0]],
    },
}


@pytest.mark.parametrize(
    ("on", "said", "row"),
    [(on, said, row) for on, some in WRONG.items() for said, row in some.items()],
)
def test_rows_that_are_no_distributions_are_refused(on: gd.Manifold, said: str, row: Any) -> None:
    rows = on.random(3, seed=0)
    rows[1] = row
    with pytest.raises(gd.NotOnManifoldError, match=f"row 1 .*{said}"):
        gd.points(rows, on)
