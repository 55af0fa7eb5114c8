"""Parquet and Arrow files as rows and ids: slices are read from the row groups they lie in.

Small row groups are decoded whole and kept for the next slice. In large ones every thread reads on
from where it was: whole, one may take six times the memory of its rows while it is decoded.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock, local
from typing import Any

import numpy as np

from ..errors import PointShapeError, StoreError
from .files import Files
from .ipc import IPC_SUFFIXES, ipc_batch, ipc_layout
from .sources import Source, reading

SMALL_BYTES = 16 << 20
"""A row group up to this size is decoded whole."""
BATCH_BYTES = 4 << 20
"""What is decoded of a larger one at once: some caches hold it until it is used."""
LEAST_ROW_BYTES = 64
KEPT_GROUPS = 4
"""Small row groups, decoded, that a process keeps: slices of rows do not end where they do."""
KEPT_READERS = 2
"""Tables whose large row groups a thread may read by turns."""


@dataclass(frozen=True)
class Table(Source):
    """Columns of files, one after the other; the footers tell where row groups begin."""

    files: Files
    paths: tuple[str, ...] = field(repr=False)
    columns: tuple[str, ...]
    groups: np.ndarray = field(repr=False, compare=False)
    """(row groups, 3): number of the file, of the row group in it, and of the row after its last"""
    decode: Callable[..., np.ndarray] = field(repr=False, compare=False)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        pieces = [np.empty((0, *self.shape[1:]), self.dtype), *self.pieces(start, stop)]
        return pieces[1] if len(pieces) == 2 else np.concatenate(pieces)

    def pieces(self, start: int, stop: int) -> Iterator[np.ndarray]:
        ends, stop = self.groups[:, 2], min(stop, self.shape[0])
        while start < stop:
            i = int(np.searchsorted(ends, start, "right"))
            first = int(ends[i - 1]) if i else 0
            yield from self._group(i, start - first, min(stop, int(ends[i])) - first)
            start = int(ends[i])

    def _group(self, i: int, low: int, high: int) -> list[np.ndarray]:
        """Some rows of a row group, in pieces."""
        path, number = self.paths[self.groups[i, 0]], int(self.groups[i, 1])
        rows = int(self.groups[i, 2] - (self.groups[i - 1, 2] if i else 0))
        with reading(f"{path}, row group {number},"):
            file = File(self.files, path, tuple(self.files.recent_state(path)))
            group = RowGroup(file, number, self.columns, self.decode, self.shape[1:])
            if rows > self._rows_in(SMALL_BYTES) and not file.is_ipc:
                table = self.paths[0], self.columns
                found = _readers.of(table, group, self._rows_in(BATCH_BYTES)).read(low, high)
            else:
                with _turn(path, number, self.columns):
                    whole = group.decoded()
                found = [whole[low:high]] if len(whole) == rows else []
        if sum(map(len, found)) != high - low or any(each.dtype != self.dtype for each in found):
            raise StoreError(
                f"{path}, row group {number}, must have {rows} rows of {self.dtype}",
                came="others came",
                do="Open the files again with gd.points.",
            )
        return found

    def _rows_in(self, nbytes: int) -> int:
        return max(1, nbytes // max(LEAST_ROW_BYTES, self.row_bytes))

    @property
    def travels(self) -> bool:
        return True

    @property
    def access(self) -> frozenset[str]:
        return self.files.access

    @property
    def chunk_rows(self) -> int:
        longest = int(np.diff(self.groups[:, 2], prepend=0).max(initial=1))
        return min(longest, self._rows_in(SMALL_BYTES))

    @property
    def chunk(self) -> tuple[int, str]:
        longest = int(np.diff(self.groups[:, 2], prepend=0).max(initial=0))
        return longest * self.row_bytes, "Parquet or Arrow"

    def cuts(self, rows: int) -> list[int]:
        ends, found = self.groups[:, 2], [0]
        while found[-1] < self.shape[0]:
            found.append(int(ends[min(np.searchsorted(ends, found[-1] + rows), len(ends) - 1)]))
        return found[:-1]

    @property
    def decoded_bytes(self) -> int:
        return KEPT_GROUPS * super().decoded_bytes + self.files.buffer

    def fingerprint(self) -> list[Any]:
        with reading(self.label):
            return self.files.states(list(self.paths))

    def place(self, row: int) -> str:
        i = int(np.searchsorted(self.groups[:, 2], row, "right"))
        first = int(self.groups[i - 1, 2]) if i else 0
        path, number = self.paths[self.groups[i, 0]], self.groups[i, 1]
        return f"row {row} ({path}, row group {number}, row {row - first})"

    @property
    def name(self) -> Any:
        return ["parquet", list(self.columns), list(self.paths)]

    @property
    def label(self) -> str:
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{next(iter(self.paths))}{more}"


@dataclass(frozen=True)
class File:
    """A file as it was when its state was taken: what is read of it is kept under all three."""

    files: Files
    path: str
    state: tuple[Any, ...]

    @property
    def is_ipc(self) -> bool:
        return self.path.endswith(IPC_SUFFIXES)

    def opened(self) -> Any:
        """A context with what pyarrow reads."""
        return self.files.opened(self.path)


def first_length(files: Files, path: str, group: int, column: str) -> int:
    """The length of the first list of a row group. Raises PointShapeError where it is null."""
    from pyarrow import compute

    functions: Any = compute  # they are made when it is imported, unseen by type checkers
    with reading(path):
        file = File(files, path, tuple(files.state(path)))
        if file.is_ipc:
            first = ipc_batch(file, group, (column,))
        else:
            import pyarrow.parquet as pq

            with file.opened() as there, pq.ParquetFile(there) as parquet:
                batches = parquet.iter_batches(1, row_groups=[group], columns=[column])
                first = next(each for each in batches if len(each))
    length = functions.list_value_length(first.column(0)[:1])[0].as_py()
    if length is None:
        raise PointShapeError(
            f"Rows of column {column!r} are lists",
            came=f"in {path}, row group {group}, row 0 is null",
            do="Drop such rows, or pass filters=... that leave them out.",
        )
    return length


@lru_cache(maxsize=64)
def _turn(path: str, group: int, columns: tuple[str, ...]) -> Lock:
    """A second thread that needs a row group waits for the first, and finds it decoded."""
    return Lock()


@dataclass(frozen=True)
class RowGroup:
    """Some columns of a row group, and what makes rows of them."""

    file: File
    number: int
    columns: tuple[str, ...]
    decode: Callable[..., np.ndarray]
    shape: tuple[int, ...]

    @lru_cache(maxsize=KEPT_GROUPS)  # noqa: B019 (values, and few)
    def decoded(self) -> np.ndarray:
        """All of its rows, read-only."""
        if self.file.is_ipc:
            return self.rows(ipc_batch(self.file, self.number, self.columns), 0)
        import pyarrow.parquet as pq

        columns = list(self.columns)
        with (
            self.file.opened() as there,
            pq.ParquetFile(there, metadata=_footer(self.file)) as parquet,
        ):
            table = parquet.read_row_group(self.number, columns=columns, use_threads=False)
        return self.rows(table, 0)

    def rows(self, table: Any, first: int) -> np.ndarray:
        """Those of a part of it that begins with row ``first``."""
        place = f"{self.file.path}, row group {self.number}"
        found = self.decode(table.select(list(self.columns)), self.shape, place, first)
        found.flags.writeable = False
        return found


class Reader:
    """A row group from its first row on, a batch at a time; one that goes back begins again."""

    def __init__(self, group: RowGroup, batch_rows: int):
        self.group, self._batch_rows = group, batch_rows
        self._open = ExitStack()
        self._begin()

    def read(self, low: int, high: int) -> list[np.ndarray]:
        """The rows low:high in pieces; fewer where there are fewer."""
        if low < self._first:
            self._begin()
        pieces = []
        while low < high:
            end = self._first + len(self._rows)
            if low < end:
                pieces.append(self._rows[low - self._first : high - self._first])
                low = min(high, end)
            elif not self._next(end):
                break
        return pieces

    def _begin(self) -> None:
        import pyarrow.parquet as pq

        self._open.close()
        file, number = self.group.file, self.group.number
        there = self._open.enter_context(file.opened())
        parquet = self._open.enter_context(
            # Without a buffer, and with what pyarrow calls one, all of a column is read at once.
            pq.ParquetFile(
                there, metadata=_footer(file), buffer_size=file.files.buffer, pre_buffer=False
            )
        )
        self._batches = parquet.iter_batches(
            self._batch_rows, row_groups=[number], columns=list(self.group.columns),
            use_threads=False,
        )  # fmt: skip
        self._first, self._rows = 0, np.empty(0)

    def _next(self, first: int) -> bool:
        import pyarrow as pa

        batch = next(self._batches, None)
        if batch is not None:
            table = pa.Table.from_batches([batch])
            self._first, self._rows = first, self.group.rows(table, first)
        return batch is not None


class Readers(local):
    """Those of a thread, which no other one moves; they go with it."""

    def __init__(self) -> None:
        self._kept: dict[Any, Reader] = {}

    def of(self, table: Any, group: RowGroup, batch_rows: int) -> Reader:
        """That of a row group, after which no other one of its table is kept."""
        found = self._kept.pop(table, None)
        while len(self._kept) >= KEPT_READERS:
            del self._kept[next(iter(self._kept))]
        if found is None or found.group != group:
            found = None  # before the next one takes its memory
            found = Reader(group, batch_rows)
        self._kept[table] = found
        return found


_readers = Readers()


def layout_of(file: File) -> tuple[Any, list[int]]:
    """The schema, and the rows of each row group or record batch."""
    if file.is_ipc:
        return ipc_layout(file)
    footer = _footer(file)
    rows = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    return footer.schema.to_arrow_schema(), rows


@lru_cache(maxsize=1024)
def _footer(file: File) -> Any:
    import pyarrow.parquet as pq

    with file.opened() as there:
        return pq.read_metadata(there)
