"""Batches of small matrices: verbs row by row, and neighbours, beside geomstats and its like.

Claims, of 10,000 rows: the affine-invariant distance of SPD matrices 16 x 16 at least 3 times as
fast as the best of the peers; exp and log of subspaces, of frames and of rotations at least 3 times
as fast as geomstats, of those matrices exp 3 times and log twice. Of 20,000 matrices 16 x 16, 10
neighbours each by the log-Euclidean metric, at least 100 times as fast as pyRiemann's
KNearestNeighbor finds them. Its pairwise_distance is no such loop: how far ahead of it anything can
be that multiplies all rows, the product alone shows.

    python benchmarks/matrices.py

Rows are float64. geodask is called once with numpy arrays, and so are the peers, with all threads
of their libraries; and once more in slices that fit in a cache, a thread a core, which is often
faster. geoopt and one pyRiemann take arrays of torch, without gradients. Where a peer has points in
another form they are converted before the time that is measured; where it takes milliseconds a row
it gets fewer, and its time is multiplied. Distances are checked in Decimals, exp and log by going
back; the error of a peer is how far it is from geodask.
"""

import argparse
from decimal import localcontext
from functools import partial
from typing import Any

import dask
import numpy as np

import geodask as gd
from geodask.arrays.decimals import decimals
from harness import Answer, Contestant, Lane, document, folder, parser, race, ratio, table
from machine import facts, heading, limits
from peers import installed
from peers_matrices import BY_ROWS, CASES, SEARCHES, SPD, Case, Verb, sliced

OURS, PRODUCT = "geodask", "the float32 product alone (numpy)"
CHECKED = 8
TILE = 2048
DIGITS = 50
WITHIN = 2.0**-40
"""The error, relative to the row, that counts as right."""
LEGEND = (
    "error: of geodask the largest of its rows; of a peer how far it is from geodask. scaled: as "
    "many seconds\nas all pairs take. recall: of the neighbours that geodask found. peak: memory "
    "beyond what was there before."
)
COLUMNS = {
    "name": ("", ""),
    "case": ("", ""),
    "rows": ("rows", ",d"),
    "median": ("seconds", ".4f"),
    "rows_per_second": ("rows/s", ".3g"),
    "times": ("x geodask", ".1f"),
    "error": ("error", ".0e"),
    "peak_bytes": ("peak", "bytes"),
}
NEIGHBOURS = {
    "name": ("", ""),
    "rows": ("rows", ",d"),
    "median": ("seconds", ".3f"),
    "scaled": ("scaled", ".3f"),
    "times": ("x geodask", ".1f"),
    "recall": ("recall", ".4f"),
    "certified": ("certified", ".0%"),
    "peak_bytes": ("peak", "bytes"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where an answer of geodask was wrong."""
    options = _options(arguments)
    here, most = facts(), limits(8 * options.rows * SPD.size)
    cases = [case for case in CASES if any(word in case.name for word in options.only)]
    rows = [row for case in cases for row in _raced(case, options)]
    neighbours = _neighbours(options) if options.neighbours else []
    told, notes = _told(cases, rows, neighbours), _notes(cases)
    print(heading(here, most))
    print(f"\nfloat64, medians of {options.repeats} rounds\n{table(rows, COLUMNS)}\n")
    print(f"log-Euclidean neighbours, k = {options.k}\n{table(neighbours, NEIGHBOURS)}\n")
    print(LEGEND, *told.values(), *notes, sep="\n")
    measured = {"rows": rows, "neighbours": neighbours, "told": told, "notes": notes}
    document("matrices", __doc__, options, machine=here, limits=most, **measured)
    return int(any(not row["sound"] for row in [*rows, *neighbours] if "sound" in row))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=10_000, repeats=7)
    only = "cases whose names have one of these words"
    found.add_argument("--only", nargs="+", metavar="WORD", default=[""], help=only)
    found.add_argument("--neighbours", type=int, default=20_000, metavar="N", help="0: none")
    found.add_argument("--few", type=int, default=200, help="rows of KNearestNeighbor")
    found.add_argument("--k", type=int, default=10)
    return found.parse_args(arguments)


# --- verbs ----------------------------------------------------------------------------------------


def _raced(case: Case, options: argparse.Namespace) -> list[dict[str, Any]]:
    p, other = case.rows(options.rows)
    ours = getattr(case.space, case.verb)
    contestants = [Contestant(OURS, lambda: Answer(ours(p, other)), lambda: ours(p[:9], other[:9]))]
    for peer in (each for each in case.peers if installed(each.module)):
        verb, given = peer.verb(case.space), peer.given(p[: case.few], other[: case.few])
        warm = partial(verb, *(x[:9] for x in given))
        for name, run in ((peer.name, _whole), (f"{peer.name}, sliced", sliced)):
            contestants.append(Contestant(name, partial(run, verb, *given), warm))
    lanes = race(contestants, options.repeats, partial(_check, case, p, other))
    return [_verb_row(case, lane, lanes[0], options.rows) for lane in lanes]


def _verb_row(case: Case, lane: Lane, first: Lane, count: int) -> dict[str, Any]:
    """A row of the table; what was measured of few rows counts for as many as there are."""
    rows = count if lane is first else min(count, case.few or count)
    row = {"case": case.name, **lane.row(), "rows": rows, "rows_per_second": rows / lane.median}
    return {**row, "times": count / rows * ratio(lane, first)}


def _whole(verb: Verb, p: Any, other: Any) -> Answer:
    return Answer(verb(p, other))


def _check(
    case: Case, p: np.ndarray, other: np.ndarray, answers: dict[str, Answer]
) -> dict[str, dict[str, Any]]:
    ours, found = case.form(p, answers[OURS].value), {}
    for name in answers.keys() - {OURS}:
        theirs = np.asarray(answers[name].value)
        known = ours[: len(theirs)]
        found[name] = {"error": float(np.max(_length(theirs - known) / _length(known)))}
    error, checked = _error(case, p, other, answers[OURS].value)
    return found | {OURS: {"error": error, "checked": checked, "sound": error <= WITHIN}}


def _error(case: Case, p: np.ndarray, other: np.ndarray, found: np.ndarray) -> tuple[float, int]:
    """The largest error relative to the row, and of how many rows."""
    space = case.space
    if case.verb == "log":
        return float(np.max(space.dist(space.exp(p, found), other) / space.norm(p, found))), len(p)
    if case.verb == "exp":
        return float(np.max(_length(space.log(p, found) - other) / _length(other))), len(p)
    error = 0.0
    with localcontext() as context:
        context.prec = DIGITS
        for i in range(0, len(p), max(1, len(p) // CHECKED)):
            true = space.exact_dist(space.exact_rank(decimals(p[i]), decimals(other[i])))
            error = max(error, abs(float(found[i]) / float(true) - 1))
    return error, CHECKED


def _length(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.sum(np.square(rows), axis=tuple(range(1, rows.ndim))))


# --- neighbours -----------------------------------------------------------------------------------


def _neighbours(options: argparse.Namespace) -> list[dict[str, Any]]:
    on = gd.SPDLogEuclidean(SPD.n)
    points, count = on.random(options.neighbours, 0), options.neighbours
    few = points[: min(options.few, count)]

    def ours(rows: np.ndarray = points) -> Answer:
        found = gd.knn(gd.points(rows, on), k=options.k).compute()
        return Answer(found.indices, facts={"certified": found.report.certified})

    product = partial(_product, options.neighbours, on.dim)
    contestants = [Contestant(OURS, ours, lambda: ours(few)), Contestant(PRODUCT, product)]
    for name, search in SEARCHES.items() if installed("pyriemann") else ():
        run = partial(search, few if name == BY_ROWS else points, options.k)
        contestants.append(Contestant(name, run, partial(search, few[:20], options.k)))

    def check(answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
        known = answers[OURS].value
        recalls = {
            name: float(np.mean([len(np.intersect1d(*pair)) / options.k for pair in zip(
                answer.value, known, strict=True)]))
            for name, answer in answers.items()
            if answer.value is not None and len(answer.value) == len(known)
        }  # fmt: skip
        found = {name: {"recall": share} for name, share in recalls.items()}
        found[OURS]["sound"] = answers[OURS].facts["certified"] == 1
        return found

    with folder() as home, dask.config.set({"geodask.store": str(home / "store")}):
        lanes = race(contestants, min(3, options.repeats), check)
    return [_scaled(lane, lanes[0], len(few), count) for lane in lanes]


def _product(rows: int, columns: int) -> Answer:
    """As many products as the search has pairs, a tile after the other."""
    x = np.random.default_rng(0).standard_normal((rows, columns), dtype=np.float32)
    for start in range(0, rows, TILE):
        x[start : start + TILE] @ x.T
    return Answer()


def _scaled(lane: Lane, first: Lane, few: int, count: int) -> dict[str, Any]:
    """A row of the table; what was measured of few rows counts for as many pairs as there are."""
    by_rows = lane.name == BY_ROWS
    share = (count / few) ** 2 if by_rows else 1.0
    row = {**lane.row(), "rows": few if by_rows else count, "times": share * ratio(lane, first)}
    return {**row, "scaled": share * lane.median}


# --- what comes out -------------------------------------------------------------------------------


def _notes(cases: list[Case]) -> list[str]:
    missing = {
        (peer.name, peer.module) for case in cases for peer in case.peers
        if not installed(peer.module)
    }  # fmt: skip
    return [f"{name}: left out, {module} is not installed" for name, module in sorted(missing)]


def _told(
    cases: list[Case], rows: list[dict[str, Any]], neighbours: list[dict[str, Any]]
) -> dict[str, str]:
    found = {}
    for case in cases:
        peers = [r for r in rows if r["case"] == case.name and r["name"] != OURS]
        if peers:
            best = min(peers, key=lambda row: row["times"])
            ahead = f"{best['times']:.1f} times as fast as {best['name']}, the best peer"
            found[case.name] = f"{case.name}: {ahead}; the claim is {case.claim:g}"
    for row in neighbours[1:]:
        found[row["name"]] = f"neighbours: {row['times']:.1f} times as fast as {row['name']}"
    return found


if __name__ == "__main__":
    raise SystemExit(main())
