"""Rows appended to saved points: all of them or none, and readers never see half."""

import multiprocessing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.engine import append, stored_ids

SPHERE = gd.Sphere(3)
X = SPHERE.random(1300, seed=0).astype(np.float32)
NAMES = [f"ø {i}" * (i % 7) for i in range(1300)]


@pytest.fixture(params=[None, NAMES, list(range(1300))], ids=["no ids", "text", "numbers"])
def ids(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.engine.save.STORED_BYTES", 12 * 256)
    monkeypatch.setattr("geodask.engine.ids.ID_ROWS", 128)
    monkeypatch.setattr(stored_ids, "ID_ROWS", 128)
    monkeypatch.setattr(stored_ids, "TEXT_BYTES", 300)


def part(ids: Any, start: int, stop: int) -> gd.Points:
    names = None if ids is None else np.array(ids, object if ids is NAMES else int)[start:stop]
    return gd.points(X[start:stop], SPHERE, ids=names)


def saved(path: Path, ids: Any, rows: int) -> gd.Points:
    part(ids, 0, rows).save(path)
    return gd.open(path)


def holds(x: gd.Points, ids: Any, rows: int) -> None:
    assert len(x) == rows
    assert (x.read(0, rows) == X[:rows]).all()
    assert (x.ids is None) == (ids is None)
    if x.ids is not None:
        assert list(x.ids) == ids[:rows]


@pytest.mark.parametrize("cuts", [(1, 2, 3), (256, 512, 1300), (0, 700, 701), (257, 257, 1021)])
def test_appended_rows_are_behind_those_before(
    cuts: tuple[int, ...], ids: Any, tmp_path: Path
) -> None:
    x = saved(tmp_path / "x", ids, cuts[0])
    for old, new in pairwise(cuts):
        before, x = x, x.append(part(ids, old, new))
        holds(before, ids, old)
        holds(x, ids, new)
        holds(gd.open(tmp_path / "x"), ids, new)


def test_a_small_beginning_does_not_leave_small_chunks(ids: Any, tmp_path: Path) -> None:
    x = saved(tmp_path / "x", ids, 3)
    x = x.append(part(ids, 3, 1200))
    assert x.source.chunk_rows == 256
    holds(x.append(part(ids, 1200, 1300)), ids, 1300)


def test_an_array_and_its_ids_are_appended(ids: Any, tmp_path: Path) -> None:
    x = saved(tmp_path / "x", ids, 900)
    holds(x.append(X[900:1000], ids=None if ids is None else ids[900:1000]), ids, 1000)


def test_neighbours_of_appended_rows_grow(tmp_path: Path) -> None:
    x = saved(tmp_path / "x", None, 900)
    gd.knn(x, k=3).persist()
    found = gd.knn(x.append(X[900:1000]), k=3).persist()
    assert found.report.reused == pytest.approx(0.81)


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_a_killed_append_leaves_what_was_there(
    after: int, ids: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = saved(tmp_path / "x", ids, 700)
    resize, put = zarr.Array.resize, append.open_objects(str(tmp_path / "x")).put
    calls: list[None] = []

    def dies(call: Any) -> Any:
        def until(*of: Any) -> None:
            calls.append(None)
            if len(calls) == after:
                raise KeyboardInterrupt
            call(*of)

        return until

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "resize", dies(resize))
        patch.setattr(append.open_objects(str(tmp_path / "x")), "put", dies(put))
        with pytest.raises(KeyboardInterrupt):
            x.append(part(ids, 700, 1300))
    holds(gd.open(tmp_path / "x"), ids, 700)
    holds(gd.open(tmp_path / "x").append(part(ids, 700, 1100)), ids, 1100)


def test_what_has_grown_meanwhile_is_not_appended_to(tmp_path: Path) -> None:
    x = saved(tmp_path / "x", None, 700)
    x.append(X[700:800])
    with pytest.raises(gd.StoreError, match="Open it again"):
        x.append(X[700:900])
    holds(gd.open(tmp_path / "x"), None, 800)


def _hold(path: str, held: Any, done: Any) -> None:
    with append._alone(Path(path)):
        held.set()
        done.wait(60)


def test_one_process_appends_at_a_time(tmp_path: Path) -> None:
    x = saved(tmp_path / "x", None, 700)
    spawn = multiprocessing.get_context("spawn")
    held, done = spawn.Event(), spawn.Event()
    other = spawn.Process(target=_hold, args=(str(tmp_path / "x"), held, done))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(gd.StoreError, match="One process at a time"):
            x.append(X[700:900])
    finally:
        other.kill()
        other.join()
    holds(x.append(X[700:900]), None, 900)


def test_what_does_not_match_is_refused(tmp_path: Path) -> None:
    x = saved(tmp_path / "x", None, 700)
    with pytest.raises(gd.SpecError, match="of one dtype"):
        x.append(SPHERE.random(9, seed=1))
    with pytest.raises(gd.SpecError, match="of one kind of ids"):
        x.append(X[700:800], ids=range(100))
    with pytest.raises(gd.PointShapeError, match="Sphere"):
        x.append(X[700:, :2])
    with pytest.raises(gd.NotOnManifoldError, match="row 3"):
        x.append(np.where(np.arange(20)[:, None] == 3, 2, 1) * X[700:720])
    with pytest.raises(gd.SpecError, match=r"gd\.concat"):
        x[:100].append(X[700:])
    with pytest.raises(gd.SpecError, match=r"gd\.concat"):
        gd.points(X[:9], SPHERE).append(X[700:])
    holds(gd.open(tmp_path / "x"), None, 700)
