"""Rows read straight from the files of a Zarr array whose chunks hold whole rows as memory does.

Zarr reads a chunk into memory, and copies from there what was asked for; it asks an event loop for
each chunk. Here the system copies the rows of each chunk to their place, and nothing else.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np


def raw_rows(array: Any, start: int, stop: int) -> np.ndarray | None:
    """Rows start:stop of an open Zarr array.

    None where zarr has to say what they are: its chunks lie in no folder of this machine, are
    encoded, or divide rows; or one of them is missing, or of another size than it must be.
    """
    from zarr.storage import LocalStore

    store = array.store
    stop = min(stop, array.shape[0])
    if start >= stop or not isinstance(store, LocalStore) or not _is_raw(array):
        return None
    folder = store.root / array.path
    out = np.empty((stop - start, *array.shape[1:]), array.dtype.newbyteorder("="))
    room, row_bytes = out.reshape(-1).view(np.uint8).data, out[0].nbytes
    rows, at = array.chunks[0], start
    while at < stop:
        chunk, skipped = divmod(at, rows)
        count = min(rows - skipped, stop - at)
        key = array.metadata.encode_chunk_key((chunk, *[0] * (array.ndim - 1)))
        part = room[(at - start) * row_bytes : (at - start + count) * row_bytes]
        if not _fill(part, folder / key, skipped * row_bytes, rows * row_bytes):
            return None
        at += count
    return out


def _fill(room: memoryview, path: Path, skipped: int, size: int) -> bool:
    """Whether the file has this size, and the room was filled with what follows so many bytes."""
    try:
        with path.open("rb", buffering=0) as file:
            if file.seek(0, 2) != size:
                return False
            file.seek(skipped)
            return file.readinto(room) == len(room)
    except FileNotFoundError:
        return False


def _is_raw(array: Any) -> bool:
    """Whether a chunk's file holds whole rows, one after the other, as this processor has them."""
    said = array.metadata.to_dict()
    if array.dtype.kind not in "fiu" or sys.byteorder != "little":
        return False
    if said["zarr_format"] == 2:
        plain = not said["compressor"] and not said["filters"] and said["order"] == "C"
        return plain and array.dtype.isnative and array.chunks[1:] == array.shape[1:]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    plain = list(said["codecs"]) in ([little], [{"name": "bytes"}])
    regular = said["chunk_grid"]["name"] == "regular"
    return plain and regular and array.chunks[1:] == array.shape[1:]
