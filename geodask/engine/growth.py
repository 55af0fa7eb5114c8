"""Growing data: a result for the first rows of the inputs, from which that for all of them grows.

Complete results are noted by family: the plan without the content of its inputs. A plan that is not
stored looks there for the largest one whose inputs are the first rows of its own, by content.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import StoreError
from ..store.array import ArraySpec
from ..store.group import Group, find
from ..store.keys import canonical, content_key
from ..store.objects import Objects
from ..store.seal import parsed, sealed, unsealed
from .admission import Admitted
from .result import found_group
from .sources import Source

FAMILIES = "families"


class DamagedBaseError(StoreError):
    """What a result grows from cannot be read."""


@dataclass(frozen=True)
class Stored(Source):
    """The rows of a stored array of a result, every block compared with its digest."""

    array: ArraySpec
    url: str
    path: str
    manifest: str

    def _rows(self, start: int, stop: int) -> np.ndarray:
        try:
            return self._read(start, stop)
        except StoreError as error:
            raise DamagedBaseError(str(error)) from error

    def _read(self, start: int, stop: int) -> np.ndarray:
        group, rows = found_group(self.url, self.path, self.manifest), self.array.rows_per_chunk
        pieces = [np.empty((0, *self.shape[1:]), self.dtype)]
        for block in range(start // rows, -(-stop // rows)):
            first = block * rows
            found = group.read(self.array, block)
            pieces.append(found[max(start - first, 0) : stop - first])
        return np.concatenate(pieces)

    @property
    def travels(self) -> bool:
        return True

    @property
    def chunk_rows(self) -> int:
        return self.array.rows_per_chunk

    @property
    def label(self) -> str:
        return f"{self.url}/{self.path}/{self.array.name}"


@dataclass(frozen=True)
class Base:
    """A stored result for the first rows of each input."""

    key: str
    """The name of its content."""
    rows: tuple[int, ...]
    """How many rows of each input it knows."""
    arrays: dict[str, Stored] = field(compare=False)
    near_limit: int = 0
    """What its report counts of its rows."""


def base_of(group: Group) -> Base:
    """A complete group as the base of what grows from it."""
    spec, manifest = group.body["spec"], canonical(group.body["manifest"])
    arrays = {
        name: Stored(a.shape, np.dtype(a.dtype), a, group.objects.url, group.path, manifest)
        for name, a in group.arrays.items()
        if name in group.body["manifest"]
    }
    rows = tuple(content["shape"][0] for content in spec["inputs"])
    near_limit = group.body["report"]["health"]["near_limit"]
    return Base(content_key({"spec": spec, "manifest": manifest}), rows, arrays, near_limit)


def note(group: Group) -> None:
    """Makes a complete group known to those that may grow from it."""
    spec = group.body["spec"]
    entry = canonical(sealed({"path": group.path, "spec": spec})).encode()
    group.objects.put(f"{FAMILIES}/{_family(spec)}/{content_key(spec)}", entry)


def bases(objects: Objects, spec: dict[str, Any], admitted: list[Admitted]) -> Iterator[Base]:
    """Those that the result of a spec may grow from, the largest first."""
    keys = objects.keys(f"{FAMILIES}/{_family(spec)}/")
    entries = [unsealed(parsed(objects.get(key))) for key in keys]
    rows = [content["shape"][0] for content in spec["inputs"]]
    smaller = []
    for entry in (each for each in entries if each is not None):
        known = [content["shape"][0] for content in entry["spec"]["inputs"]]
        if known != rows and all(a <= b for a, b in zip(known, rows, strict=True)):
            smaller.append((sum(known), entry))
    for _, entry in sorted(smaller, key=lambda found: found[0], reverse=True):
        contents = entry["spec"]["inputs"]
        if all(each.begins_with(content) for each, content in zip(admitted, contents, strict=True)):
            try:
                group = find(objects, entry["path"])
            except StoreError:
                continue
            if group is not None and group.complete and group.body["spec"] == entry["spec"]:
                yield base_of(group)


def _family(spec: dict[str, Any]) -> str:
    inputs = [[content["shape"][1:], content["dtype"]] for content in spec["inputs"]]
    return content_key({**spec, "inputs": inputs})
