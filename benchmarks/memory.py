"""Resident memory of the workers while a plan runs, against what the plan stated.

Claim: sampled from outside, no worker takes more than 1.2 times what `explain` stated (base and
task), for three numbers of rows of which the largest is more data than the memory allowed.

    python benchmarks/memory.py

Few queries against many rows from Zarr, on a local cluster whose workers have a memory limit. For
each number of rows a new cluster states the cost and then runs; this process samples the workers'
resident memory meanwhile.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
from dask.distributed import Client, LocalCluster
from dask.utils import parse_bytes

import geodask as gd
import sphere
from geodask.engine.plan import Plan
from harness import Resident, document, folder, parser, table, tell
from machine import facts, heading, limits

SHARES = (1 / 16, 1 / 4, 1)
BEYOND = 1.25
"""The largest data set, in memory limits, where --rows does not say."""
CHECKED = 16
COLUMNS = {
    "name": ("rows", ""),
    "data_bytes": ("data", "bytes"),
    "limit_bytes": ("limit", "bytes"),
    "base_bytes": ("base", "bytes"),
    "task_bytes": ("a task", "bytes"),
    "stated_bytes": ("stated", "bytes"),
    "measured_bytes": ("measured", "bytes"),
    "ratio": ("measured / stated", ".3f"),
    "samples": ("samples", "d"),
    "median": ("seconds", ".2f"),
    "wrong": ("wrong", "d"),
    "certified": ("certified", ".2%"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where an answer was wrong."""
    options = _options(arguments)
    with folder() as home, dask.config.set({"geodask.progress": "off", "geodask.device": "cpu"}):
        here, most = facts(), limits(4 * sphere.DIMENSIONS * options.rows)
        rows = [_size(options, home, max(options.k, int(s * options.rows))) for s in SHARES]
    print(heading(here, most))
    print(f"\n{options.queries:,} queries, {sphere.DIMENSIONS} float32, k={options.k}, "
          f"{options.workers} x {options.threads} threads\n{table(rows, COLUMNS)}")  # fmt: skip
    print(f"\nmeasured / stated at most {max(row['ratio'] for row in rows):.3f} (at most 1.2)")
    document("memory", __doc__, options, machine=here, limits=most, rows=rows)
    return int(any(row["wrong"] for row in rows))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=None, repeats=1)
    found.add_argument("--memory-limit", default="1GiB", help="of a worker (default %(default)s)")
    found.add_argument("--queries", type=int, default=4096, help="(default %(default)s)")
    found.add_argument("--k", type=int, default=10, help="(default %(default)s)")
    found.add_argument("--workers", type=int, default=1, help="(default %(default)s)")
    found.add_argument("--threads", type=int, default=1, help="of a worker (default %(default)s)")
    options = found.parse_args(arguments)
    options.limit = parse_bytes(options.memory_limit)
    if options.rows is None:
        options.rows = int(BEYOND * options.limit) // (4 * sphere.DIMENSIONS)
    return options


def _size(options: argparse.Namespace, home: Path, rows: int) -> dict[str, Any]:
    """One number of rows: the highest of the repeats, each on workers that have run nothing."""
    tell(f"{rows:,} rows")
    y = sphere.stored(home / f"points-{rows}.zarr", rows)
    x = sphere.stored(home / f"queries-{rows}.zarr", options.queries, seed=1_000_000)
    right = sphere.truth(x.read(0, min(CHECKED, len(x))), sphere.blocks(y), options.k)
    runs = [
        _run(options, home / f"store-{rows}-{number}", gd.knn(x, y, k=options.k), right)
        for number in range(options.repeats)
    ]
    worst = max(runs, key=lambda run: run["ratio"])
    data = y.source.dtype.itemsize * int(np.prod(y.shape))
    name = {"name": f"{rows:,}", "rows": rows, "data_bytes": data, "limit_bytes": options.limit}
    seconds = [run["median"] for run in runs]
    return {**name, **worst, "median": float(np.median(seconds)), "runs": runs}


def _run(options: argparse.Namespace, store: Path, plan: Plan, right: np.ndarray) -> dict[str, Any]:
    with (
        dask.config.set({"geodask.store": str(store)}),
        LocalCluster(
            n_workers=options.workers,
            threads_per_worker=options.threads,
            memory_limit=options.limit,
            dashboard_address=":0",
        ) as cluster,
        Client(cluster) as client,
    ):
        stated = plan.explain()
        with Resident(client.run(os.getpid).values()) as resident:
            begin = time.perf_counter()
            result = plan.persist()
            seconds = time.perf_counter() - begin
        found = result.indices[: len(right)].compute()
    return {
        "median": seconds,
        "base_bytes": stated.base_bytes,
        "task_bytes": stated.task_bytes,
        "stated_bytes": stated.worker_bytes,
        "measured_bytes": resident.peak,
        "reported_bytes": result.report.peak_bytes,
        "before_bytes": resident.before,
        "ratio": resident.peak / stated.worker_bytes,
        "samples": resident.samples,
        "wrong": int((found != right).any(axis=1).sum()),
        "certified": result.report.certified,
    }


if __name__ == "__main__":
    raise SystemExit(main())
