"""The full matrix of distances: that of the ranks, however it is cut."""

from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from graphs import SPACES, all_ranks, rows


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.ops.pairwise.BLOCK_BYTES", 20_000)
    monkeypatch.setattr("geodask.ops.tiling.SLICE_BYTES", 1000)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("verb", ["compute", "persist"])
def test_each_distance_is_that_of_the_ranks(space: str, verb: str) -> None:
    on, x = SPACES[space], rows(space, 131)
    expected = on.rank_to_dist(all_ranks(on, x, x))
    own = getattr(gd.pairwise(gd.points(x, on)), verb)()
    assert np.asarray(own.distances).tobytes() == expected.tobytes()
    assert (expected == expected.T).all()
    assert not expected.diagonal().any()
    across = getattr(gd.pairwise(gd.points(x[:17], on), gd.points(x, on)), verb)()
    assert np.asarray(across.distances).tobytes() == expected[:17].tobytes()
    if verb == "persist":
        assert own.distances.numblocks[0] > 5


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (1, 1), (1, 200)])
def test_few_rows(n: int, m: int) -> None:
    on = gd.Sphere(4)
    x, y = on.random(n, seed=0), on.random(m, seed=1)
    found = gd.pairwise(gd.points(x, on), gd.points(y, on)).compute().distances
    assert found.shape == (n, m)
    assert np.array_equal(found, on.rank_to_dist(all_ranks(on, x, y)))


def test_a_plan_says_what_it_takes_and_keeps_it(client: object) -> None:
    on = gd.Sphere(4)
    plan = gd.pairwise(gd.points(on.random(131, seed=0), on))
    assert plan.explain().bytes_written >= 131 * 131 * 8
    found = plan.persist()
    assert "131 x 131" in repr(found)
    assert "131 x 131" in found._repr_html_()
    assert plan.persist().report.cache_hit
    with (
        dask.config.set({"geodask.memory-per-task": "10MiB"}),
        pytest.raises(gd.MemoryPlanError, match="pairwise"),
    ):
        gd.pairwise(gd.points(on.random(130, seed=0), on)).persist()


@pytest.mark.parametrize("y", ["rows", gd.points(gd.Sphere(5).random(3, seed=0), gd.Sphere(5))])
def test_what_cannot_be_compared_is_refused(y: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"takes Points|one manifold"):
        gd.pairwise(gd.points(gd.Sphere(4).random(3, seed=0), gd.Sphere(4)), y)
