"""How many digits are right, of each verb in each space, against mpmath and beside the peers.

Claim: at every distance that the dtype can hold, and in random directions, verbs are right to so
many times what rounding the true result costs: in the ball all to 16, in the half-space and in
polar coordinates all to 32, on the hyperboloid dist to 8, exp and log to 32 and transport to 64. Of
the sphere nothing is claimed: its rows are not quite of length 1, which costs more where they
nearly meet or are nearly opposite. Geodesics that come in from far out, pass the origin and go far
out again are measured in polar coordinates alone: elsewhere rounding a tangent decides where they
end.

    python benchmarks/accuracy.py                   # some minutes; prints every regime
    python benchmarks/accuracy.py --only Sphere dist

Truth is computed to 120 digits and more from the rows as they are stored; a row of the hyperboloid
stands for its space coordinates, its time is that of them. The error of dist is relative; that of
exp is the distance from the true point (in polar coordinates the length of their difference),
divided by 1 + the length of the tangent; those of log and transport are the length of the
difference over the length of the truth, Riemannian in hyperbolic space. "rounded" is the error of
the truth itself, rounded to the dtype; only who answers in a wider one does better. Each number is
the largest of a few rows. Peers are called without projections where they let one choose; where one
refuses its error is infinite. An empty place is a verb that a peer does not have: geomstats no
transport in the ball and the half-space in closed form, and geoopt none on the sphere, where its
`transp` is a projection.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mpmath import mp, mpf

import geodask as gd
import regimes
import truths
from harness import document, parser, table, tell
from machine import facts, limits
from peers import installed
from regimes import Inputs, N
from truths import Truth, Vector, exact

DTYPES = ("float32", "float64")
VERBS = ("dist", "exp", "log", "transport")
OURS = "geodask"
COLUMNS = {
    "space": ("", ""),
    "verb": ("", ""),
    "dtype": ("", ""),
    "regime": ("", ""),
    "rounded": ("rounded", ".0e"),
    OURS: (OURS, ".0e"),
    "geoopt": ("geoopt", ".0e"),
    "geomstats": ("geomstats", ".0e"),
}

Verb = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Space:
    """One entry of the table: geodask's manifold, its truth, its regimes, and the peers' verbs."""

    manifold: Any
    truth: Truth
    regimes: Callable[[str, int], Iterator[Inputs]]
    peers: dict[str, Callable[[], dict[str, Verb]]]
    claims: dict[str, float]
    """How many times what rounding costs geodask may be off, in the verbs that are claimed."""


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
    print(f"\n{table(rows, COLUMNS)}\n", *_summary(rows), *notes, sep="\n")
    measured = {"machine": here, "limits": most, "rows": rows, "notes": notes}
    document("accuracy", __doc__, options, **measured)
    return int(not all(row["sound"] for row in rows))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    found = parser(__doc__, rows=20, repeats=1)
    found.add_argument("--only", nargs="+", metavar="TEXT", help="spaces or verbs of such a name")
    return found.parse_args(arguments)


def _verbs(space: Space) -> tuple[dict[str, dict[str, Verb]], list[str]]:
    """Verbs by library, and which are not installed."""
    own = {verb: getattr(space.manifold, verb) for verb in VERBS}
    found, notes = {OURS: own}, []
    for name, make in space.peers.items():
        if installed(name):
            found[name] = make()
        else:
            notes.append(f"{name}: left out, it is not installed")
    return found, notes


def _space(
    name: str, space: Space, verbs: dict[str, dict[str, Verb]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    rows = []
    for verb in VERBS:
        if not all(text in (name, verb) for text in options.only or []):
            continue
        tell(f"{name}: {verb}")
        for dtype in DTYPES:
            for inputs in space.regimes(dtype, options.rows):
                row: dict[str, Any] = {"space": name, "verb": verb, "dtype": dtype}
                row["regime"] = inputs.regime
                row |= _errors(space.truth, verb, inputs, verbs)
                sound = _times(row, OURS) <= space.claims.get(verb, math.inf)
                rows.append(row | {"sound": sound})
    return rows


# --- errors ---------------------------------------------------------------------------------------


def _errors(
    truth: Truth, verb: str, inputs: Inputs, verbs: dict[str, dict[str, Verb]]
) -> dict[str, float]:
    """The largest error of each library, and of the rounded truth."""
    given = inputs.of(verb)
    with mp.workdps(truth.digits):
        rows = [[exact(row) for row in each] for each in given]
        true = [getattr(truth, verb)(*row) for row in zip(*rows, strict=True)]
        answers = {"rounded": np.array(true, float).astype(inputs.p.dtype)}
        for name, methods in verbs.items():
            if verb in methods:
                answers[name] = _answer(methods[verb], given, answers["rounded"])
        error = partial(_error, truth, verb)
        return {
            name: max(error(*row) for row in zip(found, true, zip(*rows, strict=True), strict=True))
            for name, found in answers.items()
        }


def _answer(method: Verb, given: tuple[np.ndarray, ...], like: np.ndarray) -> np.ndarray:
    """What a library answers; NaN where it refuses, as geomstats does for rows off its sheet."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(method(*given))
        except ValueError:
            return np.full_like(like, np.nan)


def _error(truth: Truth, verb: str, found: Any, true: Any, given: tuple[Vector, ...]) -> float:
    if not np.isfinite(found).all():
        return math.inf
    if verb == "dist":
        return float(abs(mpf(float(found)) - true) / true)
    got = exact(found)
    if verb == "exp":
        return float(truth.gap(got, true) / (1 + truth.length(*given)))
    at = given[1] if verb == "transport" else given[0]
    return float(truth.off(at, got, true))


def _times(row: dict[str, Any], name: str) -> float:
    """An error in units of the least that an answer in this dtype is bound to have."""
    return row[name] / max(row["rounded"], float(np.finfo(row["dtype"]).eps) / 2)


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    """The worst of each verb, over all regimes."""
    lines = ["largest over the regimes, and times what rounding costs there:"]
    for space, verb, dtype in dict.fromkeys((r["space"], r["verb"], r["dtype"]) for r in rows):
        same = [r for r in rows if (r["space"], r["verb"], r["dtype"]) == (space, verb, dtype)]
        texts = []
        for name in (OURS, "geoopt", "geomstats"):
            if all(name in row for row in same):
                most = max(row[name] for row in same)
                times = max(_times(row, name) for row in same)
                texts.append(f"{name} {most:.0e} ({times:.3g} times)")
        lines.append(f"{space} {verb} {dtype}: {', '.join(texts)}")
    return lines


# --- peers ----------------------------------------------------------------------------------------


def geoopt_ball() -> dict[str, Verb]:
    """geoopt.PoincareBall."""
    import geoopt

    on = geoopt.PoincareBall()
    exp = partial(on.expmap, project=False)
    return _by_torch(dist=on.dist, exp=exp, log=on.logmap, transport=on.transp)


def geoopt_lorentz() -> dict[str, Verb]:
    """geoopt.Lorentz."""
    import geoopt

    on = geoopt.Lorentz()
    exp = partial(on.expmap, norm_tan=False, project=False)
    return _by_torch(dist=on.dist, exp=exp, log=on.logmap, transport=on.transp)


def geoopt_sphere() -> dict[str, Verb]:
    """geoopt.Sphere."""
    import geoopt

    on = geoopt.Sphere()
    return _by_torch(dist=on.dist, exp=on.expmap, log=on.logmap)


def geomstats_ball() -> dict[str, Verb]:
    """geomstats.PoincareBall."""
    from geomstats.geometry.poincare_ball import PoincareBall

    return _base_point_last(PoincareBall(N).metric)


def geomstats_half_space() -> dict[str, Verb]:
    """geomstats.PoincareHalfSpace."""
    from geomstats.geometry.poincare_half_space import PoincareHalfSpace

    return _base_point_last(PoincareHalfSpace(N).metric)


def geomstats_lorentz() -> dict[str, Verb]:
    """geomstats.Hyperboloid."""
    from geomstats.geometry.hyperboloid import Hyperboloid

    metric = Hyperboloid(N).metric
    return _base_point_last(metric) | {"transport": _transport(metric)}


def geomstats_sphere() -> dict[str, Verb]:
    """geomstats.Hypersphere."""
    from geomstats.geometry.hypersphere import Hypersphere

    metric = Hypersphere(N - 1).metric
    return _base_point_last(metric) | {"transport": _transport(metric)}


def _by_torch(**methods: Callable[..., torch.Tensor]) -> dict[str, Verb]:
    def plain(method: Callable[..., torch.Tensor], *rows: np.ndarray) -> np.ndarray:
        return method(*map(torch.from_numpy, rows)).detach().numpy()

    return {verb: partial(plain, method) for verb, method in methods.items()}


def _base_point_last(metric: Any) -> dict[str, Verb]:
    """geomstats has the base point last."""
    return {
        "dist": metric.dist,
        "exp": lambda p, u: metric.exp(u, p),
        "log": lambda p, q: metric.log(q, p),
    }


def _transport(metric: Any) -> Verb:
    return lambda p, q, u: metric.parallel_transport(u, p, end_point=q)


# --- the table ------------------------------------------------------------------------------------

SPACES = {
    "PoincareBall": Space(
        gd.PoincareBall(N),
        truths.Ball(),
        regimes.ball,
        {"geoopt": geoopt_ball, "geomstats": geomstats_ball},
        dict.fromkeys(VERBS, 16),
    ),
    "Lorentz": Space(
        gd.Lorentz(N + 1),
        truths.Sheet(),
        regimes.lorentz,
        {"geoopt": geoopt_lorentz, "geomstats": geomstats_lorentz},
        {"dist": 8, "exp": 32, "log": 32, "transport": 64},
    ),
    "HalfSpace": Space(
        gd.HalfSpace(N),
        truths.Half(),
        regimes.half_space,
        {"geomstats": geomstats_half_space},
        dict.fromkeys(VERBS, 32),
    ),
    "HyperbolicPolar": Space(
        gd.HyperbolicPolar(N + 1),
        truths.Polar(),
        regimes.polar,
        {},
        dict.fromkeys(VERBS, 32),
    ),
    "Sphere": Space(
        gd.Sphere(N),
        truths.Round(),
        regimes.sphere,
        {"geoopt": geoopt_sphere, "geomstats": geomstats_sphere},
        {},
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())
