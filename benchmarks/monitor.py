"""What it costs to be watched: the same plan with and without, and a page over months of events.

Claims: with its page open in a browser's place, a plan of blocks of 0.3 s takes less than 1 %
longer than one that nobody watches; in a plan of 20,000 blocks an update of the page takes less
than 100 ms, on the scheduler and in a browser; ten million events leave the memory of the book as
it was, and an update likewise.

    python benchmarks/monitor.py

Both run in turn on the same two workers, each into a store of its own, with blocks that take 0.3 s
of a processor; the page is held open over its websocket while either runs. The 20,000 blocks
compute nothing, so that as much happens in each second as can; the browser is Chromium, where it is
installed, and counts for how long each of its own updates keeps it. Events are those of
tasks, told to the same code that runs at a driver and on a scheduler: two months are 120 plans of
83,000 blocks or so, with a snapshot every hundred events.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client

import geodask as gd
import idle
from geodask.events import About, PlanEnded, PlanStarted, Stats, StepDone, TaskDone, TaskStarted
from geodask.monitor.account import Account
from geodask.monitor.book import Book
from geodask.monitor.html import count
from harness import Answer, Contestant, document, folder, parser, race, ratio, table, tidy
from machine import facts

PLANS, EACH = 120, 100
COLUMNS = {
    "name": ("", ""),
    "median": ("seconds", ".2f"),
    "tasks": ("tasks", ",d"),
    "task_ms": ("ms a task", ".0f"),
    "peak_bytes": ("peak here", "bytes"),
}
LARGE = {
    "tasks": ("tasks", ",d"),
    "seconds": ("seconds", ".0f"),
    "updates": ("updates", "d"),
    "update_ms": ("ms an update", ".1f"),
    "most_ms": ("the longest", ".1f"),
    "browser_ms": ("in the browser", ".1f"),
    "browser_most_ms": ("the longest", ".1f"),
}
MONTHS = {
    "events": ("events", ",d"),
    "resident": ("memory", "bytes"),
    "snapshot_ms": ("ms a snapshot", ".3f"),
    "take_ms": ("ms to take it", ".3f"),
    "update_ms": ("ms an update", ".1f"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a result was wrong, or not all of it was counted."""
    found = parser(__doc__, rows=None, repeats=5)
    found.add_argument("--blocks", type=int, default=120, help="(default %(default)s)")
    found.add_argument("--large", type=int, default=20_000, help="(default %(default)s)")
    found.add_argument("--events", type=int, default=10_000_000, help="(default %(default)s)")
    options = found.parse_args(arguments)
    here = facts()
    with folder() as home, dask.config.set({"geodask.progress": "off"}):
        lanes, counted = _paired(home, options)
        large = _large(home, options.large)
    months = list(_months(options.events))
    rows = [lane.row() for lane in lanes]
    share = ratio(lanes[0], lanes[1]) - 1
    print(f"{here['cpu']}, {here['cores']} cores, load {here['load_before']:.2f} before\n")
    print(table(rows, COLUMNS))
    print(f"\nbeing watched costs {share:.2%} (less than 1 %); counted as reported: {counted}\n")
    print(table([large], LARGE))
    print()
    print(table(months, MONTHS))
    right = counted and large["right"] and all(row["right"] for row in rows)
    kept = {"runs": rows, "share": share, "large": large, "months": months}
    document("monitor", __doc__, options, machine=here, **kept)
    return int(not right)


# --- with and without -----------------------------------------------------------------------------


def _paired(home: Path, options: argparse.Namespace) -> tuple[list[Any], bool]:
    with (
        gd.cluster.local(2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        _page(gd.monitor.install(client)),
    ):
        both = {"watched": ["geodask.monitor.watch"], "unwatched": []}
        runs = [Contestant(name, partial(_run, home, options, each)) for name, each in both.items()]
        _run(home, options, [])
        lanes = race(runs, options.repeats)
        view = gd.monitor.summary().view
    told = sum(each["stats"]["tasks"] for each in view["operations"])
    return lanes, told == options.repeats * options.blocks


def _run(home: Path, options: argparse.Namespace, watchers: list[str]) -> Answer:
    where = {"geodask.store": str(home / f"store-{time.monotonic_ns()}")}
    plan = idle.plan(options.blocks, seconds=0.3, busy=True)
    with dask.config.set({**where, "geodask.watchers": watchers}):
        values, report = plan.persist()
    right = idle.is_right(values, options.blocks)
    stats = report.stats
    task = 1e3 * stats["seconds"] / stats["tasks"]
    return Answer(facts={"tasks": stats["tasks"], "task_ms": task, "right": right})


@contextmanager
def _page(url: str) -> Iterator[None]:
    """The page as a browser holds it: a document that the scheduler goes on to fill."""
    from bokeh.client import pull_session

    session = pull_session(url=url)
    try:
        yield
    finally:
        session.close()


# --- many blocks ----------------------------------------------------------------------------------

WATCHED = """
  window.taken = [];
  let begin = null;
  const shown = Bokeh.documents[0];
  const apply = shown.apply_json_patch.bind(shown);
  shown.apply_json_patch = (...all) => {
    if (begin === null) {
      begin = performance.now();
      requestAnimationFrame(() => setTimeout(() => {
        window.taken.push(performance.now() - begin);
        begin = null;
      }));
    }
    apply(...all);
  };
"""
"""Has the page note how long it takes from what the scheduler sent until that is drawn."""


def _large(home: Path, blocks: int) -> dict[str, Any]:
    """A plan of many blocks with its page open: what each update takes, and what is shown."""
    from geodask.monitor.page import Page

    times: list[float] = []
    update = Page.update

    def timed(self: Page, view: dict[str, Any]) -> None:
        begin = time.perf_counter()
        update(self, view)
        times.append(time.perf_counter() - begin)

    Page.update = timed
    with (
        gd.cluster.local(2, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        _browser(gd.monitor.install(client), home) as browser,
    ):
        begin = time.perf_counter()
        with dask.config.set({"geodask.store": str(home / "large")}):
            values, report = idle.plan(blocks).persist()
        seconds = time.perf_counter() - begin
        right = idle.is_right(values, blocks) and report.stats["tasks"] == blocks
        (run,) = gd.monitor.summary().view["runs"]
        right = right and run["stats"] == report.stats
        found = browser(blocks)
    return {
        "tasks": report.stats["tasks"],
        "seconds": seconds,
        "updates": len(times),
        "update_ms": 1e3 * statistics.median(times),
        "most_ms": 1e3 * max(times),
        "browser_ms": statistics.median(found) if found else math.nan,
        "browser_most_ms": max(found, default=math.nan),
        "right": right,
    }


@contextmanager
def _browser(url: str, home: Path) -> Iterator[Callable[[int], list[float]]]:
    """The page in Chromium, or as one holds it; gives what its updates took, once it shows that so
    many blocks are done."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from browser import chromium, eventually, missing, text_of

    if missing() is not None:
        with _page(url):
            yield lambda _: []
        return
    with chromium(home / "profile") as driver:
        driver.get(url)
        eventually(lambda: "None has run yet" in text_of(driver))
        driver.execute_script(WATCHED)

        def taken(blocks: int) -> list[float]:
            shown = eventually(lambda: "completed" in (text := text_of(driver)) and text)
            if f"{count(blocks)} {count(blocks)}" not in shown:  # tasks, rows
                raise SystemExit(f"The page shows something else: {shown}")
            return driver.execute_script("return window.taken")

        yield taken


# --- months of events -----------------------------------------------------------------------------


def _months(events: int) -> Iterator[dict[str, Any]]:
    """The book after each fourth of the events: what it holds, and what it costs."""
    from geodask.monitor.page import Page

    book, page, blocks = Book(), Page(), max(20_000, events // PLANS)
    done, fourth = 0, max(1, events // 4)
    while done < events:
        account, times = _begin(done, blocks), []
        for block in range(min(blocks, events - done)):
            label = f"gd-knn-{block}-finish"
            account(TaskStarted(label, block))
            stats = Stats(tasks=1, rows=100, pairs=10**6, seconds=0.3, kernel_seconds=0.29)
            account(TaskDone(1e6, stats, label, block, f"tcp://10.0.0.{block % 64}:4000", True))
            done += 1
            if block % EACH == 0:
                times.append(_tell(book, account))
                book.tick()
            if done % fourth == 0:
                yield _row(book, page, done, times)
        account(PlanEnded(True))
        _tell(book, account)


def _begin(number: int, blocks: int) -> Account:
    account = Account()
    about = About(
        key=f"{number:032x}", operation="knn", manifold="Sphere(n=64)", url="store",
        created=float(number), blocks=blocks, missing=tuple(range(blocks)),
        slots=64, task_bytes=0, flops=1e6, known=Stats(),
    )  # fmt: skip
    account(PlanStarted("gd-knn", 1e6 * blocks, 0.0, 100 * blocks, about))
    for step in range(100):
        account(StepDone(step, {"gradient_norm": 1.0 / (1 + step)}))
    return account


def _tell(book: Book, account: Account) -> tuple[float, float]:
    begin = time.perf_counter()
    snapshot = account.snapshot()
    taken = time.perf_counter()
    book.take(snapshot)
    return taken - begin, time.perf_counter() - taken


def _row(book: Book, page: Any, done: int, times: list[tuple[float, float]]) -> dict[str, Any]:
    updates = []
    for _ in range(11):
        begin = time.perf_counter()
        page.update({**book.view(), "advice": []})
        updates.append(time.perf_counter() - begin)
    tidy()
    snapshots, takes = zip(*times, strict=True)
    return {
        "events": done,
        "resident": psutil.Process().memory_info().rss,
        "snapshot_ms": 1e3 * statistics.median(snapshots),
        "take_ms": 1e3 * statistics.median(takes),
        "update_ms": 1e3 * statistics.median(updates),
    }


if __name__ == "__main__":
    sys.exit(main())
