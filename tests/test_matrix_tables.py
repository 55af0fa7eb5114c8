"""Points that are matrices, in tables: rows of as many numbers, lists in lists, tensors."""

from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import geodask as gd

SPD = gd.SPDAffineInvariant(3)
MATRICES = SPD.random(300, seed=0)


def in_lists(rows: np.ndarray, *sides: int) -> pa.Array:
    """Lists of fixed length, in such lists where there are several lengths."""
    found: Any = pa.array(rows.reshape(-1))
    for side in reversed(sides):
        found = pa.FixedSizeListArray.from_arrays(found, side)
    return found


def matrices(kind: str) -> tuple[pa.Table, Any]:
    """A table of them, and the columns to name."""
    flat = MATRICES.reshape(-1, 9)
    if kind == "columns":
        named = {f"x{i}": flat[:, i] for i in range(9)}
        return pa.table(named), list(named)
    if kind in ("nested", "tensor"):
        found = in_lists(MATRICES, *((3, 3) if kind == "nested" else (9,)))
        if kind == "tensor":
            tensor = pa.fixed_shape_tensor(pa.float64(), (3, 3))
            found = pa.ExtensionArray.from_storage(tensor, found)
        return pa.table({"e": found}), "e"
    return pa.table({"e": list(flat) if kind == "list" else in_lists(flat, 9)}), "e"


KINDS = pytest.mark.parametrize("kind", ["list", "fixed", "columns", "nested", "tensor"])


@KINDS
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_matrices_are_rows_of_as_many_numbers(kind: str, suffix: str, tmp_path: Path) -> None:
    rows, column = matrices(kind)
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(rows, path, row_group_size=97)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=97)
    x = gd.points(path, SPD, column=column)
    assert x.shape == (300, 3, 3)
    assert (x.read(90, 210) == MATRICES[90:210]).all()
    found = gd.knn(x, k=2).persist()
    assert np.array_equal(
        found.indices.compute(), gd.knn(gd.points(MATRICES, SPD), k=2).compute().indices
    )
    assert gd.points(path, gd.Euclidean(9), column=column).shape == (300, 9)
    with pytest.raises(gd.PointShapeError, match=r"\(300, 9\)\. .*a table 4 numbers a row"):
        gd.points(path, gd.SPDAffineInvariant(2), column=column)


@KINDS
def test_so_they_are_in_tables_of_memory(kind: str) -> None:
    rows, column = matrices(kind)
    assert (gd.points(rows, SPD, column=column).read(0, 300) == MATRICES).all()
    if kind in ("list", "columns"):
        frame = rows.to_pandas()
        assert (gd.points(frame, SPD, column=column).read(0, 300) == MATRICES).all()
        with dask.config.set({"dataframe.convert-string": False}):
            parts = dd.from_pandas(frame, npartitions=3)
            x = gd.points(parts, SPD, column=column)
            assert (x.read(0, 300) == MATRICES).all()


def test_filtered_matrices_keep_their_shape(tmp_path: Path) -> None:
    numbered = {"e": in_lists(MATRICES, 9), "number": np.arange(300)}
    pq.write_table(pa.table(numbered), tmp_path / "a.parquet")
    kept = [("number", ">=", 250)]
    x = gd.points(tmp_path / "a.parquet", SPD, column="e", filters=kept)
    assert (x.read(0, 50) == MATRICES[250:]).all()


def test_a_null_in_a_matrix_is_named_by_its_row(tmp_path: Path) -> None:
    holed = pa.array([None if i == 9 * 7 + 4 else 1.0 for i in range(90)])
    inner = pa.FixedSizeListArray.from_arrays(holed, 3)
    lost = pa.array([[1.0] * 3 if i != 3 * 5 + 1 else None for i in range(30)], inner.type)
    for each, row in ((inner, 7), (lost, 5)):
        pq.write_table(
            pa.table({"e": pa.FixedSizeListArray.from_arrays(each, 3)}), tmp_path / "a.parquet"
        )
        x = gd.points(tmp_path / "a.parquet", SPD, column="e")
        with pytest.raises(gd.PointShapeError, match=f"row {row} holds a null"):
            x.read(0, 10)


def test_what_holds_arrays_of_arrays_is_refused_in_words(tmp_path: Path) -> None:
    frame = pd.DataFrame({"e": list(MATRICES)})
    with pytest.raises(gd.SpecError, match=r"one type each: .*map\(np\.ravel\)"):
        gd.points(frame, SPD, column="e")
    flat = frame.assign(e=frame["e"].map(np.ravel))
    assert (gd.points(flat, SPD, column="e").read(0, 300) == MATRICES).all()
    pq.write_table(pa.table({"e": MATRICES.tolist()}), tmp_path / "a.parquet")
    with pytest.raises(gd.SpecError, match="lists in lists with a fixed length"):
        gd.points(tmp_path / "a.parquet", SPD, column="e")
