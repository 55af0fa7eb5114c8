"""What `eigen` and `factors` do, of larger matrices on the host: one after the other, by numpy."""

import numpy as np

from .namespace import where


def decompose(x: np.ndarray, values: np.ndarray, axes: np.ndarray) -> None:
    known = np.all(np.isfinite(x), axis=(1, 2), keepdims=True)
    x = np.where(known, x, np.eye(x.shape[1]))
    if axes.shape[2]:
        found, turned = np.linalg.eigh(x)
        axes[...] = where(known, turned, np.nan)
    else:
        found = np.linalg.eigvalsh(x)
    values[...] = where(known[:, 0], found, np.nan)


def cholesky(p: np.ndarray, out: np.ndarray) -> None:
    for row, place in zip(p, out, strict=True):
        try:
            place[...] = np.linalg.cholesky(row)
        except np.linalg.LinAlgError:
            place[...] = np.nan


def inverse(low: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.linalg.inv(low)


def solved(low: np.ndarray, u: np.ndarray, out: np.ndarray) -> None:
    from scipy.linalg import solve_triangular

    for row, known, place in zip(low, u, out, strict=True):
        place[...] = solve_triangular(row, known, lower=True, check_finite=False)


def carried(low: np.ndarray, u: np.ndarray, out: np.ndarray) -> None:
    half = np.linalg.solve(low, u)
    _mirror(np.linalg.solve(low, np.swapaxes(half, 1, 2)), out)


def congruent(a: np.ndarray, u: np.ndarray, out: np.ndarray) -> None:
    _mirror(a @ u @ np.swapaxes(a, 1, 2), out)


def spanned(axes: np.ndarray, values: np.ndarray, out: np.ndarray) -> None:
    _mirror((axes * values) @ np.swapaxes(axes, 1, 2), out)


def _mirror(x: np.ndarray, out: np.ndarray) -> None:
    """The symmetric part."""
    out[...] = (x + np.swapaxes(x, 1, 2)) / 2
