"""What is stored is found again, is never computed twice, and never lies."""

import json
import os
import subprocess
import sys
from collections import Counter
from hashlib import blake2b
from pathlib import Path

import dask
import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.arrays.namespace import lane_sum
from geodask.engine import census, sources
from geodask.engine.driver import Run
from geodask.storage.array import ArraySpec
from geodask.storage.group import create, find
from geodask.storage.keys import canonical, content_key
from geodask.storage.objects import memory_objects, open_objects

pytestmark = pytest.mark.usefixtures("small_tasks")


def arrays(result: object) -> list[np.ndarray]:
    found = (result.indices, result.distances, result.certified)
    return [np.asarray(each) for each in found]


def same(a: object, b: object) -> bool:
    return all(left.tobytes() == right.tobytes() for left, right in zip(a, b, strict=True))


def group_of(result: object) -> Path:
    return Path(result.report.url)


def test_the_second_time_is_a_hit_with_the_same_arrays(sphere: gd.Points) -> None:
    first = gd.knn(sphere, k=4).persist()
    second = gd.knn(sphere, k=4).persist()
    assert not first.report.cache_hit
    assert first.report.blocks_computed > 10
    assert second.report.cache_hit
    assert second.report.blocks_computed == 0
    assert same(arrays(first), arrays(second))


def test_compute_takes_a_hit_and_leaves_nothing(sphere: gd.Points, store: Path) -> None:
    alone = gd.knn(sphere, k=4).compute()
    assert not list(store.glob("knn-*"))
    gd.knn(sphere, k=4).persist()
    hit = gd.knn(sphere, k=4).compute()
    assert hit.report.cache_hit
    assert same(arrays(alone), arrays(hit))


@pytest.mark.parametrize(
    "other",
    [
        lambda x: gd.knn(x, k=5),
        lambda x: gd.knn(x, x, k=4),
        lambda x: gd.knn(x[::-1], k=4),
        lambda x: gd.knn(gd.points(x.read(0, len(x)), gd.Sphere(24, curvature=0.5)), k=4),
        lambda x: gd.knn(
            gd.points(x.read(0, len(x)).astype("f8"), gd.Sphere(24), project=True), k=4
        ),
    ],
    ids=["k", "cross", "order", "manifold", "dtype"],
)
def test_another_question_is_a_miss(sphere: gd.Points, other: object) -> None:
    gd.knn(sphere, k=4).persist()
    assert not other(sphere).persist().report.cache_hit


def test_equal_rows_are_one_input_wherever_they_are_stored(
    sphere: gd.Points, tmp_path: Path
) -> None:
    rows = sphere.read(0, len(sphere))
    first = gd.knn(sphere, k=4).persist()
    np.save(tmp_path / "x.npy", rows)
    chunked = zarr.create_array(tmp_path / "x.zarr", data=rows, chunks=(173, 7))
    sphere.save(tmp_path / "saved.zarr")
    fortran = gd.points(np.asfortranarray(rows), gd.Sphere(24))
    swapped = gd.points(rows.astype(">f4"), gd.Sphere(24))
    for source in (tmp_path / "x.npy", chunked, tmp_path / "saved.zarr"):
        again = gd.knn(gd.points(source, gd.Sphere(24)), k=4).persist()
        assert again.report.cache_hit, source
        assert again.report.key == first.report.key
    assert gd.knn(fortran, k=4).persist().report.cache_hit
    assert gd.knn(swapped, k=4).persist().report.cache_hit


def test_a_rewritten_chunk_is_a_miss_though_its_mtime_is_set_back(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)  # as if the files were old
    path = tmp_path / "x.zarr"
    stored = zarr.create_array(path, data=sphere.read(0, 2000), chunks=(100, 24), compressors=None)
    points = gd.points(path, gd.Sphere(24))
    first = gd.knn(points, k=4).persist()
    assert gd.knn(points, k=4).persist().report.cache_hit
    chunk = path / "c" / "3" / "0"
    before = chunk.stat()
    stored[300:400] = sphere.read(300, 400)[::-1]
    os.utime(chunk, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = gd.knn(points, k=4).persist()
    assert not second.report.cache_hit
    assert second.report.key != first.report.key


def test_what_was_just_written_is_not_remembered(sphere: gd.Points, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", sphere.read(0, 2000))
    gd.knn(gd.points(tmp_path / "x.npy", gd.Sphere(24)), k=4).persist()
    assert not list(tmp_path.glob("store/admission/*"))


def test_a_digest_is_remembered_and_taken_once(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)
    np.save(tmp_path / "x.npy", sphere.read(0, 2000))
    gd.knn(gd.points(tmp_path / "x.npy", gd.Sphere(24)), k=4).persist()
    monkeypatch.setattr(census, "examine", None)  # a second pass would call it
    assert gd.knn(gd.points(tmp_path / "x.npy", gd.Sphere(24)), k=4).persist().report.cache_hit


def test_a_key_is_the_same_in_another_process(sphere: gd.Points, store: Path) -> None:
    first = gd.knn(sphere, k=4).persist()
    code = (
        "import numpy as np, geodask as gd, geodask.ops.compared as compared\n"
        "compared.TASK_WORK = (1.5e7, 5e12)\n"
        "m = gd.Sphere(24)\n"
        "x = gd.points(m.random(2000, seed=1).astype(np.float32), m)\n"
        "r = gd.knn(x, k=4).persist().report\n"
        "assert r.cache_hit, r\n"
        "import sys; assert 'torch' not in sys.modules  # a hit loads nothing to compute with\n"
    )
    environment = {
        **os.environ, "PYTHONHASHSEED": "4711", "DASK_GEODASK__STORE": str(store),
    }  # fmt: skip
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)
    assert [path.name for path in store.glob("knn-*")] == [f"knn-{first.report.key}"]


# --- damage --------------------------------------------------------------------------------------


def delete(path: Path, other: Path) -> None:
    path.unlink()


def flip(path: Path, other: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def truncate(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def swap(path: Path, other: Path) -> None:
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


LONG = [pytest.param(each, marks=pytest.mark.long) for each in (truncate, swap)]


# Damage of all kinds to every object of a store is in test_damage.
@pytest.mark.parametrize("damage", [delete, flip, *LONG])
def test_a_damaged_object_is_an_error_or_computed_anew(sphere: gd.Points, damage: object) -> None:
    truth = arrays(gd.knn(sphere, k=4).persist())
    group = group_of(gd.knn(sphere, k=4).persist())
    files = sorted(path for path in group.rglob("*") if path.is_file())
    assert len(files) > 20
    noticed = 0
    for position, path in enumerate(files):
        # The metadata, and every tenth block.
        if path.name.isdigit() and position % 10:
            continue
        damage(path, files[position - 1])
        try:
            result = gd.knn(sphere, k=4).persist()
            found = arrays(result)
        except gd.StoreError:
            noticed += 1
            result = gd.knn(sphere, k=4).persist(verify=True)
            found = arrays(result)
        assert same(found, truth), path
    assert noticed > 4


def test_verify_computes_only_what_is_damaged(sphere: gd.Points) -> None:
    first = gd.knn(sphere, k=4).persist()
    truth, blocks = arrays(first), first.indices.numblocks[0]
    flip(group_of(first) / "distances" / "c" / "1" / "0", Path())
    mended = gd.knn(sphere, k=4).persist(verify=True)
    assert 0 < mended.report.blocks_computed < first.report.blocks_computed / blocks + 1
    assert same(arrays(mended), truth)
    assert gd.knn(sphere, k=4).persist(verify=True).report.cache_hit


@pytest.mark.parametrize("name", ["certified", "indices"])
def test_verify_mends_a_result_that_is_not_complete(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    truth = arrays(gd.knn(sphere, k=4).compute())

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("geodask.storage.group.Group.commit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            gd.knn(sphere, k=4).persist()
    group = Path(gd.knn(sphere, k=4).explain().url)
    flip(next(path for path in (group / name / "c").rglob("*") if path.is_file()), Path())
    assert same(arrays(gd.knn(sphere, k=4).persist(verify=True)), truth)


def test_a_result_that_vanishes_after_it_was_opened_is_an_error(sphere: gd.Points) -> None:
    result = gd.knn(sphere, k=4).persist()
    (group_of(result) / "indices" / "c" / "0" / "0").unlink()
    with pytest.raises(gd.StoreError, match="verify=True"):
        result.indices.compute()


def test_damaged_partial_results_are_computed_again(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = arrays(gd.knn(sphere, k=4).compute())
    write = find.__globals__["Group"].write
    torn = []

    def tear_the_first(group: object, array: ArraySpec, block: int, values: np.ndarray) -> object:
        written = write(group, array, block, values)
        if array.name == "partials" and not torn:
            torn.append(written[0])
            truncate(Path(group.objects.url) / group.path / written[0], Path())
        return written

    monkeypatch.setattr("geodask.storage.group.Group.write", tear_the_first)
    assert same(arrays(gd.knn(sphere, k=4).persist()), truth)
    assert torn


# --- what lies where -----------------------------------------------------------------------------


def test_any_zarr_reader_reads_a_result(sphere: gd.Points, tmp_path: Path) -> None:
    result = gd.knn(sphere, k=4).persist(tmp_path / "result")
    group = zarr.open_group(tmp_path / "result", mode="r")
    assert sorted(group.array_keys()) == ["certified", "distances", "indices", "ranks"]
    assert np.array_equal(group["indices"][...], np.asarray(result.indices))
    assert gd.knn(sphere, k=4).persist(tmp_path / "result").report.cache_hit


def test_a_path_that_holds_something_else_is_refused(sphere: gd.Points, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(gd.StoreError, match="something else"):
        gd.knn(sphere, k=4).persist(tmp_path / "mine")
    gd.knn(sphere, k=4).persist(tmp_path / "result")
    with pytest.raises(gd.StoreError, match="another plan"):
        gd.knn(sphere, k=5).persist(tmp_path / "result")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"
    assert gd.knn(sphere, k=4).persist(tmp_path / "result").report.cache_hit


def test_an_input_that_changes_during_the_run_is_not_committed(
    sphere: gd.Points, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "x.npy", sphere.read(0, 2000))
    run = Run.run

    def run_and_change(self: Run, *blocks: object) -> None:
        run(self, *blocks)
        np.save(tmp_path / "x.npy", sphere.read(0, 2000)[::-1])

    monkeypatch.setattr(Run, "run", run_and_change)
    with pytest.raises(gd.StoreError, match="must stay as it is"):
        gd.knn(gd.points(tmp_path / "x.npy", gd.Sphere(24)), k=4).persist()
    (group,) = store.glob("knn-*")
    body = json.loads((group / "zarr.json").read_text())["attributes"]["geodask"]["body"]
    assert body["status"] == "building"


def test_two_processes_at_once_agree_and_share_the_work(
    sphere: gd.Points, store: Path, tmp_path: Path
) -> None:
    code = (
        "import numpy as np, geodask as gd, geodask.ops.compared as compared\n"
        "compared.TASK_WORK = (1.5e7, 5e12)\n"
        "m = gd.Sphere(24)\n"
        "x = gd.points(m.random(2000, seed=1).astype(np.float32), m)\n"
        "print(*(gd.knn(x, k=k).persist().report.blocks_computed for k in (3, 4, 5)))\n"
    )
    environment = {**os.environ, "DASK_GEODASK__STORE": str(store)}
    command = [sys.executable, "-W", "error", "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    computed = Counter[int]()
    for each in running:
        said, errors = each.communicate(timeout=200)
        assert each.returncode == 0, errors.decode()
        computed.update(dict(zip((3, 4, 5), map(int, said.split()), strict=True)))
    for k in (3, 4, 5):
        result = gd.knn(sphere, k=k).persist(verify=True)
        assert result.report.cache_hit
        assert not list(group_of(result).glob("marks/*"))
        assert not list(group_of(result).glob("partials/c/*"))
        with dask.config.set({"geodask.store": str(tmp_path / "own")}):
            alone = gd.knn(sphere, k=k).persist()
        assert same(arrays(result), arrays(alone))
        assert 10 < alone.report.blocks_computed <= computed[k]
        assert computed[k] <= 1.1 * alone.report.blocks_computed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_that_cannot_be_written_says_so(sphere: gd.Points, store: Path) -> None:
    store.mkdir()
    store.chmod(0o500)
    with pytest.raises(gd.StoreError, match="writable"):
        gd.knn(sphere, k=4).persist()


def test_a_store_that_is_a_file_says_so(sphere: gd.Points, store: Path) -> None:
    store.write_text("not a folder")
    with pytest.raises(gd.StoreError, match="writable"):
        gd.knn(sphere, k=4).persist()


def test_what_was_computed_from_changed_rows_is_never_marked(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A, changed to B while it is read, and changed back: no block of B may count as one of A."""
    rows = sphere.read(0, 2000)
    np.save(tmp_path / "x.npy", rows)
    x = gd.points(tmp_path / "x.npy", gd.Sphere(24))
    truth = arrays(gd.knn(sphere, k=4).compute())
    submit, seen = Run._submit, []

    def change_then_submit(self: Run, task: object) -> None:
        if not seen:
            np.save(tmp_path / "x.npy", rows[::-1])
        seen.append(task)
        submit(self, task)

    for source in (x, x[:]):  # the file itself, and a selection of its rows
        with monkeypatch.context() as patch:
            patch.setattr(Run, "_submit", change_then_submit)
            with pytest.raises(gd.StoreError, match="must stay as it is"):
                gd.knn(source, k=4).persist()
        np.save(tmp_path / "x.npy", rows)
        seen.clear()
    assert same(arrays(gd.knn(x, k=4).persist()), truth)
    assert same(arrays(gd.knn(x[:], k=4).persist()), truth)


def test_a_complete_group_is_not_made_a_building_one_again(tmp_path: Path) -> None:
    objects = open_objects(str(tmp_path / "late"))
    array = ArraySpec("values", (4,), 4, "float64")
    group = create(objects, "g", {"k": 1}, [array], None)
    group.mark(dict([group.write(array, 0, np.ones(4))[:2]]), {})
    group.commit(["values"], {})
    assert create(objects, "g", {"k": 1}, [array], None).complete
    assert find(objects, "g").complete


def test_a_relative_path_is_that_of_now(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        assert not gd.knn(sphere, k=4).persist("out").report.cache_hit
        assert (tmp_path / folder / "out" / "zarr.json").exists()


# --- the parts -----------------------------------------------------------------------------------


def test_keys_do_not_depend_on_order_and_refuse_nan() -> None:
    assert content_key({"a": 1, "b": [2.5]}) == content_key({"b": [2.5], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


def test_a_block_of_zeros_is_stored_and_its_absence_an_error(tmp_path: Path) -> None:
    for objects in (memory_objects(), open_objects(str(tmp_path / "zeros"))):
        array = ArraySpec("values", (5, 2), 3, "float64")
        group = create(objects, "g", {"operation": "test"}, [array], None)
        keys = dict([group.write(array, block, np.zeros((3 - block, 2)))[:2] for block in (0, 1)])
        group.mark(keys, {})
        group.commit(["values"], {})
        found = find(objects, "g")
        assert found.complete
        assert not found.read(array, 1).any()
        objects.delete("g/values/c/1/0")
        with pytest.raises(gd.StoreError, match="missing"):
            found.read(array, 1)


def test_a_torn_mark_and_a_mark_of_another_spec_count_for_nothing(tmp_path: Path) -> None:
    objects = open_objects(str(tmp_path / "marks"))
    array = ArraySpec("values", (4,), 2, "float64")
    group = create(objects, "g", {"k": 1}, [array], None)
    group.mark(dict([group.write(array, 0, np.ones(2))[:2]]), {})
    (mark,) = objects.keys("g/marks/")
    assert len(find(objects, "g").digests) == 1
    assert create(objects, "g", {"k": 2}, [array], None).digests == {}
    assert len(create(objects, "g", {"k": 1}, [array], None).digests) == 1
    truncate(tmp_path / "marks" / "g" / "zarr.json", Path())
    other = ArraySpec("values", (4,), 4, "float64")  # the same key, other rows
    assert create(objects, "g", {"k": 1}, [other], None).digests == {}
    truncate(tmp_path / "marks" / "g" / "zarr.json", Path())
    assert len(create(objects, "g", {"k": 1}, [array], None).digests) == 1
    truncate(tmp_path / "marks" / mark, Path())
    assert find(objects, "g").digests == {}


def test_the_bytes_of_a_knn_change_only_with_its_version() -> None:
    """A golden digest: where it changes, raise `Knn.version` (or `NUMERICS`) with it."""
    manifold = gd.Sphere(24)
    rows = np.random.default_rng(3).integers(-99, 100, (500, 24)).astype(np.float64)
    rows /= np.sqrt(lane_sum(rows * rows))[:, None]
    result = gd.knn(gd.points(rows.astype(np.float32), manifold), k=7).compute()
    found = blake2b(b"".join(each.tobytes() for each in arrays(result)), digest_size=20).hexdigest()
    assert found == "9a01166779de2a3ec135c516d9ae9b23a98406c7"


def test_a_hit_reads_a_handful_of_objects(sphere: gd.Points, tmp_path: Path) -> None:
    """The cost of a hit does not grow with the number of blocks: it is counted, not timed."""
    gd.knn(sphere, k=4).persist()
    objects, seen = open_objects(str(tmp_path / "store")), []
    get = type(objects).get
    type(objects).get = lambda self, key: seen.append(key) or get(self, key)
    try:
        assert gd.knn(sphere, k=4).persist().report.cache_hit
    finally:
        type(objects).get = get
    assert len(seen) <= 5
