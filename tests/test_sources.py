"""Every container gives the rows that it holds: tables, HDF5, sharded Zarr, small numbers."""

import re
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zarr

import geodask as gd

SPHERE = gd.Sphere(4)
ROWS = SPHERE.random(500, seed=0).astype(np.float32)
NAMES = [f"doc {i}" for i in range(500)]
TABLE = {"column": "e", "ids": "id"}


def same(x: gd.Points, rows: np.ndarray = ROWS, names: list[Any] | None = NAMES) -> None:
    """The rows, whole and in slices, and the ids in a result."""
    assert x.dtype == rows.dtype
    assert np.array_equal(x.read(0, len(rows)), rows)
    assert np.array_equal(x[::-1].read(3, 9), rows[::-1][3:9])
    assert np.array_equal(x.array.compute(), rows)
    found = gd.knn(x, k=2).persist()
    expected = gd.knn(gd.points(rows, x.manifold), k=2).compute()
    assert np.array_equal(found.indices.compute(), expected.indices)
    if names is not None:
        frame = found.to_dataframe().compute()
        assert frame.row_id.tolist() == [names[i] for i in frame.row]
        assert frame.other_id.tolist() == [names[i] for i in frame.other]


# --- tables ---------------------------------------------------------------------------------------


def pandas_frame(rows: np.ndarray = ROWS) -> pd.DataFrame:
    plain = {f"x{i}": rows[:, i] for i in range(rows.shape[1])}
    return pd.DataFrame({"id": NAMES[: len(rows)], "e": list(rows), **plain})


def dask_frame(partitions: int) -> Any:
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_pandas(pandas_frame(), npartitions=partitions, sort=False)


@pytest.mark.parametrize("column", ["e", ["x0", "x1", "x2", "x3"]])
def test_tables_in_memory_are_rows(column: Any) -> None:
    frame = pandas_frame()
    same(gd.points(frame, SPHERE, column=column, ids="id"))
    same(gd.points(pa.Table.from_pandas(frame), SPHERE, column=column, ids="id"))
    numbers = gd.points(frame.assign(id=range(7, 507)), SPHERE, column=column, ids="id")
    assert list(numbers[:2].ids or ()) == [7, 8]


@pytest.mark.parametrize("column", ["e", ["x0", "x1", "x2", "x3"]])
@pytest.mark.parametrize("partitions", [1, 7])
def test_a_dask_dataframe_is_rows(column: Any, partitions: int) -> None:
    frame = dask_frame(partitions)
    x = gd.points(frame, SPHERE, column=column, ids="id")
    assert "Dask array" in repr(x)
    same(x)


def test_partitions_without_rows_are_none() -> None:
    frame = dask_frame(5)
    some = frame[frame.id.isin(NAMES[100:250])]
    same(gd.points(some, SPHERE, **TABLE), ROWS[100:250], NAMES[100:250])


def test_a_dask_dataframe_is_read_by_a_cluster(client: Any) -> None:
    same(gd.points(dask_frame(3), SPHERE, **TABLE))


def test_a_dask_dataframe_of_parquet_files_is_rows(tmp_path: Path) -> None:
    pandas_frame().to_parquet(tmp_path / "rows.parquet", row_group_size=90)
    frame = dd.read_parquet(tmp_path / "rows.parquet", split_row_groups=True)
    same(gd.points(frame, SPHERE, **TABLE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda part: part.assign(e=[None, *part.e[1:]]), r"partition 2.*row 0 is null"),
        (
            lambda part: part.assign(e=[part.e[0][:1], *part.e[1:]]),
            "partition 2.*row 0 has 1 numbers",
        ),
        (lambda part: part.assign(e=[row.astype("f8") for row in part.e]), "partition 2.*double"),
    ],
)
def test_what_is_wrong_in_a_partition_is_said_with_its_number(change: Any, message: str) -> None:
    parts = [pandas_frame()[i * 100 : (i + 1) * 100] for i in range(5)]
    parts[2] = change(parts[2].reset_index(drop=True))
    with dask.config.set({"dataframe.convert-string": False}):
        frame = dd.from_map(lambda i: parts[i], range(5), meta=parts[0][:0])
    with pytest.raises(gd.PointShapeError, match=message):
        gd.knn(gd.points(frame, SPHERE, **TABLE), k=2).compute()


def test_tables_need_a_column_that_they_have() -> None:
    frame = pandas_frame()
    with pytest.raises(gd.SpecError, match="none was named"):
        gd.points(frame, SPHERE)
    with pytest.raises(gd.SpecError, match=r"must have a column 'f'.*it has id, e"):
        gd.points(frame, SPHERE, column="f")
    with pytest.raises(gd.SpecError, match="must hold numbers"):
        gd.points(frame, SPHERE, column="id")
    with pytest.raises(gd.SpecError, match="filters= from Parquet"):
        gd.points(frame, SPHERE, column="e", filters=[("id", "=", "doc 1")])
    with pytest.raises(gd.PointShapeError, match="the table, row 1 has 2 numbers"):
        gd.points(pd.DataFrame({"e": [[1.0, 0, 0, 0], [1.0, 0]]}), SPHERE, column="e")
    assert len(gd.points(frame[:0], gd.Euclidean(1), column="x0", ids="id")) == 0
    with pytest.raises(gd.SpecError, match=r"it is text, as Dask makes of lists"):
        gd.points(dd.from_pandas(frame, npartitions=2), SPHERE, column="e")


def test_a_table_without_rows_has_the_width_of_the_manifold(tmp_path: Path) -> None:
    lists = pa.table({"id": pa.array([], "string"), "e": pa.array([], pa.list_(pa.float32()))})
    pq.write_table(lists, tmp_path / "none.parquet")
    nothing = pd.DataFrame({"id": [], "e": []})
    untyped = pd.DataFrame(columns=["id", "e", "x0", "x1", "x2", "x3"])
    for table in (lists, tmp_path / "none.parquet", nothing.astype(object), untyped):
        x = gd.points(table, SPHERE, **TABLE)
        assert x.shape == (0, 4)
        assert list(x.ids or ()) == []
        assert gd.knn(x, gd.points(ROWS, SPHERE), k=2).compute().indices.shape == (0, 2)
    plain = gd.points(untyped, SPHERE, column=["x0", "x1", "x2", "x3"], ids="id")
    assert plain.shape == (0, 4)
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = dd.from_pandas(untyped, npartitions=1)
    assert gd.points(lazy, SPHERE, **TABLE).shape == (0, 4)
    with pytest.raises(gd.PointShapeError, match=r"shape \(0, 0\)"):
        gd.points(np.empty((0, 0)), SPHERE)


def test_a_name_of_two_columns_is_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([1.0]), pa.array([2.0])], ["x", "x"])
    pq.write_table(table, tmp_path / "two.parquet")
    for each in (table, table.to_pandas(), tmp_path / "two.parquet"):
        with pytest.raises(gd.SpecError, match=r"a column 'x', and one only.*it has x, x"):
            gd.points(each, gd.Euclidean(1), column="x")


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["a folder", "100%", "a[1]"])
def test_urls_of_files_are_those_that_paths_give(folder: str, tmp_path: Path) -> None:
    path = tmp_path / folder / "rows.npy"
    path.parent.mkdir()
    np.save(path, ROWS)
    for url in (path.as_uri(), path.as_uri().replace("file://", "FILE://localhost")):
        same(gd.points(url, SPHERE), names=None)
    gd.points(path, SPHERE).save((tmp_path / folder / "saved.zarr").as_uri())
    assert (tmp_path / folder / "saved.zarr").is_dir()


def test_a_pattern_that_matches_nothing_says_what_brackets_are(tmp_path: Path) -> None:
    (tmp_path / "run[1]").mkdir()
    pandas_frame().to_parquet(tmp_path / "run[1]" / "rows.parquet")
    with pytest.raises(FileNotFoundError, match=r"it is a pattern, in which \[\*\]"):
        gd.points(f"{tmp_path}/run[1]/*.parquet", SPHERE, **TABLE)
    same(gd.points(f"{tmp_path}/run[[]1]/*.parquet", SPHERE, **TABLE))
    same(gd.points(f"{tmp_path}/run[1]", SPHERE, **TABLE))


@pytest.mark.parametrize("chunks", [None, (64, 4), (128, 2)])
def test_a_dataset_of_an_hdf5_file_is_rows(chunks: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("train/rows", data=ROWS, chunks=chunks)
        file["id"] = NAMES
    same(gd.points(path, SPHERE, column="train/rows", ids="id"))
    with pytest.raises(gd.SpecError, match="it has id, train/rows"):
        gd.points(path, SPHERE)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(gd.StoreError, match=re.escape(str(path))):
        gd.points(path, SPHERE, column="train/rows")


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", ">i4", "S6", "text"])
def test_ids_of_an_hdf5_file_are_integers_or_text(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    text = [f"é{i}".encode() for i in range(500)]
    numbers = np.arange(500) % 100
    with h5py.File(path, "w") as file:
        file["rows"] = ROWS
        file["id"] = (
            NAMES if dtype == "text" else np.array(text if dtype == "S6" else numbers, dtype)
        )
    names = {"text": NAMES, "S6": [each.decode() for each in text]}
    x = gd.points(path, SPHERE, column="rows", ids="id")
    assert list(x.ids or ()) == names.get(dtype, numbers.tolist())
    assert x.ids is not None
    assert x.ids.dtype == (object if dtype in names else np.uint64 if dtype == "u2" else np.int64)
    gd.points(path, SPHERE, column="rows", ids="id").save(tmp_path / "saved.zarr")
    assert list(gd.open(tmp_path / "saved.zarr").ids or ()) == list(x.ids)
    if dtype in names:
        assert x.rows_of([names[dtype][7]])[0] == 7


@pytest.mark.parametrize(
    "names", [np.arange(500.0), np.ones(500, bool), np.ones((500, 2), int), np.full(500, 1j)]
)
def test_other_ids_of_an_hdf5_file_are_refused(names: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as file:
        file["rows"], file["id"] = ROWS, names
    with pytest.raises(gd.SpecError, match=r"ids are strings or integers, one a row.*'id'"):
        gd.points(path, SPHERE, column="rows", ids="id")


def test_a_changed_hdf5_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.h5"
    reports = []
    for rows in (ROWS, ROWS, ROWS[::-1]):
        with h5py.File(path, "w") as file:
            file["rows"] = rows
        reports.append(gd.knn(gd.points(path, SPHERE), k=2).persist().report)
    assert [each.cache_hit for each in reports] == [False, True, False]


def test_zarr_is_read_in_both_formats_and_sharded(tmp_path: Path) -> None:
    same(gd.points(_zarr(tmp_path / "2", zarr_format=2, chunks=(70, 4)), SPHERE), names=None)
    same(gd.points(_zarr(tmp_path / "3", chunks=(70, 3)), SPHERE), names=None)
    sharded = _zarr(tmp_path / "s", chunks=(10, 4), shards=(130, 4))
    x = gd.points(sharded, SPHERE)
    assert x.source.chunk_rows == 130
    same(x, names=None)


def _zarr(path: Path, **layout: Any) -> Path:
    array = zarr.create_array(str(path), shape=ROWS.shape, dtype="f4", **layout)
    array[:] = ROWS
    return path


# --- small numbers --------------------------------------------------------------------------------


def test_bfloat16_is_the_float32_it_stands_for(tmp_path: Path) -> None:
    tensor = torch.from_numpy(ROWS).to(torch.bfloat16)
    rows = tensor.float().numpy()
    bits = tensor.view(torch.uint16).numpy()
    np.save(tmp_path / "bits.npy", bits)
    for stored, what in [(tensor, None), (bits, "bfloat16"), (tmp_path / "bits.npy", "bfloat16")]:
        x = gd.points(stored, gd.Euclidean(4), dtype=what)
        same(x, rows, None)
    lazy = gd.points(da.from_array(bits, chunks=(100, 4)), gd.Euclidean(4), dtype="bfloat16")
    same(lazy, rows, None)


@pytest.mark.parametrize("scale", [1 / 127, [0.5, 1.0, 2.0, 4.0]])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2"])
def test_integers_are_their_multiples_of_a_scale(scale: Any, dtype: str, tmp_path: Path) -> None:
    stored = np.round(ROWS * 100 + (128 if dtype == "u1" else 0)).astype(dtype)
    rows = stored.astype(np.float32) * np.asarray(scale, np.float32)
    np.save(tmp_path / "rows.npy", stored)
    same(gd.points(stored, gd.Euclidean(4), scale=scale), rows, None)
    x = gd.points(tmp_path / "rows.npy", gd.Euclidean(4), scale=scale)
    assert x.source.travels
    same(x, rows, None)
    frame = pd.DataFrame({"id": NAMES, "e": list(stored)})
    same(gd.points(frame, gd.Euclidean(4), **TABLE, scale=scale), rows)


def test_another_scale_is_another_result(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.round(ROWS * 100).astype("i1"))
    found = []
    for scale in (1.0, 2.0):
        for trust in ("content", "metadata"):
            with dask.config.set({"geodask.trust": trust}):
                x = gd.points(tmp_path / "rows.npy", gd.Euclidean(4), scale=scale)
                found.append(gd.knn(x, k=1).persist())
    assert not any(each.report.cache_hit for each in found)
    first, second = (each.distances.compute() for each in found[::2])
    assert np.array_equal(2 * first, second)


def test_what_small_numbers_stand_for_must_fit() -> None:
    eights, flat = np.ones((3, 4), np.int8), gd.Euclidean(4)
    with pytest.raises(gd.PointShapeError, match=r"is int8.*say what integers stand for by scale="):
        gd.points(eights, flat)
    with pytest.raises(gd.SpecError, match=r"needs rows of uint16.*is int8"):
        gd.points(eights, flat, dtype="bfloat16")
    with pytest.raises(gd.SpecError, match='needs dtype="bfloat16"'):
        gd.points(eights, flat, dtype="float32")
    with pytest.raises(gd.SpecError, match=r"scale= needs rows of int8.*is float32"):
        gd.points(ROWS, flat, scale=2)
    with pytest.raises(gd.SpecError, match="needs no dtype beside it"):
        gd.points(eights, flat, dtype="bfloat16", scale=2)
    for scale in (np.nan, np.ones(3), np.ones((3, 1)), "x", [[1.0], [1.0, 2.0]]):
        with pytest.raises(gd.PointShapeError, match="A scale is a finite number, or one a coord"):
            gd.points(eights, flat, scale=scale)


def test_a_dask_array_without_rows_is_one() -> None:
    sphere = gd.Sphere(3)
    x = gd.points(da.zeros((0, 3), chunks=(4, 3)), sphere)
    assert x.source.block_rows >= 1
    assert gd.dist(x, x).compute().shape == (0,)
