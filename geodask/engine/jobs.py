"""Jobs: plans that run on a cluster without their client, seen through their records."""

import asyncio
import time
from collections.abc import Generator
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ..errors import JobError
from ..storage.objects import Objects
from ..storage.process import is_gone
from ..storage.records import ENDED, Record
from .executors import current_client
from .explain import duration
from .html import Shown
from .live import look
from .specs import from_spec

OVER = (*ENDED, "interrupted")
POLL_SECONDS = 0.2
LOST_SECONDS = 5.0
"""So long after its last news a job whose process is gone counts as interrupted: Dask may be just
about to start its driver elsewhere."""
SILENT_SECONDS = 60.0
"""So long after its last news any job does, as far as no scheduler at hand knows its driver."""


class Job(Shown):
    """A plan that was submitted: what the store knows of it, and the scheduler at hand if any.

    Made by ``plan.submit()`` and found by `geodask.jobs`.
    """

    def __init__(self, record: Record):
        self._record = record

    @property
    def id(self) -> str:
        """Its name in the store; ids sort by the time of submission."""
        return self._record.id

    @property
    def store(self) -> Objects:
        """Where its record and its result lie."""
        return self._record.objects

    @property
    def name(self) -> str | None:
        """The name that the user gave."""
        return self.asked["name"]

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What was asked for, as JSON. Raises StoreError where its record is damaged."""
        return self._record.asked

    @property
    def state(self) -> dict[str, Any]:
        """How far it has come, as JSON: status, done and total work, rate, times, error, results.

        Status is queued, running, interrupted, completed, failed or cancelled.
        """
        state = {"status": "interrupted", "updated": 0.0, **self._record.state}
        if state["status"] in ENDED:
            return state
        client = current_client()
        if client is not None and not client.asynchronous and "task" in state:
            live = look(client, self.id, state["task"])
            if live is not None:
                return {**state, **live}
        age = time.time() - state["updated"]
        lost = "process" in state and is_gone(state["process"]) and age > LOST_SECONDS
        if lost or age > SILENT_SECONDS:
            state["status"] = "interrupted"
        if state["status"] != "running" and self._record.cancelled:
            state["status"] = "cancelled"  # no driver will say so
        return state

    @property
    def status(self) -> str:
        """queued, running, interrupted, completed, failed or cancelled.

        Interrupted: its driver is gone, and does not come back by itself. `resume` goes on.
        """
        return self.state["status"]

    @property
    def progress(self) -> float:
        """The share of its work that is done, 0 to 1; of an iteration, of the step it is in."""
        return progress_of(self.state)

    @property
    def eta(self) -> float | None:
        """Seconds to its end at the present rate; None where that cannot be told."""
        return eta_of(self.state)

    def wait(self, timeout: float | None = None) -> str:
        """The status once it is not queued or running any more, or as it is after some seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self.status
            if status in OVER or (end is not None and time.monotonic() >= end):
                return status
            time.sleep(POLL_SECONDS)

    def result(self, timeout: float | None = None) -> Any:
        """The result from the store, as of ``plan.persist()``; waits for it.

        Raises JobError where there is none, with the traceback as a note, TimeoutError where the
        job runs for longer than ``timeout`` seconds, and StoreError where the result is gone.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return from_spec(self.asked["plan"]).opened(self.store, self.state["results"])

    def exception(self, timeout: float | None = None) -> JobError | None:
        """Why there is no result; None where there is one. Waits as `result` does."""
        status = self.wait(timeout)
        if status not in OVER:
            raise TimeoutError(
                f"Job {self.id} must be at its end after {timeout} seconds, but is {status} yet. "
                "Wait for longer."
            )
        if status == "completed":
            return None
        error = self.state.get("error")
        if status != "failed" or error is None:
            return self._wrong(f"it was {status}")
        found = self._wrong(f"it failed with {error['type']}: {error['message']}")
        found.add_note(error["traceback"])
        found.blocks = tuple((block, start, stop) for block, start, stop in error["blocks"])
        return found

    def _wrong(self, came: str) -> JobError:
        return JobError(
            f"Job {self.id} must complete",
            came=came,
            do="Mend the cause if there is one, then job.resume(): it computes what is missing.",
        )

    def cancel(self) -> None:
        """Stops it within seconds, where it is not at its end. What it has stored stays."""
        if self._record.state.get("status") not in ENDED:
            self._record.cancel()

    def resume(self) -> None:
        """Has it go on, on the cluster of the current client, from what is stored.

        Does no harm to a job that runs: both drivers share its blocks. Raises JobError as `submit`.
        """
        from .submission import lasting_client, start

        client = lasting_client()
        runs = self.status == "running"  # then nothing has ended the worker of its driver
        self._record.restore()
        start(self._record, client, blame=not runs)

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self.result).__await__()

    @property
    def title(self) -> str:
        return f"Job {self.id}" + (f" {self.name}" if self.name else "")

    @property
    def facts(self) -> dict[str, str]:
        """What is known of it, in words."""
        state, asked = self.state, self.asked
        left, error = eta_of(state), state.get("error") or {}
        news = {"left": duration(left / 3600)} if left is not None else {}
        if state["status"] == "failed":
            news["error"] = f"{error['type']}: {error['message']}"
        made = datetime.fromtimestamp(asked["created"], UTC)
        return {
            "status": f"{state['status']}, {progress_of(state):.0%}",
            "operation": asked["operation"],
            "submitted": f"{made:%Y-%m-%d %H:%M:%S} UTC",
            **news,
        }


def progress_of(state: dict[str, Any]) -> float:
    """The share of the work that is done, from a state as JSON."""
    if state["status"] == "completed":
        return 1.0
    passes, total = state.get("passes", 1), state.get("total", 0.0)
    part = state["done"] / total if total else 0.0
    return min(1.0, (len(state.get("results", ())) + part) / passes)


def eta_of(state: dict[str, Any]) -> float | None:
    """Seconds to the end at the present rate, from a state as JSON."""
    if state["status"] != "running" or not state.get("rate") or state["step"]:
        return None
    more = state["passes"] - len(state["results"]) - 1  # later passes are taken for as long
    return (state["total"] * (1 + max(0, more)) - state["done"]) / state["rate"]
