"""The driver of a job: a task on a worker that runs the plan, and tells how far it is."""

import time
import traceback
from collections import Counter
from contextlib import suppress
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any
from uuid import uuid4

from ..config import Settings, using
from ..errors import JobError, StoreError
from ..events import (
    ADMISSION,
    Event,
    PlanEnded,
    PlanStarted,
    StepStarted,
    TaskDone,
    TaskStarted,
    as_job,
    told,
)
from ..storage.objects import Objects
from ..storage.process import identity
from ..storage.records import ENDED, Record, record_of
from .executors import ClusterLostError
from .live import TOPIC
from .specs import from_spec

TELL_SECONDS = 1.0
"""How often the state is written."""
OWN = ("task", "driver")
"""What a state tells its driver by."""
TEXT = 20_000
"""Letters of a traceback that are kept, from its end."""


class Stopped(Exception):
    """The job is to stop."""


def drive(objects: Objects, job: str, task: str) -> None:
    """Runs the plan of a job. However it ends, that is in its record.

    Dask starts it again elsewhere where its worker is lost: what is stored is found.
    """
    from distributed import get_worker, secede

    secede()
    record = record_of(objects, job)
    before = record.state
    if before.get("task", task) != task or before.get("status") in ENDED:
        return  # it was resumed, or has ended
    killed = Counter(before.get("killed", {}))
    killed.update(before.get("under_way", ()))  # the driver before has not ended: its worker died
    recording = Recording(record, {"task": task, "killed": dict(killed)}, get_worker())
    with recording:
        asked = record.asked
        here = {"killed": tuple(killed.items()), "store_options": objects.options}
        plan = from_spec(asked["plan"])
        recording.state["passes"] = plan.passes
        settings = Settings(**{**asked["settings"], **here})
        with using(settings), as_job(job, asked["name"] or ""), told(recording.note):
            recording.note(None)
            plan.persist()


class Recording:
    """Writes the state of a job while it runs, and how it ended.

    The last driver that began has the say: one before it may have been cut off, or stopped and not
    be dead, or be about to notice that it was cancelled. It stops, and writes nothing any more.
    """

    def __init__(self, record: Record, known: dict[str, Any], worker: Any):
        self._record, self._worker = record, worker
        self.state = {
            **known,
            "driver": uuid4().hex,
            "passes": 1,
            "status": "running",
            "process": identity(),
            "started": time.time(),
            "results": [],
            "done": 0.0,
            "total": 0.0,
            "rate": 0.0,
            "step": 0,
            "under_way": [],
        }
        self._under_way: set[str] = set()
        self._admits = False
        self._begun, self._found = time.monotonic(), 0.0
        self._ended, self._stop, self._lock = Flag(), Flag(), Lock()
        self._thread = Thread(target=self._tell_often, name="geodask-job", daemon=True)

    def note(self, event: Event | None) -> None:
        """Takes in what happens. Raises where the job is to stop."""
        state = self.state
        if isinstance(event, PlanStarted):
            self._admits = event.about.operation == ADMISSION
        if self._admits:  # it tells nothing of how far the plan is
            self._admits = not isinstance(event, PlanEnded)
        elif isinstance(event, PlanStarted):
            self._begin(event.stored, total=event.work, step=0)
        elif isinstance(event, StepStarted):
            self._begin(event.stored, step=event.step)
        elif isinstance(event, TaskStarted):
            self._under_way.add(event.label)
            if state["killed"]:  # it may be the last that this driver says
                self._tell()
        elif isinstance(event, TaskDone):
            self._under_way.discard(event.label)
            state["done"] += event.work
            seconds = time.monotonic() - self._begun
            state["rate"] = (state["done"] - self._found) / max(seconds, 1e-9)
        elif isinstance(event, PlanEnded) and event.complete:
            self._under_way.clear()
            state["results"].append(event.url)
            self._begin(0.0, total=0.0, step=0)
        if self._stop.is_set() and not isinstance(event, PlanEnded):  # others are to hear of it
            raise Stopped

    def _begin(self, found: float, **state: Any) -> None:
        self._begun, self._found = time.monotonic(), found
        self.state.update(state, done=found, rate=0.0)

    def __enter__(self) -> None:
        self._look_and_tell(begins=True)
        self._thread.start()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        self._ended.set()
        self._thread.join()
        self._under_way.clear()
        if error is None:
            self.state["status"] = "completed"
        elif isinstance(error, Stopped):
            self.state["status"] = "cancelled"
        elif isinstance(error, ClusterLostError):
            self.state["status"] = "interrupted"
        else:
            self.state.update(status="failed", error=facts_of(error))
        self._tell(ended=time.time())
        return isinstance(error, Exception)

    def _tell_often(self) -> None:
        while not self._ended.wait(TELL_SECONDS):
            with suppress(StoreError):  # the next time may do, and the plan itself will say
                self._look_and_tell()

    def _look_and_tell(self, *, begins: bool = False) -> None:
        if self._record.cancelled:
            self._stop.set()
        self._tell(begins=begins)

    def _is_replaced(self) -> bool:
        found = self._record.state
        return any(found.get(part, self.state[part]) != self.state[part] for part in OWN)

    def _tell(self, *, begins: bool = False, **more: float) -> None:
        with self._lock:
            self.state.update(more, under_way=sorted(self._under_way.copy()))
            if not begins and self._is_replaced():
                self._stop.set()
                return
            self._record.tell(self.state)
        with suppress(Exception):  # only a view of it, and the scheduler may be away
            told = ("status", "done", "total", "rate", "step", "passes", "results")
            known = {name: self.state[name] for name in told}
            self._worker.log_event(TOPIC, {"job": self._record.id, "updated": time.time(), **known})


def facts_of(error: BaseException) -> dict[str, Any]:
    """An error as JSON, with the blocks that failed and their rows."""
    blocks = error.blocks if isinstance(error, JobError) else ()
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error))[-TEXT:],
        "blocks": [list(each) for each in blocks],
    }
