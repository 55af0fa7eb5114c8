"""What all plans do together: kept by the scheduler, or by this process where there is none.

Runs send snapshots of all that they have done. What is counted is how much more the last one says
than those before, so a snapshot that comes twice, late or not at all counts nothing wrong.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from typing import Any

from ..events import Stats
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
ENDED = ("completed", "stopped", "found", "lost")


@dataclass
class Cache:
    """What the store was good for, as far as plans told."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    bytes_found: int = 0
    bytes_evicted: int = 0
    seconds_saved: float = 0.0


@dataclass
class Kind:
    """What one operation did on one manifold."""

    stats: Stats = field(default_factory=Stats)
    hits: int = 0
    misses: int = 0
    failures: int = 0
    retries: int = 0


@dataclass
class Counted:
    """What is known of a result: what its tasks did before it was heard of, and what since."""

    base: Stats
    stats: Stats = field(default_factory=Stats)


class Book:
    """Takes snapshots, one at a time, in any order and from any thread."""

    def __init__(self, clock: Callable[[], float] = time.time):
        self._clock, self._lock = clock, Lock()
        self.began = clock()
        self.runs: dict[str, dict[str, Any]] = {}
        self.kinds: dict[tuple[str, str], Kind] = {}
        self.workers: dict[str, Stats] = {}
        self.cache = Cache()
        self.workers_lost = 0
        self.taken = 0
        """Snapshots."""
        self._results: dict[tuple[str, float], Counted] = {}
        self.history: deque[dict[str, Any]] = deque(maxlen=SECONDS)
        self._before: dict[str, Stats] = {}
        self._ticked = clock()

    def take(self, snapshot: dict[str, Any]) -> None:
        """Counts what is new in a snapshot."""
        with self._lock:
            before = self.runs.get(snapshot["run"])
            if before is not None and before["ended"] is not None:
                return
            self.taken += 1
            snapshot = {**snapshot, "heard": self._clock()}
            if snapshot["operation"]:
                self._count(snapshot, before)
            self.runs[snapshot["run"]] = snapshot
            self._forget()

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
        if snapshot["state"] == "completed":
            kind.misses, self.cache.misses = kind.misses + 1, self.cache.misses + 1
        kind.stats.add(self._more(snapshot))
        for name, each in snapshot["workers"].items():
            if name in self.workers or len(self.workers) < WORKERS:
                was = Stats(**known.get("workers", {}).get(name, {}))
                self.workers.setdefault(name, Stats()).add(less(Stats(**each), was))

    def _kind(self, operation: str, manifold: str) -> Kind:
        kind = operation, manifold
        if kind not in self.kinds and len(self.kinds) >= KINDS:
            kind = OTHER, OTHER
        return self.kinds.setdefault(kind, Kind())

    def _more(self, snapshot: dict[str, Any]) -> Stats:
        """What was done of a result since it was last told of, by this run or another."""
        which = snapshot["url"], snapshot["created"]
        counted = self._results.pop(which, None) or Counted(Stats(**snapshot["known"]))
        self._results[which] = counted  # now the last to be forgotten
        done = less(Stats(**snapshot["stats"]), counted.base)
        more = less(done, counted.stats)
        for part in fields(Stats):
            largest = max(getattr(done, part.name), getattr(counted.stats, part.name))
            setattr(counted.stats, part.name, largest)
        return more

    def _forget(self) -> None:
        now = self._clock()
        for run in self.runs.values():
            if run["ended"] is None and now - run["heard"] > SILENT_SECONDS:
                run.update(state="lost", ended=run["updated"])
        ended = [name for name, run in self.runs.items() if run["ended"] is not None]
        for name in ended[: max(0, len(self.runs) - RUNS)]:
            del self.runs[name]
        while len(self._results) > RESULTS:
            del self._results[next(iter(self._results))]

    def tick(self) -> None:
        """Notes what was done a second since the tick before; to be called about once a second."""
        with self._lock:
            self._forget()
            now = self._clock()
            seconds = max(1e-9, now - self._ticked)
            sums: dict[str, Stats] = {}
            for (operation, _), kind in self.kinds.items():
                sums.setdefault(operation, Stats()).add(kind.stats)
            rates = {}
            for operation, stats in sums.items():
                more = less(stats, self._before.get(operation, Stats()))
                some = {"rows": more.rows, "pairs": more.pairs, "bytes": more.bytes_read}
                if any(some.values()):
                    rates[operation] = {name: each / seconds for name, each in some.items()}
            self.history.append({"at": now, "rates": rates})
            self._before, self._ticked = sums, now

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
                "workers": {name: asdict(stats) for name, stats in self.workers.items()},
                "workers_lost": self.workers_lost,
                "cache": asdict(self.cache),
                "history": list(self.history),
            }
