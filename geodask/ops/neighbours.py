"""What a kNN returns."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report, place_of
from .graph import PART_PAIRS, Edges, Graph, row_blocks


@dataclass(frozen=True)
class KnnResult(Graph):
    """For every row its k nearest: Dask arrays after `persist`, numpy after `compute`."""

    indices: Any
    """(n, k) int64 row numbers, nearest first; of equal distances the lower number first."""
    distances: Any
    """(n, k) float64 geodesic distances, in the unit of the metric."""
    certified: Any
    """(n,) bool: the set is right in real arithmetic, except among ranks closer than rounding."""
    report: Report
    plan: Plan

    def sides(self) -> tuple[Points, Points]:
        operation: Any = self.plan.operation
        return operation.sides(self.plan.inputs)

    def parts(self) -> list[Any]:
        from dask.delayed import delayed

        whole = max(1, PART_PAIRS // max(1, self.indices.shape[1]))
        indices, distances = (row_blocks(each, whole) for each in (self.indices, self.distances))
        starts = np.cumsum([0, *indices.chunks[0]])
        blocks = (each.to_delayed().ravel() for each in (indices, distances))
        return [
            delayed(_edges)(*block) for block in zip(starts[:-1].tolist(), *blocks, strict=True)
        ]

    def audit(self, rows: int = 1000, *, seed: int = 0) -> Any:
        """Recomputes sampled rows in decimal arithmetic of fifty digits, from the stored values.

        Returns an `Audit`: how many rows were wrong, and the largest error of a distance.
        """
        from .audit import audit

        return audit(self, rows, seed)

    def __repr__(self) -> str:
        n, k = self.indices.shape
        where = place_of(self.indices)
        return f"<{k} nearest of {n} rows, {where}; certified {self.report.certified:.2%}>"


def _edges(start: int, indices: np.ndarray, distances: np.ndarray) -> Edges:
    rows = np.repeat(np.arange(start, start + len(indices)), indices.shape[1])
    return Edges(rows, indices.ravel(), distances.ravel())
