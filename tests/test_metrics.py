"""Christoffel symbols and curvature of metrics that are functions of coordinates."""

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch

import geodask as gd
from geodask.arrays.namespace import namespace
from geodask.geodesics import curvature
from geodask.geodesics.slopes import ROUNDINGS, STENCILS, Differences

ORDERS = pytest.mark.parametrize("order", STENCILS)


def diagonal(*entries: Callable) -> Callable:
    def metric(x: Any, v: Any, w: Any) -> Any:
        return sum(entry(x) * v[..., i] * w[..., i] for i, entry in enumerate(entries))

    return metric


def one(x: Any) -> Any:
    return 0 * x[..., 0] + 1


sphere = diagonal(one, lambda x: namespace(x).sin(x[..., 0]) ** 2)
half_plane = diagonal(*[lambda x: x[..., 1] ** -2] * 2)
fisher = diagonal(lambda x: x[..., 1] ** -2, lambda x: 2 * x[..., 1] ** -2)
"""The information of a normal distribution of mean x_0 and deviation x_1."""


def skew(x: Any, v: Any, w: Any) -> Any:
    """A flat one, but not diagonal."""
    xp = namespace(x)
    both = xp.sum(v, axis=-1) * xp.sum(w, axis=-1)
    return (xp.sum(v * w, axis=-1) + both) * one(x)


def constant(x: Any, v: Any, w: Any) -> Any:
    """Torch knows no way from the coordinates to it."""
    return namespace(x).sum(v * w, axis=-1) + namespace(x).zeros(x.shape[:-1], dtype=x.dtype)


def known(entries: dict[tuple[int, int, int], Any], like: np.ndarray) -> np.ndarray:
    found = np.zeros((len(like), 2, 2, 2))
    for (k, i, j), value in entries.items():
        found[:, k, i, j] = found[:, k, j, i] = value
    return found


def sphere_symbols(x: np.ndarray) -> np.ndarray:
    t = x[:, 0]
    return known({(0, 1, 1): -np.sin(t) * np.cos(t), (1, 0, 1): 1 / np.tan(t)}, x)


def half_plane_symbols(x: np.ndarray) -> np.ndarray:
    y = x[:, 1]
    return known({(0, 0, 1): -1 / y, (1, 0, 0): 1 / y, (1, 1, 1): -1 / y}, x)


def fisher_symbols(x: np.ndarray) -> np.ndarray:
    s = x[:, 1]
    return known({(0, 0, 1): -1 / s, (1, 0, 0): 1 / (2 * s), (1, 1, 1): -1 / s}, x)


def no_symbols(x: np.ndarray) -> np.ndarray:
    return known({}, x)


X = np.array([[0.3, 1.2], [1.5, 0.4], [2.9, 1e-3], [1.0, 1e3]])
SPACES = [
    (sphere, sphere_symbols, np.sin(X[:, 0]), 1.0),
    (half_plane, half_plane_symbols, np.ones(4), -1.0),
    (fisher, fisher_symbols, np.ones(4), -0.5),
    (skew, no_symbols, np.ones(4), 0.0),
    (constant, no_symbols, np.ones(4), 0.0),
]
METRICS = pytest.mark.parametrize(
    ("metric", "symbols", "reach", "sectional"),
    SPACES,
    ids=["sphere", "half_plane", "fisher", "skew", "constant"],
)


def worst(found: Any, truth: np.ndarray, metric: Callable, reach: np.ndarray, rank: int) -> float:
    size = curvature.natural_size(curvature.matrix(metric, X), reach, rank)
    return (abs(found - truth) / size).max()


def riemann_of(metric: Callable, sectional: float) -> np.ndarray:
    """K (g_jk delta_il - g_ik delta_jl)."""
    half = sectional * np.einsum("...jk,li->...lijk", curvature.matrix(metric, X), np.eye(2))
    return half - np.swapaxes(half, 2, 3)


@METRICS
def test_torch_finds_the_symbols_and_the_curvature_of_the_literature(
    metric: Callable, symbols: Callable, reach: np.ndarray, sectional: float
) -> None:
    assert worst(curvature.christoffel_by_torch(metric, X), symbols(X), metric, reach, 3) < 1e-14
    found = curvature.riemann_by_torch(metric, X, reach)
    assert worst(found, riemann_of(metric, sectional), metric, reach, 4) < 2e-12


@ORDERS
@METRICS
def test_differences_are_as_near_as_they_say(
    metric: Callable, symbols: Callable, reach: np.ndarray, sectional: float, order: int
) -> None:
    found = curvature.christoffel_by_differences(metric, X, reach, order, ROUNDINGS)
    stated = curvature.error_of_differences(curvature.matrix(metric, X), reach, order, ROUNDINGS, 3)
    assert (abs(found - symbols(X)) <= stated).all()
    found = curvature.riemann_by_differences(metric, X, reach, order, ROUNDINGS)
    stated = curvature.error_of_differences(curvature.matrix(metric, X), reach, order, ROUNDINGS, 4)
    assert (abs(found - riemann_of(metric, sectional)) <= stated).all()


def test_what_differences_say_is_of_use() -> None:
    g = curvature.matrix(sphere, X)
    stated = [curvature.error_of_differences(g, np.ones(4), k, ROUNDINGS, 3) for k in STENCILS]
    size = curvature.natural_size(g, np.ones(4), 3)
    assert (stated[0] < 2e-9 * size).all()
    assert (stated[1] < 2e-11 * size).all()
    assert (stated[2] < 3e-12 * size).all()


@ORDERS
def test_the_error_falls_by_the_order(order: int) -> None:
    steps = 0.2 / 2.0 ** np.arange(4)
    x, truth = np.array([[0.0, 1.0]]), half_plane_symbols(np.array([[0.0, 1.0]]))
    slopes = [Differences(order, np.full((1, 2), step)) for step in steps]
    errors = [abs(curvature.christoffel(half_plane, x, slope) - truth).max() for slope in slopes]
    seen = np.log2(np.array(errors[:-1]) / errors[1:])
    assert seen[-1] == pytest.approx(order, abs=0.15)


def test_a_function_that_torch_differentiates_once_has_its_curvature_too() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *gradients: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * gradients[0]

    def weight(x: Any) -> Any:
        y = x[..., 1]
        return 1 / (Square.apply(y) if isinstance(y, torch.Tensor) else y**2)

    metric = diagonal(weight, weight)
    found = curvature.riemann_by_torch(metric, X, np.ones(4))
    assert worst(found, riemann_of(metric, -1.0), metric, np.ones(4), 4) < 2e-12


@pytest.mark.parametrize("xp", [np, torch, array_api_strict], ids=lambda xp: xp.__name__)
@pytest.mark.parametrize("batch", [(), (1,), (0,), (2, 1)], ids=str)
def test_any_batch_in_any_library_keeps_its_shape_and_kind(xp: Any, batch: tuple) -> None:
    x = xp.asarray(np.full((*batch, 2), 0.5))
    reach = xp.ones(batch, dtype=xp.float64)
    for symbols in (
        curvature.christoffel_by_torch(half_plane, x),
        curvature.christoffel_by_differences(half_plane, x, reach, 2, ROUNDINGS),
    ):
        assert (type(symbols), symbols.dtype) == (type(x), x.dtype)
        assert tuple(symbols.shape) == (*batch, 2, 2, 2)
    for tensor in (
        curvature.riemann_by_torch(half_plane, x, reach),
        curvature.riemann_by_differences(half_plane, x, reach, 2, ROUNDINGS),
    ):
        assert (type(tensor), tensor.dtype) == (type(x), x.dtype)
        assert tuple(tensor.shape) == (*batch, 2, 2, 2, 2)


def test_symbols_by_torch_say_that_they_have_no_derivative() -> None:
    x = torch.tensor([[0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    assert not curvature.christoffel_by_torch(half_plane, x).requires_grad


def test_a_row_without_a_metric_is_nan_and_spoils_no_other() -> None:
    x = np.array([[0.0, 1.0], [0.0, np.nan], [0.0, 0.0]])
    with np.errstate(divide="ignore"):
        found = curvature.christoffel_by_torch(half_plane, x)
    assert np.isnan(found[1:]).all()
    assert np.isfinite(found[0]).all()


def test_slopes_come_last() -> None:
    x = np.array([[1.0, 2.0, 3.0]])
    found = Differences(4, np.full_like(x, 2.0**-8))(
        lambda x: np.stack([x[..., 0] * x[..., 1], x[..., 2] ** 2], axis=-1), x
    )
    assert np.allclose(found, [[[2.0, 1.0, 0.0], [0.0, 0.0, 6.0]]], rtol=1e-12)


def test_other_orders_are_refused() -> None:
    with pytest.raises(gd.SpecError, match="order 2, 4 or 6"):
        curvature.christoffel_by_differences(half_plane, X, np.ones(4), 3, ROUNDINGS)
