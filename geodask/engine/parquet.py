"""Parquet and Arrow files as rows and ids: slices are read from the row groups they lie in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..errors import PointShapeError, StoreError
from .ipc import IPC_SUFFIXES, ipc_batch, ipc_layout
from .sources import Source, file_state, reading

KEPT_GROUPS = 4
"""Decoded row groups that a process keeps: slices of rows do not end where row groups do."""


@dataclass(frozen=True)
class Table(Source):
    """Columns of files, one after the other; the footers tell where row groups begin."""

    files: tuple[str, ...] = field(repr=False)
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
        path, number = self.files[self.groups[i, 0]], int(self.groups[i, 1])
        rows = int(self.groups[i, 2] - (self.groups[i - 1, 2] if i else 0))
        with reading(f"{path}, row group {number},"):
            state = tuple(file_state(Path(path)))
            with _turn(path, number, self.columns):
                found = _decoded(path, state, number, self.columns, self.decode, self.shape[1:])
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
    def chunk_rows(self) -> int:
        return int(np.diff(self.groups[:, 2], prepend=0).max(initial=1))

    @property
    def decoded_bytes(self) -> int:
        return KEPT_GROUPS * super().decoded_bytes

    def fingerprint(self) -> list[Any]:
        with reading(self.label):
            return [file_state(Path(path)) for path in self.files]

    @property
    def name(self) -> Any:
        return ["parquet", list(self.columns), list(self.files)]

    @property
    def label(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{next(iter(self.files))}{more}"


def first_length(path: str, group: int, column: str) -> int:
    """The length of the first list of a row group. Raises PointShapeError where it is null."""
    from pyarrow import compute

    functions: Any = compute  # they are made when it is imported, unseen by type checkers
    with reading(path):
        if path.endswith(IPC_SUFFIXES):
            first = ipc_batch(path, tuple(file_state(Path(path))), group, (column,))
        else:
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                batches = file.iter_batches(1, row_groups=[group], columns=[column])
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
    path: str, state: Any, group: int, columns: tuple[str, ...], decode: Any, shape: Any
) -> np.ndarray:
    """The rows of a row group, read-only."""
    if path.endswith(IPC_SUFFIXES):
        table = ipc_batch(path, state, group, columns)
    else:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path, metadata=_footer(path, state)) as file:
            table = file.read_row_group(group, columns=list(columns), use_threads=False)
    found = decode(table.select(list(columns)), shape, f"{path}, row group {group}")
    found.flags.writeable = False
    return found


def layout_of(path: str, state: Any) -> tuple[Any, list[int]]:
    """The schema, and the rows of each row group or record batch."""
    if path.endswith(IPC_SUFFIXES):
        return ipc_layout(path, state)
    footer = _footer(path, state)
    rows = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
    return footer.schema.to_arrow_schema(), rows


@lru_cache(maxsize=1024)
def _footer(path: str, state: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.read_metadata(path)
