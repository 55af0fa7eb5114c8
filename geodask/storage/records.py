"""Records of jobs in the store: what was asked for, and how far it has come.

    jobs/<id>/job.json      what was asked for; never changed
    jobs/<id>/state.json    how far it has come, written anew by whoever runs it
    jobs/<id>/cancel        there where it is to stop

The first two are notes, sealed with their key: what is torn, altered or another job's says
nothing. Ids sort by the time when they were made.
"""

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from ..errors import JobError, StoreError
from .keys import KEY_BYTES, canonical
from .objects import Objects
from .seal import get_note, put_note

ENDED = ("completed", "failed", "cancelled")
"""Statuses that stay, unless the job is resumed."""
ID = re.compile(r"[0-9a-f]{15}")
ENTRY = re.compile(rf"[a-z-]+-[0-9a-f]{{{2 * KEY_BYTES}}}")


@dataclass(frozen=True)
class Record:
    """What the store holds of a job."""

    objects: Objects
    id: str

    @property
    def asked(self) -> dict[str, Any]:
        """What was asked for. Raises StoreError where that is lost."""
        found = self._get("job.json")
        if found is None:
            raise StoreError(
                f"The record of job {self.id} in {self.objects.url} must be as it was written",
                came="it is missing or damaged",
                do="Submit the plan again: what it has computed is kept.",
            )
        return found

    @property
    def state(self) -> dict[str, Any]:
        """How far it has come; empty where nothing can be read of that."""
        return self._get("state.json") or {}

    def tell(self, state: dict[str, Any]) -> None:
        """Writes how far it has come."""
        self._put("state.json", {**state, "updated": time.time()})

    @property
    def cancelled(self) -> bool:
        """Whether it is to stop."""
        return self.objects.get(self._key("cancel")) is not None

    def cancel(self) -> None:
        """Has it stop."""
        self.objects.put(self._key("cancel"), b"{}")

    def restore(self) -> None:
        """Has it go on."""
        self.objects.delete(self._key("cancel"))

    def _get(self, name: str) -> Any:
        return get_note(self.objects, self._key(name))

    def _put(self, name: str, body: dict[str, Any]) -> None:
        put_note(self.objects, self._key(name), body)

    def _key(self, name: str) -> str:
        return f"jobs/{self.id}/{name}"


def new_record(objects: Objects, asked: dict[str, Any]) -> Record:
    """The record of a job that is asked for now."""
    record = Record(objects, f"{time.time_ns() // 1000:013x}{token_hex(1)}")
    record.tell({"status": "queued"})
    record._put("job.json", {**asked, "created": time.time()})
    return record


def record_of(objects: Objects, id: str) -> Record:
    """The record of a job. Raises JobError where there is none of that id."""
    if not ID.fullmatch(id) or objects.get(f"jobs/{id}/job.json") is None:
        raise JobError(
            f"A job of {objects.url} has the id of one there",
            came=f"{id!r} came",
            do="List them with gd.jobs().",
        )
    return Record(objects, id)


def given_to_jobs(objects: Objects) -> set[str]:
    """The paths of entries that jobs read which are not at their end, or may be resumed."""
    found: set[str] = set()
    for id in job_ids(objects):
        record = Record(objects, id)
        if record.state.get("status") != "completed":
            with suppress(StoreError):
                found.update(ENTRY.findall(canonical(record.asked["plan"])))
    return found


def job_ids(objects: Objects) -> list[str]:
    """The ids of all jobs with a record, the newest first."""
    names = (key.split("/") for key in objects.keys("jobs/"))
    return sorted((name[1] for name in names if name[2:] == ["job.json"]), reverse=True)
