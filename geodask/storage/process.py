"""Which process wrote something, and whether it is known to be gone."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil


def identity() -> dict[str, Any]:
    """This process, as JSON that others on its machine can look for."""
    return {"machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_gone(process: dict[str, Any]) -> bool:
    """Whether that process is known to have ended: False where it ran on another machine."""
    if process["machine"] != _machine():
        return False
    try:
        return _started(process["pid"]) != process["started"]
    except psutil.NoSuchProcess:
        return True


def _started(pid: int) -> float:
    return psutil.Process(pid).create_time()


@lru_cache(maxsize=1)
def _machine() -> str:
    """This boot of this machine, and the namespace that its process numbers are of."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}-{Path('/proc/self/ns/pid').readlink()}"
