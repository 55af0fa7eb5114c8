"""What a plan leaves: arrays, and a report of how they came about."""

import platform
import time
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ..errors import StoreError
from ..events import Stats
from ..storage.array import ArraySpec
from ..storage.group import Group, find
from ..storage.keys import canonical
from ..storage.leases import Lease, opened
from ..storage.objects import Objects
from .executors import tell_workers
from .html import Shown, card


@dataclass(frozen=True, repr=False)
class Report(Shown):
    """How a result came about."""

    operation: str
    key: str
    """The name of the result's content."""
    url: str
    """Where it is stored."""
    cache_hit: bool
    """Whether it was found complete, and nothing was computed."""
    seconds: float
    """From the call to the result, on the clock."""
    peak_bytes: int
    """Largest resident memory of a process that took part, as far as it was seen."""
    certified: float
    """Share of rows whose answer is certified; 1.0 where there is nothing to certify."""
    rechecked: float
    """Share of all pairs that were measured in float64, because the bound left them possible."""
    reused: float
    """Share of all pairs that a stored result for other rows, or some of these, knew."""
    approximation_error: float
    """0.0: nothing was approximated."""
    device: str
    surrogate: str
    """Precision of the products that ruled pairs out; it does not change the result."""
    blocks_computed: int
    blocks_stored: int
    """Tasks run now, and tasks whose results were found stored."""
    health: dict[str, int] = field(default_factory=dict)
    """Counts of rows: ``undefined`` where NaN came out (of a matrix, in each computed tile),
    ``near_limit`` where coordinates have less than four binary digits left before they cannot tell
    points apart."""
    versions: dict[str, str] = field(default_factory=dict)
    stats: dict[str, float] = field(default_factory=dict)
    """Totals over all tasks, from this run and those it went on from."""

    @property
    def facts(self) -> dict[str, str]:
        """What it says first, in words."""
        found = "found in the store" if self.cache_hit else f"{self.blocks_computed} tasks run"
        if not self.cache_hit and self.blocks_stored:
            found += f", {self.blocks_stored} found stored"
        known = f"{self.reused:.2%} of the pairs, from a stored result"
        return {
            "time": f"{self.seconds:.3g} s, {found}",
            "certified": f"{self.certified:.4%}, rechecked {self.rechecked:.3%} of pairs",
            **({"known": known} if self.reused else {}),
            "device": f"{self.device}, {self.surrogate}, peak {self.peak_bytes / 2**20:.0f} MiB",
            **{name: str(count) for name, count in self.health.items() if count},
            "stored in": self.url,
        }

    @property
    def title(self) -> str:
        return f"Report of {self.operation} {self.key[:8]}"


class Result:
    """What a plan gives. A notebook shows it with its report."""

    report: Report

    def _repr_html_(self) -> str:
        return card(repr(self).strip("<>"), self.report.facts)


def make_report(facts: dict[str, Any], stats: Stats) -> dict[str, Any]:
    """The report as JSON, from what the plan knows and what its tasks did."""
    return {
        **facts,
        "peak_bytes": stats.peak_bytes,
        "rechecked": stats.measured / stats.pairs if stats.pairs else 0.0,
        "approximation_error": 0.0,
        "health": {"undefined": stats.flagged, "near_limit": stats.near_limit},
        "versions": versions(),
        "stats": {part.name: getattr(stats, part.name) for part in fields(stats)},
    }


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of what computed."""
    found = {"python": platform.python_version()}
    for package in ("geodask", "numpy", "torch", "zarr", "dask", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def found_report(group: Group, begin: float | None = None) -> Report:
    """The report of a complete group that was asked for at ``begin``, or by nobody."""
    report = group.body["report"]
    seconds = report["seconds"] if begin is None else time.perf_counter() - begin
    facts = {"cache_hit": True, "seconds": seconds, "url": group.name}
    stored = report["blocks_computed"] + report["blocks_stored"]
    return Report(**{**report, **facts, "blocks_stored": stored, "blocks_computed": 0})


def place_of(values: Any) -> str:
    """Where an array of a result lies, in words."""
    return "in memory" if isinstance(values, np.ndarray) else "stored"


def stored_array(group: Group, array: ArraySpec) -> Any:
    """A Dask array over a stored array, every block compared with its digest when it is read."""
    import dask.array as da
    from dask.array.core import normalize_chunks

    if array.blocks == 0:
        return da.zeros(array.shape, dtype=array.dtype)
    tell_workers(group.objects.access)
    return da.map_blocks(
        _read,
        group if group.objects.url == "memory:" else Opened.of(group),
        array,
        dtype=array.dtype,
        chunks=normalize_chunks(array.chunks, array.shape),
        meta=np.empty((0,) * len(array.shape), array.dtype),
    )


def load(group: Group, array: ArraySpec) -> np.ndarray:
    """A stored array in memory, every block compared with its digest."""
    out = np.empty(array.shape, array.dtype)
    for block in range(array.blocks):
        out[array.region(block)] = group.read(array, block)
    return out


@dataclass(frozen=True)
class Opened:
    """A complete group as it was opened, for whoever reads it, here or in another process."""

    objects: Objects
    path: str
    manifest: str
    lease: Lease | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, group: Group) -> "Opened":
        """What a group is found by again."""
        where = group.objects, group.path, canonical(group.body["manifest"])
        return cls(*where, group.lease)

    def group(self) -> Group:
        """The group, kept open. Raises StoreError where it is gone."""
        return _found_group(self.objects, self.path, self.manifest)


def _read(group: Group | Opened, array: ArraySpec, block_id: Any = None) -> np.ndarray:
    found = group.group() if isinstance(group, Opened) else group
    return found.read(array, array.block_at(block_id))


def complete_group(store: Objects, url: str) -> Group:
    """The complete group of a store at a URL, held. Raises StoreError where there is none."""
    group = opened(store, url.removeprefix(f"{store.url}/"))
    if group is None or not group.complete:
        raise StoreError(
            f"{url} must hold a complete result",
            came="it is gone, or damaged",
            do="Run the plan again.",
        )
    return group


@lru_cache(maxsize=16)
def _found_group(objects: Objects, path: str, manifest: str) -> Group:
    group = find(objects, path)
    if group is None or canonical(group.body.get("manifest")) != manifest:
        raise StoreError(
            f"The result at {objects.url}/{path} must be the one that was opened",
            came="it is gone or was replaced",
            do="Run the plan again.",
        )
    return group
