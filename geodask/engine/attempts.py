"""A call on the workers of a cluster, which outlives the worker it began on, and ends in words."""

import time
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any

from distributed import KilledWorker

from ..errors import JobError
from .executors import ClusterLostError, WorkersDiedError

FETCH_SECONDS = 2.0
"""A result that takes longer to come is lost with its worker: others are fetched meanwhile."""
AGAIN = "What is finished is stored: run again, and only the rest is computed."


class Attempt(Future):
    """A call on one worker, or where it is late on several: the first result is the one."""

    def __init__(self, name: str, call: tuple[bytes, bytes]):
        super().__init__()
        self.name, self.call = name, call
        self.seconds, self.since = 0.0, 0.0
        self.tries: list[Any] = []

    def begun(self, future: Any) -> None:
        """Follows another try."""
        self.since = time.monotonic()
        self.tries.append(future)
        future.add_done_callback(self._settle)

    def cancel(self) -> bool:
        cancelled = super().cancel()
        self._give_up()
        return cancelled

    def answer(self, seconds: float, found: Any) -> None:
        """Takes what a try has returned, and the seconds that it took."""
        with suppress(InvalidStateError):  # cancelled, or answered already
            if not self.done():
                self.seconds = seconds
                self.set_result(found)

    def _settle(self, ended: Any) -> None:
        # Dask calls back from one thread: two tries never settle at once, and none may take long.
        if not self.done():
            if not ended.done():  # its worker died just after it had ended, and the result with it
                ended.add_done_callback(self._settle)
                return
            if ended.status != "finished" and not all(each.done() for each in self.tries):
                return
            try:
                if ended.status == "error":
                    self._fail(ended.exception(FETCH_SECONDS), ended.traceback(FETCH_SECONDS))
                else:
                    self.answer(*ended.result(FETCH_SECONDS))
            except TimeoutError:
                ended.add_done_callback(self._settle)
                return
            except Exception as raised:
                self._fail(raised, None)
        self._give_up()

    def _fail(self, error: BaseException, trace: Any) -> None:
        # The client holds the error for as long as somebody has the future that holds it: no frame
        # of ours may be in its traceback.
        with suppress(InvalidStateError):
            self.set_exception(in_words(error.with_traceback(trace), self))

    def _give_up(self) -> None:
        with suppress(Exception):  # of a client that is closed, or has lost its scheduler
            for each in self.tries:
                if not each.done():
                    each.cancel()
        self.tries = []


def in_words(error: BaseException, where: Any) -> BaseException:
    """What Dask says of a call that failed, as an error of ours where it is not the call's own."""
    if isinstance(error, KilledWorker):
        count, last = error.allowed_failures + 1, error.last_worker.address
        return WorkersDiedError(
            "A call must leave its worker alive",
            came=f"{error.task} ended {count}, the last at {last}",
            do=AGAIN,
        )
    if isinstance(error, CancelledError):
        return lost(error)
    if not isinstance(error, Exception):
        return JobError(
            "A call must return, or raise an Exception",
            came=f"{type(error).__name__} came: {error}",
            do=AGAIN,
        )
    said = str(error)
    if "geodask" in said and ("No module named" in said or "Can't get attribute" in said):
        return JobError(
            "geodask must be installed on every worker, in one version",
            came=f"the worker {where} said: {said}",
            do="Install it there.",
        )
    return error


def lost(why: Any) -> ClusterLostError:
    """The error of a run whose calls were cancelled, or whose scheduler is gone."""
    return ClusterLostError(
        "The cluster must finish what it was given", came=f"it said: {why}", do=AGAIN
    )
