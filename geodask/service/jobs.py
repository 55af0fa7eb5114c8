"""The jobs of a store, from the store alone."""

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import overload

from ..config import settings
from ..engine.jobs import Job
from ..errors import StoreError
from ..storage.objects import Objects, open_objects, open_store
from ..storage.records import Record, job_ids, record_of

SHOWN = 20
"""Jobs in a table."""


def jobs(url: str | Path | None = None) -> "Jobs":
    """The jobs of a store, the newest first; ``geodask.store`` without a URL.

    No cluster is needed. ``gd.jobs()["nov"]`` is the newest of an id or a name.
    """
    objects = open_store(settings()) if url is None else open_objects(str(url))
    return Jobs(objects, job_ids(objects))


class Jobs(Sequence[Job]):
    """Jobs by their place, the newest first, or by id or name. Records are read as they are used.

    Raises KeyError for an id or a name that none has.
    """

    def __init__(self, objects: Objects, ids: list[str]):
        self._objects, self._ids = objects, ids

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int | str) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> "Jobs": ...
    def __getitem__(self, index: int | str | slice) -> "Job | Jobs":
        if isinstance(index, slice):
            return Jobs(self._objects, self._ids[index])
        if not isinstance(index, str):
            return Job(Record(self._objects, self._ids[index]))
        if index in self._ids:
            return Job(record_of(self._objects, index))
        found = next((job for job in self if _name(job) == index), None)
        if found is None:
            raise KeyError(f"A job has the id or the name of one in {self._objects.url}: {index!r}")
        return found

    def __iter__(self) -> Iterator[Job]:
        return (Job(Record(self._objects, id)) for id in self._ids)

    def rows(self) -> list[dict[str, str]]:
        """The first of them in words, for a table."""
        return [_row(job) for job in self[:SHOWN]]

    @property
    def _rest(self) -> str:
        more = len(self) - SHOWN
        return f"and {more} more" if more > 0 else ""

    def __repr__(self) -> str:
        rows = [[*row.values()] for row in self.rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        title = f"{len(self)} jobs in {self._objects.url}"
        return (
            "\n".join(["<" + title, *(f"  {line}" for line in [*lines, self._rest] if line)]) + ">"
        )

    def _repr_html_(self) -> str:
        rows = self.rows()
        names = "".join(f"<th>{escape(name)}</th>" for name in (rows[0] if rows else ()))
        cells = ("".join(f"<td>{escape(text)}</td>" for text in row.values()) for row in rows)
        body = "".join(f"<tr>{each}</tr>" for each in cells)
        title = f"{len(self)} jobs in {self._objects.url}"
        return (
            f"<div><strong>{escape(title)}</strong><table><tr>{names}</tr>{body}</table>"
            f"{self._rest}</div>"
        )


def _name(job: Job) -> str | None:
    try:
        return job.name
    except StoreError:  # a damaged record has none
        return None


def _row(job: Job) -> dict[str, str]:
    try:
        name, facts = job.name or "", job.facts
    except StoreError:
        name, facts = "", {"status": "the record is damaged"}
    known = {part: facts.get(part, "") for part in ("status", "operation", "submitted", "left")}
    return {"id": job.id, "name": name, **known}
