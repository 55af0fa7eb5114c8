"""Typed settings, read on the client and carried along with the tasks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.config
from dask.utils import parse_bytes

from .errors import SpecError

DEFAULTS: dict[str, Any] = {
    "store": None,
    "store-options": None,
    "store-max-bytes": None,
    "device": "auto",
    "array": "auto",
    "surrogate": "auto",
    "threads": None,
    "memory-per-task": None,
    "validate": "all",
    "trust": "content",
    "progress": "auto",
    "priority": 0,
    "retries": 2,
    "on-error": "raise",
    "watchers": ["geodask.monitor.watch"],
}

CHOICES = {
    "surrogate": ("auto", "float32", "bfloat16"),
    "validate": ("all", "sample", "none"),
    "trust": ("content", "metadata"),
    "progress": ("auto", "on", "off"),
    "on-error": ("raise", "continue"),
}

dask.config.update_defaults({"geodask": DEFAULTS})


@dataclass(frozen=True)
class Settings:
    """One field a setting of the README's table."""

    store: str
    store_max_bytes: int | None
    device: str
    array: str
    surrogate: str
    threads: int
    memory_per_task: int | None
    validate: str
    trust: str
    progress: str
    priority: int
    retries: int
    on_error: str
    watchers: tuple[str, ...] = ()
    store_options: str = ""
    """The name of what opens the store, where settings were carried to a process that was told.

    What ``geodask.store-options`` holds may be secret, and is no part of what travels.
    """
    killed: tuple[tuple[str, int], ...] = ()
    """No setting: tasks that may have ended the worker of their driver, and how many drivers."""


_carried: ContextVar[Settings | None] = ContextVar("geodask-settings", default=None)


@contextmanager
def using(carried: Settings) -> Iterator[None]:
    """Settings that came from elsewhere are in force inside, whatever is configured here."""
    token = _carried.set(carried)
    try:
        yield
    finally:
        _carried.reset(token)


def settings() -> Settings:
    """The settings in force here: ``dask.config``, geodask.yaml, DASK_GEODASK__... variables."""
    carried = _carried.get()
    if carried is not None:
        return carried
    found = {
        name: dask.config.get(f"geodask.{name}", default) for name, default in DEFAULTS.items()
    }
    for name, choices in CHOICES.items():
        # YAML reads on, off and none as values of its own.
        if found[name] is None or isinstance(found[name], bool):
            found[name] = {True: "on", False: "off", None: "none"}[found[name]]
        if str(found[name]) not in choices:
            raise SpecError(
                f"geodask.{name} must be one of {', '.join(choices)}, but is {found[name]!r}. "
                f'Set it with dask.config.set({{"geodask.{name}": ...}}).'
            )
    threads = len(os.sched_getaffinity(0)) if found["threads"] is None else int(found["threads"])
    if threads < 1:
        raise SpecError(f"geodask.threads must be at least 1, but is {threads}. Set a count.")
    return Settings(
        store=str(found["store"] or default_store()),
        store_max_bytes=_bytes(found["store-max-bytes"]),
        device=str(found["device"]),
        array=str(found["array"]),
        surrogate=str(found["surrogate"]),
        threads=threads,
        memory_per_task=_bytes(found["memory-per-task"]),
        validate=str(found["validate"]),
        trust=str(found["trust"]),
        progress=str(found["progress"]),
        priority=int(found["priority"]),
        retries=int(found["retries"]),
        on_error=str(found["on-error"]),
        watchers=tuple(found["watchers"] or ()),
    )


def default_store() -> str:
    """``geodask`` in the user's cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return str(Path(cache) / "geodask")


def _bytes(value: Any) -> int | None:
    return None if value is None else parse_bytes(value)
