"""How what a run does reaches the book: that of the scheduler, or of this process."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from threading import Condition, Thread
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from .. import __version__
from ..config import settings
from ..engine.executors import current_client
from ..errors import JobError
from ..events import ADMISSION, Event, PlanEnded, PlanStarted
from .account import Account
from .book import Book
from .rules import advise

TELL_SECONDS = 0.5
"""How often a run tells what it has done."""
LAST_SECONDS = 2.0
"""For so long the end of a plan waits until it is told."""
TRIES = 5
"""How often the end of a plan is told to one who does not answer."""
BRIEF_SECONDS = 3.0
"""Of rows that are admitted faster nothing is told."""
ANSWER_SECONDS = 10.0

logger = logging.getLogger("geodask.monitor")
Take = Callable[[dict[str, Any]], None]

_fit: WeakSet[Any] = WeakSet()
_unfit: WeakSet[Any] = WeakSet()
"""The clients whose schedulers keep a book, and those whose schedulers cannot."""


@contextmanager
def telling() -> Iterator["Telling"]:
    """A watcher that tells the current client's scheduler, or this process where there is none."""
    client = current_client()
    watcher = Telling(take_here if client is None else Scheduler(client).take)
    try:
        yield watcher
    finally:
        watcher.close()


class Telling:
    """A watcher that tells a book of one plan after the other."""

    def __init__(self, take: Take):
        self._id = uuid4().hex
        self._take, self._account = take, Account(teller=self._id)
        self._changed, self._thread = Condition(), None

    def __call__(self, event: Event) -> None:
        with self._changed:
            self._account(event)
        if isinstance(event, PlanStarted):
            self._begin()
        elif isinstance(event, PlanEnded):
            self._end()

    def close(self) -> None:
        """Tells the end of a plan that has told none."""
        if self._thread is not None:
            self(PlanEnded(False))

    def _begin(self) -> None:
        if self._thread is None:
            self._thread = self._started(self._account)

    def _started(self, account: Account) -> Thread:
        thread = Thread(
            target=self._tell_often, args=(account,), name="geodask-monitor", daemon=True
        )
        thread.start()
        return thread

    def _end(self) -> None:
        """Tells the end, and is ready for the next plan."""
        with self._changed:
            account, self._account = self._account, Account(teller=self._id)
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is None:  # it was found, and that is all there is to tell
            thread = self._started(account)
        thread.join(LAST_SECONDS)

    def _tell_often(self, account: Account) -> None:
        failed = 0
        if account.state["operation"] == ADMISSION and self._is_brief(account):
            return
        while failed < TRIES:
            with self._changed:
                snapshot = account.snapshot()
            last, told = snapshot["ended"] is not None, self._told(account, snapshot)
            if last and told:
                return
            failed += last
            with self._changed:
                if last or not account.ended:
                    self._changed.wait(TELL_SECONDS)

    def _is_brief(self, account: Account) -> bool:
        """Whether it is over at once, and well: of rows that are admitted so nobody wants to hear,
        unless others had to leave the store for their copy."""
        with self._changed:
            ended = self._changed.wait_for(lambda: account.ended, BRIEF_SECONDS)
            state = account.state
            return ended and state["state"] == "completed" and not state["evictions"]

    def _told(self, account: Account, snapshot: dict[str, Any]) -> bool:
        try:
            self._take(snapshot)
        except Exception:
            logger.debug("A run could not be told of.", exc_info=True)
            return False
        with self._changed:
            account.delivered(snapshot)
        return True


class Scheduler:
    """The book at the scheduler of a client."""

    def __init__(self, client: Any):
        self._client = client

    def take(self, snapshot: dict[str, Any]) -> None:
        """Sends a snapshot, unless the scheduler has turned out to be none that can keep it."""
        if self._client in _unfit:
            return
        try:
            self._ask_installed("geodask_take", snapshot=snapshot)
        except JobError as error:
            _unfit.add(self._client)
            logger.warning("There is no geodask page: %s", error)

    def view(self) -> dict[str, Any]:
        """What is in it. Raises JobError as `install` does, and where it is just taken away."""
        found = self._ask_installed("geodask_view")
        if found is None:
            raise JobError(
                "A scheduler must keep count", came="it was told to stop", do="Try again."
            )
        return found

    def _ask_installed(self, what: str, **arguments: Any) -> Any:
        """An answer of the book, which is put where it is not, or not any more."""
        if self._client not in _fit:
            self.install()
        answer = self._ask(what, **arguments)
        if answer is None:  # the scheduler was started anew, or another client took it away
            self.install()
            answer = self._ask(what, **arguments)
        return answer

    def install(self) -> None:
        """Raises JobError where the scheduler has another geodask, or none."""
        from .plugin import Metrics, Monitor

        if self._client.asynchronous:
            raise _no_page("an asynchronous client came", "Pass one that waits for answers.")
        try:
            self._client.register_plugin(Monitor(__version__))
            there = self._ask("geodask_version")
        except Exception as error:
            said = f"it said {type(error).__name__}: {error}"
            raise _no_page(said, "Install it there. Plans run without.") from error
        if there not in (__version__, None):  # None: somebody is just taking it away
            raise _no_page(f"it has {there}", "Install the same version there. Plans run without.")
        _unfit.discard(self._client)
        if there is not None:
            current = settings()
            self._client.register_plugin(Metrics(current.array, current.device, current.surrogate))
            _fit.add(self._client)

    def uninstall(self) -> None:
        """Takes the page away, and what was counted."""
        from .plugin import Metrics, Monitor

        _fit.discard(self._client)
        if self._ask("geodask_unmount") is not None:
            self._client.unregister_scheduler_plugin(Monitor.name)
            with suppress(ValueError):  # the page came with a preload, and no plan has run
                self._client.unregister_worker_plugin(Metrics.name)

    def _ask(self, what: str, **arguments: Any) -> Any:
        """None where the scheduler does not know the question."""
        ask = getattr(self._client.scheduler, what)
        return self._client.sync(ask, callback_timeout=ANSWER_SECONDS, **arguments)


def _no_page(came: str, do: str) -> JobError:
    return JobError(f"A scheduler needs geodask {__version__} to show what plans do", came=came,
                    do=do)  # fmt: skip


@lru_cache(maxsize=1)
def local_book() -> Book:
    """The book of this process."""
    return Book()


def take_here(snapshot: dict[str, Any]) -> None:
    """Takes a snapshot into the book of this process, which has nobody else to make it tick."""
    book = local_book()
    book.take(snapshot)
    book.tick(at_least=1.0)


def view_here() -> dict[str, Any]:
    """What is in the book of the current client's scheduler, or of this process."""
    client = current_client()
    if client is not None:
        return Scheduler(client).view()
    view = local_book().view()
    return {**view, "advice": list(advise(view))}
