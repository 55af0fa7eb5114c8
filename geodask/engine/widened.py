"""Numbers stored in two bytes or one, as the float32 that they stand for."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import PointShapeError, SpecError
from ..storage.keys import digest
from .derived import Derived
from .sources import Memory, Source

SCALED = ("int8", "uint8", "int16", "uint16")
"""Integers that float32 holds exactly."""


@dataclass(frozen=True)
class Bfloat16(Derived):
    """The upper halves of float32, stored as uint16: no digit is added or lost."""

    def convert(self, rows: np.ndarray) -> np.ndarray:
        return (rows.astype(np.uint32) << 16).view(np.float32)

    @property
    def conversion(self) -> Any:
        return "bfloat16"


@dataclass(frozen=True)
class Scaled(Derived):
    """Integers times a scale, rounded once to float32."""

    scale: np.ndarray = field(repr=False, compare=False)
    """float32, of shape () or one a coordinate."""

    def convert(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.float32) * self.scale

    @property
    def conversion(self) -> Any:
        return ["scaled", digest(np.ascontiguousarray(self.scale))]


def widened(source: Source, dtype: Any, scale: Any) -> Source:
    """The numbers that a source's stand for, where ``dtype`` or ``scale`` say what that is.

    Raises SpecError where the stored dtype cannot mean it, PointShapeError for other scales.
    """
    if dtype is None and scale is None:
        return source
    found: Derived
    if scale is None:
        _check(str(dtype) == "bfloat16", f"dtype={dtype!r}", 'dtype="bfloat16"', source)
        _check(source.dtype == np.uint16, "dtype=", "rows of uint16", source)
        found = Bfloat16(source.shape, np.dtype(np.float32), source)
    else:
        _check(dtype is None, "scale=", "no dtype beside it", source)
        _check(source.dtype.name in SCALED, "scale=", f"rows of {', '.join(SCALED)}", source)
        found = Scaled(source.shape, np.dtype(np.float32), source, _scale(scale, source))
    if isinstance(source, Memory):
        return Memory(found.shape, found.dtype, found.convert(source.values))
    return found


def _scale(scale: Any, source: Source) -> np.ndarray:
    try:
        found = np.asarray(scale, np.float32)
    except (TypeError, ValueError):
        found = np.full((), np.nan, np.float32)
    if found.shape not in ((), source.shape[1:]) or not np.isfinite(found).all():
        raise PointShapeError(
            f"A scale is a finite number, or one a coordinate: shape {source.shape[1:]}",
            came=f"shape {found.shape} came" if found.ndim else f"{scale!r} came",
            do="Multiply rows by scales of their own before they are stored.",
        )
    return found


def _check(holds: bool, what: str, needs: str, source: Source) -> None:
    if not holds:
        raise SpecError(
            f"{what} needs {needs}",
            came=f"{source.label} is {source.dtype}",
            do="Leave it out, or convert the rows.",
        )
