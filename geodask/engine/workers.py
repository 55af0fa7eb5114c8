"""What a worker has to be and to see, and what it does when it joins."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib.metadata import version
from threading import Lock
from typing import Any

from distributed import WorkerPlugin
from distributed.metrics import context_meter
from distributed.protocol import pickle

from .. import __version__
from ..arrays.threads import keep_freed_blocks
from ..errors import JobError, StoreError
from ..events import Stats
from ..storage.objects import Objects
from .answers import tell
from .executors import takable_bytes
from .tasks import Done, here, loaded_bytes

_LOCK = Lock()


@dataclass(frozen=True)
class Visit:
    """A run's question to every worker: does it see this object, and does it run these versions?"""

    key: str
    objects: Objects = field(compare=False)
    versions: str = field(compare=False)


@cache
def versions() -> str:
    """What has to be the same in every process for the same bytes, in words."""
    majors = {name: version(name).partition(".")[0] for name in ("numpy", "numba", "zarr")}
    return ", ".join(f"{name} {each}" for name, each in {"geodask": __version__, **majors}.items())


@lru_cache(maxsize=64)
def meet(visit: Visit) -> None:
    """On a worker: raises JobError or StoreError, naming it, where it is not fit for the run."""
    _check_versions(visit.versions)
    try:
        found = visit.objects.get(visit.key)
    except StoreError:
        found = None
    if found is None or bytes(found) != visit.key.encode():
        raise StoreError(
            f"The store {visit.objects.url} must be visible to every worker",
            came=f"the worker in {here()} does not see it",
            do="Set geodask.store to a folder that all of them share, or to a bucket.",
        )


def _check_versions(wanted: str) -> None:
    if versions() != wanted:
        raise JobError(
            f"Every worker must run {wanted}",
            came=f"the worker in {here()} runs {versions()}",
            do="Install the same versions there.",
        )


@lru_cache(maxsize=8)
def _unpacked(packed: bytes) -> tuple[str, Visit | None, Callable[..., Any], tuple[Any, ...]]:
    return pickle.loads(packed)


def perform(packed: bytes, own: bytes) -> tuple[float, Any]:
    """On a worker: the seconds that a call took, and what it returned.

    Calls share who listens, a visit, the function and its first arguments: unpacked once.
    """
    listener, visit, function, shared = _unpacked(packed)
    if visit is not None:
        meet(visit)
    begin = time.perf_counter()
    found = function(*shared, *pickle.loads(own))
    if isinstance(found, Done):
        meter(found.stats)
    answer = time.perf_counter() - begin, found
    tell(listener, answer)
    return answer


@cache
def _done() -> Stats:
    return Stats()


def done_here() -> Stats:
    """What all tasks did in this process, those among them that were done elsewhere as well."""
    with _LOCK:
        return replace(_done())


def meter(stats: Stats) -> None:
    """Adds what a task did to that, and to Dask's fine performance metrics, for its own pages."""
    with _LOCK:
        _done().add(stats)
    for stage, seconds in stats.stages.items():
        context_meter.digest_metric(f"gd-{stage}", seconds, "seconds")
    for name, unit in {"rows": "rows", "pairs": "pairs", "bytes_read": "bytes"}.items():
        context_meter.digest_metric(f"gd-{name}", getattr(stats, name), unit)


def own_room(dask_worker: Any) -> tuple[str, int]:
    """On a worker: its address, and the bytes that it could take if it were alone."""
    return dask_worker.address, takable_bytes()


class Setup(WorkerPlugin):
    """What a worker does at once, or when it joins later, so that its first task is no slower."""

    idempotent = True

    def __init__(self) -> None:
        self.versions = versions()
        self.name = f"geodask-setup {self.versions}"

    async def setup(self, worker: Any) -> None:
        keep_freed_blocks()
        _check_versions(self.versions)
        await asyncio.to_thread(loaded_bytes)  # loads the libraries of the kernels
