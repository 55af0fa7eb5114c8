"""Operations that compare all rows of one data set with all of another, or with each other."""

import math
from abc import abstractmethod
from functools import partial

from ..engine.operation import Budget, Layout, Operation
from ..engine.points import Points
from ..errors import SpecError
from .tiling import Tiling, fitting

QUERIES, TARGETS = "queries", "targets"
"""What rows of the two sides are called where somebody should look at them."""
TASKS = (64, 20_000)
"""A job is cut into so many tasks at least, where they are long enough, and at most."""
TASK_WORK = (4.0e11, 5.0e12)
"""Work of a task in operations, as far as TASKS allows: on a core about one second to twenty."""
SELECTION = 96
"""What selecting a pair costs beside its 2 n operations of the product, counted as dimensions."""
RATIO = 16
"""Rows of a panel for each row of a block: long panels tighten thresholds, blocks save reading."""


class Compared(Operation):
    """Of two inputs the first one asks and the second is searched; of one it is both."""

    itself: bool
    """Whether one data set is compared with itself."""

    def sides(self, inputs: tuple[Points, ...]) -> tuple[Points, Points]:
        """The queries and the targets."""
        return inputs[0], inputs[0 if self.itself else 1]

    def checks(self, position: int) -> bool:
        return position < (1 if self.itself else 2)

    @property
    def label(self) -> str:
        """The operation in words, for errors."""
        return self.name

    @abstractmethod
    def task_bytes(self, inputs: tuple[Points, ...], layout: Layout, tiling: Tiling) -> int:
        """Memory of a task that holds so much at a time."""

    def tiling(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Tiling:
        """What a task holds at a time, in the memory that is allowed."""
        needs = partial(self.task_bytes, inputs, layout)
        return fitting(self.label, self.sides(inputs)[1], layout, needs, budget.task_bytes)


def pair_work(n: int) -> float:
    """The work of a pair of rows of n numbers."""
    return 2.0 * (n + SELECTION)


def shortest_pairs(n: int) -> float:
    """So many pairs are worth a task."""
    return TASK_WORK[0] / pair_work(n)


def pairs_layout(n: int, queries: int, others: int, most: int = 1 << 23) -> Layout:
    """The cut of all pairs of rows into tasks, of at most so many query rows."""
    pair = pair_work(n)
    work = pair * queries * others
    shortest, longest = TASK_WORK
    pairs = max(shortest, min(work / TASKS[0], longest), work / TASKS[1]) / pair
    rows = 1 << round(math.log2(max(1.0, math.sqrt(pairs / RATIO))))
    rows = max(1, min(rows, queries, most))
    # Panels of one size: the last one is not a small remainder.
    panels = max(1, round(others / max(1.0, pairs / rows)))
    return Layout(queries, rows, others, max(1, math.ceil(others / panels)))


def check_points(name: str, x: Points, y: Points | None = None) -> None:
    """Raises SpecError where something else came, or points of two manifolds."""
    for each in (x,) if y is None else (x, y):
        if not isinstance(each, Points):
            raise SpecError(f"{name} takes Points, but {type(each)} came. Call gd.points first.")
    if y is not None and x.manifold != y.manifold:
        raise SpecError(
            f"Queries and targets must lie on one manifold, but {x.manifold} and {y.manifold} "
            "came. Convert one of them."
        )
