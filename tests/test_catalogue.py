"""`gd.store()`: what is stored, how it was used, what it was made of, and whether it is sound."""

import gc
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from zarr.storage import MemoryStore

import geodask as gd
from geodask.engine import sources
from geodask.storage.array import ArraySpec
from geodask.storage.entries import _known, entries
from geodask.storage.keys import content_key
from geodask.storage.leases import leased
from geodask.storage.objects import Objects, open_objects
from geodask.storage.seal import sealed
from groups import build
from test_html import text
from test_store import delete, flip, swap, truncate

COLUMNS = [
    "name", "operation", "parameters", "manifold", "shape", "dtype", "bytes", "created",
    "last_used", "hits", "seconds", "status",
]  # fmt: skip


@pytest.fixture
def x() -> gd.Points:
    return gd.points(gd.Sphere(4).random(120, seed=0), gd.Sphere(4))


def test_a_list_says_what_each_entry_is(x: gd.Points) -> None:
    begin = time.time()
    result = gd.knn(x, k=3).persist()
    gd.knn(x, k=3).persist()
    gd.mean(x[:2]).persist()
    frame = gd.store().list()
    assert list(frame.columns) == COLUMNS
    assert frame["operation"].tolist() == ["mean", "knn"]  # the last used first
    row = frame.loc[result.report.key]
    assert row["parameters"] == {"k": 3, "itself": True}
    assert row["manifold"] == gd.Sphere(4).to_spec()
    assert (row["shape"], row["dtype"]) == ((120, 3), "int64")
    assert row["bytes"] == 120 * (3 * (8 + 8 + 8) + 1)
    assert (row["hits"], row["status"]) == (1, "complete")
    assert row["seconds"] == result.report.seconds
    assert begin - 1 < row["created"].timestamp() <= row["last_used"].timestamp() < time.time() + 1
    assert len(gd.store()) == 2


def test_an_empty_store_has_nothing_and_is_not_made(tmp_path: Path) -> None:
    there = gd.store(tmp_path / "nowhere")
    assert list(there.list().columns) == COLUMNS
    assert len(there) == there.clear() == there.stats()["bytes"] == 0
    assert there.verify().empty
    assert "0 entries" in repr(there)
    assert not (tmp_path / "nowhere").exists()


def test_a_result_comes_back_by_its_key_a_part_of_it_or_its_name(x: gd.Points) -> None:
    first = gd.knn(x, k=3).persist()
    gd.store().pin(first.report.key[:7], "neighbours")
    full = first.report.key
    for key in (full, full[:7], f"knn-{full[:5]}", "neighbours"):
        again = gd.store().get(key)
        assert sorted(again.arrays) == ["certified", "distances", "indices", "ranks"]
        assert np.array_equal(again.arrays["indices"].compute(), first.indices.compute())
        assert again.report.cache_hit
        assert again.report.seconds == first.report.seconds
        assert "indices (120, 3) int64" in text(again._repr_html_())
    assert gd.store().stats()["hits"] == 4


def test_a_result_over_stored_points_comes_back_as_it_was(x: gd.Points, tmp_path: Path) -> None:
    x.save(tmp_path / "x.zarr")
    stored = gd.open(tmp_path / "x.zarr")
    for plan in (gd.knn(stored, k=3), gd.plan(gd.dist, stored, stored[:1]), gd.pairwise(stored)):
        first = plan.persist()
        again = gd.store().get(first.report.key)
        assert type(again) is type(first)
        assert again.report.seconds == first.report.seconds


def test_keys_of_nothing_and_of_several_are_errors(x: gd.Points, monkeypatch: Any) -> None:
    gd.knn(x, k=3).persist()
    gd.knn(x, k=4).persist()
    there = gd.store()
    for method in (there.get, there.pin, there.unpin, there.verify, there.evict, there.provenance):
        for key, said in (
            ("zz", "'zz' is of none"),
            ("", "'' is of none"),
            ("knn-", "of knn-.*, "),
        ):
            with pytest.raises(gd.SpecError, match=said):
                method(key)


def test_what_is_no_result_or_not_complete_cannot_be_opened(x: gd.Points, monkeypatch: Any) -> None:
    e = gd.exp_map(x, gd.log_map(x, x[:1]))
    gd.knn(e, k=2).persist()
    (copy,) = (key for key, row in gd.store().list().iterrows() if row["operation"] == "points")
    with pytest.raises(gd.SpecError, match="intermediate"):
        gd.store().get(copy)

    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("geodask.engine.driver.Run.run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            gd.knn(x, k=5).persist()
    (key,) = gd.store().list().query("status != 'complete'").index
    with pytest.raises(gd.StoreError, match="building"):
        gd.store().get(key)


def test_pins_keep_entries_and_name_one_each(x: gd.Points) -> None:
    keys = [gd.knn(x, k=k).persist().report.key for k in (2, 3)]
    gc.collect()
    there = gd.store()
    there.pin(keys[0], "one")
    with pytest.raises(gd.SpecError, match="'one' is of knn-"):
        there.pin(keys[1], "one")
    with pytest.raises(gd.StoreError, match="it is pinned"):
        there.evict("one")
    there.pin(keys[0], "first")  # another name for it
    assert there.list()["name"].dropna().tolist() == ["first"]
    assert there.clear() > 0
    assert there.list().index.tolist() == [keys[0]]
    there.unpin("first")
    assert there.evict(keys[0]) > 0
    assert len(there) == 0


def test_what_is_open_is_not_evicted(x: gd.Points) -> None:
    result = gd.knn(x, k=3).persist()
    with pytest.raises(gd.StoreError, match="reads or builds"):
        gd.store().evict(result.report.key)
    assert gd.store().clear() == 0
    assert result.indices.compute().shape == (120, 3)


def test_provenance_goes_back_through_stored_results(x: gd.Points, tmp_path: Path) -> None:
    tangents = gd.plan(gd.log_map, x[:1], x).persist()
    ends = gd.exp_map(x[:1], tangents.values)
    result = gd.knn(ends, k=3).persist()
    found = gd.store().provenance(result)
    assert found == gd.store().provenance(result.report.key)
    assert (found["operation"], found["parameters"]["k"]) == ("knn", 3)
    (source,) = found["inputs"]
    assert source["label"].startswith("Dask array")
    assert (source["shape"], source["dtype"]) == ([120, 4], "float64")
    assert len(source["digest"]) == 40
    (before,) = source["results"]
    assert before["url"] == tangents.report.url
    assert [each["shape"] for each in before["inputs"]] == [[1, 4], [120, 4]]
    assert [each["label"] for each in before["inputs"]] == ["array in memory"] * 2
    gone = Path(tangents.report.url).name
    key = result.report.key
    del tangents, ends, result
    gc.collect()
    gd.store().evict(gone)
    ((before,),) = (each["results"] for each in gd.store().provenance(key)["inputs"])
    assert before["status"] == "gone"


def test_provenance_of_rows_read_from_a_path_where_a_result_was_put(
    x: gd.Points, tmp_path: Path
) -> None:
    gd.plan(gd.exp_map, x[:1], gd.log_map(x[:1], x)).persist(tmp_path / "ends")
    ends = gd.points(tmp_path / "ends" / "values", gd.Sphere(4))
    found = gd.store().provenance(gd.knn(ends[10:], k=2).persist(tmp_path / "mine"))
    assert found["url"] == str(tmp_path / "mine")
    (source,) = found["inputs"]
    assert source["label"] == f"selected rows of {tmp_path / 'ends' / 'values'}"
    assert source["results"][0]["operation"] == "pointwise"


def test_it_shows_itself(x: gd.Points) -> None:
    gd.knn(x, k=3).persist()
    gd.knn(x, k=3).persist()
    assert "1 entries" in repr(gd.store())
    assert "1 hits, 1 misses" in repr(gd.store())
    shown = text(gd.store()._repr_html_())
    assert "1 hits" in shown
    assert "knn" in shown


# --- verify --------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [delete, flip, truncate, swap])
def test_verify_finds_every_object_that_is_damaged(
    x: gd.Points, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any
) -> None:
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)
    paths = [tmp_path / f"{name}.npy" for name in "ab"]
    for number, path in enumerate(paths):
        np.save(path, gd.Sphere(4).random(120, seed=number))
    held = [gd.knn(gd.points(path, gd.Sphere(4)), k=3).persist() for path in paths]
    gd.knn(gd.exp_map(x, gd.log_map(x, x[:1])), k=2).persist()
    gd.store().pin(held[0].report.key, "a")
    gd.store().pin(held[1].report.key, "b")
    leased(open_objects(str(store)))  # the leases of what is dropped are not rewritten later
    assert gd.store().verify().empty
    files = sorted(path for path in store.rglob("*") if path.is_file())
    assert len({path.relative_to(store).parts[0] for path in files}) >= 8
    for position, path in enumerate(files):
        other = files[position - 1]
        if damage is delete and path.relative_to(store).parts[0] in FORGOTTEN:
            continue
        if damage is swap and path.read_bytes() == other.read_bytes():
            continue
        before = path.read_bytes(), other.read_bytes()
        damage(path, other)
        found = gd.store().verify()
        assert found["object"].str.contains(path.relative_to(store).parts[0]).any(), path
        assert path.exists() == (damage is not delete)  # nothing was mended
        path.write_bytes(before[0])
        other.write_bytes(before[1])
    assert gd.store().verify().empty
    del held


FORGOTTEN = ("admission", "grown-from", "leases", "limit", "pins", "usage")
"""Without such a note nothing is wrong: it is as if it had never been written."""


def test_verify_says_nothing_of_what_is_written_or_goes_meanwhile(
    x: gd.Points, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gd.knn(x, k=2).persist()
    (store / "usage").mkdir(exist_ok=True)
    (store / "usage" / "one.partial").write_text("half")
    assert gd.store().verify().empty
    get, store_now = Objects.get, gd.store()
    (entry,) = store.glob("knn-*")

    def evicted_meanwhile(self: Objects, key: str) -> Any:
        found = get(self, key)
        if key == f"{entry.name}/indices/zarr.json" and entry.exists():
            entry.rename(store / "gone")
        return found

    monkeypatch.setattr(Objects, "get", evicted_meanwhile)
    assert store_now.verify(entry.name).empty


def test_verify_of_one_entry_looks_at_that_alone(x: gd.Points) -> None:
    good, bad = (gd.knn(x, k=k).persist().report for k in (3, 4))
    flip(Path(bad.url) / "indices" / "c" / "0" / "0", Path())
    assert gd.store().verify(good.key).empty
    found = gd.store().verify(bad.key)
    assert found.to_numpy().tolist() == [[f"knn-{bad.key}/indices/c/0/0", "altered"]]


def test_verify_of_what_is_being_built_finds_marks_and_blocks_that_differ(store: Path) -> None:
    from geodask.storage.group import create

    objects, spec = open_objects(str(store)), {"operation": "test", "inputs": []}
    array = ArraySpec("values", (4,), 2, "float64")
    path = f"test-{content_key(spec)}"
    group = create(objects, path, spec, [array], None)
    group.mark(dict(group.write(array, block, np.ones(2) * block)[:2] for block in (0, 1)), {})
    assert gd.store().verify().empty
    swap(store / path / "values" / "c" / "0", store / path / "values" / "c" / "1")
    assert len(gd.store().verify()) == 2
    truncate(next((store / path / "marks").iterdir()), Path())
    assert gd.store().verify()["problem"].tolist() == ["altered"]


def test_digests_of_two_inputs_cannot_be_swapped(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan would have found the result for the other file."""
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)
    points = []
    for seed in (0, 1):
        np.save(tmp_path / f"{seed}.npy", gd.Sphere(4).random(50, seed=seed))
        points.append(gd.points(tmp_path / f"{seed}.npy", gd.Sphere(4)))
    keys = [gd.knn(x, k=2).persist().report.key for x in points]
    swap(*(store / "admission").iterdir())
    assert [gd.knn(x, k=2).persist().report.key for x in points] == keys


# --- size ----------------------------------------------------------------------------------------


def many(root: Path, count: int) -> None:
    """Roots of groups that were never computed."""
    for number in range(count):
        spec = {"operation": "test", "number": number, "inputs": []}
        entry = {"name": "a", "shape": [9, 2], "rows_per_chunk": 4, "dtype": "float32"}
        body = {
            "spec": spec, "arrays": [entry], "layout": None, "status": "complete",
            "created": 1e9 + number, "origins": [], "manifest": {"a": ""}, "report": {"seconds": 1},
        }  # fmt: skip
        folder = root / f"test-{content_key(spec)}"
        folder.mkdir(parents=True)
        root_of = {"attributes": {"geodask": sealed(body)}}
        (folder / "zarr.json").write_text(json.dumps(root_of))


def test_a_second_list_reads_only_what_is_new(store: Path, monkeypatch: Any) -> None:
    many(store, 500)
    objects, seen = open_objects(str(store)), []
    assert len(entries(objects)) == 500
    read = Objects.get
    monkeypatch.setattr(Objects, "get", lambda self, key: seen.append(key) or read(self, key))
    assert gd.store().list()["bytes"].sum() == 500 * 3 * 4 * 2 * 4
    assert not [key for key in seen if key.startswith("test-")]
    new = build(objects, 999)
    for path in list(_known(objects))[:2]:
        (store / path / "zarr.json").unlink()
    frame, status = gd.store().list(), {}
    assert len(frame) == 501
    assert [key for key in seen if key == f"{new}/zarr.json"]
    status = frame["status"].value_counts().to_dict()
    assert status == {"complete": 499, "damaged": 2}
    assert len([key for key in seen if key.startswith("test-")]) < 20


def test_a_list_of_another_storage_is_the_same(tmp_path: Path) -> None:
    folder, other = open_objects(str(tmp_path / "f")), Objects("elsewhere:", MemoryStore())
    for objects in (folder, other):
        for number in range(3):
            build(objects, number)
    first, second = (
        gd.store(tmp_path / "f").__class__(objects, lambda group: group).list()
        for objects in (folder, other)
    )
    pd.testing.assert_frame_equal(
        first.drop(columns="created").sort_index(), second.drop(columns="created").sort_index()
    )
