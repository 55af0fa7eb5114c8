"""Rows made of the rows of other sources: projected, selected, joined."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..manifolds.base import Manifold
from ..storage.keys import digest
from .selection import Rows, as_index, gather, pick
from .sources import Memory, Source

PROJECTED_ROWS = 4096


@dataclass(frozen=True)
class Derived(Source):
    """Each row made of that row of another source."""

    base: Source

    @abstractmethod
    def convert(self, rows: np.ndarray) -> np.ndarray:
        """Rows of this source, of those of its base."""

    @property
    @abstractmethod
    def conversion(self) -> Any:
        """JSON that tells one conversion from another."""

    def _rows(self, start: int, stop: int) -> np.ndarray:
        return self.convert(self.base.read(start, stop))

    def pieces(self, start: int, stop: int) -> Iterator[np.ndarray]:
        return map(self.convert, self.base.pieces(start, stop))

    @property
    def travels(self) -> bool:
        return self.base.travels

    @property
    def access(self) -> frozenset[str]:
        return self.base.access

    @property
    def computed(self) -> bool:
        return self.base.computed

    @property
    def chunk_rows(self) -> int:
        return self.base.chunk_rows

    @property
    def chunk(self) -> tuple[int, str]:
        return self.base.chunk

    def cuts(self, rows: int) -> list[int]:
        return self.base.cuts(rows)

    def place(self, row: int) -> str:
        return self.base.place(row)

    @property
    def decoded_bytes(self) -> int:
        return self.base.decoded_bytes + super().decoded_bytes

    def fingerprint(self) -> list[Any] | None:
        return self.base.fingerprint()

    @property
    def name(self) -> Any:
        return self.base.name and ["derived", self.base.name, self.conversion]

    @property
    def label(self) -> str:
        return self.base.label

    def to_dask(self) -> Any:
        return self.base.to_dask().map_blocks(
            self.convert, dtype=self.dtype, meta=np.empty((0,) * len(self.shape), self.dtype)
        )


@dataclass(frozen=True)
class Projected(Derived):
    """The points nearest to the rows of another source, in its dtype."""

    manifold: Manifold

    def convert(self, rows: np.ndarray) -> np.ndarray:
        return project_rows(self.manifold, rows)

    @property
    def conversion(self) -> Any:
        return ["projected", self.manifold.to_spec()]

    @property
    def computed(self) -> bool:
        return True  # once for all is cheaper than for each task


def project_rows(manifold: Manifold, rows: np.ndarray) -> np.ndarray:
    """The nearest points; a row that has none stays as it is, for the check to name."""
    out = np.empty_like(rows)
    for start in range(0, len(rows), PROJECTED_ROWS):
        part = rows[start : start + PROJECTED_ROWS]
        found = manifold.project(part.astype(np.float64)).astype(rows.dtype)
        lost = ~np.isfinite(found).reshape(len(part), -1).all(axis=1)
        found[lost] = part[lost]
        out[start : start + PROJECTED_ROWS] = found
    return out


@dataclass(frozen=True)
class Selected(Source):
    """Some rows of another source, in any order."""

    base: Source
    rows: Rows = field(repr=False, compare=False)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        return gather(self.base.read, self.rows[start:stop], self.base.chunk_rows)

    @property
    def travels(self) -> bool:
        return self.base.travels and isinstance(self.rows, range)

    @property
    def access(self) -> frozenset[str]:
        return self.base.access

    @property
    def computed(self) -> bool:
        return self.base.computed

    def fingerprint(self) -> list[Any] | None:
        return self.base.fingerprint()

    @property
    def name(self) -> Any:
        rows = self.rows
        which = [rows.start, rows.stop, rows.step] if isinstance(rows, range) else digest(rows)
        return self.base.name and ["selected", self.base.name, which]

    def place(self, row: int) -> str:
        return f"row {row}, which is {self.base.place(int(self.rows[row]))}"

    @property
    def decoded_bytes(self) -> int:
        return self.base.decoded_bytes

    @property
    def label(self) -> str:
        return f"selected rows of {self.base.label}"

    def to_dask(self) -> Any:
        return self.base.to_dask()[as_index(self.rows)]


def selected(source: Source, rows: Rows) -> Source:
    """Some rows of a source: of one in memory an array, of a selection one of its base."""
    if isinstance(source, Selected):
        return selected(source.base, pick(source.rows, rows))
    shape = (len(rows), *source.shape[1:])
    if isinstance(source, Memory):
        return Memory(shape, source.dtype, source.values[as_index(rows)])
    return Selected(shape, source.dtype, source, rows)


@dataclass(frozen=True)
class Joined(Source):
    """Several sources, one after the other."""

    parts: tuple[Source, ...]

    def _rows(self, start: int, stop: int) -> np.ndarray:
        pieces, offset = [np.empty((0, *self.shape[1:]), self.dtype)], 0
        for part in self.parts:
            low, high = max(start - offset, 0), min(stop - offset, part.shape[0])
            if low < high:
                pieces.append(part.read(low, high))
            offset += part.shape[0]
        return np.concatenate(pieces).astype(self.dtype, copy=False)

    @property
    def access(self) -> frozenset[str]:
        return frozenset[str]().union(*(part.access for part in self.parts))

    @property
    def computed(self) -> bool:
        return any(part.computed for part in self.parts)

    def fingerprint(self) -> list[Any] | None:
        found = [part.fingerprint() for part in self.parts]
        known = [each for each in found if each is not None]
        return [entry for each in known for entry in each] if known else None

    @property
    def name(self) -> Any:
        names = [part.name for part in self.parts]
        return None if None in names else ["joined", *names]

    def place(self, row: int) -> str:
        ends = np.cumsum([part.shape[0] for part in self.parts])
        i = int(np.searchsorted(ends, row, "right"))
        inside = row - int(ends[i]) + self.parts[i].shape[0]
        return f"row {row}, which is {self.parts[i].place(inside)}"

    @property
    def decoded_bytes(self) -> int:
        return max((part.decoded_bytes for part in self.parts), default=0)

    @property
    def label(self) -> str:
        return " + ".join(part.label for part in self.parts)

    def to_dask(self) -> Any:
        import dask.array as da

        return da.concatenate([part.to_dask().astype(self.dtype) for part in self.parts])
