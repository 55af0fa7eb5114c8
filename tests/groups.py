"""Small groups in a store, without a plan that computes them."""

import numpy as np

from geodask.storage.array import ArraySpec
from geodask.storage.entries import read_entry
from geodask.storage.eviction import evict
from geodask.storage.group import create
from geodask.storage.keys import content_key
from geodask.storage.leases import hold
from geodask.storage.objects import Objects

ARRAY = ArraySpec("values", (6, 4), 2, "float64")


def build(objects: Objects, number: int = 0) -> str:
    """A complete group; its path."""
    spec = {"operation": "test", "number": number, "inputs": []}
    path = f"test-{content_key(spec)}"
    lease = hold(objects, path)
    group = create(objects, path, spec, [ARRAY], None)
    keys = [group.write(ARRAY, block, np.full((2, 4), number + block))[:2] for block in range(3)]
    group.mark(dict(keys), {})
    group.commit(["values"], {"seconds": 1.0, "stats": {"seconds": 1.0}})
    del lease
    return path


def taken(objects: Objects, path: str) -> bool:
    return bool(evict(objects, [read_entry(objects, path)]))
