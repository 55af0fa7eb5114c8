"""A stored result from which another grows: its arrays, and what is known of its inputs."""

from dataclasses import dataclass, field

import numpy as np

from ..errors import StoreError
from ..storage.array import ArraySpec
from ..storage.group import Group
from ..storage.keys import content_key
from .result import Opened
from .sources import Source

Spans = tuple[tuple[int, int], ...]
"""Rows start:stop, in order and apart."""


class DamagedBaseError(StoreError):
    """What a result grows from cannot be read."""


@dataclass(frozen=True)
class Stored(Source):
    """The rows of a stored array, every block compared with its digest."""

    array: ArraySpec
    opened: Opened

    def _rows(self, start: int, stop: int) -> np.ndarray:
        try:
            return self._read(start, stop)
        except StoreError as error:
            raise DamagedBaseError(str(error)) from error

    def _read(self, start: int, stop: int) -> np.ndarray:
        group, rows = self.opened.group(), self.array.rows_per_chunk
        pieces = [np.empty((0, *self.shape[1:]), self.dtype)]
        for block in range(start // rows, -(-stop // rows)):
            first = block * rows
            found = group.read(self.array, block)
            pieces.append(found[max(start - first, 0) : stop - first])
        return np.concatenate(pieces)

    @property
    def travels(self) -> bool:
        return True

    @property
    def access(self) -> frozenset[str]:
        return self.opened.objects.access

    @property
    def chunk_rows(self) -> int:
        return self.array.rows_per_chunk

    @property
    def label(self) -> str:
        return f"{self.opened.objects.url}/{self.opened.path}/{self.array.name}"


@dataclass(frozen=True)
class Base:
    """A stored result for inputs some of whose rows are those of a plan."""

    key: str
    """The name of its content."""
    rows: tuple[int, ...]
    """How many rows its inputs had, those of points one after the other."""
    kept: tuple[Spans, ...]
    """The rows of each that the plan's input has under the same numbers."""
    arrays: dict[str, Stored] = field(compare=False)
    columns: dict[str, Stored] = field(compare=False)
    """Its other inputs, by what they are to the operation."""
    near_limit: int = 0
    """What its report counts of its rows."""

    @property
    def replaced(self) -> bool:
        """Whether it knew rows of points that are not there any more."""
        known = (sum(stop - start for start, stop in spans) for spans in self.kept)
        return any(rows > same for rows, same in zip(self.rows, known, strict=True))


def base_key(group: Group) -> str:
    """The name of what a complete group holds."""
    return content_key({part: group.body[part] for part in ("spec", "manifest")})


def stored(group: Group) -> dict[str, Stored]:
    """The arrays of a complete group."""
    opened = Opened.of(group)
    return {
        name: Stored(array.shape, np.dtype(array.dtype), array, opened)
        for name, array in group.arrays.items()
        if name in group.body["manifest"]
    }


def gaps(spans: Spans, start: int, stop: int) -> list[tuple[int, int]]:
    """The rows of start:stop that are in none of the spans."""
    found = []
    for first, last in (*spans, (stop, stop)):
        if start < min(first, stop):
            found.append((start, min(first, stop)))
        start = max(start, last)
    return found
