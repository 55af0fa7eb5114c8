"""How what a run does reaches the book: that of the scheduler, or of this process."""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from threading import Condition, Thread
from typing import Any
from weakref import WeakSet

from .. import __version__
from ..engine.executors import current_client
from ..errors import JobError
from ..events import Event, PlanEnded, PlanStarted
from .account import Account
from .book import Book

TELL_SECONDS = 0.5
"""How often a run tells what it has done."""
LAST_SECONDS = 2.0
"""For so long the end of a plan waits until it is told."""
ANSWER_SECONDS = 10.0

logger = logging.getLogger("geodask.monitor")
Take = Callable[[dict[str, Any]], None]

_asked: WeakSet[Any] = WeakSet()
"""The clients whose schedulers were asked to keep a book."""


class Telling:
    """A watcher that tells a book of one plan after the other."""

    def __init__(self, take: Take):
        self._take, self._account = take, Account()
        self._changed, self._thread = Condition(), None

    @classmethod
    def here(cls) -> "Telling":
        """That of the current client's scheduler, or of this process where there is none."""
        client = current_client()
        return cls(local_book().take if client is None else Scheduler(client).take)

    def __call__(self, event: Event) -> None:
        with self._changed:
            self._account(event)
        if isinstance(event, PlanStarted):
            self._begin()
        elif isinstance(event, PlanEnded):
            self._end()

    def _begin(self) -> None:
        if self._thread is None:
            arguments = {"target": self._tell_often, "name": "geodask-monitor", "daemon": True}
            self._thread = Thread(args=(self._account,), **arguments)
            self._thread.start()

    def _end(self) -> None:
        """Tells the end, and is ready for the next plan."""
        with self._changed:
            account, self._account = self._account, Account()
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is None:  # it was found, and that is all there is to tell
            thread = Thread(target=self._tell, args=(account,), daemon=True)
            thread.start()
        thread.join(LAST_SECONDS)

    def _tell_often(self, account: Account) -> None:
        while True:
            self._tell(account)
            if account.ended:
                return
            with self._changed:
                self._changed.wait_for(lambda: account.ended, TELL_SECONDS)

    def _tell(self, account: Account) -> None:
        with self._changed:
            snapshot = account.snapshot()
        try:
            self._take(snapshot)
        except Exception:
            logger.debug("A run could not be told of.", exc_info=True)


class Scheduler:
    """The book at the scheduler of a client."""

    def __init__(self, client: Any):
        self._client, self._silent = client, False

    def take(self, snapshot: dict[str, Any]) -> None:
        """Sends a snapshot, until the scheduler turns out to be none that can keep it."""
        if self._silent:
            return
        try:
            self._ask_installed("geodask_take", snapshot=snapshot)
        except JobError as error:
            self._silent = True
            logger.warning("There is no geodask page: %s", error)

    def view(self) -> dict[str, Any]:
        """What is in it. Raises JobError as `install` does."""
        return self._ask_installed("geodask_view")

    def _ask_installed(self, what: str, **arguments: Any) -> Any:
        """An answer of the book, which is put where it is not, or not any more."""
        if self._client not in _asked:
            self.install()
        answer = self._ask(what, **arguments)
        if answer is None:  # the scheduler was started anew
            self.install()
            answer = self._ask(what, **arguments)
        return answer

    def install(self) -> None:
        """Raises JobError where the scheduler has another geodask, or none."""
        from .plugin import Metrics, Monitor

        try:
            self._client.register_plugin(Monitor())
            self._client.register_plugin(Metrics())
            there = self._ask("geodask_version")
        except Exception as error:
            raise _unfit(f"it said {type(error).__name__}: {error}") from error
        if there != __version__:
            raise _unfit(f"it has {there}")
        _asked.add(self._client)

    def uninstall(self) -> None:
        """Takes the page away, and what was counted."""
        from .plugin import Metrics, Monitor

        if self._client in _asked:
            _asked.discard(self._client)
            self._ask("geodask_unmount")
            self._client.unregister_scheduler_plugin(Monitor.name)
            self._client.unregister_worker_plugin(Metrics.name)

    def _ask(self, what: str, **arguments: Any) -> Any:
        """None where the scheduler does not know the question."""
        ask = getattr(self._client.scheduler, what)
        return self._client.sync(ask, callback_timeout=ANSWER_SECONDS, **arguments)


def _unfit(came: str) -> JobError:
    return JobError(
        f"A scheduler needs geodask {__version__} to show what plans do",
        came=came,
        do="Install it there. Plans run without.",
    )


@lru_cache(maxsize=1)
def local_book() -> Book:
    """The book of this process."""
    return Book()


def view_here() -> dict[str, Any]:
    """What is in the book of the current client's scheduler, or of this process."""
    client = current_client()
    return local_book().view() if client is None else Scheduler(client).view()


def elapsed(run: dict[str, Any]) -> float:
    """The seconds of a run, on the clock."""
    return (run["ended"] or time.time()) - run["began"]
