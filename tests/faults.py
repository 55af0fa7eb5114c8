"""What tests of faults do to workers, and clusters that they may end."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from distributed import WorkerPlugin


class Fault(WorkerPlugin):
    """Tasks take a while, and the one that finishes some block does something first."""

    def __init__(self, seconds: float = 0.1, block: int = -1):
        self.name, self.seconds, self.block = f"fault-{type(self).__name__}", seconds, block

    def setup(self, worker: Any) -> None:
        from geodask.engine import tasks

        run = tasks.run_task

        def faulty(job: Any, group: Any, task: Any, digests: Any) -> Any:
            time.sleep(self.seconds)
            if task.block == self.block and task.panel is None:
                self.happen()
            return run(job, group, task, digests)

        tasks.run_task = faulty

    def happen(self) -> None:
        """What that task does."""


class Kill(Fault):
    """It ends its worker."""

    def happen(self) -> None:
        os._exit(1)


class Grow(Fault):
    """It takes more memory than its worker may have, the first time."""

    def __init__(self, block: int, flag: Path, bytes_taken: int):
        super().__init__(block=block)
        self.flag, self.bytes_taken = flag, bytes_taken

    def happen(self) -> None:
        if not self.flag.exists():
            self.flag.touch()
            taken = np.ones(self.bytes_taken, np.uint8)
            time.sleep(30)
            assert taken.all()


def spawn(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """A process of Dask's command line; it imports what this one does."""
    path = os.pathsep.join([environment.pop("first", ""), *sys.path])
    known = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]], env=known
    )


@contextmanager
def scheduler_of_its_own(
    tmp_path: Path, count: int = 1, *options: str
) -> Iterator[tuple[str, Any]]:
    """The address and the process of a scheduler that this test may end, with workers."""
    where = tmp_path / "scheduler.json"
    place = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(where), "--no-dashboard"]
    processes = [spawn("scheduler", *place)]
    try:
        deadline = time.monotonic() + 60
        while not where.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = json.loads(where.read_text())["address"]
        processes += [spawn("worker", address, "--no-dashboard", *options) for _ in range(count)]
        yield address, processes[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
