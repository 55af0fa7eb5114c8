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
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

from distributed import KilledWorker

from ..arrays.threads import one_thread_each
from ..config import Settings
from ..errors import JobError, StoreError
from ..events import Watcher
from .executors import LOOK_SECONDS, ClusterLostError, WorkersDiedError, takable_bytes
from .remaining import TOPIC, Remaining
from .workers import Setup, Visit, meet, perform

LATE, LATE_SECONDS = 3.0, 5.0
"""A call is late after so many times the longest that has ended, and so many seconds at least."""
WAIT_SECONDS = 300
"""For so long the first worker of a cluster is waited for."""
TRIES = 3
"""On how many workers a late call may be under way at once."""
FETCH_SECONDS = 2.0
"""A result that takes longer to come is lost with its worker: others are fetched meanwhile."""
ANSWER_SECONDS = 60.0
"""A scheduler that does not answer for so long counts as lost."""
AGAIN = "What is finished is stored: run again, and only the rest is computed."


class Attempt(Future):
    """A call on one worker, or where it is late on several: the first result is the one."""

    def __init__(self, begin: Callable[[list[str] | None], Any]):
        super().__init__()
        self._begin, self.tries, self.seconds = begin, [], 0.0
        self.once_more(None)

    def once_more(self, workers: list[str] | None) -> None:
        """Begins a try, on one of these workers where they are there."""
        self.since = time.monotonic()
        future = self._begin(workers)
        self.tries.append(future)
        future.add_done_callback(self._settle)

    def cancel(self) -> bool:
        cancelled = super().cancel()
        self._give_up()
        return cancelled

    def _settle(self, ended: Any) -> None:
        # Dask calls back from one thread: two tries never settle at once, and none may take long.
        if not ended.done():  # its worker died just after it had ended, and the result with it
            ended.add_done_callback(self._settle)
            return
        if ended.status != "finished" and not all(each.done() for each in self.tries):
            return
        try:
            found, error = ended.result(timeout=FETCH_SECONDS), None
        except Exception as raised:
            if isinstance(raised, TimeoutError) and ended.status != "error":
                ended.add_done_callback(self._settle)
                return
            found, error = (0.0, None), in_words(raised, self)
        with suppress(InvalidStateError):  # cancelled meanwhile
            if error is not None:
                self.set_exception(error)
            elif not self.done():
                self.seconds = found[0]
                self.set_result(found[1])
        self._give_up()

    def _give_up(self) -> None:
        with suppress(Exception):  # of a client that is closed, or has lost its scheduler
            for each in self.tries:
                if not each.done():
                    each.cancel()


@contextmanager
def connected(client: Any, settings: Settings) -> Iterator["Dask"]:
    """The workers of a client, which may come and go."""
    engine = Dask(client, 1, settings.priority, settings.retries)
    engine.count_slots()
    try:
        yield engine
    finally:
        engine.leave()


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
        self._numbers, self._longest, self._looked = count(), 0.0, 0.0
        self._name, self._told = uuid4().hex, False

    def computing(self) -> AbstractContextManager[None]:
        with suppress(OSError):  # a worker just going; the scheduler knows it for those that join
            self.client.register_plugin(Setup())
        # Worker processes keep to their threads themselves; workers in this process do not.
        here = os.getpid() in self.everywhere(os.getpid)
        return one_thread_each() if here else nullcontext()

    def submit(self, name: str, function: Callable[..., Any], *args: Any) -> Future:
        attempt = Attempt(partial(self._begin, name, function, args))
        self._pending.add(attempt)
        attempt.add_done_callback(self._ended)
        return attempt

    def _ended(self, attempt: Any) -> None:
        self._pending.discard(attempt)
        self._longest = max(self._longest, attempt.seconds)

    def _begin(self, name: str, function: Any, args: Any, workers: list[str] | None) -> Any:
        where = {"workers": workers, "allow_other_workers": True} if workers else {}
        how = {"pure": False, "retries": self.retries, "priority": self.priority, **where}
        key = f"{name}-{next(self._numbers)}"
        return self.client.submit(perform, self.visit, function, *args, key=key, **how)

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
        message = {"client": self.client.id, "plan": self._name, **what}
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
                attempt.once_more(idle[:1])
                free[idle[0]] -= 1

    def _ask(self, what: str, **arguments: Any) -> Any:
        """An answer of the scheduler. Raises OSError, which TimeoutError is, where none comes."""
        if self.client.scheduler is None:
            raise OSError("The connection to the scheduler is lost.")
        ask = getattr(self.client.scheduler, what)
        return self.client.sync(ask, callback_timeout=ANSWER_SECONDS, **arguments)

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        found = self._said(function, *args)
        if not found:
            self._await_worker()
            found = self._said(function, *args)
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
        own = self.client.run(takable_bytes)
        return min(
            worker["memory_limit"] or own[address] // hosts[worker["host"]]
            for address, worker in workers.items()
            if address in own
        )

    def threads_each(self) -> int:
        return max(self.client.nthreads().values())


def in_words(error: BaseException, where: Any) -> BaseException:
    """What Dask says of a call that failed, as an error of ours where it is not the call's own."""
    if isinstance(error, KilledWorker):
        count, last = error.allowed_failures + 1, error.last_worker.address
        return WorkersDiedError(
            "A call must leave its worker alive",
            came=f"{error.task} ended {count}, the last at {last}",
            do=AGAIN,
        )
    if isinstance(error, CancelledError):
        return lost(error)
    said = str(error)
    if "geodask" in said and ("No module named" in said or "Can't get attribute" in said):
        return JobError(
            "geodask must be installed on every worker, in one version",
            came=f"the worker {where} said: {said}",
            do="Install it there.",
        )
    return error


def lost(why: Any) -> ClusterLostError:
    """The error of a run whose calls were cancelled, or whose scheduler is gone."""
    return ClusterLostError(
        "The cluster must finish what it was given", came=f"it said: {why}", do=AGAIN
    )
