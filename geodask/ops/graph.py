"""Results that are graphs: pairs of rows with their distance, and what other tools want of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..engine.executors import tell_workers
from ..engine.points import Points
from ..engine.result import Result
from ..errors import StoreError

PART_PAIRS = 1 << 20
"""Pairs of a part, where the result is in memory: some 24 MiB and as much again in a table."""


class Edges(NamedTuple):
    """Some pairs, in the order of their rows."""

    row: np.ndarray
    """(pairs,) int64."""
    other: np.ndarray
    """(pairs,) int64."""
    distance: np.ndarray
    """(pairs,) float64, in the unit of the metric."""


class Graph(Result, ABC):
    """Pairs of rows of one set, or of two, part by part: no more than a part is ever in memory."""

    symmetric: ClassVar[bool] = False
    """Whether a pair of one set stands for both directions."""

    @abstractmethod
    def sides(self) -> tuple[Points, Points]:
        """The Points whose row numbers the pairs are; the same ones twice within one set."""

    @abstractmethod
    def parts(self) -> list[Any]:
        """Dask's delayed `Edges`, by rows."""

    def edges(self) -> Iterator[Edges]:
        """The pairs in memory, part after part."""
        from dask.base import compute

        for part in self.parts():
            (found,) = compute(part, scheduler="sync")
            yield found

    def to_dataframe(self) -> Any:
        """A Dask DataFrame with the columns row, other and distance, one partition a part.

        Where the points have ids, row_id and other_id name them besides.
        """
        import dask.dataframe as dd
        from dask.delayed import delayed

        ids = [side.ids for side in self.sides()]
        tell_workers(name for each in ids if each is not None for name in each.source.access)
        names = [delayed(each, traverse=False) for each in ids]
        frames = [delayed(_frame)(part, *names) for part in self.parts()]
        nothing = Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        meta = _frame(nothing, *ids)
        return dd.from_delayed(frames or [delayed(meta)], meta=meta, verify_meta=False)

    def to_parquet(self, path: str | Path, **options: Any) -> None:
        """Writes the columns of `to_dataframe` into a folder, a file a part.

        ``options`` are those of `dask.dataframe.to_parquet`. Raises StoreError where the folder
        holds something and ``overwrite=True`` is not among them.
        """
        from fsspec.core import url_to_fs

        files, folder = url_to_fs(str(path), **(options.get("storage_options") or {}))
        if not options.get("overwrite") and files.exists(folder) and files.ls(folder):
            raise StoreError(
                f"{path} must be empty",
                came="it holds something",
                do="Pass another folder, or overwrite=True.",
            )
        self.to_dataframe().to_parquet(str(path), write_index=False, **options)

    def to_csr(self) -> Any:
        """A scipy.sparse.csr_array (n, m) of distances, in memory; equal rows are stored zeros."""
        from scipy.sparse import csr_array

        x, y = self.sides()
        found = list(self.edges())
        others, distances = (
            np.concatenate([part[i] for part in found] or [np.zeros(0)]) for i in (1, 2)
        )
        counts = np.zeros(len(x) + 1, np.int64)
        for part in found:
            counts[1:] += np.bincount(part.row, minlength=len(x))
        starts = np.cumsum(counts)
        return csr_array((distances, others.astype(np.int64), starts), shape=(len(x), len(y)))

    def to_networkx(self) -> Any:
        """A networkx graph with ``distance`` on its edges, in memory; directed where pairs are.

        Nodes are ids where there are some, else row numbers. Rows of two sets are the nodes
        ("x", name) and ("y", name).
        """
        import networkx as nx

        x, y = self.sides()
        graph = nx.Graph() if self.symmetric or x is not y else nx.DiGraph()
        ours, theirs = (_nodes(side, x is not y, place) for side, place in ((x, "x"), (y, "y")))
        graph.add_nodes_from(ours)
        graph.add_nodes_from(theirs)
        for part in self.edges():
            for row, other, distance in zip(*(each.tolist() for each in part), strict=True):
                graph.add_edge(ours[row], theirs[other], distance=distance)
        return graph


def row_blocks(values: Any, rows: int) -> Any:
    """A result's array as a Dask array: as it is stored, or of so many rows a block in memory."""
    import dask.array as da

    if not isinstance(values, np.ndarray):
        return values
    chunks: Any = (rows, *values.shape[1:])
    return da.from_array(values, chunks=chunks, name=False)


def _frame(edges: Edges, row_ids: Any, other_ids: Any) -> Any:
    import pandas as pd

    frame = pd.DataFrame(edges._asdict())
    for name, ids, rows in (("row", row_ids, edges.row), ("other", other_ids, edges.other)):
        if ids is not None:
            kind = "string[pyarrow]" if ids.dtype == object else ids.dtype
            frame[f"{name}_id"] = pd.array(ids.take(rows), dtype=kind)
    return frame


def _nodes(side: Points, two: bool, place: str) -> list[Any]:
    names = list(range(len(side)) if side.ids is None else side.ids)
    return [(place, name) for name in names] if two else names
