"""Names of rows: strings or integers, kept beside the points and read a block at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import PointShapeError
from .derived import Joined, selected
from .selection import Rows, gather
from .sources import Memory, Source

ID_ROWS = 1 << 16
"""Ids of a stored chunk, and of a block that is read at once."""


@dataclass(frozen=True, eq=False)
class Ids:
    """The names of n rows, where they are stored: none is in memory before it is read.

    ``np.asarray(ids)`` and ``list(ids)`` hold them all.
    """

    source: Source
    """Of shape (n,) and dtype int64, uint64, or object for strings of any length."""

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def dtype(self) -> np.dtype:
        """int64, uint64, or object for strings."""
        return self.source.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """The ids of rows start:stop."""
        return self.source.read(start, stop)

    def take(self, rows: Any) -> np.ndarray:
        """The ids of some rows, by their numbers from 0 on, in the order given."""
        return gather(self.read, np.asarray(rows, np.int64), max(ID_ROWS, self.source.chunk_rows))

    def select(self, rows: Rows) -> "Ids":
        """The ids of some rows; nothing is read."""
        return Ids(selected(self.source, rows))

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All ids in turn, as (first row, ids)."""
        step = max(1, self.source.chunk_rows // ID_ROWS) * ID_ROWS
        for start in range(0, len(self), step):
            yield start, self.read(start, min(start + step, len(self)))

    def __iter__(self) -> Iterator[Any]:
        return (each for _, names in self.blocks() for each in names.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.read(0, len(self)).astype(dtype or self.dtype, copy=bool(copy))

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self.read(0, 3).tolist()))
        return f"<Ids of {len(self)} rows: {shown}{', ...' if len(self) > 3 else ''}>"


def as_ids(ids: Any) -> Ids:
    """Ids of strings or integers, one a row; PointShapeError for others."""
    if isinstance(ids, Ids):
        return ids
    values = np.asarray(ids)
    if values.dtype.kind == "U" and not isinstance(ids, np.ndarray):
        values = np.asarray(ids, object)  # numpy's own strings lose zeros at their end
    if values.shape == (0,) and values.dtype.kind not in "iuUT":
        values = values.astype(object if values.dtype.kind == "O" else np.int64)
    text = values.dtype.kind in "UT" or (
        values.dtype.kind == "O" and all(isinstance(each, str) for each in values.flat)
    )
    if values.ndim != 1 or not (text or values.dtype.kind in "iu"):
        raise PointShapeError(
            "ids are strings or integers, one a row",
            came=f"an array {values.shape} of {values.dtype} came, or names that are missing",
            do="Convert them to strings.",
        )
    if text:
        values = values.astype(object)
        if any(each.endswith("\0") or not _encodes(each) for each in values):
            raise PointShapeError(
                "ids are text that UTF-8 can hold, without a zero at the end, but others came. "
                "Rename them."
            )
    else:
        values = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
    return Ids(Memory(values.shape, values.dtype, values))


def _encodes(name: str) -> bool:
    return name.isascii() or name == name.encode(errors="replace").decode()


def join_ids(parts: list[Ids]) -> Ids:
    """The ids of several, which are of one dtype, one after the other."""
    shape = (sum(map(len, parts)),)
    return Ids(Joined(shape, parts[0].dtype, tuple(part.source for part in parts)))
