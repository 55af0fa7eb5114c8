"""Writers on one group share its blocks: none is done twice, and none waits for the dead."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from geodask.ops.frechet import Mean
from geodask.ops.knn import Knn
from geodask.storage import claims
from geodask.storage.claims import Claims
from geodask.storage.objects import memory_objects, open_objects
from geodask.storage.process import identity, is_gone

TASKS = 32 * 3
"""What `small_tasks` makes of a kNN of 2,000 rows."""


def test_what_one_has_another_leaves() -> None:
    objects = memory_objects()
    first, second = Claims(objects, "g/claims"), Claims(objects, "g/claims")
    assert first.take(range(10), 3) == {0, 1, 2}
    assert second.take(range(10), 4) == {3, 4, 5, 6}
    assert first.take(range(10), 2) == {0, 1}  # what it has already
    assert second.take([0, 1, 2], 9) == set()
    first.let_go([1])
    assert second.take([0, 1, 2], 9) == set()  # it was not written yet
    assert first.take([9], 1) == {9}
    assert second.take([0, 1, 2], 9) == {1}
    first.release()
    assert second.take([0, 9], 9) == {0, 9}
    second.release()
    assert objects.keys("") == []


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_of_many_who_want_a_part_at_once_one_takes_it(where: str, tmp_path: Path) -> None:
    objects = memory_objects() if where == "memory" else open_objects(str(tmp_path / "s"))
    writers, rounds = 4, 25
    ready = Barrier(writers)

    def take(number: int) -> list[set[int]]:
        mine, found = Claims(objects, "claims"), []
        for each in range(rounds):
            ready.wait()
            found.append(mine.take(range(10 * each, 10 * each + 10), 10))
        return found

    with ThreadPoolExecutor(writers) as pool:
        taken = list(pool.map(take, range(writers)))
    for each in range(rounds):
        parts = sorted(part for found in taken for part in found[each])
        assert parts == list(range(10 * each, 10 * each + 10))


def test_a_claim_counts_until_its_process_is_gone(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from geodask.storage.claims import Claims\n"
        "from geodask.storage.objects import open_objects\n"
        f"print(Claims(open_objects({str(tmp_path)!r}), 'claims').take([1, 2], 9), flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    mine = Claims(open_objects(str(tmp_path)), "claims")
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as other:
        assert other.stdout.readline() == "{1, 2}\n"
        assert mine.take([1, 2, 3], 9) == {3}
        other.kill()
        other.wait()
    assert mine.take([1, 2, 3], 9) == {1, 2, 3}


def test_a_claim_that_is_not_renewed_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = memory_objects()
    paused, renewed, other = (Claims(objects, "claims") for _ in range(3))
    paused.take([1], 1)
    renewed.take([2], 1)
    assert other.take([1, 2], 2) == set()
    monkeypatch.setattr(claims, "EXPIRED_SECONDS", 0.2)
    monkeypatch.setattr(claims, "RENEWED_SECONDS", 0.0)
    time.sleep(0.3)
    renewed.renew()
    assert other.take([1, 2], 2) == {1}


def test_a_process_is_gone_when_its_number_is_that_of_another() -> None:
    here = identity()
    assert not is_gone(here)
    assert is_gone({**here, "started": here["started"] - 1})
    assert not is_gone({**here, "machine": "elsewhere", "pid": 2**22 - 1})
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert is_gone({**here, "pid": ended.pid})


@pytest.fixture
def slow_tasks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int | None]]:
    """Each task takes a while, and is noted."""
    from geodask.engine import tasks

    done: list[tuple[int, int | None]] = []
    compute = tasks._compute

    def slow(job: Any, task: Any, *rest: Any) -> Any:
        done.append((task.block, task.panel))
        time.sleep(0.03)
        return compute(job, task, *rest)

    monkeypatch.setattr(tasks, "_compute", slow)
    return done


@pytest.mark.usefixtures("small_tasks")
def test_two_runs_at_once_do_the_work_once(
    sphere: gd.Points, slow_tasks: list[tuple[int, int | None]]
) -> None:
    plan = gd.knn(sphere, k=4)
    with dask.config.set({"geodask.threads": 2}), ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: plan.persist(), range(2))
    assert len(slow_tasks) == len(set(slow_tasks)) == TASKS
    done = [each.report.blocks_computed for each in (first, second)]
    assert min(done) > 9
    assert sum(done) == TASKS
    assert {
        each.report.blocks_computed + each.report.blocks_stored for each in (first, second)
    } == {TASKS}
    assert np.asarray(first.indices).tobytes() == np.asarray(second.indices).tobytes()
    assert plan.persist(verify=True).report.cache_hit


def test_two_runs_of_an_iteration_take_turns(
    monkeypatch: pytest.MonkeyPatch, slow_tasks: list[tuple[int, int | None]]
) -> None:
    monkeypatch.setattr("geodask.ops.frechet.TASK_BYTES", 8 * 1024 * 6)
    manifold = gd.PoincareBall(6)
    plan = gd.mean(gd.points(manifold.random(5000, seed=0), manifold))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: plan.persist(), range(2))
    assert len(slow_tasks) == len(set(slow_tasks))
    assert first.point.tobytes() == second.point.tobytes()


def test_who_waits_goes_on_where_the_other_has_failed(
    monkeypatch: pytest.MonkeyPatch, slow_tasks: list[tuple[int, int | None]]
) -> None:
    monkeypatch.setattr("geodask.ops.frechet.TASK_BYTES", 8 * 1024 * 6)
    manifold = gd.PoincareBall(6)
    plan = gd.mean(gd.points(manifold.random(5000, seed=0), manifold))
    step, ready = Mean.step, Barrier(2)
    failed: list[int] = []

    def fail_once(self: Mean, *arguments: Any) -> np.ndarray:
        if not failed:
            failed.append(1)
            raise RuntimeError("the first one fails")
        return step(self, *arguments)

    def persist(_: int) -> Any:
        ready.wait()
        try:
            return plan.persist()
        except RuntimeError as error:
            return error

    monkeypatch.setattr(Mean, "step", fail_once)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(persist, range(2)))
    (error,) = (each for each in found if isinstance(each, RuntimeError))
    (result,) = (each for each in found if each is not error)
    assert "in block 1 of gd-mean-" in error.__notes__[0]
    assert result.converged


@pytest.mark.usefixtures("small_tasks")
def test_blocks_that_fail_may_be_left_for_the_end(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, calls = Knn.partial, []

    def fail(self: Knn, work: Any, block: int, panel: int) -> np.ndarray:
        calls.append((block, panel))
        if block in (3, 11) and panel == 1:
            raise ZeroDivisionError("a poisoned block")
        return partial(self, work, block, panel)

    plan = gd.knn(sphere, k=4)
    with monkeypatch.context() as patch, dask.config.set({"geodask.on-error": "continue"}):
        patch.setattr(Knn, "partial", fail)
        with pytest.raises(
            gd.JobError, match=r"block 3, rows 192 to 256; block 11, rows"
        ) as caught:
            plan.persist()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert {block for block, _ in calls} == set(range(32))
    resumed = plan.persist().report
    assert resumed.blocks_computed <= 2 * 3
    assert resumed.blocks_computed + resumed.blocks_stored == TASKS
    monkeypatch.setattr(Knn, "partial", fail)
    with pytest.raises(ZeroDivisionError) as first:
        gd.knn(sphere, k=5).persist()
    assert "in block" in first.value.__notes__[0]


def test_a_run_leaves_no_claims(sphere: gd.Points, store: Path) -> None:
    gd.knn(sphere, k=4).persist()
    assert not list(store.rglob("claims"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Knn, "finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gd.knn(sphere, k=3).persist()
    assert not [path for path in store.rglob("claims/*") if path.is_file()]
