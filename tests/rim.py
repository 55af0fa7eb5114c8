"""Rows of hyperbolic space out to the rim, and their ranks to 100 digits."""

from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import brute
import geodask as gd
from geodask.manifolds.hyperbolic import Hyperbolic

MODELS = (gd.PoincareBall, gd.Lorentz, gd.HalfSpace, gd.HyperbolicPolar)
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def at_radius(radius: Any, rows: int, n: int, seed: int) -> np.ndarray:
    """Points (rows, n), float64, at these distances from the origin."""
    v = np.random.default_rng(seed).standard_normal((rows, n))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return np.tanh(np.broadcast_to(radius, (rows,)) / 2)[:, None] * v


def families(radius: float, n: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Rows around the radius in families: near-duplicates, siblings, and rows by themselves."""
    on, rng = gd.PoincareBall(n), np.random.default_rng(seed)
    p = at_radius(radius * rng.uniform(0.6, 1, 20), 20, n, seed)[np.arange(300) % 20]
    steps = 10 ** rng.uniform(-6, 0.6, 300)
    u = on.random_tangent(p, seed)
    return on.exp(p, u * (steps / on.norm(p, u))[:, None]).astype(dtype)


def exact_ranks(x: np.ndarray, y: np.ndarray) -> list[list[mpf]]:
    """sinh^2 of half the distances of stored rows, to 100 digits from exact integers."""
    (p, q), exponent = brute.integers(x, y)
    one = 1 << (-2 * exponent)
    inside = [[one - int(row @ row) for row in rows] for rows in (p, q)]
    with mp.workdps(100):
        return [
            [mpf(int(square) * one) / (s * t) for square, t in zip(squares, inside[1], strict=True)]
            for squares, s in zip(
                (((q - row) ** 2).sum(axis=1) for row in p), inside[0], strict=True
            )
        ]


def space(model: type, dim: int, curvature: float = -1.0) -> Hyperbolic:
    longer = model in (gd.Lorentz, gd.HyperbolicPolar)
    return model(dim + longer, curvature=curvature)


def rows(model: type, radius: float, dim: int, dtype: str, seed: int = 0) -> np.ndarray:
    """Families of rows in that model."""
    x = families(radius, dim, "float64", seed)
    return space(model, dim).project(
        gd.PoincareBall(dim).convert(x, space(model, dim)).astype(dtype)
    )
