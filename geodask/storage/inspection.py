"""Every object of a store compared with its digest; nothing is changed."""

from collections.abc import Iterator
from typing import Any

from .entries import NOTES, PINS
from .eviction import LIMIT
from .group import DamagedError, Group, find, root_body
from .keys import content_key, digest
from .leases import FOLDER as LEASES
from .objects import PARTIAL, Objects
from .seal import get_note, parsed, unsealed
from .tombstones import FOLDER as TOMBSTONES
from .usage import FOLDER as USAGE

FOLDERS = ("admission", LEASES, NOTES, PINS, TOMBSTONES, USAGE)
"""What they hold was written by `put_note`."""


def damages(objects: Objects, path: str) -> list[tuple[str, str]]:
    """What is damaged of the group at a path: (key, problem). Nothing where it goes meanwhile."""
    root = f"{path}/zarr.json"
    before = objects.get(root)
    found = list(_damages(objects, path, root, root_body(before)))
    if not found:
        return []
    if before is None:
        return found if any(objects.keys(f"{path}/")) else []
    after = objects.get(root)
    return found if after is not None and bytes(after) == bytes(before) else []


def _damages(objects: Objects, path: str, root: str, body: Any) -> Iterator[tuple[str, str]]:
    if body is None:
        yield root, "missing or altered"
        return
    spec = body["spec"]
    if len(spec) > 1 and f"{spec['operation']}-{content_key(spec)}" != path:  # not of a copy
        yield root, "of another entry"
        return
    try:
        group = find(objects, path)
    except DamagedError as error:
        yield path, str(error)
        return
    if group is not None:
        yield from _objects(group) if group.complete else _marked(group)


def _objects(group: Group) -> Iterator[tuple[str, str]]:
    for name in group.body["manifest"]:
        key = f"{group.path}/{name}/zarr.json"
        found = group.objects.get(key)
        if found is None or bytes(found) != bytes(group.arrays[name].metadata()):
            yield key, "missing" if found is None else "altered"
    for key, expected in group.digests.items():
        found = group.objects.get(f"{group.path}/{key}")
        if found is None or digest(found) != expected:
            yield f"{group.path}/{key}", "missing" if found is None else "altered"


def _marked(group: Group) -> Iterator[tuple[str, str]]:
    """Of a group that is being built, of which partial results go as they are used."""
    for key in group.objects.keys(f"{group.path}/marks/"):
        found = group.objects.get(key)
        if found is not None and unsealed(parsed(found)) is None:
            yield key, "altered"
    for key, expected in group.digests.items():
        found = group.objects.get(f"{group.path}/{key}")
        if found is not None and digest(found) != expected:
            yield f"{group.path}/{key}", "altered"


def note_damages(objects: Objects) -> Iterator[tuple[str, str]]:
    """What is damaged of the notes beside the groups."""
    keys = [key for folder in FOLDERS for key in objects.keys(f"{folder}/")]
    keys = [key for key in keys if not key.endswith(PARTIAL)]
    for key in (*keys, LIMIT):
        if get_note(objects, key) is None and objects.get(key) is not None:
            yield key, "altered"
