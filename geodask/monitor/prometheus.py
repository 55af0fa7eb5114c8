"""What is counted, for Prometheus: on the `/metrics` that Dask's servers have already."""

from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ..engine.workers import done_here
from ..events import Stats
from .account import share, stages
from .book import Book

COUNTS = {
    "tasks": "Tasks finished",
    "rows": "Rows of finished output",
    "pairs": "Pairs of rows considered",
    "measured": "Pairs whose rank was computed in float64",
    "flops": "Floating-point operations of the work, as plans state them",
    "flagged": "Rows that came out undefined",
    "near_limit": "Input rows whose coordinates have few digits left",
    "bytes_read": "Bytes of input rows read",
    "bytes_moved": "Bytes moved between host and device",
    "bytes_written": "Bytes of objects written",
}
KIND = ("operation", "manifold")
EVENTS = {
    "hits": "Results found in the store",
    "misses": "Results computed",
    "failures": "Tasks that failed for good",
    "retries": "Tasks that failed and were tried again by their driver",
    "reruns": "Tasks that Dask gave out again: their worker was lost, or they failed",
}
CACHE = {
    "evictions": "Entries of the store taken away",
    "bytes_found": "Bytes of results found in the store",
    "bytes_evicted": "Bytes of entries taken away",
    "seconds_saved": "Seconds that results found in the store took to compute",
}
assert set(COUNTS) <= {part.name for part in fields(Stats)}


class Collector:
    """A book, as Prometheus asks for it."""

    def __init__(self, book: Book):
        self._book = book

    def collect(self) -> Iterator[Any]:
        """The metrics as they are now."""
        view = self._book.view()
        kinds = [((each["operation"], each["manifold"]), each) for each in view["operations"]]
        for name, text in COUNTS.items():
            metric = CounterMetricFamily(f"geodask_{name}", text, labels=KIND)
            for labels, each in kinds:
                metric.add_metric(labels, each["stats"][name])
            yield metric
        metric = CounterMetricFamily(
            "geodask_stage_seconds", "Seconds of tasks, by stage", labels=(*KIND, "stage")
        )
        for labels, each in kinds:
            for stage, seconds in stages(each["stats"]).items():
                metric.add_metric((*labels, stage), seconds)
        yield metric
        for name, text in EVENTS.items():
            metric = CounterMetricFamily(f"geodask_{name}", text, labels=KIND)
            for labels, each in kinds:
                metric.add_metric(labels, each[name])
            yield metric
        for name, text in CACHE.items():
            yield CounterMetricFamily(f"geodask_cache_{name}", text, value=view["cache"][name])
        lost = "Workers that left the cluster"
        yield CounterMetricFamily("geodask_workers_lost", lost, value=view["workers_lost"])
        running = [run for run in view["runs"] if run["ended"] is None]
        yield GaugeMetricFamily("geodask_plans_running", "Plans at work", value=len(running))
        done = GaugeMetricFamily(
            "geodask_plan_progress", "Share of a running plan that is done", labels=("plan",)
        )
        shares: dict[str, float] = {}
        for run in running:  # those that share a plan see the same work done
            shares[run["name"]] = max(share(run), shares.get(run["name"], 0.0))
        for name, each in shares.items():
            done.add_metric([name], each)
        yield done


class WorkerCollector:
    """What a worker did, as Prometheus asks for it."""

    def collect(self) -> Iterator[Any]:
        """The metrics as they are now."""
        stats = done_here()
        for name, text in COUNTS.items():
            value = getattr(stats, name)
            yield CounterMetricFamily(f"geodask_worker_{name}", f"{text} here", value=value)
        seconds = CounterMetricFamily(
            "geodask_worker_stage_seconds", "Seconds of tasks here, by stage", labels=("stage",)
        )
        for stage, each in stages(vars(stats)).items():
            seconds.add_metric([stage], each)
        yield seconds
        peak = "Largest resident memory that a task here saw"
        yield GaugeMetricFamily("geodask_worker_peak_bytes", peak, value=stats.peak_bytes)


_exported: dict[int, Collector] = {}


def export(book: Book) -> None:
    """Has Prometheus find a book."""
    for known in list(_exported):  # one process has one `/metrics`: the last scheduler's
        REGISTRY.unregister(_exported.pop(known))
    _exported[id(book)] = Collector(book)
    REGISTRY.register(_exported[id(book)])


def withdraw(book: Book) -> None:
    """Has it found no more."""
    collector = _exported.pop(id(book), None)
    if collector is not None:
        REGISTRY.unregister(collector)


@cache
def export_worker() -> None:
    """Has Prometheus find what the tasks of this process did; once, whatever its workers."""
    REGISTRY.register(WorkerCollector())
