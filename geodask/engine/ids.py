"""Names of rows: strings or integers, kept beside the points in storage."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr

from ..errors import PointShapeError
from .sources import Source, Zarr, check_chunks

EVERY_CHUNK: Any = {"write_empty_chunks": True}


def as_ids(ids: Any) -> np.ndarray:
    """The ids as an array of strings or integers, one a row; PointShapeError for others."""
    values = np.asarray(ids)
    if values.dtype.kind == "U" and not isinstance(ids, np.ndarray):
        values = np.asarray(ids, object)  # numpy's own strings lose zeros at their end
    if values.shape == (0,):
        return values.astype(np.int64) if values.dtype.kind not in "iuUT" else values
    if values.dtype.kind == "O" and all(isinstance(each, str) for each in values.flat):
        if any(each.endswith("\0") or not _encodes(each) for each in values.flat):
            raise PointShapeError(
                "ids are text that UTF-8 can hold, without a zero at the end, but others came. "
                "Rename them."
            )
        values = values.astype(str)
    if values.ndim != 1 or values.dtype.kind not in "iuUT":
        raise PointShapeError(
            "ids are strings or integers, one a row",
            came=f"an array {values.shape} of {values.dtype} came, or names that are missing",
            do="Convert them to strings.",
        )
    return values


def _encodes(name: str) -> bool:
    return name.isascii() or name == name.encode(errors="replace").decode()


def save_ids(group: Any, ids: np.ndarray) -> None:
    """Strings as UTF-8 bytes and their ends: Zarr has no settled string type yet."""
    if ids.dtype.kind in "iu":
        kind = np.uint64 if ids.dtype.kind == "u" else np.int64
        group.create_array("ids", data=ids.astype(kind), compressors=None, config=EVERY_CHUNK)
        return
    encoded = [str(each).encode() for each in ids]
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    text = np.frombuffer(b"".join(encoded) or b"\0", np.uint8)
    group.create_array("id_ends", data=ends, compressors=None, config=EVERY_CHUNK)
    group.create_array("id_text", data=text, config=EVERY_CHUNK)


def load_ids(source: Source) -> np.ndarray | None:
    """The ids beside an array of points, or None."""
    if not isinstance(source, Zarr) or source.path.rpartition("/")[2] != "points":
        return None
    parent = source.path.rpartition("/")[0]
    group: Any = zarr.open_group(source.url, path=parent, mode="r")
    if "ids" in group:
        return _read(group, "ids", source)
    if "id_ends" not in group:
        return None
    ends, text = _read(group, "id_ends", source), bytes(_read(group, "id_text", source))
    starts = [0, *ends[:-1]]
    names = [text[a:b].decode() for a, b in zip(starts, ends, strict=False)]
    return np.array(names, dtype=str)


def _read(group: Any, name: str, source: Zarr) -> np.ndarray:
    """An array of ids. Raises StoreError where it lost a chunk, which zarr would read as zeros."""
    array = group[name]
    if source.whole:
        check_chunks(array, Path(source.url) / array.path, 0, array.shape[0])
    return np.asarray(array[...])
