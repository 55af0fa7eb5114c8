"""An independent check of sampled rows of a kNN, in decimal arithmetic of fifty digits.

Nothing of the kernels is used. Float64 measures of the canonical points choose, with a margin far
above their rounding, which rows might be among the nearest; those are measured in decimals from
their stored values.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from ..engine.points import Points
from ..kernels.lists import Hidden, Lists

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

    Raises StoreError where the stored result is damaged.
    """
    operation, inputs = result.plan.operation, result.plan.inputs
    x, y = operation.sides(inputs)
    sample = np.sort(np.random.default_rng(seed).choice(len(x), min(rows, len(x)), replace=False))
    indices, distances = (np.asarray(part[sample]) for part in (result.indices, result.distances))
    queries = x[sample]
    excluded = [_others(operation.excluded(inputs, row, row + 1)) for row in map(int, sample)]
    wrong = undecided = 0
    worst = 0.0
    for i, found in enumerate(_candidates(queries, y, excluded, indices)):
        ranks = _exact_ranks(x, queries.read(i, i + 1)[0], y, found)
        verdict, error = _compare(x, indices[i], distances[i], dict(zip(found, ranks, strict=True)))
        if np.isin(indices[i], excluded[i]).any():
            verdict = "wrong"
        wrong += verdict == "wrong"
        undecided += verdict == "undecided"
        worst = max(worst, error)
    return Audit(len(sample), wrong, undecided, worst)


def _others(lists: Lists | None) -> np.ndarray:
    return np.empty(0, np.int64) if lists is None else lists.others


def _candidates(
    queries: Points, y: Points, excluded: list[np.ndarray], indices: np.ndarray
) -> list[np.ndarray]:
    """For each query the rows that may be among its nearest, and those that were returned."""
    p = queries.manifold.canonical(queries.read(0, len(queries)))
    starts = np.cumsum([0, *map(len, excluded)])
    hidden = Hidden(Lists(starts, np.concatenate([np.empty(0, np.int64), *excluded])), len(p))
    k = indices.shape[1]
    best = np.full((len(p), k), np.inf)
    for _, values, margins in _measures(p, y, hidden):
        best = np.partition(np.concatenate([best, values + margins], axis=1), k - 1)[:, :k]
    limits = best.max(axis=1, initial=-np.inf)
    found = [[row] for row in indices]
    for first, values, margins in _measures(p, y, hidden):
        for i, j in zip(*np.nonzero(values - margins <= limits[:, None]), strict=True):
            found[i].append(np.array([first + j]))
    return [np.unique(np.concatenate(each)) for each in found]


def _measures(p: np.ndarray, y: Points, hidden: Hidden) -> Any:
    """Rough measures of slices of the targets, infinite for excluded ones, with their bounds."""
    for first in range(0, len(y), STEP):
        q = y.manifold.canonical(y.read(first, min(first + STEP, len(y))))
        values, margins = y.manifold.rough_ranks(p, q)
        values[hidden.within(slice(0, len(p)), first, first + len(q))] = np.inf
        yield first, values, margins


def _exact_ranks(x: Points, row: np.ndarray, y: Points, others: np.ndarray) -> list[Decimal]:
    with localcontext() as context:
        context.prec = DIGITS
        p = _decimals(row)
        values = y[others].read(0, len(others))
        return [x.manifold.exact_rank(p, _decimals(value)) for value in values]


def _decimals(row: np.ndarray) -> list[Decimal]:
    return [Decimal(float(value)) for value in row]


def _compare(
    x: Points, returned: np.ndarray, distances: np.ndarray, ranks: dict[int, Decimal]
) -> tuple[str, float]:
    """Whether the returned rows are the nearest, in order; and the largest error of a distance."""
    manifold = x.manifold
    truth = sorted(ranks, key=lambda row: (ranks[row], row))[: len(returned)]
    exact = np.array([float(ranks[row]) for row in returned])
    error = np.abs(manifold.rank_to_dist(exact) - distances).max(initial=0.0)
    if truth == list(returned):
        return "right", float(error)
    expected = np.array([float(ranks[row]) for row in truth])
    allowed = manifold.rank_error(exact) + manifold.rank_error(expected)
    with localcontext() as context:
        context.prec = DIGITS
        gaps = [ranks[a] - ranks[b] for a, b in zip(returned, truth, strict=True)]
    within = all(abs(gap) <= Decimal(float(e)) for gap, e in zip(gaps, allowed, strict=True))
    return ("undecided" if within else "wrong"), float(error)
