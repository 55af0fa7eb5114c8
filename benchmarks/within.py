"""Every pair within a radius, against FAISS range_search; and a radius that gives too many.

Claims: no wrong row; at a radius with a billion pairs the estimate's interval holds their number,
max_pairs stops the run before it writes, and memory stays as stated.

    python benchmarks/within.py                # 120,000 x 16 float32 on a sphere

The radii are quantiles of the distances of sampled rows. FAISS searches the inner product of the
same rows for what is at least the cosine of the radius, each pair twice and rows with themselves;
its answer stays in memory, geodask's goes to the store. Sampled rows are compared with float64
brute force. Memory is the resident memory of this process beyond its base, sampled meanwhile.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np

import geodask as gd
import sphere
from harness import Answer, Contestant, Resident, document, folder, parser, race, ratio, table, tell
from machine import cores, facts, heading, limits
from peers import installed

N = 16
CHECKED = 200
OURS, FAISS = "geodask", "FAISS range_search"
COLUMNS = {
    "name": ("", ""),
    "median": ("seconds", ".2f"),
    "pairs_per_second": ("compared/s", ".3g"),
    "found": ("pairs", ",d"),
    "wrong": ("wrong rows", "d"),
    "checked": ("of", "d"),
    "certified": ("certified", ".2%"),
    "rechecked": ("rechecked", ".3%"),
    "peak_bytes": ("peak", "bytes"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where an answer of geodask was wrong."""
    options = _options(arguments)
    here, most = facts(), limits(4 * N * options.rows)
    settings = {"geodask.progress": "off", "geodask.device": "cpu"}
    with folder() as home, dask.config.set(settings):
        x = sphere.stored(home / "points.zarr", options.rows, N)
        few, many = (_radius(x, pairs) for pairs in (options.pairs, options.many))
        raced = _raced(x, few, options, home)
        stopped = _stopped(x, many, options, home)
    rows = [lane.row() for lane in raced.values()]
    print(heading(here, most))
    print(f"\n{options.rows:,} x {N} float32, medians of {options.repeats} rounds")
    print(f"{table(rows, COLUMNS)}\n")
    found = {FAISS: ratio(raced[FAISS], raced[OURS])} if FAISS in raced else {}
    print(*(f"{each:.2f} times as fast as {name}" for name, each in found.items()), sep="\n")
    print(_told(stopped))
    measured = {"machine": here, "limits": most, "rows": rows, "ratios": found, "many": stopped}
    document("within", __doc__, options, **measured)
    return int(bool(raced[OURS].facts["wrong"]) or not stopped["inside"])


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=120_000, repeats=3)
    found.add_argument("--pairs", type=float, default=1e6, help="about so many are written")
    found.add_argument("--many", type=float, default=1e9, help="about so many are too many")
    return found.parse_args(arguments)


def _radius(x: gd.Points, pairs: float) -> float:
    """A distance that about so many pairs do not exceed."""
    sample = x.sample(min(2000, len(x)), seed=1)
    p = sample.read(0, len(sample)).astype(np.float64)
    cosines = (p @ p.T)[np.triu_indices(len(p), 1)]
    share = min(1.0, pairs / (len(x) * (len(x) - 1) / 2))
    return float(np.arccos(np.clip(np.quantile(cosines, 1 - share), -1, 1)))


# --- few pairs: written, and compared -------------------------------------------------------------


def _raced(x: gd.Points, radius: float, options: argparse.Namespace, home: Path) -> dict[str, Any]:
    rows = x.read(0, len(x))
    makers: dict[str, Callable[[], Answer]] = {OURS: partial(_geodask, x, radius, home)}
    if installed("faiss"):
        makers[FAISS] = partial(_faiss, rows, radius)
    contestants = [Contestant(name, make) for name, make in makers.items()]
    lanes = race(contestants, options.repeats, partial(_check, rows, radius))
    for lane in lanes:
        lane.facts["pairs_per_second"] = len(x) * (len(x) - 1) / 2 / lane.median
    return {lane.name: lane for lane in lanes}


def _geodask(x: gd.Points, radius: float, home: Path) -> Answer:
    with dask.config.set({"geodask.store": str(home / f"store-{time.monotonic_ns()}")}):
        found = gd.within(x, radius=radius).persist()
    facts = {"certified": found.report.certified, "rechecked": found.report.rechecked}
    return Answer(found, facts={"found": len(found.row), **facts})


def _faiss(rows: np.ndarray, radius: float) -> Answer:
    import faiss

    faiss.omp_set_num_threads(cores())
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    starts, _, others = index.range_search(rows, float(np.cos(radius)))
    return Answer((starts, others), facts={"found": (len(others) - len(rows)) // 2})


def _check(rows: np.ndarray, radius: float, answers: dict[str, Answer]) -> dict[str, Any]:
    """Neighbours with higher numbers of sampled rows, against float64."""
    on = gd.Sphere(rows.shape[1])
    sample = np.sort(np.random.default_rng(2).permutation(len(rows))[:CHECKED])
    right = [np.flatnonzero(on.dist(rows[i : i + 1].astype(float), rows) <= radius) for i in sample]
    found = {}
    for name, answer in answers.items():
        if name == OURS:
            ends = np.asarray(answer.value.indptr)
            others = np.asarray(answer.value.other)
        else:
            ends, others = answer.value
        wrong = 0
        for i, near in zip(sample, right, strict=True):
            mine = np.sort(others[ends[i] : ends[i + 1]])
            wrong += not np.array_equal(mine[mine > i], near[near > i])
        found[name] = {"wrong": wrong, "checked": len(sample)}
    return found


# --- too many: stopped ----------------------------------------------------------------------------


def _stopped(x: gd.Points, radius: float, options: argparse.Namespace, home: Path) -> Any:
    with dask.config.set({"geodask.store": str(home / "many")}):
        plan = gd.within(x, radius=radius, max_pairs=int(options.pairs))
        tell("estimate")
        begin = time.perf_counter()
        stated = plan.explain()
        estimated = time.perf_counter() - begin
        tell("count")
        with Resident([os.getpid()]) as resident:
            begin = time.perf_counter()
            try:
                plan.persist()
                stopped = False
            except gd.TooManyPairsError:
                stopped = True
            seconds = time.perf_counter() - begin
        again = time.perf_counter()
        counted, _ = plan._counting.persist()
        again = time.perf_counter() - again
        pairs = int(np.asarray(counted["degrees"]).sum())
    low, high = stated.interval
    counting = stated.counting
    return {
        "radius": radius,
        "pairs": pairs,
        "estimate": stated.pairs,
        "interval": stated.interval,
        "inside": low <= pairs <= high,
        "stopped": stopped,
        "estimate_seconds": estimated,
        "seconds": seconds,
        "again_seconds": again,
        "stated_bytes": counting.slots * counting.task_bytes,
        "measured_bytes": resident.peak - resident.before,
    }


def _told(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return "\n".join(
        [
            f"radius {found['radius']:.3f}: {found['pairs']:,} pairs; estimated {low:,.0f} to "
            f"{high:,.0f} in {found['estimate_seconds']:.1f} s: inside {found['inside']}",
            f"stopped by max_pairs: {found['stopped']}, after {found['seconds']:.1f} s; the counts "
            f"found again in {found['again_seconds']:.2f} s",
            f"memory beyond the base {found['measured_bytes'] / 2**20:.0f} MiB, stated "
            f"{found['stated_bytes'] / 2**20:.0f} MiB",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
