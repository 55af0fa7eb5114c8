"""How many digits are right, of each verb in each space, against mpmath and beside the peers.

Truth is computed to 60 digits and more from the rows as they are stored: a row stands for what its
space says, a matrix for its symmetric part, a row of the hyperboloid for its space coordinates. The
error of dist is relative; that of exp is the distance from the true point (in polar coordinates the
length of their difference), divided by 1 + the length of the tangent; those of log and transport
are the length of the difference over the length of the truth, Riemannian but on spheres, rotations
and subspaces, where also what is not tangent counts. Each number is the largest of a few rows.

"rounded" is the error of the truth itself, rounded to the dtype, and at least half its epsilon:
only who answers in a wider one does better. "condition" is what nobody can help who gets rows that
have been rounded: four times every entry of a row is moved by half an epsilon of itself, up or down
by chance, and the truth of moved rows is taken as an answer to the row. To the largest error of
these is added that of four truths of the row whose own entries are moved so, or "rounded".

Claims, for each row and each regime:

- geodask is off by at most 10 times the condition; "times" is the largest of its errors over the
  condition of the same row;
- the largest error of geodask is at most twice that of the best peer, or twice "rounded" where the
  peer does better than that;
- in hyperbolic space it is at most so many times "rounded", rows taken as they are: in the ball 16,
  in the half-space and in polar coordinates 32, on the hyperboloid dist 8, exp and log 32 and
  transport 64. Geodesics that come in from far out, pass the origin and go far out again are
  measured in polar coordinates alone: elsewhere rounding a tangent decides where they end.

    python benchmarks/accuracy.py                          # some minutes; prints every regime
    python benchmarks/accuracy.py --only Sphere dist
    python benchmarks/accuracy.py --markdown docs/accuracy.md

Where a peer refuses its error is infinite. An empty place is a verb that a peer does not have;
`verbs` and `verbs_matrices` say how each is called.
"""

import argparse
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp

import published
from harness import document, parser, table, tell
from machine import facts, limits
from peers import installed
from regimes import Inputs
from spaces import SPACES, VERBS, Space
from truths import Truth, Vector, exact
from verbs import Verb, Verbs

DTYPES = ("float32", "float64")
OURS = "geodask"
PEERS = ("geoopt", "geomstats", "pyRiemann")
MOVES = 4
"""How often the entries of a row are moved."""
ULPS = 10
"""How many times the condition geodask may be off,"""
PEER = 2
"""and how many times the error of the best peer."""
COLUMNS = {
    "space": ("", ""),
    "verb": ("", ""),
    "dtype": ("", ""),
    "regime": ("", ""),
    "rounded": ("rounded", ".0e"),
    "condition": ("condition", ".0e"),
    OURS: (OURS, ".0e"),
    "times": ("times", ".2g"),
    **{name: (name, ".0e") for name in PEERS},
    "missed": ("missed", ""),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where geodask was further off than is claimed."""
    options = _options(arguments)
    here, most = facts(), limits(1 << 20)
    rows, notes = [], []
    for name, space in SPACES.items():
        verbs, missing = _verbs(space)
        notes += [note for note in missing if note not in notes]
        rows += _space(name, space, verbs, options)
    print(f"{here['cpu']}, numpy {np.__version__}, {options.rows} rows of a regime, largest errors")
    print(f"\n{table(rows, COLUMNS)}\n", *_missed(rows), *notes, sep="\n")
    measured = {"machine": here, "limits": most, "rows": rows, "notes": notes}
    document("accuracy", __doc__, options, **measured)
    if options.markdown is not None:
        published.write(options.markdown, rows, here, options.rows)
    return int(not all(row["sound"] for row in rows))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=10, repeats=1)
    found.add_argument("--only", nargs="+", metavar="TEXT", help="spaces and verbs of these names")
    found.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    return found.parse_args(arguments)


def _verbs(space: Space) -> tuple[dict[str, Verbs], list[str]]:
    """Verbs by library, and which are not installed."""
    own = {verb: getattr(space.manifold, verb) for verb in VERBS}
    found, notes = {OURS: own}, []
    for name, make in space.peers.items():
        if installed(name.lower()):
            found[name] = make()
        else:
            notes.append(f"{name}: left out, it is not installed")
    return found, notes


def _space(
    name: str, space: Space, verbs: dict[str, Verbs], options: argparse.Namespace
) -> list[dict[str, Any]]:
    only = set(options.only or ())
    spaces, asked = only & {*SPACES}, [verb for verb in VERBS if verb in only] or VERBS
    rows = []
    for dtype in DTYPES if name in (spaces or SPACES) else ():
        for inputs in space.regimes(dtype, options.rows):
            tell(f"{name}: {dtype}, {inputs.regime}")
            for verb in asked:
                row: dict[str, Any] = {"space": name, "verb": verb, "dtype": dtype}
                row |= {"kind": inputs.kind, "regime": inputs.regime}
                row |= _errors(space.truth, verb, inputs, verbs)
                row["missed"] = ", ".join(_misses(row, space.claims.get(verb, math.inf)))
                rows.append(row | {"sound": not row["missed"]})
    return rows


def _misses(row: dict[str, Any], claim: float) -> Iterator[str]:
    """Which claims do not hold."""
    if row["times"] > ULPS:
        yield "condition"
    best = min((row[name] for name in PEERS if name in row), default=math.inf)
    if row[OURS] > PEER * max(best, row["rounded"]):
        yield "peer"
    if row[OURS] > claim * row["rounded"]:
        yield "rounding"


def _missed(rows: list[dict[str, Any]]) -> list[str]:
    wrong = [row for row in rows if not row["sound"]]
    names = ("space", "verb", "dtype", "regime")
    lines = [f"missed: {', '.join(row[name] for name in names)}: {row['missed']}" for row in wrong]
    return [f"{len(rows)} regimes of a verb, claims missed in {len(wrong)}", *lines]


# --- errors ---------------------------------------------------------------------------------------


def _errors(truth: Truth, verb: str, inputs: Inputs, verbs: dict[str, Verbs]) -> dict[str, float]:
    """The largest error of each library, of the rounded truth, and of moved rows."""
    given, unit = inputs.of(verb), float(np.finfo(inputs.p.dtype).eps) / 2
    with mp.workdps(truth.digits):
        rows = list(zip(*([exact(row) for row in each] for each in given), strict=True))
        true = [getattr(truth, verb)(*row) for row in rows]
        error = partial(_error, truth, verb)
        shape = given[0].shape[:1] if verb == "dist" else given[0].shape
        rounded = np.array(true, float).reshape(shape).astype(inputs.p.dtype)
        answers = {"rounded": rounded}
        for name, methods in verbs.items():
            if verb in methods:
                answers[name] = _answer(methods[verb], given, rounded)
        found = {
            name: np.array(
                [error(*row) for row in zip(map(exact, answer), true, rows, strict=True)]
            )
            for name, answer in answers.items()
        }
        found["rounded"] = np.maximum(found["rounded"], unit)
        moved = [_moved(truth, verb, unit, *row) for row in zip(rows, true, strict=True)]
    found["condition"] = np.maximum(found["rounded"], [of for _, of in moved])
    found["condition"] += [given for given, _ in moved]
    found["times"] = found[OURS] / found["condition"]
    return {name: float(np.max(errors)) for name, errors in found.items()}


def _moved(
    truth: Truth, verb: str, unit: float, given: tuple[Vector, ...], true: Any
) -> tuple[float, float]:
    """The largest errors of the truth of moved rows, and of the truth where itself is moved."""
    rng, of_rows, of_truth = np.random.default_rng(0), [], []

    def moved(row: Vector) -> Vector:
        return [a * (1 + unit * int(rng.choice((-1, 1)))) for a in row]

    def entries(found: Any) -> Vector:
        return [found] if verb == "dist" else found

    for _ in range(MOVES):
        there = getattr(truth, verb)(*map(moved, given))
        of_rows.append(_error(truth, verb, entries(there), true, given))
        of_truth.append(_error(truth, verb, moved(entries(true)), true, given))
    return max(of_rows), max(of_truth)


def _answer(method: Verb, given: tuple[np.ndarray, ...], like: np.ndarray) -> np.ndarray:
    """What a library answers; NaN where it refuses, as geomstats does for rows off its sheet."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(method(*given))
        except (ValueError, RuntimeError):
            return np.full_like(like, np.nan)


def _error(truth: Truth, verb: str, found: Vector, true: Any, given: tuple[Vector, ...]) -> float:
    if not all(map(mp.isfinite, found)):
        return math.inf
    if verb == "dist":
        return float(abs(found[0] - true) / true)
    if verb == "exp":
        return float(truth.gap(found, true) / (1 + truth.length(*given)))
    at = given[1] if verb == "transport" else given[0]
    return float(truth.off(at, found, true))


if __name__ == "__main__":
    raise SystemExit(main())
