"""What is counted of plans, from their events to the book, with and without a cluster."""

import gc
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from counted import of_plans
from geodask.events import (
    ADMISSION,
    About,
    Evicted,
    PlanEnded,
    PlanStarted,
    Seen,
    Stats,
    StepDone,
    StepStarted,
    TaskDone,
    TaskFailed,
    TaskStarted,
    told,
)
from geodask.monitor.account import (
    CELLS,
    ERRORS,
    ROWS,
    STEPS,
    Account,
    Cells,
    left,
    machine_limit,
    rate,
)
from geodask.monitor.book import KINDS, RESULTS, RUNS, SECONDS, SILENT_SECONDS, Book
from geodask.monitor.tables import rows as rows_page
from geodask.monitor.telling import Telling, local_book
from geodask.storage.group import Group


class Clock:
    """Time that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def begun(
    clock: Clock, key: str = "a" * 32, blocks: int = 10, known: int = 0, created: float = 1.0
) -> Account:
    account = Account(clock)
    about = About(
        key=key, operation="knn", manifold="Sphere(n=3)", url=f"store/knn-{key}", created=created,
        blocks=blocks,
        missing=tuple(range(known, blocks)), slots=2, task_bytes=1000,
        flops=100.0, known=Stats(tasks=known, rows=10 * known),
    )  # fmt: skip
    name = f"gd-knn-{key[:8]}"
    account(PlanStarted(name, 10.0 * blocks, 10.0 * known, 10 * blocks, about))
    return account


def done(account: Account, block: int, worker: str = "w0") -> None:
    label = f"{account.state['name']}-{block}-finish"
    account(TaskStarted(label, block))
    account(TaskDone(10.0, Stats(tasks=1, rows=10, seconds=0.5), label, block, worker, True))


def ended(account: Account, tasks: int) -> None:
    stats = asdict(Stats(tasks=tasks, rows=10 * tasks, seconds=0.5 * tasks))
    report = {
        "key": account.state["key"], "operation": "knn", "certified": 1.0, "cache_hit": False,
        "approximation_error": 0.0, "stats": stats,
    }  # fmt: skip
    account(PlanEnded(True, account.state["url"], report, account.state["manifold"], 4000))


def rows(book: Book) -> int:
    return sum(kind.stats.rows for kind in book.kinds.values())


# --- one run --------------------------------------------------------------------------------------


def test_an_account_counts_what_it_is_told() -> None:
    account = begun(Clock(), known=2)
    done(account, 2)
    done(account, 3, "w1")
    account(TaskStarted("x", 4))
    account(TaskFailed("x", 4, (40, 50), "ValueError: no", False))
    account(TaskFailed("x", 5, (50, 60), "ValueError: never", True))
    found = account.snapshot()
    assert found["stats"]["tasks"] == 4
    assert found["stats"]["rows"] == 40
    assert found["known"]["rows"] == 20
    assert found["done"] == 40.0
    assert {name: each["rows"] for name, each in found["workers"].items()} == {"w0": 10, "w1": 10}
    assert (found["failures"], found["retries"]) == (1, 1)
    assert [each["block"] for each in found["errors"]] == [4, 5]
    assert found["cells"]["finished"] == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert found["cells"]["computed"] == [0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    assert found["cells"]["failed"] == [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    json.dumps(found, allow_nan=False)


def test_rows_to_look_at_are_named() -> None:
    account = begun(Clock(), blocks=1000)
    for block in range(1000):
        seen = {
            "flagged rows": Seen(9, [10 * block, 10 * block + 5]),
            "near_limit targets": Seen(1, [block % 7]),
        }
        account(TaskDone(10.0, Stats(tasks=1, flagged=2), "x", block, "w0", True, seen))
    found = account.snapshot()["rows_to_see"]
    assert found["flagged rows"] == {"count": 9000, "rows": list(range(0, 5 * ROWS, 5))}
    assert found["near_limit targets"] == {"count": 1000, "rows": list(range(7))}
    page = rows_page({**account.snapshot(), "url": "there/mine.zarr"})
    assert "and more, 9,000 in all" in page
    assert "and more, 1,000 in all" in page
    assert "store().get" not in page  # it is a path of the user's


def test_the_limit_of_machines_is_that_of_products_or_of_memory() -> None:
    account = begun(Clock())  # 100 work, 100 flops
    run = {**account.snapshot(), "bytes_to_read": 1000}
    assert machine_limit(run, {}) == machine_limit(run, {"w": {"threads": 2, "limits": None}}) == 0
    one = {"threads": 2, "limits": {"flops": 5.0, "bytes": 1e9, "gpu": False}}
    gpu = {"threads": 2, "limits": {"flops": 30.0, "bytes": 1e9, "gpu": True}}
    assert machine_limit(run, {"a": one}) == pytest.approx(10.0)
    assert machine_limit(run, {"a": one, "b": gpu}) == pytest.approx(40.0)
    assert machine_limit(run, {"a": one, "b": {"threads": 2, "limits": None}}) == 0  # not told yet
    slow = {"threads": 2, "limits": {"flops": 5e9, "bytes": 5.0, "gpu": False}}
    assert machine_limit(run, {"a": slow}) == pytest.approx(1.0)
    assert machine_limit({**run, "flops": 0.0, "bytes_to_read": 0}, {"a": slow}) == 0


def test_a_snapshot_stays_small() -> None:
    account = begun(Clock(), blocks=100_003)
    for block in range(0, 100_003, 50):
        account(TaskFailed("x", block, (0, 1), "E: " + "x" * 10_000, True))
    for step in range(2 * STEPS):
        account(StepDone(step, {"gradient_norm": 0.1, "variance": float("inf")}))
    found = account.snapshot()
    assert len(found["cells"]["finished"]) <= CELLS
    assert len(found["errors"]) == ERRORS
    assert len(found["steps"]) == STEPS
    assert found["steps"][-1] == {"step": 2 * STEPS - 1, "gradient_norm": 0.1}
    assert len(json.dumps(found, allow_nan=False)) < 60_000


@pytest.mark.parametrize("blocks", [0, 1, CELLS - 1, CELLS, CELLS + 1, 7919])
def test_cells_hold_every_block_once(blocks: int) -> None:
    cells = Cells(blocks, range(blocks))
    assert sum(cells.codes()["finished"]) == 0
    for block in range(blocks):
        cells.begin(block)
    assert sum(cells.codes()["at_work"]) == blocks
    for block in range(blocks):
        cells.end(block, finished=True, ours=True)
    assert sum(cells.codes()["finished"]) == blocks
    assert sum(cells.codes()["computed"]) == blocks
    assert sum(cells.codes()["at_work"]) == 0


# --- the book -------------------------------------------------------------------------------------


def test_a_snapshot_that_comes_again_counts_nothing() -> None:
    book, account = Book(Clock()), begun(Clock())
    done(account, 0)
    early = account.snapshot()
    done(account, 1)
    late = account.snapshot()
    for snapshot in (early, early, late, late, early):
        book.take(snapshot)
    assert rows(book) == 20
    assert book.workers["w0"].rows == 20


def test_a_run_that_was_killed_and_goes_on_counts_once() -> None:
    book, clock = Book(Clock()), Clock()
    first = begun(clock)
    for block in range(4):
        done(first, block)
    book.take(first.snapshot())  # told four; three were marked when it was killed
    second = begun(clock, known=3)
    for block in range(3, 10):
        done(second, block)
    book.take(second.snapshot())
    ended(second, 10)
    book.take(second.snapshot())
    assert rows(book) == 100
    (kind,) = book.kinds.values()
    assert kind.stats.tasks == 10
    assert (kind.misses, book.cache.misses) == (1, 1)


def test_what_was_stored_before_the_book_began_is_not_counted() -> None:
    book = Book(Clock())
    account = begun(Clock(), known=7)
    for block in range(7, 10):
        done(account, block)
    ended(account, 10)
    book.take(account.snapshot())
    assert rows(book) == 30
    assert book.view()["runs"][0]["stats"]["rows"] == 100


def test_a_result_that_went_and_is_computed_again_counts_again() -> None:
    book = Book(Clock())
    for created in (1.0, 2.0):
        account = begun(Clock(), created=created)
        for block in range(10):
            done(account, block)
        ended(account, 10)
        book.take(account.snapshot())
    assert rows(book) == 200


def test_two_processes_that_share_a_plan_count_once() -> None:
    book, clock = Book(Clock()), Clock()
    one, two = begun(clock), begun(clock)
    for block in range(10):
        done(one if block % 2 else two, block)
    book.take(one.snapshot())
    book.take(two.snapshot())
    for each in (one, two):
        ended(each, 10)
        book.take(each.snapshot())
    assert rows(book) == 100


def test_hits_evictions_and_errors_are_counted() -> None:
    book, account = Book(Clock()), Account(Clock())
    report = {"key": "b", "operation": "knn", "certified": 1.0, "cache_hit": True, "stats": {},
              "approximation_error": 0.0}  # fmt: skip
    account(Evicted(2, 500))
    account(PlanEnded(True, "store/knn", report, "Sphere(n=3)", 4000, 12.5))
    book.take(account.snapshot())
    book.take(account.snapshot())
    failed = begun(Clock())
    failed(TaskFailed("x", 0, (0, 10), "E: no", True))
    failed(PlanEnded(False, error="E: no"))
    book.take(failed.snapshot())
    found = asdict(book.cache)
    assert found == {"hits": 1, "misses": 0, "evictions": 2, "bytes_found": 4000,
                     "bytes_evicted": 500, "seconds_saved": 12.5}  # fmt: skip
    assert sum(kind.failures for kind in book.kinds.values()) == 1
    assert [run["state"] for run in book.runs.values()] == ["found", "stopped"]


def test_a_book_stays_small() -> None:
    clock = Clock()
    book = Book(clock)
    for number in range(RESULTS + 500):
        account = begun(clock, key=f"{number:032x}", blocks=3)
        account.state["manifold"] = f"Sphere(n={number})"
        done(account, 0, f"w{number}")
        ended(account, 3)
        book.take(account.snapshot())
        clock.now += 1.0
        book.tick()
    assert len(book.runs) == RUNS
    assert len(book.kinds) == KINDS + 1
    assert len(book._results) == RESULTS
    assert len(book.history) == SECONDS
    assert rows(book) == 30 * (RESULTS + 500)


def test_a_run_that_falls_silent_is_lost_until_it_speaks() -> None:
    clock = Clock()
    book, account = Book(clock), begun(clock)
    book.take(account.snapshot())
    clock.now += SILENT_SECONDS - 1
    book.tick()
    assert len(book.running) == 1
    clock.now += 2
    book.tick()
    assert [run["state"] for run in book.runs.values()] == ["lost"]
    for block in range(10):
        done(account, block)
    ended(account, 10)
    book.take(account.snapshot())
    assert [run["state"] for run in book.runs.values()] == ["completed"]
    assert rows(book) == 100


def test_snapshots_in_any_order_count_the_last() -> None:
    book, account = Book(Clock()), begun(Clock())
    snapshots = [account.snapshot()]
    for block in range(6):
        done(account, block, f"w{block % 2}")
        account(TaskFailed("x", 9, (90, 100), "E: again", False))
        snapshots.append(account.snapshot())
    for number in (2, 1, 5, 3, 6, 4, 0):
        book.take(snapshots[number])
    assert rows(book) == 60
    assert sum(stats.rows for stats in book.workers.values()) == 60
    assert sum(kind.retries for kind in book.kinds.values()) == 6


def test_news_of_workers_is_told_until_it_is_delivered() -> None:
    account = begun(Clock())
    done(account, 0, "w0")
    lost = account.snapshot()
    done(account, 1, "w1")
    late = account.snapshot()
    assert set(lost["workers"]) == {"w0"}
    assert set(late["workers"]) == {"w0", "w1"}
    done(account, 2, "w1")
    account.delivered(late)
    assert set(account.snapshot()["workers"]) == {"w1"}
    ended(account, 3)
    assert set(account.snapshot()["workers"]) == {"w0", "w1"}


def test_a_miss_counts_once_whoever_computed() -> None:
    book = Book(Clock())
    for _ in range(3):
        account = begun(Clock())
        ended(account, 10)
        book.take(account.snapshot())
    assert book.cache.misses == 1


def test_times_are_moved_to_the_clock_of_the_book() -> None:
    clock, other = Clock(), Clock()
    other.now += 300.0
    account = begun(other)
    clock.now, other.now = clock.now + 5.0, other.now + 5.0
    book = Book(clock)
    book.take(account.snapshot())
    (run,) = book.view()["runs"]
    assert run["began"] == 1000.0


def test_a_job_that_goes_on_elsewhere_is_one_run() -> None:
    book = Book(Clock())
    admission = admitting(Clock())
    for number, account in enumerate([begun(Clock()), begun(Clock()), admission, begun(Clock())]):
        account.state.update(job="job", teller=str(number // 2))
        book.take(account.snapshot())
    states = [run["state"] for run in book.runs.values()]
    assert states == ["replaced", "replaced", "running", "running"]  # the driver is another


def test_the_time_that_is_left_is_that_of_a_step() -> None:
    clock = Clock()
    account = begun(clock)
    clock.now += 90.0
    account(StepStarted(9, 0.0))
    clock.now += 10.0
    account.state["done"] = 50.0
    run = account.snapshot()
    assert rate(run, clock.now) == 5.0
    assert left(run, clock.now) == 10.0
    account.state["done"] = 120.0  # what was damaged is done again
    assert left(account.snapshot(), clock.now) == 0.0


# --- telling --------------------------------------------------------------------------------------


def told_slowly(fails: int = 0) -> tuple[Book, Telling]:
    book, left_to_fail = Book(), [fails]

    def take(snapshot: dict[str, Any]) -> None:
        time.sleep(0.05)
        if snapshot["ended"] is not None and left_to_fail[0]:
            left_to_fail[0] -= 1
            raise OSError("busy")
        book.take(snapshot)

    return book, Telling(take)


def started() -> PlanStarted:
    return PlanStarted("gd-knn-1", 10.0, 0.0, 10)


@pytest.mark.parametrize("fails", [0, 1])
def test_the_end_of_a_plan_is_told_whatever_is_under_way(fails: int) -> None:
    book, telling = told_slowly(fails)
    for _ in range(10):
        telling(started())
        telling(PlanEnded(False))
    assert [run["state"] for run in book.runs.values()] == ["stopped"] * 10


def test_a_plan_that_tells_no_end_is_ended() -> None:
    book, telling = told_slowly()
    telling(started())
    telling.close()
    telling.close()
    assert [run["state"] for run in book.runs.values()] == ["stopped"]
    assert "geodask-monitor" not in [thread.name for thread in threading.enumerate()]


def admitting(clock: Any = time.time) -> Account:
    account = Account(clock)
    about = About(operation=ADMISSION, manifold="Sphere(n=3)", url="there", created=1.0, blocks=4)
    account(PlanStarted("gd-admission", 4.0, 0.0, 40, about))
    return account


@pytest.mark.parametrize(
    ("happens", "state"),
    [
        (PlanEnded(True), None),
        (PlanEnded(False, error="NotOnManifoldError: no"), "stopped"),
        (Evicted(3, 1000), "completed"),
    ],
)
def test_of_rows_that_are_admitted_fast_what_matters_is_told(happens: Any, state: Any) -> None:
    book, telling = told_slowly()
    telling(PlanStarted("gd-admission", 4.0, 0.0, 40, About(operation=ADMISSION, url="there")))
    telling(happens)
    if not isinstance(happens, PlanEnded):
        telling(PlanEnded(True))
    telling.close()
    assert [run["state"] for run in book.runs.values()] == ([state] if state else [])
    assert book.cache.evictions == (3 if isinstance(happens, Evicted) else 0)


def test_a_copy_that_fails_is_told_with_its_reason(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    local_book.cache_clear()
    monkeypatch.setattr("geodask.engine.census.DIGEST_BYTES", 16 << 10)
    monkeypatch.setattr("geodask.engine.save.STORED_BYTES", 16 << 10)
    write, written = Group.write, []

    def full(self: Group, *arguments: Any) -> Any:
        written.append(self)
        if len(written) > 1:
            raise OSError(28, "No space left on device")
        return write(self, *arguments)

    monkeypatch.setattr(Group, "write", full)
    lazy = gd.points(sphere.array.rechunk((500, 24)), sphere.manifold)
    heard: list[Any] = []
    with told(heard.append), pytest.raises(OSError, match="No space"):
        gd.knn(lazy, k=2).persist()
    gc.collect()
    ends = [each.error for each in heard if isinstance(each, PlanEnded)]
    assert len(ends) == 1
    assert "No space" in ends[0]


def test_the_work_of_two_who_share_a_plan_is_done_once() -> None:
    clock = Clock()
    book = Book(clock)
    one, other = begun(clock), begun(clock)
    for block in range(4):
        done(one, block)
        other(TaskDone(10.0, Stats(), block=block, finishes=True))
    for each in (one, other):
        book.take(each.snapshot())
    clock.now += 2.0
    book.tick()
    assert book.history[-1]["rates"]["knn"]["work"] == pytest.approx(20.0)
    earlier = {"run": "earlier", "began": clock.now - 100.0}  # than the book
    book.take({**one.snapshot(), **earlier})
    book.take(one.snapshot())
    clock.now += 1.0
    book.tick()
    assert book.history[-1]["rates"] == {}


def test_tasks_that_the_cluster_runs_again_are_counted() -> None:
    book = Book(Clock())
    account = begun(Clock())
    done(account, 0)
    book.take(account.snapshot())
    for task in (f"gd-knn-{'a' * 8}-3-finish-0", "gd-knn-another-3-0", f"gd-knn-{'a' * 9}", "x"):
        book.note_rerun(task)
    ((_, kind),) = book.kinds.items()
    assert kind.reruns == 1
    book.note_rerun(f"gd-knn-{'b' * 8}-0-finish")
    book.take(begun(Clock(), key="b" * 32).snapshot())  # it is told of later
    assert kind.reruns == 2


def test_all_steps_of_an_iteration_are_work() -> None:
    clock = Clock()
    book = Book(clock)
    account = begun(clock)
    for step in range(7):
        account(StepStarted(step, 0.0))
        for block in range(10):
            done(account, block)
    book.take(account.snapshot())
    clock.now += 7.0
    book.tick()
    assert book.history[-1]["rates"]["knn"]["work"] == pytest.approx(100.0)


def test_rates_are_those_of_a_second() -> None:
    clock = Clock()
    book, account = Book(clock), begun(clock)
    for block in range(4):
        done(account, block)
    book.take(account.snapshot())
    clock.now += 2.0
    book.tick()
    assert book.history[-1]["rates"]["knn"]["rows"] == 20.0
    clock.now += 1.0
    book.tick()
    assert book.history[-1]["rates"] == {}


# --- real plans -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_tasks")
def test_a_plan_on_threads_is_counted_as_its_report_says(sphere: gd.Points) -> None:
    local_book.cache_clear()
    report = gd.knn(sphere, k=3).persist().report
    assert gd.knn(sphere, k=3).persist().report.cache_hit
    view = local_book().view()
    hit, run = of_plans(view["runs"])
    assert (run["state"], hit["state"]) == ("completed", "found")
    assert run["stats"] == report.stats
    (kind,) = of_plans(view["operations"])
    assert {**kind["stats"], "peak_bytes": 0} == pytest.approx({**report.stats, "peak_bytes": 0})
    assert kind["stats"]["rows"] == report.stats["rows"] == 2000
    assert sum(run["cells"]["computed"]) == run["cells"]["blocks"]
    assert view["cache"]["hits"] == view["cache"]["misses"] == 1
    assert "2000 rows" in repr(gd.monitor.summary())
    assert "knn" in gd.monitor.summary()._repr_html_()


def test_what_fails_at_the_end_is_told(sphere: gd.Points, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise gd.StoreError("the disk is full")

    local_book.cache_clear()
    monkeypatch.setattr("geodask.storage.group.Group.commit", full)
    with pytest.raises(gd.StoreError):
        gd.knn(sphere, k=3).persist()
    (run,) = of_plans(local_book().view()["runs"])
    assert (run["state"], run["error"]) == ("stopped", "StoreError: the disk is full")


@pytest.mark.usefixtures("small_tasks")
def test_what_is_mended_counts_again(sphere: gd.Points, store: Path) -> None:
    local_book.cache_clear()
    gd.knn(sphere, k=3).persist()
    file = next(store.glob("knn-*/indices/c/0/0"))
    file.write_bytes(file.read_bytes()[::-1])
    before = sum(kind.stats.tasks for kind in local_book().kinds.values())
    report = gd.knn(sphere, k=3).persist(verify=True).report
    now = sum(kind.stats.tasks for kind in local_book().kinds.values())
    assert now - before == report.blocks_computed > 0


@pytest.mark.parametrize("brief", [60.0, 0.0])
def test_rows_that_are_admitted_for_long_are_told_of(
    sphere: gd.Points, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brief: float
) -> None:
    sphere.save(tmp_path / "x.zarr")
    monkeypatch.setattr("geodask.engine.census.DIGEST_BYTES", 16 << 10)
    monkeypatch.setattr("geodask.monitor.telling.BRIEF_SECONDS", brief)
    local_book.cache_clear()
    heard: list[Any] = []
    with told(heard.append):
        gd.knn(gd.open(tmp_path / "x.zarr"), k=2).persist()
    started = [each.about for each in heard if isinstance(each, PlanStarted)]
    (about,) = (each for each in started if each.operation == ADMISSION)
    assert len(about.missing) == about.blocks > 5
    view = local_book().view()
    admitted = [run for run in view["runs"] if run["operation"] == ADMISSION]
    assert view["cache"]["misses"] == 1  # the plan's
    assert len(admitted) == (brief == 0.0)
    for run in admitted:
        assert run["state"] == "completed"
        assert run["stats"]["rows"] == run["rows"] == 2000
        assert run["stats"]["bytes_read"] == 2000 * 24 * 4
        assert run["done"] == run["work"] == about.blocks
        assert run["cells"]["finished"] == [1] * about.blocks


def test_an_iteration_tells_how_it_converges(sphere: gd.Points) -> None:
    local_book.cache_clear()
    middle = gd.mean(sphere[np.asarray(sphere.array[:, 0] > 0.1)]).persist()
    (run,) = of_plans(local_book().view()["runs"])
    assert run["steps"][-1]["gradient_norm"] == pytest.approx(middle.gradient_norm)
    assert run["stats"] == middle.report.stats


def test_a_plan_that_fails_is_shown_with_its_error(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("<script>alert(1)</script>")

    local_book.cache_clear()
    monkeypatch.setattr("geodask.ops.knn.Knn.partial", broken)
    with pytest.raises(ZeroDivisionError):
        gd.knn(sphere, k=3).persist()
    (run,) = of_plans(local_book().view()["runs"])
    assert run["state"] == "stopped"
    assert run["error"].startswith("ZeroDivisionError")
    assert run["failures"] == 1
    shown = gd.monitor.summary()._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_watchers_are_configured(sphere: gd.Points, caplog: pytest.LogCaptureFixture) -> None:
    local_book.cache_clear()
    with dask.config.set({"geodask.watchers": []}):
        gd.knn(sphere, k=2).compute()
    assert of_plans(local_book().view()["runs"]) == []
    names = ["geodask.none.such", f"{__name__}.faulty_watcher"]
    with dask.config.set({"geodask.watchers": names}), caplog.at_level(logging.WARNING):
        found = gd.knn(sphere, k=2).compute()
    assert found.indices.shape == (2000, 2)
    assert "geodask.none.such" in caplog.text
    assert "faulty_watcher is told no more" in caplog.text
    assert "faulty_watcher did not end" in caplog.text


@contextmanager
def faulty_watcher() -> Iterator[Any]:
    def watch(event: object) -> None:
        raise RuntimeError("watchers may not do harm")

    yield watch
    raise RuntimeError("and not at their end")
