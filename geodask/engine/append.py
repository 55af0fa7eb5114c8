"""Rows added to points that `Points.save` wrote, in place.

The length of ``points`` is written last: before it is, readers see the rows that were there, and
whatever a killed process left is written over by the next one.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from ..errors import SpecError, StoreError
from ..storage.array import ArraySpec
from ..storage.objects import open_objects
from .files import LOCAL
from .save import full_chunk_rows
from .sources import Source, Zarr
from .stored_ids import append_ids

AS_SAVED = "points", LOCAL

if TYPE_CHECKING:
    from .points import Points


def append_points(x: "Points", new: "Points") -> None:
    """Writes the rows and ids of ``new`` behind those of ``x``.

    Raises SpecError where they do not match or x was not saved, StoreError where it has changed.
    """
    from .points import concat

    folder, old = _saved(x.source), len(x)
    _check(x, new)
    with _alone(folder):
        group: Any = zarr.open_group(str(folder), mode="r+")
        array = group["points"]
        if array.shape[0] != old:
            raise StoreError(
                f"{folder} must have the {old} rows that it had when it was opened",
                came=f"it has {array.shape[0]}",
                do="Open it again.",
            )
        if array.chunks[0] < full_chunk_rows(x):  # so few rows were saved: all are written anew
            concat([x, new]).save(folder, overwrite=True)
            return
        if new.ids is not None:
            append_ids(group, new.ids, old)
        shape = (old + len(new), *array.shape[1:])
        spec = ArraySpec("points", shape, array.chunks[0], x.dtype.name)
        objects = open_objects(str(folder))
        for block in range(old // spec.rows_per_chunk, spec.blocks):
            objects.put(spec.object_key(block), spec.encode(_rows(x, new, spec, block)))
        array.resize(shape)


def _rows(x: "Points", new: "Points", spec: ArraySpec, block: int) -> np.ndarray:
    """The rows of a block, of which some may be there already."""
    part, old = spec.region(block)[0], len(x)
    start, stop = part.start, part.stop
    kept = x.read(min(start, old), min(stop, old))
    return np.concatenate([kept, new.read(max(start - old, 0), stop - old)])


def _saved(source: Source) -> Path:
    if isinstance(source, Zarr) and source.whole and (source.path, source.files) == AS_SAVED:
        return Path(source.url)
    raise SpecError(
        "Rows are appended to points that were saved in a folder of this machine",
        came=f"those of {source.label} were not",
        do="Call x.save(path) and gd.open(path) first, or join both with gd.concat.",
    )


def _check(x: "Points", new: "Points") -> None:
    """Raises SpecError where rows of one cannot stand behind those of the other."""
    pairs = {
        "manifold": (x.manifold, new.manifold),
        "dtype": (x.dtype.name, new.dtype.name),
        "kind of ids": tuple(None if y.ids is None else y.ids.dtype.name for y in (x, new)),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise SpecError(
                f"Points are appended to points of one {what}",
                came=f"{theirs} came for {ours}",
                do="Convert them first.",
            )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process appends there meanwhile; the lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"One process at a time appends to {folder}",
                came="another does just now",
                do="Open it again and append once that is done.",
            ) from error
        yield
    finally:
        os.close(handle)
