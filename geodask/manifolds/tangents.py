"""Batches of tangent vectors: their axes, sums and inner products, on any space."""

from typing import TYPE_CHECKING, Any

from ..arrays.matrices import diagonal, symmetric
from ..arrays.namespace import namespace

if TYPE_CHECKING:
    from .base import Manifold


def over(space: "Manifold", x: Any, count: int) -> Any:
    """Points or vectors (*batch, *point_shape) with as many axes of length 1 behind the batch."""
    batch = x.shape[: x.ndim - len(space.point_shape)]
    return namespace(x).reshape(x, (*batch, *(1,) * count, *space.point_shape))


def along(space: "Manifold", e: Any, place: int, count: int) -> Any:
    """Vectors (*batch, dim, *point_shape) with their axis at a place among as many."""
    *batch, dim = e.shape[: e.ndim - len(space.point_shape)]
    sides = [1] * count
    sides[place] = dim
    return namespace(e).reshape(e, (*batch, *sides, *space.point_shape))


def nth(space: "Manifold", e: Any, number: int) -> Any:
    """One of vectors (*batch, dim, *point_shape)."""
    return e[(..., number, *(slice(None),) * len(space.point_shape))]


def combined(space: "Manifold", c: Any, e: Any) -> Any:
    """The sum of c_i e_i: (*batch, *point_shape)."""
    xp = namespace(c, e)
    flat = xp.reshape(e, (*e.shape[: e.ndim - len(space.point_shape)], space.size))
    found = (c[..., None, :] @ flat)[..., 0, :]
    return xp.reshape(found, (*found.shape[:-1], *space.point_shape))


def gram(space: "Manifold", p: Any, e: Any) -> Any:
    """The inner products of vectors (*batch, dim, *point_shape) at p: (*batch, dim, dim).

    Row by row: all pairs at once would take as many times the memory as a vector is long.
    """
    xp, at = namespace(p), over(space, p, 1)
    number = e.shape[e.ndim - len(space.point_shape) - 1]
    rows = [space.inner(at, over(space, nth(space, e, i), 1), e) for i in range(number)]
    return symmetric(xp.stack(rows, axis=-2))


def tall(space: "Manifold", t: Any) -> Any:
    """Numbers (*batch,) to multiply vectors with."""
    return namespace(t).reshape(t, (*t.shape, *(1,) * len(space.point_shape)))


def trace(a: Any) -> Any:
    """Those of matrices (*batch, dim, dim)."""
    return namespace(a).sum(diagonal(a), axis=-1)


def orthonormal(space: "Manifold", at: Any, vectors: Any) -> Any:
    """As many of some vectors as there are dimensions, made orthonormal, the longest first."""
    xp, batch = namespace(at), at.shape[: at.ndim - len(space.point_shape) - 1]
    found = []
    for _ in range(space.dim):
        length = space.norm(at, vectors)
        longest = xp.argmax(length, axis=-1, keepdims=True)[..., None]
        longest = xp.broadcast_to(longest, (*batch, 1, space.size))
        flat = xp.reshape(vectors, (*length.shape, space.size))
        picked = xp.take_along_axis(flat, longest, axis=-2)
        picked = xp.reshape(picked, (*batch, 1, *space.point_shape))
        unit = picked / tall(space, xp.max(length, axis=-1, keepdims=True))
        found.append(unit)
        vectors = vectors - tall(space, space.inner(at, unit, vectors)) * unit
    return xp.concat(found, axis=len(batch))
