"""What is counted on live clusters, and that plans run whatever becomes of who watches them."""

import asyncio
import json
import logging
import os
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dask.distributed import Client

import geodask as gd
from browser import eventually
from counted import of_plans
from faults import Fault, scheduler_of_its_own
from geodask.monitor import telling
from geodask.monitor.telling import Scheduler
from test_faults import in_mid_run, pids, running, started

COUNTS = ("tasks", "rows", "pairs", "measured", "flagged", "bytes_read", "bytes_written")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_tasks")]


def fetched(client: Any, path: str) -> str:
    port = client.scheduler_info()["services"]["dashboard"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as answer:
        return answer.read().decode()


def total(text: str, name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(float(each) for each in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def test_counts_agree_after_a_worker_was_killed(sphere: gd.Points, store: Path) -> None:
    with running(2) as client:
        client.register_plugin(Fault())
        with started(sphere) as run:
            in_mid_run(run, store)
            os.kill(pids(client)[0], signal.SIGKILL)
            report = run.result(timeout=100).report
        found = json.loads(fetched(client, "geodask.json"))
        metrics = fetched(client, "metrics")
    (kind,) = of_plans(found["operations"])
    assert found["runs"][0]["stats"] == report.stats
    for name in COUNTS:
        assert kind["stats"][name] == report.stats[name]
        assert total(metrics, f"geodask_{name}_total") == report.stats[name]
        assert sum(each[name] for each in found["workers"].values()) == report.stats[name]
    assert found["workers_lost"] >= 1
    assert total(metrics, "geodask_misses_total") == 1


@pytest.mark.long
def test_workers_and_the_pages_of_dask_have_the_numbers(sphere: gd.Points) -> None:
    with running(2) as client:
        report = gd.knn(sphere, k=4).persist().report
        texts = client.run(own_metrics)
        rows = "gd-rows", "rows"  # they come with the heartbeats of the workers
        timed = eventually(
            lambda: (found := client.run_on_scheduler(metered)).get(rows) == 2000 and found
        )
    for name in COUNTS:
        told = sum(total(text, f"geodask_worker_{name}_total") for text in texts.values())
        assert told == report.stats[name]
    kernel = report.stats["kernel_seconds"]
    assert timed["gd-kernel", "seconds"] == pytest.approx(kernel, rel=1e-6)
    assert report.stats["rows"] == 2000


def own_metrics(dask_worker: Any) -> str:
    from prometheus_client import generate_latest

    return generate_latest().decode()


def metered(dask_scheduler: Any) -> dict[Any, float]:
    found: dict[Any, float] = {}
    for key, value in dask_scheduler.cumulative_worker_metrics.items():
        if key[0] == "execute":
            found[key[2:]] = found.get(key[2:], 0.0) + value
    return found


def test_a_job_is_shown_by_its_name_and_reported(
    sphere: gd.Points, store: Path, tmp_path: Path
) -> None:
    evil = "<b>november</b>"
    with scheduler_of_its_own(tmp_path, 2) as (address, _), Client(address):
        job = gd.knn(sphere, k=4).submit(name=evil)
        result = job.result(timeout=100)
        (run,) = of_plans(gd.monitor.summary().view["runs"])
        assert (run["job"], run["job_name"], run["state"]) == (job.id, evil, "completed")
        assert run["stats"] == result.report.stats
    file = gd.report(job, tmp_path / "job.html")
    text = file.read_text(encoding="utf-8")
    assert "&lt;b&gt;november" in text
    assert evil not in text
    assert f"{int(result.report.stats['pairs']):,}" in text
    assert not re.search(r"(src|href)=|@import|url\(", text)  # it needs nothing else
    assert "knn" in gd.report(result, tmp_path / "result.html").read_text(encoding="utf-8")
    with pytest.raises(gd.SpecError, match="a job or of a result, but int came"):
        gd.report(3)  # pyright: ignore[reportArgumentType]


def test_the_page_is_there_from_the_start_by_a_preload() -> None:
    options = {"scheduler_kwargs": {"preload": "geodask.monitor"}}
    with running(0, **options) as client:
        assert '"runs": []' in fetched(client, "geodask.json")
        assert "bokeh" in fetched(client, "geodask")
        assert 'href="geodask"' in fetched(client, "status")
        time.sleep(4)
        times = [each["at"] for each in json.loads(fetched(client, "geodask.json"))["history"]]
        assert np.median(np.diff(times)) > 0.6  # it is there once: of two, each second has both
        gd.monitor.uninstall(client)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(client, "geodask")


def test_what_is_installed_goes_again(sphere: gd.Points) -> None:
    with running(1) as client:
        for _ in range(2):
            gd.monitor.install(client)
            assert fetched(client, "status").count('href="geodask"') == 1
            gd.monitor.uninstall(client)
            assert 'href="geodask"' not in fetched(client, "status")
            for page in ("geodask", "geodask.json"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    fetched(client, page)
        gd.knn(sphere, k=4).persist()  # a plan brings it back
        assert json.loads(fetched(client, "geodask.json"))["runs"][0]["state"] == "completed"


@pytest.mark.long
def test_a_plan_needs_no_dashboard(sphere: gd.Points) -> None:
    with running(1, scheduler_kwargs={"dashboard": False}) as client:
        report = gd.knn(sphere, k=4).persist().report
        assert not client.run_on_scheduler(has_page)
        assert gd.monitor.summary().view["runs"][0]["stats"] == report.stats


def has_page(dask_scheduler: Any) -> bool:
    return len(dask_scheduler.plugins["geodask-monitor"].applications) > 1


def test_a_plan_runs_where_the_scheduler_has_another_geodask(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telling, "__version__", "9.9")
    with running(1) as client, caplog.at_level(logging.WARNING):
        assert gd.knn(sphere, k=4).persist().indices.shape == (2000, 4)
        with pytest.raises(gd.JobError, match=r"needs geodask 9\.9"):
            gd.monitor.install(client)
    assert caplog.text.count("There is no geodask page") == 1


def test_a_plan_runs_where_nothing_can_be_told(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("nobody listens")

    monkeypatch.setattr(Scheduler, "_ask", broken)
    with running(1):
        assert gd.knn(sphere, k=4).persist().indices.shape == (2000, 4)


def test_a_page_that_is_just_taken_away_comes_back() -> None:
    """Between both steps of `uninstall` the plugin is there, and knows no questions."""

    class Going:
        asynchronous, scheduler = (
            False,
            SimpleNamespace(geodask_version=None, geodask_view=None, geodask_take=None),
        )

        def register_plugin(self, plugin: Any) -> None: ...

        def sync(self, *_: Any, **__: Any) -> None: ...

    there = Scheduler(Going())
    there.install()
    there.take({})  # no warning, and asked again the next time
    assert there._client not in telling._unfit
    with pytest.raises(gd.JobError, match="told to stop"):
        there.view()


@pytest.mark.long
def test_two_workers_of_a_process_and_an_asynchronous_client(sphere: gd.Points) -> None:
    with running(2, processes=False) as client:
        gd.monitor.install(client)
        report = gd.knn(sphere, k=4).persist().report
        assert gd.monitor.summary().view["runs"][0]["stats"] == report.stats

        async def install() -> None:
            async with Client(client.scheduler.address, asynchronous=True) as other:
                with pytest.raises(gd.JobError, match="asynchronous"):
                    gd.monitor.install(other)

        asyncio.run(install())


@pytest.mark.long
def test_a_cancelled_job_ends_on_the_page(sphere: gd.Points, tmp_path: Path, store: Path) -> None:
    with scheduler_of_its_own(tmp_path, 1) as (address, _), Client(address) as client:
        client.register_plugin(Fault(5.0))
        job = gd.knn(sphere, k=4).submit()
        eventually(lambda: gd.monitor.summary().view["runs"])
        job.cancel()
        job.wait(60)
        run = eventually(lambda: gd.monitor.summary().view["runs"][0]["ended"]
                         and gd.monitor.summary().view["runs"][0])  # fmt: skip
        assert (run["state"], run["error"]) == ("stopped", "Stopped: ")
        assert not gd.monitor.summary().view["advice"]


@pytest.mark.long
def test_a_new_scheduler_is_told_as_the_old_one_was(sphere: gd.Points, tmp_path: Path) -> None:
    reports = []
    for number in range(2):
        place = tmp_path / str(number)
        place.mkdir()
        with scheduler_of_its_own(place) as (address, _), Client(address):
            reports.append(gd.knn(sphere, k=4 + number).persist().report)
            (run,) = of_plans(gd.monitor.summary().view["runs"])
            assert run["stats"] == reports[-1].stats


@pytest.mark.long
def test_an_iteration_is_counted_step_by_step(sphere: gd.Points) -> None:
    near = sphere[np.asarray(sphere.array[:, 0] > 0.1)]
    with running(2) as client:
        report = gd.mean(near).persist().report
        found = json.loads(fetched(client, "geodask.json"))
    (kind,) = of_plans(found["operations"])
    assert {**kind["stats"], "peak_bytes": 0} == pytest.approx({**report.stats, "peak_bytes": 0})
    assert [step["step"] for step in found["runs"][0]["steps"]][-1] == found["runs"][0]["step"]
