"""What is read or built is not taken away, whoever steps first; dead processes hold nothing."""

import gc
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from zarr.storage import MemoryStore

import geodask as gd
from geodask.storage import leases, tombstones
from geodask.storage.group import create
from geodask.storage.leases import hold, leased, opened
from geodask.storage.objects import Objects, open_objects
from geodask.storage.process import identity, is_gone, lapsed, signed
from geodask.storage.seal import get_note, get_notes, put_note
from geodask.storage.tombstones import remove, tombstone
from groups import ARRAY, build, taken

# --- processes -----------------------------------------------------------------------------------


def test_a_process_is_gone_when_it_ended_or_its_number_is_another_s(dead: Any) -> None:
    assert not is_gone(identity())
    assert is_gone(dead["process"])
    assert is_gone({**identity(), "started": 17})
    assert not is_gone({**dead["process"], "machine": "another"})


def test_a_process_that_was_killed_and_not_yet_waited_for_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = {**identity(), "pid": child.pid, "started": _started(child.pid)}
    assert not is_gone(known)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert is_gone(known)
    child.communicate()


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_silence_lapses_after_ten_minutes_wherever_it_was_signed() -> None:
    elsewhere = {**signed(), "process": {**identity(), "machine": "another"}}
    assert not lapsed(elsewhere)
    assert not lapsed({**elsewhere, "renewed": time.time() - 590})
    assert lapsed({**elsewhere, "renewed": time.time() - 610})


# --- leases --------------------------------------------------------------------------------------


def test_what_is_open_is_spared_until_it_is_let_go(objects: Objects) -> None:
    path = build(objects)
    group = opened(objects, path)
    assert path in leased(objects)
    assert not taken(objects, path)
    assert group.read(ARRAY, 1).tolist() == [[1.0] * 4] * 2
    del group
    gc.collect()
    assert path not in leased(objects)
    assert taken(objects, path)
    assert opened(objects, path) is None
    assert [key for key in objects.keys("") if key.startswith(("test-", "tombstones/"))] == []


def test_two_holders_of_a_group_are_two(objects: Objects) -> None:
    path = build(objects)
    first, second = hold(objects, path), hold(objects, path)
    del first
    assert not taken(objects, path)
    del second
    assert taken(objects, path)


def test_a_process_has_one_object_and_leaves_none(objects: Objects, monkeypatch: Any) -> None:
    monkeypatch.setattr(leases, "LINGER_SECONDS", 0.0)
    held = [hold(objects, build(objects, number)) for number in range(3)]
    ((_, note),) = get_notes(objects, "leases").items()
    assert note["process"] == identity()
    assert len(note["paths"]) == 3
    del held
    deadline = time.monotonic() + 20
    while objects.keys("leases/") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert objects.keys("leases/") == []


def test_a_lease_is_renewed_while_it_is_held(objects: Objects, monkeypatch: Any) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.05)
    path = build(objects)
    lease = hold(objects, path)
    (key,) = objects.keys("leases/")
    before = get_note(objects, key)["renewed"]
    objects.delete(key)  # even one that somebody deleted
    deadline = time.monotonic() + 20
    while get_note(objects, key) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    note = get_note(objects, key)
    assert note["renewed"] > before
    assert note["paths"] == [lease.path]


def test_leases_of_the_dead_and_the_silent_count_for_nothing(objects: Objects, dead: Any) -> None:
    path = build(objects)
    silent = {"process": {**identity(), "machine": "another"}, "renewed": time.time() - 700}
    put_note(objects, "leases/dead", {**dead, "paths": [path]})
    put_note(objects, "leases/silent", {**silent, "paths": [path]})
    alive = {**silent, "renewed": time.time(), "paths": [path]}
    put_note(objects, "leases/alive", alive)
    assert leased(objects) == {path}
    assert objects.keys("leases/") == ["leases/alive"]
    assert not taken(objects, path)
    objects.delete("leases/alive")
    assert taken(objects, path)


def test_arrays_over_a_result_hold_it_and_what_is_sent_away_does_not(
    sphere: gd.Points, store: Path
) -> None:
    result = gd.knn(sphere, k=4).persist()
    array, path = result.indices + 1, Path(result.report.url).name
    objects = open_objects(str(store))
    sent = pickle.loads(pickle.dumps(array))
    assert (sent.compute() == array.compute()).all()
    del result
    gc.collect()
    assert not taken(objects, path)
    assert array.compute().shape == (2000, 4)
    del array
    gc.collect()
    assert taken(objects, path)
    with pytest.raises(gd.StoreError):
        sent.compute()


def test_names_of_arrays_do_not_depend_on_leases(sphere: gd.Points) -> None:
    first, second = (gd.knn(sphere, k=4).persist().indices.name for _ in range(2))
    assert first == second


# --- any order of steps --------------------------------------------------------------------------


def test_who_opens_while_it_is_taken_away_waits_and_finds_nothing(objects: Objects) -> None:
    path, found = build(objects), []
    with tombstone(objects, path) as stands:
        reader = Thread(target=lambda: found.append(opened(objects, path)))
        reader.start()
        deadline = time.monotonic() + 20
        while path not in leased(objects) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert found == []
        remove(objects, path, stands)
    reader.join(20)
    assert found == [None]


def test_who_takes_away_what_was_opened_after_its_tombstone_gives_up(
    objects: Objects, monkeypatch: Any
) -> None:
    """The lease comes between the tombstone and the reading of leases."""
    path, found = build(objects), []
    reader = Thread(target=lambda: found.append(opened(objects, path)))

    def late(objects: Objects) -> set[str]:
        reader.start()
        deadline = time.monotonic() + 20
        while path not in leased(objects) and time.monotonic() < deadline:
            time.sleep(0.005)
        return leased(objects)

    monkeypatch.setattr("geodask.storage.eviction.leased", late)
    assert not taken(objects, path)
    reader.join(20)
    assert found[0].complete
    assert found[0].read(ARRAY, 2).tolist() == [[2.0] * 4] * 2


def test_what_a_dead_process_had_begun_to_remove_is_removed(objects: Objects, dead: Any) -> None:
    path = build(objects)
    put_note(objects, f"tombstones/{path}.dead", dead)
    objects.delete(f"{path}/zarr.json")
    assert opened(objects, path) is None
    assert objects.keys(f"{path}/") == []
    assert objects.keys("tombstones/") == []
    assert opened(objects, build(objects)).complete


def test_the_tombstone_of_a_dead_process_that_removed_nothing_goes(
    objects: Objects, dead: Any
) -> None:
    path = build(objects)
    put_note(objects, f"tombstones/{path}.dead", dead)
    objects.put(f"tombstones/{path}.torn", b"{")
    group = opened(objects, path)
    assert group.complete
    assert group.read(ARRAY, 0).shape == (2, 4)
    assert objects.keys("tombstones/") == []


def test_who_lost_its_tombstone_removes_no_more(monkeypatch: Any) -> None:
    """It was paused so long that another took it for dead, and a third has begun to build."""
    monkeypatch.setattr(tombstones, "BATCH", 2)
    objects = Objects("elsewhere:", MemoryStore())
    path = build(objects)
    before = objects.keys(f"{path}/")
    answers = iter([True, False])
    remove(objects, path, lambda: next(answers))
    assert len(objects.keys(f"{path}/")) == len(before) - 1 - 2


def test_marks_go_before_blocks_so_that_nothing_counts_as_stored(monkeypatch: Any) -> None:
    monkeypatch.setattr(tombstones, "BATCH", 1)
    objects = Objects("elsewhere:", MemoryStore())
    spec = {"operation": "test", "inputs": []}
    group = create(objects, "g", spec, [ARRAY], None)
    for block in range(3):
        group.mark(dict([group.write(ARRAY, block, np.ones((2, 4)))[:2]]), {})
    for steps in range(1, 7):
        answers = iter([True] * steps + [False])
        remove(objects, "g", lambda answers=answers: next(answers))
        again = create(objects, "g", spec, [ARRAY], None)
        assert all(again.intact(key) for key in again.digests)
        objects.delete("g/zarr.json")


STRESS = """
import sys, time
import numpy as np
sys.path.insert(0, {tests!r})
from groups import ARRAY, build, taken
from geodask.storage import leases
from geodask.storage.leases import opened
from geodask.storage.objects import open_objects

objects, role = open_objects({url!r}), sys.argv[1]
random, end, done = np.random.default_rng(int(sys.argv[2])), time.monotonic() + 2.5, 0
leases.LINGER_SECONDS = 0.0
paths = [build(objects, number) for number in range(5)]
while time.monotonic() < end:
    number = int(random.integers(5))
    if role == "evict":
        done += taken(objects, paths[number])
        continue
    group = opened(objects, paths[number])
    if group is None or not group.complete:
        group = build(objects, number)
        continue
    for block in range(3):  # it is leased: every block must be there
        assert (group.read(ARRAY, block) == number + block).all()
    done, group = done + 1, None
print(done)
"""


@pytest.mark.slow
def test_readers_never_miss_a_block_while_others_evict_and_build(tmp_path: Path) -> None:
    code = STRESS.format(tests=str(Path(__file__).parent), url=str(tmp_path / "stress"))
    command = [sys.executable, "-W", "error", "-c", code]
    roles = ["read", "read", "evict", "evict"]
    running = [
        subprocess.Popen([*command, role, str(seed)], stdout=-1, stderr=-1, text=True)
        for seed, role in enumerate(roles)
    ]
    counts = []
    for each in running:
        output, errors = each.communicate(timeout=200)
        assert each.returncode == 0, errors
        counts.append(int(output))
    assert all(count > 0 for count in counts)


def test_threads_that_read_build_and_evict_meet_no_half_of_a_group(objects: Objects) -> None:
    """Elsewhere a group is removed object by object, while others wait to build it again."""
    end, path = time.monotonic() + 60, build(objects)
    done = {"read": 0, "evict": 0}

    def going() -> bool:
        return min(done.values()) < 20 and time.monotonic() < end

    def read() -> None:
        while going():
            group = opened(objects, path)
            if group is None or not group.complete:
                build(objects)
                continue
            assert [group.read(ARRAY, block)[0, 0] for block in range(3)] == [0.0, 1.0, 2.0]
            done["read"] += 1
            del group
            time.sleep(0.02)

    def take() -> None:
        while going():
            time.sleep(0.01)
            done["evict"] += taken(objects, path)

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(work) for work in (read, read, take, take)]:
            each.result()
    assert min(done.values()) >= 20


def test_a_lease_that_cannot_be_written_does_not_stop_a_reader(
    objects: Objects, monkeypatch: Any
) -> None:
    path = build(objects)

    def full(*arguments: Any) -> None:
        raise gd.StoreError("no space is left")

    monkeypatch.setattr(Objects, "put", full)
    assert opened(objects, path).read(ARRAY, 0).shape == (2, 4)


def test_nothing_is_leased_in_memory_or_at_a_path_of_the_users(
    sphere: gd.Points, tmp_path: Path
) -> None:
    result = gd.knn(sphere, k=4).persist(tmp_path / "mine")
    found = {path.name for path in (tmp_path / "mine").iterdir()}
    assert found == {"zarr.json", "certified", "distances", "indices", "ranks"}
    assert gd.store().stats()["entries"] == 0
    assert result.indices.compute().shape == (2000, 4)
