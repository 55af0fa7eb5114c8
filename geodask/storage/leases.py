"""Leases: what is being read or built is not taken away.

A process has one object a store, `leases/<name>`, that lists the groups it holds. It is written
before a group is looked at, so one of two sees the other: who takes a group away has put a
tombstone before it reads the leases. A lease is let go when the last thing that holds its `Lease`
is collected, and counts for nothing once its process is gone.
"""

import os
import time
import weakref
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any
from uuid import uuid4

from ..errors import StoreError
from .group import Group, find
from .objects import Objects
from .process import lapsed, signed
from .seal import get_notes, put_note
from .tombstones import meet

FOLDER = "leases"
RENEW_SECONDS = 60.0
LINGER_SECONDS = 1.0
"""How long a lease outlives its holders, so that opening again and again writes nothing."""


class Lease:
    """Kept by whatever reads a group. What is sent to another process keeps none: its client's
    holds."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> Any:
        return _none, ()

    def __dask_tokenize__(self) -> str:
        return FOLDER


def _none() -> None:
    return None


class Leases:
    """The leases of this process in one store."""

    def __init__(self, objects: Objects):
        self._objects, self._key = objects, f"{FOLDER}/{uuid4().hex}"
        self._held: Counter[str] = Counter()
        # Collection may come at any moment, in any thread: it must take no lock.
        self._dropped: SimpleQueue[str] = SimpleQueue()
        self._lock, self._thread, self._written = Lock(), None, 0.0

    def take(self, path: str) -> Lease:
        """A lease on the group at a path; what cannot be written is read without one."""
        lease = Lease(path)
        weakref.finalize(lease, self._dropped.put, path).atexit = False
        with self._lock:
            self._held[path] += 1
            if self._held[path] == 1:
                with suppress(StoreError):
                    self._write()
            if self._thread is None:
                self._thread = Thread(target=self._keep, name="geodask-leases", daemon=True)
                self._thread.start()
        return lease

    def let_go(self) -> None:
        """Takes out what nothing holds any more, and renews the rest once a minute."""
        with self._lock:
            before = set(self._held)
            for _ in range(self._dropped.qsize()):
                self._held.subtract([self._dropped.get()])
            self._held = +self._held
            late = time.monotonic() - self._written > RENEW_SECONDS
            if set(self._held) != before or (self._held and late):
                with suppress(StoreError):
                    self._write()

    def _keep(self) -> None:
        while True:
            with suppress(Empty):
                self._dropped.put(self._dropped.get(timeout=RENEW_SECONDS))
                time.sleep(LINGER_SECONDS)
            self.let_go()
            with self._lock:
                if not self._held:
                    self._thread = None
                    return

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._held:
            put_note(self._objects, self._key, {**signed(), "paths": sorted(self._held)})
        else:
            self._objects.delete(self._key)


@lru_cache(maxsize=64)
def _leases(objects: Objects, pid: int) -> Leases:
    return Leases(objects)


def hold(objects: Objects, path: str) -> Lease | None:
    """A lease on a group, to be taken before it is looked for; None where nothing takes it away:
    in memory, and at a path that a user named.

    Waits while another process removes what lies there.
    """
    if not path or objects.url == "memory:":
        return None
    lease = _leases(objects, os.getpid()).take(path)
    meet(objects, path)
    return lease


def opened(objects: Objects, path: str) -> Group | None:
    """The group at a path, as `find` has it, with a lease."""
    lease = hold(objects, path)
    group = find(objects, path)
    if group is not None:
        group.lease = lease
    return group


def leased(objects: Objects) -> set[str]:
    """The paths that somebody holds. Those of processes that are gone are removed."""
    _leases(objects, os.getpid()).let_go()
    held: set[str] = set()
    for key, note in get_notes(objects, FOLDER).items():
        if lapsed(note):
            with suppress(StoreError):  # who only reads the store may ask, too
                objects.delete(key)
        else:
            held.update(note["paths"])
    return held
