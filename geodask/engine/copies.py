"""Copies in the store of rows that tasks cannot read where they are, named by their content.

What the content is may be known only once the rows were read: they are written to a stage, which
then takes its place, the root last. Equal rows have equal objects, so what another process has put
there is as good.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Any
from uuid import uuid4

import numpy as np

from ..errors import StoreError
from ..storage.array import ArraySpec
from ..storage.group import create, find
from ..storage.keys import content_key
from ..storage.objects import Objects
from .files import files_of
from .points import Points
from .save import storage_rows
from .sources import Zarr

STAGES = "stages"
STALE_SECONDS = 86_400.0
AT_ONCE = 8
"""Chunks written side by side: a bucket takes many as fast as one."""


def write_copy(
    x: Points, slices: Iterable[tuple[int, np.ndarray]], digest: Callable[[], str], objects: Objects
) -> str:
    """Writes the rows, as slices (first row, rows) of whole chunks; the path of the stage.

    ``digest``: that of all rows, known once the last slice has come. The copy carries it.
    """
    array = ArraySpec("points", x.shape, storage_rows(x), x.dtype.name)
    stage, step = f"{STAGES}/{uuid4().hex}", array.rows_per_chunk
    try:
        group = create(objects, stage, {"operation": "points"}, [array], None)
        with ThreadPoolExecutor(AT_ONCE, "geodask-copy") as pool:
            for start, rows in slices:
                parts = [rows[low : low + step] for low in range(0, len(rows), step)]
                written = pool.map(partial(group.write, array), count(start // step), parts)
                group.digests.update((key, found) for key, found, _ in written)
        group.commit(["points"], {"digest": digest()})
    except BaseException:
        objects.delete_under(stage)
        raise
    return stage


def copy_path(content: dict[str, Any]) -> str:
    """Where the copy of rows of a content lies."""
    return f"points-{content_key(content)}"


def place_copy(stage: str, path: str, objects: Objects) -> None:
    """Puts what a stage holds at a path, the root last, in place of anything else there."""
    points, place = f"{stage}/points", f"{path}/points"
    try:
        while not objects.move(points, place) and not _same(objects, points, place):
            objects.delete_under(place)
        root = objects.get(f"{stage}/zarr.json")
        assert root is not None
        objects.put(f"{path}/zarr.json", root)
    finally:
        objects.delete_under(stage)


def _same(objects: Objects, *prefixes: str) -> bool:
    """Whether the same bytes lie under both: those of another process, that was faster."""
    mine, theirs = ([key.removeprefix(each) for key in objects.keys(each)] for each in prefixes)
    pairs: Any = ([objects.get(each + key) for each in prefixes] for key in mine)
    return mine == theirs and all(np.array_equal(*pair) for pair in pairs)


def found_copy(x: Points, path: str, objects: Objects) -> tuple[Points, str] | None:
    """The rows of a complete copy at a path and the digest that they should have, or None."""
    try:
        group = find(objects, path)
    except StoreError:
        return None
    if group is None or not group.complete:
        return None
    array, files = group.arrays["points"], files_of(objects)
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
