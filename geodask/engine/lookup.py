"""Row numbers by id, from an index in the store that is built once for each content of the ids.

The index is two arrays, the 64-bit hashes of the ids in order and the row of each, and the first
hash of every chunk of them. A look-up reads the chunks that its hashes fall into and then the ids
that it found: equal hashes decide nothing. It is built in two passes over hashes, not over ids:
they are spilled into buckets by their highest bits, and each bucket is sorted in memory.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np

from ..arrays.select import ranges
from ..config import settings
from ..errors import SpecError, StoreError
from ..storage.array import ArraySpec
from ..storage.entries import SCRATCH
from ..storage.group import Group, create, find
from ..storage.keys import content_key, digest, join_digests
from ..storage.leases import hold
from ..storage.objects import Objects, open_store
from .ids import ID_ROWS, Ids, as_ids
from .sources import is_settled
from .space import check_space

VERSION = 1
BUCKET_ROWS = 1 << 22
"""Ids whose hashes are sorted at once: some 300 MiB."""
PARTS = ("hashes", "rows")
PAIR = np.dtype([("hashes", "<u8"), ("rows", "<i8")])


def rows_of(ids: Ids, wanted: Any, label: str) -> np.ndarray:
    """The row numbers (m,) of m ids.

    Raises KeyError for ids that are not there, and SpecError where one names several rows or the
    ids are of another kind.
    """
    asked = np.asarray(as_ids(wanted))
    if len(asked) and (asked.dtype == object) != (ids.dtype == object):
        kinds = ("integers", "strings") if asked.dtype == object else ("strings", "integers")
        raise SpecError(
            f"Rows of {label} are named by {kinds[0]}",
            came=f"{kinds[1]} came",
            do="Convert them.",
        )
    position, row = _candidates(ids, asked)
    same = ids.take(row) == asked[position]
    position, row = position[same], row[same]
    count = np.bincount(position, minlength=len(asked))
    if not count.all():
        unknown = asked[count == 0]
        raise KeyError(f"{label} has no rows named {_some(unknown)}. Pass ids that it has.")
    if len(position) > len(asked):
        twice = int(np.flatnonzero(count > 1)[0])
        places = (ids.source.place(int(each)) for each in np.sort(row[position == twice])[:3])
        raise SpecError(
            f"Ids of {label} must be unique where rows are looked up by them",
            came=f"several rows are named {_some(asked[count > 1])}: {' and '.join(places)}",
            do="Rename them, or take rows by number.",
        )
    return row[np.argsort(position, kind="stable")]


def _candidates(ids: Ids, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in ``asked`` and rows whose ids have the same hash."""
    nothing = np.empty(0, np.int64)
    fits = np.ones(len(asked), bool)
    if ids.dtype != object and asked.dtype != ids.dtype:  # one is signed: as floats, many are equal
        fits = (asked >= 0) & (asked <= np.iinfo(np.int64).max)
    if len(ids) == 0 or not fits.any():
        return nothing, nothing
    of = hash_ids(asked)
    try:
        return _matches(_index(ids), of, fits)
    except StoreError:  # it is made of the ids, and made again where it is damaged
        return _matches(_index(ids, anew=True), of, fits)


def _matches(group: Group, of: np.ndarray, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in ``of``, where it fits, and rows whose ids have that hash."""
    nothing = np.empty(0, np.int64)
    hashes, rows = group.arrays["hashes"], group.arrays["rows"]
    bounds = group.read(group.arrays["bounds"], 0)
    first = np.maximum(np.searchsorted(bounds, of, "left") - 1, 0)
    last = np.searchsorted(bounds, of, "right") - 1
    found = [(nothing, nothing)]
    for chunk in _between(first[fits], last[fits]):
        inside = np.flatnonzero(fits & (first <= chunk) & (chunk <= last))
        stored = group.read(hashes, chunk)
        low, high = (np.searchsorted(stored, of[inside], side) for side in ("left", "right"))
        if (low < high).any():
            position = np.repeat(inside, high - low)
            found.append((position, group.read(rows, chunk)[ranges(low, high - low)]))
    position, row = (np.concatenate(each) for each in zip(*found, strict=True))
    return position, row


def _between(first: np.ndarray, last: np.ndarray) -> list[int]:
    """The chunks that lie in one of the spans first..last."""
    spans = np.unique(np.stack([first, last]), axis=1).T
    return sorted({chunk for low, high in spans.tolist() for chunk in range(low, high + 1)})


def _some(ids: np.ndarray) -> str:
    shown = ", ".join(repr(each) for each in ids[:5].tolist())
    return f"{shown} and {len(ids) - 5} more" if len(ids) > 5 else shown


def hash_ids(ids: np.ndarray) -> np.ndarray:
    """64-bit hashes (m,), the same for an id in every process."""
    from pandas import util

    hashing: Any = util  # what it exports is untyped
    return hashing.hash_array(ids, categorize=False)


# --- the index ----------------------------------------------------------------------------------


def _index(ids: Ids, anew: bool = False) -> Group:
    """The index of the ids in the store; built where it is not there, or once more."""
    current = settings()
    objects = open_store(current)
    probe = [int(hash_ids(np.array(["geodask"], object))[0]), int(hash_ids(np.array([-1]))[0])]
    spec = {"operation": "ids", "version": VERSION, "of": _identity(ids), "hashing": probe}
    path = f"ids-{content_key(spec)}"
    lease = hold(objects, path)
    if anew:
        objects.delete_under(path)
    group = find(objects, path)
    if group is None or not group.complete:
        # Each hash is spilled, and written in order.
        check_space(f"The index of {len(ids)} ids", 2 * PAIR.itemsize * len(ids), objects, current)
        shape, chunks = (len(ids),), -(-len(ids) // ID_ROWS)
        arrays = [ArraySpec(part, shape, ID_ROWS, PAIR[part].name) for part in PARTS]
        arrays.append(ArraySpec("bounds", (chunks,), chunks, "uint64"))
        group = create(objects, path, spec, arrays, None)
        _build(ids, group)
    group.lease = lease
    return group


def _identity(ids: Ids) -> Any:
    """What names the content: the state of files that are not being written, else a digest."""
    fingerprint, name = ids.source.fingerprint(), ids.source.name
    if fingerprint is not None and name is not None and is_settled(fingerprint):
        return [name, fingerprint]
    hashed = (hash_ids(names) for _, names in ids.blocks())
    return [ids.dtype.name, len(ids), join_digests(digest(each) for each in hashed)]


def _build(ids: Ids, group: Group) -> None:
    spilled = f"{SCRATCH}ids-{uuid4().hex}"
    lease = hold(group.objects, spilled)
    bits = max(0, (len(ids) - 1) // BUCKET_ROWS).bit_length()
    bounds: list[np.ndarray] = []
    try:
        _spill(ids, bits, group.objects, spilled)
        for block, pairs in _chunks(_sorted_buckets(group.objects, spilled, bits)):
            for part in PARTS:
                key, found, _ = group.write(group.arrays[part], block, pairs[part])
                group.digests[key] = found
            bounds.append(pairs["hashes"][:1])
        key, found, _ = group.write(group.arrays["bounds"], 0, np.concatenate(bounds))
        group.digests[key] = found
        group.commit([*PARTS, "bounds"], {})
    finally:
        group.objects.delete_under(spilled)
        del lease  # until here it is no litter


def _spill(ids: Ids, bits: int, objects: Objects, folder: str) -> None:
    """Writes (hash, row) of each block of ids, parted by the highest bits of the hash."""
    for start, names in _large_blocks(ids):
        pairs = np.empty(len(names), PAIR)
        pairs["hashes"], pairs["rows"] = hash_ids(names), np.arange(start, start + len(names))
        bucket = _bucket(pairs, bits)
        for each in np.unique(bucket):
            part = pairs[bucket == each]
            objects.put(f"{folder}/{each:06d}/{start:020d}", part.view(np.uint8))


def _large_blocks(ids: Ids) -> Iterator[tuple[int, np.ndarray]]:
    """Sixteen blocks at once, so that spilled objects are few."""
    held: list[np.ndarray] = []
    first = 0
    for start, names in ids.blocks():
        held.append(names)
        if len(held) == 16 or start + len(names) == len(ids):
            yield first, np.concatenate(held)
            first, held = start + len(names), []


def _bucket(pairs: np.ndarray, bits: int) -> np.ndarray:
    return (pairs["hashes"] >> np.uint64(64 - bits)) if bits else np.zeros(len(pairs), np.uint64)


def _sorted_buckets(objects: Objects, folder: str, bits: int) -> Iterator[np.ndarray]:
    for each in range(1 << bits):
        parts = [objects.get(key) for key in objects.keys(f"{folder}/{each:06d}")]
        held = [part.view(PAIR) for part in parts if part is not None]
        if held:
            pairs = np.concatenate(held)  # by row, which a stable sort keeps among equal hashes
            yield pairs[np.argsort(pairs["hashes"], kind="stable")]


def _chunks(buckets: Iterator[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """The sorted pairs in chunks of the arrays, numbered."""
    rest, block = np.empty(0, PAIR), 0
    for pairs in buckets:
        rest = np.concatenate([rest, pairs])
        while len(rest) >= ID_ROWS:
            yield block, rest[:ID_ROWS]
            rest, block = rest[ID_ROWS:], block + 1
    if len(rest):
        yield block, rest
