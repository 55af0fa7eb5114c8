"""How many threads the libraries under us may start.

A Dask worker process sets OMP_NUM_THREADS=1, so its libraries already keep to one thread. Threads
in this process have no such guard, and two tasks that each start a thread per core fight for the
caches.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread_each() -> Iterator[None]:
    """In this context BLAS and OpenMP pools of the process, torch's included, use one thread."""
    import torch

    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        try:
            torch.set_num_threads(1)
            yield
        finally:
            torch.set_num_threads(before)


def keep_to_one_thread() -> None:
    """OpenMP's limit is one for each thread, so every thread of a pool calls this itself."""
    import torch

    torch.set_num_threads(1)
