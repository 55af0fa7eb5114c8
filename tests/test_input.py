"""What a user hands over: wrong input is refused in words, and Points are a container of rows."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from zarr.storage import FsspecStore

import geodask as gd
from geodask.engine import save

SPHERE = gd.Sphere(4)
ROWS = SPHERE.random(1000, seed=0).astype(np.float32)


def changed(row: int, value: Any) -> np.ndarray:
    rows = ROWS.copy()
    rows[row] = value
    return rows


# --- rows that are not points -------------------------------------------------------------------

WRONG = [
    (SPHERE, changed(7, np.nan), "row 7 holds NaN or infinity"),
    (SPHERE, changed(7, np.inf), "row 7 holds NaN or infinity"),
    (SPHERE, changed(7, [0.6, np.nan, 0.8, 0]), "row 7 holds NaN or infinity"),
    (SPHERE, changed(7, 0), "row 7 is the zero vector, which has no direction"),
    (SPHERE, changed(7, [1.001, 0, 0, 0]), "row 7 is not of unit length"),
    (gd.Euclidean(4), changed(7, -np.inf), "row 7 holds NaN or infinity"),
    (gd.Euclidean(4), changed(7, 0).astype("f8") + 2e150, "row 0 has coordinates beyond 1e+150"),
]
LABELS = ["nan", "inf", "one nan", "zero", "long", "flat inf", "flat large"]


@pytest.mark.parametrize(("manifold", "rows", "text"), WRONG, ids=LABELS)
def test_rows_in_memory_are_refused_at_once(
    manifold: gd.Manifold, rows: np.ndarray, text: str
) -> None:
    with pytest.raises(gd.NotOnManifoldError, match=re.escape(f"in array in memory {text}")):
        gd.points(rows, manifold)


def as_npy(rows: np.ndarray, folder: Path) -> tuple[Any, str]:
    np.save(folder / "x.npy", rows)
    return folder / "x.npy", "x.npy"


def as_zarr(rows: np.ndarray, folder: Path) -> tuple[Any, str]:
    zarr.create_array(folder / "x.zarr", data=rows, chunks=(300, 4))
    return folder / "x.zarr", "x.zarr"


def as_dask(rows: np.ndarray, folder: Path) -> tuple[Any, str]:
    return da.from_array(rows, chunks=(300, 4)), "Dask array"


@pytest.mark.parametrize("stored", [as_npy, as_zarr, as_dask])
@pytest.mark.parametrize(("manifold", "rows", "text"), WRONG, ids=LABELS)
def test_stored_rows_are_refused_on_admission(
    manifold: gd.Manifold, rows: np.ndarray, text: str, stored: Callable[..., Any], tmp_path: Path
) -> None:
    source, label = stored(rows, tmp_path)
    plan = gd.knn(gd.points(source, manifold), k=2)
    with pytest.raises(gd.NotOnManifoldError, match=f"{label}.*{re.escape(text)}"):
        plan.compute()


def test_the_first_rows_are_named_and_the_remedy() -> None:
    with pytest.raises(gd.NotOnManifoldError) as refused:
        gd.points(1.1 * ROWS, SPHERE)
    text = str(refused.value)
    assert all(f"row {i} is not of unit length" in text for i in range(5))
    assert "row 5" not in text
    assert "and more" in text
    assert text.endswith("or pass project=True to take the nearest points.")


@pytest.mark.parametrize("row", [0, np.nan], ids=["zero", "nan"])
def test_project_is_not_offered_where_it_does_not_help(row: float) -> None:
    for project in (False, True):
        with pytest.raises(gd.NotOnManifoldError, match="project=True mends lengths, not these"):
            gd.points(changed(7, row), SPHERE, project=project)


@pytest.mark.parametrize("stored", [as_npy, as_zarr, as_dask])
def test_project_takes_the_nearest_points(stored: Callable[..., Any], tmp_path: Path) -> None:
    rows = 3 * ROWS
    here = gd.points(rows, SPHERE, project=True)
    there = gd.points(stored(rows, tmp_path)[0], SPHERE, project=True)
    assert here.dtype == there.dtype == np.float32
    np.testing.assert_allclose(here.read(0, 1000), ROWS, rtol=1e-6)
    assert here.read(0, 1000).tobytes() == there.read(0, 1000).tobytes()
    results = [gd.knn(x, k=2).compute() for x in (here, there)]
    assert (results[0].indices == results[1].indices).all()


def test_validation_can_look_at_a_sample_or_at_nothing() -> None:
    with dask.config.set({"geodask.validate": "sample"}):
        gd.points(changed(7, np.nan), SPHERE)
        with pytest.raises(gd.NotOnManifoldError, match=r"row 0 .*row 101 .*row 404 .*and more"):
            gd.points(1.1 * ROWS, SPHERE)
    with dask.config.set({"geodask.validate": "none"}):
        rows = gd.points(changed(7, np.nan), SPHERE)
        assert gd.knn(rows, k=2).compute().report.certified == 0.0


def test_a_manifold_checks_rows_without_a_plan() -> None:
    assert SPHERE.check(ROWS) is None
    assert "1 of 1000 rows" in str(SPHERE.check(changed(7, 0)))
    assert "points of shape (4,)" in str(SPHERE.check(ROWS[:, :3]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_unit_vectors_rounded_to_a_dtype_are_points(dtype: str) -> None:
    for n in (2, 3, 384):
        gd.points(gd.Sphere(n).random(500, seed=n).astype(dtype), gd.Sphere(n))
        swapped = np.dtype(dtype).newbyteorder()
        gd.points(gd.Sphere(n).random(500, seed=n).astype(swapped), gd.Sphere(n))


# --- shapes and dtypes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((6, 7), "Sphere(7), or select the columns."),
        ((4,), "Pass an array of shape (rows, 4)."),
        ((2, 6, 4), "Pass an array of shape (rows, 4)."),
        ((), "Pass an array of shape (rows, 4)."),
    ],
)
def test_a_wrong_shape_is_refused_with_advice(shape: tuple[int, ...], advice: str) -> None:
    with pytest.raises(gd.PointShapeError) as refused:
        gd.points(np.ones(shape), SPHERE)
    text = str(refused.value)
    assert text.startswith("Sphere(n=4, curvature=1.0) has points of shape (4,), but ")
    assert f"has shape {shape}" in text
    assert text.endswith(advice)


@pytest.mark.parametrize(
    ("on", "width", "advice"),
    [
        (gd.Circle(), 2, "Pass rows of 1 numbers, or"),
        (gd.Circle(), 0, "Pass rows of 1 numbers, or"),
        (gd.Product((gd.Sphere(3), gd.Euclidean(1))), 5, "Pass rows of 4 numbers, or"),
        (gd.Lorentz(3), 1, "Pass rows of 3 numbers, or"),
        (gd.PoincareBall(3), 4, r"Pass PoincareBall\(4\), or"),
        (gd.Torus(3), 4, r"Pass Torus\(4\), or"),
    ],
)
def test_advice_names_spaces_that_there_are(on: gd.Manifold, width: int, advice: str) -> None:
    with pytest.raises(gd.PointShapeError, match=advice):
        gd.points(np.ones((6, width)), on)


@pytest.mark.parametrize("dtype", ["int32", "uint8", "complex64", "object", "bool", "U3", "M8[s]"])
def test_a_wrong_dtype_is_refused_with_advice(dtype: str, tmp_path: Path) -> None:
    rows = np.ones((3, 4), "int8").astype(dtype)
    with pytest.raises(gd.PointShapeError, match=r"float16, float32, float64, but.*astype"):
        gd.points(rows, gd.Euclidean(4))
    if dtype != "object":
        np.save(tmp_path / "x.npy", rows)
        with pytest.raises(gd.PointShapeError, match=r"x\.npy is .*astype"):
            gd.points(tmp_path / "x.npy", gd.Euclidean(4))


def test_longer_floats_are_refused() -> None:
    if np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("long doubles are doubles here")
    with pytest.raises(gd.PointShapeError, match="float16, float32, float64"):
        gd.points(np.ones((3, 4), np.longdouble), gd.Euclidean(4))


def test_rows_that_numpy_cannot_hold_are_refused_in_words() -> None:
    with pytest.raises(gd.PointShapeError, match=r"float8_e5m2 came\. .*tensor\.float"):
        gd.points(torch.ones((3, 4)).to(torch.float8_e5m2), gd.Euclidean(4))


def test_a_mask_is_not_lost_in_silence() -> None:
    with pytest.raises(gd.PointShapeError, match=r"masked array came\. Pass array\.filled"):
        gd.points(np.ma.masked_array(ROWS, ROWS > 0.5), SPHERE)


def test_an_array_without_rows_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", shape=(), dtype="f4")
    with pytest.raises(gd.PointShapeError, match=r"x\.zarr has shape \(\)"):
        gd.points(tmp_path / "x.zarr", SPHERE)


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    as_zarr(ROWS, tmp_path)
    array = zarr.open_array(f"file://{tmp_path}/x.zarr", mode="r", storage_options={})
    for each in (array, zarr.open_array(FsspecStore.from_url(f"file://{tmp_path}/x.zarr"))):
        assert gd.points(each, SPHERE).read(0, 1000).tobytes() == ROWS.tobytes()


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -1, True, np.True_, 1.5, np.float64(2), "3", None])
def test_k_is_a_positive_integer(k: Any) -> None:
    with pytest.raises(ValueError, match=f"positive integer, but k={re.escape(repr(k))} came"):
        gd.knn(gd.points(ROWS, SPHERE), k=k)


def test_k_is_at_most_what_is_there_and_a_thousand() -> None:
    few, many = gd.points(ROWS[:6], SPHERE), gd.points(np.ones((2000, 1)), gd.Euclidean(1))
    with pytest.raises(ValueError, match="rows to choose from, 5, but k=6 came"):
        gd.knn(few, k=6)
    with pytest.raises(ValueError, match="rows to choose from, 6, but k=7 came"):
        gd.knn(few, few, k=7)
    with pytest.raises(ValueError, match="at most 1000, but k=1001 came"):
        gd.knn(many, k=1001)
    assert gd.knn(few, k=np.int64(5)).compute().indices.shape == (6, 5)


def test_knn_takes_points_of_one_manifold() -> None:
    x = gd.points(ROWS, SPHERE)
    for other in (gd.Euclidean(4), gd.Sphere(4, curvature=2.0)):
        with pytest.raises(gd.SpecError, match="must lie on one manifold"):
            gd.knn(x, gd.points(ROWS, other), k=1)
    for arguments in ((ROWS,), (x, ROWS)):
        with pytest.raises(gd.SpecError, match=r"takes Points.*Call gd\.points first"):
            gd.knn(*arguments, k=1)


@pytest.mark.parametrize("n", [0, 1, -3, 2.5, True, "3", None])
def test_a_sphere_needs_two_columns_or_more(n: Any) -> None:
    with pytest.raises(gd.PointShapeError, match=f"at least 2, but n={re.escape(repr(n))} came"):
        gd.Sphere(n)


@pytest.mark.parametrize("curvature", [-1, 0, float("nan"), float("inf")])
def test_a_sphere_has_positive_curvature(curvature: float) -> None:
    with pytest.raises(gd.SpecError, match=f"positive finite curvature, but curvature={curvature}"):
        gd.Sphere(4, curvature=curvature)


def test_numbers_of_numpy_make_a_manifold() -> None:
    on = gd.Sphere(np.int64(4), curvature=np.float32(0.5))
    assert on == gd.Sphere(4, curvature=0.5)
    assert gd.knn(gd.points(ROWS, on), k=1).compute().report.certified == 1.0


def test_flat_space_needs_a_column() -> None:
    with pytest.raises(gd.PointShapeError, match="at least 1, but n=0 came"):
        gd.Euclidean(0)
    with pytest.raises(TypeError, match="curvature"):
        gd.Euclidean(4, curvature=1.0)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("manifold", ["sphere", 384, gd.Sphere], ids=str)
def test_a_manifold_is_an_instance(manifold: Any) -> None:
    with pytest.raises(gd.SpecError, match="A manifold is needed"):
        gd.points(ROWS, manifold)


def test_an_array_that_names_no_manifold_needs_one(tmp_path: Path) -> None:
    with pytest.raises(gd.SpecError, match="does not say what manifold"):
        gd.points(ROWS)
    with pytest.raises(gd.SpecError, match=r"x\.zarr does not say what manifold"):
        gd.open(as_zarr(ROWS, tmp_path)[0])


def test_an_array_that_names_its_manifold_keeps_it(tmp_path: Path) -> None:
    gd.points(ROWS, gd.Sphere(4, curvature=2.0)).save(tmp_path / "x.zarr")
    array = zarr.open_array(tmp_path / "x.zarr", path="points", mode="r")
    for source in (tmp_path / "x.zarr", str(tmp_path / "x.zarr" / "points"), array):
        assert gd.points(source).manifold == gd.Sphere(4, curvature=2.0)
        for other in (SPHERE, gd.Euclidean(4)):
            with pytest.raises(gd.SpecError, match=r"holds points of Sphere\(n=4, curvature=2"):
                gd.points(source, other)


def test_a_path_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("rows")
    for name in ("no.npy", "no.zarr", "text.txt", ""):
        with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / name))):
            gd.points(tmp_path / name, SPHERE)
    with pytest.raises(FileNotFoundError, match=r"no\.zarr"):
        gd.open(tmp_path / "no.zarr")


def test_a_group_needs_an_array_of_points(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "g.zarr").create_array("vectors", data=ROWS)
    with pytest.raises(gd.PointShapeError, match=r"group of \['vectors'\]"):
        gd.points(tmp_path / "g.zarr", SPHERE)
    assert len(gd.points(tmp_path / "g.zarr" / "vectors", SPHERE)) == 1000


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        (["a"], "6 are needed, but 1 came"),
        (range(7), "6 are needed, but 7 came"),
        ([1.5] * 6, "strings or integers"),
        ([True] * 6, "strings or integers"),
        ([[1]] * 6, "strings or integers"),
        ("abcdef", "strings or integers"),
        ([b"a"] * 6, "strings or integers"),
        (np.array(["a", "b", None, "d", "e", "f"], object), "names that are missing"),
    ],
)
def test_ids_name_rows_one_by_one(ids: Any, text: str) -> None:
    with pytest.raises(gd.PointShapeError, match=text):
        gd.points(ROWS[:6], SPHERE, ids=ids)


# --- a container of rows ------------------------------------------------------------------------

NAMES = np.array([f"row {i}" for i in range(1000)])


def in_memory(folder: Path) -> gd.Points:
    return gd.points(ROWS, SPHERE, ids=NAMES)


def saved(folder: Path) -> gd.Points:
    in_memory(folder).save(folder / "saved.zarr")
    return gd.open(folder / "saved.zarr")


def lazy(folder: Path) -> gd.Points:
    return gd.points(da.from_array(ROWS, chunks=(77, 4)), SPHERE, ids=NAMES)


def mapped(folder: Path) -> gd.Points:
    np.save(folder / "mapped.npy", ROWS)
    return gd.points(folder / "mapped.npy", SPHERE, ids=NAMES)


def joined(folder: Path) -> gd.Points:
    x = in_memory(folder)
    return gd.concat([x[:1], x[1:1], saved(folder)[1:700], x[700:]])


@pytest.fixture(params=[in_memory, saved, lazy, mapped, joined])
def x(request: Any, tmp_path: Path) -> gd.Points:
    """The same thousand rows, kept in different ways."""
    return request.param(tmp_path)


def holds(x: gd.Points, rows: Any) -> bool:
    """Whether these are the rows ROWS[rows], with their names."""
    read = x.read(0, len(x))
    same = read.tobytes() == np.ascontiguousarray(ROWS[rows]).tobytes()
    return same and list(x.ids) == list(NAMES[rows]) and read.flags.c_contiguous


def test_points_are_a_container(x: gd.Points) -> None:
    assert len(x) == 1000
    assert x.shape == (1000, 4)
    assert x.dtype == np.float32
    assert x.manifold == SPHERE
    assert holds(x, slice(None))
    assert "1000 x Sphere(n=4, curvature=1.0) float32" in repr(x)
    array = x.array
    assert array.shape == (1000, 4)
    assert array.compute().tobytes() == ROWS.tobytes()
    assert x.read(990, 1000).tobytes() == ROWS[990:].tobytes()
    assert x.read(3, 3).shape == (0, 4)


ROW_NUMBERS = {
    "slice": slice(10, 20),
    "backwards": slice(None, None, -7),
    "beyond": slice(990, 2000),
    "nothing": slice(5, 5),
    "mask": np.arange(1000) % 3 == 1,
    "empty mask": np.zeros(1000, bool),
    "numbers": [3, 999, -1, -1000, 3],
    "unsigned": np.array([8, 2], np.uint8),
    "none": [],
}


@pytest.mark.parametrize("name", ROW_NUMBERS)
def test_slices_masks_and_row_numbers_give_points(x: gd.Points, name: str) -> None:
    rows = ROW_NUMBERS[name]
    some = x[rows]
    assert isinstance(some, gd.Points)
    assert holds(some, np.array(rows, int) if isinstance(rows, list) else rows)


def test_selected_and_joined_rows_are_a_dask_array(x: gd.Points) -> None:
    for some, rows in ((x[::-3], ROWS[::-3]), (gd.concat([x, x]), np.concatenate([ROWS, ROWS]))):
        assert some.array.shape == rows.shape
        assert some.array.compute().tobytes() == np.ascontiguousarray(rows).tobytes()


def test_blocks_are_the_rows_in_turn(x: gd.Points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.engine.sources.BLOCK_BYTES", 16 * 130)
    blocks = list(x.iter_blocks())
    assert len(blocks) > 1 or x.source.chunk_rows == 1000
    assert holds(gd.concat(blocks), slice(None))
    assert list(x[:0].iter_blocks()) == []


def test_a_row_number_gives_a_single_row(x: gd.Points) -> None:
    for row in (0, -1, np.int32(7)):
        assert holds(x[row], [row])
    assert holds(x[5:][::2][[1, -1]], [7, 999])
    assert sum(1 for _ in x[:3]) == 3


@pytest.mark.parametrize("rows", [1000, -1001, [0, 1000], [-1001], [True] * 999])
def test_rows_that_are_not_there_are_an_index_error(x: gd.Points, rows: Any) -> None:
    with pytest.raises(IndexError, match=r"1000|999"):
        x[rows]


@pytest.mark.parametrize("rows", [1.5, None, "a", [0.0], [[0]]], ids=str)
def test_other_indices_are_an_index_error(rows: Any) -> None:
    with pytest.raises(IndexError, match="a row, a slice, a mask or row numbers"):
        gd.points(ROWS, SPHERE)[rows]


def test_a_sample_is_drawn_without_replacement(x: gd.Points) -> None:
    some = x.sample(100, seed=3)
    rows = [int(name[4:]) for name in some.ids]
    assert rows == sorted(set(rows))
    assert len(rows) == 100
    assert holds(some, rows)
    assert list(x.sample(100, seed=3).ids) == list(some.ids) != list(x.sample(100, seed=4).ids)
    assert holds(x.sample(1000, seed=0), slice(None))
    assert len(x.sample(0, seed=0)) == 0
    for size in (-1, 1001):
        with pytest.raises(ValueError, match=f"has 0 to 1000, but {size} came"):
            x.sample(size, seed=0)


def test_concat_joins_rows(x: gd.Points) -> None:
    twice = gd.concat([x, x])
    assert holds(twice, np.tile(np.arange(1000), 2))
    assert holds(twice[[1999, 0, 1000]], [999, 0, 0])
    assert holds(gd.concat(iter([x])), slice(None))
    result = gd.knn(twice, k=1).compute()
    assert (result.indices[:, 0] == np.roll(np.arange(2000), 1000)).all()
    assert not result.distances.any()


def test_concat_takes_points_of_one_dtype(x: gd.Points) -> None:
    wide = gd.points(ROWS.astype(np.float64), gd.Sphere(4), ids=NAMES, project=True)
    with pytest.raises(gd.SpecError, match="one dtype can be joined"):
        gd.concat([x, wide])


def test_concat_drops_no_ids() -> None:
    named, nameless = gd.points(ROWS, SPHERE, ids=NAMES), gd.points(ROWS, SPHERE)
    assert gd.concat([nameless, nameless]).ids is None
    with pytest.raises(gd.SpecError, match="1 of 2 have ids"):
        gd.concat([named, nameless])
    with pytest.raises(gd.SpecError, match=r"integers \(int64\) and strings came"):
        gd.concat([named, gd.points(ROWS, SPHERE, ids=range(1000))])


def test_concat_takes_points_of_one_manifold() -> None:
    with pytest.raises(ValueError, match="at least one Points"):
        gd.concat([])
    with pytest.raises(gd.SpecError, match="Points of one manifold can be joined"):
        gd.concat([gd.points(ROWS, SPHERE), gd.points(ROWS, gd.Euclidean(4))])


# --- storage ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids",
    [
        None,
        range(1000),
        np.arange(1000, dtype=np.uint8),
        ["ä", "", "日本語", "a b\n"] * 250,
        [""] * 1000,
        np.array(["x", "yz"] * 500, object),
        np.array(["x", "yz"] * 500, np.dtypes.StringDType()),
    ],
    ids=["none", "range", "uint8", "unicode", "empty", "object", "StringDType"],
)
def test_what_is_saved_is_opened_again(ids: Any, tmp_path: Path) -> None:
    manifold = gd.Sphere(4, curvature=0.5)
    before = gd.points(ROWS, manifold, ids=ids)
    before.save(tmp_path / "x.zarr")
    for path in (tmp_path / "x.zarr", str(tmp_path / "x.zarr"), f"file://{tmp_path}/x.zarr"):
        after = gd.open(path)
        assert after.manifold == manifold
        assert after.dtype == np.float32
        assert after.read(0, 1000).tobytes() == ROWS.tobytes()
        assert (after.ids is None) == (ids is None)
        assert ids is None or list(after.ids) == list(ids)


def test_points_are_saved_as_they_are_stored(x: gd.Points, tmp_path: Path) -> None:
    x[::3].save(tmp_path / "third.zarr")
    assert holds(gd.open(tmp_path / "third.zarr"), slice(None, None, 3))
    assert gd.open(tmp_path / "third.zarr").dtype == np.float32


def test_what_exists_is_not_overwritten_unasked(tmp_path: Path) -> None:
    x = gd.points(ROWS, SPHERE)
    x.save(tmp_path / "x.zarr")
    (tmp_path / "file").write_text("precious")
    for path in (tmp_path / "x.zarr", tmp_path / "file", tmp_path):
        with pytest.raises(gd.StoreError, match=r"exists\. Pass overwrite=True"):
            x[:5].save(path)
    assert len(gd.open(tmp_path / "x.zarr")) == 1000
    assert (tmp_path / "file").read_text() == "precious"
    x[:5].save(tmp_path / "x.zarr", overwrite=True)
    assert len(gd.open(tmp_path / "x.zarr")) == 5


def test_points_saved_onto_their_own_path_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    gd.points(ROWS, SPHERE, ids=NAMES).save(path)
    gd.open(path).save(path, overwrite=True)
    assert holds(gd.open(path), slice(None))
    gd.open(path)[::-1].save(path, overwrite=True)
    assert holds(gd.open(path), slice(None, None, -1))
    gd.open(path)[:10].save(path, overwrite=True)
    assert holds(gd.open(path), slice(999, 989, -1))


def test_a_save_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError

    path = tmp_path / "x.zarr"
    gd.points(ROWS, SPHERE, ids=NAMES).save(path)
    broken = da.from_array(ROWS, chunks=(77, 4)).map_blocks(fail, meta=ROWS[:0])
    with pytest.raises(ZeroDivisionError):
        gd.points(broken, SPHERE).save(path, overwrite=True)
    assert holds(gd.open(path), slice(None))
    assert [each.name for each in tmp_path.iterdir()] == ["x.zarr"]


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    gd.points(ROWS, SPHERE, ids=NAMES).save(tmp_path / "x.npy")
    assert holds(gd.open(tmp_path / "x.npy"), slice(None))


def test_what_is_overwritten_is_read_as_it_is_now(tmp_path: Path) -> None:
    for chunks in (100, 1000):
        group = zarr.create_group(tmp_path / "x.zarr", overwrite=True)
        attributes = {"geodask": {"manifold": SPHERE.to_spec()}}
        group.create_array("points", data=ROWS, chunks=(chunks, 4), attributes=attributes)
        assert gd.open(tmp_path / "x.zarr").read(0, 1000).tobytes() == ROWS.tobytes()
    gd.points(ROWS.astype(np.float64), SPHERE, project=True).save(
        tmp_path / "x.zarr", overwrite=True
    )
    assert gd.open(tmp_path / "x.zarr").read(500, 600).dtype == np.float64
    np.testing.assert_allclose(gd.open(tmp_path / "x.zarr").read(500, 600), ROWS[500:600], 1e-6)


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param(None, id="none"),
        pytest.param(range(1000), id="int"),
        pytest.param(NAMES, id="str"),
    ],
)
def test_no_rows_are_saved_and_opened(ids: Any, tmp_path: Path) -> None:
    gd.points(ROWS, SPHERE, ids=ids)[:0].save(tmp_path / "x.zarr")
    assert gd.open(tmp_path / "x.zarr").shape == (0, 4)


def test_no_rows_have_no_ids() -> None:
    assert len(gd.points(ROWS[:0], SPHERE, ids=[]).ids) == 0


def test_a_lost_chunk_of_saved_points_is_an_error(tmp_path: Path) -> None:
    for ids in (NAMES, np.zeros(1000, int)):
        gd.points(0 * ROWS, gd.Euclidean(4), ids=ids).save(tmp_path / "x.zarr", overwrite=True)
        assert len(gd.open(tmp_path / "x.zarr").ids) == 1000  # blocks of zeros are written
        for name in ("id_text", "ids"):
            for chunk in (tmp_path / "x.zarr" / name).glob("c/*"):
                chunk.rename(tmp_path / "aside")
                with pytest.raises(gd.StoreError, match="must exist, but is missing"):
                    list(gd.open(tmp_path / "x.zarr").ids)
                (tmp_path / "aside").rename(chunk)
    (tmp_path / "x.zarr" / "points" / "c" / "0" / "0").unlink()
    with pytest.raises(gd.StoreError, match=r"Chunk c/0/0 of .* must exist, but is missing"):
        gd.knn(gd.open(tmp_path / "x.zarr"), k=2).compute()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    gd.points(ROWS, SPHERE).save(tmp_path / "x.zarr")
    (tmp_path / "link").symlink_to(tmp_path / "x.zarr")
    gd.points(ROWS[:5], SPHERE).save(tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert len(gd.open(tmp_path / "x.zarr")) == 5


def test_several_may_save_at_once(tmp_path: Path) -> None:
    def save(number: int) -> None:
        gd.points(ROWS[number:], SPHERE).save(tmp_path / "x.zarr", overwrite=True)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, range(24)))
    assert 976 < len(gd.open(tmp_path / "x.zarr")) <= 1000
    assert [each.name for each in tmp_path.iterdir()] == ["x.zarr"]


def test_a_folder_that_goes_while_it_is_looked_at_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    path.mkdir()

    def taken_away(self: Path) -> Iterator[Path]:
        self.rmdir()
        raise FileNotFoundError(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "iterdir", taken_away)
        gd.points(ROWS, SPHERE).save(path)
    assert len(gd.open(path)) == len(ROWS)


def test_what_another_saved_meanwhile_is_kept(tmp_path: Path) -> None:
    path, write = tmp_path / "x.zarr", save._write

    def overtaken(x: gd.Points, partial: Path) -> None:
        write(x, partial)
        write(gd.points(ROWS[:10], SPHERE), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(save, "_write", overtaken)
        with pytest.raises(gd.StoreError, match="exists"):
            gd.points(ROWS, SPHERE).save(path)
    assert len(gd.open(path)) == 10
    assert [each.name for each in tmp_path.iterdir()] == ["x.zarr"]


@pytest.mark.parametrize("name", ["a\0", "\ud800"])
def test_names_that_cannot_be_kept_are_refused(name: str) -> None:
    with pytest.raises(gd.PointShapeError, match="text that UTF-8 can hold"):
        gd.points(ROWS[:2], SPHERE, ids=[name, "b"])
