"""Selection by surrogates that err as far as their bounds allow, and the wrong way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geodask.arrays.namespace import namespace
from geodask.arrays.product import rounded
from geodask.arrays.threads import one_thread_each
from geodask.kernels import scan
from geodask.kernels.counting import DeviceCounting, HostCounting, sorted_marks
from geodask.kernels.nearest import HostNearest
from geodask.manifolds import Euclidean
from geodask.manifolds.base import BEYOND, Queries, Rows, Targets
from neighbours import RUNNABLE, Kernel, Question, assert_right, cut


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    with one_thread_each():
        yield


@dataclass
class Hostile:
    """A surrogate of flat space with any products one likes.

    All is in whole numbers, so that products are exact and the contract holds with equality:
    the queries' operand is the identity, and the targets' holds the products themselves.
    """

    of: Question
    products: np.ndarray
    slack: np.ndarray
    below: int
    above: np.ndarray
    beyond: np.ndarray
    shift: int
    first: int = 0

    def queries(self, x: Rows, precision: str) -> Queries:
        identity = np.eye(len(x.points))
        return Queries(operand(identity, x, precision), like(self.slack, x), None)

    def targets(self, y: Rows, frame: Any, precision: str) -> Targets:
        part = slice(self.first, self.first + len(y.points))
        (beyond,) = np.nonzero(self.beyond[part])
        products = operand(self.products[:, part].T, y, precision)
        numbers = namespace(y.points).asarray(beyond)
        return Targets(products, float(self.below), like(self.above[part], y), numbers)

    def score(self, rank: Any, queries: Queries) -> Any:
        return self.shift - rank

    def answer(self, kernel: Kernel, blocks: list[tuple[int, int]]) -> Any:
        kind, place, precision = kernel
        make = partial(kind, Euclidean(1), self.of.x, self.of.k, place, precision, self.of.excluded)
        return self.folded(make, blocks).result()

    def folded(self, make: Callable[[], Any], blocks: list[tuple[int, int]]) -> Any:
        """A search with this surrogate, the targets folded in these blocks."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("queries", "targets", "score"):
                method = getattr(self, name)
                patch.setattr(Euclidean, name, lambda _, *rest, method=method: method(*rest))
            running = make()
            for start, stop in blocks:
                self.first = start
                running.fold(self.of.targets[start:stop], start)
        return running


def operand(values: np.ndarray, like_rows: Rows, precision: str) -> Any:
    xp = namespace(like_rows.points)
    rows, columns = values.shape
    nothing, one = np.zeros(columns), np.ones(rows)
    return rounded(*map(xp.asarray, (values.copy(), nothing, one)), precision)[0]


def like(values: np.ndarray, rows: Rows) -> Any:
    return namespace(rows.points).asarray(values.astype(np.float64))


def hostile(seed: int, m: int, k: int, itself: bool, excluding: float = 0.0) -> Hostile:
    """Whole numbers at random; what is near scores as low as it may, what is far as high."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, (m, 1)).astype(np.float64)
    x = y if itself else rng.integers(0, 10, (rng.integers(1, 7), 1)).astype(np.float64)
    mask = rng.random((len(x), m)) < excluding
    mask[:, :2] = False  # of which one may be the row itself
    left = m - (mask | (np.eye(*mask.shape) > 0 if itself else mask)).sum(axis=1)
    k = max(1, min(k, int(left.min())))
    of = Question("Euclidean", x, None if itself else y, k, mask=mask if excluding else None)
    ranks = (x - y.T) ** 2
    slack, above = rng.integers(0, 6, len(x)), rng.integers(0, 6, m)
    below, shift = int(rng.integers(0, 6)), int(rng.integers(0, 90))
    near = ranks <= of.ranks[:, -1:] + rng.integers(-1, 2)
    way = rng.choice([np.where(near, -1, 1), rng.integers(-1, 2, near.shape), near * 0])
    most, least = slack[:, None] + above, slack[:, None] + below
    products = shift - ranks + np.where(way > 0, most, 0) - np.where(way < 0, least, 0)
    beyond = rng.random(m) < rng.choice([0.0, 0.1])
    products[:, beyond] = BEYOND
    return Hostile(of, products, slack, below, above, beyond, shift)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data(), st.integers(0, 2**32), st.sampled_from(RUNNABLE))
def test_the_worst_surrogate_hides_no_neighbour(data: Any, seed: int, kernel: Kernel) -> None:
    itself = data.draw(st.booleans())
    m = data.draw(st.integers(2, 40 if itself else 400))
    k = data.draw(st.sampled_from([1, 2, 3, 30, m // 2, m - 1]))
    surrogate = hostile(seed, m, min(max(1, k), m - 1), itself)
    size = data.draw(st.integers(1 + m // 5, m))
    assert_right(surrogate.of, surrogate.answer(kernel, cut(m, size)))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data(), st.integers(0, 2**32), st.sampled_from(RUNNABLE))
def test_the_worst_surrogate_hides_nothing_beside_what_is_excluded(
    data: Any, seed: int, kernel: Kernel
) -> None:
    itself = data.draw(st.booleans())
    m = data.draw(st.integers(9, 40 if itself else 400))
    k = data.draw(st.sampled_from([1, 2, 3, 30, m // 2, m]))
    surrogate = hostile(seed, m, k, itself, data.draw(st.sampled_from([0.01, 0.3, 0.7])))
    size = data.draw(st.integers(1 + m // 5, m))
    assert_right(surrogate.of, surrogate.answer(kernel, cut(m, size)))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data(), st.integers(0, 2**32), st.sampled_from(RUNNABLE))
def test_the_worst_surrogate_hides_nothing_that_counts(
    data: Any, seed: int, kernel: Kernel
) -> None:
    """Marks are the k-th nearest, around which the surrogate errs, and some nearer ones."""
    kind, place, precision = kernel
    itself = data.draw(st.booleans())
    m = data.draw(st.integers(2, 40 if itself else 400))
    k = data.draw(st.sampled_from([1, 2, 3, 30, m // 2]))
    surrogate = hostile(seed, m, min(max(1, k), m - 1), itself)
    of, chosen = surrogate.of, sorted({0, surrogate.of.k // 2, surrogate.of.k - 1})
    marks, _ = sorted_marks(
        np.repeat(np.arange(len(of.x)), len(chosen)),
        of.ranks[:, chosen].ravel(),
        of.indices[:, chosen].ravel(),
    )
    count = HostCounting if kind is HostNearest else DeviceCounting
    make = partial(count, Euclidean(1), of.x, marks, place, precision, of.excluded)
    running = surrogate.folded(make, cut(m, data.draw(st.integers(1 + m // 5, m))))
    assert running.counts().reshape(len(of.x), -1).tolist() == [chosen] * len(of.x)


def test_a_floor_below_all_scores_is_above_those_of_rows_beyond() -> None:
    assert BEYOND < scan.LOWEST < -(2.0**90)
    assert np.float32(scan.LOWEST).view(np.uint32) % 2**16 == 0  # a bfloat16


PATTERNS = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-39, -1e-39, 1.0, -1.0, 3e38, -3e38, 0.1, -0.1])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(PATTERNS.tolist()), st.floats(-4, 4, width=32)),
        min_size=1,
        max_size=300,
    ),
    st.one_of(st.sampled_from(PATTERNS.tolist()), st.floats(-4, 4)),
    st.sampled_from([np.uint16, np.uint32]),
)
def test_all_scores_from_the_floor_up_pass(scores: list[float], floor: float, kind: type) -> None:
    bits = np.array([scores], np.float32).view(np.uint32)
    tile = bits if kind is np.uint32 else (bits >> np.uint32(16)).astype(np.uint16)
    values = bits if kind is np.uint32 else tile.astype(np.uint32) << np.uint32(16)
    values = values.view(np.float32)[0].astype(np.float64)
    room = 2 * len(scores)
    buffer = (
        np.empty((1, room), np.int32),
        np.empty((1, room), np.float32),
        np.empty((1, room), np.float32),
        np.zeros(1, np.int32),
    )
    bounds = np.array([floor]), np.zeros(1), np.zeros(len(scores)), 0.0
    start = np.zeros(1, np.int64)
    signed = tile.view(np.int16 if kind is np.uint16 else np.int32)
    stopped = scan.scan((tile, signed), 5, room, bounds, start, buffer)
    assert stopped == 0
    assert start[0] == len(scores)
    found = set(buffer[0][0, : buffer[3][0]].tolist())
    step = 2.0**-7 if kind is np.uint16 else 2.0**-23
    reach = floor - step * abs(floor) - (2.0**-133 if kind is np.uint16 else 2.0**-149)
    assert found >= set((5 + np.flatnonzero(values >= floor)).tolist())
    assert found <= set((5 + np.flatnonzero(values >= reach)).tolist())
