"""Threads of this process or the workers of a Dask cluster, both as submit and a callback."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol
from uuid import uuid4

import psutil

from ..arrays.threads import one_thread_each
from ..config import Settings
from ..errors import StoreError
from ..storage.objects import Objects

WINDOW = 4
"""Tasks submitted for each that can run."""


class Executor(Protocol):
    """What the driver needs of an engine."""

    slots: int
    """Tasks that run side by side."""
    remote: bool
    """Whether tasks run in other processes, which see only what is stored."""

    def computing(self) -> AbstractContextManager[None]:
        """The context in which tasks run: no library starts threads of its own beside them."""
        ...

    def submit(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        """A future with ``add_done_callback``, ``result`` and ``cancel``."""
        ...

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Calls the function once in each process, and gathers what it returns."""
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

    def submit(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        return self.pool.submit(function, *args)

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return [function(*args)]

    def memory_limit(self) -> int:
        return _takable_bytes()

    def threads_each(self) -> int:
        return self.slots


@dataclass
class Dask:
    """A thin adapter over a Dask client."""

    client: Any
    slots: int
    priority: int = 0
    retries: int = 2
    remote: bool = True

    def computing(self) -> AbstractContextManager[None]:
        # Worker processes keep to their threads themselves; workers in this process do not.
        here = os.getpid() in self.everywhere(os.getpid)
        return one_thread_each() if here else nullcontext()

    def submit(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        how = {"pure": False, "retries": self.retries, "priority": self.priority}
        return self.client.submit(function, *args, key=name, **how)

    def everywhere(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return list(self.client.run(function, *args).values())

    def memory_limit(self) -> int:
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        hosts = Counter(worker["host"] for worker in workers.values())
        own = self.client.run(_takable_bytes)
        return min(
            worker["memory_limit"] or own[address] // hosts[worker["host"]]
            for address, worker in workers.items()
            if address in own
        )

    def threads_each(self) -> int:
        return max(self.client.nthreads().values())


@contextmanager
def executor(settings: Settings) -> Iterator[Executor]:
    """The cluster of the current Dask client where there is one, else threads of this process."""
    client = current_client()
    if client is not None:
        slots = sum(client.nthreads().values())
        if slots == 0:
            client.wait_for_workers(1, timeout=60)
            slots = sum(client.nthreads().values())
        yield Dask(client, slots, settings.priority, settings.retries)
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
            for number, arguments in islice(todo, WINDOW * engine.slots - len(running)):
                future = engine.submit(f"{name}-{number}-{run}", function, *arguments)
                running.add(future)
                future.add_done_callback(finished.put)
            if not running:
                return
            future = finished.get()
            running.remove(future)
            yield future.result()
    finally:
        for future in running:
            future.cancel()


def _takable_bytes() -> int:
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


def check_visible(engine: Executor, objects: Objects) -> None:
    """Raises StoreError where a worker does not see what is written to the store here."""
    if not engine.remote:
        return
    tell_workers(objects.access)
    key = f"visible-{uuid4().hex}"
    objects.put(key, key.encode())
    try:
        seen = engine.everywhere(_sees, objects, key)
    finally:
        objects.delete(key)
    if not all(seen):
        raise StoreError(
            f"The store {objects.url} must be visible to every worker",
            came=f"{seen.count(False)} of {len(seen)} workers do not see it",
            do="Set geodask.store to a folder that all of them share, or to a bucket.",
        )


def _sees(objects: Objects, key: str) -> bool:
    try:
        found = objects.get(key)
    except StoreError:
        return False
    return found is not None and bytes(found) == key.encode()
