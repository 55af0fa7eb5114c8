"""What a user hands over, as a source: arrays, paths, and what is wrong with them in words."""

from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.device import to_host
from ..errors import PointShapeError, SpecError, StoreError
from .derived import selected
from .ids import Ids
from .sources import Lazy, Memory, Npy, Source, Zarr, native_dtype
from .tables import filtered_rows, open_table, table_files


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
            return _npy(path)
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
        return Lazy(array.shape, native_dtype(array.dtype), array)
    return _memory(array)


def open_rows(array: Any, column: Any, ids: Any, filters: Any) -> tuple[Source, Ids | None]:
    """The source of what a user hands over, and the ids where a column of a table names them.

    Raises SpecError where columns are named of what has none.
    """
    files = []
    if isinstance(array, str | Path):
        files = table_files(str(array).removeprefix("file://"))
    if files:
        rows, names = open_table(files, column, ids if isinstance(ids, str) else None)
        named = None if names is None else Ids(names)
        if filters is not None:
            kept = filtered_rows(files, filters)
            return selected(rows, kept), named and named.select(kept)
        return rows, named
    source = source_of(array)
    if column is not None or filters is not None:
        raise SpecError(
            "column= and filters= choose from a table, such as a Parquet file",
            came=f"{source.label} is none",
            do="Leave them out, and take columns and rows of the array itself.",
        )
    return source, None


def _npy(path: Path) -> Source:
    try:
        mapped = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise SpecError(
            f"{path} must be a .npy file of numbers, but it cannot be mapped as one. "
            "Write it with np.save(path, array), with an array of floats."
        ) from error
    return Npy(mapped.shape, native_dtype(mapped.dtype), str(path))


def _memory(array: Any) -> Source:
    if isinstance(array, np.memmap) and _is_its_file(array):
        return _npy(Path(str(array.filename)).absolute())  # which may change behind the array
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
    return Memory(values.shape, native_dtype(values.dtype), values)


def _is_its_file(array: np.memmap) -> bool:
    """Whether the array is all of a ``.npy`` file: no view, and not copied where it was written."""
    path = Path(str(array.filename))
    if path.suffix != ".npy" or array.mode == "c":
        return False
    whole = np.load(path, mmap_mode="r")
    parts = ("shape", "strides", "dtype", "offset")
    return all(getattr(array, part) == getattr(whole, part) for part in parts)


def _open_path(path: Path) -> Any:
    import zarr

    try:
        found = zarr.open(str(path), mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise FileNotFoundError(
            f"{path} must be a .npy file, a Zarr array or Parquet files, but none is there. "
            "Check the path."
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

    shape, dtype = tuple(array.shape), native_dtype(array.dtype)
    store = array.store
    root = store.root if isinstance(store, LocalStore) else None
    if isinstance(store, FsspecStore) and "file" in store.fs.protocol:
        root = store.path
    if root is not None:
        rows = (array.shards or array.chunks or (1,))[0]
        attributes: Any = array.attrs.asdict()
        whole = bool(attributes.get("geodask", {}).get("whole", False))
        return Zarr(shape, dtype, str(Path(root).absolute()), array.path, rows, whole)
    if isinstance(store, MemoryStore):
        values = np.asarray(array[...])
        return Memory(values.shape, dtype, values)
    raise StoreError(
        f"A Zarr array must lie in a local folder or in memory, but it lies in {store}. "
        "Copy it to a folder that every worker sees."
    )
