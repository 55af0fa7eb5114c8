"""The workers of a Dask cluster: calls that outlive the worker they began on, and end in words.

Dask runs a call again where its worker was lost. What it leaves to us: a worker that is stopped but
not gone, or far slower than the others, gets company by another try elsewhere; a call that kills
its workers, and a scheduler that is lost or stays silent, become errors that say what is kept.
Calls may be tried twice because tasks write the same bytes twice.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

from distributed.protocol import pickle

from ..arrays.threads import one_thread_each
from ..config import Settings
from ..errors import JobError, StoreError
from ..events import Watcher
from .answers import listening
from .attempts import AGAIN, Attempt, in_words, lost
from .executors import LOOK_SECONDS, Calls, ClusterLostError
from .remaining import TOPIC, Remaining
from .workers import Setup, Visit, meet, own_room, perform

LATE, LATE_SECONDS = 3.0, 5.0
"""A call is late after so many times the longest that has ended, and so many seconds at least."""
WAIT_SECONDS = 300
"""For so long the first worker of a cluster is waited for."""
TRIES = 3
"""On how many workers a late call may be under way at once."""
ANSWER_SECONDS = 60.0
"""A scheduler that does not answer for so long counts as lost."""


@contextmanager
def connected(client: Any, settings: Settings) -> Iterator["Dask"]:
    """The workers of a client, which may come and go."""
    if client.asynchronous:
        raise JobError(
            "A plan runs with a client that waits for answers",
            came="an asynchronous one came",
            do="Run it in a thread: await asyncio.to_thread(plan.persist).",
        )
    engine = Dask(client, 1, settings.priority, settings.retries)
    try:
        engine.count_slots()
        with listening(client, engine.name, engine.hear):
            try:
                yield engine
            finally:
                engine.leave()
    except Exception as error:  # Dask has many for this
        if type(error).__module__.startswith("geodask.") or client.status == "running":
            raise
        raise lost(error) from error


@dataclass
class Dask:
    """A thin adapter over a Dask client."""

    client: Any
    slots: int
    priority: int = 0
    retries: int = 2
    remote: bool = True
    visit: Visit | None = None
    """What every worker answers before its first call."""

    def __post_init__(self) -> None:
        self._pending: set[Attempt] = set()
        self._by_key: dict[str, Attempt] = {}
        self._numbers, self._longest, self._looked = count(), 0.0, 0.0
        self._packed: tuple[tuple[Any, ...], bytes] = (), b""
        self.name, self._told = uuid4().hex, False

    def computing(self) -> AbstractContextManager[None]:
        with suppress(OSError):  # a worker just going; the scheduler knows it for those that join
            self.client.register_plugin(Setup())
        # Worker processes keep to their threads themselves; workers in this process do not.
        here = os.getpid() in self.everywhere(os.getpid)
        return one_thread_each() if here else nullcontext()

    def submit(
        self, function: Callable[..., Any], shared: tuple[Any, ...], calls: Calls
    ) -> list[Future]:
        packed, attempts = self._pack(function, shared), []
        for name, own in calls.items():
            attempt = Attempt(name, (packed, pickle.dumps(own)))
            self._pending.add(attempt)
            attempt.add_done_callback(self._count_out)
            attempts.append(attempt)
        if attempts:
            self._begin(attempts, None)
        return attempts

    def _pack(self, function: Callable[..., Any], shared: tuple[Any, ...]) -> bytes:
        """What calls share, for workers; the last is kept, for as a rule it is the next."""
        last, packed = self._packed
        what = self.visit, function, *shared
        if len(what) != len(last) or any(a is not b for a, b in zip(what, last, strict=True)):
            packed = pickle.dumps((self.name, self.visit, function, shared))
            self._packed = what, packed
        return packed

    def _count_out(self, attempt: Any) -> None:
        self._pending.discard(attempt)
        for each in attempt.tries:
            self._by_key.pop(each.key, None)
        self._longest = max(self._longest, attempt.seconds)

    def _begin(self, attempts: list[Attempt], workers: list[str] | None) -> None:
        """Begins a try of each, on one of these workers where they are there: all in one graph,
        which costs the scheduler little more than one of a single call."""
        where = {"workers": workers, "allow_other_workers": True} if workers else {}
        how = {"pure": False, "retries": self.retries, "priority": self.priority, **where}
        keys = [f"{each.name}-{next(self._numbers)}" for each in attempts]
        self._by_key.update(zip(keys, attempts, strict=True))
        packed, own = zip(*(each.call for each in attempts), strict=True)
        futures = self.client.map(perform, packed, own, key=keys, **how)
        for attempt, future in zip(attempts, futures, strict=True):
            attempt.begun(future)

    def hear(self, key: str, answer: tuple[float, Any]) -> None:
        """Takes what a call has returned."""
        attempt = self._by_key.pop(key, None)
        if attempt is not None:
            attempt.answer(*answer)

    def look_after(self) -> None:
        """Counts the workers, and gives late calls company on those that have nothing to do."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            threads = self.count_slots()
            after = max(LATE_SECONDS, LATE * self._longest)
            late = [each for each in list(self._pending) if time.monotonic() - each.since > after]
            if self._longest and late:
                self._give_company(late, threads, self._ask("processing"))
        except TimeoutError as error:
            raise ClusterLostError(
                "The scheduler must answer",
                came=f"{self.client.scheduler.address} was silent for {ANSWER_SECONDS:.0f} seconds",
                do=AGAIN,
            ) from error
        except OSError:
            # The client notices as well, and cancels what is under way; unless it is closed.
            if self.client.status == "closed":
                raise lost(self.client.status) from None

    def count_slots(self) -> dict[str, int]:
        """Counts what runs side by side on the workers there are now: the threads of each."""
        threads = self._ask("ncores")
        self.slots = max(1, sum(threads.values()))
        return threads

    def watching(self, watch: Watcher) -> Watcher:
        return Remaining(self.tell, watch)

    def tell(self, seconds: float, each: float) -> None:
        """Tells the scheduler how many seconds of work are left, and what a task takes of them."""
        self._told = True
        self._log({"seconds": seconds, "each": each})

    def leave(self) -> None:
        """Tells it that none are."""
        if self._told:
            self._log({"ended": True})

    def _log(self, what: dict[str, Any]) -> None:
        message = {"client": self.client.id, "plan": self.name, **what}
        with suppress(OSError):  # `look_after` sees to a connection that is lost
            self._ask("log_event", topic=TOPIC, msg=message)

    def _give_company(
        self, late: list[Attempt], threads: dict[str, int], processing: dict[str, list[str]]
    ) -> None:
        free = {
            worker: count - len(processing.get(worker, ())) for worker, count in threads.items()
        }
        at = {key: worker for worker, keys in processing.items() for key in keys}
        for attempt in late:
            places = {at.get(each.key) for each in attempt.tries}
            idle = [worker for worker, count in free.items() if count > 0 and worker not in places]
            # One that is at no worker waits for its turn, or has ended just now.
            if idle and None not in places and len(places) < TRIES:
                self._begin([attempt], idle[:1])
                free[idle[0]] -= 1

    def _ask(self, what: str, **arguments: Any) -> Any:
        """An answer of the scheduler. Raises OSError, which TimeoutError is, where none comes."""
        if self.client.scheduler is None:
            raise OSError("The connection to the scheduler is lost.")
        ask = getattr(self.client.scheduler, what)
        return self.client.sync(ask, callback_timeout=ANSWER_SECONDS, **arguments)

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        while not (found := self._said(function, *args)):
            self._await_worker()
        return found

    def _said(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        found = []
        for address, answer in self.client.run(function, *args, on_error="return").items():
            if isinstance(answer, OSError) and not isinstance(answer, StoreError):
                continue  # it is gone, or just going
            if isinstance(answer, Exception):
                answer.add_note(f"Said by the worker {address}.")
                raise in_words(answer, address)
            found.append(answer)
        return found

    def _await_worker(self) -> None:
        self.tell(0.0, 0.0)  # a cluster that adapts starts one
        try:
            self.client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError as error:
            raise JobError(
                "A run on a cluster needs workers",
                came=f"none came in {WAIT_SECONDS} seconds",
                do="Start some, and run again.",
            ) from error
        self.count_slots()

    def prepare(self, visit: Visit) -> None:
        self._said(meet, visit)
        self.visit = visit

    def memory_limit(self) -> int:
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        hosts = Counter(worker["host"] for worker in workers.values())
        none: dict[str, Any] = {"memory_limit": 0, "host": None}
        found = [(workers.get(address, none), room) for address, room in self.everywhere(own_room)]
        return min(
            each["memory_limit"] or room // max(1, hosts[each["host"]]) for each, room in found
        )

    def threads_each(self) -> int:
        return max(self.count_slots().values(), default=1)
