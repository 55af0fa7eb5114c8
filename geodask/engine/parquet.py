"""Parquet and Arrow files as rows and ids: slices are read from the row groups they lie in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from ..errors import PointShapeError, StoreError
from .files import Files
from .ipc import IPC_SUFFIXES, ipc_batch, ipc_layout
from .sources import Source, reading

KEPT_GROUPS = 4
"""Decoded row groups that a process keeps: slices of rows do not end where row groups do."""


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
        stop = min(stop, self.shape[0])
        pieces, ends = [np.empty((0, *self.shape[1:]), self.dtype)], self.groups[:, 2]
        while start < stop:
            i = int(np.searchsorted(ends, start, "right"))
            first = int(ends[i - 1]) if i else 0
            pieces.append(self._group(i)[start - first : stop - first])
            start += len(pieces[-1])
        return pieces[1] if len(pieces) == 2 else np.concatenate(pieces)

    def _group(self, i: int) -> np.ndarray:
        path, number = self.paths[self.groups[i, 0]], int(self.groups[i, 1])
        rows = int(self.groups[i, 2] - (self.groups[i - 1, 2] if i else 0))
        with reading(f"{path}, row group {number},"):
            file = File(self.files, path, tuple(self.files.state(path)))
            with _turn(path, number, self.columns):
                found = _decoded(file, number, self.columns, self.decode, self.shape[1:])
        if found.dtype != self.dtype or len(found) != rows:
            raise StoreError(
                f"{path}, row group {number}, must have {rows} rows of {self.dtype}",
                came=f"{len(found)} of {found.dtype} came",
                do="Open the files again with gd.points.",
            )
        return found

    @property
    def travels(self) -> bool:
        return True

    @property
    def access(self) -> frozenset[str]:
        return self.files.access

    @property
    def chunk_rows(self) -> int:
        return int(np.diff(self.groups[:, 2], prepend=0).max(initial=1))

    @property
    def decoded_bytes(self) -> int:
        return KEPT_GROUPS * super().decoded_bytes

    def fingerprint(self) -> list[Any]:
        with reading(self.label):
            return self.files.states(list(self.paths))

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


@lru_cache(maxsize=KEPT_GROUPS)
def _decoded(
    file: File, group: int, columns: tuple[str, ...], decode: Any, shape: Any
) -> np.ndarray:
    """The rows of a row group, read-only."""
    if file.is_ipc:
        table = ipc_batch(file, group, columns)
    else:
        import pyarrow.parquet as pq

        with file.opened() as there, pq.ParquetFile(there, metadata=_footer(file)) as parquet:
            table = parquet.read_row_group(group, columns=list(columns), use_threads=False)
    found = decode(table.select(list(columns)), shape, f"{file.path}, row group {group}")
    found.flags.writeable = False
    return found


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
