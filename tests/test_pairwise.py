"""The full matrix of distances: that of the ranks, however it is cut, and of one set each once."""

import os
import tracemalloc
from hashlib import blake2b
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.engine.operation import Budget, Work
from geodask.events import Stats
from geodask.ops.pairwise import Pairwise
from graphs import SPACES, all_ranks, rows
from test_resume import start_and_kill

MODELS = {
    **SPACES,
    "curved sphere": gd.Sphere(4, curvature=2.5),
    "curved ball": gd.PoincareBall(4, curvature=-0.3),
    "Lorentz": gd.Lorentz(5),
    "HalfSpace": gd.HalfSpace(4),
    "HyperbolicPolar": gd.HyperbolicPolar(4),
}
N = 131
TILES = 7


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 20 x 20, where there are as many rows, and slices of a few rows."""
    monkeypatch.setattr("geodask.ops.pairwise.SIDE", (1, 20))
    monkeypatch.setattr("geodask.ops.pairwise.TILES", 2)
    monkeypatch.setattr("geodask.ops.tiling.SLICE_BYTES", 200)


def sphere_plan() -> Any:
    on = SPACES["Sphere"]
    return gd.pairwise(gd.points(rows("Sphere", N), on))


def truth() -> bytes:
    on, x = SPACES["Sphere"], rows("Sphere", N)
    return on.rank_to_dist(all_ranks(on, x, x)).tobytes()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("verb", ["compute", "persist"])
def test_each_distance_is_that_of_the_ranks(space: str, verb: str) -> None:
    on, x = SPACES[space], rows(space, N)
    expected = on.rank_to_dist(all_ranks(on, x, x))
    own = getattr(gd.pairwise(gd.points(x, on)), verb)()
    assert np.asarray(own.distances).tobytes() == expected.tobytes()
    assert not expected.diagonal().any()
    across = getattr(gd.pairwise(gd.points(x[:17], on), gd.points(x, on)), verb)()
    assert np.asarray(across.distances).tobytes() == expected[:17].tobytes()
    if verb == "persist":
        assert own.distances.numblocks == (TILES, TILES)
        assert across.distances.numblocks == (2, 3)


@pytest.mark.parametrize("space", MODELS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_one_set_has_the_bytes_of_two_equal_ones(space: str, dtype: str) -> None:
    on = MODELS[space]
    x = on.random(N, seed=3)
    x[50:60] = x[:10]
    x = gd.points(x.astype(dtype), on, project=True)
    one, two = gd.pairwise(x).compute(), gd.pairwise(x, x).compute()
    assert one.distances.tobytes() == two.distances.tobytes()
    assert one.distances.tobytes() == np.ascontiguousarray(one.distances.T).tobytes()
    assert not one.distances.diagonal().any()


def test_of_one_set_each_pair_of_tiles_is_measured_once() -> None:
    x = gd.points(rows("Sphere", N), SPACES["Sphere"])
    one, two = gd.pairwise(x).compute().report, gd.pairwise(x, x).compute().report
    sides = [20] * 6 + [11]
    assert two.stats["measured"] == N * N
    assert one.stats["measured"] == (N * N + sum(side * side for side in sides)) / 2
    assert one.blocks_computed == TILES * (TILES + 1) / 2
    assert one.stats["rows"] == two.stats["rows"] == N
    assert gd.pairwise(x).explain().flops < 0.6 * gd.pairwise(x, x).explain().flops


@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0), (1, 1), (1, 200), (200, 1), (41, 40)])
def test_few_rows(n: int, m: int) -> None:
    on = gd.Sphere(4)
    x, y = on.random(n, seed=0), on.random(m, seed=1)
    plan = gd.pairwise(gd.points(x, on), gd.points(y, on))
    for found in (plan.compute(), plan.persist(), plan.persist(), plan.compute()):
        distances = np.asarray(found.distances)
        assert distances.shape == (n, m)
        assert np.array_equal(distances, on.rank_to_dist(all_ranks(on, x, y)))
    assert found.report.cache_hit


@pytest.mark.parametrize("n", [0, 1, 2, 19, 20, 21, 40, 61])
def test_one_set_of_few_rows(n: int) -> None:
    on = gd.Sphere(4)
    x = on.random(n, seed=0)
    plan = gd.pairwise(gd.points(x, on))
    for found in (plan.compute(), plan.persist(), plan.persist()):
        assert np.array_equal(np.asarray(found.distances), on.rank_to_dist(all_ranks(on, x, x)))
    assert found.report.cache_hit


@pytest.mark.parametrize("m", [None, 1, 40, 200])
@pytest.mark.parametrize("n", [0, 1, 7, 20, 41, 131, 400])
def test_the_blocks_write_every_chunk_once(n: int, m: int | None) -> None:
    on = gd.Sphere(4)
    x = gd.points(on.random(n, seed=0), on)
    inputs = (x,) if m is None else (x, gd.points(on.random(m, seed=1), on))
    layout = Pairwise().layout(inputs)
    (array,) = Pairwise().outputs(inputs, layout)
    blocks = range(layout.blocks)
    written = [chunk for block in blocks for chunk in layout.chunks(block)]
    assert sorted(written) == list(range(array.blocks))
    for block in blocks:
        regions = [array.region(chunk) for chunk in layout.chunks(block)]
        assert regions[0] == (slice(*layout.block(block)), slice(*layout.columns_of(block)))
        assert regions[-1] in (regions[0], regions[0][::-1])
    done = [layout.block(block) for block in blocks if layout.completes_rows(block)]
    assert sum(stop - start for start, stop in done) == n


def test_a_plan_says_what_it_takes_and_keeps_it(client: object) -> None:
    plan = sphere_plan()
    stated = plan.explain()
    assert stated.blocks == TILES * (TILES + 1) / 2
    found = plan.persist()
    assert found.report.stats["bytes_written"] == stated.bytes_written == (TILES * 20) ** 2 * 8
    assert "131 x 131" in repr(found)
    assert "131 x 131" in found._repr_html_()
    assert np.asarray(found.distances).tobytes() == truth()
    assert plan.persist().report.cache_hit
    assert plan.explain().hit
    with (
        dask.config.set({"geodask.memory-per-task": "10MiB"}),
        pytest.raises(gd.MemoryPlanError, match="pairwise"),
    ):
        gd.pairwise(gd.points(SPACES["Sphere"].random(130, seed=0), SPACES["Sphere"])).persist()


def test_undefined_distances_are_counted() -> None:
    x = rows("Euclidean", N)
    x[77] = np.nan
    with dask.config.set({"geodask.validate": "none"}):
        found = gd.pairwise(gd.points(x, SPACES["Euclidean"])).compute()
    assert np.isnan(found.distances[77]).all()
    assert np.isnan(found.distances).sum() == 2 * N - 1
    assert found.report.health["undefined"] > 0


def test_memory_of_a_task_does_not_grow_with_the_columns() -> None:
    on = gd.Sphere(4)
    x, y = gd.points(on.random(100, seed=0), on), gd.points(on.random(20, seed=1), on)
    longer = gd.concat([y] * 50)
    sizes = [gd.pairwise(x, each).explain().task_bytes for each in (y, longer)]
    assert sizes[0] == sizes[1]
    assert gd.pairwise(x, longer).explain().blocks == 50 * gd.pairwise(x, y).explain().blocks


@pytest.mark.parametrize("on", [gd.Sphere(64), gd.Lorentz(64), gd.HyperbolicPolar(64)], ids=str)
def test_a_task_keeps_to_its_memory(on: gd.Manifold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.ops.pairwise.SIDE", (1, 1024))
    monkeypatch.setattr("geodask.ops.pairwise.TILES", 1)
    monkeypatch.setattr("geodask.ops.tiling.SLICE_BYTES", 24 << 20)
    inputs = (gd.points(on.random(700, seed=0).astype(np.float32), on),)
    layout, budget = Pairwise().layout(inputs), Budget("numpy", "cpu", "float32")
    work = Work(inputs, layout, budget, Stats())
    tracemalloc.start()
    try:
        assert Pairwise().finish(work, 0, ())["distances"].shape == (700, 700)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < Pairwise().cost(inputs, layout, budget).task_bytes


def test_any_zarr_reader_reads_the_matrix(tmp_path: Path) -> None:
    sphere_plan().persist(tmp_path / "result")
    array: Any = zarr.open_array(tmp_path / "result" / "distances", mode="r")
    assert array.chunks == (20, 20)
    assert array[...].tobytes() == truth()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("chunk", ["2/5", "5/2", "3/3", "6/6", "0/6"])
@pytest.mark.parametrize("damage", [flip, os.unlink])
def test_a_damaged_tile_is_an_error_and_its_task_alone_mends_it(chunk: str, damage: Any) -> None:
    found = sphere_plan().persist()
    damage(Path(found.report.url) / "distances" / "c" / chunk)
    row, column = (int(part) for part in chunk.split("/"))
    with pytest.raises(gd.StoreError, match="verify=True"):
        found.distances.blocks[row, column].compute()
    with pytest.raises(gd.StoreError, match="verify=True"):
        sphere_plan().compute()
    mended = sphere_plan().persist(verify=True)
    assert mended.report.blocks_computed == 1
    assert mended.report.blocks_stored == TILES * (TILES + 1) / 2 - 1
    assert np.asarray(mended.distances).tobytes() == truth()
    assert sphere_plan().persist(verify=True).report.cache_hit


def test_tiles_that_changed_places_are_noticed() -> None:
    found = sphere_plan().persist()
    folder = Path(found.report.url) / "distances" / "c"
    upper, lower = (folder / "1" / "4").read_bytes(), (folder / "4" / "1").read_bytes()
    (folder / "1" / "4").write_bytes(lower)
    (folder / "4" / "1").write_bytes(upper)
    with pytest.raises(gd.StoreError, match="verify=True"):
        np.asarray(found.distances)


CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
import geodask as gd
import geodask.ops.pairwise as pairwise
from graphs import SPACES, rows

pairwise.SIDE, pairwise.TILES = (1, 20), 2
all_dists = pairwise.all_dists

def slow(*blocks):
    time.sleep(0.2)
    return all_dists(*blocks)

pairwise.all_dists = slow
gd.pairwise(gd.points(rows("Sphere", 131), SPACES["Sphere"])).persist()
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_elsewhere_to_the_same_bytes(
    store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(tests=str(Path(__file__).parent)))
    start_and_kill(script, store, of="pairwise", at=12)
    tasks = TILES * (TILES + 1) // 2
    request.getfixturevalue("client")
    resumed = sphere_plan().persist()
    assert 6 <= resumed.report.blocks_stored < tasks
    assert resumed.report.blocks_computed + resumed.report.blocks_stored == tasks
    assert np.asarray(resumed.distances).tobytes() == truth()


def test_the_bytes_change_only_with_the_version() -> None:
    """A golden digest: where it changes, raise `Pairwise.version` with it."""
    numbers = np.random.default_rng(3).integers(-99, 100, (60, 8)).astype(np.float64)
    found = gd.pairwise(gd.points(numbers, gd.Euclidean(8))).compute().distances
    assert blake2b(found, digest_size=20).hexdigest() == "8b8c1d08e7bbd8f10bf9aca03d35609bb647937a"


@pytest.mark.parametrize("y", ["rows", gd.points(gd.Sphere(5).random(3, seed=0), gd.Sphere(5))])
def test_what_cannot_be_compared_is_refused(y: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"takes Points|one manifold"):
        gd.pairwise(gd.points(gd.Sphere(4).random(3, seed=0), gd.Sphere(4)), y)
