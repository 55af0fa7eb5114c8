"""Ids beside the points in storage: arrays of a Zarr group, chunked and streamed both ways."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import StoreError
from .ids import ID_ROWS, Ids
from .sources import Source, Zarr, reading

TEXT_BYTES = 1 << 20
EVERY_CHUNK: Any = {"write_empty_chunks": True}


@dataclass(frozen=True)
class Text(Source):
    """Strings stored as their UTF-8 bytes, one after the other, and the end of each among them."""

    ends: Zarr = field(repr=False)
    text: Zarr = field(repr=False)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        import pyarrow as pa

        stop = min(stop, self.shape[0])
        if start >= stop:
            return np.empty(0, object)
        ends = self.ends.read(max(start - 1, 0), stop)
        bounds = ends if start else np.concatenate([np.zeros(1, np.int64), ends])
        if bounds[0] < 0 or (bounds[1:] < bounds[:-1]).any():
            raise StoreError(
                f"{self.ends.label} must hold ends that grow, but others came. "
                "Restore it, or save the points again."
            )
        data = self.text.read(int(bounds[0]), int(bounds[-1]))
        buffers = [pa.py_buffer(bounds - bounds[0]), pa.py_buffer(data)]
        with reading(self.label):
            names = pa.LargeStringArray.from_buffers(stop - start, *buffers)
            return names.to_numpy(zero_copy_only=False)

    @property
    def travels(self) -> bool:
        return True

    @property
    def access(self) -> frozenset[str]:
        return self.ends.access

    @property
    def chunk_rows(self) -> int:
        return self.ends.chunk_rows

    def fingerprint(self) -> list[Any]:
        return [*self.ends.fingerprint(), *self.text.fingerprint()]

    @property
    def name(self) -> Any:
        return [self.ends.name, self.text.name]

    @property
    def label(self) -> str:
        return self.text.label


def save_ids(group: Any, ids: Ids) -> None:
    """Writes ids block by block; strings as bytes and ends, since Zarr has no settled type yet."""
    text = ids.dtype == object
    kept = {"chunks": (ID_ROWS,), "compressors": None, "config": EVERY_CHUNK}
    dtype = np.dtype(np.int64) if text else ids.dtype
    array = group.create_array("id_ends" if text else "ids", shape=(len(ids),), dtype=dtype, **kept)
    blocks = ids.blocks()
    if text:
        of: Any = {"dtype": "uint8", "chunks": (TEXT_BYTES,), "config": EVERY_CHUNK}
        blocks = _text_ends(group.create_array("id_text", shape=(1,), **of), ids, 0)
    for start, values in blocks:
        array[start : start + len(values)] = values


def append_ids(group: Any, ids: Ids, old: int) -> None:
    """Writes ids behind the first ``old`` ones: what a killed process left behind them goes."""
    text = ids.dtype == object
    array = group["id_ends" if text else "ids"]
    blocks = ids.blocks()
    if text:
        written = int(array[old - 1]) if old else 0
        group["id_text"].resize((max(1, written),))
        blocks = _text_ends(group["id_text"], ids, written)
    array.resize((old + len(ids),))
    for start, values in blocks:
        array[old + start : old + start + len(values)] = values


def _text_ends(text: Any, ids: Ids, written: int) -> Iterator[tuple[int, np.ndarray]]:
    """Writes the bytes of strings behind others, in whole chunks; yields the ends of each block."""
    import pyarrow as pa

    rest = b""
    for start, names in ids.blocks():
        _, bounds, data = pa.array(names, pa.large_string()).buffers()
        ends = np.frombuffer(bounds, np.int64)[1 : len(names) + 1]
        yield start, written + len(rest) + ends
        rest += bytes(memoryview(data)[: ends[-1]])
        whole = len(rest) - (written + len(rest)) % TEXT_BYTES
        if whole > 0:
            _extend(text, written, rest[:whole])
            written, rest = written + whole, rest[whole:]
    if rest or not written:
        _extend(text, written, rest or b"\0")


def _extend(array: Any, length: int, data: bytes) -> None:
    array.resize((length + len(data),))
    array[length:] = np.frombuffer(data, np.uint8)


def load_ids(source: Source) -> Ids | None:
    """The ids beside an array of points, or None."""
    if not isinstance(source, Zarr) or source.path.rpartition("/")[2] != "points":
        return None
    group = source.group(source.path.rpartition("/")[0])
    if "ids" in group:
        return Ids(_beside(source, group["ids"], source.shape[0]))
    if "id_ends" not in group:
        return None
    ends = _beside(source, group["id_ends"], source.shape[0])
    text = _beside(source, group["id_text"])
    return Ids(Text(ends.shape, np.dtype(object), ends, text))


def _beside(source: Zarr, array: Any, rows: int | None = None) -> Zarr:
    """An array of the group, or its first rows: behind them a killed process may have left some."""
    shape = tuple(array.shape) if rows is None else (min(rows, array.shape[0]),)
    where = {"url": source.url, "files": source.files, "whole": source.whole}
    dtype = np.dtype(array.dtype)
    return Zarr(shape, dtype, path=array.path, rows_per_chunk=array.chunks[0], **where)
