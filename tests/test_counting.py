"""How many rows come before given ones: every kernel counts as the definition does."""

import math

import numpy as np
import pytest

import geodask as gd
from geodask.kernels import counting, device_search, scan, search
from geodask.kernels.counting import DeviceCounting, HostCounting, sorted_marks
from geodask.kernels.nearest import HostNearest
from graphs import (
    SPACES,
    all_ranks,
    brute_ranks,
    lists_of,
    random_mask,
    random_pairs,
    rows,
    with_own,
)
from neighbours import KERNELS, Kernel, cut


def counts(
    manifold: gd.Manifold, x: np.ndarray, pairs: np.ndarray, mask: np.ndarray, kernel: Kernel
) -> np.ndarray:
    """The kernel's ranks of sorted pairs that begin at row 0 and leave none out."""
    kind, place, precision = kernel
    kind = HostCounting if kind is HostNearest else DeviceCounting
    ranks = all_ranks(manifold, x, x)[pairs[:, 0], pairs[:, 1]]
    marks, order = sorted_marks(pairs[:, 0], ranks, pairs[:, 1])
    queries = x[: pairs[-1, 0] + 1]
    hidden = lists_of(mask[: len(queries)])
    running = kind(manifold, queries, marks, place, precision, hidden)
    for start, stop in cut(len(x), 333)[::-1]:
        running.fold(x[start:stop], start)
    assert running.certified.all()
    found = np.empty(len(pairs), np.int64)
    found[order] = 1 + running.counts()
    return found


def marked(n: int, queries: int, seed: int = 3) -> np.ndarray:
    """Sorted pairs of the first rows: one or more each."""
    pairs = random_pairs(n, 900, seed)
    pairs = pairs[pairs[:, 0] < queries]
    one_each = np.stack([np.arange(queries), np.arange(queries) + 1], axis=1)
    return np.unique(np.concatenate([pairs, one_each]), axis=0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("space", SPACES)
def test_kernels_against_brute_force(
    space: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, pairs = rows(space, 700), marked(700, 70)
    for share in (0.0, 0.5):
        mask = with_own(random_mask(700, 700, share))
        right = brute_ranks(all_ranks(SPACES[space], x, x), pairs, mask)
        for tile in ((1024, 2048), (32, 128)):
            monkeypatch.setattr(search, "TILE", tile)
            monkeypatch.setattr(device_search, "DEVICE_TILE", tile)
            assert (counts(SPACES[space], x, pairs, mask, kernel) == right).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("held", [1, 4, 256])
def test_equal_rows_count_by_their_number(
    held: int, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "HELD", held)
    x = np.repeat(rows("Sphere", 30)[:1], 400, axis=0)
    pairs = marked(400, 50)
    expected = 1 + pairs[:, 1] - (pairs[:, 0] < pairs[:, 1])
    mask = np.eye(400, dtype=bool)
    assert (counts(SPACES["Sphere"], x, pairs, mask, kernel) == expected).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_what_may_be_as_near_is_measured(kernel: Kernel) -> None:
    kind, place, precision = kernel
    kind = HostCounting if kind is HostNearest else DeviceCounting
    manifold, x = gd.Sphere(24), gd.Sphere(24).random(2000, seed=0).astype(np.float32)
    ranks = all_ranks(manifold, x[:100], x)
    np.fill_diagonal(ranks, np.inf)
    nearest = np.argsort(ranks, axis=1)[:, 4]
    marks, _ = sorted_marks(np.arange(100), ranks[np.arange(100), nearest], nearest)
    running = kind(manifold, x[:100], marks, place, precision, lists_of(np.eye(100, 2000) > 0))
    running.fold(x, 0)
    assert (running.counts() == 4).all()
    assert running.pairs == 100 * 2000
    assert 5 * 100 <= running.measured < (8 if precision == "float32" else 60) * 100


def test_a_tally_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    at, ranks, numbers = rng.integers(0, 5, 60), rng.integers(0, 4, 60) * 1.0, np.arange(60)
    at[:5] = np.arange(5)
    ranks[7] = math.nan
    marks, order = sorted_marks(at, ranks, numbers)
    first = np.zeros(60, np.int64)
    found = rng.integers(0, 5, 200), rng.integers(-1, 5, 200) * 1.0, rng.integers(0, 60, 200)
    found[1][::9] = math.nan
    scan.tally(first, tuple(marks), found)
    for place, mark in enumerate(order):
        rank = np.inf if np.isnan(ranks[mark]) else ranks[mark]
        before = (found[1] < rank) | ((found[1] == rank) & (found[2] < numbers[mark]))
        start = marks.starts[at[mark]]
        assert first[start : place + 1].sum() == (before & (found[0] == at[mark])).sum()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("space", SPACES)
def test_a_row_that_is_no_number_comes_after_all_others(space: str, kernel: Kernel) -> None:
    kind, place, precision = kernel
    kind = HostCounting if kind is HostNearest else DeviceCounting
    manifold, x = SPACES[space], rows(space, 300)
    x[7] = np.nan
    ranks = all_ranks(manifold, x, x)
    ranks[:, 7] = np.nan
    pairs = np.stack([np.repeat(np.arange(40), 3), np.random.default_rng(2).integers(40, 300, 120)])
    pairs = np.unique(pairs.T, axis=0)
    marks, order = sorted_marks(pairs[:, 0], ranks[pairs[:, 0], pairs[:, 1]], pairs[:, 1])
    running = kind(manifold, x[:40], marks, place, precision, lists_of(np.eye(40, 300) > 0))
    for start, stop in cut(300, 77):
        running.fold(x[start:stop], start)
    assert not running.certified.any()
    sound = pairs[order, 0] != 7
    right = brute_ranks(ranks, pairs)[order] - 1
    assert (running.counts()[sound] == right[sound]).all()
