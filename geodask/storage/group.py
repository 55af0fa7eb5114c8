"""One result in the store: a Zarr group that is `building` until one last write completes it.

    zarr.json                  attributes: {"geodask": {"body": ..., "digest": ...}}
    <array>/zarr.json          standard Zarr v3 metadata, raw little-endian chunks
    <array>/c/<i>/<j>          one object a block, written by one task in one step
    marks/<writer>-<number>    while building: digests of finished objects, in batches
    claims/<writer>            while building: what its writers are at (`claims`)
    <array>/digests            once complete: the digest of every block, in order

What counts as stored is what a mark or the digests name, with the digest of its bytes: a listing
cannot tell a torn or swapped object from a good one, and an object that was never marked is written
again. Tasks are deterministic, so two processes may build one group at once.
"""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import numpy as np

from ..errors import StoreError
from .array import ArraySpec
from .keys import canonical, content_key, digest
from .objects import Objects
from .seal import parsed, sealed, unsealed

AGAIN = "Run plan.persist(verify=True): it recomputes what is damaged and keeps the rest."


class DamagedError(StoreError):
    """A complete group has lost the digests of its objects."""

    spec: Any = None


@dataclass
class Group:
    """A group at a path under some objects. Build it with `create`, find it with `find`."""

    objects: Objects
    path: str
    body: dict[str, Any]
    digests: dict[str, str] = field(default_factory=dict)
    """Digests of the finished objects, by key relative to the group."""
    extras: list[dict[str, Any]] = field(default_factory=list)
    """What the writers noted beside the digests, mark by mark."""
    lease: Any = field(default=None, repr=False, compare=False)
    """Kept while the group is (`leases.Lease`)."""

    def __post_init__(self) -> None:
        self._writer, self._numbers = uuid4().hex[:12], count()
        self._read: set[str] = set()

    @property
    def complete(self) -> bool:
        return self.body["status"] == "complete"

    @property
    def nbytes(self) -> int:
        """Bytes of the objects of the result, or of those that are finished."""
        arrays = self.arrays
        if self.complete:
            kept = [arrays[name] for name in self.body["manifest"]]
            return sum(array.blocks * array.block_bytes for array in kept)
        return sum(arrays[key.partition("/")[0]].block_bytes for key in self.digests)

    @property
    def _identity(self) -> str:
        """What marks belong to: objects of another layout have the same keys and other rows."""
        return content_key({part: self.body[part] for part in ("spec", "layout", "arrays")})

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        return {
            entry["name"]: ArraySpec(**{**entry, "shape": tuple(entry["shape"])})
            for entry in self.body["arrays"]
        }

    # --- objects --------------------------------------------------------------------------------

    def write(self, array: ArraySpec, block: int, values: np.ndarray) -> tuple[str, str, int]:
        """Writes one block; returns the object's key, its digest and its bytes. Not yet marked."""
        data = array.encode(values)
        key = array.object_key(block)
        self.objects.put(self._key(key), data)
        return key, digest(data), data.nbytes

    def read(self, array: ArraySpec, block: int) -> np.ndarray:
        """One block, its bytes compared with their digest. Raises StoreError, never fills in."""
        key = array.object_key(block)
        expected = self.digests.get(key)
        data = self.objects.get(self._key(key)) if expected else None
        if data is None:
            raise StoreError(f"Object {key} of {self.name} must exist, but is missing. {AGAIN}")
        if digest(data) != expected:
            raise StoreError(
                f"Object {key} of {self.name} must have the digest {expected}, but its bytes "
                f"differ. {AGAIN}"
            )
        return array.decode(data, block)

    def intact(self, key: str) -> bool:
        """Whether a marked object is there with the bytes it was written with."""
        data = self.objects.get(self._key(key))
        return data is not None and digest(data) == self.digests.get(key)

    @property
    def name(self) -> str:
        return f"{self.objects.url}/{self.path}".rstrip("/")

    # --- building -------------------------------------------------------------------------------

    def mark(self, digests: dict[str, str], extra: dict[str, Any]) -> None:
        """Notes finished objects, in one object of their own."""
        self.digests.update(digests)
        self.extras.append(extra)
        key = self._key(f"marks/{self._writer}-{next(self._numbers)}")
        body = {"of": self._identity, "digests": digests, "extra": extra}
        self._read.add(key)
        self.objects.put(key, canonical(sealed(body)).encode())

    @property
    def claims(self) -> str:
        """The folder of its writers' claims."""
        return self._key("claims")

    def refresh(self) -> bool:
        """Reads what other writers have marked or completed since; whether there was any."""
        if self.complete:
            return True
        news = self._read_marks()
        body = root_body(self.objects.get(self._key("zarr.json")))
        if body is not None and body["status"] == "complete":
            self.body, news = body, True
            self._read_digests()
        return news

    def forget(self, keys: Iterable[str]) -> None:
        """Takes objects for not stored, such as damaged ones."""
        for key in keys:
            self.digests.pop(key, None)

    def discard(self, keys: Iterable[str]) -> None:
        """Deletes objects that are no longer needed."""
        self.objects.delete(*map(self._key, keys))

    def remove(self) -> None:
        """Deletes what the group holds, and nothing else that lies beside it."""
        self.objects.delete(self._key("zarr.json"))
        for name in ("marks", "claims", *self.arrays):
            self.objects.delete_under(self._key(name))

    def reopen(self) -> None:
        """Makes a complete group a building one, with what its digests still name marked."""
        self.body = {**self.body, "status": "building", "reopened": time.time()}
        kept, self.digests = self.digests, {}
        self.mark(kept, {})
        self._write_body()

    def commit(self, arrays: Iterable[str], report: dict[str, Any]) -> None:
        """Makes the group complete: the digests first, then the one write that counts."""
        wanted = [self.arrays[name] for name in arrays]
        keys = [key for array in wanted for key in array.object_keys()]
        missing = [key for key in keys if key not in self.digests]
        if missing:
            raise StoreError(
                f"{self.name} must hold every block before it is complete, but {len(missing)} are "
                f"missing, first {missing[0]}. Run the plan again: it computes only those."
            )
        self.digests = {key: self.digests[key] for key in keys}
        manifest = {}
        for array in wanted:
            self.objects.put(self._key(f"{array.name}/zarr.json"), array.metadata())
            listed = [self.digests[key] for key in array.object_keys()]
            listing = canonical(listed).encode()
            self.objects.put(self._key(f"{array.name}/digests"), listing)
            manifest[array.name] = digest(listing)
        done = {"status": "complete", "manifest": manifest, "report": report}
        self.body = {**self.body, **done}
        self._write_body()
        self.clean(arrays)

    def clean(self, arrays: Iterable[str]) -> None:
        """Removes what a complete group no longer needs: marks, claims, all but some arrays."""
        passing = [name for name in self.arrays if name not in arrays]
        for name in ("marks", "claims", *passing):
            self.objects.delete_under(self._key(name))

    def _read_marks(self) -> bool:
        keys = set(self.objects.keys(self._key("marks/"))) - self._read
        for key in sorted(keys):
            mark = unsealed(parsed(self.objects.get(key)))
            self._read.add(key)
            if mark is not None and mark["of"] == self._identity:
                self.digests.update(mark["digests"])
                self.extras.append(mark["extra"])
        return bool(keys)

    def _read_digests(self) -> None:
        self.digests, self.extras = {}, []
        for name, expected in self.body["manifest"].items():
            found = self.objects.get(self._key(f"{name}/digests"))
            if found is None or digest(found) != expected:
                error = DamagedError(f"The digests of {name} in {self.name} are damaged. {AGAIN}")
                error.spec = self.body["spec"]
                raise error
            array = self.arrays[name]
            self.digests.update(zip(array.object_keys(), json.loads(bytes(found)), strict=True))

    def _write_body(self) -> None:
        attributes = {"geodask": sealed(self.body)}
        root = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        self.objects.put(self._key("zarr.json"), json.dumps(root, indent=1).encode())

    def _key(self, key: str) -> str:
        return f"{self.path}/{key}" if self.path else key


def create(
    objects: Objects,
    path: str,
    spec: dict[str, Any],
    arrays: list[ArraySpec],
    layout: Any,
    told: dict[str, Any] | None = None,
) -> Group:
    """A building group at a path, or the one that another process has just made there.

    Nothing is removed: what an earlier run marked for the same spec counts as stored, and a root
    that was torn is written anew. ``told`` may say where each input came from (``origins``) and of
    what plan it is (``plan``): that is for people, and no part of what it is.
    """
    entries = [{**asdict(array), "shape": list(array.shape)} for array in arrays]
    body = {"spec": spec, "arrays": entries, "layout": layout, "status": "building"}
    body |= {"created": time.time(), "origins": [], "plan": None, **(told or {})}
    group = Group(objects, path, json.loads(canonical(body)))
    with suppress(DamagedError):
        there = find(objects, path)
        if there is not None and canonical(there.body["spec"]) == canonical(spec):
            return there
    group._write_body()
    group._read_marks()
    return group


def find(objects: Objects, path: str) -> Group | None:
    """The group at a path with its marks or digests; None where there is none or its root is torn.

    Raises StoreError where a complete group has lost its digests.
    """
    root = f"{path}/zarr.json" if path else "zarr.json"
    body = root_body(objects.get(root))
    if body is None:
        return None
    group = Group(objects, path, body)
    if not group.complete:
        group._read_marks()
        # Another process may have completed it and removed its marks while they were being read.
        group.body = root_body(objects.get(root)) or body
    if group.complete:
        group._read_digests()
    return group


def root_body(data: Any) -> Any:
    """The body in the group's attributes; None where the root is missing or torn."""
    try:
        return unsealed(parsed(data)["attributes"]["geodask"])
    except (KeyError, TypeError):
        return None
