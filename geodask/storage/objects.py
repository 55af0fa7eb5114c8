"""Objects of a Zarr store by key: whole reads, whole writes, nothing in between."""

import errno
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import psutil
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

from ..config import Settings
from ..errors import StoreError
from . import access

ATTEMPTS = 5
PARTIAL = ".partial"
"""How keys end that Zarr is writing in a folder: until they are whole, or for good if it was cut
short."""


class Objects:
    """The objects under one root: a local folder, or memory that lives as long as this value.

    Sent to another process it is its URL and the name of the options that open it.
    """

    def __init__(self, url: str, store: Any, options: str = ""):
        self.url = url
        self.store = store
        self.options = options

    def __reduce__(self) -> Any:
        if isinstance(self.store, MemoryStore):
            raise StoreError(
                "A memory store lives in one process, but it was about to be sent to another. "
                "Use a folder that every worker sees."
            )
        return _opened, (self.url, self.options)

    @property
    def access(self) -> frozenset[str]:
        """Names of the options that a process must know to open them."""
        return frozenset([self.options] if self.options else [])

    def get(self, key: str) -> np.ndarray | None:
        """The object's bytes (uint8), or None where there is none."""
        with reporting(self.url, key):
            if isinstance(self.store, LocalStore):  # a tenth of the time of zarr's own
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    return np.frombuffer((self.store.root / key).read_bytes(), np.uint8)
                return None
            found = sync(self.store.get(key, default_buffer_prototype()))
        return None if found is None else found.as_numpy_array()

    def put(self, key: str, data: bytes | np.ndarray) -> None:
        """Writes the object in one step: a reader sees the old bytes or the new ones."""
        view: Any = np.frombuffer(data, np.uint8)
        with reporting(self.url, key):
            for attempt in range(ATTEMPTS):
                try:
                    sync(self.store.set(key, cpu.Buffer.from_array_like(view)))
                    return
                except OSError as error:
                    # Another process is just removing the folder that this needs.
                    passing = error.errno in (errno.ENOENT, errno.EEXIST)
                    if not passing or attempt == ATTEMPTS - 1:
                        raise

    def move(self, prefix: str, to: str) -> bool:
        """Puts what is under one prefix under another; False where something lies there.

        A folder moves in one step. A bucket writes object after object over what is there, since
        nobody can tell who is first: those who move to one place have the same to put there.
        """
        source, target = (Path(self.url) / each for each in (prefix, to))
        with reporting(self.url, to):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                return False
        return True

    def delete(self, *keys: str) -> None:
        """Removes objects, those that exist."""
        for key in keys:
            with reporting(self.url, key):
                sync(self.store.delete(key))

    def delete_under(self, prefix: str) -> None:
        """Removes every object whose key begins with ``prefix/``, as far as nobody writes there."""
        with reporting(self.url, prefix):
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

        with reporting(self.url, prefix):
            return sorted(sync(listing()))

    def names(self) -> list[str]:
        """What lies directly under the root: keys, and the first parts of others."""

        async def listing() -> list[str]:
            return [name async for name in self.store.list_dir("")]

        with reporting(self.url, ""):
            return sync(listing())

    def written(self, prefix: str) -> dict[str, float]:
        """When each object under ``prefix/`` was written, in seconds since 1970."""
        found = {}
        for key in self.keys(prefix):
            with suppress(FileNotFoundError):
                found[key] = (Path(self.url) / key).stat().st_mtime
        return found

    def free_bytes(self) -> float:
        """Bytes free where the root is, or will be."""
        if isinstance(self.store, MemoryStore):
            return psutil.virtual_memory().available
        folder = Path(self.url)
        while not folder.exists():
            folder = folder.parent
        return psutil.disk_usage(str(folder)).free


def open_objects(url: str, options: Mapping[str, Any] | None = None) -> Objects:
    """The objects under a local path, or under the URL of an S3 bucket; kept open for the process.

    Raises StoreError for other URLs, SpecError for options that a bucket does not take.
    """
    url = _spelled(url)
    return _opened(url, access.grant(url, options) if url.startswith("s3://") else "")


def _spelled(url: str) -> str:
    """The one spelling of a path or URL."""
    path = access.local_path(url)
    if path is not None:
        return str(path)
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "s3":
        raise StoreError(
            "A store is a local folder or an S3 bucket",
            came=f"{url!r} came",
            do="Pass a path that every worker sees, or s3://bucket/folder.",
        )
    return f"s3://{rest.rstrip('/')}"


def open_store(current: Settings) -> Objects:
    """The configured store. Raises as `open_objects`."""
    if current.store_options:
        return _opened(_spelled(current.store), current.store_options)
    return open_objects(current.store, dask.config.get("geodask.store-options", None))


@lru_cache(maxsize=64)
def _opened(url: str, options: str) -> Objects:
    if url.startswith("s3://"):
        client = access.bucket(url, options)  # says what to install, where it is not
        from .bucket import Bucket

        return Bucket(url, client, options)
    return Objects(url, LocalStore(url))


def memory_objects() -> Objects:
    """Objects in this process's memory."""
    return Objects("memory:", MemoryStore())


class reporting:
    """Turns errors of the storage into StoreError with what happened to which object."""

    def __init__(self, url: str, key: str):
        self.url, self.key = url, key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # Clients of buckets have errors of their own, some of which say a page.
        foreign = isinstance(error, OSError) or type(error).__module__.startswith("obstore")
        if error is not None and foreign and not isinstance(error, StoreError):
            said = str(error).partition("\n\nDebug source")[0]
            raise StoreError(
                f"The store must be readable and writable, but {self.key!r} under {self.url} "
                f"failed: {said}. What is stored already is kept; mend the cause and run again."
            ) from error
