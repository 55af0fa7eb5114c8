"""Datasets of HDF5 files, which h5py opens in a folder or, through fsspec, in a bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SpecError
from .derived import Derived
from .files import Files
from .sources import Source, native_dtype, native_rows, reading

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")


@dataclass(frozen=True)
class Hdf5(Source):
    """Rows of a dataset; strings as objects."""

    files: Files
    path: str
    dataset: str
    rows_per_chunk: int

    def _rows(self, start: int, stop: int) -> np.ndarray:
        with reading(self.label), _opened(self.files, self.path) as file:
            found = file[self.dataset]
            text = self.dtype == object  # also where it says ASCII, which UTF-8 holds
            values = found.asstr("utf-8")[start:stop] if text else found[start:stop]
            return native_rows(np.asarray(values))

    @property
    def travels(self) -> bool:
        return True

    @property
    def access(self) -> frozenset[str]:
        return self.files.access

    @property
    def chunk_rows(self) -> int:
        return self.rows_per_chunk

    def fingerprint(self) -> list[Any]:
        with reading(self.path):
            return self.files.states([self.path])

    @property
    def name(self) -> Any:
        return ["hdf5", self.path, self.dataset]

    @property
    def label(self) -> str:
        return f"{self.path}, dataset {self.dataset}"


@dataclass(frozen=True)
class Integers(Derived):
    """Integers of any size as those of 64 bits."""

    def convert(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(self.dtype)

    @property
    def conversion(self) -> Any:
        return str(self.dtype)


def open_hdf5_ids(files: Files, path: str, dataset: str) -> Source:
    """The ids in a dataset, as int64, uint64 or objects. Raises SpecError where it holds others."""
    found = open_hdf5(files, path, dataset)
    if len(found.shape) != 1 or found.dtype.kind not in "iuO":
        raise SpecError(
            f"ids are strings or integers, one a row, and dataset {dataset!r} of {path} must hold "
            "these",
            came=f"it has shape {found.shape} and is {found.dtype}",
            do="Pass the name of another dataset.",
        )
    if found.dtype == object:
        return found
    wide = np.dtype(np.uint64 if found.dtype.kind == "u" else np.int64)
    return found if found.dtype == wide else Integers(found.shape, wide, found)


def open_hdf5(files: Files, path: str, dataset: str | None) -> Source:
    """The rows of a dataset, or of the only one. Raises SpecError where it is none of numbers."""
    with reading(path), _opened(files, path) as file:
        import h5py

        found: list[str] = []
        file.visititems(
            lambda name, each: found.append(name) if isinstance(each, h5py.Dataset) else None
        )
        chosen = dataset.strip("/") if dataset else found[0] if len(found) == 1 else None
        if chosen not in found:
            raise SpecError(
                f"column= must name a dataset of {path}",
                came=f"{dataset!r} came, and it has {', '.join(found) or 'none'}",
                do="Pass the name of one of these.",
            )
        array = file[chosen]
        text = h5py.check_string_dtype(array.dtype) is not None
        dtype = np.dtype(object) if text else native_dtype(array.dtype)
        rows = array.chunks[0] if array.chunks else 1
        return Hdf5(tuple(array.shape), dtype, files, path, chosen, rows)


@contextmanager
def _opened(files: Files, path: str) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise SpecError(
            "HDF5 files are read by h5py, but it is not installed. Install geodask[hdf5]."
        ) from error
    with files.opened(path) as there, h5py.File(there, "r") as file:
        yield file
