"""The rules: each speaks where it should, and none of a healthy run."""

import json
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dask
import pytest
import zarr

import geodask as gd
from geodask.events import ADMISSION, PlanStarted, Stats, told
from geodask.monitor.account import Account
from geodask.monitor.alerts import Watch
from geodask.monitor.book import Book
from geodask.monitor.prometheus import Collector
from geodask.monitor.rules import RULES, advise

NOW = 10_000.0
HEALTHY = {
    "tasks": 200, "rows": 20_000, "pairs": 4_000_000_000, "measured": 400_000, "seconds": 195.0,
    "kernel_seconds": 180.0, "read_seconds": 4.0, "merge_seconds": 3.0, "write_seconds": 3.0,
    "bytes_read": 10**10, "bytes_written": 10**8,
}  # fmt: skip


def recorded(run: dict[str, Any] | None = None, **stats: Any) -> dict[str, Any]:
    """A view with one run on four workers that is half done after 100 seconds."""
    state = Account(lambda: NOW).snapshot()
    half = Stats(**{**HEALTHY, **stats})
    each = asdict(Stats(tasks=50, seconds=half.seconds / 2))
    state.update(
        name="gd-knn-1", key="k", operation="knn", manifold="Sphere(n=3)", state="running",
        began=NOW - 100.0, work=1e9, done=5e8, slots=2, stats=asdict(half),
        workers={f"w{i}": each for i in range(2)}, heard=NOW, since=NOW - 100.0, url="store/knn-k",
    )  # fmt: skip
    state["cells"] = {**state["cells"], "blocks": 400}
    state.update(run or {})
    cluster = {f"w{i}": {"name": f"w{i}", "memory": 1e9, "memory_limit": 4e9} for i in range(2)}
    return {"now": NOW, "runs": [state], "cluster": cluster}


def workers(*seconds: float) -> dict[str, Any]:
    stats = (asdict(Stats(tasks=10, seconds=10 * each)) for each in seconds)
    return {"workers": {f"w{i}": each for i, each in enumerate(stats)}}


WRONG = {
    "read-bound": recorded(read_seconds=150.0, kernel_seconds=30.0),
    "small-chunks": recorded(
        {"chunk_bytes": 4096, "codec": "zstd"}, read_seconds=150.0, kernel_seconds=30.0
    ),
    "codec": recorded(
        {"chunk_bytes": 1 << 24, "codec": "zstd"}, read_seconds=150.0, kernel_seconds=30.0
    ),
    "transfer-bound": recorded(transfer_seconds=150.0, kernel_seconds=30.0, bytes_moved=10**12),
    "write-bound": recorded(write_seconds=150.0, kernel_seconds=30.0),
    "rechecks": recorded(measured=400_000_000),
    "hours": recorded({"work": 1e12}),
    "memory": {**recorded(), "cluster": {"w0": {"name": "a", "memory": 95, "memory_limit": 100}}},
    "straggler": recorded({**workers(1.0, 1.1, 0.9, 5.0)}),
    "errors": recorded({"retries": 30, "errors": [{"error": "OSError: no route"}]}),
    "stopped": recorded({"state": "stopped", "ended": NOW, "error": "ValueError: no"}),
    "undefined": recorded(flagged=3),
    "approximate": recorded({"approximation_error": 0.2, "state": "completed", "ended": NOW}),
    "rim": recorded(near_limit=7),
    "idle": recorded({**workers(1.0, 1.0)}),
    "more-workers": recorded({"work": 5e10}),
}


def spoken(view: dict[str, Any]) -> set[str]:
    return {each["rule"] for each in advise(view)}


def test_a_healthy_run_gets_no_advice() -> None:
    assert spoken(recorded()) == set()
    assert spoken(recorded({"state": "completed", "ended": NOW, "done": 1e9})) == set()
    assert spoken(recorded({"state": "found", "ended": NOW}, tasks=0, seconds=0.0)) == set()
    assert spoken({"now": NOW, "runs": [Account().snapshot()]}) == set()


def test_every_rule_is_tried() -> None:
    assert {*WRONG, "computed-again"} == {rule.name for rule in RULES}


@pytest.mark.parametrize("name", WRONG)
def test_a_rule_speaks_with_its_evidence(name: str) -> None:
    found = {each["rule"]: each for each in advise(WRONG[name])}
    assert name in found
    assert set(found) - {name} <= ({"more-workers"} if name in ("hours", "idle") else set())
    assert found[name]["say"].endswith(".")
    assert found[name]["evidence"]
    json.dumps(found)


def test_what_is_computed_again_is_noticed() -> None:
    done = recorded({"state": "completed", "ended": NOW, "done": 1e9})
    run = done["runs"][0]
    assert spoken({**done, "runs": [run, {**run, "created": 2.0}]}) == {"computed-again"}
    assert spoken({**done, "runs": [run, run]}) == set()  # by two at once
    assert spoken({**done, "runs": [run, {**run, "key": "another", "url": "there"}]}) == set()
    for url in ("memory:/gd-knn", "store/scratch-1"):  # compute() keeps nothing
        some = [{**run, "url": url, "created": float(i)} for i in range(2)]
        assert spoken({**done, "runs": some}) == set()


def test_rows_that_are_admitted_get_advice_on_reading_alone() -> None:
    slow = recorded({"operation": ADMISSION, "key": "", "workers": {}, "slots": 4}, seconds=240.0)
    assert spoken(slow) == set()
    done = {**slow["runs"][0], "state": "completed", "ended": NOW}
    assert spoken({**slow, "runs": [done, {**done, "url": "another"}]}) == set()
    reading = {"read_seconds": 150.0, "kernel_seconds": 30.0}
    small = recorded({"operation": ADMISSION, "chunk_bytes": 4096, "codec": "zstd"}, **reading)
    assert spoken(small) == {"small-chunks"}


def test_the_chunks_told_of_are_those_of_the_largest_input(tmp_path: Path) -> None:
    sphere = gd.Sphere(8)
    big = zarr.create_array(tmp_path / "big.zarr", shape=(4096, 8), chunks=(4096, 4), dtype="f4",
                            compressors=None)  # fmt: skip
    big[...] = sphere.random(4096, seed=1)
    few = zarr.create_array(tmp_path / "few.zarr", shape=(16, 8), chunks=(2, 8), dtype="f4")
    few[...] = sphere.random(16, seed=2)
    x, y = (gd.points(tmp_path / f"{name}.zarr", sphere) for name in ("few", "big"))
    assert x.source.chunk == (2 * 8 * 4, "zstd")
    heard: list[Any] = []
    with told(heard.append):
        gd.knn(x, y, k=2).persist()
    (about,) = (each.about for each in heard if isinstance(each, PlanStarted)
                and each.about.operation == "knn")  # fmt: skip
    assert (about.chunk_bytes, about.codec) == (4096 * 4 * 4, "")


def test_rules_are_configured() -> None:
    view = WRONG["read-bound"]
    with dask.config.set({"geodask.monitor.rules": {"read-bound": "off"}}):
        assert spoken(view) == set()
    with dask.config.set({"geodask.monitor.rules": {"read-bound": {"share": 0.99}}}):
        assert spoken(view) == set()
    for odd in (None, True, [1], {"share": "much"}):
        with dask.config.set({"geodask.monitor.rules": {"straggler": odd, "rim": odd}}):
            assert spoken(view) == {"read-bound"}


def test_what_is_of_the_cluster_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    view = WRONG["memory"]
    view = {**view, "runs": [{**view["runs"][0], "run": str(i)} for i in range(5)]}
    watch = Watch()
    watch.look(view)
    watch.look(view)
    assert caplog.text.count("hold more than 85%") == 1


def test_what_was_meant_or_found_is_no_alarm() -> None:
    for error in ("Stopped: ", "KeyboardInterrupt: "):
        assert spoken(recorded({"state": "stopped", "ended": NOW, "error": error})) == set()
    assert spoken(recorded({"state": "found", "ended": NOW}, flagged=3, near_limit=3)) == set()


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()


def joined() -> None:
    for thread in threading.enumerate():
        if thread.name == "geodask-hook":
            thread.join()


def test_an_alert_is_said_once_to_the_log_and_the_hook(caplog: pytest.LogCaptureFixture) -> None:
    with listening() as (url, heard), dask.config.set({"geodask.monitor.hook": url}):
        watch = Watch()
        for _ in range(3):
            watch.look(WRONG["stopped"])
        watch.look(WRONG["read-bound"])  # advice, and no alert
        joined()
    assert [each["rule"] for each in heard] == ["stopped"]
    assert caplog.text.count("ValueError: no") == 1
    assert [each["rule"] for each in watch.found] == ["read-bound"]
    called: list[Any] = []
    with dask.config.set({"geodask.monitor.hook": called.append}):
        Watch().look(WRONG["errors"])
        joined()
    assert called[0]["evidence"].startswith("30 of 230 tasks failed")


@pytest.mark.parametrize("hook", ["file:///etc/passwd", "http://127.0.0.1:1/", len])
def test_a_hook_that_fails_does_no_harm(hook: Any, caplog: pytest.LogCaptureFixture) -> None:
    hook = (lambda alert: 1 / 0) if hook is len else hook
    with dask.config.set({"geodask.monitor.hook": hook}), caplog.at_level(logging.WARNING):
        Watch().look(WRONG["stopped"])
        joined()
    assert "The hook for alerts failed." in caplog.text


def test_the_grafana_dashboard_asks_for_metrics_that_there_are() -> None:
    file = Path(gd.__file__).parents[1] / "examples/grafana.json"
    panels = json.loads(file.read_text(encoding="utf-8"))["panels"]
    asked = {
        name
        for panel in panels
        for target in panel["targets"]
        for name in re.findall(r"geodask_\w+", target["expr"])
    }
    book = Book()
    book.take(recorded()["runs"][0])
    there = {sample.name for metric in Collector(book).collect() for sample in metric.samples}
    assert asked <= there
    assert len(asked) > 12
