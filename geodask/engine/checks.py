"""Checks of rows a user hands over: shape, and whether they are points of the manifold."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import NotOnManifoldError, PointShapeError
from ..manifolds.base import Manifold
from .sources import Source

if TYPE_CHECKING:
    from .points import Points

FLOATS = ("float16", "float32", "float64")
CHECKED_BYTES = 2 << 20
"""Rows checked at once: what is computed of them fits in a cache."""
SAMPLED = 101
"""With ``validate: sample`` one row in so many is checked."""


def check_source(source: Source, manifold: Manifold) -> None:
    """Raises PointShapeError where rows cannot be points by their shape or dtype."""
    shape = manifold.point_shape
    if source.dtype.kind == "c":
        raise PointShapeError(
            f"Points are stored as {', '.join(FLOATS)}",
            came=f"{source.label} is {source.dtype}",
            do="Take what is real, such as array.real.astype('float32'); of Hermitian matrices "
            "np.stack([array.real, array.imag], axis=1), for spaces such as gd.HPDAffineInvariant.",
        )
    if source.shape[1:] != shape or len(source.shape) != 1 + len(shape):
        raise PointShapeError(
            f"{manifold} has points of shape {shape}",
            came=f"{source.label} has shape {source.shape}",
            do=_shape_advice(manifold, source.shape),
        )
    if source.dtype.name not in FLOATS:
        raise PointShapeError(
            f"Points are stored as {', '.join(FLOATS)}",
            came=f"{source.label} is {source.dtype}",
            do="Convert it, such as with array.astype('float32'); or say what integers stand for "
            'by scale=..., or dtype="bfloat16".',
        )


def check_rows(x: "Points", rows: np.ndarray, first: int, validate: str) -> None:
    """Raises NotOnManifoldError where rows in memory, numbered from ``first``, are not points."""
    if validate == "none":
        return
    stride = SAMPLED if validate == "sample" else 1
    rows = rows[::stride]
    step = max(1, CHECKED_BYTES // max(1, x.row_bytes))
    parts = (rows[low : low + step] for low in range(0, len(rows), step))
    codes = np.concatenate([np.zeros(0, np.int8), *map(x.manifold.complaints, parts)])
    bad = np.flatnonzero(codes)
    if len(bad) == 0:
        return
    texts = x.manifold.complaint_texts
    places = (x.source.place(first + int(i) * stride) for i in bad[:5])
    named = ", ".join(
        f"{place} {texts[int(codes[i])]}" for i, place in zip(bad, places, strict=False)
    )
    raise NotOnManifoldError(
        f"Rows must be points of {x.manifold}",
        came=f"in {x.source.label} {named}{' and more' if len(bad) > 5 else ''}",
        do=_advice(x.manifold, {int(code) for code in codes[bad]}),
    )


def _advice(manifold: Manifold, codes: set[int]) -> str:
    known = sorted(codes & set(manifold.remedies))
    if known:
        others = "" if len(known) == len(codes) else " Correct or drop the others."
        return " ".join(manifold.remedies[code] for code in known) + others
    if codes <= manifold.mended_by_project:
        return "Correct or drop these rows, or pass project=True to take the nearest points."
    if manifold.mended_by_project:
        return "Correct or drop these rows; project=True mends lengths, not these."
    return "Correct or drop these rows."


def _shape_advice(manifold: Manifold, shape: tuple[int, ...]) -> str:
    if len(shape) != 2 or len(manifold.point_shape) != 1:
        sides = ", ".join(map(str, ("rows", *manifold.point_shape)))
        other = f", or in a table {manifold.size} numbers a row"
        return f"Pass an array of shape ({sides}){other if len(manifold.point_shape) > 1 else ''}."
    own = f"{type(manifold).__name__}({shape[1]})" if _resizes(manifold, shape[1]) else ""
    return f"Pass {own or f'rows of {manifold.size} numbers'}, or select the columns."


def _resizes(manifold: Manifold, width: int) -> bool:
    """Whether there is such a space with points of so many numbers."""
    try:
        return replace(manifold, n=width).point_shape == (width,)
    except ValueError:  # n is no field of its own, or too small or too large
        return False
