"""What the scheduler holds of the jobs that run now: lost with it, and told anew by their drivers.

The store has the truth. This is what a page, a metric or a cluster that adapts looks at many times
a second.
"""

from typing import Any

from distributed import SchedulerPlugin

TOPIC = "geodask-job"
NAME = "geodask-jobs"
DRIVER = "gd-job-"
"""What the tasks of drivers are called, before the id of their job."""
MOST = 1000
"""Jobs that are held; those that were told of longest ago go first."""
AT_WORK = {"waiting", "no-worker", "queued", "processing"}


class Live(SchedulerPlugin):
    """Of each job that runs its state, as its driver has told it last."""

    name, idempotent = NAME, True

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self._drivers: set[str] = set()

    @property
    def queued(self) -> list[str]:
        """The ids of jobs whose drivers wait for a thread, or have told nothing yet."""
        return sorted(self._drivers - set(self.jobs))

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        """Called for every task there is, so it looks at little of most."""
        if isinstance(key, str) and key.startswith(DRIVER):
            job = key.removeprefix(DRIVER).rpartition("-")[0]
            (self._drivers.add if finish in AT_WORK else self._drivers.discard)(job)

    async def start(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        scheduler.handlers["geodask_jobs"] = self.states

    def log_event(self, topic: str, msg: Any) -> None:
        if topic != TOPIC:
            return
        self.jobs.pop(msg["job"], None)
        if msg["status"] == "running":
            self.jobs[msg["job"]] = msg
        while len(self.jobs) > MOST:
            del self.jobs[next(iter(self.jobs))]

    async def states(self, job: str | None = None, task: str = "") -> dict[str, dict[str, Any]]:
        """The states of all jobs, or that of one whose driver's task is at work here."""
        if job is None:
            return self.jobs
        known = self._scheduler.tasks.get(task)
        there = known is not None and known.state in AT_WORK
        return {job: self.jobs.get(job, {})} if there else {}


def look(client: Any, job: str, task: str) -> dict[str, Any] | None:
    """What the scheduler knows of a job; None where it has no such driver's task at work."""
    try:
        found = client.sync(client.scheduler.geodask_jobs, job=job, task=task)
    except (AttributeError, ValueError, OSError):  # no plugin, so no driver; or no scheduler
        return None
    return (found or {}).get(job)
