"""The Fréchet mean of rows in a Zarr array, against the rate at which they can be read at all.

Aim: a pass over the rows takes them at 70 % or more of the measured Zarr read rate, on the sphere,
in flat space and in the Poincaré ball. Claim: in memory that does not grow with the rows.

    python benchmarks/mean.py                       # 20,000,000 rows in 32 dimensions, 2.6 GB each

Rows are float32 in chunks of 1 MiB without compression. The read rate is that of as many threads as
there are cores, each reading 24 MiB after the other, as geodask does. One pass is the mean with no
step, the start measured: it has all that a step has. The whole mean is checked by the logs of all
rows at its point, taken by the manifold in float64. Admission, which reads and digests the rows
once, comes before and is not timed.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import numpy as np
import zarr

import geodask as gd
import sphere
import trees
from harness import Answer, Contestant, Lane, document, folder, parser, race, ratio, table
from machine import cores, facts, heading, limits

READ, PASS, MEAN = "Zarr read", "one pass", "mean"
SLICE_BYTES = 24 << 20
CHUNK_BYTES = 1 << 20
AIM = 0.7
WITHIN = 2e-8
"""What the gradient may be, as a share of the standard deviation: twice the tolerance."""
LEGEND = (
    "% read: of the rate of the Zarr read in the same round. peak: memory beyond what was there."
)
COLUMNS = {
    "name": ("", ""),
    "space": ("", ""),
    "median": ("seconds", ".3f"),
    "bytes_per_second": ("bytes/s", "bytes"),
    "of_read": ("% read", ".0%"),
    "passes": ("passes", "d"),
    "gradient": ("gradient / deviation", ".1e"),
    "peak_bytes": ("peak", "bytes"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a mean was wrong."""
    options = _options(arguments)
    here, most = facts(), limits(4 * options.rows * options.dimensions)
    rows: list[dict[str, Any]] = []
    for name in options.spaces:
        with folder() as home:
            rows += _raced(name, home, options)
    print(heading(here, most))
    print(f"\nfloat32, medians of {options.repeats} rounds\n{table(rows, COLUMNS)}\n")
    print(LEGEND, *_told(rows), sep="\n")
    document("mean", __doc__, options, machine=here, limits=most, rows=rows)
    return int(any(not row["sound"] for row in rows if "sound" in row))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=20_000_000, repeats=3)
    found.add_argument("--dimensions", type=int, default=32, metavar="N")
    spaces = ["Sphere", "Euclidean", "PoincareBall"]
    found.add_argument("--spaces", nargs="+", default=spaces, choices=spaces)
    return found.parse_args(arguments)


def _stored(manifold: gd.Manifold, path: Path, rows: int) -> gd.Points:
    """Rows about a point, a chunk at a time."""
    chunk = max(1, min(rows, CHUNK_BYTES // (4 * manifold.n)))
    array = zarr.create_array(
        str(path), shape=(rows, manifold.n), chunks=(chunk, manifold.n), dtype="float32",
        compressors=None,
    )  # fmt: skip
    step = 64 * chunk
    for number, start in enumerate(range(0, rows, step)):
        count = min(step, rows - start)
        array[start : start + count] = _rows(manifold, count, number)
    return gd.points(path, manifold)


def _rows(manifold: gd.Manifold, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, manifold.n), dtype=np.float32)
    if isinstance(manifold, gd.PoincareBall):
        return trees.shell(4.0, count, manifold.n, seed).ball("float32")
    x[:, 0] += np.float32(manifold.n**0.5)
    return sphere.unit(x) if isinstance(manifold, gd.Sphere) else x


def _read(x: gd.Points) -> Answer:
    step = max(1, SLICE_BYTES // x.row_bytes)
    spans = [(start, min(start + step, len(x))) for start in range(0, len(x), step)]
    with ThreadPoolExecutor(cores()) as pool:
        total = sum(pool.map(lambda span: x.read(*span).nbytes, spans))
    return Answer(total)


def _mean(x: gd.Points, steps: int) -> Answer:
    found = gd.mean(x, max_iterations=steps).compute()
    return Answer(found, facts={"passes": found.iterations + 1})


def _raced(name: str, home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    manifold = getattr(gd, name)(options.dimensions)
    x = _stored(manifold, home / "x.zarr", options.rows)
    few = gd.points(x.read(0, min(len(x), 1000)), manifold)
    time.sleep(2.1)  # files that are younger are digested again in each run

    def check(answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
        share = _gradient(x, answers[MEAN].value.point)
        return {MEAN: {"gradient": share, "sound": share <= WITHIN}}

    contestants = [
        Contestant(READ, lambda: _read(x), lambda: _read(few)),
        Contestant(PASS, lambda: _mean(x, 0), lambda: _mean(x, 0)),
        Contestant(MEAN, lambda: _mean(x, 100), lambda: _mean(few, 100)),
    ]
    with dask.config.set({"geodask.store": str(home / "store"), "geodask.threads": cores()}):
        lanes = race(contestants, options.repeats, check)
    return [_row(lane, lanes[0], name, len(x) * x.row_bytes) for lane in lanes]


def _row(lane: Lane, read: Lane, space: str, nbytes: int) -> dict[str, Any]:
    passes = lane.facts.get("passes", 1)
    share = passes * ratio(read, lane)
    rate = passes * nbytes / lane.median
    return {**lane.row(), "space": space, "bytes_per_second": rate, "of_read": share}


def _gradient(x: gd.Points, p: np.ndarray) -> float:
    """The length of the mean log at p, as a share of the standard deviation."""
    total, square = np.zeros(x.manifold.n), 0.0
    step = 1 << 16
    for start in range(0, len(x), step):
        logs = x.manifold.log(p, x.manifold.canonical(x.read(start, min(start + step, len(x)))))
        total += logs.sum(axis=0)
        square += float((x.manifold.norm(p, logs) ** 2).sum())
    length = float(x.manifold.norm(p, total / len(x)))
    return length / (square / len(x)) ** 0.5


def _told(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['space']}: a pass at {row['of_read']:.0%} of the read rate; the aim is {AIM:.0%}"
        for row in rows
        if row["name"] == PASS
    ]


if __name__ == "__main__":
    raise SystemExit(main())
