"""Watching plans at work: a page in Dask's dashboard, numbers as JSON and for Prometheus, advice.

Nothing has to be called. Whoever runs a plan tells what it does, and with a client its scheduler is
asked to keep count and to show it:

    dask scheduler --preload geodask.monitor      from the start, with a link in the navigation
    geodask.monitor.install(client)               on a scheduler that runs, before the first plan
    geodask.monitor.summary()                     the same in words, with or without a cluster

``geodask.watchers: []`` in the configuration switches it off. A plan never fails because of it.
"""

from contextlib import AbstractContextManager
from typing import Any

from .. import __version__
from ..events import Watcher


def watch() -> AbstractContextManager[Watcher]:
    """What is told of the plans that run inside: named by ``geodask.watchers``."""
    from .telling import telling

    return telling()


def install(client: Any) -> str:
    """Mounts the page on the scheduler of a client; returns its URL, as far as it has a dashboard.

    Raises
    ------
    JobError
        Where geodask is not installed at the scheduler, in this version; or where the client is
        asynchronous.
    """
    from .telling import Scheduler

    Scheduler(client).install()
    return f"{client.dashboard_link.removesuffix('/status')}/geodask"


def uninstall(client: Any) -> None:
    """Takes it away, with what was counted. A plan that runs brings it back."""
    from .telling import Scheduler

    Scheduler(client).uninstall()


def summary() -> Any:
    """What was counted on the scheduler of the current client, or in this process."""
    from .telling import view_here
    from .words import Summary

    return Summary(view_here())


def dask_setup(scheduler: Any) -> None:
    """Called by ``dask scheduler --preload geodask.monitor``."""
    from .plugin import Monitor

    plugin = Monitor(__version__)
    if plugin.name not in scheduler.plugins:  # which starts it when it starts itself
        scheduler.add_plugin(plugin, name=plugin.name, idempotent=True)
