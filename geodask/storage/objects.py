"""Objects of a Zarr store by key: whole reads, whole writes, nothing in between."""

import errno
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

from ..errors import StoreError
from . import access

ATTEMPTS = 5


class Objects:
    """The objects under one root: a local folder, or memory that lives as long as this value."""

    def __init__(self, url: str, store: Any):
        self.url = url
        self.store = store

    def __reduce__(self) -> Any:
        if isinstance(self.store, MemoryStore):
            raise StoreError(
                "A memory store lives in one process, but it was about to be sent to another. "
                "Use a folder that every worker sees."
            )
        return open_objects, (self.url,)

    def get(self, key: str) -> np.ndarray | None:
        """The object's bytes (uint8), or None where there is none."""
        with _reporting(self.url, key):
            found = sync(self.store.get(key, default_buffer_prototype()))
        return None if found is None else found.as_numpy_array()

    def put(self, key: str, data: bytes | np.ndarray) -> None:
        """Writes the object in one step: a reader sees the old bytes or the new ones."""
        view: Any = np.frombuffer(data, np.uint8)
        with _reporting(self.url, key):
            for attempt in range(ATTEMPTS):
                try:
                    sync(self.store.set(key, cpu.Buffer.from_array_like(view)))
                    return
                except OSError as error:
                    # Another process is just removing the folder that this needs.
                    passing = error.errno in (errno.ENOENT, errno.EEXIST)
                    if not passing or attempt == ATTEMPTS - 1:
                        raise

    def delete(self, key: str) -> None:
        """Removes the object where it exists."""
        with _reporting(self.url, key):
            sync(self.store.delete(key))

    def delete_under(self, prefix: str) -> None:
        """Removes every object whose key begins with ``prefix/``, as far as nobody writes there."""
        with _reporting(self.url, prefix):
            for _ in range(ATTEMPTS):
                try:
                    sync(self.store.delete_dir(prefix.rstrip("/")))
                    return
                except OSError as error:
                    # Another process removes the same folder, or puts an object into it.
                    if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                        raise

    def keys(self, prefix: str) -> list[str]:
        """Keys of the objects under ``prefix/``, sorted."""

        async def listing() -> list[str]:
            return [key async for key in self.store.list_prefix(prefix)]

        with _reporting(self.url, prefix):
            return sorted(sync(listing()))

    def free_bytes(self) -> int:
        """Bytes free on the disk the root is on, or will be."""
        if isinstance(self.store, MemoryStore):
            return psutil.virtual_memory().available
        folder = Path(self.url)
        while not folder.exists():
            folder = folder.parent
        return psutil.disk_usage(str(folder)).free


def open_objects(url: str) -> Objects:
    """The objects under a local path or ``file://`` URL; kept open for the process."""
    return _opened(local_path(url))


def local_path(url: str | Path) -> Path:
    """The absolute path that a path or ``file://`` URL names. Raises StoreError for other URLs."""
    found = access.local_path(str(url))
    if found is None:
        raise StoreError(
            f"A store must be a local folder, but {str(url)!r} came. "
            "Buckets are not supported by this version: pass a path every worker sees."
        )
    return found


@lru_cache(maxsize=64)
def _opened(path: Path) -> Objects:
    return Objects(str(path), LocalStore(path))


def memory_objects() -> Objects:
    """Objects in this process's memory."""
    return Objects("memory:", MemoryStore())


class _reporting:
    """Turns errors of the storage into StoreError with what happened to which object."""

    def __init__(self, url: str, key: str):
        self.url, self.key = url, key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and not isinstance(error, StoreError):
            raise StoreError(
                f"The store must be readable and writable, but {self.key!r} under {self.url} "
                f"failed: {error}. What is stored already is kept; mend the cause and run again."
            ) from error
