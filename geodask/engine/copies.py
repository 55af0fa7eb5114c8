"""Copies in the store of rows that tasks cannot read where they are, named by their content.

What the content is may be known only once the rows were read: they are written to a stage, and
take their place one object after the other, the root last. Equal rows have equal objects, so those
that another process has put there are as good.
"""

import time
from collections.abc import Iterable
from uuid import uuid4

import numpy as np

from ..errors import StoreError
from ..storage.access import local_path
from ..storage.array import ArraySpec
from ..storage.group import Group, create, find
from ..storage.objects import Objects
from .files import LOCAL, Remote
from .points import Points
from .save import storage_rows
from .sources import Zarr

STAGES = "stages"
STALE_SECONDS = 86_400.0


def write_copy(x: Points, slices: Iterable[tuple[int, np.ndarray]], objects: Objects) -> Group:
    """A stage with the rows, which come as slices (first row, rows) of whole chunks."""
    array = ArraySpec("points", x.shape, storage_rows(x), x.dtype.name)
    path = f"{STAGES}/{uuid4().hex}"
    try:
        stage = create(objects, path, {"operation": "points"}, [array], None)
        for start, rows in slices:
            for low in range(0, len(rows), array.rows_per_chunk):
                part = rows[low : low + array.rows_per_chunk]
                key, found, _ = stage.write(array, (start + low) // array.rows_per_chunk, part)
                stage.digests[key] = found
    except BaseException:
        objects.delete_under(path)
        raise
    return stage


def place_copy(stage: Group, path: str, digest: str) -> None:
    """Puts what a stage holds at a path, in place of what is damaged there.

    ``digest``: that of all rows. The copy carries it.
    """
    objects = stage.objects
    copy = Group(objects, path, stage.body, stage.digests)
    try:
        there = set(objects.keys(f"{path}/points"))
        known = [key for key in copy.digests if f"{path}/{key}" in there]
        copy.discard(key for key in known if not copy.intact(key))
        for key in copy.digests:
            objects.move(f"{stage.path}/{key}", f"{path}/{key}")
        copy.commit(["points"], {"digest": digest})
    finally:
        objects.delete_under(stage.path)


def found_copy(x: Points, path: str, objects: Objects) -> tuple[Points, str] | None:
    """The rows of a complete copy at a path and the digest that they should have, or None."""
    try:
        group = find(objects, path)
    except StoreError:
        return None
    if group is None or not group.complete:
        return None
    array, local = group.arrays["points"], local_path(objects.url) is not None
    files = LOCAL if local else Remote(objects.url, objects.options)
    where = (objects.url, f"{path}/points", array.rows_per_chunk)
    copy = Points(Zarr(array.shape, x.dtype, *where, whole=True, files=files), x.manifold)
    return copy, group.body["report"].get("digest", "")


def remove_stale_stages(objects: Objects) -> None:
    """Removes what killed processes left half-written, once nothing was written there for a day."""
    newest: dict[str, float] = {}
    for key, written in objects.written(STAGES).items():
        stage = "/".join(key.split("/")[:2])
        newest[stage] = max(written, newest.get(stage, written))
    for stage, written in newest.items():
        if written < time.time() - STALE_SECONDS:
            objects.delete_under(stage)
