"""An operation that computes nothing: what a plan costs beside its computation."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import geodask as gd
from geodask.engine.operation import Budget, Cost, Layout, Operation, Work
from geodask.engine.plan import Plan
from geodask.engine.points import Points
from geodask.storage.array import ArraySpec


@dataclass(frozen=True)
class Idle(Operation):
    """Blocks of numbers that say which block they are, each after a sleep."""

    blocks: int
    rows: int = 1
    """Rows of a block, float64."""
    seconds: float = 0.0
    busy: bool = False
    """Whether they multiply for so much time of a processor instead of sleeping."""

    name: ClassVar[str] = "idle"
    version: ClassVar[int] = 1

    def parameters(self) -> dict[str, Any]:
        return dict(vars(self))

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        return Layout(self.blocks * self.rows, self.rows)

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        return [ArraySpec("values", (layout.rows,), self.rows, "float64")]

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        return Cost(0.0, 0.0, 0, 8 * layout.rows, 8 * self.rows)

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        return 1e6

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        if self.busy:
            _work(self.seconds)
        else:
            time.sleep(self.seconds)
        return {"values": np.full(self.rows, float(block))}

    def result(self, plan: Any, arrays: dict[str, Any], report: Any) -> Any:
        return arrays["values"], report


def _work(seconds: float) -> None:
    a, end = np.ones((256, 256)), time.thread_time() + seconds
    while time.thread_time() < end:
        a @ a


def plan(blocks: int, rows: int = 1, seconds: float = 0.0, busy: bool = False) -> Plan:
    """A plan for so many blocks."""
    points = gd.points(np.eye(2), gd.Sphere(2))
    return Plan(Idle(blocks, rows, seconds, busy), (points,))


def is_right(values: Any, blocks: int) -> bool:
    """Whether the first number of each block says which it is; read here, by no worker."""
    found = values[:: len(values) // blocks].compute(scheduler="threads")
    return bool((found == np.arange(blocks)).all())
