"""What a process that runs tasks has to set: threads of the libraries, and reuse of memory.

A Dask worker process sets OMP_NUM_THREADS=1, so its libraries already keep to one thread. Threads
in this process have no such guard, and two tasks that each start a thread per core fight for the
caches.
"""

import ctypes
import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import Context, copy_context
from functools import cache, wraps
from threading import Lock, current_thread, main_thread
from typing import Any

from threadpoolctl import ThreadpoolController, threadpool_limits

from .namespace import host_views, namespace

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, from glibc's malloc.h."""


_inside = 0
_lock = Lock()
_before = 1


@contextmanager
def one_thread_each() -> Iterator[None]:
    """In this context BLAS and OpenMP pools of the process, torch's included, use one thread.

    Two plans may run at once: the last to leave gives torch back its threads.
    """
    global _inside, _before
    import torch

    with threadpool_limits(limits=1):
        with _lock:
            if _inside == 0:
                _before = torch.get_num_threads()
            _inside += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if _inside == 0:
                    torch.set_num_threads(_before)


@cache
def _pools() -> ThreadpoolController:
    """The thread pools of the libraries that are loaded; to find them takes a millisecond."""
    return ThreadpoolController()


SHARE = 1 << 20
"""Coordinates that are worth a thread of their own."""


def over_rows(
    function: Callable[[int, int], None], rows: int, size: int, blas: bool = False
) -> None:
    """Calls ``function(start, stop)`` for slices of rows of ``size`` coordinates, on all cores.

    Only from the main thread: a caller that is one of several has its share of the cores already.
    ``blas``: whether the function multiplies matrices, for which BLAS would take threads as well.
    """
    worth = min(rows, rows * size // SHARE)
    alone = worth <= 1 or _inside or current_thread() is not main_thread()
    count = 1 if alone else min(len(os.sched_getaffinity(0)), worth)
    if count == 1:
        function(0, rows)
        return
    step = -(-rows // count)
    starts = range(0, rows, step)
    contexts = [copy_context() for _ in starts]  # numpy's errstate is in it

    def part(low: int, context: Context) -> None:
        context.run(function, low, min(low + step, rows))

    single = _pools().limit(limits=1, user_api="blas") if blas else nullcontext()
    with ThreadPoolExecutor(count) as pool, single:
        list(pool.map(part, starts, contexts))


SLICE = 1 << 18
"""Coordinates that are worked on at once: a few such arrays fit in the caches of a core."""


def in_slices(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of points that takes many of them on the host a slice after the other, on all cores:
    what it makes on its way stays in the caches.

    Rows must not depend on each other. Arguments are as long as the result, or a single point.
    """

    @wraps(method)
    def sliced(self: Any, *given: Any) -> Any:
        many = [math.prod(x.shape) > self.size for x in given]
        shapes = {tuple(x.shape) for x, long in zip(given, many, strict=True) if long}
        if len(shapes) != 1 or host_views(*given) is None:
            return method(self, *given)
        rows, *rest = shapes.pop()
        step = max(1, SLICE // math.prod(rest))
        if rows <= step:
            return method(self, *given)
        parts: dict[int, Any] = {}

        def part(start: int, stop: int) -> None:
            for low in range(start, stop, step):
                here = slice(low, min(low + step, stop))
                some = (x[here] if long else x for x, long in zip(given, many, strict=True))
                parts[low] = method(self, *some)

        over_rows(part, rows, SHARE // step, blas=True)
        return namespace(*given).concat([parts[low] for low in sorted(parts)])

    return sliced


def keep_to_one_thread() -> None:
    """OpenMP's limit is one for each thread, so every thread of a pool calls this itself."""
    import torch

    torch.set_num_threads(1)


@cache
def keep_freed_blocks() -> None:
    """Lets this process keep blocks of some MiB that it frees, for the next slice.

    Dask's nanny sets MALLOC_TRIM_THRESHOLD_, which also fixes glibc's threshold for mapping blocks
    at 128 KiB: every tile and slice is then mapped and faulted in anew, a sixth of the time of a
    task. This puts back the limits that glibc comes to by itself where nothing is set.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 32 << 20)
