"""A self-join from Zarr to Zarr on a local cluster, against the kernel's own time.

Claims: on LocalCluster(n_workers=2, threads_per_worker=1) persisting takes at most 1.15 times what
the kernel takes by itself, and two workers are at least 1.7 times as fast as one.

    python benchmarks/cluster.py

The kernel's own time is that of the same folds of the same blocks, held in memory, by one process
with one thread; for two workers, by two such processes with half of the tasks each at the same
time. The wall time of `persist` begins with the rows digested and checked, and the workers' trial
run: those seconds have a column of their own. Each result goes to a new folder, and is compared
byte for byte with that of threads. Runs are interleaved; the best of each counts.
"""

import argparse
import hashlib
import multiprocessing
import os
import shutil
import time
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
from dask.distributed import Client, LocalCluster

import geodask as gd
import sphere
from geodask.arrays.device import place
from geodask.arrays.threads import one_thread_each
from geodask.engine.operation import Layout
from geodask.engine.sources import FRESH_SECONDS
from geodask.kernels.lists import one_each
from geodask.kernels.nearest import nearest
from geodask.ops.neighbours import KnnResult
from geodask.ops.tiling import SLICE_BYTES
from harness import document, folder, parser, table, tell
from machine import facts, heading, limits

START_SECONDS = 300
PARTS = ("kernel", "read", "write")
COLUMNS = {
    "name": ("", ""),
    "best": ("best s", ".2f"),
    "median": ("median s", ".2f"),
    "cpu_seconds": ("cpu s", ".2f"),
    "pairs_per_second": ("pairs/s", ".3g"),
    "preparation": ("prepared s", ".2f"),
    "kernel_seconds": ("kernels", ".2f"),
    "read_seconds": ("reads", ".2f"),
    "write_seconds": ("writes", ".2f"),
    "peak_bytes": ("peak", "bytes"),
    "certified": ("certified", ".2%"),
    "same": ("same bytes", ""),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a result differed from that of threads."""
    options = _options(arguments)
    with folder() as home, dask.config.set(_settings(options, home)):
        here, most = facts(), limits(4 * sphere.DIMENSIONS * options.rows)
        x = sphere.stored(home / "points.zarr", options.rows)
        time.sleep(FRESH_SECONDS + 0.5)  # younger files are digested again by every plan
        tell("threads")
        rows = _measure(options, home, _digest(gd.knn(x, k=options.k).compute()))
    ratios = _ratios(rows)
    print(heading(here, most))
    title = f"self-join of {options.rows:,} x {sphere.DIMENSIONS} float32, k={options.k}"
    print(f"\n{title}, best of {options.repeats}\n{table(rows, COLUMNS)}\n\n{_told(ratios)}")
    measured = {"machine": here, "limits": most, "rows": rows, "ratios": ratios}
    document("cluster", __doc__, options, **measured)
    return int(not all(row.get("same", True) for row in rows))


def _settings(options: argparse.Namespace, home: Path) -> dict[str, str]:
    return {
        "geodask.store": str(home / "store"),
        "geodask.progress": "off",
        "geodask.surrogate": options.surrogate,
        "geodask.device": "cpu",
    }


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=200_000, repeats=3)
    found.add_argument("--k", type=int, default=10, help="(default %(default)s)")
    found.add_argument("--surrogate", choices=("auto", "float32", "bfloat16"), default="auto")
    found.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N")
    return found.parse_args(arguments)


def _measure(options: argparse.Namespace, home: Path, right: str) -> list[dict[str, Any]]:
    rows = {}
    for workers in options.workers:
        for kind in ("kernel", "persist"):
            name = f"{kind}, {workers} worker{'s' * (workers > 1)}"
            rows[kind, workers] = {"name": name, "kind": kind, "workers": workers, "runs": []}
    for number in range(options.repeats):
        for (kind, workers), row in rows.items():
            tell(f"round {number + 1} of {options.repeats}: {row['name']}")
            measure = _persist if kind == "persist" else _kernel
            row["runs"].append(measure(options, home, workers, right))
    for row in rows.values():
        seconds = [run["seconds"] for run in row["runs"]]
        best = row["runs"][int(np.argmin(seconds))]
        row |= {**best, "seconds": seconds, "best": min(seconds), "median": np.median(seconds)}
        row["pairs_per_second"] = options.rows * (options.rows - 1) / row["best"]
        if row["kind"] == "persist":
            row["same"] = all(run["same"] for run in row["runs"])
    return list(rows.values())


def _ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    best = {(row["kind"], row["workers"]): row["best"] for row in rows}
    found = {
        f"persist_to_kernel_{workers}": best["persist", workers] / best["kernel", workers]
        for kind, workers in best
        if kind == "persist"
    }
    for kind in ("persist", "kernel"):
        if {(kind, 1), (kind, 2)} <= set(best):
            found[f"{kind}_1_to_2"] = best[kind, 1] / best[kind, 2]
    return found


def _told(ratios: dict[str, float]) -> str:
    lines = {
        "persist_to_kernel_1": "persist / kernel, 1 worker ",
        "persist_to_kernel_2": "persist / kernel, 2 workers (at most 1.15)",
        "persist_1_to_2": "1 worker / 2 workers, persist (at least 1.7)",
        "kernel_1_to_2": "1 process / 2 processes, kernel alone",
    }
    return "\n".join(f"{text:46} {ratios[key]:.3f}" for key, text in lines.items() if key in ratios)


# --- Zarr to Zarr ---------------------------------------------------------------------------------


def _persist(options: argparse.Namespace, home: Path, workers: int, right: str) -> dict[str, Any]:
    target = home / "result"
    plan = gd.knn(gd.points(home / "points.zarr", gd.Sphere(sphere.DIMENSIONS)), k=options.k)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        begin = time.perf_counter()
        explained = plan.explain()
        prepared = time.perf_counter() - begin
        pids = list(client.run(os.getpid).values())
        used, begin = _cpu_seconds(pids), time.perf_counter()
        result = plan.persist(target)
        seconds, used = time.perf_counter() - begin, _cpu_seconds(pids) - used
        same = _digest(result) == right
    shutil.rmtree(target)
    report = result.report
    parts = {f"{part}_seconds": report.stats[f"{part}_seconds"] for part in PARTS}
    return {
        "seconds": seconds,
        "cpu_seconds": used,
        "surrogate": report.surrogate,
        "preparation": prepared,
        "stated_hours": explained.hours,
        "same": same,
        "tasks": report.blocks_computed,
        "peak_bytes": report.peak_bytes,
        "certified": report.certified,
        "rechecked": report.rechecked,
        **parts,
    }


def _cpu_seconds(pids: list[int]) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def _digest(result: KnnResult) -> str:
    """Of all the bytes of an answer."""
    found = hashlib.blake2b(digest_size=20)
    for array in (result.indices, result.distances, result.certified):
        found.update(np.ascontiguousarray(array).view(np.uint8))
    return found.hexdigest()


# --- the kernel alone -----------------------------------------------------------------------------


def _kernel(options: argparse.Namespace, home: Path, workers: int, right: str) -> dict[str, Any]:
    """Seconds from the first fold of any process to the last of all."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    running = []
    for part in range(workers):
        receive, send = context.Pipe(duplex=False)
        work = (home / "points.zarr", options.k, options.surrogate, (part, workers))
        given = (*work, barrier, send)
        process = context.Process(target=_fold_part, args=given, daemon=True)
        process.start()
        send.close()  # so that a process that dies is an end of file here
        running.append((process, receive))
    spans = [receive.recv() for _, receive in running]
    for process, _ in running:
        process.join()
    begins, ends, used = zip(*spans, strict=True)
    return {"seconds": max(ends) - min(begins), "cpu_seconds": sum(used)}


def _fold_part(
    path: Path, k: int, surrogate: str, part: tuple[int, int], barrier: Barrier, send: Connection
) -> None:
    """One process: every so-manieth task of the layout that a plan has, from memory."""
    x = gd.points(path, gd.Sphere(sphere.DIMENSIONS))
    layout = gd.knn(x, k=k).operation.layout((x,))
    rows = x.read(0, len(x))
    unit = x.source.chunk_rows
    step = unit * max(1, SLICE_BYTES // rows[:unit].nbytes)  # what a task reads at once
    tasks = [(block, panel) for block in range(layout.blocks) for panel in range(layout.panels)]
    with one_thread_each():
        _fold_task(rows[: 2 * step], step, Layout(2048, 2048, 8192, 8192), (0, 0), k, surrogate)
        barrier.wait(START_SECONDS)
        begin, used = time.perf_counter(), time.process_time()
        for task in tasks[part[0] :: part[1]]:
            _fold_task(rows, step, layout, task, k, surrogate)
        send.send((begin, time.perf_counter(), time.process_time() - used))


def _fold_task(
    rows: np.ndarray, step: int, layout: Layout, task: tuple[int, int], k: int, surrogate: str
) -> None:
    (start, stop), (first, last) = layout.block(task[0]), layout.panel(task[1])
    queries = rows[start:stop]
    where, own = place("auto", "cpu"), one_each(np.arange(start, stop))
    running = nearest(gd.Sphere(rows.shape[1]), queries, k, where, surrogate, own)
    cuts = [first, *range((first // step + 1) * step, last, step), last]
    for low, high in pairwise(cuts):
        running.fold(rows[low:high], low)
    running.result()


if __name__ == "__main__":
    raise SystemExit(main())
