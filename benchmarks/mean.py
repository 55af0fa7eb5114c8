"""The Fréchet mean of rows in a Zarr array, against the rate at which they can be read at all.

Aim: a pass over the rows takes them at 70 % or more of the measured Zarr read rate, on the sphere,
in flat space and in the Poincaré ball. Claim: in memory that does not grow with the rows.

    python benchmarks/mean.py                       # 20,000,000 rows in 32 dimensions, 2.6 GB each

Rows are float32 in chunks of 1 MiB without compression, in the page cache where they fit. The read
rate is that of zarr itself, by as many threads as there are cores, each reading 8 MiB after the
other; beside it stands that of geodask, which reads such chunks without zarr. One pass is the mean
with no step, the start measured: it has all that a step has. The whole mean is checked by the logs
of all rows at its point, taken by the manifold in float64. Admission, which reads and digests the
rows once, comes before and is not timed.

Where geomstats is installed its FrechetMean takes the mean of the first rows, in memory, as many as
--peer-rows says, and so does geodask; the two must agree.
"""

import argparse
import time
from collections.abc import Callable
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
from peers import installed

READ, OWN, PASS, MEAN = "Zarr read", "own read", "one pass", "mean"
PEER = "geomstats FrechetMean"
EPSILON = 1e-17
"""Squared gradient at which geomstats ends, so that its mean is about as near as ours."""
SLICE_BYTES = 8 << 20
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
PEER_COLUMNS = {
    "name": ("", ""),
    "space": ("", ""),
    "rows": ("rows", "d"),
    "median": ("seconds", ".3f"),
    "times": ("x geodask", ".1f"),
    "gradient": ("gradient / deviation", ".1e"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a mean was wrong."""
    options = _options(arguments)
    here, most = facts(), limits(4 * options.rows * options.dimensions)
    rows: list[dict[str, Any]] = []
    peers: list[dict[str, Any]] = []
    for name in options.spaces:
        with folder() as home:
            manifold = getattr(gd, name)(options.dimensions)
            x = _stored(manifold, home / "x.zarr", options.rows)
            rows += _raced(x, home, options)
            peers += _beside_peer(x, options) if installed("geomstats") else []
    print(heading(here, most))
    print(f"\nfloat32, medians of {options.repeats} rounds\n{table(rows, COLUMNS)}\n")
    print(LEGEND, *_told(rows), sep="\n")
    if peers:
        print(f"\nfirst rows in memory\n{table(peers, PEER_COLUMNS)}")
    else:
        print(f"{PEER}: left out, geomstats is not installed")
    document("mean", __doc__, options, machine=here, limits=most, rows=rows, peers=peers)
    return int(any(not row["sound"] for row in [*rows, *peers] if "sound" in row))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=20_000_000, repeats=3)
    found.add_argument("--dimensions", type=int, default=32, metavar="N")
    found.add_argument("--peer-rows", type=int, default=100_000, metavar="N")
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


def _read(x: gd.Points, read: Callable[[int, int], Any]) -> Answer:
    step = max(1, SLICE_BYTES // x.row_bytes)
    spans = [(start, min(start + step, len(x))) for start in range(0, len(x), step)]
    with ThreadPoolExecutor(cores()) as pool:
        total = sum(pool.map(lambda span: read(*span).nbytes, spans))
    return Answer(total)


def _mean(x: gd.Points, steps: int) -> Answer:
    found = gd.mean(x, max_iterations=steps).compute()
    return Answer(found, facts={"passes": found.iterations + 1})


def _raced(x: gd.Points, home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    few = gd.points(x.read(0, min(len(x), 1000)), x.manifold)
    array = zarr.open_array(str(home / "x.zarr"), mode="r")

    def plain(start: int, stop: int) -> Any:
        return array[start:stop]

    time.sleep(2.1)  # files that are younger are digested again in each run

    def check(answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
        share = _gradient(x, answers[MEAN].value.point)
        return {MEAN: {"gradient": share, "sound": share <= WITHIN}}

    contestants = [
        Contestant(READ, lambda: _read(x, plain), lambda: _read(few, plain)),
        Contestant(OWN, lambda: _read(x, x.read), lambda: _read(few, few.read)),
        Contestant(PASS, lambda: _mean(x, 0), lambda: _mean(x, 0)),
        Contestant(MEAN, lambda: _mean(x, 100), lambda: _mean(few, 100)),
    ]
    with dask.config.set({"geodask.store": str(home / "store"), "geodask.threads": cores()}):
        lanes = race(contestants, options.repeats, check)
    return [_row(lane, lanes[0], x) for lane in lanes]


def _row(lane: Lane, read: Lane, x: gd.Points) -> dict[str, Any]:
    passes = lane.facts.get("passes", 1)
    share = passes * ratio(read, lane)
    rate = passes * len(x) * x.row_bytes / lane.median
    space = type(x.manifold).__name__
    return {**lane.row(), "space": space, "bytes_per_second": rate, "of_read": share}


def _beside_peer(x: gd.Points, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The whole mean of the first rows, by geodask and by geomstats, which takes float64."""
    few = gd.points(x.read(0, min(len(x), options.peer_rows)), x.manifold)
    theirs, search = x.manifold.canonical(few.read(0, len(few))), _peer(x.manifold)

    def check(answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
        shares = {
            MEAN: _gradient(few, answers[MEAN].value.point),
            PEER: _gradient(few, np.asarray(answers[PEER].value)),
        }
        return {name: {"gradient": at, "sound": at <= WITHIN} for name, at in shares.items()}

    contestants = [
        Contestant(MEAN, lambda: _mean(few, 100), lambda: _mean(few, 100)),
        Contestant(PEER, lambda: Answer(search(theirs)), lambda: search(theirs[:1000])),
    ]
    with dask.config.set({"geodask.threads": cores()}):
        lanes = race(contestants, options.repeats, check)
    same = {"space": type(x.manifold).__name__, "rows": len(few)}
    return [{**lane.row(), **same, "times": ratio(lane, lanes[0])} for lane in lanes]


def _peer(manifold: gd.Manifold) -> Callable[[np.ndarray], np.ndarray]:
    """geomstats' mean of rows (n, dimensions), by gradient descent where there is curvature."""
    from geomstats.geometry.euclidean import Euclidean
    from geomstats.geometry.hypersphere import Hypersphere
    from geomstats.geometry.poincare_ball import PoincareBall
    from geomstats.learning.frechet_mean import FrechetMean

    if isinstance(manifold, gd.Euclidean):
        found = FrechetMean(Euclidean(manifold.n))
    else:
        kind = Hypersphere if isinstance(manifold, gd.Sphere) else PoincareBall
        found = FrechetMean(kind(manifold.dim)).set(epsilon=EPSILON, max_iter=100)
    return lambda rows: found.fit(rows).estimate_


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
