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
from ..manifolds.charts import Chart
from ..manifolds.isometric import Isometric
from ..storage.array import ArraySpec

HELD_BYTES = 128 << 20
"""What a task holds, where a row is no larger."""


POINTS = ("point", "at")
"""Arguments whose rows are points, and are taken canonically."""
NUMBERS = ("time", "direction", "basis")
"""Those whose rows are neither points nor tangent vectors."""


@dataclass(frozen=True)
class Verb:
    """What a pointwise operation takes and gives; its formula is the manifold's method."""

    method: str
    takes: tuple[str, ...]
    """For each argument "point", "at" (a base point, which the method takes first), "ambient",
    "tangent", "time", "direction" or "basis"; and what has no rows and is bound: "amount", "space",
    or "into", a space that the method is not told of."""
    gives: str
    """"point", "tangent", "scalar", "coordinates", "image", a point of the space that another is
    carried over from, or "tensor": another shape that a subclass states."""
    to: Manifold | None = None
    """The space that results lie in, where it is another one."""
    amount: float | None = None
    """A number from 0 to 1."""

    @property
    def gives_points(self) -> bool:
        """Whether rows of the result are points."""
        return self.gives in ("point", "image")

    @property
    def rows(self) -> tuple[str, ...]:
        """Of what it takes, that which has rows."""
        return tuple(kind for kind in self.takes if kind not in ("amount", "space", "into"))

    def bind(self, arguments: tuple[Any, ...]) -> tuple["Verb", tuple[Any, ...]]:
        """The verb with what has no rows, and the arguments that have."""
        pairs = list(zip(self.takes, arguments, strict=True))
        verb = self
        for kind, value in pairs:
            if kind == "amount":
                verb = replace(verb, amount=checked_amount(self.method, value))
            elif kind in ("space", "into"):
                example = "gd.SPDAffineInvariant(16)" if kind == "into" else "gd.Lorentz(4)"
                verb = replace(verb, to=checked_space(self.method, value, example))
        return verb, tuple(value for kind, value in pairs if kind in self.rows)

    def space(self, manifold: Manifold) -> Manifold:
        """The space that results lie in, or are tangent to."""
        if self.gives == "image" and isinstance(manifold, Isometric):
            return manifold.image
        return self.to or manifold

    def shape(self, kind: str, manifold: Manifold) -> tuple[int, ...]:
        """The shape of a row of an argument."""
        if kind == "basis":
            assert self.to is not None
            return manifold.n, self.to.n
        return {"time": (1,), "direction": (manifold.dim,)}.get(kind, manifold.point_shape)

    def row_shape(self, manifold: Manifold) -> tuple[int, ...]:
        """The shape of a row of the result."""
        shapes = {"scalar": (), "coordinates": (manifold.dim,)}
        return shapes.get(self.gives, self.space(manifold).point_shape)

    def told(self, manifold: Manifold, options: dict[str, Any]) -> "Verb":
        """The verb with what else it is told by name, judged by the space it is for."""
        if options:
            raise TypeError(f"{self.method} takes no {', '.join(options)}")
        return self

    def options(self) -> dict[str, Any]:
        """What else the manifold's method is told, by name."""
        return {}

    def undefined(self, rows: str) -> Exception:
        """The error that says that there is no answer for some rows."""
        return CutLocusError(
            f"{self.method} needs a unique shortest geodesic",
            came=f"{rows} are at the cut locus",
            do='Leave them out, or pass on_undefined="nan".',
        )

    def working(self, manifold: Manifold) -> int:
        """Numbers that a row of the result, and what it is computed with, takes: matrices are
        factored on their way, and those of Hermitian ones are of twice the size."""
        return (4 if len(manifold.point_shape) == 1 else 28) * manifold.size

    def apply(self, manifold: Manifold, *blocks: Any) -> Any:
        """The formula on blocks of rows, points among them canonical: float64."""
        pairs = sorted(zip(self.rows, blocks, strict=True), key=lambda pair: pair[0] != "at")
        prepared = [manifold.canonical(rows) if kind in POINTS else rows for kind, rows in pairs]
        told = [self.amount, None if "into" in self.takes else self.to]
        bound = [each for each in told if each is not None]
        return getattr(manifold, self.method)(*prepared, *bound, **self.options())


@dataclass(frozen=True)
class PointwiseResult(Result):
    """The rows a pointwise plan gave: a Dask array after `persist`, numpy after `compute`."""

    values: Any
    """(n,) for scalars, (n, *point_shape) for points and tangent vectors, (n, dim) for
    coordinates, (n, dim, ...) for tensors."""
    report: Report
    plan: Any

    @property
    def points(self) -> Points:
        """The values as Points, where they are points."""
        verb = self.plan.operation.verb
        if not verb.gives_points:
            raise SpecError(f"{verb.method} gives no points. Use .values.")
        x = self.plan.inputs[0]
        ids = x.ids if len(x) == len(self.values) else None
        return Points(source_of(self.values), verb.space(x.manifold), ids)

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
        amount = {} if self.verb.amount is None else {"amount": self.verb.amount}
        options = {
            name: value.to_spec() if isinstance(value, Chart) else value
            for name, value in self.verb.options().items()
        }
        named = {"verb": self.verb.method, "on_undefined": self.on_undefined}
        return named | to | amount | options

    def checks(self, position: int) -> bool:
        return self.verb.rows[position] in POINTS

    def layout(self, inputs: tuple[Points, ...]) -> Layout:
        rows = rows_of(inputs)
        return Layout(rows, max(1, min(rows, HELD_BYTES // (8 * self._row(inputs)))))

    def _row(self, inputs: tuple[Points, ...]) -> int:
        """Numbers that a row takes: of arguments four copies."""
        taken = sum(int(np.prod(each.shape[1:])) for each in inputs)
        return 4 * taken + self.verb.working(inputs[0].manifold)

    def outputs(self, inputs: tuple[Points, ...], layout: Layout) -> list[ArraySpec]:
        shape = (layout.rows, *self.verb.row_shape(inputs[0].manifold))
        return [ArraySpec("values", shape, layout.rows_per_block, self.dtype(inputs).name)]

    def dtype(self, inputs: tuple[Points, ...]) -> np.dtype:
        """float64 for numbers, else what the stored points and tangent vectors have in common."""
        if self.verb.gives not in ("point", "tangent"):
            return np.dtype(np.float64)
        kinds = zip(self.verb.rows, inputs, strict=True)
        return np.result_type(*(each.dtype for kind, each in kinds if kind not in (*NUMBERS, "at")))

    def cost(self, inputs: tuple[Points, ...], layout: Layout, budget: Budget) -> Cost:
        row = self._row(inputs)
        # A chunk of the storage is decoded whole, however few of its rows are needed.
        chunks = sum(2 * each.source.decoded_bytes for each in inputs)
        needed = 8 * layout.rows_per_block * row + chunks
        if budget.task_bytes is not None and needed > budget.task_bytes:
            raise MemoryPlanError(
                f"A task of {self.verb.method} needs {needed} bytes ({layout.rows_per_block} rows)",
                came=f"{budget.task_bytes} bytes are allowed for one",
                do="Give the workers more memory or fewer threads, or store the input in "
                "smaller chunks.",
            )
        flops = 5.0 * layout.rows * row
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
        taken = zip(self.verb.rows, work.inputs, blocks, strict=True)
        for number, (kind, each, rows) in enumerate(taken, 1):
            if kind == "point" and (block == 0 or len(each) > 1):
                work.count_near_limit(each, rows, start if len(each) > 1 else 0, f"input {number}")
        with work.stats.timing_kernel():
            values = self.block(work.inputs[0].manifold, blocks, start, self.dtype(work.inputs))
        shape = self.verb.row_shape(work.inputs[0].manifold)
        out = np.empty((stop - start, *shape), self.dtype(work.inputs))
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
        for kind, rows in zip(self.verb.rows, blocks, strict=True):
            # In one memory order: another would add the terms of a sum in another order.
            rows = np.ascontiguousarray(rows, np.float64)
            prepared.append(rows[:, 0] if kind == "time" else rows)
        values = self.verb.apply(manifold, *prepared).astype(dtype)
        if self.verb.gives_points:
            values[self.verb.space(manifold).complaints(values) != 0] = np.nan
        undefined = _undefined(values)
        if self.on_undefined == "raise" and len(undefined):
            raise self.verb.undefined(f"rows {', '.join(map(str, first + undefined[:5]))}")
        return values

    def trial(self, inputs: tuple[Points, ...], budget: Budget) -> float:
        manifold = inputs[0].manifold
        rows = min(1024, max(1, HELD_BYTES // (8 * self._row(inputs))))
        p = manifold.random(rows, seed=0)
        blocks = [
            np.ones((rows, *self.verb.shape(kind, manifold)))
            if kind in NUMBERS
            else manifold.random_tangent(p, seed=2)
            if kind == "tangent"
            else manifold.random(rows, seed=position)
            for position, kind in enumerate(self.verb.rows)
        ]
        self.block(manifold, blocks, 0, np.float64)
        begin, count = time.perf_counter(), 0
        while time.perf_counter() - begin < 0.2:
            self.block(manifold, blocks, 0, np.float64)
            count += rows
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


def checked_space(method: str, value: Any, example: str) -> Manifold:
    """The space that a verb goes to, or a SpecError."""
    if not isinstance(value, Manifold):
        raise SpecError(
            f"{method} takes the manifold to go to as its last argument",
            came=f"{type(value).__name__} came",
            do=f"Pass one, such as {example}.",
        )
    return value


def checked_amount(method: str, value: Any) -> float:
    """The amount that a verb takes, or a ValueError."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ValueError(f"{method} takes a number from 0 to 1, but {value!r} came. Pass such one.")
    return float(value)
