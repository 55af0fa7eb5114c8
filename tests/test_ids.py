"""Ids stay where they are stored, and rows are found by them through an index on disk."""

import pickle
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.engine import ids as ids_module
from geodask.engine import lookup, sources, stored_ids
from geodask.engine.derived import Selected
from geodask.engine.ids import Ids
from geodask.engine.selection import gather, pick
from geodask.engine.sources import Memory

FLAT = gd.Euclidean(1)
TEXT = [f"doc-{i}" * (1 + i % 5) for i in range(997)]
TEXT[3:6] = ["", "ä日本語", "x" * 3000]
KINDS = {
    "text": TEXT,
    "int64": [(-1) ** i * 7919 * i for i in range(997)],
    "uint64": np.arange(997, dtype=np.uint64) + np.uint64(2**63),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks and buckets out of a thousand ids."""
    for module in (ids_module, stored_ids, lookup):
        monkeypatch.setattr(module, "ID_ROWS", 64)
    monkeypatch.setattr(stored_ids, "TEXT_BYTES", 1000)
    monkeypatch.setattr(lookup, "BUCKET_ROWS", 100)


def numbered(ids: Any) -> gd.Points:
    """A row for each id, which is its number."""
    return gd.points(np.arange(float(len(ids)))[:, None], FLAT, ids=ids)


def in_memory(ids: Any, folder: Path) -> gd.Points:
    return numbered(ids)


def stored(ids: Any, folder: Path) -> gd.Points:
    numbered(ids).save(folder / "x.zarr")
    return gd.open(folder / "x.zarr")


def selected(ids: Any, folder: Path) -> gd.Points:
    return stored(list(ids)[::-1], folder)[::-1]


def joined(ids: Any, folder: Path) -> gd.Points:
    x = stored(ids, folder)
    return gd.concat([x[:400], numbered(ids)[400:401], x[401:]])


each_place = pytest.mark.parametrize("place", [in_memory, stored, selected, joined])
each_kind = pytest.mark.parametrize("kind", KINDS)


def numbers(x: gd.Points) -> list[int]:
    return [int(row) for row in x.read(0, len(x))[:, 0]]


@each_place
@each_kind
def test_ids_are_a_sequence_wherever_they_are(place: Any, kind: str, tmp_path: Path) -> None:
    expected = list(KINDS[kind])
    ids = place(KINDS[kind], tmp_path).ids
    assert isinstance(ids, Ids)
    assert len(ids) == 997
    assert ids.dtype == (object if kind == "text" else kind)
    assert list(ids) == expected == np.asarray(ids).tolist()
    for start, stop in ((0, 0), (0, 1), (63, 65), (500, 997), (996, 2000)):
        assert ids.read(start, stop).tolist() == expected[start:stop]
    rows = [996, 0, 64, 64, 3, 5]
    assert ids.take(rows).tolist() == [expected[row] for row in rows]
    assert ids.take([]).tolist() == []
    assert "Ids of 997 rows" in repr(ids)


@each_place
@each_kind
def test_ids_go_along_with_their_rows(place: Any, kind: str, tmp_path: Path) -> None:
    x, expected = place(KINDS[kind], tmp_path), np.array(list(KINDS[kind]), object)
    for rows in (slice(900, 3, -7), np.arange(997) % 5 == 2, [5, 5, -1]):
        some = x[rows]
        some.save(tmp_path / "some.zarr", overwrite=True)
        for each in (some, gd.open(tmp_path / "some.zarr"), some[::-1][::-1]):
            assert list(each.ids) == expected[rows].tolist()


@each_place
@each_kind
def test_rows_are_found_by_id(place: Any, kind: str, tmp_path: Path) -> None:
    x, ids = place(KINDS[kind], tmp_path), np.array(list(KINDS[kind]), object)
    rows = np.random.default_rng(0).permutation(997)
    before = numbers(x)
    assert x.rows_of(ids[rows].tolist()).tolist() == rows.tolist()
    assert x.rows_of(ids[[4, 4]].tolist()).tolist() == [4, 4]
    assert numbers(x.take(ids[[9, 2]].tolist())) == [before[9], before[2]]
    assert len(x.take([])) == 0


def test_an_id_that_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    x = stored(TEXT, tmp_path)
    with pytest.raises(KeyError, match=r"x\.zarr/points has no rows named 'no', 'No'\."):
        x.rows_of(["doc-0", "no", "No"])
    with pytest.raises(KeyError, match="'n0', 'n1', 'n2', 'n3', 'n4' and 4 more"):
        x.rows_of([f"n{i}" for i in range(9)])
    for ids in ([], range(0)):
        with pytest.raises(KeyError, match="named 3"):
            gd.points(np.empty((0, 1)), FLAT, ids=ids).rows_of([3])


def test_integers_are_not_confused_beyond_what_a_float_holds() -> None:
    signed = numbered([2**53, 2**53 + 1, -1])
    assert signed.rows_of(np.array([2**53 + 1], np.uint64)).tolist() == [1]
    unsigned = numbered(np.array([2**64 - 1, 5], np.uint64))
    assert unsigned.rows_of([5]).tolist() == [1]
    for x, wanted in ((signed, np.array([2**64 - 1], np.uint64)), (unsigned, [-1])):
        with pytest.raises(KeyError, match="has no rows named"):
            x.rows_of(wanted)


def test_ids_of_several_rows_cannot_be_looked_up(tmp_path: Path) -> None:
    x = stored(["a", "b"] * 200 + ["c"], tmp_path)  # equal hashes over many chunks
    assert x.rows_of(["c"]).tolist() == [400]
    with pytest.raises(gd.SpecError, match=r"must be unique.*several rows are named 'b'"):
        x.rows_of(["c", "b"])


def test_equal_hashes_do_not_confuse_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "hash_ids", lambda ids: np.full(len(ids), 7, np.uint64))
    assert numbered(TEXT).rows_of([TEXT[500], TEXT[4]]).tolist() == [500, 4]


def test_rows_without_ids_or_with_others_are_refused() -> None:
    with pytest.raises(gd.SpecError, match=r"has none\. Pass ids="):
        gd.points(np.ones((3, 1)), FLAT).rows_of([1])
    with pytest.raises(gd.SpecError, match="named by strings, but integers came"):
        numbered(TEXT).rows_of([1])
    with pytest.raises(gd.PointShapeError, match="one a row"):
        numbered(TEXT).rows_of("doc-0")


def test_the_index_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)
    x = stored(TEXT, tmp_path)
    x.rows_of(["doc-0"])

    def fail(*arguments: Any) -> None:
        raise AssertionError("this must not happen")

    with monkeypatch.context() as patch:
        patch.setattr(lookup, "_build", fail)
        assert x.rows_of([TEXT[9]]).tolist() == [9]
        assert gd.open(tmp_path / "x.zarr").rows_of([TEXT[9]]).tolist() == [9]
    numbered(TEXT[::-1]).save(tmp_path / "x.zarr", overwrite=True)
    assert gd.open(tmp_path / "x.zarr").rows_of([TEXT[9]]).tolist() == [987]


def test_an_index_left_unfinished_or_damaged_is_built_again(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = numbered(TEXT)
    with monkeypatch.context() as patch:
        patch.setattr("geodask.storage.group.Group.commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            x.rows_of(["doc-0"])
    assert not list(store.glob("scratch-*"))
    assert x.rows_of([TEXT[7]]).tolist() == [7]
    (chunk,) = store.glob("ids-*/hashes/c/3")
    data = bytearray(chunk.read_bytes())
    data[5] ^= 1
    chunk.write_bytes(data)
    assert x.rows_of(TEXT).tolist() == list(range(len(TEXT)))
    assert chunk.read_bytes() != bytes(data)


def test_an_index_that_has_no_room_is_refused() -> None:
    with (
        dask.config.set({"geodask.store-max-bytes": "10 kB"}),
        pytest.raises(gd.MemoryPlanError, match="index of 997 ids writes 31904 bytes"),
    ):
        numbered(TEXT).rows_of(["doc-0"])


def test_stored_ids_travel_as_paths(tmp_path: Path) -> None:
    ids = stored(TEXT, tmp_path).ids
    assert len(pickle.dumps(ids)) < 2000
    assert list(pickle.loads(pickle.dumps(ids))) == TEXT


def test_ends_that_shrink_are_a_store_error(tmp_path: Path) -> None:
    ids = stored(TEXT, tmp_path).ids
    zarr.open_array(tmp_path / "x.zarr", path="id_ends")[10] = 2
    with pytest.raises(gd.StoreError, match="ends that grow"):
        ids.read(5, 20)
    zarr.open_array(tmp_path / "x.zarr", path="id_ends")[10] = 10**9
    with pytest.raises(gd.StoreError, match=r"id_text|ends that grow"):
        ids.read(5, 11)


def test_a_selection_of_a_selection_is_one() -> None:
    line = range(100)
    for first in (slice(90, 3, -3), slice(5, 60), slice(8, 8)):
        for second in (slice(None, None, -1), slice(20, 2, -2), slice(3, 9), slice(4, 4)):
            some = line[first]
            positions = range(len(some))[second]
            assert list(pick(some, positions)) == list(some[second])
            assert pick(np.array(some), positions).tolist() == list(some[second])
            found = gather(lambda a, b: np.arange(100)[a:b], pick(some, positions), 7)
            assert found.tolist() == list(some[second])


def test_a_slice_of_many_rows_is_a_small_value() -> None:
    rows = np.broadcast_to(np.zeros((1, 1)), (10**10, 1))
    base = Memory(rows.shape, rows.dtype, rows)
    source = Selected((5 * 10**9, 1), rows.dtype, base, range(10**10)[::2])
    x = gd.Points(source, FLAT)[10:-10][::-3]
    assert len(x) == len(range(5 * 10**9)[10:-10][::-3])
    assert x.source.shape == (len(x), 1)
    assert not x.read(0, 3).any()
