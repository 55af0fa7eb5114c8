"""All pairs within a radius: exactly those of brute force, however they are cut."""

from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest

import geodask as gd
from geodask.kernels.within import DeviceWithin, HostWithin, rank_limit
from geodask.ops.within import WithinResult
from graphs import SPACES, all_ranks, rows
from neighbours import NUMPY, TORCH, cut
from test_growth import interrupted

HOSTS = [(HostWithin, TORCH), (HostWithin, NUMPY), (DeviceWithin, TORCH), (DeviceWithin, NUMPY)]
RADII = {"Sphere": 0.6, "Euclidean": 1.5, "PoincareBall": 1.2}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e6, 5e12))
    monkeypatch.setattr("geodask.ops.near.PIECE", (37, 211))


def brute(
    on: gd.Manifold, x: np.ndarray, y: np.ndarray | None, radius: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, other, distance), in order."""
    distances = on.rank_to_dist(all_ranks(on, x, x if y is None else y))
    near = distances <= radius
    row, other = np.nonzero(np.triu(near, 1) if y is None else near)
    return row, other, distances[row, other]


def right(result: WithinResult, of: tuple[np.ndarray, ...], n: int) -> None:
    for name, expected in zip(("row", "other", "distance"), of, strict=True):
        assert np.asarray(getattr(result, name)).tobytes() == expected.tobytes(), name
    assert (np.asarray(result.degrees) == np.bincount(of[0], minlength=n)).all()
    assert np.asarray(result.certified).all()
    assert np.asarray(result.indptr).tolist() == [0, *np.cumsum(np.asarray(result.degrees))]


def data(space: str) -> tuple[gd.Manifold, np.ndarray]:
    x = rows(space, 301)
    x[100:130] = x[:30]
    x[200:220] = x[3]
    return SPACES[space], x


# --- kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HOSTS, ids=lambda kind: f"{kind[0].__name__}-{kind[1].library}")
@pytest.mark.parametrize("space", SPACES)
def test_every_kernel_finds_the_pairs(space: str, kind: Any) -> None:
    on, x = data(space)
    ranks = all_ranks(on, x, x)
    radius = float(np.quantile(on.rank_to_dist(ranks), 0.2))
    running = kind[0](on, x[:70], radius, kind[1])
    running.only_after(np.arange(70))
    found = []
    for start, stop in cut(301, 93):
        running.fold(x[start:stop], start)
        found.append(running.take())
    row, other, rank = map(np.concatenate, zip(*found, strict=True))
    near = np.triu(on.rank_to_dist(ranks[:70]) <= radius, 1)
    got = np.zeros_like(near)
    got[row, other] = True
    assert (got == near).all()
    assert len(row) == near.sum() == running.counts.sum()
    assert (rank == ranks[row, other]).all()
    assert running.certified.all()


@pytest.mark.parametrize("space", SPACES)
def test_no_rank_within_exceeds_the_limit(space: str) -> None:
    # Of neighbouring ranks the computed distances fall now and then.
    on, fell = SPACES[space], 0
    for radius in (1e-9, 0.3, 1.0, 3.0):
        first = np.array([rank_limit(on, radius * (1 - 2.0**-47))]).view(np.int64)
        ranks = (first + np.arange(20_000)).view(np.float64)
        distances = on.rank_to_dist(ranks)
        falls = np.flatnonzero(np.diff(distances) < 0)
        fell += len(falls)
        for each in distances[[0, 100, *falls[:20]]]:
            assert ranks[distances <= each].max() <= rank_limit(on, float(each))
    assert fell > 10 or space == "Euclidean"
    assert rank_limit(on, np.inf) == np.inf
    assert on.rank_to_dist(np.array([rank_limit(on, 0.0)]))[0] == 0


# --- plans --------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("verb", ["compute", "persist"])
def test_pairs_of_one_set_and_of_two(space: str, verb: str) -> None:
    on, x = data(space)
    points, radius = gd.points(x, on), RADII[space]
    own = brute(on, x, None, radius)
    assert 200 < len(own[0]) < 20_000
    right(getattr(gd.within(points, radius=radius), verb)(), own, 301)
    across = getattr(gd.within(points[:50], points, radius=radius), verb)()
    right(across, brute(on, x[:50], x, radius), 50)


@pytest.mark.parametrize("n", [0, 1, 2, 37])
@pytest.mark.parametrize("radius", [0, 4.0, np.inf])
def test_few_rows_no_radius_and_all_there_is(n: int, radius: float) -> None:
    on = gd.Sphere(5)
    x = on.random(40, seed=0)[:n]
    x[20:30] = x[10:11]
    found = gd.within(gd.points(x, on), radius=radius).compute()
    right(found, brute(on, x, None, radius), n)
    assert len(found.row) == (n * (n - 1) // 2 if radius else 55 * (n == 37))  # 11 equal rows


def test_rows_in_memory_are_searched_in_long_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, fold = [], HostWithin.fold

    def counted(self: HostWithin, y: np.ndarray, first: int) -> None:
        lengths.append(len(y))
        fold(self, y, first)

    monkeypatch.setattr(HostWithin, "fold", counted)
    on, x = data("Sphere")
    x = gd.points(x, on)
    plan = gd.within(x, x[:40], radius=0.6)
    with dask.config.set({"geodask.device": "cpu"}):
        writing = plan._writing(plan._counting.compute())
        lengths.clear()
        writing.compute()
    assert set(lengths) == {40}


def test_a_row_with_more_pairs_than_a_piece_is_cut() -> None:
    on, x = gd.Sphere(4), np.tile(gd.Sphere(4).random(1, seed=0), (300, 1))
    found = gd.within(gd.points(x, on), gd.points(x[:7], on), radius=0).persist()
    right(found, brute(on, x, x[:7], 0), 300)
    found = gd.within(gd.points(x[:7], on), gd.points(x, on), radius=0).persist()
    right(found, brute(on, x[:7], x, 0), 7)
    assert found.row.numblocks[0] > 7


def test_rows_that_operands_cannot_hold_are_found() -> None:
    on, x = gd.Euclidean(5), rows("Euclidean", 200).astype(np.float64)
    x[::3] *= 1e25
    x[3:90:3] = x[0]
    right(gd.within(gd.points(x, on), radius=2.5).compute(), brute(on, x, None, 2.5), 200)


def test_more_pairs_than_asked_for_are_counted_and_kept(store: Path) -> None:
    on, x = data("Sphere")
    points = gd.points(x, on)
    total = len(brute(on, x, None, 0.6)[0])
    with pytest.raises(gd.TooManyPairsError, match=f"{total} lie within"):
        gd.within(points, radius=0.6, max_pairs=total - 1).persist()
    assert [each.name.rpartition("-")[0] for each in store.glob("within-*")] == ["within-degrees"]
    right(gd.within(points, radius=0.6, max_pairs=total).persist(), brute(on, x, None, 0.6), len(x))


def test_a_killed_run_goes_on_with_less_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    on, x = data("Sphere")
    plan = gd.within(gd.points(x, on), radius=0.6)
    with dask.config.set({"geodask.store": str(tmp_path / "another")}):
        whole = plan.persist().report.blocks_computed
    interrupted(monkeypatch, plan.persist, after=3)
    plan._counting.persist()
    interrupted(monkeypatch, plan.persist, after=3)
    with dask.config.set({"geodask.memory-per-task": "160MiB"}):
        found = plan.persist()
    assert found.report.blocks_stored >= 3  # tasks that end at once are taken in together
    assert found.report.blocks_stored + found.report.blocks_computed == whole
    right(found, brute(on, x, None, 0.6), 301)


@pytest.mark.parametrize("space", SPACES)
def test_the_estimate_holds_what_there_is(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on, x = data(space)
    plan = gd.within(gd.points(x, on), radius=RADII[space])
    total = len(brute(on, x, None, RADII[space])[0])
    assert plan.explain().interval == (total, total)  # of all rows
    monkeypatch.setattr("geodask.ops.within.SAMPLED", 60)
    found = plan.explain()
    low, high = found.interval
    assert low < total < high < 3 * total
    assert f"{found.pairs:.3g} pairs" in repr(found)
    nothing = gd.within(gd.points(x[:90], on), radius=0).explain()
    assert nothing.pairs == 0
    assert nothing.interval == (0, 90 * 3 / 60 / 2)


def test_pairs_have_tables_matrices_and_components() -> None:
    on, x = data("Sphere")
    points = gd.points(x, on, ids=[f"r{i}" for i in range(301)])
    found = gd.within(points, radius=0.6).persist()
    row, other, distance = brute(on, x, None, 0.6)
    table = found.pairs.compute()
    assert table["distance"].to_numpy().tobytes() == distance.tobytes()
    assert table["other_id"].tolist() == [f"r{i}" for i in other]
    assert isinstance(gd.within(points, radius=0.6).compute().pairs, pd.DataFrame)
    matrix = found.to_csr()
    assert (matrix.indptr == found.indptr.compute()).all()
    assert (matrix.tocoo().coords[0] == row).all()
    assert not found.to_networkx().is_directed()
    assert gd.connected_components(found)[0] == gd.connected_components(matrix)[0]


def test_workers_find_the_same(client: object) -> None:
    on, x = data("PoincareBall")
    found = gd.within(gd.points(x, on), radius=1.2).persist()
    right(found, brute(on, x, None, 1.2), 301)


@pytest.mark.parametrize("radius", [-1, np.nan, "1", True, None])
def test_what_is_no_radius_is_refused(radius: Any) -> None:
    x = gd.points(gd.Sphere(3).random(5, seed=0), gd.Sphere(3))
    with pytest.raises(ValueError, match="radius must be 0 or more"):
        gd.within(x, radius=radius)
    with pytest.raises(ValueError, match="max_pairs must be 0 or more"):
        gd.within(x, radius=1, max_pairs=-1)
