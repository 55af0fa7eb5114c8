"""What calls return, told by their workers as events of the scheduler.

An event comes with the news that the call has ended. Fetching a result is a question to the
scheduler and to the worker besides, and with five hundred workers one of them is always slow.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from distributed import get_worker
from distributed.protocol import pickle

TOPIC = "geodask-answers"
"""One for all: the scheduler keeps the last thousand events of every topic for good."""
LARGEST = 16 << 10
"""Bytes of an answer that is told. A larger one has to be fetched."""

Hear = Callable[[str, Any], None]
_LOCK = Lock()
_heard: WeakKeyDictionary[Any, dict[str, Hear]] = WeakKeyDictionary()
"""Who listens, for each client: it has one handler for a topic."""


def tell(name: str, answer: Any) -> None:
    """On a worker, in a call: tells whoever listens under this name."""
    said = pickle.dumps(answer)
    if len(said) <= LARGEST:
        worker = get_worker()
        message = {"to": name, "key": worker.get_current_task(), "said": said}
        worker.log_event(TOPIC, message)


@contextmanager
def listening(client: Any, name: str, hear: Hear) -> Iterator[None]:
    """Calls ``hear(key, answer)`` with what is told to the name, on the client's own thread."""
    with _LOCK:
        listeners = _heard.setdefault(client, {})
        if not listeners:
            client.subscribe_topic(TOPIC, partial(_pass_on, listeners))
        listeners[name] = hear
    try:
        yield
    finally:
        with _LOCK:
            del listeners[name]
            if not listeners:
                with suppress(Exception):  # of a client that is closed, or has lost its scheduler
                    client.unsubscribe_topic(TOPIC)


def _pass_on(listeners: dict[str, Hear], event: tuple[float, Any]) -> None:
    _, message = event
    hear = listeners.get(message["to"])
    if hear is not None:
        hear(message["key"], pickle.loads(message["said"]))
