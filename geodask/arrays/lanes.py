"""`namespace.lane_sum` of two rows in vector registers, bit for bit, for the compiled loops.

The compiler may not reorder a sum, and does not see that eight lanes added side by side are one
vector; so these loops are written as vectors. Where registers are shorter it divides them, and the
bytes stay the same.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .namespace import LANES

DOUBLE = ir.DoubleType()
VECTOR = ir.VectorType(DOUBLE, LANES)

in_place: Any = intrinsic
"""What makes of a function of types one of rows; type checkers do not see that."""

Term = Callable[[Any, Any, Any], Any]
"""What a lane adds of an entry of either row, as instructions of a builder."""


@in_place
def lane_product(typing: Any, u: Any, v: Any) -> Any:
    """``lane_sum(u * v)`` in float64, of two rows that are contiguous."""
    return _lane_sum(u, v, lambda builder, a, b: builder.fmul(a, b))


@in_place
def lane_square(typing: Any, u: Any, v: Any) -> Any:
    """``lane_sum((u - v) ** 2)`` in float64, of two rows that are contiguous."""

    def square(builder: Any, a: Any, b: Any) -> Any:
        step = builder.fsub(a, b)
        return builder.fmul(step, step)

    return _lane_sum(u, v, square)


def _lane_sum(u: Any, v: Any, term: Term) -> Any:
    """The signature and the instructions."""
    if not all(isinstance(row, types.Array) and row.layout == "C" for row in (u, v)):
        return None

    def instructions(context: Any, builder: Any, signature: Any, rows: Any) -> Any:
        u, v = (
            context.make_array(kind)(context, builder, row)
            for kind, row in zip(signature.args, rows, strict=True)
        )
        n = builder.extract_value(u.shape, 0)
        total = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        first, step = ir.Constant(n.type, 0), ir.Constant(n.type, LANES)
        whole = builder.and_(n, ir.Constant(n.type, -LANES))
        with cgutils.for_range_slice(builder, first, whole, step, inc=True) as (at, _):
            entries = (_load(builder, row.data, at, VECTOR) for row in (u, v))
            more = term(builder, *entries)
            builder.store(builder.fadd(builder.load(total), more), total)
        with cgutils.for_range(builder, builder.sub(n, whole)) as loop:
            at = builder.add(whole, loop.index)
            entries = (_load(builder, row.data, at, DOUBLE) for row in (u, v))
            lanes = builder.load(total)
            lane = builder.extract_element(lanes, loop.index)
            lane = builder.fadd(lane, term(builder, *entries))
            builder.store(builder.insert_element(lanes, lane, loop.index), total)
        return _fold(builder, builder.load(total))

    return types.float64(u, v), instructions


def _load(builder: Any, data: Any, at: Any, wanted: Any) -> Any:
    """Entries from ``at`` on, as float64."""
    kind = data.type.pointee
    stored = kind if wanted is DOUBLE else ir.VectorType(kind, LANES)
    where = builder.bitcast(builder.gep(data, [at]), stored.as_pointer())
    found = builder.load(where, align=4 if kind == ir.FloatType() else 8)
    return found if kind == DOUBLE else builder.fpext(found, wanted)


def _fold(builder: Any, lanes: Any) -> Any:
    """The lanes as `lane_sum` adds them: halves, then halves of them, then both."""
    width = LANES
    while width > 1:
        width //= 2
        numbers = ir.VectorType(ir.IntType(32), width)
        low, high = (
            builder.shuffle_vector(lanes, lanes, ir.Constant(numbers, list(range(at, at + width))))
            for at in (0, width)
        )
        lanes = builder.fadd(low, high)
    return builder.extract_element(lanes, ir.Constant(ir.IntType(32), 0))
