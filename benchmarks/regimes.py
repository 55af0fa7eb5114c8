"""Rows at which verbs are measured: near and far from the origin, close together and far apart.

In hyperbolic space base points lie at several radii, and other points at several distances from
them in random directions. They are found in float64 as a direction and a distance from the origin,
turned into rows of a model, and rounded once. Elsewhere base points are of a law, others are where
the true exponential of a tangent vector ends, or of a law too.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from mpmath import mp

import trees
from truths import Polar, Truth, exact, total

Regimes = Callable[[str, int], Iterator["Inputs"]]

N = 5
"""Dimension of the hyperbolic spaces, and of the space around the sphere."""
RADII = {"float32": (0, 1, 4, 8, 14), "float64": (0, 1, 4, 8, 14, 22, 30)}
FAR = {"float32": (), "float64": (50, 100, 300)}
"""Radii that only polar coordinates reach."""
STEPS = (1e-8, 1e-6, 1e-3, 1, 10)
ANGLES = (1e-8, 1e-5, 1e-3, 1, 2, 3, 0.999 * math.pi, math.pi - 1e-5, math.pi - 1e-8)
FAR_ANGLES = (1e-12, 1e-6, 1e-3, 1, 3)
CLEAR = 10
"""A step that is shorter than so many roundings of a point is no step of stored rows."""

CLOSE = "1e-8 apart, or as close as rows can tell"
TYPICAL = "typical"
CUT = "0.999 of the way to the cut locus, or of the injectivity radius"
BEYOND = "closer to the cut locus"
RIM = "rim"
CONDITION = "condition 1e8, or what rows can hold"
KINDS = (CLOSE, TYPICAL, CUT, BEYOND, RIM, CONDITION)


@dataclass(frozen=True)
class Inputs:
    """Rows of one regime: points p and q, u at p as long as they are apart, or half as long, w at p
    of length 1."""

    kind: str
    regime: str
    p: np.ndarray
    q: np.ndarray
    u: np.ndarray
    w: np.ndarray

    def of(self, verb: str) -> tuple[np.ndarray, ...]:
        """What a verb takes."""
        p, q = self.p, self.q
        return {"exp": (p, self.u), "transport": (p, q, self.w)}.get(verb, (p, q))


@dataclass(frozen=True)
class Law:
    """How rows of a regime are drawn."""

    kind: str
    name: str
    bases: Callable[[np.random.Generator, int], np.ndarray]
    """Base points, float64."""
    step: float = 1
    """How far others are from them."""
    share: float | None = None
    """What of the way to the cut locus, instead."""
    others: Callable[[np.random.Generator, np.ndarray], np.ndarray] | None = None
    """Those of some base points, instead."""


def drawn(truth: Truth, laws: Callable[[str], list[Law]]) -> Regimes:
    """Regimes of a space by laws, which may depend on the dtype."""

    def along(at: list, rng: np.random.Generator) -> list:
        v = truth.drawn(at, exact(rng.standard_normal(len(at))))
        return total(1 / truth.length(at, v), v)

    def pair(law: Law, at: list, rng: np.random.Generator) -> tuple[list, list]:
        """Another point, and the tangent vector that leads there."""
        v = along(at, rng)
        u = total(law.share * truth.reach(at, v) if law.share else law.step, v)
        return truth.exp(at, u), u

    def halfway(at: list, q: list) -> tuple[list, list]:
        """Where the whole way led exp would meet a row, with nothing to round."""
        return q, total(0.5, truth.log(at, q))

    def found(dtype: str, rows: int) -> Iterator[Inputs]:
        for number, law in enumerate(laws(dtype)):
            rng = np.random.default_rng(number)
            p = law.bases(rng, rows).astype(dtype)
            with mp.workdps(truth.digits):
                bases = [exact(row) for row in p]
                if law.others is None:
                    pairs = [pair(law, at, rng) for at in bases]
                else:
                    others = law.others(rng, p).astype(dtype)
                    pairs = [halfway(at, exact(q)) for at, q in zip(bases, others, strict=True)]
                w = [along(at, rng) for at in bases]
                q, u = zip(*pairs, strict=True)
            rounded = (np.array(x, float).reshape(p.shape).astype(dtype) for x in (q, u, w))
            yield Inputs(law.kind, law.name, p, *rounded)

    return found


def ball(dtype: str, rows: int) -> Iterator[Inputs]:
    """The Poincaré ball."""
    return _hyperbolic(dtype, rows, trees.Nodes.ball, _ball_tangents)


def half_space(dtype: str, rows: int) -> Iterator[Inputs]:
    """The upper half-space, height last."""
    return _hyperbolic(dtype, rows, _half_points, lambda p, y: (p[:, -1:] * y).astype(p.dtype))


def lorentz(dtype: str, rows: int) -> Iterator[Inputs]:
    """The hyperboloid, time first."""
    return _hyperbolic(dtype, rows, _sheet_points, _sheet_tangents)


def polar(dtype: str, rows: int) -> Iterator[Inputs]:
    """Polar coordinates, distance last. At the origin they know one line only: 1e-3 stands for 0.

    Far out, a direction cannot be stored as finely as would be needed for a short step across:
    there are steps along a ray, and rows whose directions are some angle apart.
    """
    yield from _hyperbolic(dtype, rows, _polar_points, _polar_tangents, least=1e-3)
    for radius in FAR[dtype]:
        rng = np.random.default_rng(radius)
        n, v, w = (trees.unit(rng.standard_normal((rows, N))) for _ in range(3))
        p = np.column_stack([n, np.full(rows, float(radius))])
        w = _polar_tangents(p, w)
        for step in STEPS:
            q = np.column_stack([n, np.full(rows, radius - step)])
            yield Inputs(
                RIM, f"radius {radius}, ray {step:g}", p, q, _polar_tangents(p, step * v), w
            )
        across = trees.unit(v - np.vecdot(n, v)[:, None] * n)
        for angle in FAR_ANGLES:
            q = p.copy()
            q[:, :-1] = trees.unit(math.cos(angle) * n + math.sin(angle) * across)
            with mp.workdps(Polar.digits):
                u = [Polar().log(exact(a), exact(b)) for a, b in zip(p, q, strict=True)]
            yield Inputs(RIM, f"radius {radius}, angle {angle:g}", p, q, np.array(u, float), w)


def sphere(dtype: str, rows: int) -> Iterator[Inputs]:
    """Angles from near-duplicates to near-antipodes."""
    unit = float(np.finfo(dtype).eps)
    for number, angle in enumerate(ANGLES):
        if min(angle, math.pi - angle) < CLEAR * unit:
            continue
        rng = np.random.default_rng(number)
        p, u, w = (trees.unit(rng.standard_normal((rows, N))) for _ in range(3))
        u, w = (trees.unit(each - np.vecdot(each, p)[:, None] * p) for each in (u, w))
        q = trees.unit(math.cos(angle) * p + math.sin(angle) * u)
        name = f"angle {angle:g}" if angle < 3.1 else f"angle pi - {math.pi - angle:.0e}"
        rows_of = (each.astype(dtype) for each in (p, q, angle * u, w))
        yield Inputs(_kind_of_angle(angle), name, *rows_of)


def _kind_of_angle(angle: float) -> str:
    left = math.pi - angle
    if angle < 1e-4:
        return CLOSE
    return TYPICAL if left > 0.1 else CUT if left > 1e-3 else BEYOND


# --- models of hyperbolic space -------------------------------------------------------------------


def _hyperbolic(
    dtype: str,
    rows: int,
    points: Callable[[trees.Nodes, str], np.ndarray],
    tangents: Callable[[np.ndarray, np.ndarray], np.ndarray],
    least: float = 0,
) -> Iterator[Inputs]:
    """Tangents at stored points come from their components in an orthonormal frame."""
    unit, reach = float(np.finfo(dtype).eps), 2 * math.acosh(1 / math.sqrt(trees.RIM[dtype]))
    for number, radius in enumerate(RADII[dtype]):
        rounding = unit * math.tanh(radius / 2) * math.cosh(radius / 2) ** 2
        for step in STEPS:
            if step < CLEAR * rounding or radius + step > reach:
                continue
            rng = np.random.default_rng(number)
            n, v, w = (trees.unit(rng.standard_normal((rows, N))) for _ in range(3))
            base = max(radius, least)
            nodes = trees.Nodes(n, np.full(rows, float(base)))
            q = points(nodes.moved(v, np.full(rows, float(step))), dtype)
            p = points(nodes, dtype)
            u, w = tangents(p, step * v), tangents(p, w)
            kind = RIM if radius > 4 else CLOSE if step < 1e-4 else TYPICAL
            yield Inputs(kind, f"radius {base:g}, step {step:g}", p, q, u, w)


def _ball_tangents(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (trees.inside(p)[:, None] / 2 * y).astype(p.dtype)


def _half_points(nodes: trees.Nodes, dtype: str) -> np.ndarray:
    """The height is 1 / (cosh r - c sinh r), where c is the upward part of the direction."""
    n, r = nodes.directions, nodes.radii
    height = 1 / (np.exp(-r) + (1 - n[:, -1]) * np.sinh(r))
    return np.column_stack([(height * np.sinh(r))[:, None] * n[:, :-1], height]).astype(dtype)


def _sheet_points(nodes: trees.Nodes, dtype: str) -> np.ndarray:
    """The time is that of the rounded space coordinates."""
    space = (np.sinh(nodes.radii)[:, None] * nodes.directions).astype(dtype).astype(float)
    return np.column_stack([np.hypot(1, np.linalg.norm(space, axis=1)), space]).astype(dtype)


def _sheet_tangents(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Carried from the origin to p, y becomes y + <s, y> / (1 + p_0) s, with s for the space."""
    space = p[:, 1:].astype(float)
    time = np.hypot(1, np.linalg.norm(space, axis=1))
    y = y + (np.vecdot(space, y) / (1 + time))[:, None] * space
    y = y.astype(p.dtype).astype(float)
    return np.column_stack([np.vecdot(space, y) / time, y]).astype(p.dtype)


def _polar_points(nodes: trees.Nodes, dtype: str) -> np.ndarray:
    return np.column_stack([nodes.directions, nodes.radii]).astype(dtype)


def _polar_tangents(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    n, r = trees.unit(p[:, :-1].astype(float)), p[:, -1].astype(float)
    along = np.vecdot(n, y)
    across = (y - along[:, None] * n) / np.sinh(r)[:, None]
    return np.column_stack([across, along]).astype(p.dtype)
