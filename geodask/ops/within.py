"""Every pair of rows within a radius, exactly.

The rows are searched twice. The first pass counts the pairs of each row, which says where each pair
will lie. The second writes pieces of a fixed number of pairs: blocks of plain arrays, so memory is
bounded whatever their number, and a run resumes as others do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..engine.explain import Explanation, size
from ..engine.html import card
from ..engine.plan import Plan
from ..engine.points import Points
from ..engine.result import Report, place_of
from ..engine.submission import Submitted
from ..errors import TooManyPairsError
from ..storage.objects import Objects
from .compared import check_points
from .exclude import column
from .graph import PART_PAIRS, Edges, Graph, row_blocks
from .near import Degrees, Pairs, borders, piece_pairs

SAMPLED = 1000
"""Rows whose pairs are counted for an estimate."""


@dataclass(frozen=True)
class WithinResult(Graph):
    """The pairs by (row, other): Dask arrays after `persist`, numpy after `compute`.

    Within one set a pair stands once, with row < other.
    """

    row: Any
    """(pairs,) int64."""
    other: Any
    """(pairs,) int64."""
    distance: Any
    """(pairs,) float64, in the unit of the metric."""
    degrees: Any
    """(n,) int64: how many pairs begin with each row."""
    certified: Any
    """(n,) bool: the set is right in real arithmetic, except for ranks closer than rounding to that
    of the radius."""
    report: Report
    plan: Any

    @property
    def symmetric(self) -> bool:  # type: ignore[override]
        """Whether a pair of one set stands for both directions."""
        return self.plan.operation.itself

    @property
    def indptr(self) -> Any:
        """(n + 1,) int64: the pairs of row i are ``indptr[i] : indptr[i + 1]``."""
        import dask.array as da

        xp = np if isinstance(self.degrees, np.ndarray) else da
        zero = xp.zeros(1, dtype=np.int64)
        return xp.concatenate([zero, xp.cumsum(self.degrees, axis=0, dtype=np.int64)])

    @property
    def pairs(self) -> Any:
        """The table of `to_dataframe`, as pandas where the result is in memory."""
        table = self.to_dataframe()
        return table.compute() if isinstance(self.row, np.ndarray) else table

    def sides(self) -> tuple[Points, Points]:
        return self.plan.operation.sides(self.plan.inputs)

    def parts(self) -> list[Any]:
        from dask.delayed import delayed

        columns = (row_blocks(each, PART_PAIRS) for each in (self.row, self.other, self.distance))
        blocks = zip(*(each.to_delayed().ravel() for each in columns), strict=True)
        return [delayed(Edges)(*block) for block in blocks]

    def __repr__(self) -> str:
        where = place_of(self.row)
        radius, share = self.plan.operation.radius, self.report.certified
        return f"<{len(self.row)} pairs within {radius}, {where}; certified {share:.2%}>"


@dataclass(frozen=True)
class WithinExplanation:
    """What the pairs within a radius will cost, and about how many there are."""

    pairs: float
    """Estimated from sampled rows, each compared with all."""
    interval: tuple[float, float]
    """In which their number lies in 95 of 100 samples: Student's t for the mean of the rows' pairs,
    corrected for a finite set; where no sampled row has any, up to 3 of so many may."""
    counting: Explanation
    """The cost of a pass over all pairs of rows: one counts, and one, of the same cost, writes."""

    @property
    def bytes_written(self) -> float:
        """Bytes of the pairs."""
        return 24 * self.pairs

    def _repr_html_(self) -> str:
        low, high = self.interval
        found = {"pairs": f"about {self.pairs:.3g} ({low:.3g} to {high:.3g})"}
        written = {"written": size(self.bytes_written), "passes": "two, of which each:"}
        return card("Plan within", {**found, **written, **self.counting.facts})

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"<Plan within: about {self.pairs:.3g} pairs ({low:.3g} to {high:.3g}), "
            f"{size(self.bytes_written)}; two passes, of which each is\n{self.counting}>"
        )


@dataclass(frozen=True)
class WithinPlan(Submitted):
    """What will be found. Nothing is until `compute` or `persist`."""

    operation: Degrees
    inputs: tuple[Points, ...]
    max_pairs: int | None = None
    passes: ClassVar[int] = 2

    def _repr_html_(self) -> str:
        limit = {"max_pairs": str(self.max_pairs)} if self.max_pairs is not None else {}
        return card("Plan within", {"radius": str(self.operation.radius), **limit})

    def explain(self) -> WithinExplanation:
        """An estimate of the pairs from up to 1,000 rows, and the cost of a pass over all."""
        from scipy.special import stdtrit

        x, y = self.operation.sides(self.inputs)
        sample = x.sample(min(SAMPLED, len(x)), seed=0)
        found, _ = Plan(Degrees(self.operation.radius, False), (sample, y)).compute()
        degrees = found["degrees"] - self.operation.itself  # which finds itself
        scale = len(x) / (2 if self.operation.itself else 1)
        # Divided last: the count of all rows comes out whole.
        estimate, spread = float(scale * degrees.sum() / max(1, len(sample))), 0.0
        if 1 < len(sample) < len(x):
            error = degrees.std(ddof=1) / math.sqrt(len(sample))
            quantile = stdtrit(len(sample) - 1, 0.975)
            spread = scale * quantile * error * math.sqrt(1 - len(sample) / len(x))
            if not degrees.any():
                spread = scale * 3 / len(sample)
        interval = max(0.0, estimate - spread), estimate + spread
        return WithinExplanation(estimate, interval, self._counting.explain())

    def persist(self, url: str | Path | None = None, *, verify: bool = False) -> WithinResult:
        """The pairs in the store, as Dask arrays: counted and written once, found the second time.

        Raises as `Plan.persist`, and TooManyPairsError where there are more than ``max_pairs``: the
        counts are kept, so that a run with a higher limit goes on from there.
        """
        counted = self._counting.persist(verify=verify)
        return self._result(counted, self._writing(counted).persist(url, verify=verify))

    def opened(self, store: Objects, urls: Sequence[str]) -> WithinResult:
        """The pairs as they lie complete: the URLs of their counts, and of themselves."""
        counted, written = (self._counting.opened(store, [url]) for url in urls)
        return self._result(counted, written)

    def compute(self) -> WithinResult:
        """The pairs in memory, as numpy arrays; nothing is left behind."""
        counted = self._counting.compute()
        return self._result(counted, self._writing(counted).compute())

    @property
    def _counting(self) -> Plan:
        return Plan(self.operation, self.inputs)

    def _writing(self, counted: Any) -> Plan:
        operation, degrees = self.operation, np.asarray(counted[0]["degrees"])
        total = int(degrees.sum())
        if self.max_pairs is not None and total > self.max_pairs:
            raise TooManyPairsError(
                f"At most max_pairs={self.max_pairs} pairs may be written",
                came=f"{total} lie within {operation.radius}",
                do="Raise max_pairs, or pass a smaller radius. The counts are kept in the store.",
            )
        x, y = operation.sides(self.inputs)
        piece = piece_pairs(x.manifold.size, len(x), len(y), total)
        products = len(x) * len(y) / (2 if operation.itself else 1)
        pairs = Pairs(operation.radius, operation.itself, total, piece, products)
        return Plan(pairs, (*self.inputs, column(degrees), column(borders(degrees, piece, total))))

    def _result(self, counted: Any, written: Any) -> WithinResult:
        (rows, counting), (pairs, report) = counted, written
        report = replace(report, certified=counting.certified)
        return WithinResult(**pairs, **rows, report=report, plan=self)


def within(
    x: Points, y: Points | None = None, *, radius: float, max_pairs: int | None = None
) -> WithinPlan:
    """A plan for every pair of rows whose geodesic distance is at most a radius.

    Parameters
    ----------
    x : Points
        (n, *point_shape).
    y : Points, optional
        The rows that are searched, (m, *point_shape), on the same manifold. Without it, the rows of
        ``x`` themselves: each pair once, its lower row first, and no row with itself.
    radius : float
        In the unit of the metric, 0 or more. As in scikit-learn, pairs at the radius are within it.
    max_pairs : int, optional
        More pairs than this are counted and not written: see `WithinPlan.persist`.

    Returns
    -------
    WithinPlan
        Whose `WithinResult` holds ``row``, ``other`` and ``distance`` of each pair.

    Raises
    ------
    ValueError
        Where the radius is negative or no number, or max_pairs is negative.
    SpecError
        Where x and y lie on different manifolds.

    Notes
    -----
    Exact: a pair is within where the distance that `knn` gives for it is at most the radius. The
    bytes do not depend on chunks, threads, executors, libraries or devices.
    """
    check_points("within", x, y)
    if (
        isinstance(radius, bool)
        or not isinstance(radius, int | float | np.number)
        or not radius >= 0
    ):
        raise ValueError(f"radius must be 0 or more, but {radius!r} came. Pass such a distance.")
    if max_pairs is not None and not max_pairs >= 0:
        raise ValueError(
            f"max_pairs must be 0 or more, but {max_pairs!r} came. Pass such a number."
        )
    inputs = (x,) if y is None else (x, y)
    return WithinPlan(Degrees(float(radius), y is None), inputs, max_pairs)
