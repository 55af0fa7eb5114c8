"""Plans say what they cost and keep to it; threads and Dask give the same bytes."""

import io
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import dask
import numpy as np
import psutil
import pytest
import zarr

import geodask as gd
from geodask.config import settings
from geodask.engine import progress
from geodask.engine.driver import Run
from geodask.engine.execution import SHARE
from geodask.engine.progress import Progress
from geodask.engine.remote import Dask
from geodask.events import PlanEnded, PlanStarted, Stats, TaskDone
from geodask.storage.objects import Objects


def equal_bytes(a: object, b: object) -> bool:
    names = ("indices", "distances", "certified")
    pairs = [(np.asarray(getattr(a, n)), np.asarray(getattr(b, n))) for n in names]
    return all(left.tobytes() == right.tobytes() for left, right in pairs)


@pytest.mark.usefixtures("small_tasks")
def test_explain_says_what_is_stored(sphere: gd.Points) -> None:
    plan = gd.knn(sphere, k=4)
    before = plan.explain()
    assert before.blocks > 4
    assert before.panels == 2
    assert before.flops == 2 * 24 * 2000 * 2000
    assert before.worst_flops > before.flops
    assert before.hours > 0
    assert not before.hit
    assert before.stored == 0
    assert before.worker_bytes == before.base_bytes + before.slots_each * before.task_bytes
    result = plan.persist()
    after = plan.explain()
    assert after.hit
    assert after.hours == 0
    assert after.url == result.report.url
    assert "a run only reads" in repr(after)
    assert result.report.stats["bytes_written"] == before.bytes_written


def test_explain_of_what_is_stored_needs_no_memory(sphere: gd.Points) -> None:
    gd.knn(sphere, k=4).persist()
    with dask.config.set({"geodask.memory-per-task": 1000}):
        assert gd.knn(sphere, k=4).explain().hit
    nothing = gd.knn(sphere[:0], k=4)
    assert nothing.explain().stored == 0
    nothing.persist()
    assert nothing.explain().stored == 1


def test_memory_counts_the_chunks_that_are_decoded(sphere: gd.Points, tmp_path: Path) -> None:
    rows, few = sphere.read(0, 2000), sphere[:50]
    zarr.create_array(tmp_path / "x.zarr", data=rows, chunks=(2000, 24))
    coarse = gd.points(tmp_path / "x.zarr", sphere.manifold)
    for plan in (
        lambda x: gd.knn(x, few, k=4),
        lambda x: gd.knn(x[:100], k=4),
        lambda x: gd.knn(gd.concat([x, x]), few, k=4),
        lambda x: gd.plan(gd.dist, x[::10], few[:1]),
    ):
        assert plan(coarse).explain().task_bytes >= 2 * rows.nbytes


def test_a_plan_that_cannot_fit_is_refused_before_it_runs(sphere: gd.Points, store: Path) -> None:
    with (
        dask.config.set({"geodask.memory-per-task": 1000}),
        pytest.raises(gd.MemoryPlanError, match=r"needs at least \d+ bytes.*but 1000 bytes are"),
    ):
        gd.knn(sphere, k=4).persist()
    assert not list(store.glob("knn-*"))


def test_a_result_larger_than_the_store_may_be_is_refused(sphere: gd.Points, store: Path) -> None:
    with (
        dask.config.set({"geodask.store-max-bytes": "10 kB"}),
        pytest.raises(gd.MemoryPlanError, match="store-max-bytes"),
    ):
        gd.knn(sphere, k=4).persist()
    assert not list(store.glob("knn-*"))


def test_compute_counts_what_it_holds(sphere: gd.Points, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = gd.knn(sphere, k=900)
    stated = plan.explain()
    assert stated.held_bytes > 2 * 2000 * 900 * 16
    assert "compute() holds" in repr(stated)
    limit = int((stated.base_bytes + stated.held_bytes / 2) / SHARE)
    monkeypatch.setattr("geodask.engine.executors.Threads.memory_limit", lambda self: limit)
    with pytest.raises(gd.MemoryPlanError, match=r"holds \d+ bytes.* Use persist\(\)"):
        plan.compute()


@pytest.mark.usefixtures("client")
def test_a_worker_without_a_limit_shares_its_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from dask.distributed import get_client

    engine = Dask(get_client(), 2)
    assert engine.memory_limit() == 4 << 30
    known = engine.client.scheduler_info(n_workers=-1)
    for worker in known["workers"].values():
        worker["memory_limit"] = 0
    monkeypatch.setattr(engine.client, "scheduler_info", lambda n_workers: known)
    free = psutil.virtual_memory().available
    assert 0.3 * free < engine.memory_limit() < 0.7 * free


@pytest.mark.usefixtures("small_tasks")
def test_less_memory_gives_the_same_bytes(sphere: gd.Points) -> None:
    truth = gd.knn(sphere, k=4).compute()
    needed = gd.knn(sphere, k=4).explain().task_bytes
    smaller = None
    for share in (0.95, 0.9, 0.85, 0.8):
        with dask.config.set({"geodask.memory-per-task": int(share * needed)}):
            smaller = gd.knn(sphere, k=4).compute()
        assert equal_bytes(smaller, truth)


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize(
    "setting",
    [
        {"geodask.threads": 1},
        {"geodask.threads": 5},
        {"geodask.array": "numpy"},
        {"geodask.surrogate": "float32"},
        {"geodask.array": "numpy", "geodask.surrogate": "float32", "geodask.threads": 3},
    ],
    ids=str,
)
def test_settings_do_not_change_the_bytes(sphere: gd.Points, setting: dict[str, object]) -> None:
    truth = gd.knn(sphere, k=4).compute()
    with dask.config.set(setting):
        assert equal_bytes(gd.knn(sphere, k=4).compute(), truth)


@pytest.mark.usefixtures("small_tasks", "client")
def test_a_cluster_gives_the_bytes_of_threads(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross = gd.points(sphere.manifold.random(300, seed=9), sphere.manifold)
    with monkeypatch.context() as patch:
        patch.setattr("distributed.get_client", Mock(side_effect=ValueError))
        truth, cross_truth = gd.knn(sphere, k=4).compute(), gd.knn(cross, sphere, k=3).compute()
    sphere.save(tmp_path / "x.zarr")
    stored = gd.open(tmp_path / "x.zarr")
    assert equal_bytes(gd.knn(stored, k=4).persist(), truth)
    assert equal_bytes(gd.knn(cross, sphere, k=3).persist(), cross_truth)  # from memory
    assert equal_bytes(gd.knn(cross, sphere, k=3).compute(), cross_truth)
    assert gd.knn(sphere[:], k=4).persist().report.cache_hit
    lazy = gd.midpoint(sphere, sphere)  # a Dask array
    assert gd.knn(lazy, k=4).persist().indices.shape == (2000, 4)
    assert not list((tmp_path / "store").glob("scratch-*"))
    assert not list((tmp_path / "store").glob("points-stage-*"))


def test_what_tasks_carry_does_not_grow_with_the_rows(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = gd.points(sphere.read(0, 2000), sphere.manifold, ids=np.arange(2000).astype(str))
    named.save(tmp_path / "x.zarr")
    sizes = []
    run = Run.run

    def measure(self: Run, blocks: range) -> None:
        sizes.append(len(pickle.dumps(self.job)))
        run(self, blocks)

    monkeypatch.setattr(Run, "run", measure)
    gd.knn(gd.open(tmp_path / "x.zarr"), k=4).persist()
    assert sizes[0] < 2000


def test_torch_has_its_threads_back_after_a_plan(sphere: gd.Points) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gd.knn(sphere, k=4).compute()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("client")
def test_a_store_that_workers_do_not_see_is_refused(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Objects.put

    def lose(self: Objects, key: str, data: Any) -> None:
        if not key.startswith("visible-"):
            put(self, key, data)

    monkeypatch.setattr(Objects, "put", lose)
    words = r"visible to every worker, but the worker in process .* on .* does not see it"
    with pytest.raises(gd.StoreError, match=words):
        gd.knn(sphere, k=4).persist()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("device", "cuda:99", gd.DeviceError),
        ("device", "tpu", gd.DeviceError),
        ("array", "jax", gd.DeviceError),
        ("surrogate", "float8", gd.SpecError),
        ("validate", "maybe", gd.SpecError),
        ("threads", 0, gd.SpecError),
    ],
)
def test_wrong_settings_are_refused(
    sphere: gd.Points, name: str, value: object, error: type[Exception]
) -> None:
    with dask.config.set({f"geodask.{name}": value}), pytest.raises(error):
        gd.knn(sphere, k=4).compute()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_GEODASK__THREADS", "3")
    with dask.config.set(dask.config.collect_env()):
        assert settings().threads == 3


# --- progress ------------------------------------------------------------------------------------


def drive(bar: Progress) -> None:
    bar(PlanStarted("gd-knn-12345678", work=200.0, stored=50.0, rows=100))
    for _ in range(3):
        bar(TaskDone(50.0, Stats(tasks=1)))
    bar(PlanEnded(True))


def test_progress_shows_rows_a_second_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "DELAY", 0.0)
    drive(Progress("on"))
    shown = screen.getvalue()
    assert "gd-knn-12345678" in shown
    assert " 25%" in shown
    assert "100%" in shown
    assert "100/100 rows" in shown
    assert "rows/s" in shown
    assert "<" in shown


def test_a_notebook_shows_progress_too(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "find_spec", lambda name: None)  # no widgets: as text
    monkeypatch.setattr(progress, "DELAY", 0.0)
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    drive(Progress("auto"))
    assert "100/100 rows" in screen.getvalue()


def test_what_is_done_at_once_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "DELAY", 60.0)
    drive(Progress("on"))
    assert screen.getvalue() == ""


@pytest.mark.parametrize("mode", ["off", "auto"])
def test_progress_is_silent_when_told_or_without_a_terminal(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    drive(Progress(mode))
    assert screen.getvalue() == ""


# --- reports and the audit -----------------------------------------------------------------------


def test_a_report_says_how_it_came_about(sphere: gd.Points) -> None:
    report = gd.knn(sphere, k=4).persist().report
    assert report.certified == 1.0
    assert 0 < report.rechecked < 0.5
    assert report.approximation_error == 0.0
    assert report.peak_bytes > 50e6
    assert report.seconds > 0
    assert report.versions["numpy"] == np.__version__
    assert report.stats["pairs"] == 2000 * 2000
    assert "cpu" in report.device
    assert "found in the store" in repr(gd.knn(sphere, k=4).persist().report)


@pytest.mark.parametrize("manifold", [gd.Sphere(24), gd.Euclidean(5)], ids=str)
def test_an_audit_finds_what_is_wrong_and_nothing_else(manifold: gd.Manifold) -> None:
    rows = manifold.random(400, seed=2).astype(np.float32)
    x = gd.points(np.concatenate([rows, rows[:50]]), manifold)
    result = gd.knn(x, k=6).compute()
    audit = result.audit(rows=450)
    assert (audit.rows, audit.wrong) == (450, 0)
    assert audit.distance_error < 1e-15 * 10
    result.indices[7, 5] = result.indices[8, 0]
    result.indices[9, [1, 2]] = result.indices[9, [2, 1]]
    assert result.audit(rows=450).wrong == 2


def test_an_audit_finds_a_wrong_distance(sphere: gd.Points) -> None:
    result = gd.knn(sphere, k=6).compute()
    result.distances[11, 0] += 1e-3
    found = result.audit(rows=2000)
    assert found.wrong == 0
    assert found.distance_error == pytest.approx(1e-3, rel=1e-6)
