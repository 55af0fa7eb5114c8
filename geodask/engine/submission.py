"""From a plan to a job: inputs that other processes can open, a record, a driver on the cluster."""

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from ..config import Settings, settings
from ..errors import JobError
from ..storage.objects import Objects, open_store
from ..storage.process import identity
from ..storage.records import Record, new_record
from .executors import current_client, executor, visible

if TYPE_CHECKING:
    from .jobs import Job
    from .points import Points

KNOWN_SECONDS = 30.0
"""How long the scheduler may take to know of a driver."""


class Submitted:
    """A plan that may run on a cluster without its client."""

    inputs: tuple["Points", ...]
    passes: ClassVar[int] = 1
    """How many plans it runs, one after the other."""

    def submit(
        self, *, priority: int | None = None, retries: int | None = None, name: str | None = None
    ) -> "Job":
        """Starts it on the cluster of the current client, which may go: the job does not need it.

        Inputs that no other process can open (in memory, Dask arrays, rows by number) are written
        to the store first. Blocks that fail are left for the end, and the others are computed.

        Parameters
        ----------
        priority : int, optional
            Tasks of jobs with a higher one go first. `geodask.priority` without it.
        retries : int, optional
            How often a task that fails is tried again. `geodask.retries` without it.
        name : str, optional
            To find it by in `geodask.jobs`.

        Raises
        ------
        JobError
            Where there is no cluster, or one that ends with this process.
        """
        client = lasting_client()
        current = settings()
        priority = current.priority if priority is None else priority
        retries = current.retries if retries is None else retries
        current = replace(current, priority=priority, retries=retries)
        return submitted(self, client, current, name)


def submitted(plan: Any, client: Any, current: Settings, name: str | None) -> "Job":
    """The job of a plan on the cluster of the current client, which must outlive it."""
    from .inputs import kept
    from .jobs import Job

    objects, unchecked = open_store(current), replace(current, validate="none")
    with executor(current) as engine, visible(engine, objects):
        inputs = tuple(
            kept(x, current if plan.operation.checks(i) else unchecked, engine, objects)
            for i, x in enumerate(plan.inputs)
        )
    record = record_plan(replace(plan, inputs=inputs), objects, current, name)
    start(record, client)
    return Job(record)


def record_plan(plan: Any, objects: Objects, current: Settings, name: str | None) -> Record:
    """Writes that a plan over stored points is asked for. No cluster is needed."""
    from .specs import to_spec

    how = {"store_options": "", "on_error": "continue", "progress": "off"}
    asked = {
        "name": name,
        "operation": plan.operation.name,
        "priority": current.priority,
        "retries": current.retries,
        "plan": to_spec(plan),
        "settings": asdict(replace(current, store=objects.url, **how)),
    }
    return new_record(objects, asked)


def start(record: Record, client: Any, *, blame: bool = True) -> None:
    """Starts a driver of a job on a client's cluster; returns once the scheduler knows of it.

    ``blame`` the tasks that were under way for the end of the driver before, where there was one.
    """
    from distributed import fire_and_forget

    from .drive import drive
    from .live import DRIVER, Live, look
    from .sharing import share
    from .specs import from_spec

    asked, objects = record.asked, record.objects
    inputs = from_spec(asked["plan"]).inputs
    share(client, objects.access.union(*(x.source.access for x in inputs)))
    client.register_plugin(Live())
    task = f"{DRIVER}{record.id}-{uuid4().hex[:8]}"
    before = record.state
    kept = {part: before[part] for part in ("killed", "under_way") if part in before}
    if not blame or before.get("status") == "failed":  # its cause was mended
        kept.clear()
    record.tell({**kept, "status": "queued", "task": task})
    how = {"pure": False, "priority": asked["priority"]}
    fire_and_forget(client.submit(drive, objects, record.id, task, key=task, **how))
    end = time.monotonic() + KNOWN_SECONDS
    while look(client, record.id, task) is None and record.state["status"] == "queued":
        if time.monotonic() > end:
            raise JobError(
                f"The scheduler must take the driver of job {record.id}",
                came=f"it does not know it after {KNOWN_SECONDS:.0f} s",
                do="Find out why, and call resume() of the job in gd.jobs().",
            )
        time.sleep(0.01)


def lasting_client() -> Any:
    """The current client, of a cluster that outlives this process. Raises JobError without one."""
    client = current_client()
    if client is None:
        raise _nowhere("there is none: plans run on threads of this process")
    if client.run_on_scheduler(identity) == identity():
        raise _nowhere("its scheduler runs in this process, and ends with it")
    if getattr(client.cluster, "shutdown_on_close", False):
        raise _nowhere("this process started it, and stops it when it ends")
    return client


def _nowhere(came: str) -> JobError:
    return JobError(
        "A job needs a cluster that outlives this process",
        came=came,
        do='Connect to one that runs by itself, as Client("tcp://scheduler:8786"), or use '
        "persist(): it goes on where it was interrupted.",
    )
