"""What is stored: listed, measured, pinned, verified, evicted, and traced to where it came from."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

from dask.utils import format_bytes

from ..errors import SpecError, StoreError
from .entries import PATTERN, PINS, Entry, entries, entry_paths, pins, read_entry
from .eviction import LIMIT, evict, sweep
from .group import Group, root_body
from .inspection import damages, note_damages
from .leases import hold, leased, opened
from .objects import Objects, open_objects
from .seal import get_note, put_note
from .usage import Use, counter, usage


@dataclass(frozen=True, repr=False)
class Store:
    """The results and intermediates in a store. Made by `geodask.store`.

    Keys are those of reports, or of `list`, as far as they are unique, or the names of pins. Where
    one is of nothing or of several, SpecError is raised.
    """

    objects: Objects
    open_result: Callable[[Group], Any] = field(repr=False)
    shown: tuple[str, ...] = ()
    """The parts of a plan's description that `list` and `provenance` show."""
    limit: int | None = None
    """Bytes that it may take, where that is configured."""

    def list(self) -> Any:
        """A pandas DataFrame with a row for each entry, the last used first.

        ``seconds`` is what it took to compute, ``bytes`` and ``shape`` that of all arrays and of
        the first; ``status`` is complete, building, abandoned (by a run that is gone, which a new
        one continues) or damaged.
        """
        import pandas as pd

        found, used = entries(self.objects), usage(self.objects).entries
        held, pinned, never = leased(self.objects), pins(self.objects), Use()
        uses = [used.get(entry.path, never) for entry in found]
        columns = {
            "name": [pinned.get(entry.path) for entry in found],
            "operation": [entry.operation for entry in found],
            **{part: [(entry.spec or {}).get(part) for entry in found] for part in self.shown},
            "shape": [entry.shape for entry in found],
            "dtype": [entry.dtype for entry in found],
            "bytes": [entry.size for entry in found],
            "created": _times([entry.created for entry in found]),
            "last_used": _times([use.last for use in uses]),
            "hits": [use.hits for use in uses],
            "seconds": [entry.elapsed for entry in found],
            "status": [_status(entry, held) for entry in found],
        }
        index = pd.Index([entry.key for entry in found], name="key", dtype=object)
        frame = pd.DataFrame(columns, index=index)
        return frame.sort_values(["last_used", "created"], ascending=False)

    def get(self, key: str) -> Any:
        """A stored result again: its arrays and its report. Nothing is computed."""
        path = self._path(key)
        group = opened(self.objects, path)
        if group is None or not group.complete:
            raise StoreError(
                f"{path} must be complete before it can be read",
                came=f"it is {read_entry(self.objects, path).status}",
                do="Run its plan again: that computes what is missing.",
            )
        counter(self.objects).hit(path, group.nbytes, group.body["report"].get("seconds", 0.0))
        return self.open_result(group)

    def pin(self, key: str, name: str | None = None) -> None:
        """Keeps an entry from eviction until it is unpinned; `get` finds it by the name, too."""
        path = self._path(key)
        others = [each for each, its in pins(self.objects).items() if its == name and each != path]
        if name is not None and others:
            raise SpecError(
                "A name must be of one entry alone",
                came=f"{name!r} is of {others[0]}",
                do="Unpin that, or pass another name.",
            )
        lease = hold(self.objects, path)
        put_note(self.objects, f"{PINS}/{path}", {"name": name})
        del lease  # whoever evicts now sees the pin
        self._path(path)  # raises where it was evicted meanwhile

    def unpin(self, key: str) -> None:
        """Lets an entry be evicted again, and takes its name away."""
        self.objects.delete(f"{PINS}/{self._path(key)}")

    def verify(self, key: str | None = None) -> Any:
        """Compares every object, or those of one entry, with its digest; nothing is changed.

        Returns a pandas DataFrame of what is damaged: object and problem. Blocks that a run under
        way has not marked are not looked at, and may be missing.
        """
        import pandas as pd

        paths = entry_paths(self.objects) if key is None else [self._path(key)]
        found = [each for path in paths for each in damages(self.objects, path)]
        found += note_damages(self.objects) if key is None else []
        return pd.DataFrame(found, columns=["object", "problem"])

    def evict(self, key: str) -> int:
        """Takes an entry away; the bytes that this frees. Raises StoreError where it is in use."""
        path = self._path(key)
        gone = evict(self.objects, [read_entry(self.objects, path)])
        if not gone:
            pinned = path in pins(self.objects)
            raise StoreError(
                f"{path} must not be in use or pinned to be evicted",
                came="it is pinned" if pinned else "somebody reads or builds it",
                do="Unpin it." if pinned else "Let go of the results that are open.",
            )
        return gone[0].size

    def clear(self) -> int:
        """Takes away all that nobody reads, builds or pinned; the bytes that this frees."""
        sweep(self.objects)
        return sum(entry.size for entry in evict(self.objects, entries(self.objects)))

    def stats(self) -> dict[str, Any]:
        """Entries, bytes and their limit now; hits, misses and what they saved, since ever."""
        sizes = [entry.size for entry in entries(self.objects)]
        limit = get_note(self.objects, LIMIT) if self.limit is None else self.limit
        now = {"entries": len(sizes), "bytes": sum(sizes), "limit": limit}
        return {**now, **asdict(usage(self.objects).totals)}

    def provenance(self, of: Any) -> dict[str, Any]:
        """From a result or a key back to the inputs, and those of inputs that are stored results.

        Each input has its label, shape, dtype and digest, and ``results``: those it was read from.
        """
        if isinstance(of, str):
            return self._tree(self.objects, self._path(of), set())
        return self._tree(*self._located(of.report.url), set())

    def _tree(self, objects: Objects, path: str, seen: set[str]) -> dict[str, Any]:
        url = f"{objects.url}/{path}".rstrip("/")
        body = root_body(objects.get(f"{path}/zarr.json" if path else "zarr.json"))
        if body is None or url in seen:
            return {"url": url, "status": "gone" if body is None else "shown above"}
        spec = body["spec"]
        inputs = []
        known = body["origins"] or [{"label": "", "results": []}] * len(spec.get("inputs", []))
        for content, origin in zip(spec.get("inputs", []), known, strict=True):
            before = [self._tree(*self._located(each), seen | {url}) for each in origin["results"]]
            inputs.append({**content, "label": origin["label"], "results": before})
        parts = {part: spec.get(part) for part in ("operation", *self.shown)}
        return {"url": url, "status": body["status"], **parts, "inputs": inputs}

    def _path(self, key: str) -> str:
        found = _matching(self.objects, key)
        if len(found) == 1:
            return found[0]
        raise SpecError(
            f"A key must be of one entry of {self.objects.url}",
            came=f"{key!r} is of {', '.join(found[:5]) if found else 'none'}",
            do="Pass more of the key, as gd.store().list() has it.",
        )

    def _located(self, url: str) -> tuple[Objects, str]:
        """The root and the path of a result, by its URL."""
        root, _, name = url.rpartition("/")
        if not PATTERN.fullmatch(name):
            return open_objects(url), ""
        return self.objects if root == self.objects.url else open_objects(root), name

    def __len__(self) -> int:
        return len(entry_paths(self.objects))

    def __repr__(self) -> str:
        found = self.stats()
        of = "" if found["limit"] is None else f" of {format_bytes(int(found['limit']))}"
        return (
            f"<Store {self.objects.url}: {found['entries']} entries, "
            f"{format_bytes(found['bytes'])}{of}; {found['hits']} hits, {found['misses']} misses, "
            f"{found['seconds_saved']:.3g} s saved>"
        )

    def _repr_html_(self) -> str:
        title = escape(repr(self).strip("<>"))
        return f"<div><strong>{title}</strong>{self.list().to_html(max_rows=20)}</div>"


def _matching(objects: Objects, key: str) -> list[str]:
    """The paths of the entries that a key may mean."""
    named = [path for path, name in pins(objects).items() if name == key]
    starts = ((path, path.rpartition("-")[2]) for path in entry_paths(objects) if key)
    return named or [path for path, bare in starts if path.startswith(key) or bare.startswith(key)]


def _status(entry: Entry, held: set[str]) -> str:
    return "abandoned" if entry.status == "building" and entry.path not in held else entry.status


def _times(seconds: list[float]) -> Any:
    import pandas as pd

    return pd.to_datetime([each or None for each in seconds], unit="s", utc=True)
