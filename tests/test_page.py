"""The page in a real browser, on live clusters: what it shows, and what it survives."""

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

import geodask as gd
from browser import chromium, complaints, eventually, missing, picture, text_of
from counted import of_plans
from faults import spawn
from geodask.events import About, PlanEnded, PlanStarted, Seen, Stats, TaskDone, TaskFailed, as_job
from geodask.monitor.account import Account
from geodask.monitor.telling import Scheduler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def fresh() -> Iterator[Client]:
    """A cluster of two workers that has run nothing."""
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "4GiB"}
    here = LocalCluster(**options, dashboard_address="127.0.0.1:0")
    with here as cluster, Client(cluster) as client:
        yield client


def url_of(client: Any) -> str:
    port = client.scheduler_info()["services"]["dashboard"]
    return f"http://127.0.0.1:{port}/geodask"


LINKS = """
  const within = node => [...node.querySelectorAll("*")].flatMap(each =>
    [each, ...(each.shadowRoot ? within(each.shadowRoot) : [])]);
  const leads = each => (each.getAttribute("href") || "") + (each.getAttribute("xlink:href") || "");
  return within(document).filter(each =>
    ["A", "a"].includes(each.tagName) && /javascript:void.document/.test(leads(each))).length;
"""


def open_page(driver: Any, client: Any, page: str = "geodask") -> None:
    """Leaves what was looked at, and the complaints of it."""
    driver.get("about:blank")
    complaints(driver)
    driver.get(url_of(client).replace("geodask", page))


def numbers(client: Any) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url_of(client)}.json", timeout=10) as answer:
        return json.load(answer)


def metrics(client: Any) -> dict[str, float]:
    """Those of ours, summed over their labels."""
    found: dict[str, float] = {}
    with urllib.request.urlopen(url_of(client).replace("geodask", "metrics"), timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("geodask_"):
                name = re.split(r"[{ ]", line)[0]
                found[name] = found.get(name, 0.0) + float(line.rpartition(" ")[2])
    return found


@pytest.mark.usefixtures("small_tasks")
def test_the_page_shows_a_run_as_its_report_does(
    fresh: Client, driver: Any, sphere: gd.Points
) -> None:
    gd.monitor.install(fresh)
    open_page(driver, fresh)
    eventually(lambda: "None has run yet" in text_of(driver))
    picture(driver, "idle")
    report = gd.knn(sphere, k=3).persist().report
    shown = eventually(lambda: "completed" in (text := text_of(driver)) and text)
    assert "gd-knn" in shown
    assert "100.0%" in shown
    picture(driver, "finished")
    found = numbers(fresh)
    assert found["runs"][0]["stats"] == report.stats
    (kind,) = of_plans(found["operations"])
    told = metrics(fresh)
    for name in ("tasks", "rows", "pairs", "measured", "bytes_read", "bytes_written"):
        assert kind["stats"][name] == told[f"geodask_{name}_total"] == report.stats[name]
    assert sum(each["tasks"] for each in found["workers"].values()) == report.stats["tasks"]
    assert complaints(driver) == []


def test_a_link_leads_to_the_page(fresh: Client, driver: Any) -> None:
    gd.monitor.install(fresh)
    open_page(driver, fresh, "status")
    driver.find_element("link text", "Geodask").click()
    eventually(lambda: "None has run yet" in text_of(driver))
    gd.monitor.uninstall(fresh)
    open_page(driver, fresh, "status")
    assert driver.find_elements("link text", "Geodask") == []


@pytest.mark.usefixtures("small_tasks")
def test_the_page_moves_while_a_job_runs(fresh: Client, driver: Any, sphere: gd.Points) -> None:
    big = gd.points(gd.Sphere(24).random(40_000, seed=2).astype(np.float32), gd.Sphere(24))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: gd.knn(big, k=5).persist())
        gd.monitor.install(fresh)
        open_page(driver, fresh)
        first = eventually(lambda: re.search(r"running ([\d.]+)%", text_of(driver)))
        picture(driver, "running")
        eventually(lambda: _progress(driver) > float(first[1]))
        running.result()
    eventually(lambda: "completed" in text_of(driver))
    assert complaints(driver) == []


def _progress(driver: Any) -> float:
    """In percent; on a busy machine a run may have ended before the page is read again."""
    text = text_of(driver)
    now = re.search(r"running ([\d.]+)%", text)
    return float(now[1]) if now else 100.0 * ("completed" in text)


def test_names_and_errors_are_text(fresh: Client, driver: Any) -> None:
    evil = "<img src=x onerror=\"document.title='broken'\"></td><script>alert(1)</script>"
    evil += r"$$\href{javascript:void(document.title='broken')}{here}$$"
    gd.monitor.install(fresh)
    with as_job("1", evil):
        account = Account()
    about = About(
        key="k" * 32, operation=evil, manifold=evil, url=evil, created=1.0, blocks=9, slots=2,
        flops=9.0, known=Stats(flagged=3),
    )  # fmt: skip
    account(PlanStarted(evil, 9.0, 0.0, 9, about))
    account(TaskFailed("x", 0, (0, 1), evil, True))
    seen = {f"flagged {evil}": Seen(2, [1, 2])}
    account(TaskDone(1.0, Stats(tasks=1, rows=1), "x", 1, evil, True, seen))
    account(PlanEnded(False, error=evil))
    Scheduler(fresh).take(account.snapshot())
    open_page(driver, fresh)
    eventually(lambda: "onerror" in text_of(driver))
    time.sleep(1.5)
    assert driver.title != "broken"
    assert driver.execute_script(LINKS) == 0
    assert complaints(driver) == []
    picture(driver, "failed")
    driver.get(f"{url_of(fresh)}/rows/{account.run}")
    assert "onerror" in text_of(driver)
    assert driver.execute_script(LINKS) == 0
    assert complaints(driver) == []
    driver.get(f"{url_of(fresh)}/rows/00")
    assert "not known" in text_of(driver)


@pytest.mark.usefixtures("small_tasks")
def test_health_leads_to_the_rows(fresh: Client, driver: Any, sphere: gd.Points) -> None:
    gd.monitor.install(fresh)
    open_page(driver, fresh)
    rows = sphere.read(0, 8)
    opposite = np.concatenate([rows[:3], -rows[3:5], rows[5:]])
    x, y = (gd.points(each, sphere.manifold) for each in (rows, opposite))
    result = gd.plan(gd.log_map, x, y).persist()
    assert result.report.health["undefined"] == 2
    eventually(lambda: "2 rows undefined" in text_of(driver))
    link = driver.execute_script(
        """
        const within = node => [...node.querySelectorAll("*")].flatMap(each =>
          [each, ...(each.shadowRoot ? within(each.shadowRoot) : [])]);
        return within(document).find(each => /rows/.test(each.href || "")).href;
        """
    )
    driver.get(link)
    shown = text_of(driver)
    assert "Rows undefined 3, 4" in shown
    (entry,) = re.findall(r"geodask[.]store\(\)[.]get\('([^']+)'\)", shown)
    stored = gd.store().get(entry)
    assert np.isnan(stored.values[[3, 4]].compute()).all()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def scheduler(port: int, page: int) -> Iterator[Client]:
    """A client of a scheduler at given ports, which shows the page from the start, and a worker."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--dashboard-address", f"127.0.0.1:{page}"]
    address = f"tcp://127.0.0.1:{port}"
    running = [spawn("scheduler", *where, "--preload", "geodask.monitor")]
    running.append(spawn("worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"))
    try:
        with Client(address, timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
            yield client
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.long
def test_a_page_that_is_open_goes_on_with_the_next_scheduler(
    driver: Any, sphere: gd.Points
) -> None:
    ports = free_port(), free_port()
    with scheduler(*ports) as client:
        gd.knn(sphere, k=3).persist()
        open_page(driver, client)
        eventually(lambda: "completed" in text_of(driver))
    with scheduler(*ports):
        eventually(lambda: "None has run yet" in text_of(driver))
        gd.knn(sphere, k=4).persist()
        eventually(lambda: "completed" in text_of(driver))


@pytest.mark.long
def test_ten_pages_at_once(fresh: Client, driver: Any, sphere: gd.Points, tmp_path: Path) -> None:
    gd.monitor.install(fresh)
    open_page(driver, fresh)
    for _ in range(9):
        driver.switch_to.new_window("tab")
        driver.get(url_of(fresh))
    gd.knn(sphere, k=3).persist()
    for handle in driver.window_handles:
        driver.switch_to.window(handle)
        eventually(lambda: "completed" in text_of(driver))
    for handle in driver.window_handles[1:]:
        driver.switch_to.window(handle)
        driver.close()
    driver.switch_to.window(driver.window_handles[0])
