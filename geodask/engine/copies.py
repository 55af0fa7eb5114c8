"""Copies in the store of rows that tasks cannot read where they are, named by their content."""

import errno
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np

from ..errors import StoreError
from ..store.array import ArraySpec
from ..store.group import create, find
from ..store.objects import Objects
from .points import Points
from .save import storage_rows
from .sources import Zarr


def write_copy(x: Points, slices: Iterable[tuple[int, np.ndarray]], objects: Objects) -> str:
    """Writes the rows, as slices (first row, rows) of whole chunks; the path of the stage."""
    array = ArraySpec("points", x.shape, storage_rows(x), x.dtype.name)
    stage = f"points-stage-{uuid4().hex}"
    try:
        group = create(objects, stage, {"operation": "points"}, [array], None)
        for start, rows in slices:
            for low in range(0, len(rows), array.rows_per_chunk):
                part = rows[low : low + array.rows_per_chunk]
                key, found, _ = group.write(array, (start + low) // array.rows_per_chunk, part)
                group.digests[key] = found
        group.commit(["points"], {})
    except BaseException:
        objects.delete_under(stage)
        raise
    return stage


def found_copy(x: Points, path: str, objects: Objects) -> Points | None:
    """The rows of a complete copy at a path, or None. Whether its bytes are right is not asked."""
    try:
        group = find(objects, path)
    except StoreError:
        return None
    if group is None or not group.complete:
        return None
    array = group.arrays["points"]
    source = Zarr(array.shape, x.dtype, objects.url, f"{path}/points", array.rows_per_chunk)
    return Points(source, x.manifold)


def place_copy(stage: str, path: str, objects: Objects) -> None:
    """Puts a stage at its path, in place of what lies there: nobody reads half of either."""
    root, away = Path(objects.url), f"points-stage-{uuid4().hex}"
    for _ in range(3):
        with suppress(FileNotFoundError):
            (root / path).rename(root / away)
        objects.delete_under(away)
        try:
            (root / stage).rename(root / path)
            return
        except OSError as error:  # another process has just put its copy there
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    objects.delete_under(stage)
    raise StoreError(f"The copy of the input at {root / path} cannot be replaced. Remove it.")
