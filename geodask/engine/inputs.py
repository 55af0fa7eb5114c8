"""What a job reads: rows and ids at places that any process can open, written where they are not.

Rows are copied as they are for every plan; ids lie under ``inputs/<content>``.
"""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import zarr

from ..config import Settings
from ..storage.keys import digest, join_digests
from ..storage.objects import Objects, memory_objects
from .admission import admit
from .derived import Selected
from .executors import Executor
from .files import files_of
from .ids import Ids
from .points import Points
from .sources import Lazy, Memory, Zarr
from .stored_ids import load_ids, save_ids


def kept(x: Points, current: Settings, engine: Executor, objects: Objects) -> Points:
    """The same points, of which nothing is only here."""
    source, ids = x.source, x.ids
    if not _stays(source):
        source = admit(x, current, engine, objects).points.source
    if ids is not None and not _stays(ids):
        ids = _kept_ids(ids, objects)
    return Points(source, x.manifold, ids)


def _stays(value: Any) -> bool:
    """Whether another process can open a source, or ids, by few words. Rows by number are many."""
    if isinstance(value, Memory | Lazy):
        return False
    if isinstance(value, Selected) and isinstance(value.rows, np.ndarray):
        return False
    if isinstance(value, tuple):
        return all(map(_stays, value))
    return not is_dataclass(value) or all(_stays(getattr(value, f.name)) for f in fields(value))


def _kept_ids(ids: Ids, objects: Objects) -> Ids:
    parts = (digest("\0".join(map(str, names)).encode()) for _, names in ids.blocks())
    path = f"inputs/{join_digests([ids.dtype.name, *parts])}"
    if objects.get(f"{path}/zarr.json") is None:
        here = memory_objects()
        save_ids(zarr.create_group(here.store), ids)
        # The root last: then all is there.
        for key in sorted(here.keys(""), key="zarr.json".__eq__):
            data = here.get(key)
            assert data is not None
            objects.put(f"{path}/{key}", data)
    files = files_of(objects)
    # Of the points beside which ids are looked for, there is no more than the name.
    where = (objects.url, f"{path}/points", 1)
    found = load_ids(Zarr((len(ids),), np.dtype(np.uint8), *where, whole=True, files=files))
    assert found is not None
    return found
