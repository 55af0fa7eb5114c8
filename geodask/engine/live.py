"""What the scheduler holds of the jobs that run now: lost with it, and told anew by their drivers.

The store has the truth. This is what a page, a metric or a cluster that adapts looks at many times
a second.
"""

from typing import Any

from distributed import SchedulerPlugin

TOPIC = "geodask-job"
NAME = "geodask-jobs"
MOST = 1000
"""Jobs that are held; those that were told of longest ago go first."""
AT_WORK = {"waiting", "no-worker", "queued", "processing"}


class Live(SchedulerPlugin):
    """Of each job that runs its state, as its driver has told it last."""

    name, idempotent = NAME, True

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}

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
