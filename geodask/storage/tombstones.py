"""Tombstones: a group is being taken away, and whoever looks for it waits.

`tombstones/<path>.<name>` belongs to one process that removes the group; there may be several. Who
meets one of a process that is gone finishes what that began: where the root of the group is still
there nothing was removed, else the rest is. The stone goes last, so that two who meet it wait for
each other: each has a stone of its own, and looks again whether the old one is there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from zarr.storage import LocalStore

from .objects import Objects
from .process import EXPIRES, lapsed, signed
from .seal import get_note, put_note

FOLDER = "tombstones"
TRASH = "trash-"
WAIT_SECONDS = 0.02
BATCH = 256


@contextmanager
def tombstone(objects: Objects, path: str) -> Iterator[Callable[[], bool]]:
    """A stone on a path; gives the question whether it still stands, which renews it, too."""
    key, renewed = f"{FOLDER}/{path}.{uuid4().hex}", time.monotonic()

    def stands() -> bool:
        nonlocal renewed
        if get_note(objects, key) is None:
            return False
        if time.monotonic() - renewed > EXPIRES / 10:
            put_note(objects, key, signed())
            renewed = time.monotonic()
        return True

    put_note(objects, key, signed())
    try:
        yield stands
    finally:
        objects.delete(key)


def meet(objects: Objects, path: str) -> None:
    """Returns once nobody removes the group at a path, and what others left half removed is."""
    while stones := [key for key in objects.keys(f"{FOLDER}/") if _path(key) == path]:
        for stone in stones:
            note = get_note(objects, stone)
            if note is None or lapsed(note):
                _finish(objects, path, stone)
            else:
                time.sleep(WAIT_SECONDS)


def _path(stone: str) -> str:
    return stone.removeprefix(f"{FOLDER}/").rpartition(".")[0]


def _finish(objects: Objects, path: str, stone: str) -> None:
    with tombstone(objects, path) as stands:
        if objects.get(stone) is None:
            return  # its owner, or another who met it, has done so
        if objects.get(f"{path}/zarr.json") is None:
            remove(objects, path, stands)
        objects.delete(stone)


def remove(objects: Objects, path: str, stands: Callable[[], bool]) -> None:
    """Takes a group away: a folder in one step; elsewhere its root first, and then its marks, so
    that whatever is left counts as nothing. Stops where the tombstone does not stand any more.

    What was renamed away is still to be deleted: `eviction` does.
    """
    if isinstance(objects.store, LocalStore):
        with suppress(FileNotFoundError):
            root = Path(objects.url)
            (root / path).rename(root / f"{TRASH}{uuid4().hex}")
        return
    objects.delete(f"{path}/zarr.json")
    marks = objects.keys(f"{path}/marks/")
    rest = sorted(set(objects.keys(f"{path}/")) - set(marks))
    for keys in (marks, rest):
        for first in range(0, len(keys), BATCH):
            if not stands():
                return
            objects.delete(*keys[first : first + BATCH])
