"""Operations on rows, one by one: lazy. Points come back as Points, the rest as Dask arrays.

Every argument has as many rows as the others, or a single one that serves them all. Points are
taken canonically and computed with in float64; distances and inner products come as float64,
points and tangent vectors in the dtype of what went in.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import manifolds
from ..engine.opening import source_of
from ..engine.points import Points, points
from ..engine.sources import Lazy, Memory
from ..errors import PointShapeError, SpecError
from ..manifolds.base import Manifold
from ..manifolds.euclidean import Euclidean
from ..manifolds.euclidean_matrices import EuclideanMatrices
from ..manifolds.power import Power
from .rowwise import POINTS, Pointwise, Verb, rows_of

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
    return lazy(DIST, x, y)


def exp_map(x: Points, v: Any) -> Points:
    """Where the geodesics from x with the initial velocities v (n, *point_shape) are at time 1."""
    return lazy(EXP, x, v)


def log_map(x: Points, y: Any, *, on_undefined: str = "nan") -> Any:
    """Initial velocities at x of the shortest geodesics to y: (n, *point_shape).

    NaN in a row at the cut locus, where there is more than one; ``on_undefined="raise"`` makes it a
    CutLocusError when the block is computed.
    """
    return lazy(LOG, x, y, on_undefined=on_undefined)


def inner(x: Points, u: Any, v: Any) -> Any:
    """Inner products of the tangent vectors u and v at x: (n,) float64."""
    return lazy(INNER, x, u, v)


def norm(x: Points, v: Any) -> Any:
    """Lengths of the tangent vectors v at x: (n,) float64, in the unit of the metric."""
    return lazy(NORM, x, v)


def transport(x: Points, y: Any, v: Any, *, on_undefined: str = "nan") -> Any:
    """The tangent vectors v at x carried along the shortest geodesics to y: (n, *point_shape).

    Undefined at the cut locus, as in `log_map`.
    """
    return lazy(TRANSPORT, x, y, v, on_undefined=on_undefined)


def geodesic(x: Points, y: Any, t: Any, *, on_undefined: str = "nan") -> Points:
    """The points at times t on the shortest geodesics from x (t = 0) to y (t = 1).

    t is a number, or one a row: (n,). Undefined at the cut locus, as in `log_map`.
    """
    return lazy(GEODESIC, x, y, t, on_undefined=on_undefined)


def midpoint(x: Points, y: Any, *, on_undefined: str = "nan") -> Points:
    """The points half-way between x and y. Undefined at the cut locus, as in `log_map`."""
    return lazy(MIDPOINT, x, y, on_undefined=on_undefined)


def project(x: Points) -> Points:
    """The nearest points of the manifold to the stored rows, in their dtype."""
    return replace(lazy(PROJECT, x), ids=x.ids)


VERBS: dict[Callable[..., Any], Verb] = {
    dist: DIST, exp_map: EXP, log_map: LOG, inner: INNER, norm: NORM, transport: TRANSPORT,
    geodesic: GEODESIC, midpoint: MIDPOINT, project: PROJECT,
}  # fmt: skip


def operands(verb: Verb, *arguments: Any) -> tuple[Points, ...]:
    """The arguments as Points: tangent vectors and times too are rows of numbers."""
    x = arguments[0]
    if not isinstance(x, Points):
        raise SpecError(f"The first argument must be Points, but {type(x)} came. Use gd.points.")
    manifold = x.manifold
    if getattr(manifold, verb.method, None) is None:
        raise SpecError(
            f"{verb.method} is a verb of {_spaces_with(verb.method)}",
            came=f"points of {manifold} came",
            do="Pass points of such a space.",
        )
    found = [x]
    for kind, argument in zip(verb.rows[1:], arguments[1:], strict=True):
        space = manifold if kind in POINTS else flat_space(verb.shape(kind, manifold))
        found.append(_rows(argument, kind, space))
    if verb.to is not None:
        _check_space(verb, found)
    counts = {len(each) for each in found} - {1}
    if len(counts) > 1:
        raise PointShapeError(
            "Arguments must have equally many rows, or one that serves all, but "
            f"{[len(each) for each in found]} came. Select rows."
        )
    return tuple(found)


def _check_space(verb: Verb, inputs: list[Points]) -> None:
    """Raises SpecError where results do not lie in the space that they should, by no rows."""
    manifold = inputs[0].manifold
    if "into" in verb.takes and verb.method not in dir(verb.to):
        raise SpecError(
            f"What {verb.method} gives are points of {_spaces_with(verb.method)}",
            came=f"{verb.to} came to put them in",
            do="Pass one of these spaces.",
        )
    made = verb.apply(manifold, *(np.empty((0, *each.shape[1:])) for each in inputs))
    if made.shape[1:] != verb.row_shape(manifold):
        raise SpecError(
            f"{verb.method} of {manifold} gives rows of shape {made.shape[1:]}",
            came=f"{verb.to} came to put them in",
            do="Pass a space whose points have that shape.",
        )


def flat_space(shape: tuple[int, ...]) -> Manifold:
    """The flat space of arrays of a shape."""
    if len(shape) > 2:
        return Power(flat_space(shape[1:]), shape[0])
    return Euclidean(*shape) if len(shape) == 1 else EuclideanMatrices(*shape)


def _spaces_with(method: str) -> str:
    """The classes of manifolds that have a method."""
    every = vars(manifolds).values()
    known = (each for each in every if isinstance(each, type) and issubclass(each, Manifold))
    return ", ".join(sorted(each.__name__ for each in known if method in dir(each)))


def _rows(argument: Any, kind: str, space: Manifold) -> Points:
    if isinstance(argument, Points):
        if kind in POINTS and argument.manifold != space:
            raise SpecError(
                f"Points of {space} are needed, but {argument.manifold} came. Convert them first."
            )
        if kind not in POINTS:
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
    return points(source, space) if kind in POINTS else Points(source, space)


def lazy(verb: Verb, *arguments: Any, on_undefined: str = "nan", **options: Any) -> Any:
    import dask.array as da

    verb, arguments = verb.bind(arguments)
    inputs = operands(verb, *arguments)
    operation = Pointwise(verb.told(inputs[0].manifold, options), checked_policy(on_undefined))
    rows = rows_of(inputs)
    width = min(each.source.block_rows for each in inputs if len(each) == rows)
    width = min(width, operation.layout(inputs).rows_per_block)
    row_shape, dtype = verb.row_shape(inputs[0].manifold), operation.dtype(inputs)
    # Rows are the index 0; a single row has an index of its own, so every block gets it whole, and
    # so have the axes of each argument and of the result.
    chunks: Any = width
    blocks: list[tuple[Any, tuple[int, ...]]] = [(da.arange(rows, chunks=chunks), (0,))]
    labels = itertools.count(1)
    for each in inputs:
        single = len(each) == 1 and rows != 1
        array = each.array if single else each.array.rechunk({0: width})
        axes = [next(labels) for _ in range(array.ndim)]
        blocks.append((array, (axes[0] if single else 0, *axes[1:])))
    sides = {next(labels): side for side in row_shape}
    values = da.blockwise(
        _compute,
        (0, *sides),
        *(part for pair in blocks for part in pair),
        new_axes=sides,
        operation=operation,
        manifold=inputs[0].manifold,
        as_dtype=dtype,
        concatenate=True,
        align_arrays=False,
        dtype=dtype,
        meta=np.empty((0,) * (1 + len(row_shape)), dtype),
    )
    if not verb.gives_points:
        return values
    return Points(Lazy(values.shape, dtype, values), verb.space(inputs[0].manifold))


def _compute(
    numbers: np.ndarray,
    *blocks: np.ndarray,
    operation: Pointwise,
    manifold: Manifold,
    as_dtype: Any,
) -> np.ndarray:
    first = int(numbers[0]) if len(numbers) else 0
    values = operation.block(manifold, list(blocks), first, as_dtype)
    return np.broadcast_to(values, (len(numbers), *values.shape[1:]))


def checked_policy(on_undefined: str) -> str:
    """The policy for undefined rows, or a ValueError."""
    if on_undefined not in ("nan", "raise"):
        raise ValueError(f'on_undefined is "nan" or "raise", but {on_undefined!r} came.')
    return on_undefined
