"""What lies in the root of a store, as far as it is the store's own.

<operation>-<key>/   results, copies of points, indexes of ids
pins/<operation>-<key>
grown-from/          which results others may grow from
scratch-.../ trash-.../   what a process holds or leaves
"""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from zarr.storage import LocalStore

from .group import Group, find, root_body
from .keys import KEY_BYTES
from .objects import Objects
from .seal import get_notes

PATTERN = re.compile(rf"(.+)-[0-9a-f]{{{2 * KEY_BYTES}}}")
SCRATCH = "scratch-"
PINS = "pins"
NOTES = "grown-from"
THREADS = 16
COPY_RATE = 1e8
"""Bytes a second of what says no seconds: copies and indexes, which are one pass over the data."""


@dataclass(frozen=True)
class Entry:
    """A group of the store, in short."""

    path: str
    status: str
    """complete, building, or damaged where its root says nothing."""
    spec: Any = None
    shape: tuple[int, ...] = ()
    """Of its first array."""
    dtype: str = ""
    size: int = 0
    """Bytes."""
    created: float = 0.0
    elapsed: float = 0.0
    """Seconds that it took, on the clock."""
    seconds: float = 0.0
    """What it would take to compute again: seconds of all tasks, one after the other."""

    @property
    def key(self) -> str:
        return self.path.rpartition("-")[2]

    @property
    def operation(self) -> str:
        return self.path.rpartition("-")[0]


def entry_paths(objects: Objects) -> list[str]:
    """The paths of the store's own groups; whatever else lies there is not touched."""
    return sorted(filter(PATTERN.fullmatch, objects.names()))


def entries(objects: Objects) -> list[Entry]:
    """All groups. A folder's that have not changed since this process read them are not read."""
    known, paths = _known(objects), entry_paths(objects)
    if isinstance(objects.store, LocalStore):
        found = [_entry(objects, path, known) for path in paths]
    else:
        with ThreadPoolExecutor(THREADS, "geodask-entries") as pool:
            found = list(pool.map(lambda path: read_entry(objects, path), paths))
    for path in set(known) - set(paths):
        known.pop(path, None)
    return found


def _entry(objects: Objects, path: str, known: dict[str, tuple[Any, Entry]]) -> Entry:
    state = None
    with suppress(OSError):
        seen = os.stat(f"{objects.url}/{path}/zarr.json")  # noqa: PTH116 (a third of the time)
        state = (seen.st_ino, seen.st_size, seen.st_mtime_ns)
    if path in known and known[path][0] == state:
        return known[path][1]
    entry = read_entry(objects, path)
    if state is not None and entry.status == "complete":
        known[path] = state, entry
    return entry


def read_entry(objects: Objects, path: str) -> Entry:
    """The group at a path, in short."""
    body = root_body(objects.get(f"{path}/zarr.json"))
    if body is None:
        return Entry(path, "damaged")
    group = Group(objects, path, body)
    report, first = body.get("report", {}), body["arrays"][0]
    seconds, elapsed = report.get("stats", {}).get("seconds"), report.get("seconds", 0.0)
    if not group.complete:
        group = find(objects, path) or group
        seconds = sum(extra.get("stats", {}).get("seconds", 0.0) for extra in group.extras)
    size = group.nbytes
    return Entry(
        path=path,
        status=body["status"],
        spec={part: value for part, value in body["spec"].items() if part != "inputs"},
        shape=tuple(first["shape"]),
        dtype=first["dtype"],
        size=size,
        created=body["created"],
        elapsed=elapsed,
        seconds=size / COPY_RATE if seconds is None else seconds,
    )


@lru_cache(maxsize=64)
def _known(objects: Objects) -> dict[str, tuple[Any, Entry]]:
    return {}


def pins(objects: Objects) -> dict[str, str | None]:
    """The paths that are to stay, with their names where they have some."""
    found = get_notes(objects, PINS).items()
    return {key.rpartition("/")[2]: note["name"] for key, note in found}
