"""What the store was good for: hits, misses, evictions, counted by all processes without a lock.

Each process owns `usage/<name>` and writes its totals there. Readers add all of them up. Those of
processes that are gone are folded into one object, which keeps them by their names: whatever is
counted there and in an object of its own as well, as after a crash or by two who fold at once, is
known to be the same.
"""

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from threading import Lock
from typing import Any
from uuid import uuid4

from ..errors import StoreError
from .keys import content_key
from .objects import Objects
from .process import lapsed, signed
from .seal import get_note, put_note

FOLDER = "usage"
FOLDED = f"{FOLDER}/folded-"
MANY = 32
"""Objects of processes that are gone, before they are folded."""


@dataclass
class Use:
    """What one entry was good for."""

    hits: int = 0
    seconds: float = 0.0
    """Those that the hits saved."""
    last: float = 0.0


@dataclass
class Totals:
    """What the store was good for."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    bytes_found: int = 0
    """Bytes of the results that were hit."""
    bytes_evicted: int = 0
    seconds_saved: float = 0.0
    """What the results that were hit took to compute, on the clock."""


@dataclass
class Usage:
    """The counts of a process, or of several."""

    totals: Totals = field(default_factory=Totals)
    entries: dict[str, Use] = field(default_factory=dict)

    def add(self, totals: Totals) -> None:
        """Counts more."""
        for part in fields(Totals):
            value = getattr(self.totals, part.name) + getattr(totals, part.name)
            setattr(self.totals, part.name, value)

    def use(self, path: str, use: Use) -> None:
        """Counts more of an entry."""
        mine = self.entries.setdefault(path, Use())
        mine.hits, mine.seconds = mine.hits + use.hits, mine.seconds + use.seconds
        mine.last = max(mine.last, use.last)


class Counter:
    """The counts of this process in one store."""

    def __init__(self, objects: Objects):
        self._objects, self._key = objects, f"{FOLDER}/{uuid4().hex}"
        self._usage, self._lock = Usage(), Lock()

    def hit(self, path: str, size: int, seconds: float, *inputs: str) -> None:
        """A result was found that took so many seconds; what it was made of is used, too."""
        totals = Totals(hits=1, bytes_found=size, seconds_saved=seconds)
        self._count(totals, {path: Use(1, seconds), **{each: Use() for each in inputs}})

    def miss(self, *paths: str) -> None:
        """A result was computed; it and the entries that it was made of were used."""
        self._count(Totals(misses=1), {path: Use() for path in paths})

    def evicted(self, sizes: list[int]) -> None:
        """Entries of these sizes were taken away."""
        self._count(Totals(evictions=len(sizes), bytes_evicted=sum(sizes)), {})

    def _count(self, totals: Totals, uses: dict[str, Use]) -> None:
        with self._lock:
            self._usage.add(totals)
            for path, use in uses.items():
                self._usage.use(path, replace(use, last=time.time()))
            body = {**signed(), **asdict(self._usage)}
            with suppress(StoreError):  # what is found in a store that is full or read-only counts
                put_note(self._objects, self._key, body)


@lru_cache(maxsize=64)
def _counter(objects: Objects, pid: int) -> Counter:
    return Counter(objects)


def counter(objects: Objects) -> Counter:
    """That of this process in a store."""
    return _counter(objects, os.getpid())


def usage(objects: Objects) -> Usage:
    """What all processes counted."""
    notes = _notes(objects)
    latest: dict[str, dict[str, Any]] = {}
    for key, note in notes.items():
        for name, body in (note if key.startswith(FOLDED) else {key: note}).items():
            known = latest.setdefault(name, body)
            # A process that was taken for gone may have counted on.
            latest[name] = max(known, body, key=lambda each: each["renewed"])
    done = [key for key, note in notes.items() if key.startswith(FOLDED) or lapsed(note)]
    if len(done) > MANY:
        names = {name for key in done for name in (notes[key] if key.startswith(FOLDED) else [key])}
        with suppress(StoreError):
            _fold(objects, {name: latest[name] for name in names}, done)
    found = Usage()
    for body in latest.values():
        found.add(Totals(**body["totals"]))
        for path, use in body["entries"].items():
            found.use(path, Use(**use))
    return found


def _fold(objects: Objects, bodies: dict[str, Any], keys: list[str]) -> None:
    into = FOLDED + content_key(bodies)
    put_note(objects, into, bodies)
    for key in keys:
        if key != into:
            objects.delete(key)


def _notes(objects: Objects) -> dict[str, Any]:
    """All that is noted, at one moment: what another has just folded is read where it is now."""
    while True:
        found = {key: get_note(objects, key) for key in objects.keys(f"{FOLDER}/")}
        if all(note is not None or objects.get(key) is not None for key, note in found.items()):
            return {key: note for key, note in found.items() if note is not None}
