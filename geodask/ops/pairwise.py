"""The distances of all pairs of rows: the full matrix, tile by tile."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..engine.operation import Budget, Cost, Layout, Operation, Work
from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report, Result, place_of
from ..engine.tasks import slices, stream
from ..errors import MemoryPlanError
from ..kernels.pairwise import GATHERED, all_dists
from ..storage.array import ArraySpec
from .compared import check_points
from .tiling import slice_rows

SIDE = (512, 2048)
"""Rows and columns of a square tile, at least and at most: a task of up to 32 MiB and a second."""
TILES = 16
"""So many tiles a side, as far as SIDE allows: those on the diagonal measure their pairs twice."""


@dataclass(frozen=True)
class PairwiseResult(Result):
    """The matrix: a Dask array after `persist`, numpy after `compute`."""

    distances: Any
    """(n, m) float64, in the unit of the metric."""
    report: Report
    plan: Plan

    def __repr__(self) -> str:
        n, m = self.distances.shape
        return f"<distances of {n} x {m} rows, {place_of(self.distances)}>"


@dataclass(frozen=True)
class Pairwise(Operation):
    """The distances of each row of the first input to all of the last; of one, each pair once."""

    name: ClassVar[str] = "pairwise"
    version: ClassVar[int] = 2

    def parameters(self) -> dict[str, Any]:
        return {}

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        n, m = len(inputs[0]), len(inputs[-1])
        shortest, longest = SIDE
        rows = max(1, min(n, longest, max(shortest, -(-n // TILES))))
        itself = len(inputs) == 1
        columns = rows if itself else max(1, min(m, longest * longest // rows))
        return Layout(n, rows, columns=m, columns_per_block=columns, symmetric=itself)

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        shape = layout.rows, len(inputs[-1])
        sides = layout.rows_per_block, layout.columns_per_block
        return [ArraySpec("distances", shape, sides[0], "float64", sides[1])]

    def work(self, layout: Layout, block: int, panel: int | None) -> float:
        (start, stop), (first, last) = layout.block(block), layout.columns_of(block)
        return float(stop - start) * (last - first)

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        x, y = work.inputs[0], work.inputs[-1]
        first, last = work.layout.columns_of(block)
        rows = x.read(*work.layout.block(block))
        out = np.empty((len(rows), last - first))
        spans = slices(first, last, slice_rows(y, last - first))
        for number, others in stream(y, spans, work.stats):
            with work.stats.timing_kernel():
                at = number - first
                out[:, at : at + len(others)] = all_dists(x.manifold, rows, others)
        work.stats.pairs += out.size
        work.stats.measured += out.size
        first_row, _ = work.layout.block(block)
        work.count_rows("flagged", first_row + np.flatnonzero(np.isnan(out).any(axis=1)))
        return {"distances": out}

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x, y = inputs[0], inputs[-1]
        n, rows, columns = x.manifold.size, layout.rows_per_block, layout.columns_per_block
        step = min(slice_rows(y, columns), columns)
        # The tile as an array and as an object, and a slice of it; features of both sides, slices
        # in use and being read, and of pairs being measured up to sixteen arrays of coordinates.
        tile = 2 * 8 * rows * columns + 8 * rows * step
        features = (rows + step) * n * (16 + 3 * y.dtype.itemsize + x.manifold.working_bytes)
        decoded = x.source.decoded_bytes + 2 * y.source.decoded_bytes
        task_bytes = tile + features + decoded + 16 * 8 * max(GATHERED, n * step)
        if budget.task_bytes is not None and task_bytes > budget.task_bytes:
            raise MemoryPlanError(
                f"A task of pairwise needs {task_bytes} bytes, for {rows} x {columns} distances",
                came=f"{budget.task_bytes} bytes are allowed for one",
                do="Give the workers more memory or fewer threads.",
            )
        flops = 8 * n * sum(self.work(layout, block, None) for block in range(layout.blocks))
        (out,) = self.outputs(inputs, layout)
        return Cost(
            flops=flops,
            worst_flops=flops,
            bytes_read=layout.blocks * (rows * x.row_bytes + columns * y.row_bytes),
            bytes_written=8 * out.blocks * rows * columns,
            task_bytes=task_bytes,
        )

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        manifold = inputs[0].manifold
        x, y = (manifold.random(rows, seed=rows).astype(np.float32) for rows in (256, 1024))
        all_dists(manifold, x, y)  # compiles
        begin, runs = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.5:
            all_dists(manifold, x, y)
            runs += 1
        return runs * len(x) * len(y) / (time.perf_counter() - begin)

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> PairwiseResult:
        return PairwiseResult(**arrays, report=report, plan=plan)


def pairwise(x: Points, y: Points | None = None) -> Plan:
    """A plan for the geodesic distances of every row of ``x`` to every row of ``y``.

    Parameters
    ----------
    x : Points
        (n, *point_shape).
    y : Points, optional
        (m, *point_shape), on the same manifold; without it, ``x`` itself.

    Returns
    -------
    Plan
        Whose `PairwiseResult` holds ``distances`` (n, m) float64.

    Raises
    ------
    SpecError
        Where x and y lie on different manifolds.

    Notes
    -----
    Each distance is the one that `knn` gives, a function of the rank of the two rows alone, so its
    bytes do not depend on chunks, threads or executors. The matrix of one set is symmetric: half of
    its tiles are computed, and each is stored at both of its places.
    """
    check_points("pairwise", x, y)
    return Plan(Pairwise(), (x,) if y is None else (x, y))
