"""The Bures-Wasserstein space against definitions, decimals, and what its proofs need."""

from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import torch

import geodask as gd
from geodask import testing
from geodask.arrays.coupling import lyapunov, optimal_step
from geodask.manifolds.bures_wasserstein import SPIRALS

RNG = np.random.default_rng(11)


def matrices(rows: int, n: int, condition: float) -> np.ndarray:
    """Matrices of this condition in random axes."""
    turns = np.linalg.qr(RNG.standard_normal((rows, n, n)))[0]
    spectra = condition ** -RNG.uniform(0, 1, (rows, n))
    spectra[:, 0], spectra[:, -1] = 1.0, 1 / condition
    found = (turns * spectra[:, None]) @ np.swapaxes(turns, 1, 2)
    return (found + np.swapaxes(found, 1, 2)) / 2


def true_dist(p: np.ndarray, q: np.ndarray) -> Any:
    """By the definition, to fifty digits."""
    with mpmath.workdps(80):
        a, b = mpmath.matrix(p.tolist()), mpmath.matrix(q.tolist())
        low = mpmath.cholesky(a)
        values = mpmath.eigsy(low.T * b * low, eigvals_only=True)
        traces = sum(a[i, i] + b[i, i] for i in range(len(p)))
        return mpmath.sqrt(traces - 2 * sum(map(mpmath.sqrt, values)))


def test_the_distance_is_that_of_normal_distributions() -> None:
    on = gd.SPDBuresWasserstein(4)
    p, q = on.random(2, seed=3)
    root = np.real(scipy.linalg.sqrtm(p))
    middle = np.real(scipy.linalg.sqrtm(root @ q @ root))
    assert on.dist(p, q) ** 2 == pytest.approx(np.trace(p + q - 2 * middle), rel=1e-12)
    a, b = RNG.uniform(0.1, 5.0, (2, 4))  # in the same axes: the distance of the roots
    expected = np.linalg.norm(np.sqrt(a) - np.sqrt(b))
    assert on.dist(np.diag(a), np.diag(b)) == pytest.approx(expected, rel=1e-14)
    line = gd.SPDBuresWasserstein(1)
    assert line.dist(np.array([[4.0]]), np.array([[9.0]])) == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e8])
@pytest.mark.parametrize("step", [1e-12, 1e-8, 1e-4, 0.5, 3.0])
def test_digits_are_kept_near_and_far(condition: float, step: float) -> None:
    """An error of some roundings times the condition, however close the matrices are."""
    on = gd.SPDBuresWasserstein(3)
    p = matrices(5, 3, condition)
    factor = np.linalg.cholesky(p) + step * RNG.standard_normal(p.shape) / condition**0.5
    q = factor @ np.swapaxes(factor, 1, 2)
    q = (q + np.swapaxes(q, 1, 2)) / 2
    ranks, bounds = on.rank(p, q), on.rank_bound(on.rank(p, q), p, q)
    for row in range(len(p)):
        truth = true_dist(p[row], q[row])
        for found in (on.dist(p[row], q[row]), on.rank_to_dist(ranks[row])):
            assert abs(found - truth) <= 32 * 2.0**-52 * condition * truth
        assert abs(ranks[row] - truth**2) <= bounds[row]
    assert (on.rank(p, p) == 0).all()
    assert (on.dist(p, p) == 0).all()


def test_spirals_lie_no_farther_apart() -> None:
    """The inequality of `shadow` for all d, in interval arithmetic."""
    iv: Any = mpmath.iv
    total = sum(w for _, w in SPIRALS)

    def turns(d: Any, power: int, wave: Any) -> Any:
        return sum(iv.mpf(w) * iv.mpf(f) ** power * wave(iv.mpf(f) * d) for f, w in SPIRALS)

    def gap(d: Any) -> Any:
        cosh = (iv.exp(d) + iv.exp(-d)) / 2
        return (cosh - 1 / cosh) / 2 - total * cosh + turns(d, 0, iv.cos)

    def slope(d: Any) -> Any:
        cosh, sinh = (iv.exp(d) + iv.exp(-d)) / 2, (iv.exp(d) - iv.exp(-d)) / 2
        return (sinh + sinh / cosh**2) / 2 - total * sinh - turns(d, 1, iv.sin)

    def bend(d: Any) -> Any:
        cosh = (iv.exp(d) + iv.exp(-d)) / 2
        return (cosh - 1 / cosh + 2 / cosh**3) / 2 - total * cosh - turns(d, 2, iv.cos)

    # Near 0, where the gap and its slope vanish, by the second derivative.
    assert all(bend(iv.mpf([k / 2000, (k + 1) / 2000])) > 0 for k in range(100))
    for start, stop in pairwise(np.geomspace(0.05, 8, 600).tolist()):
        middle, whole = iv.mpf((start + stop) / 2), iv.mpf([start, stop])
        assert gap(middle) + slope(whole) * (whole - middle) > 0
    # Beyond 8, 1 / 2 - total times cosh outgrows the rest.
    assert (0.5 - total) * np.cosh(8.0) > 0.5 + total


def test_the_laws_hold_in_ill_conditioned_matrices() -> None:
    testing.check_manifold(gd.SPDBuresWasserstein(3), points=matrices(24, 3, 1e8))


def test_the_shadow_is_nearly_as_long() -> None:
    """Of close matrices, which are not known to be: 0.97 of the distance at least, and never 1."""
    on = gd.SPDBuresWasserstein(4)
    p = matrices(200, 4, 30.0)
    q = on.exp(p, 1e-4 * on.random_tangent(p, seed=0))
    flat, _ = on.shadow(gd.manifolds.base.rows_of(on, np.concatenate([p, q])), None)
    shares = np.linalg.norm(flat[:200] - flat[200:], axis=1) / on.dist(p, q)
    assert shares.max() <= 1
    assert shares.min() > 0.97


def christoffel(on: gd.Manifold, x: np.ndarray) -> np.ndarray:
    """By differences of the metric, which is known from inner products alone: [k, i, j]."""
    rows, columns = np.tril_indices(on.n)
    basis = np.zeros((len(rows), on.n, on.n))
    basis[range(len(rows)), rows, columns] = basis[range(len(rows)), columns, rows] = 1.0

    def metric(y: np.ndarray) -> np.ndarray:
        p = np.einsum("k,kij->ij", y, basis)
        lifts = [scipy.linalg.solve_continuous_lyapunov(p, u) for u in basis]
        return np.array([[np.trace(x @ v) / 2 for v in basis] for x in lifts])

    h = 1e-4 * np.eye(len(x))
    weights = ((1, 45.0), (2, -9.0), (3, 1.0))  # central differences of the sixth order
    slopes = np.array(
        [sum(w * (metric(x + k * e) - metric(x - k * e)) for k, w in weights) / 60e-4 for e in h]
    )
    first = (slopes.transpose(1, 0, 2) + slopes.transpose(1, 2, 0) - slopes) / 2
    return np.einsum("kl,lij->kij", np.linalg.inv(metric(x)), first)


@pytest.mark.parametrize("n", [2, 3])
def test_transport_is_that_of_the_metric(n: int) -> None:
    """Against the equation of parallel vectors, with symbols from differences of the metric."""
    on = gd.SPDBuresWasserstein(n)
    p, q, u = *matrices(2, n, 10.0), RNG.standard_normal((n, n))
    u, v = u + u.T, on.log(p, q)
    rows, columns = np.tril_indices(n)

    def turn(t: float, y: np.ndarray) -> np.ndarray:
        there = on.geodesic(p, q, t)
        velocity = on.transport(p, there, v)
        symbols = christoffel(on, there[rows, columns])
        return -np.einsum("kij,i,j->k", symbols, velocity[rows, columns], y)

    found = scipy.integrate.solve_ivp(turn, (0, 1), u[rows, columns], rtol=1e-10, atol=1e-10)
    assert np.allclose(on.transport(p, q, u)[rows, columns], found.y[:, -1], atol=1e-8)


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_transport_keeps_lengths_and_returns(condition: float) -> None:
    """Also over several series, to some roundings times the condition."""
    on = gd.SPDBuresWasserstein(4)
    p, q = matrices(20, 4, condition), 3 * matrices(20, 4, condition)
    u = on.random_tangent(p, seed=5)
    u = u / on.norm(p, u)[:, None, None]
    there, within = on.transport(p, q, u), 64 * 2.0**-52 * condition
    assert np.allclose(on.norm(q, there), 1, rtol=0, atol=within)
    assert (on.norm(p, on.transport(q, p, there) - u) <= within).all()
    middle = on.midpoint(p, q)
    by_halves = on.transport(middle, q, on.transport(p, middle, u))
    assert (on.norm(q, by_halves - there) <= within).all()


def test_curvature_is_three_times_a_square() -> None:
    """Of planes at the unit matrix, where k of a commutator is half of it: K = 3 |[x, y]|^2 / 4."""
    on = gd.SPDBuresWasserstein(3)
    p, (x, y) = np.eye(3), RNG.standard_normal((2, 3, 3))
    x, y = x + x.T, y + y.T
    turn = (x @ y - y @ x) / 2
    plane = (x * x).sum() * (y * y).sum() - (x * y).sum() ** 2
    expected = 3 * (turn * turn).sum() / plane
    assert on.sectional_curvature(p, 2 * x, 2 * y) == pytest.approx(expected, rel=1e-12)
    assert on.sectional_curvature(p, np.diag([1.0, 2, 0]), np.diag([0.0, 1, 3])) == 0.0


def test_matrices_of_very_different_sizes() -> None:
    """A step of Newton's has no digits where a factor is nearly that of 0."""
    on, (p, q) = gd.SPDBuresWasserstein(3), matrices(2, 3, 10.0)
    for scale in (1e-6, 1e-12, 1e-30):
        truth = float(true_dist(p, scale * q))
        assert on.dist(p, scale * q) == pytest.approx(truth, rel=1e-14)
        assert on.dist(scale * q, p) == pytest.approx(truth, rel=1e-14)


def test_frames_lead_back_where_matrices_are_ill_conditioned() -> None:
    on = gd.SPDBuresWasserstein(3)
    p, u = matrices(50, 3, 1e8), RNG.standard_normal((50, 3, 3))
    u = u + u.mT
    off = on.from_frame(p, on.to_frame(p, u)) - u
    assert (on.norm(p, off) <= 1e-14 * on.norm(p, u)).all()
    assert on.to_frame(p.astype(np.float32), u.astype(np.float32)).dtype == np.float64


def test_a_vector_stands_for_its_symmetric_part() -> None:
    on = gd.SPDBuresWasserstein(3)
    p, u = on.random(5, seed=0), RNG.standard_normal((5, 3, 3))
    even = (u + u.mT) / 2
    for verb in (on.coordinates, on.norm, on.exp):
        assert np.allclose(verb(p, 0.1 * u), verb(p, 0.1 * even), rtol=1e-13, atol=1e-15)


def test_geodesics_end_at_singular_matrices() -> None:
    on = gd.SPDBuresWasserstein(2)
    p, u = np.diag([4.0, 1.0]), np.diag([0.0, -2.0])
    assert on.room(p) == on.norm(p, u) == 1.0
    assert np.isnan(on.exp(p, u)).all()
    assert on.exp(p, 0.99 * u) == pytest.approx(np.diag([4.0, 0.0001]), abs=1e-15)
    assert np.isnan(on.geodesic(p, np.diag([4.0, 0.25]), 2.5)).all()
    nothing = np.full((1, 2, 2), np.nan)
    for found in (on.dist(p, nothing), on.log(nothing, p), on.transport(p, nothing, u)):
        assert np.isnan(found).all()


@pytest.mark.long
def test_torch_differentiates_as_differences_do() -> None:
    """Once and twice, at equal eigenvalues and at equal matrices too."""
    p, q = (torch.asarray(x, dtype=torch.float64) for x in gd.SPDBuresWasserstein(3).random(2, 1))
    unit = torch.eye(3, dtype=torch.float64)

    def even(x: torch.Tensor) -> torch.Tensor:
        return (x + x.mT) / 2

    def equation(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return lyapunov(torch.linalg.cholesky(even(x)), u)

    def step(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return optimal_step(even(x), even(y))

    for first, second in ((p, q), (unit, q), (p, p), (unit, unit)):
        pair = tuple(x.clone().requires_grad_() for x in (first, second))
        for function in (equation, step):
            assert torch.autograd.gradcheck(function, pair)
            assert torch.autograd.gradgradcheck(function, pair)


@pytest.mark.parametrize("condition", [1e2, 1e5, 1e8])
def test_a_shadow_never_hides_a_pair(condition: float) -> None:
    """Ill-conditioned matrices, of many scales and some equal, against brute force."""
    on = gd.SPDBuresWasserstein(3)
    rows = matrices(400, 3, condition) * np.exp(RNG.uniform(-2, 2, (400, 1, 1)))
    rows[50:60] = rows[0]
    found = gd.knn(gd.points(rows, on), k=5).compute()
    ranks = on.rank(rows[:, None], rows[None])
    np.fill_diagonal(ranks, np.inf)
    truth = np.lexsort((np.broadcast_to(np.arange(400), ranks.shape), ranks), axis=1)[:, :5]
    assert np.array_equal(found.indices, truth)
    assert found.audit(rows=4).wrong == 0
