"""What one plan does, as whoever runs it tells: a watcher, and a snapshot of all it was told."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import uuid4

from ..events import (
    STAGES,
    About,
    Event,
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
    current_job,
)

CELLS = 400
"""Cells of a map of blocks: where there are more, a cell stands for several."""
ERRORS = 20
"""Errors that are kept, the last ones."""
STEPS = 400
"""Steps of an iteration that are kept, the last ones."""
ROWS = 200
"""Rows to look at that are kept of a kind, the first ones."""
TEXT = 400
"""Letters of an error."""


@dataclass
class Account:
    """One run of a plan. Its snapshot is all there is to say of it, so the last one is enough."""

    clock: Callable[[], float] = time.time
    run: str = field(default_factory=lambda: uuid4().hex)
    teller: str = ""
    """Who tells: a job has one driver at a time, which tells of one run after the other."""

    def __post_init__(self) -> None:
        job, name = current_job()
        begin = self.clock()
        self.state: dict[str, Any] = {
            "run": self.run,
            "teller": self.teller,
            "job": job,
            "job_name": str(name),
            "state": "starting",
            "name": "",
            **_facts(About()),
            "began": begin,
            "since": begin,
            "ended": None,
            "work": 0.0,
            "done": 0.0,
            "worked": 0.0,
            "stored": 0.0,
            "rows": 0,
            "step": 0,
            "failures": 0,
            "retries": 0,
            "size": 0,
            "saved": 0.0,
            "error": "",
            "evictions": 0,
            "bytes_evicted": 0,
            "certified": None,
            "approximation_error": None,
        }
        self.known, self.own = Stats(), Stats()
        self.workers: dict[str, Stats] = {}
        self._serial, self._news = 0, {}
        self.cells = Cells(0, ())
        self.steps: list[dict[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.rows: dict[str, Seen] = {}
        self._report: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        state = self.state
        if isinstance(event, PlanStarted):
            self._start(event)
        elif isinstance(event, StepStarted):
            state.update(step=event.step, done=event.stored, stored=event.stored)
            state["since"] = self.clock()
        elif isinstance(event, StepDone):
            self.steps = [*self.steps[1 - STEPS :], {"step": event.step, **event.measures}]
        elif isinstance(event, TaskStarted):
            self.cells.begin(event.block)
        elif isinstance(event, TaskDone):
            self._take_in(event)
        elif isinstance(event, TaskFailed):
            self._fail(event)
        elif isinstance(event, Evicted):
            state["evictions"] += event.entries
            state["bytes_evicted"] += event.size
        elif isinstance(event, PlanEnded):
            self._end(event)

    def _start(self, event: PlanStarted) -> None:
        state, about = self.state, event.about
        state.update(name=event.name, work=event.work, done=event.stored, stored=event.stored)
        begin = self.clock()
        state.update(rows=event.rows, state="running", began=begin, since=begin)
        state.update(_facts(about))
        self.known = about.known
        if not about.iterative:
            self.cells = Cells(about.blocks, about.missing)

    def _take_in(self, event: TaskDone) -> None:
        self.state["done"] += event.work
        self.state["worked"] += event.work  # of an iteration, in all of its steps
        self.own.add(event.stats)
        if event.worker:
            self.workers.setdefault(event.worker, Stats()).add(event.stats)
            self._news[event.worker] = self._serial
        self.cells.end(event.block, finished=event.finishes, ours=bool(event.label))
        for kind, seen in event.rows.items():
            known = self.rows.get(kind, Seen())
            rows = sorted({*known.rows, *seen.rows})[:ROWS]
            self.rows[kind] = Seen(known.count + seen.count, rows)

    def _fail(self, event: TaskFailed) -> None:
        self.state["failures" if event.final else "retries"] += 1
        self.cells.fail(event.block, final=event.final)
        start, stop = event.rows
        what = {"block": event.block, "start": start, "stop": stop, "error": event.error[:TEXT]}
        self.errors = [*self.errors[1 - ERRORS :], {"at": self.clock(), **what}]

    def _end(self, event: PlanEnded) -> None:
        state, report = self.state, event.report
        state.update(ended=self.clock(), url=event.url or state["url"], error=event.error[:TEXT])
        state["state"] = "completed" if event.complete else "stopped"
        if report:
            state.update({name: report[name] for name in ("key", "operation", "certified")})
            state.update(approximation_error=report["approximation_error"], size=event.size)
            state["manifold"] = event.manifold
            state["name"] = state["name"] or f"gd-{report['operation']}-{report['key'][:8]}"
            self._report = report
            if report["cache_hit"]:
                state.update(state="found", saved=event.saved)
            else:
                state["done"] = state["work"]

    @property
    def ended(self) -> bool:
        """Whether there is no more to come."""
        return self.state["ended"] is not None

    def snapshot(self) -> dict[str, Any]:
        """All of it as JSON: counts of the plan, and of each worker in this run of it.

        Of workers those of which there is news since a snapshot that was delivered; at the end all.
        """
        self._serial += 1
        told = self.workers if self.ended else self._news
        total = Stats(**self._report["stats"]) if self._report.get("stats") else sum_of(
            [self.known, self.own]
        )  # fmt: skip
        return {
            **self.state,
            "serial": self._serial,
            "updated": self.clock(),
            "stats": dict(vars(total)),
            "known": dict(vars(self.known)),
            "workers": {name: dict(vars(self.workers[name])) for name in told},
            "cells": self.cells.codes(),
            "steps": [finite(step) for step in self.steps],
            "errors": self.errors,
            "rows_to_see": {kind: dict(vars(seen)) for kind, seen in self.rows.items()},
            "report": self._report,
        }

    def delivered(self, snapshot: dict[str, Any]) -> None:
        """A snapshot has reached the book: what it said of workers is no news any more."""
        serial = snapshot["serial"]
        self._news = {name: since for name, since in self._news.items() if since >= serial}


def _facts(about: About) -> dict[str, Any]:
    """What is said of a plan in a snapshot as it is."""
    apart = ("known", "missing", "iterative")
    return {name: each for name, each in vars(about).items() if name not in apart}


class Cells:
    """A map of blocks: how many of each cell are finished, and whether one is at work or failed."""

    def __init__(self, blocks: int, missing: Iterable[int]):
        self.blocks, self.each = blocks, max(1, -(-blocks // CELLS))
        count = -(-blocks // self.each)
        self._finished = [min(self.each, blocks - self.each * i) for i in range(count)]
        self._computed, self._failed = [0] * count, [0] * count
        self._at_work: dict[int, int] = {}
        for block in missing:
            self._finished[block // self.each] -= 1

    def begin(self, block: int) -> None:
        """A task of a block is at work."""
        self._at_work[block] = self._at_work.get(block, 0) + 1

    def end(self, block: int, *, finished: bool, ours: bool) -> None:
        """One has ended, and with the last the block is finished."""
        self._leave(block)
        cell = block // self.each
        if finished and 0 <= cell < len(self._finished):
            self._finished[cell] += 1
            self._computed[cell] += ours

    def fail(self, block: int, *, final: bool) -> None:
        """One has failed."""
        self._leave(block)
        cell = block // self.each
        if final and 0 <= cell < len(self._failed):
            self._failed[cell] += 1

    def _leave(self, block: int) -> None:
        left = self._at_work.pop(block, 0) - 1
        if left > 0:
            self._at_work[block] = left

    def codes(self) -> dict[str, Any]:
        """For each cell the blocks finished, and of these the run's own; at work, and failed."""
        at_work = [0] * len(self._finished)
        for block in list(self._at_work):
            if 0 <= block // self.each < len(at_work):
                at_work[block // self.each] += 1
        return {
            "blocks": self.blocks,
            "each": self.each,
            "finished": list(self._finished),
            "computed": list(self._computed),
            "at_work": at_work,
            "failed": list(self._failed),
        }


def sum_of(parts: Iterable[Stats]) -> Stats:
    """What several did together."""
    total = Stats()
    for part in parts:
        total.add(part)
    return total


def less(whole: Stats, part: Stats) -> Stats:
    """What was done since there was only a part of it; nothing of it is below zero."""
    left = {
        each.name: max(0, getattr(whole, each.name) - getattr(part, each.name))
        for each in fields(Stats)
    }
    return Stats(**{**left, "peak_bytes": whole.peak_bytes})


def finite(numbers: dict[str, Any]) -> dict[str, Any]:
    """The numbers that JSON has words for."""
    return {name: each for name, each in numbers.items() if math.isfinite(each)}


def stages(stats: dict[str, Any]) -> dict[str, float]:
    """The seconds of tasks by what they were spent on."""
    found = {stage: stats[f"{stage}_seconds"] for stage in STAGES}
    return {**found, "other": max(0.0, stats["seconds"] - sum(found.values()))}


def share(run: dict[str, Any]) -> float:
    """The part of a run's work that is done."""
    if run["state"] in ("completed", "found"):
        return 1.0
    return min(1.0, run["done"] / run["work"]) if run["work"] else 0.0


def rate(run: dict[str, Any], now: float) -> float:
    """The work that a run does a second, since it began or, of an iteration, its step."""
    seconds = (run["ended"] or now) - run["since"]
    return max(0.0, run["done"] - run["stored"]) / seconds if seconds > 0 else 0.0


def machine_limit(run: dict[str, Any], cluster: dict[str, Any]) -> float:
    """The work a second that a run could do at best on the workers, as measured: by the rate of
    their matrix products, or of their memory where rows are read faster than that. 0: not known."""
    flops = size = 0.0
    for worker in cluster.values():
        found = worker.get("limits")
        if not found:
            return 0.0  # it has not told yet
        flops += found["flops"] * (1 if found["gpu"] else worker["threads"])
        size += found["bytes"] * worker["threads"]
    seconds = max(run["flops"] / flops, run["bytes_to_read"] / size) if flops and size else 0.0
    return run["work"] / seconds if seconds else 0.0


def left(run: dict[str, Any], now: float) -> float | None:
    """Seconds to the end of a run, or of the step it is in; None where that cannot be told."""
    each = rate(run, now)
    known = run["ended"] is None and each > 0
    return max(0.0, run["work"] - run["done"]) / each if known else None
