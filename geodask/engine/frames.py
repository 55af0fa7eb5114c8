"""Tables that a user hands over: of pandas and pyarrow, in memory, and Dask DataFrames."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import PointShapeError, SpecError
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
from .ids import Ids, as_ids
from .sources import Lazy, Memory, Source


def is_frame(array: Any) -> bool:
    """Whether it is a table of pandas, pyarrow or Dask."""
    kind = type(array)
    modules = {"pandas", "pyarrow", "dask"}
    return kind.__name__ in ("DataFrame", "Table") and kind.__module__.split(".")[0] in modules


def open_frame(
    frame: Any,
    column: str | Sequence[str] | None,
    ids: str | None,
    point: tuple[int, ...] | None = None,
) -> tuple[Source, Ids | None]:
    """The rows and ids in some columns of a table. One of Dask is counted, and read when needed.
    Rows of as many numbers have the shape of a point.

    Raises SpecError where a column is not there or holds something else, PointShapeError where
    lists are null or of several lengths, with the partition.
    """
    columns = list(named_columns(column))
    known = list(frame.column_names if hasattr(frame, "column_names") else frame.columns)
    for each in [*columns, *([] if ids is None else [ids])]:
        check_column("The table", each, known)
    if _is_dask(frame):
        _refuse_text(frame, columns)
    lists = isinstance(column, str)
    rows = _shaped(_open(frame, columns, partial(_rows_of, lists=lists)), point)
    if ids is None:
        return rows, None
    names = _open(frame, [ids], _ids_of)
    return rows, as_ids(names.values) if isinstance(names, Memory) else Ids(names)


def _open(frame: Any, columns: list[str], values_of: Callable[..., np.ndarray]) -> Source:
    if not _is_dask(frame):
        values = values_of(_table(frame, columns), None, "the table")
        return Memory(values.shape, values.dtype, values)
    import dask.array as da
    from dask.base import compute
    from dask.delayed import delayed

    parts = frame[columns].to_delayed()
    counts = compute(*(delayed(len)(part) for part in parts))
    first = next((part for part, count in zip(parts, counts, strict=True) if count), parts[0])
    (like,) = compute(delayed(_values)(delayed(_head)(first), columns, values_of, None, "its head"))
    like = like[:0]
    blocks = [
        da.from_delayed(
            delayed(_values)(part, columns, values_of, like, f"partition {number}"),
            shape=(count, *like.shape[1:]),
            dtype=like.dtype,
        )
        for number, (part, count) in enumerate(zip(parts, counts, strict=True))
    ]
    array = da.concatenate(blocks)
    return Lazy(array.shape, like.dtype, array)


def _shaped(rows: Source, point: tuple[int, ...] | None) -> Source:
    shape = rows.shape[0], *row_shape(rows.shape[1], point)
    if isinstance(rows, Memory):
        return Memory(shape, rows.dtype, rows.values.reshape(shape))
    assert isinstance(rows, Lazy)
    return Lazy(shape, rows.dtype, rows.array.reshape(shape))


def _is_dask(frame: Any) -> bool:
    return type(frame).__module__.startswith("dask.")


def _refuse_text(frame: Any, columns: list[str]) -> None:
    for each in columns:
        if str(frame.dtypes[each]) == "string":
            raise SpecError(
                f"Column {each!r} must hold numbers or lists of numbers",
                came="it is text, as Dask makes of lists that come from pandas",
                do='Set dask.config.set({"dataframe.convert-string": False}) before it does.',
            )


def _head(part: Any) -> Any:
    return part.iloc[:1]


def _values(
    part: Any, columns: list[str], values_of: Callable[..., np.ndarray], like: Any, place: str
) -> np.ndarray:
    return values_of(_table(part, columns), like, place)


def _table(frame: Any, columns: list[str]) -> Any:
    import pyarrow as pa

    if isinstance(frame, pa.Table):
        return frame.select(columns)
    try:
        return pa.Table.from_pandas(frame[columns], preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SpecError(
            f"Columns {', '.join(map(repr, columns))} must be of one type each: numbers, strings, "
            "or lists of numbers",
            came=f"{error.args[0]}",
            do="Make lists of arrays, such as with frame[column].map(np.ravel).",
        ) from error


def _rows_of(table: Any, like: np.ndarray | None, place: str, *, lists: bool) -> np.ndarray:
    """Rows as `decode_lists` or `decode_columns` have them, of the width and dtype of ``like``."""
    if like is not None and table.num_rows == 0:
        return like
    table = _typed(table, "list" if lists else "double")
    kinds = [rows_type(place, each.name, each.type) for each in table.schema]
    dtype, width = kinds[0]
    fits = kinds == [(dtype, width if lists else 1)] * len(kinds)
    if not fits or (like is not None and dtype != like.dtype):
        raise PointShapeError(
            "Columns that make a row hold numbers of one type, in every partition",
            came=f"in {place} they are {', '.join(map(str, table.schema.types))}",
            do="Convert them, or pass one column of lists.",
        )
    if not lists:
        return decode_columns(table, (table.num_columns,), place)
    if like is not None:
        width = like.shape[1]
    return decode_lists(table, (_first_length(table) if width is None else width,), place)


def _typed(table: Any, kind: str) -> Any:
    """The same with a type for columns that no row gives one."""
    import pyarrow as pa

    types: Any = {"list": pa.list_(pa.float64()), "double": pa.float64(), "string": pa.string()}
    if table.num_rows:
        return table
    fields = [
        each.with_type(types[kind]) if pa.types.is_null(each.type) else each
        for each in table.schema
    ]
    return table.cast(pa.schema(fields))


def _first_length(table: Any) -> int:
    from pyarrow import compute

    functions: Any = compute
    if table.num_rows == 0:
        return 0
    return functions.list_value_length(table.column(0)[:1])[0].as_py() or 0


def _ids_of(table: Any, like: np.ndarray | None, place: str) -> np.ndarray:
    if like is not None and table.num_rows == 0:
        return like
    table = _typed(table, "string")
    (named,) = table.schema
    dtype = ids_dtype(place, named.name, named.type)
    if like is not None and dtype != like.dtype:
        raise PointShapeError(
            f"Ids of one kind name the rows, {like.dtype}",
            came=f"in {place} they are {named.type}",
            do="Convert them.",
        )
    return decode_ids(table, (), place)
