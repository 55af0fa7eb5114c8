"""Admission: one pass over a source that digests it, checks its rows and stores what is not stored.

The digest is of content: of the rows in blocks of a size that depends on the row alone, so the same
rows have the same digest from numpy, ``.npy`` and Zarr in any chunking. It is remembered in the
store under the files' inode, size and both times, and taken again when any of them changed; what
changed less than two seconds before it was digested is not remembered at all.
"""

import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..config import Settings
from ..errors import StoreError
from ..events import PlanEnded, PlanStarted, Stats, TaskDone
from ..store.keys import canonical, content_key, digest, join_digests
from ..store.objects import Objects
from .base import Spans
from .checks import check_rows
from .copies import found_copy, place_copy, remove_copy, remove_stale_stages, write_copy
from .executors import Executor, Threads, bounded, tell_workers
from .points import Points
from .progress import Progress
from .sources import is_settled
from .space import check_space

DIGEST_BYTES = 16 << 20
SPAN_BYTES = 256 << 20
"""Rows of a task, at least: where it begins and ends, storage may have to be decoded twice."""
SAVE_SECONDS = 1.0
"""Digests are stored this often, or so seldom that it takes a twentieth of the time."""
ATTEMPTS = 3


class Admitted:
    """Points whose content is known, at a place that every task can read."""

    def __init__(self, points: Points, census: "Census", fingerprint: Any):
        self.points = points
        self.content = census.content
        self._fingerprint = fingerprint
        self._digests = census.digests

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
            if known != (self._digests[block] if whole else digest(_little(x.read(start, stop)))):
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
            blocks = range(_blocks(x))
            found = examine(x, 0, len(blocks), "none", trusted=False)
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


def _sound_copy(census: "Census", engine: Executor) -> Admitted | None:
    """The copy in the store, where the content is known and the copy's bytes are right.

    The store is never trusted by its metadata: that risk was taken for the input alone.
    """
    if census.missing:
        return None
    content = census.content
    known = found_copy(census.x, f"points-{content_key(content)}", census.objects)
    if known is None:
        return None
    copy, right = known
    unchecked = replace(census.settings, validate="none", trust="content")
    try:
        found = admit(copy, unchecked, engine, census.objects)
    except StoreError:
        return None
    sound = found.content["digest"] == right == content.get("digest", right)
    found.content = content
    return found if sound else None


def _new_copy(census: "Census", engine: Executor) -> Admitted:
    x, objects = census.x, census.objects
    check_space(f"The copy of {x.source.label}", len(x) * x.row_bytes, objects, census.settings)
    remove_stale_stages(objects)
    stage = write_copy(x, census.take_along(), census.digest, objects)
    path = f"points-{content_key(census.content)}"
    try:
        for _ in range(ATTEMPTS):
            if place_copy(stage, path, objects):
                known = found_copy(x, path, objects)
                if known is None:
                    break
                copy, _ = known  # its bytes were digested as they were written
                return Admitted(copy, census, copy.source.fingerprint())
            # What lies there may be as good: another process has just written it.
            found = _sound_copy(census, engine)
            if found is not None:
                return found
            remove_copy(path, objects)
    finally:
        objects.delete_under(stage)
    raise StoreError(
        f"The copy of {x.source.label} at {path} must stay as it is while a plan is made",
        came="it was taken away or replaced",
        do="Find out what writes there, and run the plan again.",
    )


class Census:
    """What is known of the rows of a source, block by block, and remembered between runs."""

    def __init__(self, x: Points, settings: Settings, objects: Objects):
        self.x, self.settings, self.objects = x, settings, objects
        self.fingerprint = x.source.fingerprint()
        named = self.fingerprint is not None and x.source.name is not None
        self.trusted = named and settings.trust == "metadata"
        self._digests: dict[str, str] = {}
        self._saved_at, self._known, self._pause = time.monotonic(), 0, SAVE_SECONDS
        self._key = None
        settled = is_settled(self.fingerprint or [])
        if named and (settled or self.trusted):
            of = [x.source.name, self.fingerprint, x.manifold.to_spec(), settings.validate]
            what = {"of": of, "rows": digest_rows(x), "trusted": self.trusted}
            self._key = f"admission/{content_key(what)}"
            self._recall()

    @property
    def missing(self) -> list[int]:
        """Blocks that have not been read."""
        if self.trusted and self.settings.validate == "none":
            return []
        return [i for i in range(self.blocks) if str(i) not in self._digests]

    @property
    def blocks(self) -> int:
        return _blocks(self.x)

    @property
    def content(self) -> dict[str, Any]:
        """What names the rows in a result's key, once no block is missing."""
        content: dict[str, Any] = {"shape": list(self.x.shape), "dtype": self.x.dtype.name}
        if self.trusted:
            files = [self.x.source.name, self.fingerprint]
            return {**content, "metadata": digest(canonical(files).encode())}
        return {**content, "digest": self.digest()}

    @property
    def digests(self) -> list[str]:
        """Those of the blocks, once none is missing; none where files name the rows."""
        return [] if self.trusted else [self._digests[str(i)] for i in range(self.blocks)]

    def digest(self) -> str:
        """That of all rows."""
        return join_digests(self.digests)

    def take(self, engine: Executor) -> None:
        """Reads what is missing, on the engine's workers."""
        missing, validate = np.array(self.missing, int), self.settings.validate
        with self._shown(len(missing)):
            try:
                calls = ((self.x, *span, validate, self.trusted) for span in self._spans(missing))
                for found in bounded(engine, "gd-admission", examine, calls):
                    self._note(found)
            finally:
                self._save()

    def take_along(self) -> Iterator[tuple[int, np.ndarray]]:
        """All blocks in turn, read here for another purpose, as (first row, rows)."""
        validate = self.settings.validate
        with self._shown(self.blocks):
            for start, stop in _units(self.x, 0, self.blocks):
                rows = self.x.read(start, stop)
                self._note(_examined(self.x, start, [rows], validate, trusted=False))
                yield start, rows
            self._save()

    def _spans(self, missing: np.ndarray) -> Iterator[tuple[int, int]]:
        """Runs of missing blocks start:stop, each for one reader."""
        size = digest_rows(self.x)
        cuts = self.x.source.cuts(SPAN_BYTES // max(1, self.x.row_bytes))
        edges = sorted({-(-cut // size) for cut in cuts} | {0, self.blocks})
        gaps = missing[1:][np.diff(missing) > 1].tolist()
        bounds = sorted({*edges, *gaps})
        for start, stop in pairwise(bounds):
            inside = missing[(start <= missing) & (missing < stop)]
            if len(inside):
                yield int(inside[0]), int(inside[-1]) + 1

    @contextmanager
    def _shown(self, blocks: int) -> Iterator[None]:
        """Shows progress in rows while blocks are taken."""
        rows = len(self.x)
        self._watch = Progress(self.settings.progress)
        if blocks:
            self._watch(PlanStarted("gd-admission", self.blocks, self.blocks - blocks, rows))
        try:
            yield
        finally:
            self._watch(PlanEnded(not self.missing))

    def _note(self, found: dict[int, str]) -> None:
        self._watch(TaskDone(len(found), Stats()))
        self._digests |= {str(block): each for block, each in found.items()}
        if time.monotonic() - self._saved_at > self._pause:
            self._save()

    def _save(self) -> None:
        begin = time.monotonic()
        if self._key is not None and len(self._digests) > self._known:
            remembered = {"digests": self._digests, "digest": content_key(self._digests)}
            self.objects.put(self._key, canonical(remembered).encode())
            self._known = len(self._digests)
        self._saved_at = time.monotonic()
        self._pause = max(SAVE_SECONDS, 20 * (self._saved_at - begin))

    def _recall(self) -> None:
        found = self.objects.get(self._key) if self._key is not None else None
        try:
            remembered = json.loads(bytes(found)) if found is not None else {"digests": {}}
            if remembered.get("digest") == content_key(remembered["digests"]):
                self._digests = remembered["digests"]
        except (ValueError, KeyError, TypeError, AttributeError):
            self._digests = {}
        self._known = len(self._digests)


def examine(x: Points, first: int, stop: int, validate: str, trusted: bool) -> dict[int, str]:
    """Reads and checks the blocks first:stop; the digests of their rows."""
    digests: dict[int, str] = {}
    for start, end in _units(x, first, stop):
        digests |= _examined(x, start, x.source.pieces(start, end), validate, trusted)
    return digests


def _units(x: Points, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """The rows of some blocks, as many at once as a large chunk of the storage holds."""
    size = digest_rows(x)
    step = max(1, x.source.chunk_rows // size)
    for low, high in pairwise([first, *range((first // step + 1) * step, stop, step), stop]):
        yield low * size, min(high * size, len(x))


def _examined(
    x: Points, start: int, pieces: Iterable[np.ndarray], validate: str, trusted: bool
) -> dict[int, str]:
    """The digests of whole blocks of rows, which are points, from row ``start`` on."""
    size, at, held, digests = digest_rows(x), start, [], {}
    for rows in pieces:
        check_rows(x, rows, at, validate)
        cuts = [at, *range((at // size + 1) * size, at + len(rows), size), at + len(rows)]
        for low, high in pairwise(cuts):
            held.append(_little(rows[low - at : high - at]))
            if high % size == 0 or high == len(x):
                digests[low // size] = "" if trusted else digest(*held)
                held = []
        at += len(rows)
    return digests


def digest_rows(x: Points) -> int:
    """Rows of a digest: the largest power of two whose rows fit in 16 MiB."""
    return 1 << max(0, (DIGEST_BYTES // max(1, x.row_bytes)).bit_length() - 1)


def _blocks(x: Points) -> int:
    return -(-len(x) // digest_rows(x))


def _little(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
