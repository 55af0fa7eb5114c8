"""Neighbours by shadows alone: what proves nothing, rules out most all the same."""

import numpy as np
import pytest

import geodask as gd
from geodask.kernels.nearest import Nearest
from neighbours import KERNELS, Kernel

SPACES = [
    gd.SPDAffineInvariant(3),
    gd.Torus(3),
    gd.Oblique(3, 2),
    gd.Product((gd.Sphere(3), gd.PoincareBall(2), gd.Euclidean(2)), weights=(1.0, 0.5, 2.0)),
    gd.Power(gd.Product((gd.SPDLogEuclidean(2), gd.Circle())), 2),
]


def clusters(on: gd.Manifold) -> np.ndarray:
    """Sixteen each of 25 kinds, and the first row five times more."""
    centres = np.repeat(on.random(25, seed=1), 16, axis=0)
    u = on.random_tangent(centres, seed=2)
    lengths = on.norm(centres, u).reshape(-1, *[1] * (u.ndim - 1))
    rows = on.exp(centres, 0.05 * u / lengths)
    return np.concatenate([rows, rows[[0] * 5]])


def answer(kernel: Kernel, on: gd.Manifold, x: np.ndarray, k: int) -> Nearest:
    kind, place, precision = kernel
    running = kind(on, x, k, place, precision, None)
    for first in (0, 150):
        running.fold(x[first : first + 150 if first == 0 else None], first)
    return running


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("on", SPACES, ids=str)
def test_most_pairs_are_ruled_out_and_none_is_lost(kernel: Kernel, on: gd.Manifold) -> None:
    x, k = clusters(on), 5
    running = answer(kernel, on, x, k)
    p = on.canonical(x)
    ranks = on.rank(p[:, None], p[None])
    truth = np.lexsort((np.broadcast_to(np.arange(len(x)), ranks.shape), ranks), axis=1)[:, :k]
    found = running.result()
    assert np.array_equal(found.indices, truth)
    assert np.allclose(found.ranks, np.take_along_axis(ranks, truth, axis=1), rtol=1e-12, atol=0)
    assert found.certified.all()
    assert running.measured < 0.2 * running.pairs


@pytest.mark.parametrize("kernel", KERNELS)
def test_rows_that_all_lie_equal_are_found_in_order(kernel: Kernel) -> None:
    on = gd.Torus(2)
    x = np.repeat(on.random(1, seed=3), 300, axis=0)
    found = answer(kernel, on, x, 4).result()
    assert (found.indices == np.arange(4)).all()
    assert (found.ranks == 0).all()


def test_angles_near_half_a_turn_lie_near_each_other() -> None:
    on = gd.Circle()
    p, q = np.array([[np.pi]]), np.array([[-np.pi + 1e-12]])
    assert on.dist(p, q) == pytest.approx(1e-12 - 2 * 1.2246467991473532e-16, rel=1e-4)
    assert on.dist(p, -p) == pytest.approx(2 * 1.2246467991473532e-16, rel=1e-10)
    assert np.isnan(on.log(np.zeros((1, 1)), p)).all()
    with pytest.raises(gd.PointShapeError, match="integer n from 1 to 1"):
        gd.Circle(2)


def test_a_product_has_the_parts_of_a_right_triangle() -> None:
    on = gd.Product((gd.Sphere(3), gd.Euclidean(1)), weights=(1.0, 4.0))
    p, q = np.array([1.0, 0, 0, 0]), np.array([0.0, 1, 0, 1.5])
    assert on.dist(p, q) == pytest.approx(np.hypot(np.pi / 2, 3.0))
    assert on.n == 4
    assert on.dim == 3
    assert on.injectivity_radius == np.pi
    assert "part 0 is not of unit length" in str(on.check(np.array([[1.0, 1, 0, 0]])))


@pytest.mark.parametrize(
    "made",
    [
        lambda: gd.Product(()),
        lambda: gd.Product((gd.Sphere(3),), weights=(1.0, 2.0)),
        lambda: gd.Product((gd.Sphere(3),), weights=(-1.0,)),
        lambda: gd.Product((3,)),
        lambda: gd.Power(gd.Sphere(3), 2, weight=float("nan")),
        lambda: gd.Power("Sphere", 2),
    ],
)
def test_products_of_what_is_no_space_are_refused(made: object) -> None:
    with pytest.raises(gd.SpecError, match="manifold"):
        made()  # type: ignore[operator]
