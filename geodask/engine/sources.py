"""Where rows come from. A source reads slices of rows; tasks carry sources, never arrays."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import PointShapeError, SpecError, StoreError
from .executors import tell_workers
from .files import LOCAL, Files
from .raw import raw_rows

BLOCK_BYTES = 32 << 20
FRESH_SECONDS = 2.0


@dataclass(frozen=True)
class Source(ABC):
    """Rows of one shape and dtype. Frozen and small where it can travel."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start:stop as a C-ordered array in native byte order.

        Raises StoreError where they are not there, or not of the shape and dtype that they had.
        """
        rows = self._rows(start, stop)
        expected = (len(range(start, min(stop, self.shape[0]))), *self.shape[1:])
        if rows.shape != expected or rows.dtype != self.dtype:
            raise StoreError(
                f"{self.label} must have rows {start} to {stop} of shape {self.shape[1:]} and "
                f"{self.dtype}, as when it was opened",
                came=f"an array {rows.shape} of {rows.dtype} came",
                do="Open it again with gd.points.",
            )
        return rows

    def pieces(self, start: int, stop: int) -> Iterable[np.ndarray]:
        """The same rows one after the other, as storage hands them out. Raises as `read`."""
        return [self.read(start, stop)]

    @abstractmethod
    def _rows(self, start: int, stop: int) -> np.ndarray:
        """What `read` hands out, once it has been looked at."""

    @property
    def travels(self) -> bool:
        """Whether another process can read it, from a path that it sees."""
        return False

    @property
    def access(self) -> frozenset[str]:
        """Names of the options that a process must know to read it."""
        return frozenset()

    @property
    def computed(self) -> bool:
        """Whether each read computes its rows anew."""
        return False

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the chunk of the storage that is decoded whole, however few rows are read."""
        return min(self.chunk_rows, self.shape[0]) * self.row_bytes

    @property
    def chunk_rows(self) -> int:
        """Rows that storage hands out at once; slices along its borders are read once."""
        return 1

    @property
    def chunk(self) -> tuple[int, str]:
        """Bytes of a chunk of the storage, and the codecs that it is decoded with; 0 and nothing
        where it has no chunks that a user could choose."""
        return 0, ""

    def cuts(self, rows: int) -> list[int]:
        """Where readers best begin who share the rows: borders of storage, some ``rows`` apart."""
        step = -(-max(1, rows) // self.chunk_rows) * self.chunk_rows
        return list(range(0, self.shape[0], step))

    def fingerprint(self) -> list[Any] | None:
        """What changes whenever the stored bytes do; None for memory, which has no such thing."""
        return None

    @property
    def name(self) -> Any:
        """JSON that names the rows, given its files as they are; None where nothing does."""
        return None

    @property
    def label(self) -> str:
        """The source in words, for errors."""
        return "array in memory"

    def place(self, row: int) -> str:
        """Where a row lies, for errors."""
        return f"row {row}"

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize

    @property
    def block_rows(self) -> int:
        """Rows of a block of some 32 MiB, along the borders of the storage."""
        rows = max(1, min(self.shape[0], BLOCK_BYTES // max(1, self.row_bytes)))
        unit = min(self.chunk_rows, max(1, self.shape[0]))
        return max(unit, rows - rows % unit)

    def to_dask(self) -> Any:
        """The rows as a Dask array; nothing is read."""
        import dask.array as da

        tell_workers(self.access)
        n, rows = self.shape[0], self.block_rows
        if n == 0:
            return da.zeros(self.shape, dtype=self.dtype)
        sizes = tuple(min(rows, n - start) for start in range(0, n, rows))
        return da.map_blocks(
            _read_block,
            self,
            rows,
            dtype=self.dtype,
            chunks=(sizes, *((side,) for side in self.shape[1:])),
            meta=np.empty((0,) * len(self.shape), self.dtype),
        )


@dataclass(frozen=True)
class Memory(Source):
    """A numpy array of this process."""

    values: np.ndarray = field(repr=False, compare=False)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        return native_rows(self.values[start:stop])

    def to_dask(self) -> Any:
        import dask.array as da

        return da.from_array(
            self.values.astype(self.dtype, copy=False),
            chunks=(self.block_rows, *self.shape[1:]),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class Npy(Source):
    """A ``.npy`` file, memory-mapped."""

    path: str

    def _rows(self, start: int, stop: int) -> np.ndarray:
        with reading(self.path):
            return native_rows(np.load(self.path, mmap_mode="r")[start:stop])

    @property
    def travels(self) -> bool:
        return True

    def fingerprint(self) -> list[Any]:
        with reading(self.path):
            return [LOCAL.state(self.path)]

    @property
    def name(self) -> Any:
        return self.path

    @property
    def label(self) -> str:
        return self.path


@dataclass(frozen=True)
class Zarr(Source):
    """An array of a Zarr v2 or v3 store in a folder."""

    url: str
    path: str
    rows_per_chunk: int
    whole: bool = False
    """Whether every chunk was written: one that is missing is then lost, and means no zeros."""
    files: Files = LOCAL

    def _rows(self, start: int, stop: int) -> np.ndarray:
        with reading(self.label):
            array = self.open()
            if (rows := raw_rows(array, start, stop)) is not None:
                return rows
            if self.whole and start < stop:
                check_chunks(array, self.files, self.label, start, stop)
            return native_rows(np.asarray(array[start:stop]))

    def open(self) -> Any:
        """The Zarr array, to read."""
        state = _metadata_state(self.files, self.label)
        return _open_zarr(self.files, self.url, self.path, state)

    def group(self, path: str) -> Any:
        """The Zarr group at a path beside it, to read."""
        import zarr

        return zarr.open_group(self.files.zarr(self.url), path=path, mode="r")

    @property
    def travels(self) -> bool:
        return True

    @property
    def access(self) -> frozenset[str]:
        return self.files.access

    @property
    def chunk_rows(self) -> int:
        return self.rows_per_chunk

    @property
    def chunk(self) -> tuple[int, str]:
        with reading(self.label):
            array = self.open()
        codecs = getattr(array, "compressors", ())
        names = (type(each).__name__.removesuffix("Codec").lower() for each in codecs)
        return math.prod(array.chunks) * self.dtype.itemsize, ", ".join(names)

    def fingerprint(self) -> list[Any]:
        with reading(self.label):
            return self.files.states(self.files.inside(self.label))

    @property
    def name(self) -> Any:
        return self.label

    @property
    def label(self) -> str:
        return f"{self.url}/{self.path}".rstrip("/")


@dataclass(frozen=True)
class Lazy(Source):
    """A Dask array; reading computes."""

    array: Any = field(repr=False, compare=False)

    def _rows(self, start: int, stop: int) -> np.ndarray:
        return native_rows(np.asarray(self.array[start:stop].compute()))

    @property
    def computed(self) -> bool:
        return True

    @property
    def chunk_rows(self) -> int:
        return max(1, *self.array.chunks[0])

    @property
    def label(self) -> str:
        return f"Dask array {self.array.name}"

    def to_dask(self) -> Any:
        return self.array


@contextmanager
def reading(label: str) -> Iterator[None]:
    """Turns what libraries say of files that are gone or cut off into a StoreError."""
    try:
        yield
    except (StoreError, PointShapeError, SpecError):
        raise
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            f"{label} must be readable",
            came=f"it failed: {error}",
            do="Restore it, or open another with gd.points.",
        ) from error


def check_chunks(array: Any, files: Files, folder: str, start: int, stop: int) -> None:
    """Raises StoreError where a chunk of these rows is missing: zarr would read it as zeros."""
    rows = array.chunks[0]
    for i in range(start // rows, -(-min(stop, array.shape[0]) // rows)):
        key = array.metadata.encode_chunk_key((i, *[0] * (array.ndim - 1)))
        if not files.exists(f"{folder}/{key}"):
            raise StoreError(
                f"Chunk {key} of {folder} must exist, but is missing. "
                "Restore it, or save the points again."
            )


def _read_block(source: Source, rows: int, block_id: Any = None) -> np.ndarray:
    start = block_id[0] * rows
    return source.read(start, min(start + rows, source.shape[0]))


def _metadata_state(files: Files, folder: str) -> tuple[Any, ...]:
    """What changes when an array's metadata do."""
    for name in ("zarr.json", ".zarray"):
        with suppress(FileNotFoundError):
            return tuple(files.state(f"{folder}/{name}"))
    raise StoreError(f"{folder} must hold a Zarr array, but its metadata are gone. Restore them.")


@lru_cache(maxsize=32)
def _open_zarr(files: Files, url: str, path: str, state: tuple[Any, ...]) -> Any:
    """The array, kept open as long as its metadata stay as they are."""
    import zarr

    return zarr.open_array(files.zarr(url), path=path, mode="r")


def native_dtype(dtype: Any) -> np.dtype:
    return np.dtype(dtype).newbyteorder("=")


def native_rows(values: np.ndarray) -> np.ndarray:
    """The same in C order and the byte order of this machine."""
    return np.ascontiguousarray(values, native_dtype(values.dtype))


def is_settled(fingerprint: list[Any]) -> bool:
    """Whether no file changed so lately that its times may not tell of the next change."""
    newest = max((max(entry[3], entry[4]) for entry in fingerprint), default=0) / 1e9
    return newest < time.time() - FRESH_SECONDS
