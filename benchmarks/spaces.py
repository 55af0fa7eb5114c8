"""The spaces of the table of accuracy: each with its truth, its regimes and what peers have of it.

Another space is another entry of `SPACES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import geodask as gd
import regimes as near_and_far
import regimes_matrices as laws
import truths
import truths_columns as columns
import truths_frames as frames
import truths_matrices as matrices
import truths_parts as parts
import verbs
import verbs_matrices as by_matrices
from regimes import Law, N, Regimes, drawn
from truths import Truth
from verbs import Verbs

VERBS = ("dist", "exp", "log", "transport")
SIDE = 3
"""Of matrices."""


@dataclass(frozen=True)
class Space:
    """One entry of the table."""

    manifold: Any
    truth: Truth
    regimes: Regimes
    peers: dict[str, Callable[[], Verbs]] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    """How many times what rounding costs geodask may be off, in verbs of which more is claimed than
    of all: there rows are taken as they are, not as what roundings have left of others."""


def _of(
    manifold: Any,
    truth: Truth,
    by_dtype: Callable[[str], list[Law]],
    peers: dict[str, Callable[[], Verbs]] | None = None,
) -> Space:
    return Space(manifold, truth, drawn(truth, by_dtype), peers or {})


def _definite(name: str, truth: Any, spd: str, riemann: str) -> dict[str, Space]:
    """A metric on symmetric and on Hermitian matrices: names of geomstats and of pyRiemann."""
    wasserstein = "Wasserstein" in name
    law = laws.covariances if wasserstein else laws.definite
    having = VERBS[:3] if wasserstein else VERBS
    found = {}
    for kind, count in (("SPD", 1), ("HPD", 2)):
        peers: dict[str, Callable[[], Verbs]] = {}
        if kind == "SPD" and name in GEOOPT:
            peers["geoopt"] = GEOOPT[name]
        if name == "LogCholesky" and kind == "SPD":
            peers["geomstats"] = partial(by_matrices.geomstats_log_cholesky, SIDE)
        elif spd:
            of = by_matrices.geomstats_spd if kind == "SPD" else by_matrices.geomstats_hpd
            peers["geomstats"] = partial(of, kind + spd, SIDE)
        made = by_matrices.pyriemann if kind == "SPD" else by_matrices.pyriemann_complex
        peers["pyRiemann"] = partial(made, riemann, having)
        by_dtype = partial(law, n=SIDE, parts=count)
        manifold = getattr(gd, kind + name)(SIDE)
        found[kind + name] = _of(manifold, truth(SIDE, count), by_dtype, peers)
    return found


GEOOPT = {
    "AffineInvariant": by_matrices.geoopt_affine,
    "LogEuclidean": by_matrices.geoopt_log_euclidean,
}
BURES = matrices.BuresWasserstein(SIDE)
TURNS = columns.Turns(SIDE)
MOTIONS = parts.Together((
    parts.Part(TURNS, (0, 1, 2, 4, 5, 6, 8, 9, 10)),
    parts.Part(parts.Flat(), (3, 7, 11), 0.5),
))  # fmt: skip
COLUMNS = parts.Together(
    tuple(parts.Part(truths.Round(), (i, i + 2, i + 4, i + 6)) for i in (0, 1))
)
PAIRS = parts.Together(tuple(parts.Part(parts.Normal(), (i, i + 2)) for i in (0, 1)))
MIXED = parts.beside((truths.Ball(), 2), (truths.Round(), 3), (parts.Flat(), 2))

HYPERBOLIC = {
    "PoincareBall": Space(
        gd.PoincareBall(N),
        truths.Ball(),
        near_and_far.ball,
        {"geoopt": verbs.geoopt_ball, "geomstats": verbs.geomstats_ball},
        dict.fromkeys(VERBS, 16),
    ),
    "Lorentz": Space(
        gd.Lorentz(N + 1),
        truths.Sheet(),
        near_and_far.lorentz,
        {"geoopt": verbs.geoopt_lorentz, "geomstats": verbs.geomstats_lorentz},
        {"dist": 8, "exp": 32, "log": 32, "transport": 64},
    ),
    "HalfSpace": Space(
        gd.HalfSpace(N),
        truths.Half(),
        near_and_far.half_space,
        {"geomstats": verbs.geomstats_half_space},
        dict.fromkeys(VERBS, 32),
    ),
    "HyperbolicPolar": Space(
        gd.HyperbolicPolar(N + 1),
        truths.Polar(),
        near_and_far.polar,
        claims=dict.fromkeys(VERBS, 32),
    ),
}
ROUND = {
    "Sphere": Space(
        gd.Sphere(N),
        truths.Round(),
        near_and_far.sphere,
        {"geoopt": verbs.geoopt_sphere, "geomstats": verbs.geomstats_sphere},
    ),
    "Oblique": _of(
        gd.Oblique(4, 2),
        COLUMNS,
        partial(laws.round_about, bases=laws.unit_columns(4, 2)),
        {"geoopt": verbs.geoopt_oblique, "geomstats": partial(verbs.geomstats_oblique, 4)},
    ),
    "Simplex": _of(
        gd.Simplex(N),
        parts.Chances(),
        partial(laws.likelihoods, n=N),
        {"geomstats": partial(verbs.geomstats_simplex, N)},
    ),
}
FLAT = {
    "Euclidean": _of(
        gd.Euclidean(N),
        parts.Flat(),
        partial(laws.flat, bases=laws.gauss(N)),
        {"geoopt": verbs.geoopt_flat, "geomstats": verbs.geomstats_flat},
    ),
    "Torus": _of(gd.Torus(3), parts.Angles(), partial(laws.round_about, bases=laws.angles(3))),
    "Circle": _of(gd.Circle(), parts.Angles(), partial(laws.round_about, bases=laws.angles(1))),
}
DEFINITE = (
    _definite("AffineInvariant", matrices.AffineInvariant, "AffineMetric", "riemann")
    | _definite("LogEuclidean", matrices.LogEuclidean, "LogEuclideanMetric", "logeuclid")
    | _definite("LogCholesky", matrices.LogCholesky, "", "logchol")
    | _definite(
        "BuresWasserstein", matrices.BuresWasserstein, "BuresWassersteinMetric", "wasserstein"
    )
)
ORTHONORMAL = {
    "Grassmann": _of(
        gd.Grassmann(5, 2),
        columns.Spans(5),
        partial(laws.round_about, bases=laws.columns(5, 2)),
        {"geomstats": partial(by_matrices.geomstats_subspaces, 5, 2)},
    ),
    "StiefelCanonical": _of(
        gd.StiefelCanonical(4, 2),
        frames.Frames(4, 2, 0.5),
        partial(laws.within, bases=laws.columns(4, 2), radius=math.sqrt(4 / 5) * math.pi),
        {"geomstats": partial(by_matrices.geomstats_frames, 4, 2)},
    ),
    "StiefelEuclidean": _of(
        gd.StiefelEuclidean(4, 2),
        frames.Frames(4, 2, 1.0),
        partial(laws.within, bases=laws.columns(4, 2), radius=math.pi),
        {"geoopt": by_matrices.geoopt_frames},
    ),
    **{
        f"Rotations({n})": _of(
            gd.Rotations(n),
            columns.Turns(n),
            partial(laws.round_about, bases=laws.columns(n, n, proper=True)),
            {"geomstats": partial(by_matrices.geomstats_rotations, n)},
        )
        for n in (3, 4)
    },
    "RigidMotions": _of(
        gd.RigidMotions(SIDE, weight=0.5),
        MOTIONS,
        partial(laws.round_about, bases=laws.motions(SIDE)),
        {"geomstats": partial(by_matrices.geomstats_motions, SIDE)},
    ),
}
DISTRIBUTIONS = {
    "Gaussians": _of(
        gd.Gaussians(2),
        PAIRS,
        partial(laws.normals, n=2),
        {"geomstats": verbs.geomstats_normal},
    ),
    "GaussiansBuresWasserstein": _of(
        gd.GaussiansBuresWasserstein(SIDE),
        parts.beside((parts.Flat(), SIDE), (BURES, SIDE**2)),
        partial(laws.covariances, n=SIDE, mean=True),
    ),
}
PRODUCTS = {
    "Product": _of(
        gd.Product((gd.PoincareBall(2), gd.Sphere(3), gd.Euclidean(2))),
        MIXED,
        partial(laws.within, bases=laws.mixed, radius=math.pi),
        {"geoopt": verbs.geoopt_mixed, "geomstats": verbs.geomstats_mixed},
    ),
}
SPACES = HYPERBOLIC | ROUND | FLAT | DEFINITE | ORTHONORMAL | DISTRIBUTIONS | PRODUCTS
