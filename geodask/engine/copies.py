"""Copies in the store of rows that tasks cannot read where they are, named by their content."""

import errno
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np

from ..errors import StoreError
from ..storage.array import ArraySpec
from ..storage.group import create, find
from ..storage.objects import Objects
from .points import Points
from .save import storage_rows
from .sources import Zarr

STAGE = "points-stage"
STALE_SECONDS = 86_400.0


def write_copy(
    x: Points, slices: Iterable[tuple[int, np.ndarray]], digest: Callable[[], str], objects: Objects
) -> str:
    """Writes the rows, as slices (first row, rows) of whole chunks; the path of the stage.

    ``digest``: that of all rows, known once the last slice has come. The copy carries it.
    """
    array = ArraySpec("points", x.shape, storage_rows(x), x.dtype.name)
    stage = f"{STAGE}-{uuid4().hex}"
    try:
        group = create(objects, stage, {"operation": "points"}, [array], None)
        for start, rows in slices:
            for low in range(0, len(rows), array.rows_per_chunk):
                part = rows[low : low + array.rows_per_chunk]
                key, found, _ = group.write(array, (start + low) // array.rows_per_chunk, part)
                group.digests[key] = found
        group.commit(["points"], {"digest": digest()})
    except BaseException:
        objects.delete_under(stage)
        raise
    return stage


def found_copy(x: Points, path: str, objects: Objects) -> tuple[Points, str] | None:
    """The rows of a complete copy at a path and the digest that they should have, or None."""
    try:
        group = find(objects, path)
    except StoreError:
        return None
    if group is None or not group.complete:
        return None
    array = group.arrays["points"]
    where = (objects.url, f"{path}/points", array.rows_per_chunk)
    copy = Points(Zarr(array.shape, x.dtype, *where, whole=True), x.manifold)
    return copy, group.body["report"].get("digest", "")


def place_copy(stage: str, path: str, objects: Objects) -> bool:
    """Puts a stage at its path in one step; False where something lies there."""
    root = Path(objects.url)
    try:
        (root / stage).rename(root / path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def remove_copy(path: str, objects: Objects) -> None:
    """Takes a copy away in one step, so that nobody reads half of it."""
    away = f"{STAGE}-{uuid4().hex}"
    with suppress(FileNotFoundError):
        (Path(objects.url) / path).rename(Path(objects.url) / away)
    objects.delete_under(away)


def remove_stale_stages(objects: Objects) -> None:
    """Removes what killed processes left half-written, once nothing was written there for a day."""
    for stage in Path(objects.url).glob(f"{STAGE}-*"):
        with suppress(OSError):
            newest = max(entry.stat().st_mtime for entry in [stage, *stage.rglob("*")])
            if newest < time.time() - STALE_SECONDS:
                objects.delete_under(stage.name)
