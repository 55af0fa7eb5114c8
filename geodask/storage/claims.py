"""Claims of writers on the parts of a group, so that those at work share and do not double it.

They are advice: whatever is written twice is the same. A writer first writes what it wants, then
reads what others want and have. What another has is not wanted any more, nor what one with a lesser
name wants. Where one with a greater name wants the same, it has yet to read: it will give way, or
has read before and takes it, and that is waited for. So of two one takes each part.

A claim counts until its process is known to be gone, or its object has not changed for a while by
the reader's own clock: those of other machines may differ.
"""

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple
from uuid import uuid4

from .objects import Objects
from .process import identity, is_gone
from .seal import get_note, put_note

RENEWED_SECONDS = 10.0
"""A writer's claim is written anew this often."""
EXPIRED_SECONDS = 60.0
"""One that has not changed for so long does not count."""
CONTEST_SECONDS = 5.0
"""How long another may take to say whether it takes what both want."""


class Claim(NamedTuple):
    """The parts that a writer has and those that it wants."""

    has: set[int]
    wants: set[int]


class Claims:
    """Those of one writer under some folder, and what it knows of the others."""

    def __init__(self, objects: Objects, folder: str):
        self._objects, self._folder = objects, folder
        self._name, self._number = uuid4().hex, 0
        self._has: set[int] = set()
        self._written_at = 0.0
        self._seen: dict[str, tuple[Any, float]] = {}

    def take(self, parts: Iterable[int], most: int) -> set[int]:
        """Claims the first of some parts that no other writer has or wants, and returns them."""
        taken = set[int]().union(*(has | wants for has, wants in self.others().values()))
        free = set(islice((part for part in parts if part not in taken), most))
        wants = free - self._has
        if wants:
            self._write(wants)
            wants = self._contest(wants)
            self._has |= wants
            self._write()
        return free & self._has

    def _contest(self, wants: set[int]) -> set[int]:
        end = time.monotonic() + CONTEST_SECONDS
        while True:
            others = self.others()
            for name, claim in others.items():
                wants = wants - claim.has - (claim.wants if name < self._name else set())
            undecided = any(claim.wants & wants for claim in others.values())
            if not undecided or time.monotonic() > end:
                return wants
            time.sleep(0.01)

    def others(self) -> dict[str, Claim]:
        """What each live writer has claimed, by its name."""
        now, found = time.monotonic(), {}
        for key in self._objects.keys(f"{self._folder}/"):
            name = key.rpartition("/")[2]
            body = None if name == self._name else get_note(self._objects, key)
            if body is None or is_gone(body["process"]):
                continue
            if self._seen.get(name, (None, now))[0] != body:
                self._seen[name] = body, now
            if now - self._seen[name][1] < EXPIRED_SECONDS:
                found[name] = Claim(set(body["has"]), set(body["wants"]))
        return found

    def let_go(self, parts: Iterable[int]) -> None:
        """Some parts are not claimed any more, with the next writing."""
        self._has.difference_update(parts)

    def renew(self) -> None:
        """Writes the claim anew where it is time to."""
        if self._has and time.monotonic() - self._written_at > RENEWED_SECONDS:
            self._write()

    def release(self) -> None:
        """Lets everything go."""
        self._has.clear()
        if self._number:
            self._objects.delete(f"{self._folder}/{self._name}")

    def _write(self, wants: Iterable[int] = ()) -> None:
        self._number += 1
        body = {"process": identity(), "number": self._number}
        body |= {"has": sorted(self._has), "wants": sorted(wants)}
        put_note(self._objects, f"{self._folder}/{self._name}", body)
        self._written_at = time.monotonic()
