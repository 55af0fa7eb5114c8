"""A verb of the manifold over blocks of rows, as an operation with cost, progress and store."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..engine.opening import source_of
from ..engine.operation import Budget, Cost, Layout, Operation, Work
from ..engine.points import Points
from ..engine.result import Report, Result
from ..errors import CutLocusError, MemoryPlanError, SpecError
from ..manifolds.base import Manifold
from ..storage.array import ArraySpec

BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class Verb:
    """What a pointwise operation takes and gives; its formula is the manifold's method."""

    method: str
    takes: tuple[str, ...]
    """"point", "ambient", "tangent", "time", "direction" or "space" for each argument."""
    gives: str
    """"point", "tangent" or "scalar"."""
    to: Manifold | None = None
    """The space that results lie in, where it is another one."""

    def bind(self, arguments: tuple[Any, ...]) -> tuple["Verb", tuple[Any, ...]]:
        """The verb with its target space, where it takes one, and the arguments that have rows."""
        if self.takes[-1] != "space":
            return self, arguments
        if not isinstance(arguments[-1], Manifold):
            raise SpecError(
                f"{self.method} takes the manifold to go to as its last argument",
                came=f"{type(arguments[-1]).__name__} came",
                do="Pass one, such as gd.Lorentz(4).",
            )
        return replace(self, takes=self.takes[:-1], to=arguments[-1]), arguments[:-1]

    def apply(self, manifold: Manifold, *blocks: Any) -> Any:
        """The formula on blocks of rows, points among them canonical: float64."""
        prepared = [
            manifold.canonical(block) if kind == "point" else block
            for kind, block in zip(self.takes, blocks, strict=True)
        ]
        spaces = () if self.to is None else (self.to,)
        return getattr(manifold, self.method)(*prepared, *spaces)


@dataclass(frozen=True)
class PointwiseResult(Result):
    """The rows a pointwise plan gave: a Dask array after `persist`, numpy after `compute`."""

    values: Any
    """(n,) for scalars, (n, *point_shape) for points and tangent vectors."""
    report: Report
    plan: Any

    @property
    def points(self) -> Points:
        """The values as Points, where they are points."""
        if self.plan.operation.verb.gives != "point":
            raise SpecError(f"{self.plan.operation.verb.method} gives no points. Use .values.")
        verb = self.plan.operation.verb
        return Points(source_of(self.values), verb.to or self.plan.inputs[0].manifold)

    def __repr__(self) -> str:
        method = self.plan.operation.verb.method
        return f"<{method} of {self.values.shape[0]} rows: {self.values.dtype}>"


@dataclass(frozen=True)
class Pointwise(Operation):
    """A verb over blocks of rows."""

    verb: Verb
    on_undefined: str = "nan"

    name: ClassVar[str] = "pointwise"
    version: ClassVar[int] = 1

    def parameters(self) -> dict[str, Any]:
        to = {} if self.verb.to is None else {"to": self.verb.to.to_spec()}
        return {"verb": self.verb.method, "on_undefined": self.on_undefined, **to}

    def checks(self, position: int) -> bool:
        return self.verb.takes[position] == "point"

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        widest = sum(int(np.prod(each.shape[1:])) for each in inputs) + inputs[0].manifold.size
        rows = rows_of(inputs)
        return Layout(rows, max(1, min(rows, BLOCK_BYTES // (8 * widest))))

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        shape = (layout.rows, *self.row_shape(inputs))
        return [ArraySpec("values", shape, layout.rows_per_block, self.dtype(inputs).name)]

    def row_shape(self, inputs: tuple[Points, ...]) -> tuple[int, ...]:
        """The shape of one row of the result."""
        space = self.verb.to or inputs[0].manifold
        return () if self.verb.gives == "scalar" else space.point_shape

    def dtype(self, inputs: tuple[Points, ...]) -> np.dtype:
        """float64 for scalars, else what the stored inputs have in common."""
        if self.verb.gives == "scalar":
            return np.dtype(np.float64)
        kinds = zip(self.verb.takes, inputs, strict=True)
        return np.result_type(*(each.dtype for kind, each in kinds if kind != "time"))

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        row = sum(int(np.prod(each.shape[1:])) for each in inputs) + inputs[0].manifold.size
        # A chunk of the storage is decoded whole, however few of its rows are needed.
        chunks = sum(2 * each.source.decoded_bytes for each in inputs)
        needed = 8 * layout.rows_per_block * row * 4 + chunks
        if budget.task_bytes is not None and needed > budget.task_bytes:
            raise MemoryPlanError(
                f"A task of {self.verb.method} needs {needed} bytes ({layout.rows_per_block} rows)",
                came=f"{budget.task_bytes} bytes are allowed for one",
                do="Give the workers more memory or fewer threads, or store the input in "
                "smaller chunks.",
            )
        flops = 20.0 * layout.rows * row
        read = sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in inputs)
        (out,) = self.outputs(inputs, layout)
        written = int(np.prod(out.shape)) * self.dtype(inputs).itemsize
        return Cost(flops, flops, read, written, needed)

    def finish(self, work: Work, block: int, parts: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
        start, stop = work.layout.block(block)
        blocks = [
            each.read(0, 1) if len(each) == 1 else each.read(start, stop) for each in work.inputs
        ]
        work.stats.bytes_read += sum(rows.nbytes for rows in blocks)
        taken = zip(self.verb.takes, work.inputs, blocks, strict=True)
        for number, (kind, each, rows) in enumerate(taken, 1):
            if kind == "point" and (block == 0 or len(each) > 1):
                work.count_near_limit(each, rows, start if len(each) > 1 else 0, f"input {number}")
        with work.stats.timing_kernel():
            values = self.block(work.inputs[0].manifold, blocks, start, self.dtype(work.inputs))
        out = np.empty((stop - start, *self.row_shape(work.inputs)), self.dtype(work.inputs))
        out[...] = values
        work.count_rows("flagged", start + _undefined(out))
        return {"values": out}

    def block(
        self, manifold: Manifold, blocks: list[np.ndarray], first: int, dtype: Any
    ) -> np.ndarray:
        """The verb on blocks of rows, numbered from ``first`` where it has to complain.

        Rows that should be points and in this dtype are none, as beyond its reach, are NaN.
        """
        prepared = []
        for kind, rows in zip(self.verb.takes, blocks, strict=True):
            # In one memory order: another would add the terms of a sum in another order.
            rows = np.ascontiguousarray(rows, np.float64)
            prepared.append(rows[:, 0] if kind == "time" else rows)
        values = self.verb.apply(manifold, *prepared).astype(dtype)
        if self.verb.gives == "point":
            values[(self.verb.to or manifold).complaints(values) != 0] = np.nan
        undefined = _undefined(values)
        if self.on_undefined == "raise" and len(undefined):
            raise CutLocusError(
                f"{self.verb.method} needs a unique shortest geodesic",
                came=f"rows {', '.join(map(str, first + undefined[:5]))} are at the cut locus",
                do='Leave them out, or pass on_undefined="nan".',
            )
        return values

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        manifold = inputs[0].manifold
        p = manifold.random(1024, seed=0)
        blocks = [
            np.ones((1024, 1 if kind == "time" else manifold.dim))
            if kind in ("time", "direction")
            else manifold.random_tangent(p, seed=2)
            if kind == "tangent"
            else manifold.random(1024, seed=position)
            for position, kind in enumerate(self.verb.takes)
        ]
        self.block(manifold, blocks, 0, np.float64)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.2:
            self.block(manifold, blocks, 0, np.float64)
            count += 1024
        return count / (time.perf_counter() - begin)

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> PointwiseResult:
        return PointwiseResult(**arrays, report=report, plan=plan)


def rows_of(inputs: tuple[Points, ...]) -> int:
    """How many rows come out."""
    counts = [len(each) for each in inputs]
    return next((count for count in counts if count != 1), 1)


def _undefined(values: np.ndarray) -> np.ndarray:
    """Numbers of the rows that hold NaN."""
    return np.flatnonzero(np.isnan(values).any(axis=tuple(range(1, values.ndim))))
