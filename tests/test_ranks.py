"""Ranks of given pairs: those of brute force, whatever computes them and however it is cut."""

import math
from dataclasses import replace
from typing import Any

import dask
import numpy as np
import pytest
from scipy import sparse

import geodask as gd
from geodask.kernels.counting import HostCounting
from graphs import SPACES, all_ranks, brute_ranks, random_mask, random_pairs, rows


def assert_brute(result: Any, x: np.ndarray, pairs: np.ndarray, mask: Any = None) -> None:
    manifold = result.plan.inputs[0].manifold
    ranks = all_ranks(manifold, x, x)
    found = np.asarray(result.ranks)
    assert found.dtype == np.int64
    assert (found == brute_ranks(ranks, pairs, mask)).all()
    distances = manifold.rank_to_dist(ranks[pairs[:, 0], pairs[:, 1]])
    assert np.asarray(result.distances).tobytes() == distances.tobytes()
    assert np.asarray(result.certified).all()
    assert result.report.certified == 1.0


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e6, 4e16))


# --- plans --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("share", [None, 0.001, 0.3, 0.95])
def test_plans_against_brute_force(space: str, share: float | None) -> None:
    x, pairs = rows(space, 300), random_pairs(300, 700)
    mask = None if share is None else random_mask(300, 300, share)
    if mask is not None:
        mask[pairs[::3, 0], pairs[::3, 1]] = True
    plan = gd.ranks(gd.points(x, SPACES[space]), pairs, exclude=mask)
    assert plan.explain().blocks > 2
    assert_brute(plan.compute(), x, pairs, mask)


@pytest.mark.usefixtures("many_tasks")
def test_blocks_panels_and_memory_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    x, pairs = rows("PoincareBall", 400), random_pairs(400, 900)
    mask = random_mask(400, 400, 0.2)
    points = gd.points(x, SPACES["PoincareBall"])
    for work in (1e5, 1e6, 1e12):
        monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (work, 4e16))
        plan = gd.ranks(points, pairs, exclude=mask)
        stated = plan.explain()
        assert (stated.blocks > 1) == (work < 1e12)
        assert (stated.panels > 1) == (work == 1e5)
        assert_brute(plan.compute(), x, pairs, mask)
        smaller = stated.task_bytes * 2 // 3
        with dask.config.set({"geodask.memory-per-task": smaller}):
            assert plan.explain().task_bytes <= smaller
            assert_brute(plan.compute(), x, pairs, mask)
    with (
        dask.config.set({"geodask.memory-per-task": 1000}),
        pytest.raises(gd.MemoryPlanError, match=r"A task of ranks needs at least \d+ bytes"),
    ):
        gd.ranks(points, pairs).compute()


@pytest.mark.usefixtures("many_tasks", "client")
def test_a_cluster_gives_the_same_and_finds_it_again() -> None:
    x, pairs = rows("Sphere", 300), random_pairs(300, 700)
    points, mask = gd.points(x, SPACES["Sphere"]), random_mask(300, 300, 0.1)
    result = gd.ranks(points, pairs, exclude=mask).persist()
    assert_brute(result, x, pairs, mask)
    assert result.ranks.dtype == np.int64
    assert not gd.ranks(points, pairs).persist().report.cache_hit
    shuffled = np.random.default_rng(1).permutation(pairs)
    again = gd.ranks(points, shuffled, exclude=sparse.csc_array(mask)).persist()
    assert again.report.cache_hit
    assert_brute(again, x, shuffled, mask)
    mask[pairs[0, 0]] ^= True
    assert not gd.ranks(points, pairs, exclude=mask).persist().report.cache_hit
    fewer = np.unique(pairs, axis=0)[1:]
    assert not gd.ranks(points, fewer, exclude=mask).persist().report.cache_hit


def test_what_rows_without_pairs_exclude_does_not_matter() -> None:
    points, pairs = gd.points(rows("Sphere", 100), SPACES["Sphere"]), np.array([[3, 9], [8, 2]])
    mask = np.ones((100, 100), bool)
    mask[[3, 8]] = False
    gd.ranks(points, pairs).persist()
    assert gd.ranks(points, pairs, exclude=mask).persist().report.cache_hit


@pytest.mark.usefixtures("many_tasks")
def test_an_interrupted_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    x, pairs = rows("Sphere", 400), random_pairs(400, 900)
    points = gd.points(x, SPACES["Sphere"])
    fold, seen = HostCounting.fold, []

    def fail(self: HostCounting, y: np.ndarray, first: int) -> None:
        seen.append(first)
        if len(seen) > 10:
            raise RuntimeError("the power went")
        fold(self, y, first)

    with monkeypatch.context() as patch, dask.config.set({"geodask.threads": 1}):
        patch.setattr(HostCounting, "fold", fail)
        with pytest.raises(RuntimeError, match="the power went"):
            gd.ranks(points, pairs).persist()
    result = gd.ranks(points, pairs).persist()
    assert result.report.blocks_stored >= 5
    assert_brute(result, x, pairs)


def test_rows_without_pairs_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is of pairs: what has none is a target alone."""
    x = rows("Sphere", 400)
    seen = []
    begin = HostCounting.__init__

    def note(self: HostCounting, manifold: Any, queries: np.ndarray, *rest: Any) -> None:
        seen.append(queries)
        begin(self, manifold, queries, *rest)

    plan = gd.ranks(gd.points(x, SPACES["Sphere"]), [[399, 5], [2, 3], [399, 7]])
    assert plan.explain().flops == 2 * 6 * 2 * 400
    monkeypatch.setattr(HostCounting, "__init__", note)
    plan.compute()
    (queries,) = seen
    assert (queries == x[[2, 399]]).all()


def test_from_zarr_with_coarse_chunks(tmp_path: Any) -> None:
    import zarr

    x, pairs = rows("Sphere", 900), random_pairs(900, 200)
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(301, 6))
    points = gd.points(tmp_path / "x.zarr", SPACES["Sphere"])
    assert gd.ranks(points, pairs).explain().task_bytes > 3 * 301 * 6 * 4
    assert_brute(gd.ranks(points, pairs).compute(), x, pairs)


# --- few rows, and rows that are no numbers -------------------------------------------------------


def test_few_pairs_or_none() -> None:
    x = gd.points(rows("Sphere", 30), SPACES["Sphere"])
    for n in (0, 1, 30):
        for none in (np.zeros((0, 2), int), np.zeros((0, 2), np.uint8)):
            result = gd.ranks(x[:n], none).compute()
            assert result.ranks.shape == result.distances.shape == (0,)
            assert math.isnan(result.mean_rank)
            assert math.isnan(result.mean_average_precision)
            assert result.report.certified == 1.0
    assert gd.ranks(x[:0], np.zeros((0, 2), int)).persist().ranks.shape == (0,)
    two = gd.ranks(x[:2], [[1, 0], [0, 1]]).compute()
    assert two.ranks.tolist() == [1, 1]
    assert two.mean_average_precision == 1.0


WRONG = [
    ([[0, 1], [4, 4]], ValueError, r"pair 1 is \(4, 4\)"),
    ([[0, 1], [4, 30]], IndexError, r"rows 0 to 29, but pair 1 is \(4, 30\)"),
    ([[-1, 1]], IndexError, r"pair 0 is \(-1, 1\)"),
    ([[0.0, 1.0]], gd.SpecError, r"shape \(1, 2\) of float64 came"),
    ([0, 1], gd.SpecError, r"shape \(2,\) of int64 came"),
    ([[0, 1, 2]], gd.SpecError, r"shape \(1, 3\)"),
]


@pytest.mark.parametrize(("pairs", "error", "text"), WRONG)
def test_what_are_no_pairs_is_refused(pairs: Any, error: type, text: str) -> None:
    x = gd.points(rows("Sphere", 30), SPACES["Sphere"])
    with pytest.raises(error, match=text):
        gd.ranks(x, pairs)


def test_other_arguments_are_refused() -> None:
    x = gd.points(rows("Sphere", 30), SPACES["Sphere"])
    with pytest.raises(gd.SpecError, match="ranks takes Points"):
        gd.ranks(x.read(0, 30), [[0, 1]])  # pyright: ignore[reportArgumentType]
    with pytest.raises(gd.SpecError, match=r"\(30, 30\), but the shape \(30, 29\) came"):
        gd.ranks(x, [[0, 1]], exclude=np.zeros((30, 29), bool))
    everything = np.ones((30, 30), bool)
    assert gd.ranks(x, [[0, 1]], exclude=everything).compute().ranks.tolist() == [1]


@pytest.mark.parametrize("settings", [{"array": "numpy"}, {"array": "torch"}])
@pytest.mark.parametrize("space", ["Sphere", "Euclidean"])
def test_rows_that_are_no_numbers_are_not_certified(space: str, settings: dict[str, str]) -> None:
    x = rows(space, 60)
    x[7] = np.nan
    with dask.config.set({"geodask.validate": "none", "geodask.array": settings["array"]}):
        points = gd.points(x, SPACES[space])
        result = gd.ranks(points, [[0, 7], [7, 3], [2, 9]]).compute()
    assert not result.certified.any()
    assert result.report.certified == 0.0
    assert np.isnan(result.distances[:2]).all() or space == "Sphere"
    assert result.ranks[0] == 59  # after all that can be ranked
    ranks = all_ranks(SPACES[space], x, x)
    assert result.ranks[2] == brute_ranks(ranks, np.array([[2, 9]]))[0]


# --- what is made of them -------------------------------------------------------------------------


def average_precision(ranks: np.ndarray, targets: set[int], row: int, mask: np.ndarray) -> float:
    """Of the targets, in the ranking of them and all that is not excluded."""
    order = [int(j) for j in np.lexsort((np.arange(len(ranks)), ranks[row])) if j != row]
    ranking = [j for j in order if j in targets or not mask[row, j]]
    hits = np.cumsum([j in targets for j in ranking])
    return float(np.mean([hits[at] / (at + 1) for at, j in enumerate(ranking) if j in targets]))


@pytest.mark.parametrize("excluding", ["nothing", "the pairs", "some", "equal rows"])
def test_mean_rank_and_map(excluding: str) -> None:
    x, pairs = rows("Sphere", 200), random_pairs(200, 500)
    if excluding == "equal rows":
        x[:] = x[0]
    mask = np.zeros((200, 200), bool)
    if excluding in ("some", "equal rows"):
        mask = random_mask(200, 200, 0.3)
    if excluding == "the pairs":
        mask[pairs[:, 0], pairs[:, 1]] = True
    plan = gd.ranks(gd.points(x, SPACES["Sphere"]), pairs, exclude=mask)
    ranks = all_ranks(SPACES["Sphere"], x, x)
    expected = np.mean(
        [
            average_precision(ranks, set(pairs[pairs[:, 0] == row, 1]), row, mask)
            for row in np.unique(pairs[:, 0])
        ]
    )
    for result in (plan.compute(), plan.persist()):
        assert result.mean_rank == brute_ranks(ranks, pairs, mask).mean()
        assert result.mean_average_precision == pytest.approx(expected, rel=1e-12)
        assert isinstance(result.mean_average_precision, float)


def test_map_of_the_pairs_is_the_same_filtered_or_not() -> None:
    x, pairs = gd.points(rows("Sphere", 200), SPACES["Sphere"]), random_pairs(200, 500)
    ones = np.ones(len(pairs), bool)
    known = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(200, 200))
    raw, filtered = gd.ranks(x, pairs).compute(), gd.ranks(x, pairs, exclude=known).compute()
    assert filtered.mean_rank < raw.mean_rank
    assert filtered.mean_average_precision == raw.mean_average_precision
    assert repr(raw) == "<ranks of 550 pairs, in memory; certified 100.00%>"
    # Mean rank as in the reconstruction of Nickel and Kiela: of N targets, less N (N - 1) / 2.
    distinct, sizes = np.unique(np.unique(pairs, axis=0)[:, 0], return_counts=True)
    once = replace(raw, ranks=gd.ranks(x, np.unique(pairs, axis=0)).compute().ranks)
    less = (sizes * (sizes - 1) // 2).sum()
    assert len(distinct) > 3
    filtered_once = gd.ranks(x, np.unique(pairs, axis=0), exclude=known).compute()
    assert filtered_once.ranks.sum() == once.ranks.sum() - less
