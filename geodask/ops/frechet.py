"""The Fréchet mean as an operation: passes over the rows, until the mean of their logs is zero."""

import math
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..engine.iteration import Iterative, steps_layout
from ..engine.operation import Budget, Cost, Layout, Work
from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report, Result
from ..engine.tasks import slices, stream
from ..errors import CutLocusError
from ..kernels.descent import State, advance, begin, converged, finished
from ..kernels.moments import add_logs, merged, moments, no_sums
from ..manifolds.base import SUMMED
from ..storage.array import ArraySpec
from .tiling import Tiling, fitting

TASK_BYTES = 1 << 27
"""What the rows of a task take as float64."""
TASKS = 1 << 12
"""The most tasks of a step."""
SLICE_BYTES = 8 << 20
"""What is read at once, where chunks are no larger: a single use of it should find it in a cache,
and each read of Zarr has its price."""
FIRST_ROWS, FIRST_PASSES, FIRST_TOL = 4096, 20, 1e-2
"""The descent begins near the mean of the first rows that count, found in memory."""


@dataclass(frozen=True)
class MeanResult(Result):
    """The mean and how well it is known."""

    point: np.ndarray
    """(*point_shape) float64."""
    variance: float
    """The weighted mean of dist^2 to the point, in the squared unit of the metric."""
    gradient_norm: float
    """The length of the mean log at the point: 0 in real arithmetic at a mean."""
    iterations: int
    """Steps that were taken; one pass more over the rows was made."""
    converged: bool
    """Whether gradient_norm was measured to be at most tol times the standard deviation, or all
    rows are the same to rounding."""
    unique: bool
    """Whether the point is known to be near the only mean: not where a row lies half the
    injectivity radius from it or farther, on a sphere a right angle."""
    report: Report
    plan: Plan

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return (
            f"<Mean on {self.plan.inputs[0].manifold}: variance {self.variance:.6g}, gradient "
            f"{self.gradient_norm:.2g}, {state} in {self.iterations} steps>"
        )


@dataclass(frozen=True)
class Mean(Iterative):
    """Inputs: the rows, then their weights and the start, where there are any."""

    tol: float
    max_iterations: int
    weighted: bool
    started: bool

    name: ClassVar[str] = "mean"
    version: ClassVar[int] = 2

    def parameters(self) -> dict[str, Any]:
        return dict(vars(self))

    def checks(self, position: int) -> bool:
        return not (self.weighted and position == 1)

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        n = len(inputs[0])
        rows = max(TASK_BYTES // (8 * inputs[0].manifold.size), n // TASKS, SUMMED)
        return steps_layout(1 + self.max_iterations, n, 1 << (rows.bit_length() - 1))

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        numbers = {"variance": "float64", "gradient_norm": "float64", "iterations": "int64"}
        numbers |= {"converged": "bool", "unique": "bool"}
        shape = inputs[0].manifold.point_shape
        point = ArraySpec("point", shape, shape[0], "float64")
        return [point, *(ArraySpec(name, (1,), 1, dtype) for name, dtype in numbers.items())]

    def state_size(self, inputs: tuple[Points, ...]) -> int:
        return State.size(inputs[0].manifold)

    def part_size(self, inputs: tuple[Points, ...]) -> int:
        return no_sums(inputs[0].manifold).size

    # --- the iteration --------------------------------------------------------------------------

    def init(self, work: Work) -> np.ndarray:
        x = work.inputs[0]
        if self.started:
            return begin(x.manifold, x.manifold.canonical(work.inputs[-1].read(0, 1))[0]).pack()
        first = self._first(work)
        rows = x.read(first, min(first + FIRST_ROWS, len(x)))
        weights = self._weights(work, first, len(rows))
        alone = begin(x.manifold, x.manifold.canonical(rows[:1])[0])
        state = alone
        for _ in range(FIRST_PASSES):
            sums = no_sums(x.manifold)
            add_logs(x.manifold, state.trial, rows, weights, sums)
            state = advance(x.manifold, state, moments(sums))
            if finished(state, FIRST_TOL):
                break
        near = begin(x.manifold, state.point)
        return (alone if state.undefined else near).pack()

    def partial(self, work: Work, block: int, panel: int) -> np.ndarray:
        x, stats = work.inputs[0], work.stats
        state = self._state(work.inputs, work.state)
        sums = no_sums(x.manifold)
        span = work.layout.panel(panel)
        step = self._tiling(work.inputs, work.layout, work.budget).step
        for first, rows in stream(x, slices(*span, step), stats):
            weights = self._weights(work, first, len(rows))
            with stats.timing_kernel():
                add_logs(x.manifold, state.trial, rows, weights, sums)
            if block == 1:
                work.count_near_limit(x, rows, first, "points")
        return sums.reshape(1, -1)

    def step(self, work: Work, parts: Iterable[np.ndarray]) -> np.ndarray:
        manifold = work.inputs[0].manifold
        state = self._state(work.inputs, work.state)
        found = moments(merged(part.reshape(2, -1) for part in parts))
        work.stats.flagged += int(found.undefined)
        return advance(manifold, state, found).pack()

    def done(self, inputs: tuple[Points, ...], state: np.ndarray) -> bool:
        return finished(self._state(inputs, state), self.tol)

    def measures(self, inputs: tuple[Points, ...], state: np.ndarray) -> dict[str, float]:
        last, unit = self._state(inputs, state), inputs[0].manifold.unit
        if not math.isfinite(last.square):
            return {}  # nothing is measured yet
        return {"gradient_norm": last.norm * unit, "variance": last.square * unit**2}

    def conclude(self, inputs: tuple[Points, ...], state: np.ndarray) -> dict[str, np.ndarray]:
        last, unit = self._state(inputs, state), inputs[0].manifold.unit
        if last.undefined:
            raise CutLocusError(
                "A mean needs a shortest geodesic to every row",
                came=f"{int(last.undefined)} rows have none from the point where the descent "
                "ended, and the mean need not be unique",
                do="Pass another start, or leave out rows that lie opposite to the others.",
            )
        return {
            "point": last.point,
            "variance": np.array([last.square * unit**2]),
            "gradient_norm": np.array([last.norm * unit]),
            "iterations": np.array([int(last.passes) - 1]),
            "converged": np.array([converged(last, self.tol)]),
            "unique": np.array([last.beyond == 0]),
        }

    def _state(self, inputs: tuple[Points, ...], row: Any) -> State:
        return State.unpack(inputs[0].manifold, row)

    def _weights(self, work: Work, first: int, count: int) -> np.ndarray:
        if not self.weighted:
            return np.ones(count)
        weights = work.inputs[1].read(first, first + count)[:, 0].astype(np.float64)
        check_weights(weights, first)
        return weights

    def _first(self, work: Work) -> int:
        """The first row of positive weight."""
        n, step = len(work.inputs[0]), work.layout.others_per_panel
        for low in range(0, n, step):
            some = np.flatnonzero(self._weights(work, low, min(step, n - low)))
            if len(some):
                return low + int(some[0])
        raise ValueError("Weights must not all be zero, but they are. Pass a positive one.")

    # --- cost -----------------------------------------------------------------------------------

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        x = inputs[0]
        tiling = self._tiling(inputs, layout, budget)
        flops = 12.0 * len(x) * x.manifold.size
        read = sum(len(each) * each.row_bytes for each in inputs)
        numbers = layout.panels * self.part_size(inputs) + self.state_size(inputs)
        return Cost(flops, flops, read, 8 * numbers, self._task_bytes(inputs, tiling))

    def _tiling(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Tiling:
        x = inputs[0]
        needs = partial(self._task_bytes, inputs)
        step = fitting("mean", x, layout, needs, budget.task_bytes).step
        step = min(step, max(x.source.chunk_rows, SLICE_BYTES // x.row_bytes))
        # Sums begin with slices; along the chunks of the storage as well, where that is near.
        both = math.lcm(SUMMED, x.source.chunk_rows)
        unit = both if both * x.row_bytes <= SLICE_BYTES and both <= step else SUMMED
        return Tiling(1, max(SUMMED, step - step % unit))

    def _task_bytes(self, inputs: tuple[Points, ...], tiling: Tiling) -> int:
        x = inputs[0]
        # A slice in use, one being read, chunks being decoded, weights; and terms of a block.
        rows = tiling.step * (3 * x.row_bytes + 48)
        terms = SUMMED * x.manifold.size * 8 * 16 + 8 * 16 * self.state_size(inputs)
        return rows + terms + 2 * sum(each.source.decoded_bytes for each in inputs)

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        manifold = inputs[0].manifold
        x = manifold.random(4096, seed=0).astype(inputs[0].dtype)
        p, weights, sums = manifold.canonical(x[:1])[0], np.ones(len(x)), no_sums(manifold)
        add_logs(manifold, p, x, weights, sums)
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < 0.2:
            add_logs(manifold, p, x, weights, sums)
            count += len(x)
        return count / (time.perf_counter() - begun)

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> MeanResult:
        found = {name: np.asarray(each) for name, each in arrays.items()}
        numbers = {name: each[0].item() for name, each in found.items() if name != "point"}
        if not numbers["unique"]:
            warnings.warn(
                "The mean need not be unique: a row lies half the injectivity radius from it or "
                "farther. Compare the variances that other starts lead to.",
                stacklevel=3,
            )
        return MeanResult(point=found["point"], **numbers, report=report, plan=plan)


def check_weights(weights: np.ndarray, first: int) -> None:
    """Raises ValueError where a weight, numbered from ``first``, is negative or not finite."""
    bad = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(bad):
        raise ValueError(
            f"Weights must be finite and not negative, but that of row {first + bad[0]} is "
            f"{weights[bad[0]]}. Correct it, or leave the row out with weight 0."
        )
