"""What is worth least makes room, all processes count, and what does not fit is refused."""

import gc
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from geodask.storage import usage as counting
from geodask.storage.entries import Entry, entries
from geodask.storage.eviction import LIMIT, evict, limit_of, make_room, sweep, worth
from geodask.storage.leases import hold
from geodask.storage.objects import Objects, open_objects
from geodask.storage.process import identity
from geodask.storage.records import new_record
from geodask.storage.seal import get_note, put_note
from geodask.storage.usage import Counter, Totals, Usage, Use, usage
from groups import build, taken

SIZE = 3 * 2 * 4 * 8
"""Bytes of a group that `build` makes."""


def names(store: Path, operation: str) -> list[str]:
    return sorted(path.name for path in store.glob(f"{operation}-*"))


# --- what is worth least -------------------------------------------------------------------------


def test_worth_is_seconds_saved_a_second_and_a_byte() -> None:
    base = Entry("a-1", "complete", size=1000, created=100.0, seconds=50.0)
    unused, now = Usage(), 1100.0
    assert worth(base, unused, now) == 50.0 / (1000 * 1000.0)
    assert worth(base, Usage(entries={"a-1": Use(last=1090.0)}), now) == 50.0 / (1000 * 10.0)
    fields = asdict(base)
    larger, dearer = Entry(**{**fields, "size": 2000}), Entry(**{**fields, "seconds": 60.0})
    assert worth(larger, unused, now) < worth(base, unused, now) < worth(dearer, unused, now)
    assert worth(Entry("b-1", "damaged"), unused, now) == 0.0


def test_as_much_goes_as_is_needed_and_the_last_used_stays(objects: Objects) -> None:
    paths = [build(objects, number) for number in range(4)]
    assert [entry.size for entry in entries(objects)] == [SIZE] * 4
    now = time.time()
    counter = Counter(objects)
    for age, path in enumerate(paths):
        counter._count(Totals(), {path: Use()})
        counter._usage.entries[path].last = now - 1000 * (1 + age)
    counter._count(Totals(), {})
    assert make_room(objects, SIZE, 5 * SIZE) == SIZE  # it fits as it is
    assert len(entries(objects)) == 4
    assert make_room(objects, 2 * SIZE, 5 * SIZE) == 2 * SIZE
    assert {entry.path for entry in entries(objects)} == set(paths[:3])
    pinned = hold(objects, paths[2])
    assert make_room(objects, 4 * SIZE, 5 * SIZE) == 4 * SIZE
    assert {entry.path for entry in entries(objects)} == {pinned.path}
    found = usage(objects).totals
    assert (found.evictions, found.bytes_evicted) == (3, 3 * SIZE)


def test_nothing_goes_where_that_would_not_suffice(objects: Objects) -> None:
    paths = [build(objects, number) for number in range(2)]
    held = hold(objects, paths[0])
    assert make_room(objects, 4 * SIZE, 4 * SIZE) == 2 * SIZE
    assert len(entries(objects)) == 2
    assert held.path == paths[0]


def test_what_a_job_was_given_stays_until_it_is_complete(objects: Objects) -> None:
    path, other = build(objects, 0), build(objects, 1)
    plan = {"inputs": [{"url": "/somewhere", "path": f"{path}/points"}]}
    record = new_record(objects, {"plan": plan})
    for status in ("queued", "running", "failed", "cancelled"):
        record.tell({"status": status})
        assert not taken(objects, path)
    assert taken(objects, other)
    record.tell({"status": "completed"})
    assert taken(objects, path)


def test_a_plan_makes_room_for_itself_and_is_refused_where_it_cannot(
    sphere: gd.Points, store: Path
) -> None:
    first = gd.knn(sphere, k=4).persist()
    size = gd.store().stats()["bytes"]
    with dask.config.set({"geodask.store-max-bytes": 4 * size}):
        with pytest.raises(gd.MemoryPlanError, match="in use or pinned"):
            gd.knn(sphere, k=40).persist()
        assert len(names(store, "knn")) == 1
        second = gd.knn(sphere, k=5).persist()  # beside it
        assert not second.report.cache_hit
        kept = Path(second.report.url).name
        del second, first
        gc.collect()
        gd.store().pin(kept)
        third = gd.knn(sphere, k=6).persist()
        assert set(names(store, "knn")) == {kept, Path(third.report.url).name}
        assert np.asarray(third.indices).shape == (2000, 6)
    assert gd.knn(sphere, k=5).persist().report.cache_hit
    assert not gd.knn(sphere, k=4).persist().report.cache_hit


def test_what_grew_from_an_evicted_result_is_computed_from_scratch(
    sphere: gd.Points, store: Path
) -> None:
    gd.knn(sphere[:1900], k=4).persist()
    gc.collect()
    assert list(store.glob("grown-from/*/*"))
    gd.store().clear()
    assert not list(store.glob("grown-from/*/*"))
    result = gd.knn(sphere, k=4).persist()
    assert result.report.reused == 0.0
    assert np.array_equal(np.asarray(result.indices), gd.knn(sphere, k=4).compute().indices)


def test_only_the_store_s_own_goes(sphere: gd.Points, store: Path) -> None:
    gd.knn(sphere, k=4).persist()
    sphere.save(store / "points.zarr")
    gd.knn(sphere, k=5).persist(store / "mine")
    (store / "notes.txt").write_text("keep me")
    gc.collect()
    assert gd.store().clear() > 0
    assert names(store, "knn") == []
    assert (store / "notes.txt").exists()
    assert len(gd.open(store / "points.zarr")) == 2000
    assert gd.knn(sphere, k=5).persist(store / "mine").report.cache_hit


def test_litter_of_the_dead_goes_and_that_of_the_living_stays(
    objects: Objects,
) -> None:
    for name in ("scratch-a", "scratch-b"):
        objects.put(f"{name}/values/c/0", b"1")
    held = hold(objects, "scratch-b")
    objects.put("trash-c/x", b"1")
    sweep(objects)
    assert [key for key in objects.keys("") if not key.startswith("leases")] == [
        f"{held.path}/values/c/0"
    ]


def test_the_limit_is_recorded_once(objects: Objects, monkeypatch: Any) -> None:
    assert limit_of(objects, 7) == 7
    assert get_note(objects, LIMIT) is None
    monkeypatch.setattr(Objects, "free_bytes", lambda self: 1000)
    assert limit_of(objects, None) == 500
    monkeypatch.setattr(Objects, "free_bytes", lambda self: 300)
    assert limit_of(objects, None) == 500
    assert make_room(objects, 400, limit_of(objects, None)) == 300  # what the disk has
    objects.delete(LIMIT)
    monkeypatch.setattr(Objects, "free_bytes", lambda self: math.inf)
    assert limit_of(objects, None) == math.inf
    assert get_note(objects, LIMIT) is None


def test_a_group_that_was_abandoned_goes_and_one_that_is_built_stays(
    sphere: gd.Points, monkeypatch: Any
) -> None:
    seen: dict[str, Any] = {}

    def interrupt(*arguments: Any) -> None:
        frame = gd.store().list()
        seen["status"] = frame["status"].tolist()
        seen["cleared"] = gd.store().clear()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("geodask.storage.group.Group.commit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            gd.knn(sphere, k=4).persist()
    gc.collect()
    assert seen == {"status": ["building"], "cleared": 0}
    frame = gd.store().list()
    assert frame["status"].tolist() == ["abandoned"]
    assert frame["bytes"].iloc[0] > 2000 * 4 * 16
    assert gd.store().clear() == frame["bytes"].iloc[0]
    assert not gd.store().list().size


# --- counts --------------------------------------------------------------------------------------


def test_hits_and_misses_are_counted_across_processes(sphere: gd.Points, store: Path) -> None:
    code = (
        "import numpy as np, geodask as gd\n"
        "m = gd.Sphere(24)\n"
        "x = gd.points(m.random(2000, seed=1).astype(np.float32), m)\n"
        "gd.knn(x, k=4).persist(); gd.knn(x, k=4).compute(); gd.knn(x, k=3).compute()\n"
    )
    seconds = gd.knn(sphere, k=4).persist().report.seconds
    environment = {**os.environ, "DASK_GEODASK__STORE": str(store)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    gd.knn(sphere, k=4).persist()
    found = gd.store().stats()
    assert (found["hits"], found["misses"]) == (3, 2)
    assert found["seconds_saved"] == pytest.approx(3 * seconds, rel=0.2)
    assert found["bytes_found"] == 3 * found["bytes"]
    frame = gd.store().list()
    assert frame["hits"].tolist() == [3]
    assert frame["last_used"].iloc[0].timestamp() == pytest.approx(time.time(), abs=60)


def counted(objects: Objects, number: int, dead: Any) -> str:
    """Counts of a process that has ended."""
    counter = Counter(objects)
    counter.hit(f"test-{number % 3}", 10, 0.5)
    body = get_note(objects, counter._key)
    put_note(objects, counter._key, {**body, "process": dead["process"]})
    return counter._key


def test_folding_keeps_every_count_once(objects: Objects, dead: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(counting, "MANY", 4)
    keys = [counted(objects, number, dead) for number in range(4)]
    before = usage(objects)
    assert before.totals.hits == 4
    assert len(objects.keys("usage/")) == 4
    keys.append(counted(objects, 4, dead))
    copies = {key: objects.get(key) for key in keys}
    assert usage(objects).totals.hits == 5
    (folded,) = objects.keys("usage/")
    assert usage(objects).totals.hits == 5
    assert usage(objects).entries["test-0"].hits == 2
    for key in keys[:3]:  # as if the one who folded had been killed before it removed them
        objects.put(key, copies[key])
    assert usage(objects).totals.hits == 5
    for number in range(5, 9):
        counted(objects, number, dead)
    assert usage(objects).totals.hits == 9
    assert len(objects.keys("usage/")) == 1
    objects.put(folded, objects.get(objects.keys("usage/")[0]))  # one that belongs elsewhere
    assert usage(objects).totals.hits == 9


def test_two_who_fold_at_once_count_nothing_twice(
    objects: Objects,
    dead: Any,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(counting, "MANY", 4)
    for number in range(5):
        counted(objects, number, dead)
    fold, inner = counting._fold, []

    def fold_after_another(objects: Objects, bodies: Any, keys: Any) -> None:
        if not inner:
            inner.append(counted(objects, 5, dead))
            assert usage(objects).totals.hits == 6  # folds all of them, with the new one
        fold(objects, bodies, keys)

    monkeypatch.setattr(counting, "_fold", fold_after_another)
    usage(objects)
    assert usage(objects).totals.hits == 6
    assert len(objects.keys("usage/")) == 2


def test_a_process_that_was_taken_for_dead_goes_on_counting(
    objects: Objects,
    monkeypatch: Any,
) -> None:
    monkeypatch.setattr(counting, "MANY", 0)
    counter = Counter(objects)
    counter.miss("test-0")
    silent = {"process": {**identity(), "machine": "another"}, "renewed": time.time() - 700}
    put_note(objects, counter._key, {**get_note(objects, counter._key), **silent})
    assert usage(objects).totals.misses == 1
    assert counter._key not in objects.keys("usage/")
    counter.miss("test-0")
    assert usage(objects).totals.misses == 2


def test_a_store_that_is_full_counts_nothing_and_says_nothing(
    sphere: gd.Points, monkeypatch: Any
) -> None:
    gd.knn(sphere, k=4).persist()

    def full(self: Objects, key: str, data: Any) -> None:
        raise gd.StoreError(f"no space is left for {key}")

    monkeypatch.setattr(Objects, "put", full)
    assert gd.knn(sphere, k=4).persist().report.cache_hit


def test_who_evicts_what_is_gone_already_frees_nothing(tmp_path: Path) -> None:
    there = open_objects(str(tmp_path / "gone"))
    build(there)
    (entry,) = entries(there)
    assert evict(there, [entry]) == [entry]
    assert entries(there) == []
