"""A preload of workers: small tasks, whose faults are told by files in a folder.

``slow`` makes each take a while, ``fail`` holds the number of a block that raises, ``kill`` of one
that ends its worker. ``order`` gets a line for each task that has ended.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from geodask.engine import tasks
from geodask.ops import compared

FOLDER = Path(os.environ.get("GEODASK_FAULTS", "/nonexistent"))


def told(name: str) -> str | None:
    path = FOLDER / name
    return path.read_text(encoding="ascii") if path.exists() else None


def faulty(compute: Any) -> Any:
    def faulty_compute(job: Any, task: Any, *rest: Any) -> Iterator[Any]:
        if told("slow") is not None:
            time.sleep(0.05)
        if told("fail") == str(task.block):
            raise ZeroDivisionError("a poisoned block")
        if told("kill") == str(task.block):
            os._exit(1)
        yield from compute(job, task, *rest)
        with (FOLDER / "order").open("a") as file:
            file.write(f"{job.operation.k} {task.block}\n" if job.operation.name == "knn" else "\n")

    return faulty_compute


def install() -> None:
    """A nanny loads a preload, and so does its worker."""
    if tasks._compute.__name__ == "_compute":
        tasks._compute = faulty(tasks._compute)
        compared.TASK_WORK = 1.5e7, 5e12


install()
