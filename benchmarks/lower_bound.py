"""Affine-invariant neighbours of covariances: how few pairs a lower bound leaves to measure.

Claim: of 20,000 matrices 16 x 16, 10 neighbours each, fewer than 1 % of all pairs are measured, and
all rows are certified: of Wishart matrices, of covariances of sources that are mixed alike, as
those of electrodes are, and of 200 classes.

    python benchmarks/lower_bound.py

Sampled rows are checked against all others by pyRiemann's distance, of torch and in slices that fit
in a cache, as it is fastest; its time for them stands beside as what it would take for all rows.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import dask
import numpy as np
import torch

import geodask as gd
from harness import Answer, Contestant, document, folder, parser, race, ratio, table
from machine import facts, heading, limits
from peers import installed
from peers_matrices import sliced

OURS, PEER = "geodask", "pyRiemann"
N = 16
CLASSES = 200
CLAIM = 0.01
"""The share of pairs that may be measured."""
WITHIN = 1e-9
"""Distances of neighbours are the same, relative to themselves: pyRiemann's lose some digits."""
COLUMNS = {
    "law": ("", ""),
    "name": ("", ""),
    "rows": ("rows", ",d"),
    "median": ("seconds", ".2f"),
    "times": ("x geodask, all rows", ".1f"),
    "rechecked": ("measured", ".3%"),
    "certified": ("certified", ".2%"),
    "wrong": ("wrong rows", "d"),
    "checked": ("of", "d"),
    "peak_bytes": ("peak", "bytes"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where an answer was wrong or not certified."""
    options = _options(arguments)
    here, most = facts(), limits(8 * N * N * options.rows)
    with folder() as home, dask.config.set({"geodask.store": str(home), "geodask.progress": "off"}):
        rows = [row for law in LAWS for row in _raced(law, options)]
    print(heading(here, most))
    print(f"\nk = {options.k}, medians of {options.repeats} rounds\n{table(rows, COLUMNS)}\n")
    ours = [row for row in rows if row["name"] == OURS]
    most_measured = max(row["rechecked"] for row in ours)
    print(f"at most {most_measured:.2%} of all pairs were measured; the claim is {CLAIM:.0%}")
    document("lower_bound", __doc__, options, machine=here, limits=most, rows=rows)
    return int(not all(row["sound"] for row in ours))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=20_000, repeats=3)
    found.add_argument("--k", type=int, default=10)
    found.add_argument("--checked", type=int, default=50, help="rows that the peer gets")
    return found.parse_args(arguments)


# --- covariance matrices --------------------------------------------------------------------------


def _wishart(rng: np.random.Generator, rows: int, samples: int = 2 * N) -> np.ndarray:
    x = rng.standard_normal((rows, N, samples))
    return x @ np.swapaxes(x, 1, 2) / samples


def _mixed(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Sources of changing power, seen by electrodes that all see some of each."""
    power = np.exp(rng.normal(0, 0.5, (rows, N, 1)))
    mixing = rng.standard_normal((N, N)) * np.logspace(0, -2, N)
    return _turned(mixing * np.swapaxes(power, 1, 2), _wishart(rng, rows, 8 * N))


def _classes(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Around a centre each, of which no two are alike."""
    centres = np.linalg.cholesky(_wishart(rng, CLASSES))
    return _turned(centres[rng.integers(0, CLASSES, rows)], _wishart(rng, rows, 8 * N))


def _turned(a: np.ndarray, p: np.ndarray) -> np.ndarray:
    found = a @ p @ np.swapaxes(a, 1, 2)
    return (found + np.swapaxes(found, 1, 2)) / 2


LAWS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "Wishart": _wishart,
    "mixed sources": _mixed,
    f"{CLASSES} classes": _classes,
}

# --- neighbours -----------------------------------------------------------------------------------


def _raced(law: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    points = LAWS[law](rng, options.rows)
    sample = np.sort(rng.permutation(options.rows)[: options.checked])
    few = points[: 8 * options.k]
    ours = partial(_geodask, k=options.k)
    contestants = [Contestant(OURS, partial(ours, points), partial(ours, few))]
    if installed("pyriemann"):
        peer = partial(_pyriemann, points, k=options.k)
        contestants.append(Contestant(PEER, partial(peer, sample), partial(peer, sample[:2])))
    lanes = race(contestants, options.repeats, partial(_check, sample))
    share = options.rows / len(sample)
    rows = []
    for lane in lanes:
        first = lane is lanes[0]
        row = {"law": law, **lane.row(), "rows": options.rows if first else len(sample)}
        rows.append({**row, "times": ratio(lane, lanes[0]) * (1 if first else share)})
    rows[0]["sound"] = rows[0]["certified"] == 1 and not rows[0].get("wrong")
    return rows


def _geodask(points: np.ndarray, k: int) -> Answer:
    found = gd.knn(gd.points(points, gd.SPDAffineInvariant(N)), k=k).compute()
    report = found.report
    stated = {"certified": report.certified, "rechecked": report.rechecked}
    return Answer((found.indices, found.distances), facts=stated)


def _pyriemann(points: np.ndarray, sample: np.ndarray, k: int) -> Answer:
    """Distances from some rows to all, one row after the other, and the k least."""
    from pyriemann.geometry.distance import distance_riemann

    found, rows = [], torch.from_numpy(points)
    for i in sample:
        apart = sliced(distance_riemann, rows, rows[i : i + 1]).value.numpy()
        apart[i] = np.inf
        found.append(np.sort(np.partition(apart, k)[:k]))
    return Answer(np.array(found))


def _check(sample: np.ndarray, answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
    """Rows whose distances are not those that the peer has found."""
    if PEER not in answers:
        return {}
    ours, known = np.asarray(answers[OURS].value[1])[sample], answers[PEER].value
    wrong = int(np.sum(np.any(abs(ours / known - 1) > WITHIN, axis=1)))
    return {OURS: {"wrong": wrong, "checked": len(sample)}}


if __name__ == "__main__":
    raise SystemExit(main())
