"""A Dask cluster of processes of its own, as one that outlives the clients of these tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PARTS = "distributed.cli.dask_scheduler", "distributed.cli.dask_worker"


class Detached:
    """A scheduler on loopback, and workers of one thread each."""

    def __init__(self, folder: Path, preload: Path | None = None):
        self.file, self._folder = folder / "scheduler.json", folder
        self._preload = [] if preload is None else ["--preload", str(preload)]
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return json.loads(self.file.read_text(encoding="ascii"))["address"]

    def start(self, workers: int) -> None:
        """Starts the scheduler and so many workers."""
        where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        self._run(PARTS[0], *where, "--scheduler-file", str(self.file))
        end = time.monotonic() + 60
        while not self.file.exists() and time.monotonic() < end:
            time.sleep(0.05)
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> None:
        """One more, which a nanny starts again when it dies."""
        how = ["--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--memory-limit", "2GiB"]
        local = ["--local-directory", str(self._folder)]
        self._run(PARTS[1], "--scheduler-file", str(self.file), *how, *local, *self._preload)

    def stop(self) -> None:
        """Kills all of it, with the processes that nannies have started."""
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()
        self.file.unlink(missing_ok=True)

    def _run(self, module: str, *arguments: str) -> None:
        log: Any = (self._folder / f"{len(self.processes)}.log").open("wb")
        with log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, *arguments],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )


@contextmanager
def detached(folder: Path, workers: int, preload: Path | None = None) -> Iterator[Detached]:
    """Such a cluster while it is needed."""
    cluster = Detached(folder, preload)
    try:
        cluster.start(workers)
        yield cluster
    finally:
        cluster.stop()
