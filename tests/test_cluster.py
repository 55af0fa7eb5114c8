"""Clusters of this machine, and scaling by what plans have left."""

import asyncio
import re
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

import geodask as gd
from faults import Fault, scheduler_of_its_own
from geodask.cluster import scaling, start
from geodask.cluster.scaling import Ledger
from geodask.engine.remaining import TOPIC, Remaining
from geodask.events import PlanEnded, PlanStarted, Stats, StepStarted, TaskDone


def closed(log: Any) -> list[int]:
    """The names of the workers that a cluster which adapts has let go."""
    return [name for _, event in log if event["status"] == "down" for name in event["workers"]]


def wait_until(true: Any) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- starting ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_local_cluster_is_set_up_for_plans(sphere: gd.Points) -> None:
    with gd.cluster.local(2, dashboard_address=":0") as cluster, Client(cluster) as client:
        assert sorted(client.nthreads().values()) == [1, 1]
        assert [name for name in cluster.scheduler.worker_plugins if "geodask" in name]
        assert all(client.run(lambda: "numba" in sys.modules).values())  # before any plan
        assert not gd.knn(sphere, k=4).persist().report.cache_hit


@pytest.fixture
def fake_dask_cuda(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What LocalCUDACluster would be made with, where there are dask-cuda and a GPU."""
    asked: list[dict[str, Any]] = []
    module: Any = ModuleType("dask_cuda")
    module.LocalCUDACluster = lambda **options: asked.append(options) or "the cluster"
    monkeypatch.setitem(sys.modules, "dask_cuda", module)
    monkeypatch.setattr(start, "find_spec", lambda name: name == "dask_cuda")
    monkeypatch.setattr(start, "place", lambda library, device: None)
    monkeypatch.setattr(start, "_set_up", lambda cluster: cluster)
    return asked


def test_gpu_workers_have_one_thread_each(fake_dask_cuda: list[dict[str, Any]]) -> None:
    assert gd.cluster.gpu(rmm_pool_size="8GB") == "the cluster"
    assert fake_dask_cuda == [{"threads_per_worker": 1, "rmm_pool_size": "8GB"}]


def test_a_gpu_that_is_missing_is_an_error(
    fake_dask_cuda: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(library: str, device: str) -> None:
        raise gd.DeviceError("geodask.device is cuda, but no such GPU is visible here.")

    monkeypatch.setattr(start, "place", missing)
    with pytest.raises(gd.DeviceError, match="needs at least one, but none is visible here"):
        gd.cluster.gpu()
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    with pytest.raises(gd.DeviceError, match=r"but it is not installed. Install geodask\[dask-cu"):
        gd.cluster.gpu()
    assert fake_dask_cuda == []


@pytest.mark.gpu
def test_plans_run_on_a_cluster_of_gpus(sphere: gd.Points) -> None:
    pytest.importorskip("dask_cuda", reason="pip install geodask[dask-cuda]")
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    truth = gd.knn(sphere, k=4).compute()
    with gd.cluster.gpu(dashboard_address=":0") as cluster, Client(cluster):
        found = gd.knn(sphere, k=4).persist()
    assert "cuda" in found.report.device
    assert found.indices.compute().tobytes() == truth.indices.tobytes()


# --- scaling ----------------------------------------------------------------------------------


def test_a_plan_tells_the_seconds_it_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.engine.remaining.TELL_SECONDS", 0.0)
    told: list[tuple[float, float]] = []
    remaining = Remaining(lambda left, each: told.append((left, each)), lambda event: None)
    remaining(PlanStarted("gd-knn", work=1000.0, stored=200.0, rows=10))
    remaining(TaskDone(100.0, Stats(tasks=1, seconds=2.0)))
    remaining(TaskDone(100.0, Stats(tasks=1, seconds=4.0)))
    remaining(StepStarted(2, stored=500.0))
    remaining(PlanEnded(True))
    assert told == [(0.0, 0.0), (14.0, 2.0), (18.0, 3.0), (15.0, 3.0), (15.0, 3.0)]


@pytest.mark.parametrize(
    ("threads", "plans", "workers"),
    [
        ([1], [], 0),
        ([1], [(600.0, 2.0)], 10),
        ([4], [(600.0, 2.0)], 3),
        ([1], [(600.0, 300.0)], 2),  # two tasks are left
        ([], [(600.0, 2.0)], 10),
        ([], [(0.0, 0.0)], 1),
        ([1, 1, 1], [(0.0, 0.0)], 3),  # not known yet: as it is
        ([1, 1, 1], [(0.5, 0.5)], 1),
        ([1], [(600.0, 2.0), (60.0, 2.0), (1.0, 1.0)], 12),
    ],
)
def test_workers_are_as_many_as_finish_what_is_left_in_a_minute(
    threads: list[int], plans: list[tuple[float, float]], workers: int
) -> None:
    there = {str(i): SimpleNamespace(nthreads=each) for i, each in enumerate(threads)}
    scheduler, ledger = SimpleNamespace(workers=there, handlers={}), Ledger()
    asyncio.run(ledger.start(scheduler))
    for number, (seconds, each) in enumerate(plans):
        message = {"client": "a", "plan": str(number), "seconds": seconds, "each": each}
        ledger.log_event(TOPIC, message)
        ledger.log_event("another", {**message, "plan": "other"})
    assert asyncio.run(scheduler.handlers["geodask_target"](60.0)) == workers


def test_a_plan_counts_until_it_ends_or_its_client_is_gone() -> None:
    ledger = Ledger()
    asyncio.run(ledger.start(SimpleNamespace(workers={}, handlers={})))
    for client in ("a", "b", "c"):
        message = {"client": client, "plan": "1", "seconds": 60.0, "each": 1.0}
        ledger.log_event(TOPIC, message)
    ledger.log_event(TOPIC, {"client": "a", "plan": "1", "ended": True})
    ledger.remove_client(None, "b")
    assert list(ledger.plans) == [("c", "1")]


@pytest.mark.parametrize("name", ["KubeCluster", "SLURMCluster"])
def test_what_cannot_be_told_by_plans_scales_by_dasks_own_rule(name: str) -> None:
    asked: list[dict[str, Any]] = []

    class Foreign:
        scheduler_comm = None

        def sync(self, function: Any, *args: Any) -> None:
            if name == "SLURMCluster":
                raise ModuleNotFoundError("No module named 'geodask'")

        def adapt(self, minimum: float, maximum: float) -> str:
            asked.append({"minimum": minimum, "maximum": maximum})
            return "adapting"

    with pytest.warns(UserWarning, match="Foreign scales by Dask's own rule"):
        assert gd.cluster.adaptive(Foreign(), minimum=1, maximum=7) == "adapting"
    assert asked == [{"minimum": 1, "maximum": 7}]


@pytest.mark.slow
@pytest.mark.usefixtures("small_tasks")
@pytest.mark.long
def test_a_cluster_grows_for_a_plan_from_no_worker_and_shrinks_again(sphere: gd.Points) -> None:
    truth = gd.knn(sphere, k=4).compute()
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0") as cluster:
        options = {"interval": "200ms", "target_duration": "1 second"}
        gd.cluster.adaptive(cluster, minimum=0, maximum=2, **options)
        with Client(cluster) as client:
            client.register_plugin(Fault(0.25))
            found = gd.knn(sphere, k=4).persist()
            most = max(event["n"] for _, event in cluster._adaptive.log if event["status"] == "up")
            assert most == 2
            wait_until(lambda: {0, 1} <= set(closed(cluster._adaptive.log)))
    assert found.report.blocks_computed == truth.report.blocks_computed
    assert found.indices.compute().tobytes() == truth.indices.tobytes()


# --- the page of other clusters -----------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "examples" / "clusters.md").read_text(encoding="utf-8")


def block(language: str, word: str) -> str:
    """The block of the page in which a word is."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return next(block for block in blocks if word in block)


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dask.distributed.Client", lambda cluster: cluster)


@pytest.mark.usefixtures("no_client")
def test_the_page_starts_a_slurm_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    adapted: list[dict[str, Any]] = []

    class SLURMCluster:
        """The arguments of dask-jobqueue 0.9 that the page uses."""

        scheduler_comm = None

        def __init__(
            self, cores: int, processes: int, memory: str, walltime: str, worker_extra_args: Any
        ):
            assert cores == processes

        def sync(self, function: Any, *args: Any) -> None:
            assert function is scaling._install

        def adapt(self, **options: Any) -> None:
            adapted.append(options)

    module: Any = ModuleType("dask_jobqueue")
    module.SLURMCluster = SLURMCluster
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    with dask.config.set({}):
        exec(block("python", "dask_jobqueue"), {})
    known = {"minimum": 0, "maximum": 64, "target_duration": "10 minutes"}
    assert adapted == [{"Adaptive": scaling.ByPlans, **known}]


@pytest.mark.usefixtures("no_client")
def test_the_page_starts_a_kubernetes_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class KubeCluster:
        def __init__(self, custom_cluster_spec: dict[str, Any]):
            asked.append(custom_cluster_spec)

        def scale(self, n: int) -> None:
            asked.append(n)

    def make_cluster_spec(name: str, image: str) -> dict[str, Any]:
        return {"spec": {part: {"spec": {"containers": [{}]}} for part in ("worker", "scheduler")}}

    module: Any = ModuleType("dask_kubernetes.operator")
    module.KubeCluster, module.make_cluster_spec = KubeCluster, make_cluster_spec
    monkeypatch.setitem(sys.modules, "dask_kubernetes", ModuleType("dask_kubernetes"))
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", module)
    with dask.config.set({}):
        exec(block("python", "dask_kubernetes"), {})
    spec, workers = asked
    worker = spec["spec"]["worker"]["spec"]
    assert worker["volumes"][0]["name"] == worker["containers"][0]["volumeMounts"][0]["name"]
    assert workers == 8


@pytest.mark.slow
def test_the_page_uses_a_scheduler_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = block("bash", "dask worker").splitlines()[1].split()
    assert worker[:3] == ["dask", "worker", "tcp://scheduler:8786"]
    options = ["1" if each == "auto" else each for each in worker[3:]]
    with scheduler_of_its_own(tmp_path, 1, *options) as (address, _):
        code = block("python", "tcp://scheduler:8786").replace("tcp://scheduler:8786", address)
        found: dict[str, Any] = {}
        exec(code, found)
        found["client"].close()
    assert "certified 100.0000%" in capsys.readouterr().out
