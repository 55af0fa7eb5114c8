"""Room in the store: what is worth least goes, and never what somebody reads, builds or pinned.

What an entry is worth is what keeping it saves, for the room it takes: seconds / (bytes x age).
``seconds`` is what it would take to compute again. Reuse has a long tail: the chance that something
is wanted in the next moment falls as one over the time since it was last wanted, ``age``. So
seconds / age is what keeping it is expected to save a second, and divided by its bytes what a byte
of the store saves: room is made where that is least.
"""

import math
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from ..errors import StoreError
from ..events import Evicted, watching
from .entries import NOTES, SCRATCH, Entry, entries, entry_paths, pins
from .leases import leased
from .objects import Objects
from .records import given_to_jobs
from .seal import get_note, put_note
from .tombstones import TRASH, remove, tombstone
from .usage import Usage, counter, usage

LIMIT = "limit"


def worth(entry: Entry, used: Usage, now: float) -> float:
    """The seconds that a byte of an entry is expected to save, a second."""
    use = used.entries.get(entry.path)
    age = now - max(entry.created, use.last if use else 0.0)
    return entry.seconds / (max(1, entry.size) * max(1.0, age))


def make_room(objects: Objects, needed: int, limit: float) -> float:
    """The bytes that may be written; what is worth least goes, where that lets them suffice."""
    found = entries(objects)
    if any(name.startswith((SCRATCH, TRASH)) for name in objects.names()):
        sweep(objects)
    used = sum(entry.size for entry in found)
    room = min(limit - used, objects.free_bytes())
    if needed <= room:
        return room
    counts, now, spared = usage(objects), time.time(), _spared(objects)
    free = [entry for entry in found if entry.path not in spared]
    if needed > room + sum(entry.size for entry in free):
        return room
    free.sort(key=lambda entry: worth(entry, counts, now), reverse=True)
    while needed > room and free:
        going = [free.pop()]
        while free and sum(entry.size for entry in going) < needed - room:
            going.append(free.pop())
        used -= sum(entry.size for entry in evict(objects, going))
        room = min(limit - used, objects.free_bytes())
    return room


def evict(objects: Objects, wanted: Iterable[Entry]) -> list[Entry]:
    """Takes entries away, but those that somebody holds or pinned; gives what went."""
    sought = {entry.path: entry for entry in wanted}
    gone = [sought[path] for path in _take_away(objects, sought)]
    if gone:
        sizes = [entry.size for entry in gone]
        counter(objects).evicted(sizes)
        watching()(Evicted(len(sizes), sum(sizes)))
        _forget_growth(objects)
    return gone


def _spared(objects: Objects) -> set[str]:
    """What somebody reads or builds, what is pinned, and what jobs that may go on are given."""
    return leased(objects) | set(pins(objects)) | given_to_jobs(objects)


def _take_away(objects: Objects, paths: Iterable[str]) -> list[str]:
    with ExitStack() as stack:
        stones = {path: stack.enter_context(tombstone(objects, path)) for path in paths}
        spared = _spared(objects)  # read after the stones were put
        gone = [path for path in stones if path not in spared]
        for path in gone:
            remove(objects, path, stones[path])
    _empty_trash(objects)
    return gone


def sweep(objects: Objects) -> None:
    """Removes what processes that are gone were writing for themselves, and what was evicted."""
    _take_away(objects, [name for name in objects.names() if name.startswith(SCRATCH)])


def _empty_trash(objects: Objects) -> None:
    for name in objects.names():
        if name.startswith(TRASH):
            objects.delete_under(name)


def _forget_growth(objects: Objects) -> None:
    """Removes the notes of results that are gone. A note is written after its result: so those that
    are listed before the results and are of none are of one that was there."""
    notes = objects.keys(f"{NOTES}/")
    there = {path.rpartition("-")[2] for path in entry_paths(objects)}
    for note in notes:
        if note.rpartition("/")[2] not in there:
            objects.delete(note)


def limit_of(objects: Objects, configured: int | None) -> float:
    """Bytes that the store may take: as configured, or half of what was free at first use."""
    if configured is not None:
        return configured
    limit = get_note(objects, LIMIT)
    if limit is None and math.isfinite(free := objects.free_bytes()):
        limit = int(free / 2)
        with suppress(StoreError):
            put_note(objects, LIMIT, limit)
    return math.inf if limit is None else limit
