"""Which process wrote something, and whether it is known to be gone."""

import os
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

EXPIRES = 600.0
"""Seconds after which what is not renewed counts for nothing: clocks must agree better."""


def identity() -> dict[str, Any]:
    """This process, as JSON that others on its machine can look for."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _state(os.getpid())[1]}


def is_gone(process: dict[str, Any]) -> bool:
    """Whether that process is known to have ended: False where it ran on another machine."""
    if process["machine"] != _machine():
        return False
    with suppress(PermissionError):  # it is another user's, and there
        try:
            os.kill(process["pid"], 0)
        except ProcessLookupError:
            return True
    state, started = _state(process["pid"])
    return state == "Z" or started not in (0, process["started"])


def signed() -> dict[str, Any]:
    """This process and now, for what must be renewed."""
    return {"process": identity(), "renewed": time.time()}


def lapsed(known: dict[str, Any]) -> bool:
    """Whether what a process signed counts for nothing: it is gone, or has long been silent."""
    return is_gone(known["process"]) or time.time() - known["renewed"] > EXPIRES


@lru_cache(maxsize=1)
def _machine() -> str:
    """This boot of this machine, and the namespace that its process numbers are of."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}-{Path('/proc/self/ns/pid').readlink()}"


def _state(pid: int) -> tuple[str, int]:
    """Whether a process runs, and the clock tick when it started; nothing where that is hidden."""
    try:
        # Its name comes second, in brackets, and may hold spaces and brackets itself.
        found = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "", 0
    fields = found.rpartition(")")[2].split()
    return fields[0], int(fields[19])
