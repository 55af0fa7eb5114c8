"""The client of the fault campaign, and what its workers load: small tasks that take a while.

    python benchmarks/disturbed.py KIND INPUT SCHEDULER [verify]    prints what came, as JSON

A worker loads this file as a preload. FAULTY_SECONDS is what each task takes at least, and
FAULTY_LOG a file that grows by a byte for each that tasks write.
"""

import json
import os
import sys
import time
from hashlib import blake2b
from typing import Any

import numpy as np

import geodask as gd
from geodask.engine import tasks
from geodask.ops import compared, frechet, pairwise
from geodask.storage.group import Group

ARRAYS = ("indices", "distances", "certified", "point", "variance", "iterations")


def small_tasks() -> None:
    """Cuts small data into many tasks; the layout is made by the client."""
    compared.TASK_WORK = (1.5e7, 5e12)
    frechet.TASK_BYTES = 8 * 1024 * 24
    pairwise.SIDE = (256, 256)


def plan(kind: str, url: str) -> Any:
    """One of the plans that are disturbed, over stored points."""
    x = gd.open(url)
    if kind == "knn":
        return gd.knn(x, k=4)
    return gd.pairwise(x) if kind == "pairwise" else gd.mean(x, tol=1e-12)


def fingerprint(result: Any) -> str:
    """The bytes of all arrays of a result."""
    found = (np.asarray(getattr(result, name, 0)) for name in ARRAYS)
    return blake2b(b"".join(each.tobytes() for each in found)).hexdigest()


def dask_setup(worker: Any) -> None:
    """Run by a worker as it starts."""
    run_task, write, seconds = tasks.run_task, Group.write, float(os.environ["FAULTY_SECONDS"])
    log = os.open(os.environ["FAULTY_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def slow(*arguments: Any) -> Any:
        time.sleep(seconds)
        return run_task(*arguments)

    def counted(self: Group, *arguments: Any) -> Any:
        found = write(self, *arguments)
        os.write(log, f"{found[2]}\n".encode())
        return found

    tasks.run_task, Group.write = slow, counted


def main(kind: str, url: str, scheduler: str, verify: str = "") -> None:
    """Runs a plan, and says what came: the bytes of a result, or an error."""
    from distributed import Client

    small_tasks()
    # A run speaks in errors of ours. Its result are Dask arrays, which Dask computes on the cluster
    # as any others: where that is lost meanwhile, the error is Dask's own.
    words: tuple[str, ...] = ("geodask.",)
    try:
        with Client(scheduler, timeout=60):
            result = plan(kind, url).persist(verify=bool(verify))
            words = ("geodask.", "distributed.")
            found = {"bytes": fingerprint(result), "hit": result.report.cache_hit}
    except Exception as error:  # whatever it is, the campaign judges it
        typed = type(error).__module__.startswith(words)
        found = {"error": type(error).__name__, "typed": typed, "message": str(error)}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # threads of a client whose cluster is gone may linger
