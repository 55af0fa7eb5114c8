"""Tables that a user names by a path: their files, columns and types, and the rows that pass."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import SpecError
from .arrow import (
    check_column,
    decode_columns,
    decode_ids,
    decode_lists,
    ids_dtype,
    named_columns,
    row_shape,
    rows_type,
)
from .files import Files, Local
from .ipc import IPC_SUFFIXES, ipc_files
from .parquet import File, Table, first_length, layout_of
from .sources import Source, reading

MAGIC = set("*?[")
SUFFIXES = (".parquet", ".pq", *IPC_SUFFIXES)


def table_files(files: Files, path: str) -> list[str]:
    """Parquet or Arrow files of a path, a folder or a pattern, sorted; none where it is another."""
    if MAGIC & set(path) and not files.exists(path):
        return [each for each in files.matching(path) if each.endswith(SUFFIXES)]
    if path.endswith(SUFFIXES) and not files.is_folder(path):
        return [path] if files.exists(path) else []
    if not files.is_folder(path):
        return []
    if any(files.exists(f"{path}/{name}") for name in ("zarr.json", ".zarray", ".zgroup")):
        return []
    saved = ipc_files(Path(path)) if isinstance(files, Local) else None
    if saved is not None:
        return saved
    inside = ((each, each.removeprefix(path)) for each in files.inside(path))
    return [each for each, name in inside if each.endswith(SUFFIXES) and not _hidden(name)]


def _hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in PurePosixPath(path).parts)


def open_table(
    files: Files,
    paths: list[str],
    column: str | Sequence[str] | None,
    ids: str | None,
    point: tuple[int, ...] | None = None,
) -> tuple[Source, Source | None]:
    """The rows and the ids in some files of one schema; rows of as many numbers have the shape of
    a point.

    Raises SpecError where a column is not there or its type differs between files, and StoreError
    where a file cannot be read, with the file.
    """
    columns = named_columns(column)
    types, table = _footers(files, paths, (*columns, *([] if ids is None else [ids])))
    end, where = int(table[-1, 2]) if len(table) else 0, (files, tuple(paths), columns, table)
    kinds = [rows_type(paths[0], each, types[each]) for each in columns]
    dtype, width = kinds[0]
    if isinstance(column, str):
        if width is None:
            first = (paths[table[0, 0]], int(table[0, 1])) if end else None
            width = first_length(files, *first, column) if first else 0
        source = Table((end, *row_shape(width, point)), dtype, *where, decode_lists)
    elif kinds == [(dtype, 1)] * len(columns):
        source = Table((end, *row_shape(len(columns), point)), dtype, *where, decode_columns)
    else:
        raise SpecError(
            "Columns that make a row hold numbers of one type",
            came=f"{', '.join(f'{each}: {types[each]}' for each in columns)} came",
            do="Convert them, or pass one column of lists.",
        )
    if ids is None:
        return source, None
    dtype = ids_dtype(paths[0], ids, types[ids])
    return source, Table((end,), dtype, files, tuple(paths), (ids,), table, decode_ids)


def _footers(
    files: Files, paths: list[str], wanted: Sequence[str]
) -> tuple[dict[str, Any], np.ndarray]:
    """The types of some columns, and the row groups that are not empty as `Table` has them."""
    types, groups, end = {}, [], 0
    with reading(paths[0]):
        states = files.states(paths)
    for position, (path, state) in enumerate(zip(paths, states, strict=True)):
        with reading(path):
            schema, lengths = layout_of(File(files, path, tuple(state)))
        types = _same_types(path, schema, wanted, types)
        for number, rows in enumerate(lengths):
            end += rows
            groups += [(position, number, end)] if rows else []
    return types, np.array(groups, np.int64).reshape(-1, 3)


def filtered_rows(files: Files, paths: list[str], filters: Any) -> np.ndarray:
    """The numbers of the rows that pass ``filters``, as pyarrow.parquet has them."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    test = filters if isinstance(filters, pc.Expression) else pq.filters_to_expression(filters)
    kept, end = [np.empty(0, np.int64)], 0
    for path in paths:
        with reading(path):
            found = ds.dataset(path, format=_format(path), filesystem=files.system)
            scanner = found.scanner(columns={"passed": test})
            for batch in scanner.to_batches():
                passed = batch.column(0).fill_null(False).to_numpy(zero_copy_only=False)
                kept.append(end + np.flatnonzero(passed))
                end += len(batch)
    return np.concatenate(kept)


def _format(path: str) -> str:
    return "arrow" if path.endswith(IPC_SUFFIXES) else "parquet"


def _same_types(
    path: str, schema: Any, wanted: Sequence[str], types: dict[str, Any]
) -> dict[str, Any]:
    for each in wanted:
        check_column(path, each, schema.names)
        if types and schema.field(each).type != types[each]:
            raise SpecError(
                f"Column {each!r} must have one type in all files",
                came=f"in {path} it is {schema.field(each).type}, in those before {types[each]}",
                do="Convert this file, or leave it out.",
            )
    return {each: schema.field(each).type for each in wanted}
