"""Faults of a cluster: the same bytes as without, or an error in words and a store to go on."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, SchedulerPlugin

import geodask as gd
from faults import Fault, Grow, Kill, scheduler_of_its_own, spawn
from geodask.engine import remote, workers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_tasks")]


@contextmanager
def running(n_workers: int, **options: Any) -> Iterator[Client]:
    """A client of a cluster of this test's own."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", **options}
    with LocalCluster(n_workers=n_workers, **options) as cluster, Client(cluster) as client:
        yield client


def truth_of(x: gd.Points) -> Any:
    """The result from threads, not stored."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distributed.get_client", Mock(side_effect=ValueError))
        return gd.knn(x, k=4).compute()


def same_bytes(a: Any, b: Any) -> bool:
    names = ("indices", "distances", "certified")
    return all(np.asarray(getattr(a, n)).tobytes() == getattr(b, n).tobytes() for n in names)


def finished(store: Path) -> int:
    """How many objects of results or partial results there are."""
    return sum(1 for _ in store.glob("knn-*/*/c/*"))


def in_mid_run(run: Any, store: Path, at: int = 6) -> None:
    """Returns when some objects of the run are written."""
    deadline = time.monotonic() + 120
    while finished(store) < at:
        if run.done():
            run.result()
        assert time.monotonic() < deadline, "the run did not begin"
        time.sleep(0.05)


@contextmanager
def started(x: gd.Points) -> Iterator[Any]:
    """A run in another thread, as a future."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(gd.knn(x, k=4).persist)


def pids(client: Client) -> list[int]:
    return list(client.run(os.getpid).values())


@pytest.mark.long
def test_a_worker_that_is_stopped_does_not_stop_the_run(
    sphere: gd.Points, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "LATE_SECONDS", 1.0)
    truth = truth_of(sphere)
    with running(2) as client:
        client.register_plugin(Fault())
        stopped = pids(client)[0]
        with started(sphere) as run:
            in_mid_run(run, store)
            os.kill(stopped, signal.SIGSTOP)
            try:
                result = run.result(timeout=100)
            finally:
                os.kill(stopped, signal.SIGCONT)
        assert same_bytes(result, truth)
        assert gd.knn(sphere, k=4).persist().report.cache_hit


def test_a_worker_that_is_killed_costs_what_it_was_at(sphere: gd.Points, store: Path) -> None:
    truth = truth_of(sphere)
    with running(2) as client:
        client.register_plugin(Fault())
        victim = pids(client)[0]
        with started(sphere) as run:
            in_mid_run(run, store)
            os.kill(victim, signal.SIGKILL)
            result = run.result(timeout=100)
        assert same_bytes(result, truth)
        assert result.report.blocks_computed == truth.report.blocks_computed


def test_a_block_that_kills_every_worker_is_named_and_the_rest_completes(
    sphere: gd.Points, store: Path
) -> None:
    truth = truth_of(sphere)
    few = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with few, running(2) as client:
        client.register_plugin(Kill(0.0, block=3))
        with pytest.raises(gd.JobError, match=r"block 3, rows .* failed: WorkersDied") as caught:
            gd.knn(sphere, k=4).persist()
        rows = str(caught.value).partition("rows ")[2].partition(" failed")[0].split(" to ")
        assert 0 < int(rows[0]) < int(rows[1]) < 2000
    resumed = gd.knn(sphere, k=4).persist()  # on threads
    assert same_bytes(resumed, truth)
    assert resumed.report.blocks_computed == 1  # the finish of the block


@pytest.mark.long
def test_a_task_that_outgrows_its_worker_once_is_run_again(
    sphere: gd.Points, tmp_path: Path
) -> None:
    truth = truth_of(sphere)
    flag = tmp_path / "grown"
    with running(2, memory_limit="1.5GiB") as client:
        client.register_plugin(Grow(3, flag, 3 << 29))
        result = gd.knn(sphere, k=4).persist()
    assert flag.exists()
    assert same_bytes(result, truth)


@pytest.mark.long
def test_what_others_cancel_is_an_error_and_stays_stored(sphere: gd.Points, store: Path) -> None:
    truth = truth_of(sphere)
    with running(2) as client:
        client.register_plugin(Fault())
        with started(sphere) as run:
            in_mid_run(run, store)
            client.restart()
            with pytest.raises(gd.JobError, match="is stored: run again"):
                run.result(timeout=100)
        resumed = gd.knn(sphere, k=4).persist()
    assert same_bytes(resumed, truth)
    assert resumed.report.blocks_stored > 0


class Count(SchedulerPlugin):
    """How often tasks of a run were finished, by key."""

    name = "count"

    def __init__(self) -> None:
        self.finished: dict[str, int] = {}

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        if finish == "memory" and str(key).startswith("gd-knn"):
            self.finished[key] = self.finished.get(key, 0) + 1


@pytest.mark.long
def test_fewer_workers_cost_no_finished_block(sphere: gd.Points, store: Path) -> None:
    truth = truth_of(sphere)
    with running(3) as client:
        client.register_plugin(Fault())
        count = Count()
        scheduler = client.cluster.scheduler
        scheduler.add_plugin(count)
        with started(sphere) as run:
            in_mid_run(run, store)
            client.cluster.scale(1)
            result = run.result(timeout=100)
        assert len(client.nthreads()) == 1
        assert same_bytes(result, truth)
        tasks = truth.report.blocks_computed
        assert result.report.blocks_computed == tasks
        assert len(count.finished) == tasks
        # A result that its worker has not handed over as it leaves is computed once more.
        assert sum(count.finished.values()) <= tasks + 2


def test_a_scheduler_that_is_lost_is_an_error_and_the_store_goes_on(
    sphere: gd.Points, store: Path, tmp_path: Path
) -> None:
    truth = truth_of(sphere)
    quick = dask.config.set({"distributed.comm.timeouts.connect": "3s"})
    with quick, scheduler_of_its_own(tmp_path) as (address, scheduler), Client(address) as client:
        client.register_plugin(Fault(0.3))
        with started(sphere) as run:
            in_mid_run(run, store)
            scheduler.kill()
            with pytest.raises(gd.JobError, match="run again, and only the rest is computed"):
                run.result(timeout=60)
    resumed = gd.knn(sphere, k=4).persist()
    assert same_bytes(resumed, truth)
    assert resumed.report.blocks_stored > 0


@pytest.mark.long
def test_a_scheduler_that_stays_silent_is_an_error(
    sphere: gd.Points, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scheduler_of_its_own(tmp_path) as (address, scheduler), Client(address) as client:
        client.register_plugin(Fault(0.3))
        with started(sphere) as run:
            in_mid_run(run, store)
            monkeypatch.setattr(remote, "ANSWER_SECONDS", 2.0)
            scheduler.send_signal(signal.SIGSTOP)  # as a network that carries nothing any more
            try:
                with pytest.raises(gd.JobError, match="was silent for 2 seconds"):
                    run.result(timeout=60)
            finally:
                scheduler.send_signal(signal.SIGCONT)


def test_a_worker_without_geodask_or_with_another_is_refused(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['geodask'] = None\n")
    with scheduler_of_its_own(tmp_path, count=0) as (address, _), Client(address) as client:
        bare = spawn("worker", address, "--no-dashboard", first=str(tmp_path))
        try:
            client.wait_for_workers(1, timeout=60)
            with pytest.raises(gd.JobError, match=r"must be installed on every worker.*tcp://"):
                gd.knn(sphere, k=4).persist()
        finally:
            bare.kill()
            bare.wait()
    with running(1):
        monkeypatch.setattr("geodask.engine.workers.__version__", "9.9")
        monkeypatch.setattr(workers, "versions", workers.versions.__wrapped__)
        with pytest.raises(gd.JobError, match=r"must run geodask 9\.9.* but the worker in process"):
            gd.knn(sphere, k=4).persist()


def test_a_worker_that_joins_later_is_asked_before_its_first_task(
    sphere: gd.Points, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import geodask\ngeodask.__version__ = '0.0.1'\n")
    with scheduler_of_its_own(tmp_path) as (address, _), Client(address) as client:
        client.register_plugin(Fault(0.3))
        with started(sphere) as run:
            in_mid_run(run, store)
            late = spawn("worker", address, "--no-dashboard", first=str(tmp_path))
            try:
                with pytest.raises(gd.JobError, match=r"worker in process .* runs geodask 0\.0\.1"):
                    run.result(timeout=100)
            finally:
                late.kill()
                late.wait()
