"""Operations that pass over the rows again and again, and the run that does so.

A step is one block of the layout: its panels are slices of rows, each mapped to partial sums by a
task, and its finish merges them, in their order, into the next state. A state is a row of float64
numbers that is stored like every other result, so a killed run goes on in the step it was in. The
blocks of the layout are as many steps as there may be; those after the last one never run.
"""

from abc import abstractmethod
from collections.abc import Iterable

import numpy as np

from ..events import StepDone, StepStarted
from ..storage.array import ArraySpec
from ..storage.group import Group
from .driver import Run
from .missing import block_tasks, next_step, state_key
from .operation import PARTIALS, STATES, Layout, Operation, Work
from .points import Points


class Iterative(Operation):
    """A frozen value that says how an iteration starts, goes on and ends.

    Its layout is `steps_layout`. A state that fits in memory many times is assumed, and rows that
    do not.
    """

    @abstractmethod
    def state_size(self, inputs: tuple[Points, ...]) -> int:
        """How many numbers a state has."""

    @abstractmethod
    def part_size(self, inputs: tuple[Points, ...]) -> int:
        """How many numbers the partial result of a panel has."""

    @abstractmethod
    def init(self, work: Work) -> np.ndarray:
        """The state that the first step begins with."""

    @abstractmethod
    def step(self, work: Work, parts: Iterable[np.ndarray]) -> np.ndarray:
        """The next state, from ``work.state`` and the panels' partial results as they are read."""

    @abstractmethod
    def done(self, inputs: tuple[Points, ...], state: np.ndarray) -> bool:
        """Whether no step is needed after this state."""

    def measures(self, inputs: tuple[Points, ...], state: np.ndarray) -> dict[str, float]:
        """What tells how far a state has converged, by name."""
        return {}

    @abstractmethod
    def conclude(self, inputs: tuple[Points, ...], state: np.ndarray) -> dict[str, np.ndarray]:
        """The arrays of the result, from the last state. Raises where there is none."""

    def states(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec:
        return ArraySpec(STATES, (layout.blocks, self.state_size(inputs)), 1, "float64")

    def partials(self, inputs: tuple[Points, ...], layout: Layout) -> ArraySpec:
        shape = (layout.blocks * layout.panels, self.part_size(inputs))
        return ArraySpec(PARTIALS, shape, 1, "float64")

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        if block == 0:
            return {STATES: self.init(work)[None]}
        return {STATES: self.step(work, (part[0] for part in parts))[None]}


def steps_layout(steps: int, rows: int, rows_per_panel: int) -> Layout:
    """The cut of at most so many passes over the rows."""
    return Layout(1 + steps, 1, rows, rows_per_panel, iterative=True)


def iterate(run: Run) -> None:
    """Runs the steps that are not stored until one is the last, then writes the result."""
    job, group = run.job, run.group
    operation = job.operation
    assert isinstance(operation, Iterative)
    last = _last_sound(group, job.layout)
    state = None if last < 0 else group.read(group.arrays[STATES], last)[0]
    while state is None or not (operation.done(job.inputs, state) or last == job.layout.blocks - 1):
        last += 1
        tasks = [] if last == 0 else block_tasks(group, job.layout, last)
        left = sum(operation.work(job.layout, last, task.panel) for task in tasks)
        run.watch(StepStarted(last, job.layout.others - left if last else 0.0))
        run.run([last])
        if group.complete:  # another process was faster
            return
        state = group.read(group.arrays[STATES], last)[0]
        run.watch(StepDone(last, operation.measures(job.inputs, state)))
    run.write(operation.conclude(job.inputs, state))


def _last_sound(group: Group, layout: Layout) -> int:
    """The last step whose state is stored as it was written, -1 where none is."""
    step = next_step(group, layout)
    while step >= 0:
        key = state_key(group, step)
        if key in group.digests and group.intact(key):
            return step
        group.forget([key])
        step -= 1
    return step
