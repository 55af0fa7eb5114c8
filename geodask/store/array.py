"""An array of a group: its blocks, their bytes, and its metadata as zarr writes them."""

import math
from dataclasses import dataclass

import numpy as np
import zarr

from .objects import memory_objects


@dataclass(frozen=True)
class ArraySpec:
    """An array of a group, chunked along its first axis only."""

    name: str
    shape: tuple[int, ...]
    rows_per_chunk: int
    dtype: str

    @property
    def chunks(self) -> tuple[int, ...]:
        return (max(1, self.rows_per_chunk), *(max(1, side) for side in self.shape[1:]))

    def object_key(self, block: int) -> str:
        """The key of the object that holds a block of rows."""
        return "/".join([self.name, "c", str(block), *["0"] * (len(self.shape) - 1)])

    def rows(self, block: int) -> int:
        """How many rows the block holds; the last may hold fewer."""
        return min(self.rows_per_chunk, self.shape[0] - block * self.rows_per_chunk)

    @property
    def blocks(self) -> int:
        return math.ceil(self.shape[0] / max(1, self.rows_per_chunk))

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def encode(self, values: np.ndarray) -> np.ndarray:
        """The object's bytes: a whole chunk, little-endian, a short last one padded with zeros."""
        chunk = np.zeros(self.chunks, np.dtype(self.dtype).newbyteorder("<"))
        chunk[tuple(map(slice, values.shape))] = values
        return chunk.reshape(-1).view(np.uint8)

    def decode(self, data: np.ndarray, block: int) -> np.ndarray:
        """The rows of a block from the object's bytes."""
        chunk = data.view(np.dtype(self.dtype).newbyteorder("<")).reshape(self.chunks)
        shape = self.rows(block), *self.shape[1:]
        return chunk[tuple(map(slice, shape))].astype(self.dtype, copy=False)

    def metadata(self) -> np.ndarray:
        """The array's zarr.json as zarr itself writes it, with raw chunks."""
        scratch = memory_objects()
        zarr.create_array(
            scratch.store,
            name="array",
            shape=self.shape,
            chunks=self.chunks,
            dtype=self.dtype,
            compressors=None,
            filters=None,
        )
        found = scratch.get("array/zarr.json")
        assert found is not None
        return found
