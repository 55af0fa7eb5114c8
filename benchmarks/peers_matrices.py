"""What geodask is compared with where points are matrices: verbs of other libraries, and searches.

A new comparison is an entry of `CASES`. pyRiemann finds neighbours in three ways. Its
KNearestNeighbor takes the logarithms of all rows anew for each: it does so for a few rows, and its
time is multiplied by the pairs. Its pairwise_distance takes them once, and fills the memory with
the distances of all pairs. Who takes the logarithms once, and asks for Euclidean distances in
slabs, needs less of it.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import geodask as gd
from geodask.arrays.threads import keep_to_one_thread, one_thread_each
from harness import Answer
from machine import cores

FEW = 100
"""Rows of a verb that takes milliseconds for each."""
SLICE = 1 << 18
"""Coordinates in a slice of a peer's rows, among the fastest of 2^16 to 2^20."""
SLAB = 500
"""Queries in a slab of distances."""

Verb = Callable[[Any, Any], Any]
Form = Callable[[np.ndarray, np.ndarray], np.ndarray]
Forms = Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]


@dataclass(frozen=True)
class Peer:
    """Another library's verb of points, and others or tangent vectors, in the order of geodask."""

    name: str
    module: str
    verb: Callable[[Any], Verb]
    """Of a space, imported when it is asked for."""
    given: Forms = lambda p, other: (p, other)
    """The peer's form of both."""


@dataclass(frozen=True)
class Case:
    """A verb of a space, and who else has it."""

    space: Any
    verb: str
    claim: float
    """How many times as fast as the best of the peers."""
    peers: tuple[Peer, ...]
    form: Form = lambda p, answer: answer
    """Of an answer at p: that of the peers, in which answers are compared."""
    few: int | None = None
    """Rows that the peers get; None for all."""

    @property
    def name(self) -> str:
        return f"{self.space} {self.verb}"

    def rows(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Points, and others, or tangent vectors that lead half-way to these."""
        p, q = self.space.random(count, 0), self.space.random(count, 1)
        return p, self.space.log(p, q) / 2 if self.verb == "exp" else q


def sliced(verb: Verb, p: Any, other: Any) -> Answer:
    """Slices of one answer, each by one thread; ``other`` is as long, or a single row."""
    step = max(1, SLICE // math.prod(p.shape[1:]))

    def part(start: int) -> Any:
        return verb(
            p[start : start + step], other if len(other) == 1 else other[start : start + step]
        )

    with one_thread_each(), ThreadPoolExecutor(cores(), initializer=keep_to_one_thread) as pool:
        found = list(pool.map(part, range(0, len(p), step)))
    return Answer((torch.cat if isinstance(found[0], torch.Tensor) else np.concatenate)(found))


def geomstats(
    metric: Callable[[Any], Any], verb: str, given: Forms = lambda p, other: (p, other)
) -> Peer:
    """geomstats takes the base point last."""

    def made(space: Any) -> Verb:
        found = getattr(metric(space), verb)
        return lambda p, other: found(other, p)

    return Peer("geomstats", "geomstats", made, given)


def by_torch(name: str, module: str, verb: Callable[[Any], Verb]) -> Peer:
    """A peer that takes arrays of torch."""

    def given(p: np.ndarray, other: np.ndarray) -> tuple[Any, Any]:
        return torch.from_numpy(p), torch.from_numpy(other)

    return Peer(name, module, lambda space: torch.no_grad()(verb(space)), given)


def _spd_of_geomstats(space: Any) -> Any:
    from geomstats.geometry.spd_matrices import SPDAffineMetric, SPDMatrices

    return SPDAffineMetric(SPDMatrices(space.n, equip=False))


def _spd_of_geoopt(space: Any) -> Verb:
    import geoopt

    return geoopt.SymmetricPositiveDefinite().dist


def _spd_of_pyriemann(space: Any) -> Verb:
    from pyriemann.geometry.distance import distance_riemann

    return distance_riemann


def _subspaces_of_geomstats(space: Any) -> Any:
    from geomstats.geometry.grassmannian import Grassmannian

    return Grassmannian(space.n, space.k).metric


def _frames_of_geomstats(space: Any) -> Any:
    from geomstats.geometry.stiefel import Stiefel

    return Stiefel(space.n, space.k).metric


def _rotations_of_geomstats(space: Any) -> Any:
    from geomstats.geometry.special_orthogonal import SpecialOrthogonal

    return SpecialOrthogonal(space.n).metric


def _projection(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    """To the subspaces that columns x span."""
    return x @ np.swapaxes(x, 1, 2)


def _its_change(p: np.ndarray, u: np.ndarray) -> np.ndarray:
    """That of the projection to the span of p along tangent vectors."""
    half = u @ np.swapaxes(p, 1, 2)
    return half + np.swapaxes(half, 1, 2)


def _subspaces(verb: str, given: Form, form: Form) -> Case:
    """geomstats has projections for points, and their changes for tangent vectors."""

    def both(p: np.ndarray, other: np.ndarray) -> tuple[Any, Any]:
        return _projection(p, p), given(p, other)

    peers = (geomstats(_subspaces_of_geomstats, verb, both),)
    return Case(gd.Grassmann(16, 4), verb, 3, peers, form, FEW if verb == "log" else None)


SPD = gd.SPDAffineInvariant(16)
CASES = (
    Case(SPD, "dist", 3, (
        geomstats(_spd_of_geomstats, "dist"),
        by_torch("geoopt", "geoopt", _spd_of_geoopt),
        Peer("pyRiemann", "pyriemann", _spd_of_pyriemann),
        by_torch("pyRiemann, torch", "pyriemann", _spd_of_pyriemann),
    )),
    Case(SPD, "exp", 3, (geomstats(_spd_of_geomstats, "exp"),)),
    Case(SPD, "log", 2, (geomstats(_spd_of_geomstats, "log"),)),
    _subspaces("exp", _its_change, _projection),
    _subspaces("log", _projection, _its_change),
    Case(gd.StiefelCanonical(8, 3), "exp", 3, (geomstats(_frames_of_geomstats, "exp"),)),
    Case(gd.StiefelCanonical(8, 3), "log", 3, (geomstats(_frames_of_geomstats, "log"),), few=FEW),
    Case(gd.Rotations(3), "exp", 3, (geomstats(_rotations_of_geomstats, "exp"),)),
    Case(gd.Rotations(3), "log", 3, (geomstats(_rotations_of_geomstats, "log"),), few=FEW),
)  # fmt: skip


# --- neighbours, log-Euclidean ------------------------------------------------------------------


def _by_rows(points: np.ndarray, k: int) -> Answer:
    """As KNearestNeighbor does."""
    from pyriemann.geometry.distance import distance

    found = [distance(points, each, "logeuclid") for each in points]
    return Answer(_nearest(np.stack(found, axis=1), k))


def _pairwise(points: np.ndarray, k: int) -> Answer:
    from pyriemann.geometry.distance import pairwise_distance

    # Of one argument it takes numpy's product of a matrix with itself, which in OpenBLAS of numpy
    # 2.2 ends the process at 20,000 rows.
    return Answer(_nearest(pairwise_distance(points, points, metric="logeuclid"), k))


def _slabs(points: np.ndarray, k: int) -> Answer:
    from pyriemann.geometry.base import logm
    from pyriemann.geometry.distance import pairwise_distance

    logs, found = logm(points), []
    for start in range(0, len(points), SLAB):
        apart = pairwise_distance(logs[start : start + SLAB], logs, "euclid", squared=True)
        found.append(_nearest(apart, k, start))
    return Answer(np.concatenate(found))


def _nearest(distances: np.ndarray, k: int, first: int = 0) -> np.ndarray:
    """The k nearest of each row but itself, unordered."""
    rows = np.arange(len(distances))
    distances[rows, first + rows] = np.inf
    return np.argpartition(distances, k, axis=1)[:, :k]


BY_ROWS = "pyRiemann KNearestNeighbor"
SEARCHES = {
    BY_ROWS: _by_rows,
    "pyRiemann pairwise_distance": _pairwise,
    "pyRiemann, logs once, slabs": _slabs,
}
