"""What a user hands over, as a source: arrays, paths, and what is wrong with them in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.device import to_host
from ..errors import PointShapeError, SpecError, StoreError
from ..storage.access import grant, local_path
from .derived import selected
from .files import LOCAL, Files, Local, Remote
from .frames import is_frame, open_frame
from .hdf5 import HDF5_SUFFIXES, open_hdf5, open_hdf5_ids
from .ids import Ids
from .sources import Lazy, Memory, Npy, Source, Zarr, native_dtype, reading
from .tables import MAGIC, filtered_rows, open_table, table_files

BRACKETS = "; it is a pattern, in which [*], [?] and [[] stand for *, ? and [ in a name"


def source_of(array: Any) -> Source:
    """The source of an array that a user hands over."""
    import zarr

    if isinstance(array, Source):
        return array
    if isinstance(array, zarr.Array):
        return _zarr_array(array)
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


def open_rows(
    array: Any,
    column: Any,
    ids: Any,
    filters: Any,
    options: Mapping[str, Any] | None,
    point: tuple[int, ...] | None = None,
) -> tuple[Source, Ids | None]:
    """The source of what a user hands over, and the ids where a column of a table names them.

    Rows of a table with as many numbers as a point has are of its shape.

    Raises SpecError where columns are named of what has none.
    """
    name = ids if isinstance(ids, str) else None
    if isinstance(array, str | Path):
        files, path = _located(str(array), options)
        with reading(path):
            paths = table_files(files, path)
        if paths:
            rows, names = open_table(files, paths, column, name, point)
            named = None if names is None else Ids(names)
            if filters is not None:
                kept = filtered_rows(files, paths, filters)
                return selected(rows, kept), named and named.select(kept)
            return rows, named
        if path.endswith(HDF5_SUFFIXES) and filters is None:
            rows = open_hdf5(files, path, column)
            return rows, None if name is None else Ids(open_hdf5_ids(files, path, name))
        source = _path_source(files, path)
    elif is_frame(array) and filters is None:
        return open_frame(array, column, name, point)
    else:
        source = source_of(array)
    if column is not None or filters is not None:
        raise SpecError(
            "column= chooses from a table or an HDF5 file, filters= from Parquet or Arrow files",
            came=f"{source.label} is none",
            do="Leave them out, and take columns and rows of the array itself.",
        )
    return source, None


def _located(path: str, options: Mapping[str, Any] | None) -> tuple[Files, str]:
    """How the files of a path or URL are reached, and its one spelling."""
    local = local_path(path)
    if local is not None:
        return LOCAL, str(local)
    scheme, _, rest = path.partition("://")
    path = f"{scheme.lower()}://{rest}"
    files = Remote(path, grant(path, options))
    system = files.system
    url = system.unstrip_protocol(system._strip_protocol(path))
    return Remote(url, files.options), url.rstrip("/")


def _path_source(files: Files, path: str) -> Source:
    if not path.endswith(".npy") or files.is_folder(path):
        return _zarr_source(files, path)
    if not isinstance(files, Local):
        raise SpecError(
            ".npy files are mapped from a folder of this machine",
            came=f"{path} lies elsewhere",
            do="Copy it, or write a Zarr array.",
        )
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file {path}. Pass the path of a .npy file.")
    return _npy(Path(path))


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


def _zarr_source(files: Files, path: str) -> Source:
    """The array at a path, or that of the points in a group there."""
    import zarr

    try:
        found: Any = zarr.open(files.zarr(path), mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise FileNotFoundError(
            f"{path} must be a .npy file, a Zarr array or Parquet files, but none is there. "
            f"Check the path{BRACKETS if MAGIC & set(path) else ''}."
        ) from error
    if not isinstance(found, zarr.Array):
        if not isinstance(found.get("points"), zarr.Array):
            raise PointShapeError(
                f"{path} must be a Zarr array or a group with an array 'points', but it is a "
                f"group of {sorted(found)}. Pass the path of the array."
            )
        found = found["points"]
    return _stored_array(found, files, path)


def _zarr_array(array: Any) -> Source:
    """The source of an open array, where others can open it again."""
    from zarr.storage import FsspecStore, LocalStore, MemoryStore

    store = array.store
    root = store.root if isinstance(store, LocalStore) else None
    if isinstance(store, FsspecStore) and "file" in store.fs.protocol:
        root = store.path
    if root is not None:
        return _stored_array(array, LOCAL, str(Path(root).absolute()))
    if isinstance(store, MemoryStore):
        values = np.asarray(array[...])
        return Memory(values.shape, native_dtype(array.dtype), values)
    raise StoreError(
        f"A Zarr array must lie in a local folder or in memory, but it lies in {store}. "
        "Pass its URL, and storage_options=... as for fsspec."
    )


def _stored_array(array: Any, files: Files, url: str) -> Source:
    rows = (array.shards or array.chunks or (1,))[0]
    attributes: Any = array.attrs.asdict()
    whole = bool(attributes.get("geodask", {}).get("whole", False))
    shape, dtype = tuple(array.shape), native_dtype(array.dtype)
    return Zarr(shape, dtype, url, array.path, rows, whole, files)
