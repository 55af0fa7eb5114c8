"""Distances in the Poincaré ball, row by row and of all pairs, against geoopt and geomstats.

Claims: row by row at least 6 times as fast as geoopt in 10 dimensions and 20 times in 64; all pairs
at least 5 and 20 times (of geoopt in slabs; many times more than in one call, whose differences
fill the memory); and right to a few roundings at every radius.

    python benchmarks/pairwise_hyperbolic.py        # 2,000,000 pairs of rows; all of 4,000 x 4,000

Rows are float32, about 4 and about 8 from the origin; each row of y is between 0.001 and 4 from its
row of x. In other dimensions than 10 there are as many coordinates. geodask is called once with
numpy arrays, as in `dist(x, y)` and `pairwise(x, y)`. geoopt without gradients, in two
ways: as one calls it, with all of torch's threads, row by row in one call and all pairs in slabs;
and in slices that fit in a cache, a thread a core, which row by row is several times as fast.
geomstats in such slices. Errors are those of sampled pairs, against float64 without the terms that
cancel.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

import geodask as gd
import trees
from geodask.arrays.threads import keep_to_one_thread, one_thread_each
from harness import Answer, Contestant, document, parser, race, ratio, table
from machine import cores, facts, heading, limits
from peers import installed

OURS, GEOOPT, SLICED, GEOMSTATS = "geodask", "geoopt", "geoopt, sliced", "geomstats, sliced"
NEAREST, FARTHEST = -3, 0.6
"""Powers of ten of the distances between x and y."""
SLICE = 1 << 18
"""Coordinates in a slice, the fastest of 2^16 to 2^21."""
SLAB = 1 << 20
"""Coordinates of all pairs in one call to geoopt on all threads, the fastest of 2^18 to 2^26."""
CHECKED = 10_000
WITHIN = 8 * 2.0**-23
"""The relative error of a distance in float32 that counts as right."""
CLAIMS = {
    ("row by row", 10): 6,
    ("row by row", 64): 20,
    ("all pairs", 10): 5,
    ("all pairs", 64): 20,
}
LEGEND = (
    "% limit: of the rate at which this machine copies bytes, row by row; of the float32 product's "
    "rate\nwith 3 n operations a pair, all pairs. error: the largest relative error of sampled "
    "pairs.\npeak: memory beyond what was there before."
)
COLUMNS = {
    "name": ("", ""),
    "kind": ("", ""),
    "n": ("n", "d"),
    "radius": ("radius", "g"),
    "pairs": ("pairs", ",d"),
    "median": ("seconds", ".3f"),
    "pairs_per_second": ("pairs/s", ".3g"),
    "of_limit": ("% limit", ".0%"),
    "times_geoopt": ("x geoopt", ".2f"),
    "times_sliced": ("x sliced", ".2f"),
    "error": ("error", ".1e"),
    "peak_bytes": ("peak", "bytes"),
}

Dist = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """Rows x and y, and whether all pairs of them are asked for."""

    kind: str
    n: int
    radius: float
    x: np.ndarray
    y: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.x),) if self.kind == "row by row" else (len(self.x), len(self.y))

    def warm(self) -> "Case":
        return Case(self.kind, self.n, self.radius, self.x[:64], self.y[:64])


Make = Callable[[Case], Callable[[], Answer]]


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where a distance of geodask was wrong."""
    options = _options(arguments)
    makers, notes = _makers()
    here, most = facts(), limits(40 * options.rows)
    rows: list[dict[str, Any]] = []
    for n in options.dimensions:
        for radius in options.radii:
            for kind, count in (
                ("row by row", options.rows * 10 // n),
                ("all pairs", options.side),
            ):
                rows += _raced(_case(kind, n, radius, count), makers, options.repeats, most)
    ratios = _ratios(rows)
    print(heading(here, most))
    print(f"\nfloat32, medians of {options.repeats} rounds\n{table(rows, COLUMNS)}\n")
    print(LEGEND, *_told(ratios), *notes, sep="\n")
    measured = {"machine": here, "limits": most, "rows": rows, "ratios": ratios, "notes": notes}
    document("pairwise_hyperbolic", __doc__, options, **measured)
    return int(any(not row["sound"] for row in rows if "sound" in row))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=2_000_000, repeats=5)
    found.add_argument("--side", type=int, default=4000, help="rows of x and y for all pairs")
    found.add_argument("--dimensions", type=int, nargs="+", default=[10, 64], metavar="N")
    found.add_argument("--radii", type=float, nargs="+", default=[4.0, 8.0], metavar="R")
    return found.parse_args(arguments)


def _case(kind: str, n: int, radius: float, count: int) -> Case:
    rng = np.random.default_rng(1)
    x = trees.shell(radius, count, n)
    steps = 10 ** rng.uniform(NEAREST, FARTHEST, count)
    y = x.moved(trees.unit(rng.standard_normal((count, n))), steps)
    return Case(kind, n, radius, x.ball(), y.ball())


# --- contestants ----------------------------------------------------------------------------------


def _makers() -> tuple[dict[str, Make], list[str]]:
    """Contestants by name, and why some are not among them."""
    makers: dict[str, Make] = {OURS: _geodask}
    notes = []
    for name, module, make in (
        (GEOOPT, "geoopt", _geoopt),
        (SLICED, "geoopt", _geoopt_sliced),
        (GEOMSTATS, "geomstats", _geomstats),
    ):
        if installed(module):
            makers[name] = make
        else:
            notes.append(f"{name}: left out, {module} is not installed")
    return makers, notes


def _geodask(case: Case) -> Callable[[], Answer]:
    manifold = gd.PoincareBall(case.n)
    verb = manifold.dist if case.kind == "row by row" else manifold.pairwise
    return lambda: Answer(verb(case.x, case.y))


def _geoopt(case: Case) -> Callable[[], Answer]:
    dist, x, y = _torch_parts(case)
    if case.kind == "row by row":
        return lambda: Answer(dist(x, y).numpy())
    step = max(1, SLAB // (len(y) * case.n))

    def slabs() -> Answer:
        out = np.empty(case.shape, np.float32)
        for start in range(0, len(x), step):
            out[start : start + step] = dist(x[start : start + step, None], y[None])
        return Answer(out)

    return slabs


def _geoopt_sliced(case: Case) -> Callable[[], Answer]:
    return partial(_sliced, case, *_torch_parts(case))


def _torch_parts(case: Case) -> tuple[Dist, torch.Tensor, torch.Tensor]:
    import geoopt

    dist = torch.no_grad()(geoopt.PoincareBall().dist)
    return dist, torch.from_numpy(case.x), torch.from_numpy(case.y)


def _geomstats(case: Case) -> Callable[[], Answer]:
    from geomstats.geometry.poincare_ball import PoincareBall

    return partial(_sliced, case, PoincareBall(case.n).metric.dist, case.x, case.y)


def _sliced(case: Case, dist: Dist, x: Any, y: Any) -> Answer:
    """Slices of one answer, each by one thread."""
    out = np.empty(case.shape, np.float32)
    step = SLICE // case.n
    others = 1 if case.kind == "row by row" else min(len(y), max(1, step // 4))
    step = max(1, step // others)

    def part(start: int) -> None:
        rows = slice(start, start + step)
        if case.kind == "row by row":
            out[rows] = dist(x[rows], y[rows])
            return
        for first in range(0, len(y), others):
            columns = slice(first, first + others)
            out[rows, columns] = dist(x[rows, None], y[None, columns])

    with one_thread_each(), ThreadPoolExecutor(cores(), initializer=keep_to_one_thread) as pool:
        for _ in pool.map(part, range(0, len(x), step)):
            pass
    return Answer(out)


# --- answers, and what comes out ------------------------------------------------------------------


def _raced(
    case: Case, makers: dict[str, Make], repeats: int, most: dict[str, Any]
) -> list[dict[str, Any]]:
    warm = case.warm()
    contestants = [Contestant(n, make(case), make(warm)) for n, make in makers.items()]
    lanes = {lane.name: lane for lane in race(contestants, repeats, partial(_check, case))}
    pairs = int(np.prod(case.shape))
    rows = []
    for lane in lanes.values():
        row = {"kind": case.kind, "n": case.n, "radius": case.radius, "pairs": pairs} | lane.row()
        rate = pairs / lane.median
        row |= {"pairs_per_second": rate, "of_limit": rate / _limit(case, most)}
        for key, peer in (("times_geoopt", GEOOPT), ("times_sliced", SLICED)):
            if peer in lanes:
                row[key] = ratio(lanes[peer], lane)
        rows.append(row)
    return rows


def _limit(case: Case, most: dict[str, Any]) -> float:
    """Pairs a second: of rows that are read once, or of 3 n operations a pair."""
    if case.kind == "row by row":
        return most["copy_bytes"] / (2 * 4 * case.n)
    return most["float32_flops"] / (3 * case.n)


def _check(case: Case, answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(3)
    rows = tuple(rng.integers(size, size=CHECKED) for size in case.shape)
    true = trees.distances(case.x[rows[0]], case.y[rows[-1]])
    found = {}
    for name, answer in answers.items():
        error = trees.relative(answer.value[rows], true)
        found[name] = {"error": error, "checked": CHECKED}
        if name == OURS:
            found[name]["sound"] = answer.value.shape == case.shape and error <= WITHIN
    return found


def _ratios(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Times geoopt and times geoopt in slices, the least over the radii, by claim."""
    found: dict[str, list[float]] = {}
    for kind, n in CLAIMS:
        ours = [row for row in rows if (row["name"], row["kind"], row["n"]) == (OURS, kind, n)]
        if ours and all("times_geoopt" in row for row in ours):
            least = [min(row[key] for row in ours) for key in ("times_geoopt", "times_sliced")]
            found[f"{kind}, n = {n}"] = least
    return found


def _told(ratios: dict[str, list[float]]) -> list[str]:
    claims = {f"{kind}, n = {n}": claim for (kind, n), claim in CLAIMS.items()}
    return [
        f"{name}: {plain:.2f} x geoopt (at least {claims[name]}), {sliced:.2f} x sliced"
        for name, (plain, sliced) in ratios.items()
    ]


if __name__ == "__main__":
    raise SystemExit(main())
