"""Clusters that grow and shrink with the work that plans have left."""

import math
import warnings
from typing import Any

from distributed import Adaptive, SchedulerPlugin
from distributed.protocol.pickle import dumps

from ..engine.remaining import TOPIC


def adaptive(
    cluster: Any,
    minimum: int = 0,
    maximum: float = math.inf,
    target_duration: str = "1 minute",
    **options: Any,
) -> Any:
    """Scales a cluster by the seconds of work that its plans have left, never by counts of tasks.

    While plans run there are as many workers as would finish what is left in ``target_duration``,
    or in the time of one task where that is longer. Without plans Dask's own rule holds. A worker
    that goes costs at most the task it is in: what is finished is in the store.

    Parameters
    ----------
    cluster : any cluster object of Dask
        One with ``adapt()``: `local`, those of dask-jobqueue, dask-cloudprovider and others.
    minimum, maximum : int
        Bounds of the number of workers.
    target_duration : str
        Shorter asks for more workers: about the time that machines take to start is sensible.
    options : optional
        Those of ``cluster.adapt``, such as ``interval`` and ``wait_count``.

    Warns
    -----
    UserWarning
        Where the cluster cannot be told by plans, because its scheduler has no geodask or it
        scales by other means: then Dask's own rule holds at all times.
    """
    bounds = {"minimum": minimum, "maximum": maximum, **options}
    try:
        cluster.sync(_install, cluster.scheduler_comm)
        return cluster.adapt(Adaptive=ByPlans, target_duration=target_duration, **bounds)
    except (ImportError, AttributeError, TypeError, OSError) as error:
        warnings.warn(
            f"{type(cluster).__name__} scales by Dask's own rule, not by what plans have left: "
            f"{error!r}. That needs geodask at its scheduler, and adapt(Adaptive=...).",
            stacklevel=2,
        )
    return cluster.adapt(**bounds)


class Ledger(SchedulerPlugin):
    """On the scheduler: what each plan has left, until it ends or its client is gone."""

    name = "geodask-ledger"
    idempotent = True

    async def start(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.plans: dict[tuple[str, str], tuple[float, float]] = {}
        scheduler.handlers["geodask_target"] = self.target

    def log_event(self, topic: str, msg: Any) -> None:
        if topic != TOPIC:
            return
        plan = msg["client"], msg["plan"]
        if msg.get("ended"):
            self.plans.pop(plan, None)
        else:
            self.plans[plan] = msg["seconds"], msg["each"]

    def remove_client(self, scheduler: Any, client: str) -> None:
        self.plans = {plan: left for plan, left in self.plans.items() if plan[0] != client}

    async def target(self, duration: float) -> int:
        """Workers for what plans have left, at least one; 0 where there are no plans."""
        workers = self.scheduler.workers.values()
        there = sum(worker.nthreads for worker in workers)
        # A task is not cut: more threads than left / each would have nothing to do.
        wanted = [left / max(duration, each) for left, each in self.plans.values()]
        if any(each == 0.0 for _, each in self.plans.values()):  # no task has ended yet
            wanted.append(max(0.0, there - sum(wanted)))
        threads = sum(map(math.ceil, wanted))
        return math.ceil(max(threads, len(self.plans)) * max(1, len(workers)) / max(1, there))


class ByPlans(Adaptive):
    """Dask's own scaling, with another target while there are plans."""

    async def target(self) -> int:
        scheduler: Any = self.scheduler
        await _install(scheduler)  # again where it was restarted
        found = await scheduler.geodask_target(duration=self.target_duration)
        return found or await super().target()


async def _install(scheduler: Any) -> None:
    plugin = Ledger()
    await scheduler.register_scheduler_plugin(
        plugin=dumps(plugin), name=plugin.name, idempotent=plugin.idempotent
    )
