"""Jobs: records that tell the truth, and plans that run without the client that asked for them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from distributed import Client, get_client

import geodask as gd
from detached import Detached, detached
from geodask.config import settings, using
from geodask.engine import drive, jobs, submission
from geodask.engine.jobs import Job
from geodask.engine.live import MOST, TOPIC, Live
from geodask.engine.result import complete_group
from geodask.monitor.tables import runs
from geodask.storage.objects import Objects, open_objects
from geodask.storage.process import identity
from geodask.storage.records import Record, job_ids, new_record, record_of

ASKED = {"name": "nov", "operation": "knn", "priority": 0, "retries": 2, "plan": {}, "settings": {}}
TASKS = 32 * 3
"""What `faulty` makes of a kNN of 2,000 rows."""
FAULTY = Path(__file__).with_name("faulty.py")


def kept_report(job: Job) -> dict[str, Any]:
    """The report in the store, of the run that computed the result."""
    return complete_group(job.store, job.state["results"][-1]).body["report"]


# --- records ----------------------------------------------------------------------------------


def asked(folder: Path, **state: Any) -> Record:
    record = new_record(open_objects(str(folder)), ASKED)
    if state:
        record.tell(state)
    return record


def test_records_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    records = [asked(tmp_path) for _ in range(20)]
    ids = [record.id for record in records]
    assert job_ids(records[0].objects) == ids[::-1]
    assert len(set(ids)) == 20
    assert record_of(records[0].objects, ids[3]).asked["name"] == "nov"


@pytest.mark.parametrize("id", ["0" * 15, "../secret", "", "nov"])
def test_what_is_no_id_of_a_job_is_refused(id: str, tmp_path: Path) -> None:
    with pytest.raises(gd.JobError, match="has the id of one there"):
        record_of(open_objects(str(tmp_path)), id)


def damaged(data: bytes) -> list[bytes]:
    body = json.loads(data)
    body["body"]["note"]["name"] = body["body"]["note"]["status"] = "other"
    return [data[: len(data) // 2], b"", b"{}", json.dumps(body).encode()]


def test_a_torn_altered_or_swapped_record_says_nothing(tmp_path: Path) -> None:
    first, second = asked(tmp_path, status="completed"), asked(tmp_path, status="running")
    paths = {name: tmp_path / "jobs" / first.id / name for name in ("job.json", "state.json")}
    for name, path in paths.items():
        whole = path.read_bytes()
        swapped = (tmp_path / "jobs" / second.id / name).read_bytes()
        for wrong in (*damaged(whole), swapped):
            path.write_bytes(wrong)
            if name == "state.json":
                assert first.state == {}
                assert gd.jobs(tmp_path)[first.id].status == "interrupted"
            else:
                with pytest.raises(gd.StoreError, match="must be as it was written"):
                    _ = first.asked
                assert "the record is damaged" in repr(gd.jobs(tmp_path))
        path.write_bytes(whole)
    assert first.state["status"] == "completed"


def test_jobs_are_found_by_place_id_and_name(tmp_path: Path) -> None:
    old = asked(tmp_path, status="failed", error={"type": "E", "message": "<b>"})
    new = asked(tmp_path, status="completed")
    found = gd.jobs(tmp_path)
    assert [job.id for job in found] == [new.id, old.id]
    assert found["nov"].id == found[0].id == found[new.id].id == new.id
    assert [job.id for job in found[1:]] == [old.id]
    with pytest.raises(KeyError, match="has the id or the name of one"):
        found["october"]
    assert "completed, 100%" in repr(found)
    assert found._repr_html_().count("<tr>") == 3
    assert "&lt;b&gt;" in found[old.id]._repr_html_()
    assert repr(gd.jobs(tmp_path / "none")) == f"<0 jobs in {tmp_path / 'none'}>"


def test_of_a_thousand_jobs_a_table_reads_twenty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(1000):
        asked(tmp_path)
    get, read = Objects.get, []
    monkeypatch.setattr(Objects, "get", lambda self, key: read.append(key) or get(self, key))
    found = gd.jobs(tmp_path)
    assert len(found) == 1000
    assert read == []
    assert repr(found).endswith("and 980 more>")
    assert 20 <= len(read) <= 80


# --- status -----------------------------------------------------------------------------------


def gone() -> dict[str, Any]:
    return {**identity(), "started": 0.0}


def test_a_job_whose_driver_is_gone_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = asked(tmp_path)
    job = gd.jobs(tmp_path)[0]
    assert job.status == "queued"
    record.tell({"status": "running", "process": identity()})
    assert job.status == "running"
    record.tell({"status": "running", "process": gone()})
    assert job.status == "running"  # it may be started again just now
    monkeypatch.setattr(jobs, "LOST_SECONDS", 0.0)
    assert job.status == "interrupted"
    record.tell({"status": "running", "process": {**gone(), "machine": "elsewhere"}})
    assert job.status == "running"
    monkeypatch.setattr(jobs, "SILENT_SECONDS", 0.0)
    assert job.status == job.wait() == "interrupted"
    with pytest.raises(gd.JobError, match=r"it was interrupted\. Mend .* job\.resume\(\)"):
        job.result()
    job.cancel()
    assert job.status == "cancelled"
    record.tell({"status": "completed"})
    assert job.status == "completed"


def test_a_job_without_a_driver_yet_is_cancelled_at_once(tmp_path: Path) -> None:
    asked(tmp_path)
    job = gd.jobs(tmp_path)[0]
    with pytest.raises(TimeoutError, match="is queued yet"):
        job.result(timeout=0.0)
    job.cancel()
    assert job.wait() == "cancelled"


def test_progress_counts_the_passes_and_eta_those_to_come() -> None:
    state = {"status": "running", "passes": 2, "results": [], "done": 30.0, "total": 40.0}
    state |= {"rate": 10.0, "step": 0}
    assert jobs.progress_of(state) == 0.375
    assert jobs.eta_of(state) == 5.0
    state |= {"results": ["a"], "done": 10.0}
    assert jobs.progress_of(state) == 0.625
    assert jobs.eta_of(state) == 3.0
    assert jobs.eta_of({**state, "step": 4}) is None  # how many more there will be is not known
    assert jobs.progress_of({"status": "queued"}) == 0.0


def test_the_overlay_holds_those_that_run_and_no_more_than_so_many() -> None:
    live = Live()
    for number in range(MOST + 5):
        live.log_event(TOPIC, {"job": str(number), "status": "running", "done": 0})
    live.log_event(TOPIC, {"job": "7", "status": "running", "done": 1})
    live.log_event(TOPIC, {"job": "9", "status": "completed", "done": 1})
    live.log_event("another", {"job": "8"})
    assert len(live.jobs) == MOST - 1
    assert live.jobs["7"]["done"] == 1
    assert "9" not in live.jobs
    assert "4" not in live.jobs


# --- where there is no cluster ------------------------------------------------------------------


def test_jobs_that_wait_for_a_thread_are_known() -> None:
    live = Live()
    for key in ("gd-job-early-0a", "gd-job-late-0b", "gd-knn-1-finish", ("x", 0)):
        live.transition(key, "released", "waiting")
    live.log_event(TOPIC, {"job": "early", "status": "running"})
    assert live.queued == ["late"]
    for view in ({"queued": ["<b>"]}, {}):
        shown = runs({"runs": [], "now": 0.0, **view})
        assert ("job &lt;b&gt;" in shown) == bool(view)
    live.transition("gd-job-late-0b", "processing", "memory")
    assert live.queued == []


def test_on_threads_there_are_no_jobs(sphere: gd.Points, store: Path) -> None:
    with pytest.raises(gd.JobError, match=r"outlives this process, but there is none.*persist\(\)"):
        gd.knn(sphere, k=3).submit()
    assert not store.exists()


def test_on_a_cluster_that_ends_with_this_process_neither(
    client: Any, sphere: gd.Points, store: Path
) -> None:
    with pytest.raises(gd.JobError, match="its scheduler runs in this process"):
        gd.within(sphere, radius=0.1).submit()
    with (
        Client(client.scheduler.address),
        pytest.raises(gd.JobError, match="its scheduler runs in this process"),
    ):
        gd.knn(sphere, k=3).submit()
    assert not store.exists()


@pytest.mark.usefixtures("small_tasks")
def test_a_task_that_drivers_died_with_is_the_last_or_left_out(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geodask.engine import tasks

    plan = gd.knn(sphere, k=4)
    name = f"gd-knn-{plan.compute().report.key[:8]}"
    done, compute = [], tasks._compute

    def note(job: Any, task: Any, *rest: Any) -> Any:
        done.append(f"{name}-{task.block}-{task.panel}")
        return compute(job, task, *rest)

    killed = ((f"{name}-3-1", 1), (f"{name}-5-0", 2))
    monkeypatch.setattr(tasks, "_compute", note)
    with (
        using(replace(settings(), threads=2, on_error="continue", killed=killed)),
        pytest.raises(gd.JobError, match="2 drivers died while") as caught,
    ):
        plan.persist()
    assert caught.value.blocks == ((5, 320, 384),)
    assert done[-2:] == [f"{name}-3-1", f"{name}-3-None"]
    assert not [label for label in done if label.startswith(f"{name}-5-")]


# --- on a cluster of its own --------------------------------------------------------------------


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEODASK_FAULTS", str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        yield folder


@pytest.fixture(scope="module")
def workers(faults: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detached]:
    with detached(tmp_path_factory.mktemp("cluster"), 2, FAULTY) as cluster:
        yield cluster


@pytest.fixture
def fault(faults: Path) -> Iterator[Callable[..., Path]]:
    """Tells workers of a fault until the test ends."""

    def tell(name: str, text: str = "") -> Path:
        (faults / name).write_text(text)
        return faults / name

    yield tell
    for path in faults.iterdir():
        path.unlink()


def reached(job: Job, progress: float) -> float:
    end = time.monotonic() + 120
    while job.progress < progress and time.monotonic() < end:
        time.sleep(0.05)
    return job.progress


PLANS: dict[str, Callable[[gd.Points], Any]] = {
    "knn": lambda x: gd.knn(x, k=3),
    "rows by number": lambda x: gd.knn(x[::-1][np.arange(0, 300, 2)], k=3),
    "dask array": lambda x: gd.knn(gd.points(x.array.rechunk(300), x.manifold), k=2),
    "within": lambda x: gd.within(x, radius=0.6),
    "mean": lambda x: gd.mean(x[np.asarray(x.array[:, 0] > 0.1)]),
    "ranks": lambda x: gd.ranks(x, np.array([[0, 1], [5, 2]])),
    "pointwise": lambda x: gd.plan(gd.log_map, x, x[:1]),
    "pairwise": lambda x: gd.pairwise(x[:20], x),
}


@pytest.mark.slow
def test_every_kind_of_plan_is_a_job(workers: Detached, sphere: gd.Points) -> None:
    x = gd.points(sphere, ids=[f"doc {i}" for i in range(len(sphere))])
    with Client(workers.address):
        started = {name: (make(x), make(x).submit(name=name)) for name, make in PLANS.items()}
        for name, (_, job) in started.items():
            assert job.exception(timeout=120) is None, name
            assert job.progress == 1.0
    for name, (plan, job) in started.items():
        found = gd.jobs()[name]
        assert found.id == job.id
        there, here = found.result(), plan.persist()
        assert here.report.cache_hit, name
        assert there.report.key == here.report.key
        assert type(there) is type(here)
        assert there.report.url == here.report.url
    stored = gd.store().list().query("operation != 'points'")
    assert len(stored) > len(PLANS)
    assert {gd.store().get(key).report.key for key in stored.index} == set(stored.index)
    table = gd.jobs()["knn"].result().to_dataframe().compute()
    assert table["row_id"].iloc[5] == "doc 1"
    assert len(gd.jobs()["within"].result().row) == len(started["within"][0].compute().row)


def test_inputs_are_stored_once_for_each_content(
    workers: Detached, sphere: gd.Points, store: Path
) -> None:
    names = [f"doc {i}" for i in range(len(sphere))]
    with Client(workers.address):
        first, second = (gd.knn(gd.points(sphere, ids=names), k=k).submit() for k in (1, 2))
        assert first.result(120).report.key != second.result(120).report.key
    assert len(list(store.glob("points-*"))) == len(list(store.glob("inputs/*"))) == 1
    assert first.asked["plan"]["inputs"] == second.asked["plan"]["inputs"]


def test_a_job_outlives_its_client(
    workers: Detached, store: Path, fault: Callable[..., Path]
) -> None:
    fault("slow")
    script = (
        "import geodask as gd\nimport numpy as np\nfrom distributed import Client\n"
        f"client = Client({workers.address!r})\nsphere = gd.Sphere(24)\n"
        "rows = sphere.random(2000, seed=1).astype(np.float32)\n"
        "gd.knn(gd.points(rows, sphere), k=4).submit(name='nov', priority=3)\n"
        "import os; os._exit(0)\n"
    )
    env = os.environ | {"DASK_GEODASK__STORE": str(store)}
    subprocess.run([sys.executable, "-c", script], check=True, env=env, timeout=120)
    job = gd.jobs()["nov"]
    assert job.status in ("queued", "running")
    assert job.asked["priority"] == 3
    assert asyncio.run(awaited(job)).report.blocks_stored == TASKS
    assert job.status == "completed"
    assert job.eta is None


async def awaited(job: Job) -> Any:
    return await job


def test_a_job_is_cancelled_within_seconds_and_goes_on(
    workers: Detached, sphere: gd.Points, fault: Callable[..., Path]
) -> None:
    fault("slow")
    with Client(workers.address) as client:
        job = gd.knn(sphere, k=4).submit()
        assert 0 < reached(job, 0.1) < 1
        live = client.sync(client.scheduler.geodask_jobs)[job.id]
        assert live["status"] == "running"
        assert 0 < live["done"] <= live["total"]
        assert job.eta is not None
        assert "left" in repr(job)
        begin = time.monotonic()
        job.cancel()
        assert job.wait(30) == "cancelled"
        assert time.monotonic() - begin < 10
        assert client.sync(client.scheduler.geodask_jobs) == {}
        with pytest.raises(gd.JobError, match="it was cancelled"):
            job.result()
        job.resume()
        job.resume()  # while it runs: both share the blocks
        report = job.result(timeout=120).report
    assert report.cache_hit
    assert 0 < kept_report(job)["blocks_computed"] < TASKS


def test_a_job_of_higher_priority_overtakes(
    workers: Detached, sphere: gd.Points, fault: Callable[..., Path], faults: Path
) -> None:
    fault("slow")
    with Client(workers.address):
        low = gd.knn(sphere, k=4).submit(priority=0)
        assert reached(low, 0.1) < 0.6
        high = gd.knn(sphere, k=5).submit(priority=5)
        for job in (low, high):
            job.result(timeout=120)
    order = [line.split()[0] for line in (faults / "order").read_text().splitlines()]
    first, last = order.index("5"), len(order) - 1 - order[::-1].index("5")
    assert order.count("4") == order.count("5") == TASKS
    assert "4" in order[:first]
    assert order[last:].count("4") > TASKS / 8  # which had waited
    assert order[first:last].count("4") < TASKS / 4


def test_a_failed_job_keeps_the_block_and_its_traceback(
    workers: Detached, sphere: gd.Points, fault: Callable[..., Path], faults: Path
) -> None:
    path = fault("fail", "3")
    with Client(workers.address):
        job = gd.knn(sphere, k=4).submit(retries=0, name="odd")
        error = job.exception(timeout=120)
        assert job.status == "failed"
        assert error is not None
        assert error.blocks == ((3, 192, 256),), [error, *error.__notes__]
        assert "block 3, rows 192 to 256 failed: ZeroDivisionError: a poisoned block" in str(error)
        assert "faulty_compute" in error.__notes__[0]
        assert "rows 192 to 256" in repr(gd.jobs()["odd"])
        with pytest.raises(gd.JobError, match="a poisoned block"):
            job.result()
        path.unlink()
        (faults / "order").unlink()
        job.resume()
        assert job.wait(120) == "completed"
    report = kept_report(job)
    assert report["blocks_computed"] == 3
    assert report["blocks_stored"] == TASKS - 3
    assert set((faults / "order").read_text().split("\n")) == {"4 3", ""}


def test_a_plan_that_cannot_run_fails_in_its_own_words(workers: Detached, tmp_path: Path) -> None:
    manifold = gd.Sphere(4)
    np.save(tmp_path / "x.npy", np.zeros((10, 4), np.float32))
    with Client(workers.address):
        job = gd.knn(gd.points(tmp_path / "x.npy", manifold), k=1).submit()
        error = job.exception(timeout=60)
    assert "NotOnManifoldError" in str(error)
    assert job.state["error"]["blocks"] == []


@pytest.mark.slow
@pytest.mark.long
def test_jobs_of_a_store_in_a_bucket(
    workers: Detached, sphere: gd.Points, bucket: str, server: dict[str, Any]
) -> None:
    x = gd.points(sphere, ids=[f"doc {i}" for i in range(len(sphere))])
    with dask.config.set({"geodask.store": f"{bucket}/s", "geodask.store-options": server}):
        with Client(workers.address):
            assert gd.knn(x, k=2).submit(name="far").exception(timeout=120) is None
        job = gd.jobs()["far"]
        table = job.result().to_dataframe().compute()
        assert table["row_id"].iloc[2] == "doc 1"
        assert job.result().report.url.startswith(f"{bucket}/s/knn-")
        assert server["secret"] not in json.dumps(job.asked)
        assert job.asked["settings"]["store_options"] == ""


@pytest.mark.slow
def test_a_driver_comes_back_when_its_worker_dies(
    faults: Path, sphere: gd.Points, fault: Callable[..., Path], tmp_path: Path
) -> None:
    fault("slow")
    with detached(tmp_path, 2, FAULTY) as cluster, Client(cluster.address):
        job = gd.knn(sphere, k=4).submit()
        assert reached(job, 0.3) < 0.8  # by then some blocks are marked
        before = job.state["process"]
        os.kill(before["pid"], signal.SIGKILL)
        assert job.wait(200) == "completed"
        assert job.state["process"] != before
    assert 0 < kept_report(job)["blocks_computed"] < TASKS


@pytest.mark.slow
@pytest.mark.long
def test_a_block_that_kills_its_workers_is_named_and_the_rest_completes(
    faults: Path, sphere: gd.Points, fault: Callable[..., Path], tmp_path: Path
) -> None:
    path = fault("kill", "3")
    with detached(tmp_path, 2, FAULTY) as cluster, Client(cluster.address):
        job = gd.knn(sphere, k=4).submit()
        error = job.exception(timeout=250)
        while job.status == "interrupted":  # Dask gives up a driver whose workers died four times
            job.resume()
            error = job.exception(timeout=250)
        assert error is not None
        assert error.blocks == ((3, 192, 256),), error
        path.unlink()
        job.resume()
        assert job.wait(120) == "completed"
        assert kept_report(job)["blocks_stored"] >= TASKS - 3


@pytest.mark.slow
@pytest.mark.long
def test_a_job_goes_on_after_the_whole_cluster_has_died(
    faults: Path, sphere: gd.Points, fault: Callable[..., Path], tmp_path: Path
) -> None:
    fault("slow")
    with detached(tmp_path, 1, FAULTY) as cluster:
        with Client(cluster.address):
            job = gd.knn(sphere, k=4).submit(name="night")
            assert reached(job, 0.3) < 0.8  # by then some blocks are marked
        cluster.stop()
        assert gd.jobs()["night"].wait(30) == "interrupted"
        cluster.start(1)
        with Client(cluster.address):
            job = gd.jobs()["night"]
            assert job.status == "interrupted"
            job.resume()
            assert job.wait(120) == "completed"
    assert 0 < kept_report(job)["blocks_computed"] < TASKS


def test_a_job_that_is_told_of_too_late_is_not_begun(tmp_path: Path) -> None:
    record = asked(tmp_path)
    record.cancel()
    with drive.Recording(record, {"task": "t", "passes": 1, "killed": {}}, None) as _:
        raise drive.Stopped
    assert record.state["status"] == "cancelled"


@pytest.mark.parametrize(
    "next_one", [{"task": "t", "driver": "another"}, {"task": "resumed", "status": "queued"}]
)
def test_a_driver_that_was_replaced_says_nothing_and_stops(
    tmp_path: Path, next_one: dict[str, Any]
) -> None:
    record = asked(tmp_path, status="queued", task="t")
    old = drive.Recording(record, {"task": "t", "killed": {}}, None)
    with old:
        record.tell({"status": "completed", "results": ["url"], **next_one})
        old._look_and_tell()
        with pytest.raises(drive.Stopped):
            old.note(None)
    assert {**record.state, "updated": 0} == {
        "status": "completed",
        "results": ["url"],
        "updated": 0,
        **next_one,
    }


@pytest.mark.usefixtures("client")
def test_a_driver_that_is_begun_again_after_the_end_does_nothing() -> None:
    for state in ({"status": "completed", "task": "t"}, {"status": "queued", "task": "other"}):
        record = new_record(open_objects(dask.config.get("geodask.store")), ASKED)
        record.tell(state)
        get_client().submit(drive.drive, record.objects, record.id, "t", pure=False).result()
        assert {**record.state, "updated": 0} == {**state, "updated": 0}


@pytest.mark.usefixtures("client")
def test_a_driver_that_cannot_read_its_plan_says_so() -> None:
    record = new_record(open_objects(dask.config.get("geodask.store")), ASKED)
    record.tell({"status": "queued", "task": "t"})
    get_client().submit(drive.drive, record.objects, record.id, "t", pure=False).result()
    assert record.state["status"] == "failed"
    assert "must be what geodask wrote" in record.state["error"]["message"]


def test_a_job_that_is_resumed_while_it_runs_blames_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(submission, "lasting_client", lambda: None)
    monkeypatch.setattr(submission, "start", lambda *_, blame: seen.append(blame))
    for status in ("running", "interrupted", "failed"):
        record = asked(tmp_path, status=status, process=identity())
        Job(record).resume()
    assert seen == [False, True, True]
