"""Where rows come from. A source reads slices of rows; tasks carry sources, never arrays."""

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.device import to_host
from ..errors import PointShapeError, StoreError

BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class Source(ABC):
    """Rows of one shape and dtype. Frozen and small where it can travel."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start:stop as a C-ordered array in native byte order."""

    @property
    def travels(self) -> bool:
        """Whether another process can read it, from a path that it sees."""
        return False

    @property
    def computed(self) -> bool:
        """Whether each read computes its rows anew."""
        return False

    @property
    def chunk_rows(self) -> int:
        """Rows that storage hands out at once; slices along its borders are read once."""
        return 1

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

    def read(self, start: int, stop: int) -> np.ndarray:
        return _native(self.values[start:stop])

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

    def read(self, start: int, stop: int) -> np.ndarray:
        return _native(np.load(self.path, mmap_mode="r")[start:stop])

    @property
    def travels(self) -> bool:
        return True

    def fingerprint(self) -> list[Any]:
        return [_stat(Path(self.path))]

    @property
    def name(self) -> Any:
        return self.path

    @property
    def label(self) -> str:
        return self.path


@dataclass(frozen=True)
class Zarr(Source):
    """An array of a Zarr v2 or v3 store in a local folder."""

    url: str
    path: str
    rows_per_chunk: int

    def read(self, start: int, stop: int) -> np.ndarray:
        array = _open_zarr(self.url, self.path, _metadata_state(Path(self.url) / self.path))
        return _native(np.asarray(array[start:stop]))

    @property
    def travels(self) -> bool:
        return True

    @property
    def chunk_rows(self) -> int:
        return self.rows_per_chunk

    def fingerprint(self) -> list[Any]:
        root = Path(self.url) / self.path
        found = [_stat(Path(entry), root) for entry in _files(root)]
        return sorted(found)

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

    def read(self, start: int, stop: int) -> np.ndarray:
        return _native(np.asarray(self.array[start:stop].compute()))

    @property
    def computed(self) -> bool:
        return True

    @property
    def chunk_rows(self) -> int:
        return max(self.array.chunks[0], default=1)

    @property
    def label(self) -> str:
        return f"Dask array {self.array.name}"

    def to_dask(self) -> Any:
        return self.array


def source_of(array: Any) -> Source:
    """The source for what a user hands over: arrays, ``.npy`` and Zarr paths, Dask arrays."""
    import zarr

    if isinstance(array, Source):
        return array
    if isinstance(array, str | Path):
        path = Path(str(array).removeprefix("file://")).expanduser().absolute()
        if path.suffix == ".npy" and not path.is_dir():
            if not path.is_file():
                raise FileNotFoundError(f"No file {path}. Pass the path of a .npy file.")
            mapped = np.load(path, mmap_mode="r")
            return Npy(mapped.shape, _native_dtype(mapped.dtype), str(path))
        return _zarr_source(_open_path(path))
    if isinstance(array, zarr.Array):
        return _zarr_source(array)
    if type(array).__module__.startswith("dask.") and hasattr(array, "chunks"):
        if any(np.isnan(side) for side in array.shape):
            raise PointShapeError(
                "A Dask array needs known chunks, but the number of its rows is not known. "
                "Call array.compute_chunk_sizes() first."
            )
        # A row is in one block: whoever maps over the blocks takes rows.
        array = array.rechunk(dict.fromkeys(range(1, array.ndim), -1))
        return Lazy(array.shape, _native_dtype(array.dtype), array)
    return _memory(array)


def _memory(array: Any) -> Source:
    if isinstance(array, np.ma.MaskedArray):
        raise PointShapeError(
            "Rows are points or are left out, but a masked array came. "
            "Pass array.filled(...), or the rows without a mask: array.data[keep]."
        )
    try:
        values = to_host(array)
    except TypeError as error:  # numpy has no such numbers, as bfloat16
        raise PointShapeError(
            f"Rows need a dtype that numpy has, but {array.dtype} came. "
            "Convert them, such as with tensor.float()."
        ) from error
    return Memory(values.shape, _native_dtype(values.dtype), values)


def _open_path(path: Path) -> Any:
    import zarr

    try:
        found = zarr.open(str(path), mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise FileNotFoundError(
            f"{path} must be a .npy file or a Zarr array, but none is there. Check the path."
        ) from error
    if isinstance(found, zarr.Array):
        return found
    if "points" in found and isinstance(found["points"], zarr.Array):
        return found["points"]
    raise PointShapeError(
        f"{path} must be a Zarr array or a group with an array 'points', but it is a group of "
        f"{sorted(found)}. Pass the path of the array."
    )


def _zarr_source(array: Any) -> Source:
    from zarr.storage import FsspecStore, LocalStore, MemoryStore

    shape, dtype = tuple(array.shape), _native_dtype(array.dtype)
    store = array.store
    root = store.root if isinstance(store, LocalStore) else None
    if isinstance(store, FsspecStore) and "file" in store.fs.protocol:
        root = store.path
    if root is not None:
        rows = (array.shards or array.chunks or (1,))[0]
        return Zarr(shape, dtype, str(Path(root).absolute()), array.path, rows)
    if isinstance(store, MemoryStore):
        values = np.asarray(array[...])
        return Memory(values.shape, dtype, values)
    raise StoreError(
        f"A Zarr array must lie in a local folder or in memory, but it lies in {store}. "
        "Copy it to a folder that every worker sees."
    )


def _read_block(source: Source, rows: int, block_id: Any = None) -> np.ndarray:
    start = block_id[0] * rows
    return source.read(start, min(start + rows, source.shape[0]))


def _metadata_state(folder: Path) -> tuple[int, ...]:
    """What changes when an array's metadata do."""
    for name in ("zarr.json", ".zarray"):
        if (folder / name).exists():
            stat = (folder / name).stat()
            return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
    raise StoreError(f"{folder} must hold a Zarr array, but its metadata are gone. Restore them.")


@lru_cache(maxsize=32)
def _open_zarr(url: str, path: str, state: tuple[int, ...]) -> Any:
    """The array, kept open as long as its metadata stay as they are."""
    import zarr

    return zarr.open_array(url, path=path, mode="r")


def _native_dtype(dtype: Any) -> np.dtype:
    return np.dtype(dtype).newbyteorder("=")


def _native(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, _native_dtype(values.dtype))


def _files(root: Path) -> list[str]:
    found, folders = [], [str(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                (folders if entry.is_dir() else found).append(entry.path)
    return found


def _stat(path: Path, root: Path | None = None) -> list[Any]:
    """Inode, size and both times: mtime can be set back, ctime cannot."""
    stat = path.stat()
    name = str(path.relative_to(root)) if root else str(path)
    return [name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
