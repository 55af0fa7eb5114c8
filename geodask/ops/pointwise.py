"""Operations on rows, one by one: lazy. Points come back as Points, the rest as Dask arrays.

Every argument has as many rows as the others, or a single one that serves them all. Points are
taken canonically and computed with in float64; distances and inner products come as float64,
points and tangent vectors in the dtype of what went in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..engine.operation import HERE, Budget, Cost, Layout, Operation, Work
from ..engine.points import Points, block_rows, points
from ..engine.result import Report
from ..engine.sources import Lazy, Memory, source_of
from ..errors import CutLocusError, MemoryPlanError, PointShapeError, SpecError
from ..manifolds.base import Manifold
from ..manifolds.euclidean import Euclidean
from ..store.group import ArraySpec

BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class Verb:
    """What a pointwise operation takes and gives; its formula is the manifold's method."""

    method: str
    takes: tuple[str, ...]
    """"point", "tangent" or "time" for each argument."""
    gives: str
    """"point", "tangent" or "scalar"."""

    def apply(self, manifold: Manifold, *blocks: Any) -> Any:
        """The formula on blocks of rows, points among them canonical: float64."""
        prepared = [
            manifold.canonical(block) if kind == "point" else block
            for kind, block in zip(self.takes, blocks, strict=True)
        ]
        return getattr(manifold, self.method)(*prepared)


DIST = Verb("dist", ("point", "point"), "scalar")
EXP = Verb("exp", ("point", "tangent"), "point")
LOG = Verb("log", ("point", "point"), "tangent")
INNER = Verb("inner", ("point", "tangent", "tangent"), "scalar")
NORM = Verb("norm", ("point", "tangent"), "scalar")
TRANSPORT = Verb("transport", ("point", "point", "tangent"), "tangent")
GEODESIC = Verb("geodesic", ("point", "point", "time"), "point")
MIDPOINT = Verb("midpoint", ("point", "point"), "point")
PROJECT = Verb("project", ("ambient",), "point")


def dist(x: Points, y: Any) -> Any:
    """Geodesic distances of x and y, row by row: (n,) float64, in the unit of the metric."""
    return _lazy(DIST, x, y)


def exp_map(x: Points, v: Any) -> Points:
    """Where the geodesics from x with the initial velocities v (n, *point_shape) are at time 1."""
    return _lazy(EXP, x, v)


def log_map(x: Points, y: Any, *, on_undefined: str = "nan") -> Any:
    """Initial velocities at x of the shortest geodesics to y: (n, *point_shape).

    NaN in a row at the cut locus, where there is more than one; ``on_undefined="raise"`` makes it a
    CutLocusError when the block is computed.
    """
    return _lazy(LOG, x, y, on_undefined=on_undefined)


def inner(x: Points, u: Any, v: Any) -> Any:
    """Inner products of the tangent vectors u and v at x: (n,) float64."""
    return _lazy(INNER, x, u, v)


def norm(x: Points, v: Any) -> Any:
    """Lengths of the tangent vectors v at x: (n,) float64, in the unit of the metric."""
    return _lazy(NORM, x, v)


def transport(x: Points, y: Any, v: Any, *, on_undefined: str = "nan") -> Any:
    """The tangent vectors v at x carried along the shortest geodesics to y: (n, *point_shape).

    Undefined at the cut locus, as in `log_map`.
    """
    return _lazy(TRANSPORT, x, y, v, on_undefined=on_undefined)


def geodesic(x: Points, y: Any, t: Any, *, on_undefined: str = "nan") -> Points:
    """The points at times t on the shortest geodesics from x (t = 0) to y (t = 1).

    t is a number, or one a row: (n,). Undefined at the cut locus, as in `log_map`.
    """
    return _lazy(GEODESIC, x, y, t, on_undefined=on_undefined)


def midpoint(x: Points, y: Any, *, on_undefined: str = "nan") -> Points:
    """The points half-way between x and y. Undefined at the cut locus, as in `log_map`."""
    return _lazy(MIDPOINT, x, y, on_undefined=on_undefined)


def project(x: Points) -> Points:
    """The nearest points of the manifold to the stored rows, in their dtype."""
    return _lazy(PROJECT, x)


VERBS: dict[Callable[..., Any], Verb] = {
    dist: DIST, exp_map: EXP, log_map: LOG, inner: INNER, norm: NORM, transport: TRANSPORT,
    geodesic: GEODESIC, midpoint: MIDPOINT, project: PROJECT,
}  # fmt: skip


@dataclass(frozen=True)
class PointwiseResult:
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
        return Points(source_of(self.values), self.plan.inputs[0].manifold)

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
        return {"verb": self.verb.method, "on_undefined": self.on_undefined}

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        widest = sum(int(np.prod(each.shape[1:])) for each in inputs) + inputs[0].manifold.n
        rows = rows_of(inputs)
        return Layout(rows, max(1, min(rows, BLOCK_BYTES // (8 * widest))))

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        shape = (layout.rows, *self.row_shape(inputs))
        return [ArraySpec("values", shape, layout.rows_per_block, self.dtype(inputs).name)]

    def row_shape(self, inputs: tuple[Points, ...]) -> tuple[int, ...]:
        """The shape of one row of the result."""
        return () if self.verb.gives == "scalar" else inputs[0].manifold.point_shape

    def dtype(self, inputs: tuple[Points, ...]) -> np.dtype:
        """float64 for scalars, else what the stored inputs have in common."""
        if self.verb.gives == "scalar":
            return np.dtype(np.float64)
        kinds = zip(self.verb.takes, inputs, strict=True)
        return np.result_type(*(each.dtype for kind, each in kinds if kind != "time"))

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        row = sum(int(np.prod(each.shape[1:])) for each in inputs) + inputs[0].manifold.n
        needed = 8 * layout.rows_per_block * row * 4
        if budget.task_bytes is not None and needed > budget.task_bytes:
            raise MemoryPlanError(
                f"A task of {self.verb.method} needs {needed} bytes ({layout.rows_per_block} rows)",
                came=f"{budget.task_bytes} bytes are allowed for one",
                do="Give the workers more memory or fewer threads.",
            )
        flops = 20.0 * layout.rows * row
        read = sum(int(np.prod(each.shape)) * each.dtype.itemsize for each in inputs)
        (out,) = self.outputs(inputs, layout)
        written = int(np.prod(out.shape)) * self.dtype(inputs).itemsize
        return Cost(flops, flops, read, written, needed)

    def finish(self, work: Work, block: int, parts: list[np.ndarray]) -> dict[str, np.ndarray]:
        start, stop = work.layout.block(block)
        blocks = [
            each.read(0, 1) if len(each) == 1 else each.read(start, stop) for each in work.inputs
        ]
        work.stats.bytes_read += sum(rows.nbytes for rows in blocks)
        with work.stats.timing_kernel():
            values = self.block(work.inputs[0].manifold, blocks, start, work.budget)
        out = np.empty((stop - start, *self.row_shape(work.inputs)), self.dtype(work.inputs))
        out[...] = values
        work.stats.flagged += len(_undefined(out))
        return {"values": out}

    def block(
        self, manifold: Manifold, blocks: list[np.ndarray], first: int, budget: Budget = HERE
    ) -> np.ndarray:
        """The verb on blocks of rows, numbered from ``first`` where it has to complain."""
        prepared = []
        for kind, rows in zip(self.verb.takes, blocks, strict=True):
            # In one memory order: another would add the terms of a sum in another order.
            rows = np.ascontiguousarray(rows, np.float64)
            prepared.append(rows[:, 0] if kind == "time" else rows)
        values = budget.evaluate(partial(self.verb.apply, manifold), *prepared)
        undefined = _undefined(values) if self.on_undefined == "raise" else []
        if len(undefined):
            raise CutLocusError(
                f"{self.verb.method} needs a unique shortest geodesic",
                came=f"rows {', '.join(map(str, first + undefined[:5]))} are at the cut locus",
                do='Leave them out, or pass on_undefined="nan".',
            )
        return values

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        import time

        manifold = inputs[0].manifold
        p = manifold.random(1024, seed=0)
        blocks = [
            np.ones((1024, 1))
            if kind == "time"
            else manifold.random_tangent(p, seed=2)
            if kind == "tangent"
            else manifold.random(1024, seed=position)
            for position, kind in enumerate(self.verb.takes)
        ]
        self.block(manifold, blocks, 0)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.2:
            self.block(manifold, blocks, 0)
            count += 1024
        return count / (time.perf_counter() - begin)

    def result(self, plan: Any, arrays: dict[str, Any], report: Report) -> PointwiseResult:
        return PointwiseResult(**arrays, report=report, plan=plan)


def operands(verb: Verb, *arguments: Any) -> tuple[Points, ...]:
    """The arguments as Points: tangent vectors and times too are rows of numbers."""
    x = arguments[0]
    if not isinstance(x, Points):
        raise SpecError(f"The first argument must be Points, but {type(x)} came. Use gd.points.")
    manifold = x.manifold
    found = [x]
    for kind, argument in zip(verb.takes[1:], arguments[1:], strict=True):
        space = {"tangent": Euclidean(manifold.n), "time": Euclidean(1)}.get(kind, manifold)
        found.append(_rows(argument, kind, space))
    counts = {len(each) for each in found} - {1}
    if len(counts) > 1:
        raise PointShapeError(
            "Arguments must have equally many rows, or one that serves all, but "
            f"{[len(each) for each in found]} came. Select rows."
        )
    return tuple(found)


def rows_of(inputs: tuple[Points, ...]) -> int:
    """How many rows come out."""
    counts = [len(each) for each in inputs]
    return next((count for count in counts if count != 1), 1)


def _rows(argument: Any, kind: str, space: Manifold) -> Points:
    if isinstance(argument, Points):
        if kind == "point" and argument.manifold != space:
            raise SpecError(
                f"Points of {space} are needed, but {argument.manifold} came. Convert them first."
            )
        if kind != "point":
            raise SpecError(f"A {kind} is needed, but Points came. Pass an array.")
        return argument
    source = source_of(argument)
    if isinstance(source, Memory):
        values = source.values.astype(np.float64) if source.dtype.kind in "iu" else source.values
        if kind == "time":
            values = values.reshape(-1, 1)
        source = source_of(values[None] if values.ndim == len(space.point_shape) else values)
    elif isinstance(source, Lazy) and kind == "time":
        source = source_of(source.array.reshape(-1, 1))
    return points(source, space) if kind == "point" else Points(source, space)


def _lazy(verb: Verb, *arguments: Any, on_undefined: str = "nan") -> Any:
    import dask.array as da

    operation = Pointwise(verb, checked_policy(on_undefined))
    inputs = operands(verb, *arguments)
    rows = rows_of(inputs)
    width = min(block_rows(each) for each in inputs if len(each) == rows)
    width = min(width, operation.layout(inputs).rows_per_block)
    row_shape, dtype = operation.row_shape(inputs), operation.dtype(inputs)
    # Rows are the index 0; a single row has an index of its own, so every block gets it whole.
    arguments = [(da.arange(rows, chunks=width), (0,))]
    for each in inputs:
        single = len(each) == 1 and rows != 1
        array = each.array if single else each.array.rechunk({0: width})
        axes = tuple(range(1, array.ndim))
        arguments.append((array, (-1 if single else 0, *axes)))
    values = da.blockwise(
        _compute,
        (0, *range(1, 1 + len(row_shape))),
        *(part for pair in arguments for part in pair),
        operation=operation,
        manifold=inputs[0].manifold,
        as_dtype=dtype,
        concatenate=True,
        align_arrays=False,
        dtype=dtype,
        meta=np.empty((0,) * (1 + len(row_shape)), dtype),
    )
    if verb.gives != "point":
        return values
    return Points(Lazy(values.shape, dtype, values), inputs[0].manifold)


def _undefined(values: np.ndarray) -> np.ndarray:
    """Numbers of the rows that hold NaN."""
    return np.flatnonzero(np.isnan(values).reshape(len(values), -1).any(axis=1))


def _compute(
    numbers: np.ndarray,
    *blocks: np.ndarray,
    operation: Pointwise,
    manifold: Manifold,
    as_dtype: Any,
) -> np.ndarray:
    first = int(numbers[0]) if len(numbers) else 0
    values = operation.block(manifold, list(blocks), first)
    return np.broadcast_to(values, (len(numbers), *values.shape[1:])).astype(as_dtype)


def checked_policy(on_undefined: str) -> str:
    """The policy for undefined rows, or a ValueError."""
    if on_undefined not in ("nan", "raise"):
        raise ValueError(f'on_undefined is "nan" or "raise", but {on_undefined!r} came.')
    return on_undefined
