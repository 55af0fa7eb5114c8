"""How many digits are right, of each verb in each space, against mpmath and beside the peers.

Claim: in the ball dist, exp, log and transport are right to 16 times what rounding the true result
costs, at every distance that the dtype can hold. On the sphere nothing is claimed: rows that are
not quite of length 1 cost more where points nearly meet or are nearly opposite.

    python benchmarks/accuracy.py                   # a minute or two; prints every regime
    python benchmarks/accuracy.py --only Sphere dist

Truth is computed to sixty digits from the rows as they are stored. The error of dist is relative;
that of exp is the distance from the true point, divided by 1 + the length of the tangent; those of
log and transport are the length of the difference over the length of the truth. "rounded" is the
error of the truth itself, rounded to the dtype; only who answers in a wider one does better. Each
number is the largest of a few rows. Peers are called without projections where they let one choose.
An empty place is a verb that a peer does not have: geomstats no transport in the ball in closed
form, and geoopt none on the sphere, where its `transp` is a projection.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from mpmath import mp, mpf

import geodask as gd
import trees
from harness import document, parser, table, tell
from machine import facts, limits
from peers import installed

DIGITS = 60
DTYPES = ("float32", "float64")
VERBS = ("dist", "exp", "log", "transport")
RADII = {"float32": (0, 1, 4, 8, 14), "float64": (0, 1, 4, 8, 14, 22, 30)}
STEPS = (1e-6, 1e-3, 1, 10)
ANGLES = (1e-8, 1e-5, 1e-3, 1, 2, 3, math.pi - 1e-3, math.pi - 1e-5, math.pi - 1e-8)
CLEAR = 10
"""A step that is shorter than so many roundings of a point is no step of stored rows."""
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

Vector = list[Any]
Verb = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """Rows of one regime: points p and q, u at p as long as they are apart, w at p of length 1."""

    regime: str
    p: np.ndarray
    q: np.ndarray
    u: np.ndarray
    w: np.ndarray

    def of(self, verb: str) -> tuple[np.ndarray, ...]:
        """What a verb takes."""
        p, q = self.p, self.q
        return {"exp": (p, self.u), "transport": (p, q, self.w)}.get(verb, (p, q))


class Truth(Protocol):
    """A space in mpmath: lists of mpf in and out."""

    def length(self, p: Vector, u: Vector) -> Any: ...
    def dist(self, p: Vector, q: Vector) -> Any: ...
    def exp(self, p: Vector, u: Vector) -> Vector: ...
    def log(self, p: Vector, q: Vector) -> Vector: ...
    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector: ...


@dataclass(frozen=True)
class Space:
    """One entry of the table: geodask's manifold, its truth, its regimes, and the peers' verbs."""

    manifold: Any
    truth: Truth
    regimes: Callable[[str, int], Iterator[Inputs]]
    peers: dict[str, Callable[[], dict[str, Verb]]]
    claim: float = math.inf
    """How many times what rounding costs geodask may be off."""


def main(arguments: list[str] | None = None) -> int:
    """Returns 1 where geodask was further off than is claimed, or gave no finite number."""
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
                sound = math.isfinite(row[OURS]) and _times(row, OURS) <= space.claim
                rows.append(row | {"sound": sound})
    return rows


# --- errors ---------------------------------------------------------------------------------------


def _errors(
    truth: Truth, verb: str, inputs: Inputs, verbs: dict[str, dict[str, Verb]]
) -> dict[str, float]:
    """The largest error of each library, and of the rounded truth."""
    given = inputs.of(verb)
    with mp.workdps(DIGITS):
        exact = [[_exact(row) for row in each] for each in given]
        true = [getattr(truth, verb)(*row) for row in zip(*exact, strict=True)]
        answers = {"rounded": np.array(true, float).astype(inputs.p.dtype)}
        for name, methods in verbs.items():
            if verb in methods:
                with np.errstate(all="ignore"):
                    answers[name] = np.asarray(methods[verb](*given))
        error = partial(_error, truth, verb)
        return {
            name: max(
                error(*row) for row in zip(found, true, zip(*exact, strict=True), strict=True)
            )
            for name, found in answers.items()
        }


def _error(truth: Truth, verb: str, found: Any, true: Any, given: tuple[Vector, ...]) -> float:
    if not np.isfinite(found).all():
        return math.inf
    if verb == "dist":
        return float(abs(mpf(float(found)) - true) / true)
    got = _exact(found)
    if verb == "exp":
        return float(truth.dist(got, true) / (1 + truth.length(*given)))
    return float(_length(_sum(1, got, -1, true)) / _length(true))


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


# --- vectors of mpmath ----------------------------------------------------------------------------


def _exact(row: Any) -> Vector:
    return [mpf(float(a)) for a in row]


def _sum(*terms: Any) -> Vector:
    """a x + b y + ... from a, x, b, y, ..."""
    scales, vectors = terms[::2], terms[1::2]
    return [mp.fdot(scales, coordinates) for coordinates in zip(*vectors, strict=True)]


def _length(v: Vector) -> Any:
    return mp.sqrt(mp.fdot(v, v))


# --- the ball -------------------------------------------------------------------------------------


class Ball:
    """The Poincaré ball of curvature -1, by Möbius sums (Ungar, 2005)."""

    def left(self, p: Vector) -> Any:
        return 1 - mp.fdot(p, p)

    def length(self, p: Vector, u: Vector) -> Any:
        return 2 * _length(u) / self.left(p)

    def dist(self, p: Vector, q: Vector) -> Any:
        left = self.left(p) * self.left(q)
        return 2 * mp.asinh(_length(_sum(1, q, -1, p)) / mp.sqrt(left)) if left > 0 else mp.inf

    def add(self, p: Vector, q: Vector) -> Vector:
        pq, qq = mp.fdot(p, q), mp.fdot(q, q)
        over = 1 + 2 * pq + mp.fdot(p, p) * qq
        return _sum((1 + 2 * pq + qq) / over, p, self.left(p) / over, q)

    def exp(self, p: Vector, u: Vector) -> Vector:
        return self.add(p, _sum(mp.tanh(self.length(p, u) / 2) / _length(u), u))

    def log(self, p: Vector, q: Vector) -> Vector:
        step = self.add(_sum(-1, p), q)
        length = _length(step)
        return _sum(self.left(p) * mp.atanh(length) / length, step)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        back, short = _sum(-1, p), _sum(1 / (2 * _length(u)), u)
        turned = self.add(q, self.add(back, short))
        turned = self.add(_sum(-1, self.add(q, back)), turned)
        return _sum(self.left(q) / self.left(p) * 2 * _length(u), turned)


def ball_regimes(dtype: str, rows: int, n: int = 5) -> Iterator[Inputs]:
    """Base points at several radii, and points at several distances from them."""
    unit, reach = float(np.finfo(dtype).eps), 2 * math.acosh(1 / math.sqrt(trees.RIM[dtype]))
    for number, radius in enumerate(RADII[dtype]):
        rounding = unit * math.tanh(radius / 2) * math.cosh(radius / 2) ** 2
        for step in STEPS:
            if step < CLEAR * rounding or radius + step > reach:
                continue
            rng = np.random.default_rng(number)
            p, v, w = (trees.unit(rng.standard_normal((rows, n))) for _ in range(3))
            nodes = trees.Nodes(p, np.full(rows, float(radius)))
            q = nodes.moved(v, np.full(rows, float(step))).ball(dtype)
            p = nodes.ball(dtype)
            scale = trees.inside(p)[:, None] / 2
            u, w = ((scale * each).astype(dtype) for each in (step * v, w))
            yield Inputs(f"radius {radius}, step {step:g}", p, q, u, w)


def geoopt_ball() -> dict[str, Verb]:
    """geoopt.PoincareBall."""
    import geoopt

    ball = geoopt.PoincareBall()
    exp = partial(ball.expmap, project=False)
    return _by_torch(dist=ball.dist, exp=exp, log=ball.logmap, transport=ball.transp)


def geomstats_ball(n: int = 5) -> dict[str, Verb]:
    """geomstats.PoincareBall."""
    from geomstats.geometry.poincare_ball import PoincareBall

    return _base_point_last(PoincareBall(n).metric)


# --- the sphere -----------------------------------------------------------------------------------


class Round:
    """The unit sphere; a stored row stands for its direction, a tangent for its part across."""

    def point(self, p: Vector) -> Vector:
        return _sum(1 / _length(p), p)

    def across(self, p: Vector, u: Vector) -> Vector:
        p = self.point(p)
        return _sum(1, u, -mp.fdot(p, u), p)

    def length(self, p: Vector, u: Vector) -> Any:
        return _length(self.across(p, u))

    def dist(self, p: Vector, q: Vector) -> Any:
        p, q = self.point(p), self.point(q)
        return 2 * mp.atan2(_length(_sum(1, p, -1, q)), _length(_sum(1, p, 1, q)))

    def exp(self, p: Vector, u: Vector) -> Vector:
        u = self.across(p, u)
        length = _length(u)
        return _sum(mp.cos(length), self.point(p), mp.sin(length) / length, u)

    def log(self, p: Vector, q: Vector) -> Vector:
        across = self.across(p, self.point(q))
        return _sum(self.dist(p, q) / _length(across), across)

    def transport(self, p: Vector, q: Vector, u: Vector) -> Vector:
        p, q, u = self.point(p), self.point(q), self.across(p, u)
        return _sum(1, u, -mp.fdot(q, u) / (1 + mp.fdot(p, q)), _sum(1, p, 1, q))


def sphere_regimes(dtype: str, rows: int, n: int = 5) -> Iterator[Inputs]:
    """Angles from near-duplicates to near-antipodes."""
    unit = float(np.finfo(dtype).eps)
    for number, angle in enumerate(ANGLES):
        if min(angle, math.pi - angle) < CLEAR * unit:
            continue
        rng = np.random.default_rng(number)
        p, u, w = (trees.unit(rng.standard_normal((rows, n))) for _ in range(3))
        u, w = (trees.unit(each - np.vecdot(each, p)[:, None] * p) for each in (u, w))
        q = trees.unit(math.cos(angle) * p + math.sin(angle) * u)
        name = f"angle {angle:g}" if angle < 3.1 else f"angle pi - {math.pi - angle:.0e}"
        yield Inputs(name, *(each.astype(dtype) for each in (p, q, angle * u, w)))


def geoopt_sphere() -> dict[str, Verb]:
    """geoopt.Sphere."""
    import geoopt

    on = geoopt.Sphere()
    return _by_torch(dist=on.dist, exp=on.expmap, log=on.logmap)


def geomstats_sphere(n: int = 5) -> dict[str, Verb]:
    """geomstats.Hypersphere."""
    from geomstats.geometry.hypersphere import Hypersphere

    metric = Hypersphere(n - 1).metric

    def transport(p: np.ndarray, q: np.ndarray, u: np.ndarray) -> np.ndarray:
        return metric.parallel_transport(u, p, end_point=q)

    return _base_point_last(metric) | {"transport": transport}


# --- the table ------------------------------------------------------------------------------------


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


SPACES = {
    "PoincareBall": Space(
        gd.PoincareBall(5),
        Ball(),
        ball_regimes,
        {"geoopt": geoopt_ball, "geomstats": geomstats_ball},
        claim=16,
    ),
    "Sphere": Space(
        gd.Sphere(5),
        Round(),
        sphere_regimes,
        {"geoopt": geoopt_sphere, "geomstats": geomstats_sphere},
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())
