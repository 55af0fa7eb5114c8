"""What all plans do together: kept by the scheduler, or by this process where there is none.

Runs send numbered snapshots of all that they have done. What is counted is how much more one says
than those before, so one that comes twice, late or not at all counts nothing wrong.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from typing import Any

from ..events import Stats
from ..storage.usage import Totals
from .account import less

RUNS = 50
"""Runs that are kept: those that ended first go first."""
RESULTS = 1000
"""Results whose counts are known, and with them what a resumed run has counted already."""
KINDS = 200
"""Pairs of an operation and a manifold that are told apart."""
WORKERS = 2000
SECONDS = 900
"""Seconds of history."""
SILENT_SECONDS = 60.0
"""A run that says nothing for so long is lost, with whoever ran it."""
OTHER = "other"
TOLD = ("completed", "stopped", "found")
"""How runs end that tell their end: there is no more to come."""
SKEW_SECONDS = 2.0
"""By so much the clock of a run may differ from this one; otherwise its times are moved."""


EARLY = 1000
"""Tasks that were given out again, of plans that are not told of yet."""


@dataclass
class Kind:
    """What one operation did on one manifold."""

    stats: Stats = field(default_factory=Stats)
    hits: int = 0
    misses: int = 0
    failures: int = 0
    retries: int = 0
    reruns: int = 0


@dataclass
class Counted:
    """What is known of a result: what its tasks did before it was heard of, and what since."""

    base: Stats
    stats: Stats = field(default_factory=Stats)
    missed: bool = False
    """Whether that it was computed is counted."""


class Book:
    """Takes snapshots, in any order and from any thread."""

    def __init__(self, clock: Callable[[], float] = time.time):
        self._clock, self._lock = clock, Lock()
        self.began = clock()
        self.runs: dict[str, dict[str, Any]] = {}
        self.kinds: dict[tuple[str, str], Kind] = {}
        self.workers: dict[str, Stats] = {}
        self.cache = Totals()
        self.workers_lost = 0
        self._results: dict[tuple[str, float], Counted] = {}
        self.history: deque[dict[str, Any]] = deque(maxlen=SECONDS)
        self._before: dict[str, Stats] = {}
        self._early: deque[str] = deque(maxlen=EARLY)
        self._worked_before: dict[str, float] = {}
        self._ticked = clock()

    def take(self, snapshot: dict[str, Any]) -> None:
        """Counts what is new in a snapshot."""
        with self._lock:
            before = self.runs.get(snapshot["run"])
            if before is not None and (
                before["serial"] >= snapshot["serial"] or before["state"] in TOLD
            ):
                return
            if snapshot["operation"]:
                self._count(snapshot, before)
            if before is None:
                self._replace(snapshot)
            known = before["workers"] if before is not None else {}
            workers = {**known, **snapshot["workers"]}
            heard = self._clock()
            self.runs[snapshot["run"]] = {**_moved(snapshot, heard), "workers": workers}
            if before is None and snapshot["ended"] is None:
                run = self.runs[snapshot["run"]]
                early = [task for task in self._early if not self._counts(task, run)]
                self._early = deque(early, maxlen=EARLY)
            self._forget()

    def note_rerun(self, task: str) -> None:
        """Counts a task that the cluster gives out again, by its name, which a plan's begins."""
        with self._lock:
            if not any(self._counts(task, run) for run in self.running):
                self._early.append(task)  # its plan may be told of in a moment

    def _counts(self, task: str, run: dict[str, Any]) -> bool:
        """Counts a task that is given out again where it is of a run; whether it is."""
        mine = bool(run["name"]) and task.startswith(f"{run['name']}-")
        if mine:
            self._kind(run["operation"], run["manifold"]).reruns += 1
        return mine

    def _replace(self, snapshot: dict[str, Any]) -> None:
        """A job has one driver: the one before was lost, and this one goes on."""
        for run in self.runs.values():
            another = run["job"] == snapshot["job"] and run["teller"] != snapshot["teller"]
            if snapshot["job"] and another and run["ended"] is None:
                run.update(state="replaced", ended=run["updated"])

    def _count(self, snapshot: dict[str, Any], before: dict[str, Any] | None) -> None:
        kind = self._kind(snapshot["operation"], snapshot["manifold"])
        known = before or {}
        kind.failures += snapshot["failures"] - known.get("failures", 0)
        kind.retries += snapshot["retries"] - known.get("retries", 0)
        self.cache.evictions += snapshot["evictions"] - known.get("evictions", 0)
        self.cache.bytes_evicted += snapshot["bytes_evicted"] - known.get("bytes_evicted", 0)
        if snapshot["state"] == "found":
            kind.hits, self.cache.hits = kind.hits + 1, self.cache.hits + 1
            self.cache.bytes_found += snapshot["size"]
            self.cache.seconds_saved += snapshot["saved"]
            return
        counted = self._counted(snapshot)
        kind.stats.add(_more(counted, snapshot))
        # What is no plan has no result, and nobody asks the store for one.
        if snapshot["report"] and snapshot["state"] == "completed" and not counted.missed:
            counted.missed = True
            kind.misses, self.cache.misses = kind.misses + 1, self.cache.misses + 1
        for name, each in snapshot["workers"].items():
            was = Stats(**known.get("workers", {}).get(name, {}))
            worker = self.workers.pop(name, None) or Stats()
            worker.add(less(Stats(**each), was))
            self.workers[name] = worker  # now the last to be forgotten

    def _kind(self, operation: str, manifold: str) -> Kind:
        kind = operation, manifold
        if kind not in self.kinds and len(self.kinds) >= KINDS:
            kind = OTHER, OTHER
        return self.kinds.setdefault(kind, Kind())

    def _counted(self, snapshot: dict[str, Any]) -> Counted:
        """What is known of the result of a run."""
        which = snapshot["url"], snapshot["created"]
        counted = self._results.pop(which, None) or Counted(Stats(**snapshot["known"]))
        self._results[which] = counted  # now the last to be forgotten
        return counted

    def _forget(self) -> None:
        now = self._clock()
        for run in self.runs.values():
            if run["ended"] is None and now - run["heard"] > SILENT_SECONDS:
                run.update(state="lost", ended=run["updated"])
        ended = [name for name, run in self.runs.items() if run["ended"] is not None]
        for name in ended[: max(0, len(self.runs) - RUNS)]:
            del self.runs[name]
        shorten(self._results, RESULTS)
        shorten(self.workers, WORKERS)

    def tick(self, at_least: float = 0.0) -> None:
        """Notes what was done a second since the tick before; to be called about once a second.

        Does nothing where that was less than some seconds ago.
        """
        with self._lock:
            now = self._clock()
            seconds = max(1e-9, now - self._ticked)
            if seconds < at_least:
                return
            self._forget()
            sums: dict[str, Stats] = {}
            for (operation, _), kind in self.kinds.items():
                sums.setdefault(operation, Stats()).add(kind.stats)
            rates = {}
            worked = self._worked()
            for operation, stats in sums.items():
                more = less(stats, self._before.get(operation, Stats()))
                some = {
                    "rows": more.rows,
                    "pairs": more.pairs,
                    "bytes": more.bytes_read,
                    "work": worked.get(operation, 0.0),
                }
                if any(some.values()):
                    rates[operation] = {name: each / seconds for name, each in some.items()}
            self.history.append({"at": now, "rates": rates})
            self._before, self._ticked = sums, now

    def _worked(self) -> dict[str, float]:
        """The work that each operation did since the tick before, in its own measure.

        Processes that share a plan see the same work done: it counts once.
        """
        most: dict[tuple[str, str, float], float] = {}
        for name, run in self.runs.items():
            which = run["operation"], run["url"], run["created"]
            # What was done before this book was begun, or in the second before, is no rate.
            first = run["worked"] if run["began"] < self.began else 0.0
            more = run["worked"] - self._worked_before.get(name, first)
            most[which] = max(more, most.get(which, 0.0))
        self._worked_before = {name: run["worked"] for name, run in self.runs.items()}
        worked: dict[str, float] = {}
        for (operation, *_), more in most.items():
            worked[operation] = worked.get(operation, 0.0) + more
        return worked

    @property
    def running(self) -> list[dict[str, Any]]:
        """The runs that have not ended."""
        return [run for run in self.runs.values() if run["ended"] is None]

    def view(self) -> dict[str, Any]:
        """All of it as JSON, the latest run first."""
        with self._lock:
            runs = sorted(self.runs.values(), key=lambda run: run["began"], reverse=True)
            return {
                "began": self.began,
                "now": self._clock(),
                "runs": runs,
                "operations": [
                    {"operation": operation, "manifold": manifold, **asdict(kind)}
                    for (operation, manifold), kind in self.kinds.items()
                ],
                "workers": {name: dict(vars(stats)) for name, stats in self.workers.items()},
                "workers_lost": self.workers_lost,
                "cache": asdict(self.cache),
                "history": list(self.history),
            }


def shorten(known: dict[Any, Any], most: int) -> None:
    """Forgets what was put in first."""
    while len(known) > most:
        del known[next(iter(known))]


def _more(counted: Counted, snapshot: dict[str, Any]) -> Stats:
    """What was done of a result since it was last told of, by this run or another."""
    done = less(Stats(**snapshot["stats"]), counted.base)
    more = less(done, counted.stats)
    for part in fields(Stats):
        largest = max(getattr(done, part.name), getattr(counted.stats, part.name))
        setattr(counted.stats, part.name, largest)
    return more


def _moved(snapshot: dict[str, Any], heard: float) -> dict[str, Any]:
    """The snapshot with its times on this clock."""
    skew = heard - snapshot["updated"]
    skew = skew if abs(skew) > SKEW_SECONDS else 0.0
    times = {
        name: snapshot[name] + skew
        for name in ("began", "since", "ended", "updated")
        if snapshot[name] is not None
    }
    return {**snapshot, **times, "heard": heard}
