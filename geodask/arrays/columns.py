"""Matrices with orthonormal columns: batches (*batch, n, k)."""

import math
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from .matrices import finite_or_unit, is_finite, product, svd, transpose, unit_like
from .namespace import is_differentiated, namespace, where

STEPS = 5
"""Steps after which columns that were orthonormal to a thirtieth are so to rounding."""


def orthonormal(x: Any, steps: int = STEPS) -> Any:
    """The nearest orthonormal columns to some that nearly are.

    By x (3 - x^T x) / 2 again and again, which squares what is left (Higham, Functions of matrices,
    2008, 8.3), with the same bytes whatever the batch.
    """
    for _ in range(steps):
        x = x + product(x, excess(x)) / -2
    return x


def excess(x: Any) -> Any:
    """x^T x - 1: (..., k, k)."""
    inner = product(transpose(x), x)
    return inner - unit_like(inner)


def nearest(x: Any, proper: bool = False, least: float = 0.0) -> Any:
    """The nearest orthonormal columns to any, or the nearest rotation where they shall be a
    ``proper`` one. NaN where changes of x by ``least``, or by rounding, make another the nearest.

    u v^T for the singular values s of x = u s v^T, the last of them negative where else the
    determinant would be. torch differentiates a step that changes nothing but for rounding: the
    turn of x against u v^T, whose derivative is that of the result (Kenney and Laub, Polar
    decomposition and matrix sign function condition estimates, 1991). That of u and v is infinite
    at equal singular values.
    """
    xp, known = namespace(x), is_finite(x)
    u, s, vh = svd(x)
    if proper:
        sign = xp.sign(xp.linalg.det(u) * xp.linalg.det(vh))[..., None]
        u = xp.concat([u[..., :-1], u[..., -1:] * sign[..., None]], axis=-1)
        s = xp.concat([s[..., :-1], s[..., -1:] * sign], axis=-1)
    turning = s[..., -1] + (s[..., -2] if proper and s.shape[-1] > 1 else 0.0)
    known = known & (turning > least) & (turning > 2.0**-50 * s[..., 0])
    found = u @ vh
    if is_differentiated(x):
        inside = transpose(u) @ x @ transpose(vh)
        turn = (inside - transpose(inside)) / (s[..., :, None] + s[..., None, :])
        rest = x @ transpose(vh) - u @ inside
        found = found + (u @ turn + rest / s[..., None, :]) @ vh
    return where(known[..., None, None], found, math.nan)


def singular_values(x: Any) -> Any:
    """Singular values, the largest first, as `eigh`: (..., k)."""
    xp, known, x = namespace(x), is_finite(x), finite_or_unit(x)
    if is_torch_array(x) and x.device.type == "cpu" and not x.requires_grad:
        found = xp.asarray(np.linalg.svd(x.numpy(), compute_uv=False))
    else:
        found = xp.linalg.svdvals(x)
    return where(known[..., None], found, math.nan)


def uniform(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Random ones (*shape), their law the same after every rotation: the factors of normal
    matrices, with diagonals made positive (Mezzadri, How to generate random matrices from the
    classical compact groups, 2007)."""
    normal = np.random.default_rng(seed).standard_normal(shape)
    found, rest = np.linalg.qr(normal)
    return found * np.sign(np.diagonal(rest, axis1=-2, axis2=-1))[..., None, :]
