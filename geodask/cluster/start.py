"""Clusters on this machine."""

from importlib.util import find_spec
from typing import Any

from distributed import Client, LocalCluster

from ..arrays.device import place
from ..engine.workers import Setup
from ..errors import DeviceError


def local(
    n_workers: int | None = None,
    threads_per_worker: int = 1,
    memory_limit: Any = "auto",
    **options: Any,
) -> LocalCluster:
    """Worker processes on this machine, with Dask's dashboard.

    A kernel keeps a core busy by itself, but what lies between kernels holds Python's lock, so
    processes of one thread each are as fast as threads or faster; and one that outgrows its memory
    is started anew with one task lost. Threads share what a process holds besides its data, some
    400 MB: raise them where memory is short.

    Parameters
    ----------
    n_workers : int, optional
        Processes; with ``threads_per_worker`` as many as there are cores where not given.
    threads_per_worker : int
        Tasks side by side in each.
    memory_limit : bytes, str or "auto"
        What each may take; "auto" shares out the machine's memory.
    options : optional
        Those of `distributed.LocalCluster`, such as ``dashboard_address``.
    """
    each = {"threads_per_worker": threads_per_worker, "memory_limit": memory_limit}
    return _set_up(LocalCluster(n_workers=n_workers, processes=True, **each, **options))


def gpu(**options: Any) -> Any:
    """A worker process with one thread for each GPU of this machine, by dask-cuda.

    Its workers see one GPU each, so ``geodask.device`` stays ``auto`` or ``cuda``.

    Parameters
    ----------
    options : optional
        Those of `dask_cuda.LocalCUDACluster`, such as ``CUDA_VISIBLE_DEVICES`` or
        ``rmm_pool_size``.

    Raises
    ------
    DeviceError
        Where dask-cuda or a GPU is missing.
    """
    if find_spec("dask_cuda") is None:
        raise DeviceError(
            "A cluster of GPUs is started by dask-cuda",
            came="it is not installed",
            do="Install geodask[dask-cuda], or call geodask.cluster.local() for one without GPUs.",
        )
    try:
        place("auto", "cuda")
    except DeviceError as error:
        raise DeviceError(
            "A cluster of GPUs needs at least one",
            came="none is visible here",
            do="Run where a GPU is, or call geodask.cluster.local().",
        ) from error
    from dask_cuda import LocalCUDACluster  # pyright: ignore[reportMissingImports]

    return _set_up(LocalCUDACluster(**{"threads_per_worker": 1, **options}))


def _set_up(cluster: Any) -> Any:
    with Client(cluster, set_as_default=False) as client:
        client.register_plugin(Setup())
    return cluster
