"""Parquet files are rows like any others, and what is wrong with one is said with its place."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import geodask as gd
from geodask.engine import census, files, parquet, sources

SPHERE = gd.Sphere(4)
ROWS = SPHERE.random(1000, seed=0).astype(np.float32)
NAMES = [f"doc-{i}" for i in range(1000)]
SPLITS = [(0, 400), (400, 401), (401, 401), (401, 1000)]


def lists(rows: np.ndarray, kind: str = "list") -> pa.Array:
    flat, (n, width) = pa.array(rows.reshape(-1)), rows.shape
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, width)
    array = pa.LargeListArray if kind == "large" else pa.ListArray
    offsets = np.arange(n + 1) * width
    return array.from_arrays(offsets.astype("i8" if kind == "large" else "i4"), flat)


def table(rows: np.ndarray = ROWS, kind: str = "list", first: int = 0, **columns: Any) -> pa.Table:
    plain = {f"x{i}": rows[:, i] for i in range(rows.shape[1])}
    numbers = np.arange(first, first + len(rows))
    text = pa.array([f"doc-{i}" for i in numbers], pa.string())
    named = {"e": lists(rows, kind), "id": text, "number": numbers, **plain}
    return pa.table({**named, **columns})


def write(folder: Path, kind: str = "list", rows: np.ndarray = ROWS) -> Path:
    """Four files, one without rows, in row groups of 97."""
    (folder / "in").mkdir(exist_ok=True, parents=True)
    for part, (start, stop) in enumerate(SPLITS):
        path = folder / ("in" if part == 3 else "") / f"part-{part}.parquet"
        pq.write_table(table(rows[start:stop], kind, start), path, row_group_size=97)
    (folder / "_metadata.parquet").write_text("not rows")
    # Paths are sorted: in/part-3 is first.
    return folder


ORDER = np.r_[401:1000, 0:401]


@pytest.mark.parametrize("kind", ["list", "large", "fixed"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_folder_is_rows_in_the_order_of_its_paths(kind: str, dtype: str, tmp_path: Path) -> None:
    rows = (ROWS / np.linalg.norm(ROWS.astype("f8"), axis=1)[:, None]).astype(dtype)
    x = gd.points(write(tmp_path, kind, rows), SPHERE, column="e", ids="id")
    assert x.dtype == dtype
    assert x.read(0, 1000).tobytes() == rows[ORDER].tobytes()
    assert list(x.ids) == [NAMES[i] for i in ORDER]
    for start, stop in ((0, 0), (96, 98), (590, 700), (999, 2000), (1000, 1001)):
        assert x.read(start, stop).tobytes() == rows[ORDER][start:stop].tobytes()
    assert x.array[5:998:7].compute().tobytes() == rows[ORDER][5:998:7].tobytes()
    assert x.rows_of(["doc-0", "doc-999"]).tolist() == [599, 598]


def test_files_patterns_and_plain_columns(tmp_path: Path) -> None:
    write(tmp_path)
    one = gd.points(tmp_path / "part-0.parquet", SPHERE, column="e", ids="number")
    assert one.ids.dtype == np.int64
    assert list(one.ids) == list(range(400))
    two = gd.points(f"{tmp_path}/part-*.parquet", SPHERE, column="e", ids=range(401))
    assert two.read(0, 401).tobytes() == ROWS[:401].tobytes()
    plain = gd.points(tmp_path, SPHERE, column=["x0", "x1", "x2", "x3"], ids="id")
    assert plain.read(0, 1000).tobytes() == ROWS[ORDER].tobytes()
    assert gd.points(tmp_path, gd.Euclidean(1), column="x0").read(3, 4)[0, 0] == ROWS[404, 0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["list", "large", "fixed"])
def test_arrow_files_and_streams_are_mapped(stream: bool, kind: str, tmp_path: Path) -> None:
    whole = table(kind=kind)
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    for name, start, stop in (("b.arrow", 0, 401), ("a.arrow", 401, 1000)):
        with make(str(tmp_path / name), whole.schema) as file:
            file.write_table(whole[start:stop], max_chunksize=97)
    x = gd.points(tmp_path, SPHERE, column="e", ids="id")
    assert x.read(0, 1000).tobytes() == ROWS[ORDER].tobytes()
    assert list(x.ids) == [NAMES[i] for i in ORDER]
    assert pickle.loads(pickle.dumps(x)).read(590, 700).tobytes() == ROWS[ORDER][590:700].tobytes()
    files = [{"filename": "b.arrow"}, {"filename": "a.arrow"}]
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": files}))
    saved = gd.points(tmp_path, SPHERE, column="e", ids="id")
    assert saved.read(0, 1000).tobytes() == ROWS.tobytes()
    if not stream:
        some = gd.points(tmp_path, SPHERE, column="e", filters=[("number", ">", 900)])
        assert some.read(0, 99).tobytes() == ROWS[901:].tobytes()
    (tmp_path / "a.arrow").write_bytes((tmp_path / "a.arrow").read_bytes()[:500])
    with pytest.raises(gd.StoreError, match=r"a\.arrow must be readable"):
        gd.points(tmp_path, SPHERE, column="e")


def test_filters_keep_rows(tmp_path: Path) -> None:
    write(tmp_path)
    kept = [i for i in ORDER if i % 2 == 0 and i > 300]
    even = pc.bit_wise_and(pc.field("number"), 1) == 0
    x = gd.points(tmp_path, SPHERE, column="e", ids="id", filters=even & (pc.field("number") > 300))
    assert list(x.ids) == [NAMES[i] for i in kept]
    assert x.read(0, len(x)).tobytes() == ROWS[kept].tobytes()
    none = gd.points(tmp_path, SPHERE, column="e", filters=[("number", "<", 0)])
    assert none.shape == (0, 4)


def test_neighbours_are_those_of_the_same_rows_in_memory(tmp_path: Path) -> None:
    x = gd.points(write(tmp_path), SPHERE, column="e")
    found, right = gd.knn(x, k=3).persist(), gd.knn(gd.points(ROWS[ORDER], SPHERE), k=3).persist()
    assert np.asarray(found.indices).tobytes() == np.asarray(right.indices).tobytes()
    assert right.report.cache_hit  # the content is the same


def test_files_are_read_once_and_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)

    def fail(*arguments: Any) -> None:
        raise AssertionError("this must not happen")

    x = gd.points(write(tmp_path), SPHERE, column="e")
    gd.knn(x, k=3).persist()
    with monkeypatch.context() as patch:
        patch.setattr(census, "examine", fail)
        assert gd.knn(x, k=3).persist().report.cache_hit
    pq.write_table(table(ROWS[::-1][:1]), tmp_path / "part-1.parquet")
    assert not gd.knn(x, k=3).persist().report.cache_hit
    (tmp_path / "part-0.parquet").unlink()
    with pytest.raises(gd.StoreError, match=r"part-0\.parquet"):
        gd.knn(x, k=3).persist()


def test_each_row_group_is_decoded_once_in_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = gd.points(write(tmp_path), SPHERE, column="e")
    parquet.RowGroup.decoded.cache_clear()
    for start in range(0, 1000, 13):
        x.read(start, min(start + 13, 1000))
    assert parquet.RowGroup.decoded.cache_info().misses == len(x.source.groups)  # pyright: ignore


def test_threads_that_need_a_row_group_decode_it_once(tmp_path: Path) -> None:
    x = gd.points(write(tmp_path), SPHERE, column="e")
    parquet.RowGroup.decoded.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: x.read(0, 97).tobytes(), range(64)))
    assert set(found) == {ROWS[ORDER][:97].tobytes()}
    assert parquet.RowGroup.decoded.cache_info().misses == 1


@pytest.mark.parametrize("kind", ["list", "fixed"])
def test_large_row_groups_are_read_in_batches(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SMALL_BYTES", 20 * parquet.LEAST_ROW_BYTES)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 15 * parquet.LEAST_ROW_BYTES)
    x = gd.points(write(tmp_path, kind), SPHERE, column="e", ids="id")
    rows, names = ROWS[ORDER], [NAMES[i] for i in ORDER]
    whole, sizes = parquet.RowGroup.decoded, []

    def decoded(group: parquet.RowGroup) -> np.ndarray:
        sizes.append(len(whole(group)))
        return whole(group)

    monkeypatch.setattr(parquet.RowGroup, "decoded", decoded)
    for start, stop in [(0, 1000), (13, 500), (12, 14), (40, 41), (598, 602), (3, 3), (990, 1000)]:
        assert np.array_equal(x.read(start, stop), rows[start:stop])
        assert x.ids is not None
        assert x.ids.read(start, stop).tolist() == names[start:stop]
    assert set(sizes) == {1, 12, 17}  # the last ones of the files; the others have 97 rows
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: x.read(i, i + 70).tobytes(), range(0, 900, 11)))
    assert found == [rows[i : i + 70].tobytes() for i in range(0, 900, 11)]
    expected = gd.knn(gd.points(rows, SPHERE), k=2).compute()
    assert np.array_equal(gd.knn(x, k=2).compute().indices, expected.indices)


def test_no_more_is_read_of_a_row_group_than_a_buffer_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SMALL_BYTES", 64 << 10)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 64 << 10)
    monkeypatch.setattr(files.Local, "buffer", 256 << 10)
    rows = np.random.default_rng(0).standard_normal((40_000, 16)).astype(np.float32)
    how = {"use_dictionary": False, "data_page_size": 16 << 10}
    pq.write_table(pa.table({"e": list(rows)}), tmp_path / "rows.parquet", **how)
    x = gd.points(tmp_path / "rows.parquet", gd.Euclidean(16), column="e")
    sizes = []

    class Counted(FileIO):
        def readinto(self, room: Any) -> int:
            sizes.append(len(room))
            return super().readinto(room)

        def read(self, size: int = -1) -> bytes:
            sizes.append(size)
            return super().read(size)

    monkeypatch.setattr(files.Local, "opened", lambda self, path: Counted(path))
    for start in range(0, 40_000, 2_000):
        assert np.array_equal(x.read(start, start + 2_000), rows[start : start + 2_000])
    assert max(sizes) <= (256 + 16) << 10  # a buffer, or what is left in it and a page
    assert rows.nbytes <= sum(sizes) <= rows.nbytes + (512 << 10)


def test_readers_who_take_turns_go_on_where_they_were() -> None:
    spans = [(i, i + 1) for i in range(11)]
    found = census.dealt(spans, 3)
    assert sorted(found) == spans
    assert [found[i::3] for i in range(3)] == [spans[:4], spans[4:8], spans[8:]]
    assert census.dealt([], 2) == []
    assert census.dealt(spans[:1], 4) == spans[:1]


def test_what_is_wrong_in_a_large_row_group_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "SMALL_BYTES", 20 * parquet.LEAST_ROW_BYTES)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 15 * parquet.LEAST_ROW_BYTES)
    parts = [lists(ROWS[:50]), lists(ROWS[:1, :3]), lists(ROWS[:49])]
    pq.write_table(pa.table({"e": pa.chunked_array(parts)}), tmp_path / "rows.parquet")
    x = gd.points(tmp_path / "rows.parquet", SPHERE, column="e")
    with pytest.raises(gd.PointShapeError, match="row group 0, row 50 has 3 numbers, not 4"):
        gd.knn(x, k=2).compute()


def test_an_admission_that_was_interrupted_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(census, "DIGEST_BYTES", 64 * 16)
    monkeypatch.setattr(census, "SPAN_BYTES", 64 * 16)
    examine, seen = census.examine, []

    def interrupted(*arguments: Any) -> Any:
        seen.append(range(*arguments[1:3]))
        if len(seen) == 5:
            raise KeyboardInterrupt
        return examine(*arguments)

    x = gd.points(write(tmp_path), SPHERE, column="e")
    with dask.config.set({"geodask.threads": 1}):
        monkeypatch.setattr(census, "examine", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gd.knn(x, k=3).persist()
        first = [*chain(*seen[:4])]
        seen[:] = [range(0)] * 5
        gd.knn(x, k=3).persist()
    assert sorted([*first, *chain(*seen)]) == list(range(16))


def test_a_source_of_many_files_travels(tmp_path: Path) -> None:
    x = gd.points(write(tmp_path), SPHERE, column="e", ids="id")
    again = pickle.loads(pickle.dumps(x))
    assert again.read(0, 1000).tobytes() == ROWS[ORDER].tobytes()
    assert list(again.ids) == list(x.ids)


# --- what is wrong ------------------------------------------------------------------------------


def spoiled(row: int, value: Any) -> pa.Array:
    rows = [value if i == row else list(map(float, each)) for i, each in enumerate(ROWS)]
    return pa.array(rows, pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "row 12 is null"),
        ([1.0, None, 0.0, 0.0], "row 12 holds a null"),
        ([1.0, 0.0, 0.0], "row 12 has 3 numbers, not 4"),
        ([1.0, 0.0, 0.0, 0.0, 0.0], "row 12 has 5 numbers, not 4"),
        ([], "row 12 has 0 numbers, not 4"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_row_group(
    value: Any, text: str, tmp_path: Path, store: Path
) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(table(e=spoiled(212, value)), path, row_group_size=100)
    x = gd.points(path, SPHERE, column="e")
    assert x.read(0, 200).shape == (200, 4)
    with pytest.raises(gd.PointShapeError, match=rf"bad\.parquet, row group 2, {text}"):
        gd.knn(x, k=2).persist()
    assert not list(store.glob("knn-*"))


def test_rows_that_are_no_points_are_named_so_too(tmp_path: Path, store: Path) -> None:
    rows = ROWS.copy()
    rows[700] *= 2
    x = gd.points(write(tmp_path, rows=rows), SPHERE, column="e")
    place = rf"row 299 \({tmp_path}/in/part-3\.parquet, row group 3, row 8\) is not of unit length"
    with pytest.raises(gd.NotOnManifoldError, match=place):
        gd.knn(x, k=2).persist()
    with pytest.raises(gd.NotOnManifoldError, match=r"row 1, which is row 299 \(.*row group 3"):
        gd.knn(x[[0, 299, 2]], k=2).persist()
    assert not list(store.glob("knn-*"))


def test_an_id_of_two_rows_is_named_with_both_places(tmp_path: Path) -> None:
    names = pa.array([NAMES[3] if i == 210 else name for i, name in enumerate(NAMES)])
    pq.write_table(table(id=names), tmp_path / "rows.parquet", row_group_size=100)
    x = gd.points(tmp_path / "rows.parquet", SPHERE, column="e", ids="id")
    places = r"row 3 \(.*row group 0, row 3\) and row 210 \(.*row group 2, row 10\)"
    with pytest.raises(gd.SpecError, match=rf"several rows are named 'doc-3': {places}"):
        x.take(["doc-3"])
    with pytest.raises(gd.SpecError, match=r"row 1, which .* is row 210 \(.*row group 2"):
        gd.concat([gd.points(ROWS[:1], SPHERE, ids=["doc-3"]), x[[210]]]).take(["doc-3"])


def test_the_first_row_and_an_id_may_be_missing_too(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    names = pa.array([None if i == 105 else f"{i}" for i in range(1000)])
    pq.write_table(table(e=spoiled(0, None), id=names), path, row_group_size=100)
    with pytest.raises(gd.PointShapeError, match=r"bad\.parquet, row group 0, row 0 is null"):
        gd.points(path, SPHERE, column="e")
    x = gd.points(path, SPHERE, column=["x0", "x1", "x2", "x3"], ids="id")
    with pytest.raises(gd.PointShapeError, match="row group 1, row 5 has no id"):
        list(x.ids)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "part-0.parquet"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(gd.StoreError, match=r"part-0\.parquet must be readable, but it failed"):
        gd.points(tmp_path, SPHERE, column="e")
    path.write_bytes(b"")
    with pytest.raises(gd.StoreError, match=r"part-0\.parquet must be readable"):
        gd.points(tmp_path, SPHERE, column="e")


def test_files_have_one_schema(tmp_path: Path) -> None:
    pq.write_table(table(ROWS[:9]), tmp_path / "a.parquet")
    pq.write_table(table(ROWS[:9].astype("f8")), tmp_path / "b.parquet")
    with pytest.raises(gd.SpecError, match=r"b\.parquet it is list<element: double>.*before list"):
        gd.points(tmp_path, SPHERE, column="e")
    pq.write_table(table(ROWS[:9, :3]), tmp_path / "b.parquet")
    x = gd.points(tmp_path, SPHERE, column="e")
    with pytest.raises(gd.PointShapeError, match=r"b\.parquet, row group 0, row 0 has 3 numbers"):
        x.read(0, 18)
    pq.write_table(table(ROWS[:9]).drop_columns(["e"]), tmp_path / "b.parquet")
    with pytest.raises(gd.SpecError, match=r"b\.parquet must have a column 'e'"):
        gd.points(tmp_path, SPHERE, column="e")


def test_columns_are_named_and_of_the_right_kind(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(table(wide=ROWS[:, 0].astype("f8")), path)
    wrong = [
        ({}, gd.SpecError, "none was named"),
        (
            {"column": "no"},
            gd.SpecError,
            "a column 'no', and one only, .* e, id, number",
        ),
        ({"column": "id"}, gd.SpecError, "numbers or lists of numbers, but it is string"),
        ({"column": "e", "ids": "x0"}, gd.SpecError, "column 'x0' .*but it is float"),
        ({"column": ["x0", "wide"]}, gd.SpecError, "numbers of one type"),
        ({"column": ["e", "x0"]}, gd.SpecError, "numbers of one type"),
        ({"column": ["x0", "x1"]}, gd.PointShapeError, r"has shape \(1000, 2\)"),
        ({"column": "number"}, gd.PointShapeError, "has shape"),
    ]
    for arguments, error, text in wrong:
        with pytest.raises(error, match=text):
            gd.points(path, SPHERE, **arguments)
    for array in (ROWS, gd.points(ROWS, SPHERE)):
        with pytest.raises(gd.SpecError, match="chooses from a table"):
            gd.points(array, SPHERE, column="e")


def test_a_folder_without_files_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "*.parquet", tmp_path / "no.parquet"):
        with pytest.raises(FileNotFoundError, match="none is there"):
            gd.points(path, SPHERE, column="e")
