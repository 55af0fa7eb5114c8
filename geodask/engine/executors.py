"""Threads of this process or the workers of a Dask cluster, both as submit and a callback."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Protocol
from uuid import uuid4

import psutil

from ..arrays.threads import one_thread_each
from ..config import Settings
from ..errors import JobError
from ..events import Watcher
from ..storage.objects import Objects

WINDOW = 4
"""Tasks submitted for each that can run."""
LOOK_SECONDS = 1.0
"""How often what is under way is looked after."""


Calls = Mapping[str, tuple[Any, ...]]
"""Names of calls, and the arguments that each has for itself."""


class WorkersDiedError(JobError):
    """A call failed because every worker that ran it died."""


class ClusterLostError(JobError):
    """The scheduler is gone or silent, or calls were cancelled."""


class Executor(Protocol):
    """What the driver needs of an engine."""

    slots: int
    """Tasks that run side by side."""
    remote: bool
    """Whether tasks run in other processes, which see only what is stored."""

    def computing(self) -> AbstractContextManager[None]:
        """The context in which tasks run: no library starts threads of its own beside them."""
        ...

    def submit(
        self, function: Callable[..., Any], shared: tuple[Any, ...], calls: Calls
    ) -> list[Any]:
        """Futures of ``function(*shared, *own)``: with ``add_done_callback``, ``result`` and
        ``cancel``. What calls share is packed once, whatever their number."""
        ...

    def look_after(self) -> None:
        """Called often while calls are under way. Raises JobError where none can end any more."""
        ...

    def watching(self, watch: Watcher) -> Watcher:
        """The watcher, and what the engine itself wants to know of a plan."""
        ...

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Calls the function once in each process, and gathers what it returns."""
        ...

    def prepare(self, visit: Any) -> None:
        """Asks every process of a remote engine (`workers.Visit`); raises where one is not fit."""
        ...

    def memory_limit(self) -> int:
        """Bytes one process may take."""
        ...

    def threads_each(self) -> int:
        """Tasks side by side in one process."""
        ...


@dataclass
class Threads:
    """A pool of threads of this process."""

    pool: ThreadPoolExecutor
    slots: int
    remote: bool = False

    def computing(self) -> AbstractContextManager[None]:
        return one_thread_each()

    def submit(
        self, function: Callable[..., Any], shared: tuple[Any, ...], calls: Calls
    ) -> list[Any]:
        return [self.pool.submit(function, *shared, *own) for own in calls.values()]

    def look_after(self) -> None:
        """Threads of this process end what they begin."""

    def watching(self, watch: Watcher) -> Watcher:
        return watch

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return [function(*args)]

    def prepare(self, visit: Any) -> None:
        """This process is as it is."""

    def memory_limit(self) -> int:
        return takable_bytes()

    def threads_each(self) -> int:
        return self.slots


@contextmanager
def executor(settings: Settings) -> Iterator[Executor]:
    """The cluster of the current Dask client where there is one, else threads of this process."""
    client = current_client()
    if client is not None:
        from .remote import connected

        with connected(client, settings) as engine:
            yield engine
        return
    with ThreadPoolExecutor(settings.threads, "geodask") as pool:
        yield Threads(pool, settings.threads)


def bounded(
    engine: Executor, name: str, function: Callable[..., Any], calls: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """What the calls return, as they finish; some four for each that can run are under way."""
    finished: SimpleQueue[Any] = SimpleQueue()
    todo, running, run = enumerate(calls), set(), uuid4().hex[:8]
    try:
        while True:
            some = islice(todo, WINDOW * engine.slots - len(running))
            named = {f"{name}-{number}-{run}": arguments for number, arguments in some}
            for future in engine.submit(function, (), named):
                running.add(future)
                future.add_done_callback(finished.put)
            if not running:
                return
            engine.look_after()
            for future in taken(finished):
                running.remove(future)
                yield future.result()
    finally:
        for future in running:
            future.cancel()


def taken(finished: SimpleQueue[Any]) -> list[Any]:
    """What has ended, once something has; nothing where that takes too long."""
    found = []
    with suppress(Empty):
        found.append(finished.get(timeout=LOOK_SECONDS))
        while True:
            found.append(finished.get_nowait())
    return found


def takable_bytes() -> int:
    """What this process has and what its machine has left."""
    return psutil.Process().memory_info().rss + psutil.virtual_memory().available


def current_client() -> Any:
    """The Dask client of this context, or None; distributed is not imported for the question."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def tell_workers(access: Iterable[str]) -> None:
    """Lets the workers of the current client's cluster know what opens a source's buckets."""
    names, client = frozenset(access), current_client()
    if names and client is not None:
        from .sharing import share

        share(client, names)


@contextmanager
def visible(engine: Executor, objects: Objects) -> Iterator[None]:
    """Holds every worker to see what is written to the store here, and to run what runs here.

    Raises StoreError or JobError where one does not. One that joins meanwhile is asked before its
    first task.
    """
    if not engine.remote:
        yield
        return
    from .workers import Visit, versions

    tell_workers(objects.access)
    visit = Visit(f"visible-{uuid4().hex}", objects, versions())
    objects.put(visit.key, visit.key.encode())
    try:
        engine.prepare(visit)
        yield
    finally:
        objects.delete(visit.key)
