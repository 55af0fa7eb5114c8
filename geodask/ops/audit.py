"""An independent check of sampled rows of a kNN, in decimal arithmetic of fifty digits.

Nothing of the kernels is used. Float64 measures of the canonical points choose, with a margin far
above their rounding, which rows might be among the nearest; those are measured in decimals from
their stored values.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays.decimals import decimals
from ..engine.points import Points
from ..errors import SpecError
from ..kernels.lists import LEFT_OUT, Hidden, Lists, Named
from ..manifolds.base import Manifold

DIGITS = 50
STEP = 8192
"""Targets compared at once."""


@dataclass(frozen=True)
class Audit:
    """What the check found."""

    rows: int
    """Rows that were recomputed."""
    wrong: int
    """Rows whose neighbours or their order are wrong beyond the stated error of a rank."""
    undecided: int
    """Rows that depend on ranks closer than that error, where either answer is right."""
    distance_error: float
    """Largest error of a distance, in the unit of the metric."""


def audit(result: Any, rows: int, seed: int) -> Audit:
    """Recomputes sampled rows of a `KnnResult` from the stored values of its points.

    Raises StoreError where the stored result is damaged, and SpecError where a space proves no
    geodesic to be the shortest.
    """
    operation, inputs = result.plan.operation, result.plan.inputs
    x, y = operation.sides(inputs)
    if not x.manifold.is_minimal:
        raise SpecError(
            "An audit needs distances in decimals, of shortest geodesics",
            came=f"{x.manifold} finds geodesics that may not be",
            do="Compare the neighbours with those by `pairwise`.",
        )
    sample = np.sort(np.random.default_rng(seed).choice(len(x), min(rows, len(x)), replace=False))
    indices, distances = (np.asarray(part[sample]) for part in (result.indices, result.distances))
    queries = x[sample]
    forbidden = _Forbidden(operation, inputs, sample)
    wrong = undecided = 0
    worst = 0.0
    candidates, sound = _candidates(queries, y, forbidden, indices)
    for i, found in enumerate(candidates):
        measured = dict(zip(found, _measured(queries.read(i, i + 1), y, found), strict=True))
        verdict, error = _compare(x.manifold, indices[i], distances[i], measured)
        wrong += verdict == "wrong" or not sound[i]
        undecided += verdict == "undecided" and bool(sound[i])
        worst = max(worst, error)
    return Audit(len(sample), wrong, undecided, worst)


class _Forbidden:
    """The pairs of some queries that must not be found."""

    def __init__(self, operation: Any, inputs: tuple[Points, ...], sample: np.ndarray):
        self._labels = partial(operation.target_labels, inputs)
        lists = [operation.excluded(inputs, row, row + 1) for row in map(int, sample)]
        others = [np.empty(0, np.int64) if each is None else each.others for each in lists]
        starts = np.cumsum([0, *map(len, others)])
        self._queries = slice(0, len(sample))
        together = Lists(starts, np.concatenate([np.empty(0, np.int64), *others]))
        self._hidden = Hidden(together, max(1, len(sample)))
        self._hidden.labels = operation.query_labels(inputs, sample)

    def __call__(self, first: int, stop: int) -> np.ndarray:
        """For the targets first:stop: (queries, targets) bool."""
        named = Named(np.arange(first, stop), self._labels(first, stop))
        found = np.zeros((self._queries.stop, stop - first), bool)
        found[self._hidden.within(self._queries, named)] = True
        if named.labels is not None:
            found[:, named.labels == LEFT_OUT] = True
        return found


def _candidates(
    queries: Points, y: Points, forbidden: _Forbidden, indices: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """For each query the rows that may be among its nearest, with those that were returned; and
    whether it may find all of these."""
    p = queries.manifold.canonical(queries.read(0, len(queries)))
    k = indices.shape[1]
    best = np.full((len(p), k), np.inf)
    for _, values, margins, _ in _measures(p, y, forbidden):
        best = np.partition(np.concatenate([best, values + margins], axis=1), k - 1)[:, :k]
    limits = best.max(axis=1, initial=-np.inf)
    found, sound = [[row] for row in indices], np.ones(len(p), bool)
    for first, values, margins, hidden in _measures(p, y, forbidden):
        for i, j in zip(*np.nonzero(values - margins <= limits[:, None]), strict=True):
            found[i].append(np.array([first + j]))
        i, j = np.nonzero((indices >= first) & (indices < first + hidden.shape[1]))
        sound[i[hidden[i, indices[i, j] - first]]] = False
    return [np.unique(np.concatenate(each)) for each in found], sound


def _measures(p: np.ndarray, y: Points, forbidden: _Forbidden) -> Any:
    """Rough measures of slices of the targets, infinite for forbidden ones, with their bounds."""
    for first in range(0, len(y), STEP):
        q = y.manifold.canonical(y.read(first, min(first + STEP, len(y))))
        values, margins = y.manifold.rough_ranks(p, q)
        hidden = forbidden(first, first + len(q))
        values[hidden] = np.inf
        yield first, values, margins, hidden


class _Measured(NamedTuple):
    """A pair in decimals, and how far the computed rank may be from that."""

    rank: Decimal
    bound: Decimal


def _measured(row: np.ndarray, y: Points, others: np.ndarray) -> list[_Measured]:
    """A row (1, *point_shape) with others."""
    manifold, values = y.manifold, y[others].read(0, len(others))
    with localcontext() as context:
        context.prec = DIGITS
        p = decimals(row[0])
        ranks = [manifold.exact_rank(p, decimals(value)) for value in values]
    near = manifold.canonical(row), manifold.canonical(values)
    bounds = manifold.rank_bound(np.array(ranks, np.float64), *near)
    return [_Measured(rank, Decimal(float(e))) for rank, e in zip(ranks, bounds, strict=True)]


def _compare(
    manifold: Manifold, returned: np.ndarray, distances: np.ndarray, pairs: dict[int, _Measured]
) -> tuple[str, float]:
    """Whether the returned rows are the nearest, in order; and the largest error of a distance."""
    truth = sorted(pairs, key=lambda row: (pairs[row].rank, row))[: len(returned)]
    exact = np.array([float(pairs[row].rank) for row in returned])
    error = np.abs(manifold.rank_to_dist(exact) - distances).max(initial=0.0)
    if truth == list(returned):
        return "right", float(error)
    with localcontext() as context:
        context.prec = DIGITS
        both = [(pairs[a], pairs[b]) for a, b in zip(returned, truth, strict=True)]
        within = all(abs(a.rank - b.rank) <= a.bound + b.bound for a, b in both)
    return ("undecided" if within else "wrong"), float(error)
