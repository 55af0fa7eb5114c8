"""Rows to try a manifold on, and how close two answers have to be."""

import math
from typing import Any, NamedTuple

import numpy as np

from ..arrays.device import to_host
from ..arrays.namespace import is_host, namespace
from ..manifolds.base import Manifold

STEPS = (0.95, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.6, 0.9)
"""Distances to try, as shares of the injectivity radius (of 4, where that is larger)."""


class Sample(NamedTuple):
    """Rows to try a manifold on, and what rounding may do to them."""

    p: Any
    """Points (rows, *point_shape)."""
    q: Any
    """Points from very near p to close to its cut locus: exp(p, u)."""
    u: Any
    """Tangent vectors at p, of the lengths `STEPS` in turn."""
    v: Any
    """Tangent vectors of unit length at p, or of half the room there is."""
    w: Any
    """Ambient vectors."""
    tolerance: float
    """Error that is allowed, as a share of the length of a row's coordinates."""
    skew: np.ndarray
    """(rows,): how much longer than others a tangent vector of flat length 1 can be, at p or q.

    Rounding a long coordinate by a share of itself may turn the short ones of a row by as much."""

    def rows(self, which: slice) -> "Sample":
        """Some of the rows."""
        parts = (part[which, ...] for part in self[:5])
        return Sample._make([*parts, self.tolerance, self.skew[which]])


def sample(
    manifold: Manifold, xp: Any = np, points: np.ndarray | None = None, dtype: str = "float64"
) -> Sample:
    """Rows in the library ``xp`` around the ``points`` given, or around random ones.

    numpy rows are read-only: no method may write into its arguments.
    """
    p = manifold.random(2 * len(STEPS), seed=0) if points is None else np.asarray(points, float)
    v = manifold.random_tangent(p, seed=1)
    v = v / column(manifold.norm(p, v), v)
    reach = np.minimum(manifold.room(p), 4.0)
    u = v * column(np.resize(STEPS, len(p)) * reach, v)
    v = v * column(np.minimum(1.0, reach / 2), v)
    w = np.random.default_rng(2).standard_normal(p.shape)
    q = manifold.exp(p, u)
    lengths = [_lengths(manifold, x, w) for x in (p, q)]
    skew = np.max([most / least for least, most in lengths], axis=0)
    kind = getattr(xp, dtype)
    rows = [xp.asarray(np.array(part), dtype=kind) for part in (p, q, u, v, w)]
    for part in rows:
        if is_host(part):
            part.flags.writeable = False
    roundings = 16 * math.sqrt(math.prod(p.shape[1:]))
    return Sample._make([*rows, roundings * float(xp.finfo(kind).eps), skew])


def close(actual: Any, expected: Any, within: Any) -> None:
    """Raises AssertionError where they differ by more, or are NaN, with the first such entry."""
    actual, expected, within = np.broadcast_arrays(
        on_host(actual), on_host(expected), on_host(within)
    )
    wrong = ~(abs(actual - expected) <= within)
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        raise AssertionError(
            f"at {at}: {actual[at]:.17g} instead of {expected[at]:.17g} within {within[at]:.1e}"
        )


def same_rows(s: Sample, actual: Any, expected: Any, *others: Any) -> None:
    """As `close`, for rows computed from p, q, u and the others, to the sample's tolerance."""
    within = s.tolerance * s.skew * np.sum([length(x) for x in (s.p, s.u, s.q, *others)], axis=0)
    close(actual, expected, column(within, actual))


def ambient(on: Manifold, s: Sample) -> Any:
    """Rows beside the points; a point itself where `project` knows no point near by."""
    x = s.p + s.w / 16
    known = namespace(x).isfinite(on.project(x))
    return namespace(x).where(known, x, s.p)


def grain(on: Manifold, s: Sample, *others: Any) -> np.ndarray:
    """What rounding of coordinates may do to a distance, in the unit of the metric: (rows,)."""
    size = sum(length(x) for x in (s.p, s.q, s.u, *others))
    stretch = np.max([_stretch(on, x, s.w) for x in (s.p, s.q, *others)], axis=0)
    return s.tolerance * size * stretch


def _stretch(on: Manifold, x: Any, w: Any) -> np.ndarray:
    """How long a vector of flat length 1 can be at x: (rows,)."""
    return _lengths(on, x, w)[1]


def _lengths(on: Manifold, x: Any, w: Any) -> np.ndarray:
    """The least and the most length of tangent vectors of flat length 1 at x: (2, rows).

    Those are the axes, projected, their combinations, and where all of them are nearly along one
    line, what is across.
    """
    x, w = on_host(x), on_host(w)
    axes = np.eye(w[0].size)[:32].reshape(-1, *w.shape[1:])
    vectors = [on.to_tangent(x, v) for v in (w, w[::-1], *(0 * w + axis for axis in axes))]
    first, second = vectors[0], vectors[1]
    inside = tuple(range(1, w.ndim))
    share = (first * second).sum(axis=inside) / (second * second).sum(axis=inside)
    across = first - column(share, w) * second
    vectors.append(np.where(column(length(across) > 1e-11 * length(first), w), across, first))
    lengths = [length(v) for v in vectors]
    usable = [size > 1e-9 for size in lengths]
    found = [
        on_host(on.norm(x, v)) / np.where(some, size, 1)
        for v, size, some in zip(vectors, lengths, usable, strict=True)
    ]
    found = [*np.where(usable, found, found[0]), *_extremes(on, x, np.array(vectors[2:-1]))]
    return np.array([np.min(found, axis=0), np.max(found, axis=0)])


def _extremes(on: Manifold, x: np.ndarray, vectors: np.ndarray) -> list[np.ndarray]:
    """The same of all combinations of some tangent vectors (count, *x.shape), as far as these are
    apart: eigenvalues of their inner products, where flat ones are those of the unit matrix."""
    flat = vectors.reshape(*vectors.shape[:2], -1)
    flat = np.einsum("irc,jrc->rij", flat, flat)
    metric = np.moveaxis(on.inner(x, vectors[:, None], vectors[None, :]), -1, 0)
    sizes, turns = np.linalg.eigh(flat)
    apart = sizes > 1e-6 * sizes[:, -1:]
    turns = turns * np.where(apart, 1 / np.sqrt(np.where(apart, sizes, 1)), 0)[:, None, :]
    whitened = np.swapaxes(turns, 1, 2) @ metric @ turns
    values = np.linalg.eigvalsh(whitened)
    # As many of the lowest are 0 as there are combinations that were left out.
    least = np.take_along_axis(values, (~apart).sum(axis=1)[:, None], axis=1)[:, 0]
    return [np.sqrt(np.where(least > 0, least, values[:, -1])), np.sqrt(values[:, -1])]


def pull(on: Manifold, x: Any, w: Any) -> np.ndarray:
    """By how much the projection to the tangent space at x lengthens vectors, 1 at least: (rows,).

    Where it does, it lengthens their rounding as well.
    """
    return np.maximum(1, length(on.to_tangent(x, w)) / length(w))


def length(x: Any) -> np.ndarray:
    """The length of each row, all coordinates taken together: (rows,)."""
    return np.sqrt((on_host(x).reshape(x.shape[0], -1) ** 2).sum(axis=1))


def column(values: np.ndarray, like: Any) -> np.ndarray:
    """(rows,) to multiply rows of points with."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def on_host(x: Any) -> np.ndarray:
    """As float64 in numpy."""
    return np.asarray(to_host(x), dtype=np.float64)
