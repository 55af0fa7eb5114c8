"""Neighbours of a set that grew, from the stored result for its first rows, against one run.

Claim: after 1 % is appended to 500,000 x 64 the update takes at most 4 % of the run from scratch,
and gives the same bytes.

    python benchmarks/growth.py                   # 500,000 x 64 float32 and 5,000 rows more

Rows lie on a sphere, in Zarr. Each round uses stores of its own: one in which the result for the
first rows is stored before, untimed, and an empty one. Both runs digest all rows. The limit of the
update is the part of the pairs that is new, so much of the time from scratch.
"""

import argparse
import hashlib
import time
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np

import geodask as gd
import sphere
from geodask.engine.sources import FRESH_SECONDS
from harness import Answer, Contestant, document, folder, parser, race, ratio, table
from machine import facts, heading, limits

N = 64
CLAIM = 0.04
SCRATCH, UPDATE = "from scratch", "update"
COLUMNS = {
    "name": ("", ""),
    "median": ("seconds", ".2f"),
    "pairs": ("pairs", ".3g"),
    "reused": ("known", ".2%"),
    "measured": ("measured", ".3g"),
    "certified": ("certified", ".2%"),
    "same": ("same bytes", ""),
    "peak_bytes": ("peak", "bytes"),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where the update differed from the run from scratch."""
    options = _options(arguments)
    here, most = facts(), limits(4 * N * options.rows)
    with folder() as home, dask.config.set({"geodask.progress": "off", "geodask.device": "cpu"}):
        few, many = _points(home, options)
        time.sleep(FRESH_SECONDS + 0.5)  # younger files are digested again by every plan
        known = home / "known"
        with dask.config.set({"geodask.store": str(known)}):
            gd.knn(few, k=options.k).persist()
        runs = {
            SCRATCH: partial(_run, many, options.k, home),
            UPDATE: partial(_run, many, options.k, home, known),
        }
        contestants = [Contestant(*run) for run in runs.items()]
        lanes = {lane.name: lane for lane in race(contestants, options.repeats, _check)}
    rows = [lanes[name].row() for name in runs]
    share = ratio(lanes[UPDATE], lanes[SCRATCH])
    limit = 1 - (len(few) / len(many)) ** 2
    print(heading(here, most))
    print(f"\n{len(few):,} x {N} float32, {len(many) - len(few):,} rows more, k={options.k}")
    print(f"{table(rows, COLUMNS)}\n")
    print(f"update / from scratch {share:.2%} (at most {CLAIM:.0%}); new pairs {limit:.2%}")
    measured = {
        "machine": here,
        "limits": most,
        "rows": rows,
        "update_to_scratch": share,
        "new_share": limit,
    }
    document("growth", __doc__, options, **measured)
    return int(not all(row["same"] for row in rows))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=500_000, repeats=1)
    found.add_argument("--more", type=float, default=0.01, help="part that is appended")
    found.add_argument("--k", type=int, default=10, help="(default %(default)s)")
    return found.parse_args(arguments)


def _points(home: Path, options: argparse.Namespace) -> tuple[gd.Points, gd.Points]:
    few = sphere.stored(home / "points.zarr", options.rows, N)
    more = sphere.stored(home / "more.zarr", max(1, round(options.rows * options.more)), N, 999)
    return few, gd.concat([few, more])


def _run(x: gd.Points, k: int, home: Path, known: Path | None = None) -> Answer:
    """Into a store that holds what the known one does, as links, or nothing: both are timed."""
    store = home / f"store-{time.monotonic_ns()}"
    if known is not None:
        for each in known.rglob("*"):
            if each.is_file():
                copy = store / each.relative_to(known)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.hardlink_to(each)
    with dask.config.set({"geodask.store": str(store)}):
        result = gd.knn(x, k=k).persist()
    report = result.report
    found = {name: report.stats[name] for name in ("pairs", "measured")}
    found |= {"reused": report.reused, "certified": report.certified}
    return Answer(result, facts=found)


def _digest(result: Any) -> str:
    found = hashlib.blake2b()
    for values in (result.indices, result.distances, result.certified):
        for block in values.blocks:
            found.update(np.ascontiguousarray(block.compute()))
    return found.hexdigest()


def _check(answers: dict[str, Answer]) -> dict[str, dict[str, Any]]:
    digests = {name: _digest(answer.value) for name, answer in answers.items()}
    return {name: {"same": found == digests[SCRATCH]} for name, found in digests.items()}


if __name__ == "__main__":
    raise SystemExit(main())
