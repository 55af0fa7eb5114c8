"""Eight numbers in step, with which compiled loops compute as with one.

The compiler finds no vectors in a factorisation, where each step waits for the last. But eight
matrices side by side take the same steps. So `Vectors` are an array of such numbers, and + - * /,
comparisons, `abs`, `where` and `sqrt` are those of each lane: what differs between lanes is chosen,
not branched. Each operation is one of float64, so results depend neither on neighbours nor on how
wide the registers are.
"""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import (
    make_attribute_wrapper,
    models,
    overload,
    register_jitable,
    register_model,
)

from .lanes import VECTOR, in_place
from .namespace import LANES, sqrt, where

BITS = ir.VectorType(ir.IntType(1), LANES)
NUMBERS = ir.VectorType(ir.IntType(32), LANES)


class Vector(types.Type):
    """Eight float64."""


class Choice(types.Type):
    """Yes or no, eight times."""


class Vectors(types.Type):
    """A view ``array`` (..., 8), contiguous and of float64, as vectors (...)."""

    def __init__(self, array: types.Array) -> None:
        self.array = array
        super().__init__(f"vectors of {array}")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


@register_model(Choice)
class _ChoiceModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, BITS)


@register_model(Vectors)
class _VectorsModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("array", kind.array)])


make_attribute_wrapper(Vectors, "array", "array")
NUMBER, EIGHT, ANSWERS = types.float64, Vector("vector"), Choice("choice")


def _kind(given: Any) -> Any:
    """A vector, or a number that stands for eight of itself."""
    return EIGHT if isinstance(given, Vector) else NUMBER


# --- memory ---------------------------------------------------------------------------------------


@register_jitable
def vectors(shape):
    """New ones of a shape, which is a tuple."""
    return _viewed(np.empty((*shape, LANES)))


@register_jitable
def gather(x, first, a):
    """Eight matrices of x side by side, from the first one on; behind the last that one again."""
    for lane in range(LANES):
        row = x[min(first + lane, len(x) - 1)]
        for i in range(row.shape[0]):
            for j in range(row.shape[1]):
                a.array[i, j, lane] = row[i, j]


@in_place
def _viewed(typing: Any, array: Any) -> Any:
    kind = Vectors(array)

    def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        view = cgutils.create_struct_proxy(kind)(context, builder)
        view.array = given[0]
        context.nrt.incref(builder, array, given[0])
        return view._getvalue()

    return kind(array), instructions


@overload(operator.getitem)
def _get(x, at):
    return (lambda x, at: _load(x, at)) if isinstance(x, Vectors) else None


@overload(operator.setitem)
def _set(x, at, value):
    return (lambda x, at, value: _store(x, at, value)) if isinstance(x, Vectors) else None


@in_place
def _load(typing: Any, x: Any, at: Any) -> Any:
    def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.load(_place(context, builder, signature, given), align=8)

    return EIGHT(x, at), instructions


@in_place
def _store(typing: Any, x: Any, at: Any, value: Any) -> Any:
    def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        place = _place(context, builder, signature, given)
        builder.store(_spread(builder, given[2]), place, align=8)
        return context.get_dummy_value()

    return types.none(x, at, _kind(value)), instructions


def _place(context: Any, builder: Any, signature: Any, given: Any) -> Any:
    """Where x[at] lies; ``at`` is a number or a tuple of them."""
    kind, at = signature.args[:2]
    view = cgutils.create_struct_proxy(kind)(context, builder, given[0])
    array = context.make_array(kind.array)(context, builder, view.array)
    lengths = cgutils.unpack_tuple(builder, array.shape)
    several = isinstance(at, types.BaseTuple)
    first, *others = cgutils.unpack_tuple(builder, given[1]) if several else [given[1]]
    for length, index in zip(lengths[1:-1], others, strict=True):
        first = builder.add(builder.mul(first, length), index)
    first = builder.mul(first, ir.Constant(first.type, LANES))
    return builder.bitcast(builder.gep(array.data, [first]), VECTOR.as_pointer())


def _spread(builder: Any, value: Any) -> Any:
    """A vector as it is, a number in all lanes."""
    if value.type == VECTOR:
        return value
    unknown, lane = ir.Constant(VECTOR, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    vector = builder.insert_element(unknown, value, lane)
    return builder.shuffle_vector(vector, unknown, ir.Constant(NUMBERS, [0] * LANES))


# --- arithmetic -----------------------------------------------------------------------------------


def _between(operation: Any, result: Any, name: str, *sign: str) -> None:
    """Makes an operation one of vectors, and of a vector and a number."""

    @in_place
    def both(typing: Any, a: Any, b: Any) -> Any:
        def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            return getattr(builder, name)(*sign, *(_spread(builder, value) for value in given))

        return result(_kind(a), _kind(b)), instructions

    @overload(operation)
    def known(a, b):
        some = isinstance(a, Vector) or isinstance(b, Vector)
        return (lambda a, b: both(a, b)) if some else None


_between(operator.add, EIGHT, "fadd")
_between(operator.sub, EIGHT, "fsub")
_between(operator.mul, EIGHT, "fmul")
_between(operator.truediv, EIGHT, "fdiv")
_between(operator.lt, ANSWERS, "fcmp_ordered", "<")
_between(operator.gt, ANSWERS, "fcmp_ordered", ">")
_between(operator.ge, ANSWERS, "fcmp_ordered", ">=")
_between(operator.le, ANSWERS, "fcmp_ordered", "<=")


def _of_each(function: Any, name: str) -> None:
    """Makes a function one of vectors."""

    @in_place
    def each(typing: Any, x: Any) -> Any:
        def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            kind = ir.FunctionType(VECTOR, [VECTOR])
            known = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")
            return builder.call(known, given)

        return EIGHT(x), instructions

    @overload(function)
    def known(x):
        return (lambda x: each(x)) if isinstance(x, Vector) else None


_of_each(sqrt, "sqrt")
_of_each(abs, "fabs")


@in_place
def _choose(typing: Any, condition: Any, x: Any, value: Any) -> Any:
    def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.select(given[0], *(_spread(builder, value) for value in given[1:]))

    return EIGHT(condition, _kind(x), _kind(value)), instructions


@overload(where)
def _where(condition, x, value):
    chosen = isinstance(condition, Choice)
    return (lambda condition, x, value: _choose(condition, x, value)) if chosen else None


@in_place
def some(typing: Any, condition: Any) -> Any:
    """Whether it holds in any lane."""

    def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        bits = builder.bitcast(given[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(condition), instructions


@in_place
def _both(typing: Any, a: Any, b: Any) -> Any:
    def instructions(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.and_(*given)

    return ANSWERS(a, b), instructions


@overload(operator.and_)
def _and(a, b):
    return (lambda a, b: _both(a, b)) if isinstance(a, Choice) else None
