"""`gd.store()`: what is stored, for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import settings
from ..errors import SpecError
from ..storage.catalogue import Store
from ..storage.group import Group
from ..storage.objects import open_objects, open_store
from .missing import results
from .plan import Plan
from .result import Report, Result, found_report, stored_array
from .specs import from_spec


@dataclass(frozen=True)
class StoredResult(Result):
    """A result that was opened by its key, of a plan over rows in memory or of a part of one."""

    arrays: dict[str, Any]
    """Dask arrays, by the names of the result's fields."""
    report: Report

    def __repr__(self) -> str:
        shown = (f"{name} {each.shape} {each.dtype}" for name, each in self.arrays.items())
        return f"<{self.report.operation} {self.report.key[:8]}: {', '.join(shown)}>"


def store(url: str | Path | None = None, storage_options: Mapping[str, Any] | None = None) -> Store:
    """The store that is configured, or the one at a URL: what it holds, and its upkeep."""
    current, shown = settings(), ("parameters", "manifold")
    if url is None:
        return Store(open_store(current), _opened, shown, current.store_max_bytes)
    return Store(open_objects(str(url), storage_options), _opened, shown)


def _opened(group: Group) -> Result:
    if "operation" not in group.body["report"]:
        raise SpecError(
            "What is opened by its key is a result",
            came=f"{group.path} is an intermediate",
            do="Open a result: gd.store().list() has them.",
        )
    if group.body["plan"] is not None:
        parts = {name: from_spec(part) for name, part in group.body["plan"].items()}
        if parts["operation"].reopens:
            plan = Plan(parts["operation"], tuple(parts["inputs"]))
            return plan.opened(group.objects, [group.name])
    arrays = {array.name: stored_array(group, array) for array in results(group)}
    return StoredResult(arrays, found_report(group))
