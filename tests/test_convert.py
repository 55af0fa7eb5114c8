"""Operations on rows of hyperbolic space: lazy, as plans, and refused elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodask as gd

BALL = gd.PoincareBall(3, curvature=-0.5)
LORENTZ = gd.Lorentz(4, curvature=-0.5)


@pytest.fixture
def p() -> np.ndarray:
    return BALL.random(500, seed=1)


@pytest.fixture
def q() -> np.ndarray:
    return BALL.random(500, seed=2)


def equal(found: Any, right: np.ndarray) -> bool:
    return np.array_equal(np.asarray(found), right)


def test_values_are_those_of_the_manifold(p: np.ndarray, q: np.ndarray) -> None:
    x, y, v = gd.points(p, BALL), gd.points(q, BALL), BALL.random_tangent(p, seed=3)
    assert equal(gd.mobius_add(x, y).array, BALL.mobius_add(p, q))
    assert equal(gd.mobius_scale(x, 0.3).array, BALL.mobius_scale(p, np.full(500, 0.3)))
    assert equal(gd.gyration(x, y, v), BALL.gyration(p, q, v))
    assert equal(gd.dist_to_origin(x), BALL.dist_to_origin(p))
    assert equal(gd.dist_to_hyperplane(x, y, v), BALL.dist_to_hyperplane(p, q, v))
    for direction in (np.eye(3)[0], np.roll(np.eye(3)[np.arange(500) % 3], 1, axis=0)):
        assert equal(gd.busemann(x, direction), BALL.busemann(p, direction))


def test_points_and_tangent_vectors_go_to_another_model(p: np.ndarray) -> None:
    x, v = gd.points(p, BALL), BALL.random_tangent(p, seed=3)
    there = gd.convert(x, LORENTZ)
    assert there.manifold == LORENTZ
    assert there.shape == (500, 4)
    assert equal(there.array, BALL.convert(p, LORENTZ))
    moved = gd.convert_tangent(x, v, LORENTZ)
    assert moved.shape == (500, 4)
    assert equal(moved, BALL.convert_tangent(p, v, LORENTZ))
    np.testing.assert_allclose(np.asarray(gd.norm(there, moved)), BALL.norm(p, v), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(gd.convert(there, BALL).array), p, atol=1e-15)


def test_conversions_are_plans(p: np.ndarray, tmp_path: Path) -> None:
    x = gd.points(p, BALL)
    result = gd.plan(gd.convert, x, LORENTZ).persist()
    assert result.points.manifold == LORENTZ
    assert equal(result.points.array, BALL.convert(p, LORENTZ))
    again = gd.plan(gd.convert, x, LORENTZ).persist()
    assert again.report.cache_hit
    other = gd.HalfSpace(3, curvature=-0.5)
    assert not gd.plan(gd.convert, x, other).persist().report.cache_hit
    assert gd.plan(gd.busemann, x, np.eye(3)[0]).compute().values.shape == (500,)
    result.points.save(tmp_path / "there.zarr")
    assert gd.open(tmp_path / "there.zarr").manifold == LORENTZ


def test_neighbours_of_converted_points(p: np.ndarray) -> None:
    x = gd.points(p, BALL)
    found = gd.knn(gd.convert(x, LORENTZ), k=3).compute()
    assert (found.indices == gd.knn(x, k=3).compute().indices).all()


@pytest.mark.parametrize("to", [gd.Lorentz(4), gd.Lorentz(5, curvature=-0.5), gd.Sphere(3)])
def test_no_model_of_the_same_space_is_refused_at_once(p: np.ndarray, to: Any) -> None:
    x = gd.points(p, BALL)
    with pytest.raises(gd.SpecError, match=r"dimension 3 and curvature -0\.5"):
        gd.convert(x, to)
    with pytest.raises(gd.SpecError, match=r"dimension 3 and curvature -0\.5"):
        gd.plan(gd.convert, x, to)


def test_ids_go_along_and_a_missing_manifold_is_refused(p: np.ndarray) -> None:
    x = gd.points(p[:3], BALL, ids=["a", "b", "c"])
    assert list(gd.convert(x, LORENTZ).ids) == ["a", "b", "c"]
    with pytest.raises(gd.SpecError, match="manifold to go to as its last argument"):
        gd.convert(x, None)


def test_points_beyond_reach_are_undefined_and_counted() -> None:
    on = gd.HyperbolicPolar(3)
    x = gd.points(np.array([[0.6, 0.8, 3.0], [0.6, 0.8, 100.0]]), on)
    result = gd.plan(gd.convert, x, gd.PoincareBall(2)).compute()
    assert result.report.health["undefined"] == 1
    assert np.isnan(result.values).all(axis=1).tolist() == [False, True]
    far = gd.exp_map(gd.points(np.zeros((2, 2)), gd.PoincareBall(2)), np.array([[1, 0], [40.0, 0]]))
    assert np.isnan(np.asarray(far.array)).all(axis=1).tolist() == [False, True]


@pytest.mark.parametrize("curvature", ["-1", None, [1]])
def test_a_curvature_that_is_no_number_is_refused(curvature: Any) -> None:
    with pytest.raises(gd.SpecError, match="negative finite curvature"):
        gd.Lorentz(3, curvature=curvature)


def test_other_spaces_are_refused_in_words() -> None:
    x = gd.points(gd.Sphere(3).random(5, seed=0), gd.Sphere(3))
    with pytest.raises(gd.SpecError, match=r"mobius_add is a verb of PoincareBall"):
        gd.mobius_add(x, x)
    with pytest.raises(gd.SpecError, match=r"HalfSpace, HyperbolicPolar, Lorentz, PoincareBall"):
        gd.convert(x, BALL)
    with pytest.raises(gd.PointShapeError):
        gd.busemann(gd.points(BALL.random(5, seed=0), BALL), np.ones(4))
    with pytest.raises(TypeError, match="takes 2 arguments"):
        gd.plan(gd.convert, x)
