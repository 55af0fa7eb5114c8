"""Arrow columns as arrays of rows, without a copy where Arrow has none to make."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PointShapeError, SpecError


def named_columns(column: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns of a table that hold its rows. Raises SpecError where none is named."""
    if column is None:
        raise SpecError("Tables have columns", came="none was named", do='Pass column="embedding".')
    return (column,) if isinstance(column, str) else tuple(column)


def check_column(place: str, name: str, known: Sequence[str]) -> None:
    """Raises SpecError where a name is that of no column, or of several."""
    if list(known).count(name) != 1:
        raise SpecError(
            f"{place} must have a column {name!r}, and one only",
            came=f"it has {', '.join(map(str, known))}",
            do="Pass the name of one of these, and give each its own.",
        )


def rows_type(path: str, column: str, kind: Any) -> tuple[np.dtype, int | None]:
    """The dtype of a column's rows and their length: 1 for plain numbers, None if lists tell.

    Lists of fixed length may hold such lists, and tensors of fixed shape are them.
    """
    import pyarrow.types as types

    width, inner = 1, _stored(kind)
    if types.is_list(inner) or types.is_large_list(inner):
        width, inner = None, inner.value_type
    while width is not None and types.is_fixed_size_list(inner):
        width, inner = width * inner.list_size, inner.value_type
    if not (types.is_floating(inner) or types.is_integer(inner)):
        raise SpecError(
            f"Column {column!r} of {path} must hold numbers or lists of numbers",
            came=f"it is {kind}",
            do="Pass the name of another column, or write lists in lists with a fixed length.",
        )
    return np.dtype(inner.to_pandas_dtype()), width


def _stored(kind: Any) -> Any:
    """The lists that a column of tensors of one shape holds, where they are row by row."""
    import pyarrow as pa

    rows = isinstance(kind, pa.FixedShapeTensorType) and kind.permutation in (
        None,
        list(range(len(kind.shape))),
    )
    return kind.storage_type if rows else kind


def row_shape(width: int, point: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of a row: that of a point with as many numbers, where there is one."""
    return point if point is not None and math.prod(point) == width else (width,)


def ids_dtype(path: str, column: str, kind: Any) -> np.dtype:
    """int64, uint64, or object for strings. Raises SpecError for other types."""
    import pyarrow.types as types

    if types.is_integer(kind):
        return np.dtype(np.int64 if types.is_signed_integer(kind) else np.uint64)
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if types.is_string(inner) or types.is_large_string(inner) or types.is_string_view(inner):
        return np.dtype(object)
    raise SpecError(
        f"ids are strings or integers, and column {column!r} of {path} must hold these",
        came=f"it is {kind}",
        do="Pass the name of another column.",
    )


def decode_lists(table: Any, shape: tuple[int, ...], place: str, first: int = 0) -> np.ndarray:
    """Rows (n, *shape) of a column of lists, or of plain numbers where there is one in a row.

    Raises PointShapeError where a list or a number is null, or a list has another length, with the
    place and the number of the row, of which those in the table begin with ``first``.
    """
    column = _whole(table.column(0))
    _refuse_nulls(column, place, first, "is null")
    width, (_, known) = math.prod(shape), rows_type(place, "", column.type)
    lengths = np.full(len(column), known)
    if known is None:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if len(bad := np.flatnonzero(lengths != width)):
        raise _wrong(place, first + bad, f"has {lengths[bad[0]]} numbers, not {width}")
    return _flat(column, place, first).reshape(len(column), *shape)


def _flat(column: Any, place: str, first: int) -> np.ndarray:
    """The numbers of lists of one length, and of lists in them."""
    flat = getattr(column, "storage", column)  # of tensors
    while True:
        if flat.null_count:
            bad = np.flatnonzero(flat.is_null().to_numpy(zero_copy_only=False))
            raise _wrong(place, first + bad * len(column) // len(flat), "holds a null")
        if not hasattr(flat, "flatten"):
            return flat.to_numpy(zero_copy_only=True)
        flat = flat.flatten()


def decode_columns(table: Any, shape: tuple[int, ...], place: str, first: int = 0) -> np.ndarray:
    """Rows (n, *shape) of several columns of plain numbers."""
    parts = [decode_lists(table.select([i]), (1,), place, first) for i in range(table.num_columns)]
    return np.concatenate(parts, axis=1).reshape(-1, *shape)


def decode_ids(table: Any, shape: tuple[int, ...], place: str, first: int = 0) -> np.ndarray:
    """Ids (n,) of a column of strings or integers."""
    import pyarrow as pa

    column = _whole(table.column(0))
    _refuse_nulls(column, place, first, "has no id")
    if pa.types.is_integer(column.type):
        signed = pa.types.is_signed_integer(column.type)
        return column.to_numpy(zero_copy_only=True).astype(np.int64 if signed else np.uint64)
    return column.cast(pa.large_string()).to_numpy(zero_copy_only=False)


def _whole(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _refuse_nulls(column: Any, place: str, first: int, text: str) -> None:
    if column.null_count:
        bad = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
        raise _wrong(place, first + bad, text)


def _wrong(place: str, rows: np.ndarray, text: str) -> PointShapeError:
    more = (
        f" and {len(set(rows.tolist())) - 1} more are wrong" if len(set(rows.tolist())) > 1 else ""
    )
    return PointShapeError(
        "Rows of a table are lists of one length, without nulls",
        came=f"in {place}, row {rows[0]} {text}{more}",
        do="Correct or drop such rows, or pass filters=... that leave them out.",
    )
