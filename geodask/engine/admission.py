"""Admission: one pass over a source that digests it, checks its rows and stores what is not stored.

The digest is of content: of the rows in blocks of a size that depends on the row alone, so the same
rows have the same digest from numpy, ``.npy`` and Zarr in any chunking. It is remembered in the
store under the files' inode, size and both times, and taken again when any of them changed; what
changed less than two seconds before it was digested is not remembered at all.
"""

import errno
import json
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ..config import Settings
from ..errors import StoreError
from ..store.array import ArraySpec
from ..store.group import Group, create, find
from ..store.keys import canonical, content_key, digest, join_digests
from ..store.objects import Objects
from .checks import check_rows
from .executors import Executor, bounded
from .points import Points
from .save import storage_rows
from .sources import Zarr

DIGEST_BYTES = 16 << 20
FRESH_SECONDS = 2.0
SAVE_SECONDS = 5.0


class Admitted:
    """Points whose content is known, at a place that every task can read."""

    def __init__(self, points: Points, content: dict[str, Any], fingerprint: Any):
        self.points = points
        self.content = content
        self._fingerprint = fingerprint

    def check_unchanged(self) -> None:
        """Raises StoreError where the files changed since admission."""
        if self.points.source.fingerprint() != self._fingerprint:
            raise StoreError(
                f"{self.points.source.label} must stay as it is while a plan runs",
                came="its files changed",
                do="Nothing was committed. Run the plan again: it reads the new content.",
            )


def admit(x: Points, settings: Settings, engine: Executor, objects: Objects) -> Admitted:
    """Digests and checks the rows, once for each state of the files.

    Raises NotOnManifoldError for rows that are not points, with their source and numbers.
    """
    x = replace(x, ids=None)  # tasks carry the points, and have no use for a name a row
    fingerprint = x.source.fingerprint()
    content: dict[str, Any] = {"shape": list(x.shape), "dtype": x.dtype.name}
    if settings.trust == "metadata" and fingerprint is not None and x.source.travels:
        content["metadata"] = digest(canonical([x.source.label, fingerprint]).encode())
        return Admitted(x, content, fingerprint)
    if _must_store(x, engine):
        return _store(x, settings, objects, content)
    memory = _Memory(x, settings, objects, fingerprint)
    missing = [i for i in range(_blocks(x)) if str(i) not in memory.digests]
    try:
        calls = ((x, i, settings.validate) for i in missing)
        for found in bounded(engine, "gd-admission", examine, calls):
            memory.note(*found)
    finally:
        memory.save()
    content["digest"] = join_digests(memory.digests[str(i)] for i in range(_blocks(x)))
    return Admitted(x, content, fingerprint)


def examine(x: Points, block: int, validate: str) -> tuple[int, str]:
    """Checks one block of rows; (block, digest of its rows)."""
    rows = _digest_rows(x)
    start, stop = block * rows, min((block + 1) * rows, len(x))
    values = x.read(start, stop)
    check_rows(x, values, start, validate)
    return block, _digest(values)


class _Memory:
    """What is remembered of a source between runs, and between the parts of an interrupted one."""

    def __init__(
        self, x: Points, settings: Settings, objects: Objects, fingerprint: list[Any] | None
    ):
        self.objects, self.digests = objects, {}
        self.key = None
        self._saved_at = time.monotonic()
        # Only what a path names; two selections of a file have the same files.
        if (
            not x.source.travels
            or fingerprint is None
            or _newest(fingerprint) > time.time() - FRESH_SECONDS
        ):
            return
        of = [x.source.label, fingerprint, x.manifold.to_spec(), settings.validate]
        self.key = f"admission/{content_key({'of': of, 'rows': _digest_rows(x)})}"
        found = objects.get(self.key)
        if found is not None:
            try:
                remembered = json.loads(bytes(found))
                if remembered["digest"] == content_key(remembered["digests"]):
                    self.digests = remembered["digests"]
            except (ValueError, KeyError, TypeError):
                self.digests = {}
        self._known = len(self.digests)

    def note(self, block: int, found: str) -> None:
        self.digests[str(block)] = found
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        if self.key is not None and len(self.digests) > self._known:
            remembered = {"digests": self.digests, "digest": content_key(self.digests)}
            self.objects.put(self.key, canonical(remembered).encode())
            self._known = len(self.digests)
        self._saved_at = time.monotonic()


def _must_store(x: Points, engine: Executor) -> bool:
    """Rows that tasks cannot read where they are: to be computed, or in this process's memory."""
    return x.source.computed or (engine.remote and not x.source.travels)


def _store(x: Points, settings: Settings, objects: Objects, content: dict[str, Any]) -> Admitted:
    """Digests, checks and writes in one pass; the copy is named by what it turned out to hold."""
    rows = _digest_rows(x)
    array = ArraySpec("points", x.shape, storage_rows(x), x.dtype.name)
    stage = f"points-stage-{uuid4().hex}"
    group = create(objects, stage, {"operation": "points", **content}, [array], None)
    digests = []
    try:
        for block in range(_blocks(x)):
            start = block * rows
            values = x.read(start, min(start + rows, len(x)))
            check_rows(x, values, start, settings.validate)
            digests.append(_digest(values))
            for low in range(0, len(values), array.rows_per_chunk):
                part = values[low : low + array.rows_per_chunk]
                key, found, _ = group.write(array, (start + low) // array.rows_per_chunk, part)
                group.digests[key] = found
        content["digest"] = join_digests(digests)
        path = f"points-{content_key(content)}"
        group.commit(["points"], {})
        _move(objects, stage, path, array)
    finally:
        objects.delete_under(stage)
    source = Zarr(x.shape, x.dtype, objects.url, f"{path}/points", array.rows_per_chunk)
    stored = replace(x, source=source)
    return Admitted(stored, content, source.fingerprint())


def _move(objects: Objects, stage: str, path: str, array: ArraySpec) -> None:
    """Puts the copy in its place, unless another process has put an equal one there already."""
    root = Path(objects.url)
    for _ in range(3):
        try:
            (root / stage).rename(root / path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _holds(objects, path, array):
            return
        # Damaged: out of the way in one step, so that nobody reads half of it.
        with suppress(FileNotFoundError):
            (root / path).rename(root / f"{stage}-damaged")
        objects.delete_under(f"{stage}-damaged")
    raise StoreError(f"The copy of the input at {root / path} cannot be replaced. Remove it.")


def _holds(objects: Objects, path: str, array: ArraySpec) -> bool:
    """Whether an earlier copy is there, whole and with the bytes it was written with."""
    try:
        found: Group | None = find(objects, path)
    except StoreError:
        return False
    keys = (array.object_key(block) for block in range(array.blocks))
    return found is not None and found.complete and all(found.intact(key) for key in keys)


def _digest(values: np.ndarray) -> str:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return digest(np.ascontiguousarray(little).reshape(-1).view(np.uint8))


def _digest_rows(x: Points) -> int:
    """Rows of a digest: the largest power of two whose rows fit in 16 MiB."""
    return 1 << max(0, (DIGEST_BYTES // max(1, x.row_bytes)).bit_length() - 1)


def _blocks(x: Points) -> int:
    return -(-len(x) // _digest_rows(x))


def _newest(fingerprint: list[Any]) -> float:
    return max((max(entry[3], entry[4]) for entry in fingerprint), default=0) / 1e9
