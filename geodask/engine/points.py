"""Points: a container of rows on a manifold, over storage that is read when it is needed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..config import settings
from ..errors import PointShapeError, SpecError
from ..manifolds.base import Manifold
from .append import append_points
from .checks import check_rows, check_source
from .derived import Joined, Projected, project_rows, selected
from .explain import size
from .html import card
from .ids import Ids, as_ids, join_ids
from .lookup import rows_of
from .opening import open_rows, source_of
from .save import save_points
from .selection import as_rows
from .sources import Memory, Source, Zarr
from .stored_ids import load_ids
from .widened import widened


@dataclass(frozen=True, eq=False)
class Points:
    """Rows (n, *point_shape) that stand for points of a manifold.

    Made by `geodask.points` and `geodask.open`. Slicing takes rows and gives Points: an integer
    gives a single row, so the first axis is never lost.
    """

    source: Source = field(repr=False)
    manifold: Manifold
    ids: Ids | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_source(self.source, self.manifold)
        if self.ids is not None and len(self.ids) != len(self):
            raise PointShapeError(
                f"ids name rows one by one, so {len(self)} are needed",
                came=f"{len(self.ids)} came",
                do="Pass one id a row.",
            )

    # --- a container of rows --------------------------------------------------------------------

    def __len__(self) -> int:
        return self.source.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *point_shape)."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the stored coordinates."""
        return self.source.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a stored row."""
        return self.source.row_bytes

    @property
    def array(self) -> Any:
        """The rows as a Dask array; nothing is read."""
        return self.source.to_dask()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start:stop in memory."""
        return self.source.read(start, stop)

    def iter_blocks(self) -> Iterator["Points"]:
        """The rows in turn, as Points in memory of some 32 MiB along the borders of storage."""
        step = self.source.block_rows
        for start in range(0, len(self), step):
            rows = self.read(start, min(start + step, len(self)))
            ids = None if self.ids is None else as_ids(self.ids.read(start, start + len(rows)))
            yield Points(Memory(rows.shape, self.dtype, rows), self.manifold, ids)

    def __getitem__(self, rows: Any) -> "Points":
        chosen = as_rows(rows, len(self))
        ids = None if self.ids is None else self.ids.select(chosen)
        return Points(selected(self.source, chosen), self.manifold, ids)

    def rows_of(self, ids: Any) -> np.ndarray:
        """The row numbers (m,) of m ids, from an index in the store that is built the first time.

        Raises KeyError for ids that are not there, and SpecError where the rows have no ids, or one
        id names several.
        """
        if self.ids is None:
            raise SpecError(
                "Rows are looked up by their ids", came=f"{self!r} has none", do="Pass ids=..."
            )
        return rows_of(self.ids, ids, self.source.label)

    def take(self, ids: Any) -> "Points":
        """The rows with these ids, in the order given. Raises as `rows_of`."""
        return self[self.rows_of(ids)]

    def sample(self, size: int, *, seed: int) -> "Points":
        """``size`` rows drawn without replacement, in their stored order."""
        if not 0 <= size <= len(self):
            raise ValueError(f"A sample of {len(self)} rows has 0 to {len(self)}, but {size} came.")
        rows = np.random.default_rng(seed).choice(len(self), size, replace=False)
        return self[np.sort(rows)]

    def __repr__(self) -> str:
        stored = "" if isinstance(self.source, Memory) else f" in {self.source.label}"
        return f"<Points {len(self)} x {self.manifold} {self.dtype}{stored}>"

    def _repr_html_(self) -> str:
        return card(
            "Points",
            {
                "rows": f"{len(self):,} x {' x '.join(map(str, self.shape[1:]))} {self.dtype}",
                "bytes": size(len(self) * self.row_bytes),
                "manifold": str(self.manifold),
                "ids": "none" if self.ids is None else _kind(self.ids),
                "stored in": self.source.label,
            },
        )

    # --- storage --------------------------------------------------------------------------------

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Writes a Zarr v3 group: ``points`` with the manifold in its attributes, and ``ids``.

        Raises StoreError where the path exists and ``overwrite`` is False.
        """
        save_points(self, path, overwrite)

    def append(self, new: Any, *, ids: Any = None) -> "Points":
        """Writes rows behind these, which were saved, in place; the Points of all of them.

        ``new`` is Points, or what `geodask.points` takes. A plan over the grown rows takes what a
        stored result for these knows. Raises SpecError where these were not saved, or the manifold,
        the dtype or the kind of ids differs, and StoreError where the rows have changed meanwhile.
        """
        append_points(self, points(new, self.manifold, ids=ids))
        assert isinstance(self.source, Zarr)
        return open(self.source.url)


def points(  # noqa: PLR0913 (all that may be said of a source)
    array: Any,
    manifold: Manifold | None = None,
    *,
    ids: Any = None,
    project: bool = False,
    column: str | Sequence[str] | None = None,
    filters: Any = None,
    dtype: str | None = None,
    scale: Any = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Points:
    """Points from an array, a table, a path or URL, or Points already.

    Parameters
    ----------
    array : array or path
        Rows (n, *point_shape) as float16, float32 or float64: numpy, torch, cupy, Zarr or Dask
        array; a table of pandas, pyarrow or Dask; the path of a ``.npy`` or HDF5 file or a Zarr
        array; or that of a Parquet or Arrow file, a folder of them or a pattern, in the order of
        their paths. Zarr, Parquet and HDF5 may lie at the URL of a bucket, such as
        ``s3://bucket/folder``. What is stored is neither copied nor converted.
    manifold : Manifold
        The space the rows lie in; may be left out where the array's attributes name it.
    ids : array of str or int, or the name of a column, optional
        One name a row, which results carry along.
    project : bool
        Take for each row the nearest point of the manifold, in the stored dtype.
    column : str or list of str
        The column of a table that holds lists of numbers, or several of plain numbers; the dataset
        of an HDF5 file. Rows of a table with as many numbers as a point has are that point, row by
        row.
    filters : optional
        The rows of Parquet or Arrow files to keep, as in `pyarrow.parquet.read_table`.
    dtype : "bfloat16", optional
        What stored rows of uint16 are the bits of. They become float32, as bfloat16 tensors do.
    scale : float or array, optional
        What rows of 8 or 16-bit integers are multiplied with, in float32: a number, or one a
        coordinate.
    storage_options : dict, optional
        What `fsspec` needs to open a bucket, beside its configuration. Workers are told;
        nothing of it is stored, logged or part of a task.

    Rows in memory are checked at once. Stored ones are checked on admission, in the pass over the
    data that precedes the first plan.

    Raises
    ------
    PointShapeError, NotOnManifoldError, SpecError
    """
    if isinstance(array, Points):
        ids = array.ids if ids is None else ids
        array, manifold = array.source, manifold or array.manifold
    if manifold is not None and not isinstance(manifold, Manifold):
        raise SpecError(
            f"A manifold is needed, such as gd.Sphere(384), but {manifold!r} came. Pass one."
        )
    point = None if manifold is None else manifold.point_shape
    stored, column_ids = open_rows(array, column, ids, filters, storage_options, point)
    named, source = _named_manifold(stored), widened(stored, dtype, scale)
    if manifold is None and named is None:
        raise SpecError(
            f"{source.label} does not say what manifold its rows lie in. "
            "Pass one, such as gd.points(array, gd.Sphere(384))."
        )
    if manifold is not None and named is not None and manifold != named:
        raise SpecError(
            f"{source.label} holds points of {named}, but {manifold} came. "
            "Leave the manifold out, or pass the array's values."
        )
    found = manifold or named
    assert found is not None
    if isinstance(column, str) and source.shape == (0, 0):  # no list tells how long they are
        source = source_of(np.empty((0, *found.point_shape), source.dtype))
    check_source(source, found)
    if column_ids is None:
        column_ids = load_ids(stored) if ids is None else as_ids(ids)
    if project and isinstance(source, Memory):
        source = source_of(project_rows(found, source.read(0, source.shape[0])))
    elif project:
        source = Projected(source.shape, source.dtype, source, found)
    result = Points(source, found, column_ids)
    if isinstance(source, Memory):
        check_rows(result, source.values, 0, settings().validate)
    return result


def open(path: str | Path, *, storage_options: Mapping[str, Any] | None = None) -> Points:
    """The Points that `Points.save` wrote, their manifold and ids with them.

    ``path`` may be the URL of a bucket, and ``storage_options`` what `fsspec` needs for it. Raises
    FileNotFoundError, or SpecError where the array's attributes name no manifold.
    """
    return points(path, storage_options=storage_options)


def concat(parts: Iterable[Points]) -> Points:
    """The rows of several Points of one manifold, one after the other."""
    parts = list(parts)
    if not parts:
        raise ValueError("concat needs at least one Points. Pass a list of them.")
    manifolds = {part.manifold for part in parts}
    if len(manifolds) > 1:
        raise SpecError(
            f"Points of one manifold can be joined, but {len(manifolds)} came: "
            f"{', '.join(map(str, manifolds))}. Convert them first."
        )
    dtype = parts[0].dtype
    if any(part.dtype != dtype for part in parts):
        raise SpecError(
            "Points of one dtype can be joined, but "
            f"{', '.join(sorted({part.dtype.name for part in parts}))} came. Convert them first."
        )
    named = [part.ids for part in parts if part.ids is not None]
    if named and len(named) < len(parts):
        raise SpecError(
            "Points are joined with the ids of all, or without any",
            came=f"{len(named)} of {len(parts)} have ids",
            do="Give the others ids, as in gd.points(x, ids=...), or make Points without them.",
        )
    if len({each.dtype for each in named}) > 1:
        raise SpecError(
            "Ids of one kind can be joined",
            came=f"{' and '.join(sorted({_kind(each) for each in named}))} came",
            do="Convert them first.",
        )
    joined = join_ids(named) if named else None
    shape = (sum(map(len, parts)), *parts[0].shape[1:])
    source = Joined(shape, dtype, tuple(part.source for part in parts))
    return Points(source, parts[0].manifold, joined)


def _kind(ids: Ids) -> str:
    return "strings" if ids.dtype == object else f"integers ({ids.dtype})"


def _named_manifold(source: Source) -> Manifold | None:
    if not isinstance(source, Zarr):
        return None
    attributes: Any = source.open().attrs.asdict()
    spec = attributes.get("geodask", {}).get("manifold")
    return None if spec is None else Manifold.from_spec(spec)
