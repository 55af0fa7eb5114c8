"""The first rows of a stored result, as JSON."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from ..engine.missing import results
from ..engine.points import Points
from ..engine.result import complete_group
from ..engine.sources import Zarr
from ..engine.specs import from_spec
from ..engine.stored_ids import Text
from ..errors import StoreError
from ..ops.compared import Compared
from ..storage.array import ArraySpec
from ..storage.group import Group
from ..storage.records import Record

VALUES = 10_000
"""Numbers of an array, at most; but one row at least, of LONGEST along each of its axes."""
LONGEST = 1_000


def result_of(
    record: Record, urls: list[str], rows: int, readable: Callable[[str], bool]
) -> dict[str, Any]:
    """Where a result lies, its arrays, its report and their first rows.

    Nothing is read at places that are not ``readable``. Raises StoreError where the result is gone.
    """
    groups = [complete_group(record.objects, url) for url in urls if readable(url)]
    arrays = {array.name: (group, array) for group in groups for array in results(group)}
    shown = {name: first_rows(*where, rows) for name, where in arrays.items()}
    schema = {
        name: {"url": f"{group.name}/{name}", "shape": list(array.shape), "dtype": array.dtype}
        for name, (group, array) in arrays.items()
    }
    return {
        "url": urls[-1],
        "schema": schema,
        "report": groups[-1].body["report"] if groups else None,
        "rows": {name: listed(values) for name, values in shown.items()},
        "ids": dict(_ids(from_spec(record.asked["plan"]), shown, readable)),
    }


def first_rows(group: Group, array: ArraySpec, rows: int) -> np.ndarray:
    """The first rows of a stored array, as far as its first object has them."""
    if array.blocks == 0:
        return np.empty((0, *array.shape[1:]), array.dtype)
    found = group.read(array, 0)[(slice(rows), *[slice(LONGEST)] * (len(array.shape) - 1))]
    each = max(1, found[:1].size)
    return found[: max(1, VALUES // each)]


def listed(values: np.ndarray) -> Any:
    """An array as JSON: NaN and infinities, which it has not, are null."""
    if values.dtype.kind != "f":
        return values.tolist()
    shown = values.astype(object)
    shown[~np.isfinite(values)] = None
    return shown.tolist()


def _ids(
    plan: Any, shown: dict[str, np.ndarray], readable: Callable[[str], bool]
) -> Iterator[tuple[str, Any]]:
    """The ids of rows that arrays name by their numbers, as strings, where there are any."""
    if not isinstance(plan.operation, Compared):
        return
    x, y = plan.operation.sides(plan.inputs)
    if "indices" in shown:
        shown = {"row": np.arange(len(shown["indices"])), **shown}
    for name, side in (("row", x), ("indices", y), ("other", y)):
        if name in shown and side.ids is not None and readable(_place(side)):
            numbers = shown[name]
            with suppress(StoreError):  # a result may outlive its input
                names = side.ids.take(numbers.ravel()).astype(str)
                yield name, names.reshape(numbers.shape).tolist()


def _place(x: Points) -> str:
    """Where the ids of some points lie; empty where that is several places."""
    source: Any = None if x.ids is None else x.ids.source
    source = source.ends if isinstance(source, Text) else source
    return source.url if isinstance(source, Zarr) else ""
