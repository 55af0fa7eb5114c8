"""Rows are read once for each state of their files, and copied once for each content."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.engine import admission, census, sources
from geodask.engine.derived import Projected
from geodask.engine.driver import Run
from geodask.engine.sources import Zarr

SPHERE = gd.Sphere(24)


@pytest.fixture(autouse=True)
def old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old at once: what is known of them is remembered."""
    monkeypatch.setattr(sources, "FRESH_SECONDS", -1.0)


@pytest.fixture
def rows() -> np.ndarray:
    return 2 * SPHERE.random(500, seed=1).astype(np.float32)


@pytest.fixture
def npy(rows: np.ndarray, tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", rows)
    return tmp_path / "x.npy"


def answers(x: gd.Points, **settings: Any) -> list[bytes]:
    result = gd.knn(x, k=3).persist()
    return [np.asarray(part).tobytes() for part in (result.indices, result.distances)]


def fail(*arguments: Any) -> Any:
    raise AssertionError("this must not happen")


def test_projected_files_are_read_once(npy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = gd.points(npy, SPHERE, project=True)
    first = answers(x)
    monkeypatch.setattr(Projected, "read", fail)
    monkeypatch.setattr(admission, "write_copy", fail)
    assert gd.knn(x, k=3).persist().report.cache_hit
    assert answers(gd.points(npy, SPHERE, project=True)) == first
    assert gd.knn(x, k=4).persist().report.certified == 1.0  # from the copy
    with pytest.raises(AssertionError, match="must not happen"):
        answers(gd.points(npy, gd.Sphere(24, curvature=2.0), project=True))


def test_a_new_copy_is_not_read_back_to_check_it(
    npy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Zarr, "read", fail)
    gd.knn(gd.points(npy, SPHERE, project=True), k=3).explain()


def test_selected_and_joined_files_are_digested_once(
    npy: Path, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(npy, rows / 2)
    x = gd.points(npy, SPHERE)
    several = [x[::2], x[1::2], gd.concat([x[:9], x]), gd.concat([x, x[:9]])]
    first = [answers(each) for each in several]
    assert len({each[0] for each in first}) == 4
    monkeypatch.setattr(census, "examine", fail)
    assert [answers(each) for each in several] == first
    with pytest.raises(AssertionError, match="must not happen"):
        answers(x[1:])


@pytest.mark.usefixtures("client")
def test_rows_in_memory_are_copied_once_for_a_cluster(
    rows: np.ndarray, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = gd.points(rows / 2, SPHERE)
    first = answers(x)
    with monkeypatch.context() as patch:
        patch.setattr(admission, "write_copy", fail)
        assert answers(gd.points(rows / 2, SPHERE)) == first
        assert gd.knn(x, k=4).persist().report.certified == 1.0
    assert len(list(store.glob("points-*"))) == 1
    rows[0] = rows[1]
    assert answers(gd.points(rows / 2, SPHERE)) != first


@pytest.mark.parametrize("trust", ["content", "metadata"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_damaged_copy_is_written_anew(
    lazy: bool, trust: str, npy: Path, rows: np.ndarray, store: Path
) -> None:
    with dask.config.set({"geodask.trust": trust}):
        damage_the_copy(lazy, npy, rows, store)


def damage_the_copy(lazy: bool, npy: Path, rows: np.ndarray, store: Path) -> None:
    array = da.from_array(rows, chunks=(77, 24)) if lazy else npy
    x = gd.points(array, SPHERE, project=True)
    first = answers(x)
    (chunk,) = store.glob("points-*/points/c/0/0")
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 4
    chunk.write_bytes(data)
    right = gd.points(gd.points(rows, SPHERE, project=True).read(0, 500), SPHERE)
    mended, truth = gd.knn(x, k=5).persist(), gd.knn(right, k=5).compute()
    assert (np.asarray(mended.indices) == truth.indices).all()
    assert mended.audit(rows=500).wrong == 0
    chunk.unlink()
    assert (np.asarray(gd.knn(x, k=6).persist().indices)[:, :5] == truth.indices).all()
    assert answers(x) == first
    assert len(list(store.glob("points-*"))) == 1


def test_a_copy_that_has_no_room_is_refused(npy: Path, store: Path) -> None:
    x = gd.points(npy, SPHERE, project=True)
    with (
        dask.config.set({"geodask.store-max-bytes": "10 kB"}),
        pytest.raises(gd.MemoryPlanError, match=r"copy of .*x\.npy writes 48000 bytes"),
    ):
        answers(x)


def test_trusting_metadata_does_not_skip_the_checks(
    npy: Path, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dask.config.set({"geodask.trust": "metadata"}):
        with pytest.raises(gd.NotOnManifoldError, match="row 0 is not of unit length"):
            answers(gd.points(npy, SPHERE))
        np.save(npy, rows / 2)
        first = answers(gd.points(npy, SPHERE))
        monkeypatch.setattr(census, "examine", fail)  # checked once
        assert answers(gd.points(npy, SPHERE)) == first
        assert gd.knn(gd.points(npy, SPHERE), k=3).persist().report.cache_hit


def test_nothing_is_read_where_metadata_are_trusted_and_nothing_is_checked(
    npy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "examine", fail)
    with dask.config.set({"geodask.trust": "metadata", "geodask.validate": "none"}):
        answers(gd.points(npy, SPHERE))


def test_a_large_chunk_is_decoded_once(
    rows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "DIGEST_BYTES", 64 * 24 * 4)
    zarr.create_array(tmp_path / "x.zarr", data=rows / 2, chunks=(256, 24))
    read, spans = Zarr.read, []

    def note(self: Zarr, start: int, stop: int) -> np.ndarray:
        spans.append((start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(Zarr, "read", note)
    gd.knn(gd.points(tmp_path / "x.zarr", SPHERE), k=3).explain()
    assert sorted(spans)[:2] == [(0, 256), (256, 500)]


# --- files that change --------------------------------------------------------------------------


def shorter(path: Path, rows: np.ndarray) -> None:
    np.save(path, rows[:200])


def wider(path: Path, rows: np.ndarray) -> None:
    np.save(path, rows.astype(np.float64))


def narrower(path: Path, rows: np.ndarray) -> None:
    np.save(path, rows[:, :20])


def truncated(path: Path, rows: np.ndarray) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def gone(path: Path, rows: np.ndarray) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [shorter, wider, narrower, truncated, gone])
@pytest.mark.parametrize("trust", ["content", "metadata"])
def test_a_file_that_is_not_what_was_opened_is_an_error(
    change: Any, trust: str, npy: Path, rows: np.ndarray
) -> None:
    np.save(npy, rows / 2)
    plans = [gd.knn(x, k=3) for x in (gd.points(npy, SPHERE), gd.points(npy, SPHERE)[::2])]
    change(npy, rows / 2)
    with dask.config.set({"geodask.trust": trust, "geodask.validate": "none"}):
        for plan in plans:
            with pytest.raises(gd.StoreError, match=r"x\.npy must"):
                plan.compute()


def test_a_zarr_array_that_shrank_or_is_gone_is_an_error(rows: np.ndarray, tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "x.zarr", data=rows / 2, chunks=(100, 24))
    plan = gd.knn(gd.points(tmp_path / "x.zarr", SPHERE), k=3)
    array.resize((250, 24))
    with pytest.raises(gd.StoreError, match="as when it was opened"):
        plan.compute()
    shutil.rmtree(tmp_path / "x.zarr")
    with pytest.raises(gd.StoreError, match=r"x\.zarr must"):
        plan.compute()


@pytest.mark.parametrize("text", [b"rows, but no numpy", b""])
def test_a_file_that_holds_no_numbers_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(text)
    with pytest.raises(gd.SpecError, match=r"x\.npy must be a \.npy file of numbers"):
        gd.points(tmp_path / "x.npy", SPHERE)


def test_a_mapped_array_is_its_file(npy: Path, rows: np.ndarray) -> None:
    np.save(npy, rows / 2)
    mapped = np.load(npy, mmap_mode="r")
    assert gd.points(mapped, SPHERE).source.travels
    part = gd.points(mapped[10:60], SPHERE)
    assert part.read(0, 50).tobytes() == (rows[10:60] / 2).tobytes()


def test_a_view_or_a_changed_copy_of_a_mapped_file_is_not_its_file(
    npy: Path, rows: np.ndarray
) -> None:
    np.save(npy, rows / 2)
    changed = np.load(npy, mmap_mode="c")
    changed[:] = changed[::-1].copy()
    np.save(npy.with_name("bits.npy"), (rows / 2).view(np.int32))
    seen = np.load(npy.with_name("bits.npy"), mmap_mode="r").view(np.float32)
    reversed_rows = np.load(npy, mmap_mode="r")[::-1]
    for array, right in ((changed, rows[::-1]), (seen, rows), (reversed_rows, rows[::-1])):
        assert gd.points(array, SPHERE).read(0, 500).tobytes() == (right / 2).tobytes()


@pytest.mark.parametrize("persisted", [True, False])
def test_rows_in_memory_that_change_during_a_run_are_not_stored(
    rows: np.ndarray, store: Path, monkeypatch: pytest.MonkeyPatch, persisted: bool
) -> None:
    values = rows / 2
    plan, run = gd.knn(gd.points(values, SPHERE), k=3), Run.run

    def change_and_run(self: Run, *blocks: object) -> None:
        values[:] = values[::-1].copy()
        run(self, *blocks)

    monkeypatch.setattr(Run, "run", change_and_run)
    if persisted:
        with pytest.raises(gd.StoreError, match="must stay as it is"):
            plan.persist()
        assert not list(store.glob("knn-*/marks/*"))
    else:
        plan.compute()


def test_a_large_chunk_of_a_dask_array_is_computed_once(
    rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "DIGEST_BYTES", 32 * 24 * 4)
    monkeypatch.setattr("geodask.engine.save.STORED_BYTES", 16 * 24 * 4)
    seen = []

    def note(block: np.ndarray) -> np.ndarray:
        seen.append(len(block))
        return block / 2

    x = da.from_array(rows, chunks=(256, 24)).map_blocks(note, meta=rows[:0])
    gd.knn(gd.points(x, SPHERE), k=3).explain()
    assert sorted(seen) == [244, 256]


def test_copies_at_once_do_not_disturb_each_other(rows: np.ndarray, store: Path) -> None:
    truth = gd.knn(gd.points(rows / 2, SPHERE), k=3).compute().indices

    def ask(number: int) -> np.ndarray:
        x = da.from_array(rows / 2, chunks=(100, 24))
        return np.asarray(gd.knn(gd.points(x, SPHERE), k=3).persist().indices)

    for _ in range(4):
        shutil.rmtree(store, ignore_errors=True)
        with ThreadPoolExecutor(4) as pool:
            assert all((found == truth).all() for found in pool.map(ask, range(4)))
    assert not list(store.glob("stages/*"))
    assert len(list(store.glob("points-*"))) == 1


def test_what_a_killed_process_left_half_written_goes_after_a_day(
    npy: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = store / "stages" / "0123" / "points" / "c" / "0" / "0"
    stage.parent.mkdir(parents=True)
    stage.write_bytes(b"half")
    answers(gd.points(npy, SPHERE, project=True))
    assert stage.exists()
    monkeypatch.setattr("geodask.engine.copies.STALE_SECONDS", -1.0)
    answers(gd.points(npy, gd.Sphere(24, curvature=3.0), project=True)[:100])
    assert not stage.exists()
