"""Growing data: the stored result that knows most of what a plan asks.

Complete results are noted by family: the plan without the content of its inputs. A note holds the
digests of the points block by block, so a plan knows by content which of its rows a result had. The
other inputs, which say something of each row, are kept as copies in the store.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import prod
from typing import Any

from ..errors import StoreError
from ..storage.entries import NOTES
from ..storage.group import Group
from ..storage.keys import content_key
from ..storage.leases import hold
from ..storage.objects import Objects
from ..storage.seal import get_notes, put_note
from .admission import Admitted
from .base import Base, DamagedBaseError, base_key, stored
from .copies import copy_path, place_copy, write_copy
from .operation import Layout, Operation
from .result import complete_group
from .save import storage_rows
from .tasks import slices

Inputs = Sequence[Admitted]


def note(group: Group, operation: Operation, admitted: Inputs) -> None:
    """Makes a complete group known to the plans that may grow from it."""
    columns = operation.columns
    for position in columns.values():
        _keep(admitted[position], group.objects)
    points = [each.noted for each in _points(operation, admitted)]
    spec = group.body["spec"]
    body = {"path": group.path, "spec": spec, "points": points, "columns": columns}
    key = f"{_family(spec, operation)}/{content_key(spec)}"
    put_note(group.objects, key, body)


def grown(
    operation: Operation,
    spec: dict[str, Any],
    admitted: Inputs,
    objects: Objects,
    adopted: Layout | None,
) -> Operation | None:
    """The operation that takes what the best stored result knows, or the one it has begun with.

    None where no result knows any of it, or the one that was begun with is gone.
    """
    if operation.family is None or (adopted is not None and not adopted.base):
        return None
    best, least = None, 1.0
    inputs = tuple(each.points for each in admitted)
    for most, entry in _entries(operation, spec, admitted, objects):
        if adopted is None and 1 - most >= least:
            break
        base = _base(entry, _points(operation, admitted), objects)
        if base is None or (adopted is not None and base.key != adopted.base):
            continue
        with suppress(DamagedBaseError):
            found = operation.grown(base, inputs)
            share = found.layout(inputs).new_share
            if adopted is not None:
                return found
            if share < least:
                best, least = found, share
    return best


def _entries(
    operation: Operation, spec: dict[str, Any], admitted: Inputs, objects: Objects
) -> Iterator[tuple[float, dict[str, Any]]]:
    """What is noted of a family, with the most that it may know; those that may know most first."""
    found = get_notes(objects, _family(spec, operation)).values()
    lengths = [len(each.points) for each in _points(operation, admitted)]
    known = []
    for entry in found:
        rows = [each["rows"] for each in entry["points"]]
        shares = [min(a, b) / b if b else 0.0 for a, b in zip(rows, lengths, strict=True)]
        known.append((prod(shares), entry))
    yield from sorted(known, key=lambda each: each[0], reverse=True)


def _base(entry: dict[str, Any], points: list[Admitted], objects: Objects) -> Base | None:
    """The stored result of a note; None where it is gone, or has nothing of these rows."""
    kept = tuple(each.kept(noted) for each, noted in zip(points, entry["points"], strict=True))
    if not all(kept):
        return None
    group = _complete(objects, entry["path"])
    if group is None or group.body["spec"] != entry["spec"]:
        return None
    columns = {}
    for name, position in entry["columns"].items():
        copy = _copy(entry["spec"]["inputs"][position], objects)
        if copy is None:
            return None
        columns[name] = stored(copy)["points"]
    rows = tuple(each["rows"] for each in entry["points"])
    near_limit = group.body["report"]["health"]["near_limit"]
    return Base(base_key(group), rows, kept, stored(group), columns, near_limit)


def _keep(column: Admitted, objects: Objects) -> None:
    """Copies rows into the store, as admission does, where they are not there yet."""
    if _copy(column.content, objects) is not None:
        return
    lease = hold(objects, copy_path(column.content))
    x = column.points
    spans = slices(0, len(x), storage_rows(x))
    rows = ((start, x.read(start, stop)) for start, stop in spans)
    stage = write_copy(x, rows, lambda: column.content["digest"], objects)
    place_copy(stage, copy_path(column.content), objects)
    del lease


def _copy(content: dict[str, Any], objects: Objects) -> Group | None:
    group = _complete(objects, copy_path(content))
    right = group is not None and group.body["report"].get("digest") == content["digest"]
    return group if right else None


def _complete(objects: Objects, path: str) -> Group | None:
    with suppress(StoreError):
        return complete_group(objects, f"{objects.url}/{path}")
    return None


def _points(operation: Operation, admitted: Inputs) -> list[Admitted]:
    """The inputs that are points, and no columns."""
    columns = operation.columns.values()
    return [each for position, each in enumerate(admitted) if position not in columns]


def _family(spec: dict[str, Any], operation: Operation) -> str:
    """Where results are noted that differ in the content of their inputs alone."""
    columns = operation.columns.values()
    inputs = [
        [content["shape"][1:], content["dtype"]]
        for position, content in enumerate(spec["inputs"])
        if position not in columns
    ]
    family = {**spec, "parameters": operation.family, "inputs": inputs}
    return f"{NOTES}/{content_key(family)}"
