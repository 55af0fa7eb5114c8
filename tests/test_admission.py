"""Rows are read once for each state of their files, and copied once for each content."""

from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.engine import admission
from geodask.engine.derived import Projected
from geodask.engine.sources import Zarr

SPHERE = gd.Sphere(24)


@pytest.fixture(autouse=True)
def old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old at once: what is known of them is remembered."""
    monkeypatch.setattr(admission, "FRESH_SECONDS", -1.0)


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


def test_selected_and_joined_files_are_digested_once(
    npy: Path, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(npy, rows / 2)
    x = gd.points(npy, SPHERE)
    several = [x[::2], x[1::2], gd.concat([x[:9], x]), gd.concat([x, x[:9]])]
    first = [answers(each) for each in several]
    assert len({each[0] for each in first}) == 4
    monkeypatch.setattr(admission, "examine", fail)
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


@pytest.mark.parametrize("lazy", [False, True])
def test_a_damaged_copy_is_written_anew(
    lazy: bool, npy: Path, rows: np.ndarray, store: Path
) -> None:
    array = da.from_array(rows, chunks=(77, 24)) if lazy else npy
    x = gd.points(array, SPHERE, project=True)
    first = answers(x)
    (chunk,) = store.glob("points-*/points/c/0/0")
    data = bytearray(chunk.read_bytes())
    data[1000] ^= 4
    chunk.write_bytes(data)
    right = gd.points(gd.points(rows, SPHERE, project=True).read(0, 500), SPHERE)
    assert gd.knn(x, k=5).persist().report.key == gd.knn(right, k=5).persist().report.key
    assert gd.knn(x, k=5).compute().audit(rows=500).wrong == 0
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
        monkeypatch.setattr(admission, "examine", fail)  # checked once
        assert answers(gd.points(npy, SPHERE)) == first
        assert gd.knn(gd.points(npy, SPHERE), k=3).persist().report.cache_hit


def test_nothing_is_read_where_metadata_are_trusted_and_nothing_is_checked(
    npy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "examine", fail)
    with dask.config.set({"geodask.trust": "metadata", "geodask.validate": "none"}):
        answers(gd.points(npy, SPHERE))


def test_a_large_chunk_is_decoded_once(
    rows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "DIGEST_BYTES", 64 * 24 * 4)
    zarr.create_array(tmp_path / "x.zarr", data=rows / 2, chunks=(256, 24))
    read, spans = Zarr.read, []

    def note(self: Zarr, start: int, stop: int) -> np.ndarray:
        spans.append((start, stop))
        return read(self, start, stop)

    monkeypatch.setattr(Zarr, "read", note)
    gd.knn(gd.points(tmp_path / "x.zarr", SPHERE), k=3).explain()
    assert sorted(spans)[:2] == [(0, 256), (256, 500)]
