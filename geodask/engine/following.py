"""Who follows plans, by names in the configuration: so a lower layer wakes a higher one."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module

from ..events import Event, Watcher, told

logger = logging.getLogger("geodask")


@contextmanager
def following(names: Iterable[str]) -> Iterator[None]:
    """Watchers are told of all that plans do inside: what functions of these names give, when
    their contexts are entered.

    A plan never fails because it is watched: one that cannot be made, or raises, is left out, and
    the log says so.
    """
    with ExitStack() as stack:
        for name in names:
            try:
                module, _, function = name.rpartition(".")
                context = getattr(import_module(module), function)()
                watcher = context.__enter__()
            except Exception:
                logger.warning("The watcher %s could not be made.", name, exc_info=True)
                continue
            stack.callback(_leave, name, context)
            stack.enter_context(told(Guarded(name, watcher)))
        yield


def _leave(name: str, context: AbstractContextManager[Watcher]) -> None:
    try:
        context.__exit__(None, None, None)
    except Exception:
        logger.warning("The watcher %s did not end.", name, exc_info=True)


class Guarded:
    """A watcher that is told no more once it has raised."""

    def __init__(self, name: str, watcher: Watcher):
        self._name, self._watcher, self._sound = name, watcher, True

    def __call__(self, event: Event) -> None:
        if self._sound:
            try:
                self._watcher(event)
            except Exception:
                self._sound = False
                logger.warning("The watcher %s is told no more.", self._name, exc_info=True)
