"""Batches of small square matrices: (*batch, n, n).

On the host, of numpy and of torch, they are factored by compiled loops that take many at once; a
matrix has the same bytes in every batch. NaN where there is no answer.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from . import closed, eigen, factors, lapack
from .namespace import constant, host_views, is_host, like, namespace, norm, read_only, where
from .threads import over_rows

LARGEST, LARGEST_PRODUCT = 64, 16
"""Sides of matrices up to which the compiled loops are the faster, and those of products."""


def transpose(a: Any) -> Any:
    """Each matrix with rows for columns."""
    return namespace(a).matrix_transpose(a)


def product(a: Any, b: Any) -> Any:
    """a b, with the same bytes whatever the batch.

    That of numpy goes through the matrices one by one; those of torch are taken together, and add
    in an order that depends on how many there are.
    """
    if is_host(a):
        return a @ b
    total = a[..., :, :1] * b[..., :1, :]
    for k in range(1, a.shape[-1]):
        total = total + a[..., :, k : k + 1] * b[..., k : k + 1, :]
    return total


def symmetric(a: Any) -> Any:
    """The symmetric part of each."""
    return (a + transpose(a)) / 2


def skew(a: Any) -> Any:
    """The skew-symmetric part of each."""
    return (a - transpose(a)) / 2


def unit_like(a: Any) -> Any:
    """The unit matrix, of as many rows and columns, in their library and dtype."""
    return namespace(a).eye(a.shape[-2], a.shape[-1], dtype=a.dtype, device=a.device)


def flat(a: Any) -> Any:
    """The rows of each, one after the other: (*batch, n k)."""
    return namespace(a).reshape(a, (*a.shape[:-2], a.shape[-2] * a.shape[-1]))


def diagonal(a: Any) -> Any:
    """The diagonals (*batch, n)."""
    n = a.shape[-1]
    return _picked(flat(a), np.arange(n) * (n + 1))


def with_diagonal(a: Any, d: Any) -> Any:
    """The same matrices with other diagonals (*batch, n)."""
    xp = namespace(a)
    unit = xp.eye(a.shape[-1], dtype=xp.bool, device=a.device)
    return xp.where(unit, d[..., None], a)


def lower(a: Any) -> Any:
    """The lower triangles, row by row: (*batch, n (n + 1) / 2)."""
    return _picked(flat(a), _places(a.shape[-1])[0])


def from_lower(x: Any, n: int) -> Any:
    """The matrices with these lower triangles, and zeros above."""
    xp = namespace(x)
    padded = xp.concat([x, xp.zeros_like(x[..., :1])], axis=-1)
    return xp.reshape(_picked(padded, _places(n)[1]), (*x.shape[:-1], n, n))


def flat_symmetric(a: Any) -> Any:
    """Symmetric matrices as rows of as long: entries off the diagonal stand for two."""
    return lower(with_diagonal(a * math.sqrt(2), diagonal(a)))


def from_flat(x: Any, n: int) -> Any:
    """The symmetric matrices of such rows."""
    part = from_lower(x, n)
    half = part / math.sqrt(2)
    return with_diagonal(half + transpose(half), diagonal(part))


def flat_skew(a: Any) -> Any:
    """Skew-symmetric matrices as rows of what lies under the diagonal."""
    return lower(a[..., 1:, :-1])


def from_flat_skew(x: Any, n: int) -> Any:
    """The skew-symmetric matrices of such rows."""
    xp, part = namespace(x), from_lower(x, n - 1)
    part = xp.concat([part, xp.zeros_like(part[..., :1])], axis=-1)
    part = xp.concat([xp.zeros_like(part[..., :1, :]), part], axis=-2)
    return part - transpose(part)


def half_lower(a: Any) -> Any:
    """The lower triangles with half of the diagonals, and zeros above."""
    n = a.shape[-1]
    part = from_lower(lower(a), n)
    return with_diagonal(part, diagonal(a) / 2)


def norm_of(a: Any) -> Any:
    """Frobenius norms: (*batch,)."""
    xp = namespace(a)
    return xp.sqrt(xp.sum(a * a, axis=(-2, -1)))


def descends(step: Any) -> Any:
    """Whether the first entry that is not 0 is negative: (*batch,)."""
    xp, entries = namespace(step), flat(step)
    first = xp.argmax(xp.astype(entries != 0, xp.int8), axis=-1, keepdims=True)
    return xp.take_along_axis(entries, first, axis=-1)[..., 0] < 0


def is_finite(a: Any) -> Any:
    """Whether all entries of each are: (*batch,)."""
    xp = namespace(a)
    return xp.all(xp.isfinite(a), axis=(-2, -1))


def finite_or_unit(a: Any) -> Any:
    """The unit matrix in place of those that are not finite, at which libraries stumble."""
    return namespace(a).where(is_finite(a)[..., None, None], a, unit_like(a))


def eigh(p: Any) -> tuple[Any, Any]:
    """Eigenvalues (..., n), the least first, and as columns their axes (..., n, n)."""
    n = p.shape[-1]
    found = on_host(_eigen(n).decompose, [p], [(n,), (n, n)])
    if found is not None:
        return found[0], found[1]
    return closed.eigh(p) if _has_closed_form(p) else tuple(namespace(p).linalg.eigh(p))


def eigvalsh(p: Any) -> Any:
    """Eigenvalues alone, as `eigh`."""
    n = p.shape[-1]
    found = on_host(_eigen(n).decompose, [p], [(n,), (0, 0)])
    if found is not None:
        return found[0]
    return closed.eigh(p)[0] if _has_closed_form(p) else namespace(p).linalg.eigvalsh(p)


def cholesky(p: Any) -> Any:
    """The lower factors L: p = L L^T."""
    found = on_host(_factors(p, LARGEST).cholesky, [p], [p.shape[-2:]])
    return namespace(p).linalg.cholesky(p) if found is None else found[0]


def lower_inverse(low: Any) -> Any:
    """L^-1 for lower triangles L."""
    found = on_host(_factors(low, LARGEST).inverse, [low], [low.shape[-2:]])
    return namespace(low).linalg.inv(low) if found is None else found[0]


def solved(low: Any, u: Any) -> Any:
    """L^-1 u for lower triangles L."""
    found = on_host(_factors(u, LARGEST).solved, [low, u], [u.shape[-2:]])
    if found is not None:
        return found[0]
    # With rows of length 1 in L, none takes the place of another because of its scale.
    xp, scale = namespace(low, u), norm(low)[..., None]
    u = u / scale
    return xp.linalg.solve(low / scale + xp.zeros_like(u), u)


def carried(low: Any, u: Any) -> Any:
    """L^-1 u L^-T for lower triangles L and symmetric u."""
    found = on_host(_factors(u, LARGEST).carried, [low, u], [u.shape[-2:]])
    if found is not None:
        return found[0]
    xp = namespace(low, u)
    low, u = low + xp.zeros_like(u), u + xp.zeros_like(low)
    return symmetric(xp.linalg.solve(low, transpose(xp.linalg.solve(low, u))))


def congruent(a: Any, u: Any) -> Any:
    """a u a^T for symmetric u."""
    found = on_host(_factors(u, LARGEST_PRODUCT).congruent, [a, u], [u.shape[-2:]])
    return symmetric(product(product(a, u), transpose(a))) if found is None else found[0]


def spanned(axes: Any, values: Any) -> Any:
    """V w V^T: the symmetric matrices with these axes V and eigenvalues w (..., n)."""
    values, kernel = values[..., None, :], _factors(axes, LARGEST_PRODUCT).spanned
    found = on_host(kernel, [axes, values], [axes.shape[-2:]])
    return symmetric(product(axes * values, transpose(axes))) if found is None else found[0]


def svd(a: Any) -> tuple[Any, Any, Any]:
    """Left vectors, singular values, the largest first, and right vectors as rows, of as many as
    there are values; without derivatives."""
    a = constant(a)
    known, part, xp = is_finite(a), finite_or_unit(a), namespace(a)
    if is_torch_array(a) and a.device.type == "cpu":
        found = map(xp.asarray, np.linalg.svd(part.numpy(), full_matrices=False))
    else:
        found = xp.linalg.svd(part, full_matrices=False)
    left, values, right = found
    return left, where(known[..., None], values, math.nan), right


def lowest_and_highest(a: Any) -> tuple[Any, Any]:
    """The least and the largest eigenvalue of symmetric matrices; NaN where they are not finite."""
    values = eigvalsh(finite_or_unit(a))
    known = is_finite(a)
    return tuple(where(known, values[..., i], math.nan) for i in (0, -1))


def is_definite(p: Any) -> Any:
    """Whether symmetric matrices are sure to have a Cholesky factor in float64: (*batch,).

    The least eigenvalue is then n (n + 1) roundings of the largest or more (Higham, Accuracy and
    stability of numerical algorithms, 2002, 10.7).
    """
    n = p.shape[-1]
    least, largest = lowest_and_highest(p)
    return least > n * (n + 1) * 2.0**-52 * largest


def factor(p: Any) -> Any:
    """The lower triangles L with p = L L^T; NaN where they are not sure to be found."""
    xp, sound = namespace(p), is_definite(p)[..., None, None]
    unit = xp.eye(p.shape[-1], dtype=p.dtype, device=p.device)
    return where(sound, cholesky(xp.where(sound, p, unit)), math.nan)


# --- the compiled loops ---------------------------------------------------------------------------

WORK = 4
"""What a coordinate costs a factorisation, beside one that is only read."""


def _eigen(n: int) -> Any:
    return eigen if n <= LARGEST else lapack


def _factors(a: Any, largest: int) -> Any:
    return factors if a.shape[-1] <= largest else lapack


def on_host(
    kernel: Callable[..., None], given: list[Any], shapes: list[tuple[int, ...]]
) -> list[Any] | None:
    """What a kernel writes into rows of these shapes, from matrices that broadcast; None where they
    are not on the host, not real, or to be differentiated."""
    views = host_views(*given)
    if views is None or any(view.dtype.kind != "f" for view in views):
        return None
    batch = np.broadcast_shapes(*(view.shape[:-2] for view in views))
    rows = math.prod(batch)
    made = [np.empty((rows, *shape)) for shape in shapes]
    inputs = [_rows(view, batch) for view in views]

    def part(start: int, stop: int) -> None:
        kernel(*(x[start:stop] for x in (*inputs, *made)))

    work = WORK * views[-1].shape[-1] ** 2
    over_rows(part, rows, work, blas=kernel.__module__ == lapack.__name__)
    xp = namespace(*given)
    found = [x.reshape(*batch, *shape) for x, shape in zip(made, shapes, strict=True)]
    return [like(xp.asarray(x), *given) for x in found]


def _rows(x: np.ndarray, batch: tuple[int, ...]) -> np.ndarray:
    """(rows, ...) in float64."""
    tail = x.shape[-2:]
    if x.shape[:-2] != batch:
        x = np.broadcast_to(x, (*batch, *tail))
    return read_only(x.reshape(math.prod(batch), *tail).astype(np.float64, copy=False))


def _has_closed_form(p: Any) -> bool:
    """Whether `closed` has formulas; torch had better differentiate its own eigenvalues."""
    differentiated = is_torch_array(p) and (p.requires_grad or p.device.type == "cpu")
    real = namespace(p).isdtype(p.dtype, "real floating")
    return p.shape[-1] in (2, 3) and real and not differentiated


def _picked(x: Any, columns: np.ndarray) -> Any:
    xp = namespace(x)
    return xp.take(x, xp.asarray(columns, device=x.device), axis=-1)


@cache
def _places(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the lower triangle lies in a flat matrix; and for each entry of a matrix its place in
    the triangle, or behind its end."""
    rows, columns = np.tril_indices(n)
    places = np.full(n * n, len(rows))
    places[rows * n + columns] = np.arange(len(rows))
    return rows * n + columns, places
