"""Files of this machine, or of a bucket: what tells of a change, how they are found and opened."""

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..storage.access import arrow_s3, file_system, local_path, zarr_store
from ..storage.objects import Objects

IDENTITIES = ("ETag", "etag", "md5Hash", "Content-MD5", "Digest", "generation", "blob_id")
TIMES = ("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created")
NEVER_SETTLED = 1 << 62
RECENT_SECONDS = 1.0
"""So long the state of a file in a bucket is taken for what it is, while it is read in pieces."""


class Files(ABC):
    """How files are reached by their paths or URLs. Frozen and small where it travels."""

    @property
    def access(self) -> frozenset[str]:
        """Names of the options that a process must know to open them."""
        return frozenset()

    @abstractmethod
    def states(self, paths: list[str]) -> list[list[Any]]:
        """What changes whenever the bytes of a file do: [path, identity, size, two times in ns]."""

    def state(self, path: str) -> list[Any]:
        """That of one file."""
        return self.states([path])[0]

    def recent_state(self, path: str) -> list[Any]:
        """The same, or what it was a moment ago where asking takes long."""
        return self.state(path)

    @abstractmethod
    def opened(self, path: str) -> Any:
        """A context with what pyarrow and h5py read a file from."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file or folder."""

    @abstractmethod
    def is_folder(self, path: str) -> bool:
        """Whether it is a folder."""

    @abstractmethod
    def inside(self, folder: str) -> list[str]:
        """The files in a folder and in those below, sorted."""

    @abstractmethod
    def matching(self, pattern: str) -> list[str]:
        """The files whose paths match a pattern, sorted."""

    @abstractmethod
    def zarr(self, folder: str) -> Any:
        """What zarr opens a folder by, to read."""

    buffer: ClassVar[int] = 8 << 20
    """Bytes that are best read at once of a file that is read from one end to the other."""

    @property
    def system(self) -> Any:
        """The file system as pyarrow takes it; None for that of this machine."""
        return None


@dataclass(frozen=True)
class Local(Files):
    """The files of this machine."""

    def states(self, paths: list[str]) -> list[list[Any]]:
        return [self.state(path) for path in paths]

    def state(self, path: str) -> list[Any]:
        """With the inode; and both times: mtime can be set back, ctime cannot."""
        stat = os.stat(path)  # noqa: PTH116 (a Path takes twice as long, for thousands of chunks)
        return [path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]

    @contextmanager
    def opened(self, path: str) -> Iterator[Any]:
        yield path

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def is_folder(self, path: str) -> bool:
        return Path(path).is_dir()

    def inside(self, folder: str) -> list[str]:
        found, folders = [], [folder]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    (folders if entry.is_dir() else found).append(entry.path)
        return sorted(found)

    def matching(self, pattern: str) -> list[str]:
        where = Path(pattern)
        return sorted(map(str, Path(where.anchor).glob(str(where.relative_to(where.anchor)))))

    def zarr(self, folder: str) -> Any:
        return folder


LOCAL = Local()


@dataclass(frozen=True)
class Remote(Files):
    """The files of a bucket, or of whatever else fsspec opens."""

    buffer: ClassVar[int] = 64 << 20

    root: str
    """The URL that was asked for."""
    options: str = field(default="", repr=False)
    """The name under which processes know what opens it."""

    @property
    def access(self) -> frozenset[str]:
        return frozenset([self.options] if self.options else [])

    @property
    def system(self) -> Any:
        return file_system(self.root, self.options)

    def states(self, paths: list[str]) -> list[list[Any]]:
        system = self.system
        system.invalidate_cache()  # else it tells what it once listed
        listed: dict[str, Any] = {}
        if len(paths) > 1 and not self.root.startswith("http"):
            folders = {path.rpartition("/")[0] for path in paths}
            common = os.path.commonprefix(paths).rpartition("/")[0]  # noqa: RUF071 (of URLs)
            # A folder a chunk is one listing of all, not one of each.
            found = system.find(common, maxdepth=1 if len(folders) == 1 else None, detail=True)
            listed = {system.unstrip_protocol(name): entry for name, entry in found.items()}
        now = time.monotonic()
        states = [_state(path, listed.get(path) or system.info(path)) for path in paths]
        for path, state in zip(paths, states, strict=True):
            _last(self, path)[:] = now, state
        return states

    def recent_state(self, path: str) -> list[Any]:
        when, state = _last(self, path)
        return state if time.monotonic() - when < RECENT_SECONDS else self.state(path)

    @contextmanager
    def opened(self, path: str) -> Iterator[Any]:
        client = arrow_s3(self.root, self.options)
        if client is not None:
            with client.open_input_file(path.removeprefix("s3://")) as file:
                yield file
            return
        # pyarrow asks for what it needs in few reads: what a cache reads ahead is thrown away.
        with self.system.open(path, "rb", cache_type="none") as file:
            yield file

    def exists(self, path: str) -> bool:
        return self.system.exists(path)

    def is_folder(self, path: str) -> bool:
        return self.system.isdir(path)

    def inside(self, folder: str) -> list[str]:
        return sorted(map(self.system.unstrip_protocol, self.system.find(folder)))

    def matching(self, pattern: str) -> list[str]:
        return sorted(map(self.system.unstrip_protocol, self.system.glob(pattern)))

    def zarr(self, folder: str) -> Any:
        return zarr_store(folder, self.options)


def files_of(objects: Objects) -> Files:
    """How the files of a store are reached."""
    local = local_path(objects.url) is not None
    return LOCAL if local else Remote(objects.url, objects.options)


@lru_cache(maxsize=1024)
def _last(files: Remote, path: str) -> list[Any]:
    """When the state of a file was seen last, and what it was."""
    return [-math.inf, []]


def _state(path: str, info: dict[str, Any]) -> list[Any]:
    identity = next((str(info[key]) for key in IDENTITIES if info.get(key)), None)
    if identity is not None:
        return [path, identity, info["size"], 0, 0]
    when = next((info[key] for key in TIMES if info.get(key)), None)
    changed = _nanoseconds(when)
    return [path, str(when), info["size"], changed, changed]


def _nanoseconds(when: Any) -> int:
    """Of what file systems say; where that is no time, one that is never long enough ago."""
    if isinstance(when, int | float):
        return int(when * 1e9)
    return int(when.timestamp() * 1e9) if isinstance(when, datetime) else NEVER_SETTLED
