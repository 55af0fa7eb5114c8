"""What opens buckets, told to the processes of a cluster: beside the tasks, never in them."""

from collections.abc import Iterable
from typing import Any

from distributed import WorkerPlugin

from ..storage.access import learn, told


class Grant(WorkerPlugin):
    """What a worker learns at once, or when it joins later."""

    idempotent = True

    def __init__(self, name: str):
        self.name = f"geodask-access-{name}"
        self._options = told([name])

    def setup(self, worker: Any) -> None:
        learn(self._options)


def share(client: Any, names: Iterable[str]) -> None:
    """Lets all workers of a cluster know the options of these names, and the scheduler, which
    unpacks what it hands on."""
    for name in sorted(names):
        client.run_on_scheduler(learn, told([name]))
        client.register_plugin(Grant(name))
