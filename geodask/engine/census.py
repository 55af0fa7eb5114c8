"""The pass over a source that digests its rows and checks them, a block at a time.

The digest is of content: of the rows in blocks of a size that depends on the row alone, so the same
rows have the same digest from numpy, ``.npy`` and Zarr in any chunking. It is remembered in the
store under the files' inode, size and both times, and taken again when any of them changed; what
changed less than two seconds before it was digested is not remembered at all.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ..config import Settings
from ..errors import in_short
from ..events import ADMISSION, About, PlanEnded, PlanStarted, Stats, TaskDone, Watcher, watching
from ..storage.keys import canonical, content_key, digest, join_digests
from ..storage.objects import Objects
from ..storage.seal import get_note, put_note
from .checks import check_rows
from .executors import Executor, bounded
from .points import Points
from .progress import Progress
from .sources import is_settled

DIGEST_BYTES = 16 << 20
SPAN_BYTES = 128 << 20
"""Rows of a task, at least: where it begins and ends, storage may have to be decoded twice. Larger
ones leave cores without work at the end."""
SAVE_SECONDS = 1.0
"""Digests are stored this often, or so seldom that it takes a twentieth of the time."""


@dataclass
class Examined:
    """Some blocks of rows that are points."""

    digests: dict[int, str] = field(default_factory=dict)
    """Those of the blocks."""
    stats: Stats = field(default_factory=lambda: Stats(tasks=1))
    """What it took."""


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
        return blocks_of(self.x)

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
        with self._shown(missing, engine.slots) as watch:
            try:
                spans = dealt(list(self._spans(missing)), engine.slots)
                calls = ((self.x, *span, validate, self.trusted) for span in spans)
                for found in bounded(engine, "gd-admission", examine, calls):
                    self._note(found, watch)
            finally:
                self._save()

    @contextmanager
    def taking_along(self) -> Iterator[Iterator[tuple[int, np.ndarray]]]:
        """All blocks in turn, read here for another purpose, as (first row, rows)."""
        with self._shown(range(self.blocks), 1) as watch:
            yield self._taken_along(watch)

    def _taken_along(self, watch: Watcher) -> Iterator[tuple[int, np.ndarray]]:
        for start, stop in _units(self.x, 0, self.blocks):
            rows, found = self.x.read(start, stop), Examined()
            _examine(self.x, start, [rows], self.settings.validate, False, found)
            self._note(found, watch)
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
    def _shown(self, blocks: Any, slots: int) -> Iterator[Watcher]:
        """Tells how it goes while some blocks are taken."""
        if len(blocks) == 0:
            yield watching()
            return
        x, watch = self.x, watching(Progress(self.settings.progress))
        about = About(
            operation=ADMISSION, manifold=str(x.manifold), url=x.source.label, created=time.time(),
            blocks=self.blocks, missing=tuple(map(int, blocks)), slots=slots,
            chunk_bytes=x.source.chunk[0], codec=x.source.chunk[1],
        )  # fmt: skip
        stored = self.blocks - len(blocks)
        watch(PlanStarted(f"gd-{ADMISSION}", self.blocks, stored, len(x), about))
        try:
            yield watch
        except BaseException as error:
            watch(PlanEnded(False, error=in_short(error)))
            raise
        watch(PlanEnded(True))

    def _note(self, found: Examined, watch: Watcher) -> None:
        self._digests |= {str(block): each for block, each in found.digests.items()}
        for number, block in enumerate(found.digests):  # a task has many, and did what it did once
            stats = found.stats if number == 0 else Stats()
            watch(TaskDone(1.0, stats, ADMISSION, block, finishes=True))
        if time.monotonic() - self._saved_at > self._pause:
            self._save()

    def _save(self) -> None:
        begin = time.monotonic()
        if self._key is not None and len(self._digests) > self._known:
            put_note(self.objects, self._key, self._digests)
            self._known = len(self._digests)
        self._saved_at = time.monotonic()
        self._pause = max(SAVE_SECONDS, 20 * (self._saved_at - begin))

    def _recall(self) -> None:
        self._digests = (get_note(self.objects, self._key) if self._key is not None else None) or {}
        self._known = len(self._digests)


def dealt(spans: list[tuple[int, int]], hands: int) -> list[tuple[int, int]]:
    """An order in which so many readers who take turns go on, each of them, where they were."""
    each = -(-len(spans) // hands)
    return [span for start in range(each) for span in spans[start::each]]


def examine(x: Points, first: int, stop: int, validate: str, trusted: bool) -> Examined:
    """Reads and checks the blocks first:stop."""
    found, begin = Examined(), time.perf_counter()
    for start, end in _units(x, first, stop):
        pieces = _timed(x.source.pieces(start, end), found.stats)
        _examine(x, start, pieces, validate, trusted, found)
    found.stats.seconds = time.perf_counter() - begin
    found.stats.kernel_seconds = found.stats.seconds - found.stats.read_seconds
    return found


def _timed(pieces: Iterable[np.ndarray], stats: Stats) -> Iterator[np.ndarray]:
    """The pieces, and how long each was waited for."""
    ahead = iter(pieces)
    while True:
        begin = time.perf_counter()
        rows = next(ahead, None)
        stats.read_seconds += time.perf_counter() - begin
        if rows is None:
            return
        yield rows


def _units(x: Points, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """The rows of some blocks, as many at once as a large chunk of the storage holds."""
    size = digest_rows(x)
    step = max(1, x.source.chunk_rows // size)
    for low, high in pairwise([first, *range((first // step + 1) * step, stop, step), stop]):
        yield low * size, min(high * size, len(x))


def _examine(
    x: Points,
    start: int,
    pieces: Iterable[np.ndarray],
    validate: str,
    trusted: bool,
    found: Examined,
) -> None:
    """Checks whole blocks of rows from row ``start`` on, and digests them."""
    size, at, held = digest_rows(x), start, []
    for rows in pieces:
        check_rows(x, rows, at, validate)
        cuts = [at, *range((at // size + 1) * size, at + len(rows), size), at + len(rows)]
        for low, high in pairwise(cuts):
            held.append(little(rows[low - at : high - at]))
            if high % size == 0 or high == len(x):
                found.digests[low // size] = "" if trusted else digest(*held)
                held = []
        at += len(rows)
        found.stats.rows += len(rows)
        found.stats.bytes_read += rows.nbytes


def digest_rows(x: Points) -> int:
    """Rows of a digest: the largest power of two whose rows fit in 16 MiB."""
    return 1 << max(0, (DIGEST_BYTES // max(1, x.row_bytes)).bit_length() - 1)


def blocks_of(x: Points) -> int:
    """How many blocks of digests the rows have."""
    return -(-len(x) // digest_rows(x))


def little(values: np.ndarray) -> np.ndarray:
    """The same, little-endian and in C order: the bytes that are digested."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
