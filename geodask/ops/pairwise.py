"""The distances of all pairs of rows: the full matrix, block by block."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..engine.html import card
from ..engine.operation import Budget, Cost, Layout, Operation, Work
from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report, place_of
from ..engine.tasks import stream
from ..errors import MemoryPlanError
from ..kernels.pairwise import all_ranks
from ..kernels.search import PAIRS
from ..store.array import ArraySpec
from .compared import check_points
from .tiling import slice_rows

BLOCK_BYTES = 32 << 20
"""Bytes of a block of the matrix, which is whole rows."""


@dataclass(frozen=True)
class PairwiseResult:
    """The matrix: a Dask array after `persist`, numpy after `compute`."""

    distances: Any
    """(n, m) float64, in the unit of the metric."""
    report: Report
    plan: Plan

    def __repr__(self) -> str:
        n, m = self.distances.shape
        return f"<distances of {n} x {m} rows, {place_of(self.distances)}>"

    def _repr_html_(self) -> str:
        return card(repr(self).strip("<>"), self.report.facts)


@dataclass(frozen=True)
class Pairwise(Operation):
    """The distances of each row of the first input to all of the last."""

    name: ClassVar[str] = "pairwise"
    version: ClassVar[int] = 1

    def parameters(self) -> dict[str, Any]:
        return {}

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        x, y = inputs[0], inputs[-1]
        return Layout(len(x), max(1, min(len(x), BLOCK_BYTES // (8 * max(1, len(y))))))

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        shape = layout.rows, len(inputs[-1])
        return [ArraySpec("distances", shape, layout.rows_per_block, "float64")]

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        x, y = work.inputs[0], work.inputs[-1]
        rows = x.read(*work.layout.block(block))
        out = np.empty((len(rows), len(y)))
        for first, others in stream(y, 0, len(y), self._step(work.inputs), work.stats):
            with work.stats.timing_kernel():
                ranks = all_ranks(x.manifold, rows, others)
                out[:, first : first + len(others)] = x.manifold.rank_to_dist(ranks)
        work.stats.flagged += int(np.isnan(out).any(axis=1).sum())
        return {"distances": out}

    def _step(self, inputs: tuple[Points, ...]) -> int:
        return slice_rows(inputs[-1], Layout(0, 1, len(inputs[-1]), max(1, len(inputs[-1]))))

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x, y = inputs[0], inputs[-1]
        n, rows, step = x.manifold.n, layout.rows_per_block, min(self._step(inputs), len(y))
        # The block as an array and as an object, ranks and distances of a slice, features of both,
        # slices in use and being read, and pairs being measured.
        block = 2 * 8 * rows * len(y) + 4 * 8 * rows * step
        features = (rows + step) * n * (16 + 3 * y.dtype.itemsize + x.manifold.working_bytes)
        task_bytes = block + features + 2 * y.source.decoded_bytes + 96 * PAIRS
        if budget.task_bytes is not None and task_bytes > budget.task_bytes:
            raise MemoryPlanError(
                f"A task of pairwise needs {task_bytes} bytes, for {rows} x {len(y)} distances",
                came=f"{budget.task_bytes} bytes are allowed for one",
                do="Give the workers more memory or fewer threads, or compare with fewer rows.",
            )
        flops = 8 * n * float(len(x)) * len(y)
        return Cost(
            flops=flops,
            worst_flops=flops,
            bytes_read=layout.blocks * len(y) * y.row_bytes + len(x) * x.row_bytes,
            bytes_written=8 * layout.blocks * rows * len(y),
            task_bytes=task_bytes,
        )

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        manifold, m = inputs[0].manifold, max(1, len(inputs[-1]))
        x, y = (manifold.random(rows, seed=rows).astype(np.float32) for rows in (256, 1024))
        manifold.rank_to_dist(all_ranks(manifold, x, y))  # compiles
        begin, runs = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.5:
            manifold.rank_to_dist(all_ranks(manifold, x, y))
            runs += 1
        return runs * len(x) * len(y) / (time.perf_counter() - begin) / m  # rows of the matrix

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
    bytes do not depend on chunks, threads or executors; and the matrix of one set is symmetric.
    """
    check_points("pairwise", x, y)
    return Plan(Pairwise(), (x,) if y is None else (x, y))
