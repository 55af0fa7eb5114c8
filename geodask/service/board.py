"""The jobs of a store as JSON, and new ones for the cluster of a scheduler. Called from threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

from ..config import using
from ..engine.executors import Threads
from ..engine.inputs import kept
from ..engine.jobs import Job, eta_of, progress_of
from ..engine.live import AT_WORK
from ..engine.submission import record_plan, start
from ..errors import JobError, StoreError
from ..storage.objects import open_store
from ..storage.records import ID, Record, job_ids, record_of
from .operations import make_plan
from .options import Options
from .refusal import Refusal
from .roots import Roots
from .rows import result_of


class Board:
    """What the routes of one scheduler show and do."""

    def __init__(self, scheduler: Any, options: Options):
        self._scheduler, self._settings = scheduler, options.settings
        self._objects = open_store(options.settings)
        self._roots = Roots.of(options.roots)
        self._shown = Roots.of([*options.roots, self._objects.url])

    def submit(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Starts the job of a submission that fits its schema.

        Raises Refusal, or what the operation says against what it was given.
        """
        from distributed import Client

        current = replace(self._settings, priority=asked.get("priority", self._settings.priority))
        with using(current), ThreadPoolExecutor(1) as pool:
            plan = make_plan(asked, self._roots)
            here = replace(current, validate="none"), Threads(pool, 1), self._objects
            plan = replace(plan, inputs=tuple(kept(x, *here) for x in plan.inputs))
            record = record_plan(plan, self._objects, current, asked.get("name"))
        how = {"security": self._scheduler.security, "set_as_default": False}
        with Client(self._scheduler.address, **how) as client, client.as_current():
            start(record, client)
        return self._facts(record)

    def page(self, limit: int, after: str | None) -> list[dict[str, Any]]:
        """Jobs, the newest first; those older than another where its id is given."""
        if after is not None and not ID.fullmatch(after):
            raise Refusal(400, f"after is the id of a job, but {after} came.")
        older = (id for id in job_ids(self._objects) if after is None or id < after)
        return [self._facts(Record(self._objects, id)) for id in islice(older, limit)]

    def find(self, id: str) -> dict[str, Any]:
        """A job. Raises Refusal where there is none."""
        return self._facts(self._record(id))

    def cancel(self, id: str) -> dict[str, Any]:
        """Has it stop, where it is not at its end, and returns it. Raises as `find`."""
        Job(self._record(id)).cancel()
        return self.find(id)

    def result(self, id: str, rows: int) -> dict[str, Any]:
        """Where its result lies, what it is, and its first rows. Raises as `find`."""
        record = self._record(id)
        state = self._state(record)
        if state["status"] != "completed":
            raise Refusal(409, f"Job {id} has no result: it is {state['status']}.", "JobError")
        try:
            found = result_of(record, state["results"], rows, self._readable)
        except StoreError as error:
            raise Refusal(410, str(error), "StoreError") from error
        return {"id": id, **found}

    def _readable(self, place: str) -> bool:
        """Whether what lies at a place, or has lain, may be shown: in the store or under a root."""
        try:
            return bool(self._shown.resolve(place))
        except Refusal as refusal:
            return refusal.status == 404

    def _record(self, id: str) -> Record:
        try:
            return record_of(self._objects, id)
        except JobError as error:
            raise Refusal(404, str(error), "JobError") from error

    def _state(self, record: Record) -> dict[str, Any]:
        state = Job(record).state
        task = self._scheduler.tasks.get(state.get("task"))
        if state["status"] == "interrupted" and task is not None and task.state in AT_WORK:
            return record.state  # it only waits for its turn
        return state

    def _facts(self, record: Record) -> dict[str, Any]:
        state = self._state(record)
        try:
            asked = record.asked
        except StoreError:
            asked, state = {}, {**state, "status": "damaged"}
        error = state.get("error")
        return {
            "id": record.id,
            "status": state["status"],
            **{part: asked.get(part) for part in ("name", "operation", "priority", "created")},
            **{part: state.get(part) for part in ("started", "updated", "ended")},
            "progress": progress_of(state),
            "eta": eta_of(state),
            "error": error and {part: error[part] for part in ("type", "message", "blocks")},
        }
