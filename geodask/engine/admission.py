"""Admission: rows whose content is known, at a place that every task can read.

Rows that tasks read where they are stay there; others are copied into the store, once for each
content.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ..config import Settings
from ..errors import StoreError
from ..storage.keys import digest, join_digests
from ..storage.leases import Lease, hold
from ..storage.objects import Objects
from .base import Spans
from .census import Census, blocks_of, digest_rows, examine, little
from .copies import copy_path, found_copy, place_copy, remove_stale_stages, write_copy
from .executors import Executor, Threads, tell_workers
from .points import Points
from .space import check_space


class Admitted:
    """Points whose content is known, at a place that every task can read."""

    def __init__(self, points: Points, census: Census, fingerprint: Any):
        self.points = points
        self.content = census.content
        self._fingerprint = fingerprint
        self._digests = census.digests
        self.source = census.x.source
        """Where the rows came from, before they were copied."""
        self.lease: Lease | None = None
        """Kept while the copy is read."""

    @property
    def in_memory(self) -> bool:
        """Whether no file tells of a change."""
        return self._fingerprint is None

    @property
    def noted(self) -> dict[str, Any]:
        """The content block by block, as JSON: by it `kept` tells which rows others share."""
        x = self.points
        return {"rows": len(x), "size": digest_rows(x), "digests": self._digests}

    def kept(self, noted: dict[str, Any]) -> Spans:
        """The rows that are those of the same numbers in what was noted, in whole blocks of it."""
        x, rows, size = self.points, noted["rows"], digest_rows(self.points)
        if noted["size"] != size or not self._digests:
            return ()
        spans: list[tuple[int, int]] = []
        for block, known in enumerate(noted["digests"]):
            start, stop = block * size, min(rows, (block + 1) * size)
            if stop > len(x):
                break
            whole = stop == min(len(x), (block + 1) * size)
            if known != (self._digests[block] if whole else digest(little(x.read(start, stop)))):
                continue
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            spans.append((start, stop))
        return tuple(spans)

    def check_unchanged(self) -> None:
        """Raises StoreError where the files, or the array in memory, changed since admission."""
        x = self.points
        same = x.source.fingerprint() == self._fingerprint
        if self.in_memory:
            blocks = range(blocks_of(x))
            found = examine(x, 0, len(blocks), "none", trusted=False).digests
            same = self.content["digest"] == join_digests(found[block] for block in blocks)
        if not same:
            raise StoreError(
                f"{x.source.label} must stay as it is while a plan runs",
                came="it was changed",
                do="Nothing was committed. Run the plan again: it reads the new content.",
            )


def admit(x: Points, settings: Settings, engine: Executor, objects: Objects) -> Admitted:
    """Digests and checks the rows, once for each state of the files.

    Rows that tasks cannot read where they are (computed ones, or those in this process's memory)
    are copied into the store, once for each content. With ``trust: metadata`` stored rows are named
    by their files, and read only to be checked. Raises NotOnManifoldError for rows that are not
    points, with their source and numbers.
    """
    tell_workers(x.source.access)
    x = replace(x, ids=None)  # tasks carry the points, and have no use for a name a row
    census = Census(x, settings, objects)
    readable = not x.source.computed and (x.source.travels or not engine.remote)
    if readable:
        census.take(engine)
        return Admitted(x, census, census.fingerprint)
    if not x.source.computed:
        with ThreadPoolExecutor(settings.threads, "geodask-admission") as pool:
            census.take(Threads(pool, settings.threads))
    return _sound_copy(census, engine) or _new_copy(census, engine)


def _sound_copy(census: Census, engine: Executor) -> Admitted | None:
    """The copy in the store, where the content is known and the copy's bytes are right.

    The store is never trusted by its metadata: that risk was taken for the input alone.
    """
    if census.missing:
        return None
    content = census.content
    path = copy_path(content)
    lease = hold(census.objects, path)
    known = found_copy(census.x, path, census.objects)
    if known is None:
        return None
    copy, right = known
    unchecked = replace(census.settings, validate="none", trust="content")
    try:
        found = admit(copy, unchecked, engine, census.objects)
    except StoreError:
        return None
    sound = found.content["digest"] == right == content.get("digest", right)
    found.content, found.source, found.lease = content, census.x.source, lease
    return found if sound else None


def _new_copy(census: Census, engine: Executor) -> Admitted:
    x, objects = census.x, census.objects
    check_space(f"The copy of {x.source.label}", len(x) * x.row_bytes, objects, census.settings)
    remove_stale_stages(objects)
    with census.taking_along() as slices:
        stage = write_copy(x, slices, census.digest, objects)
    path = copy_path(census.content)
    lease = hold(objects, path)
    place_copy(stage, path, objects)
    known = found_copy(x, path, objects)
    if known is None:
        raise StoreError(
            f"The copy of {x.source.label} at {path} must stay as it is while a plan is made",
            came="it was taken away",
            do="Find out what removes it, and run the plan again.",
        )
    copy, _ = known  # its bytes were digested as they were written, or compared with those
    admitted = Admitted(copy, census, copy.source.fingerprint())
    admitted.lease = lease
    return admitted
