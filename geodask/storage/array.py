"""An array of a group: its blocks, their bytes, and its metadata as zarr writes them."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import zarr

from .objects import memory_objects


@dataclass(frozen=True)
class ArraySpec:
    """An array of a group, in chunks of whole rows, or of rows and columns.

    Its blocks are its chunks, numbered row after row of them.
    """

    name: str
    shape: tuple[int, ...]
    rows_per_chunk: int
    dtype: str
    columns_per_chunk: int | None = None
    """None where chunks are whole rows."""
    ragged: bool = False
    """Objects hold the rows that they were given, at most a chunk of them: zarr cannot read them,
    and nothing of a result is such an array."""

    @property
    def chunks(self) -> tuple[int, ...]:
        sides = [self.rows_per_chunk, *self.shape[1:]]
        if self.columns_per_chunk is not None:
            sides[1] = self.columns_per_chunk
        return tuple(max(1, side) for side in sides)

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis."""
        return tuple(-(-side // chunk) for side, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def blocks(self) -> int:
        return math.prod(self.grid)

    def block_at(self, place: tuple[int, ...]) -> int:
        """The number of the block at a place in the grid."""
        return int(np.ravel_multi_index(place, self.grid))

    def object_key(self, block: int) -> str:
        """The key of the object that holds a block."""
        return "/".join([self.name, "c", *map(str, np.unravel_index(block, self.grid))])

    def object_keys(self) -> list[str]:
        """The keys of all blocks, in order."""
        places = product(*(map(str, range(side)) for side in self.grid))
        return ["/".join([self.name, "c", *place]) for place in places]

    def region(self, block: int) -> tuple[slice, ...]:
        """The part of the array that a block holds; the last along an axis may be smaller."""
        places = zip(np.unravel_index(block, self.grid), self.chunks, self.shape, strict=True)
        return tuple(slice(int(i) * c, min((int(i) + 1) * c, side)) for i, c, side in places)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def block_bytes(self) -> int:
        """Bytes of an object, at most."""
        return math.prod(self.chunks) * np.dtype(self.dtype).itemsize

    def encode(self, values: np.ndarray) -> np.ndarray:
        """The object's bytes: a whole chunk, little-endian, a smaller block padded with zeros."""
        if self.ragged:
            little = np.ascontiguousarray(values, np.dtype(self.dtype).newbyteorder("<"))
            return little.reshape(-1).view(np.uint8)
        chunk = np.zeros(self.chunks, np.dtype(self.dtype).newbyteorder("<"))
        chunk[tuple(map(slice, values.shape))] = values
        return chunk.reshape(-1).view(np.uint8)

    def decode(self, data: np.ndarray, block: int) -> np.ndarray:
        """The values of a block from the object's bytes."""
        chunk = data.view(np.dtype(self.dtype).newbyteorder("<"))
        if self.ragged:
            return chunk.reshape(-1, *self.shape[1:]).astype(self.dtype, copy=False)
        sides = (slice(part.stop - part.start) for part in self.region(block))
        return chunk.reshape(self.chunks)[tuple(sides)].astype(self.dtype, copy=False)

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
