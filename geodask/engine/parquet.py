"""Parquet files as rows of numbers and names: each slice is read from the row groups it lies in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..errors import PointShapeError, SpecError, StoreError
from .arrow import decode_columns, decode_ids, decode_lists, ids_dtype, rows_type
from .sources import Source, file_state, reading

MAGIC = set("*?[")
SUFFIXES = (".parquet", ".pq")
KEPT_GROUPS = 4
"""Decoded row groups that a process keeps: slices of rows do not end where row groups do."""


@dataclass(frozen=True)
class Parquet(Source):
    """Columns of Parquet files, one file after the other; row groups are found by their footers."""

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


def parquet_files(path: str) -> list[str]:
    """The Parquet files of a path, a folder or a pattern, sorted; none where it is another."""
    where = Path(path).expanduser().absolute()
    if where.is_dir():
        if any((where / name).exists() for name in ("zarr.json", ".zarray", ".zgroup")):
            return []
        inside = (each.relative_to(where) for each in where.rglob("*.parquet"))
        return sorted(str(where / each) for each in inside if not _hidden(each))
    if MAGIC & set(path) and not where.exists():
        found = Path(where.anchor).glob(str(where.relative_to(where.anchor)))
        return sorted(str(each) for each in found if each.suffix in SUFFIXES)
    return [str(where)] if where.suffix in SUFFIXES and where.is_file() else []


def _hidden(path: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.parts)


def open_parquet(
    files: list[str], column: str | Sequence[str] | None, ids: str | None
) -> tuple[Source, Source | None]:
    """The rows and the ids in some files of one schema.

    Raises SpecError where a column is not there or its type differs between files, and StoreError
    where a file cannot be read, with the file.
    """
    if column is None:
        raise SpecError(
            "Parquet files have columns", came="none was named", do='Pass column="embedding".'
        )
    columns = (column,) if isinstance(column, str) else tuple(column)
    types, table = _footers(files, (*columns, *([] if ids is None else [ids])))
    end, where = int(table[-1, 2]) if len(table) else 0, (tuple(files), columns, table)
    kinds = [rows_type(files[0], each, types[each]) for each in columns]
    dtype, width = kinds[0]
    if isinstance(column, str):
        if width is None:
            width = _first_length(files[table[0, 0]], int(table[0, 1]), column) if end else 0
        source = Parquet((end, width), dtype, *where, decode_lists)
    elif kinds == [(dtype, 1)] * len(columns):
        source = Parquet((end, len(columns)), dtype, *where, decode_columns)
    else:
        raise SpecError(
            "Columns that make a row hold numbers of one type",
            came=f"{', '.join(f'{each}: {types[each]}' for each in columns)} came",
            do="Convert them, or pass one column of lists.",
        )
    if ids is None:
        return source, None
    dtype = ids_dtype(files[0], ids, types[ids])
    return source, Parquet((end,), dtype, tuple(files), (ids,), table, decode_ids)


def _footers(files: list[str], wanted: Sequence[str]) -> tuple[dict[str, Any], np.ndarray]:
    """The types of some columns, and the row groups that are not empty as `Parquet` has them."""
    types, groups, end = {}, [], 0
    for position, path in enumerate(files):
        with reading(path):
            footer = _footer(path, tuple(file_state(Path(path))))
        types = _same_types(path, footer.schema.to_arrow_schema(), wanted, types)
        for number in range(footer.num_row_groups):
            if footer.row_group(number).num_rows:
                end += footer.row_group(number).num_rows
                groups.append((position, number, end))
    return types, np.array(groups, np.int64).reshape(-1, 3)


def filtered_rows(files: list[str], filters: Any) -> np.ndarray:
    """The numbers of the rows that pass ``filters``, as pyarrow.parquet has them."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    test = filters if isinstance(filters, pc.Expression) else pq.filters_to_expression(filters)
    kept, end = [np.empty(0, np.int64)], 0
    for path in files:
        with reading(path):
            scanner = ds.dataset(path, format="parquet").scanner(columns={"passed": test})
            for batch in scanner.to_batches():
                passed = batch.column(0).fill_null(False).to_numpy(zero_copy_only=False)
                kept.append(end + np.flatnonzero(passed))
                end += len(batch)
    return np.concatenate(kept)


def _same_types(
    path: str, schema: Any, wanted: Sequence[str], types: dict[str, Any]
) -> dict[str, Any]:
    for each in wanted:
        if each not in schema.names:
            raise SpecError(
                f"{path} must have a column {each!r}",
                came=f"it has {', '.join(schema.names)}",
                do="Pass the name of one of these.",
            )
        if types and schema.field(each).type != types[each]:
            raise SpecError(
                f"Column {each!r} must have one type in all files",
                came=f"in {path} it is {schema.field(each).type}, in those before {types[each]}",
                do="Convert this file, or leave it out.",
            )
    return {each: schema.field(each).type for each in wanted}


def _first_length(path: str, group: int, column: str) -> int:
    import pyarrow.parquet as pq

    with reading(path), pq.ParquetFile(path) as file:
        batches = file.iter_batches(1, row_groups=[group], columns=[column])
        first = next(each for each in batches if len(each))
    length = first.column(0).value_lengths()[0].as_py()
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
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, metadata=_footer(path, state)) as file:
        table = file.read_row_group(group, columns=list(columns), use_threads=False)
    found = decode(table.select(list(columns)), shape, f"{path}, row group {group}")
    found.flags.writeable = False
    return found


@lru_cache(maxsize=1024)
def _footer(path: str, state: Any) -> Any:
    import pyarrow.parquet as pq

    return pq.read_metadata(path)
