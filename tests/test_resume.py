"""A run that was killed goes on where it stopped, elsewhere, with less, to the same bytes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd

CHILD = """
import sys, time
import dask
import numpy as np
import geodask as gd
import geodask.ops.compared as compared
from geodask.kernels.nearest import HostNearest

compared.TASK_WORK = (1.5e7, 5e12)
fold = HostNearest.fold

def slow(self, *targets):
    time.sleep(0.15)
    fold(self, *targets)

HostNearest.fold = slow
if __name__ == "__main__":
    manifold = gd.Sphere(24)
    x = gd.points(manifold.random(2000, seed=1).astype(np.float32), manifold)
    if sys.argv[1] == "dask":
        from dask.distributed import Client
        client = Client(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    gd.knn(x, k=4).persist()
"""


def finished(group: Path) -> int:
    """How many objects the marks name."""
    from geodask.storage.group import find
    from geodask.storage.objects import open_objects

    found = find(open_objects(str(group.parent)), group.name)
    return 0 if found is None else len(found.digests)


def start_and_kill(script: Path, store: Path, *arguments: str, of: str = "knn", at: int) -> Path:
    """Runs a script, kills it once ``at`` objects of a group are marked; the group it leaves."""

    def far_enough() -> bool:
        groups = list(store.glob(f"{of}-*"))
        return bool(groups) and finished(groups[0]) >= at

    kill_once(far_enough, script, *arguments, DASK_GEODASK__STORE=str(store))
    return next(store.glob(f"{of}-*"))


def kill_once(ready: Callable[[], bool], script: Path, *arguments: str, **variables: str) -> None:
    """Runs a script and kills it, with its children, once that holds."""
    child = subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, **variables},
        start_new_session=True,
    )
    deadline = time.monotonic() + 100
    try:
        while time.monotonic() < deadline and child.poll() is None and not ready():
            time.sleep(0.05)
        assert child.poll() is None, "it ended before it could be killed"
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize(
    "engines", ["threads then dask", pytest.param("dask then threads", marks=pytest.mark.long)]
)
def test_sigkill_then_half_the_memory_and_the_other_executor(
    engines: str, sphere: gd.Points, store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    truth = gd.knn(sphere, k=4).compute()
    first, second = engines.split(" then ")
    tasks = truth.report.blocks_computed
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    group = start_and_kill(script, store, first, at=tasks * 2 // 5)
    assert finished(group) > 0

    if second == "dask":
        request.getfixturevalue("client")
    needed = gd.knn(sphere, k=4).explain().task_bytes
    with dask.config.set({"geodask.memory-per-task": needed // 2}):
        resumed = gd.knn(sphere, k=4).persist()
    assert not resumed.report.cache_hit
    assert resumed.report.blocks_stored > 0 < resumed.report.blocks_computed
    assert resumed.report.blocks_computed + resumed.report.blocks_stored == tasks
    for name in ("indices", "distances", "certified"):
        assert np.asarray(getattr(resumed, name)).tobytes() == getattr(truth, name).tobytes()
    assert gd.knn(sphere, k=4).persist().report.cache_hit


@pytest.mark.usefixtures("small_tasks")
def test_an_interrupted_run_computes_only_what_is_missing(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodask.ops.knn import Knn

    truth = gd.knn(sphere, k=4).compute()
    search, seen = Knn._search, []

    def fail_late(self: Knn, work: Any, rows: np.ndarray, *rest: Any) -> Any:
        if rows[0] >= 1000:
            raise RuntimeError("the power went")
        return search(self, work, rows, *rest)

    def note(self: Knn, work: Any, rows: np.ndarray, spans: Any, *rest: Any) -> Any:
        seen.append((int(rows[0]), spans[0]))
        return search(self, work, rows, spans, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Knn, "_search", fail_late)
        with pytest.raises(RuntimeError, match="the power went"):
            gd.knn(sphere, k=4).persist()
    monkeypatch.setattr(Knn, "_search", note)
    resumed = gd.knn(sphere, k=4).persist()
    assert len(set(seen)) == len(seen)
    # Not the half that was done, but for tasks that were running when the power went.
    assert min(first for first, _ in seen) >= 700
    assert resumed.report.blocks_stored > 20
    for name in ("indices", "distances", "certified"):
        assert np.asarray(getattr(resumed, name)).tobytes() == getattr(truth, name).tobytes()


@pytest.mark.usefixtures("small_tasks")
def test_the_layout_that_was_begun_is_adopted(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodask.engine.driver import Run

    def interrupt(self: Run, blocks: range) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            gd.knn(sphere, k=4).persist()
    begun = gd.knn(sphere, k=4).explain().blocks
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e12, 5e12))
    assert gd.knn(sphere, k=4).explain().blocks == begun > 1
    assert gd.knn(sphere, k=5).explain().blocks == 1
    assert gd.knn(sphere, k=4).persist().indices.numblocks[0] == begun
