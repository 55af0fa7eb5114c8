"""Zero wrong rows and the same bytes, whatever computes them and however the work is cut."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache, reduce
from itertools import pairwise
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import brute
import geodask as gd
from geodask.arrays.product import has_bfloat16
from geodask.arrays.threads import one_thread_each
from geodask.kernels import device_search, nearest, search
from geodask.kernels.nearest import merge
from geodask.manifolds.base import rows_of
from neighbours import KERNELS, RUNNABLE, TORCH, Kernel, Question, answer, assert_right, cut

# --- the data -----------------------------------------------------------------------------------


def near_duplicates(n: int, clusters: int, dtype: str) -> np.ndarray:
    """Clusters of 20 rows that are 1e-6 apart, shuffled; the rows as the dtype stores them."""
    rng = np.random.default_rng(1)
    centres = np.repeat(gd.Sphere(n).random(clusters, seed=2), 20, axis=0)
    step = gd.Sphere(n).random(len(centres), seed=3) * 1e-6
    return rng.permutation(gd.Sphere(n).project(centres + step).astype(dtype))


def antipodal() -> np.ndarray:
    """Two clusters of 60 rows, 1e-7 wide, opposite to each other; some rows exactly so."""
    pole = gd.Sphere(7).random(1, seed=4)
    near = gd.Sphere(7).project(pole + 1e-7 * np.random.default_rng(5).standard_normal((60, 7)))
    return np.concatenate([near, -near[:20], -gd.Sphere(7).project(near[20:] + 1e-9)])


def clustered(n: int, rows: int, dtype: str) -> np.ndarray:
    rng = np.random.default_rng(6)
    widths = rng.choice([1e-4, 1e-2, 1.0], rows)[:, None]
    return (
        rng.standard_normal((9, n))[rng.integers(9, size=rows)]
        + widths * rng.standard_normal((rows, n))
    ).astype(dtype)


def grid() -> np.ndarray:
    """Small integers: every rank is shared by many pairs, and some rows are equal."""
    return np.random.default_rng(7).integers(-2, 3, (211, 3)).astype(np.float32)


def on_sphere(x: np.ndarray, dtype: str) -> np.ndarray:
    return gd.Sphere(x.shape[1]).project(x.astype(np.float64)).astype(dtype)


CASES: dict[str, Callable[[], tuple[str, np.ndarray, np.ndarray | None, int]]] = {
    "sphere near-duplicates": lambda: (
        "Sphere",
        near_duplicates(384, 20, "float32"),
        None,
        10,
    ),
    "flat near-duplicates": lambda: (
        "Euclidean",
        near_duplicates(64, 12, "float32") * 30,
        None,
        25,
    ),
    "sphere random": lambda: ("Sphere", on_sphere(clustered(24, 401, "f8") ** 3, "f4"), None, 1),
    "sphere clustered": lambda: ("Sphere", on_sphere(clustered(13, 307, "f8"), "f8"), None, 17),
    "flat clustered": lambda: ("Euclidean", clustered(13, 307, "f4"), None, 17),
    "antipodal clusters": lambda: ("Sphere", antipodal(), None, 119),
    "grid": lambda: ("Euclidean", grid(), None, 9),
    "signs": lambda: (
        "Sphere",
        on_sphere(np.random.default_rng(8).choice([-1, 1], (130, 6)), "f4"),
        None,
        35,
    ),
    "half precision": lambda: ("Sphere", on_sphere(clustered(24, 307, "f8"), "f2"), None, 5),
    "one column": lambda: ("Euclidean", clustered(1, 293, "f4"), None, 3),
    "one column, cross": lambda: (
        "Euclidean",
        clustered(1, 100, "f4"),
        clustered(1, 293, "f4")[::-1].copy(),
        293,
    ),
    "cross with duplicates": lambda: (
        "Sphere",
        near_duplicates(24, 6, "float32"),
        np.concatenate([near_duplicates(24, 6, "float32")[::-1]] * 3),
        7,
    ),
    "k is all there is": lambda: ("Sphere", on_sphere(clustered(5, 151, "f8"), "f4"), None, 150),
    "k = 1000": lambda: ("Euclidean", clustered(4, 23, "f4"), clustered(4, 1009, "f4"), 1000),
    "two rows": lambda: ("Sphere", on_sphere(clustered(3, 2, "f8"), "f4"), None, 1),
    "two equal rows": lambda: ("Euclidean", np.ones((2, 5), np.float32), None, 1),
    "one query": lambda: ("Euclidean", np.ones((1, 2)), clustered(2, 31, "f8"), 31),
}


@cache
def case(name: str) -> Question:
    return Question(*CASES[name]())


def equal_rows(space: str, asking: int) -> Question:
    """The first of a thousand equal rows ask: the lowest numbers win."""
    row = on_sphere(np.random.default_rng(10).standard_normal((1, 24)), "f4")
    x, k = np.repeat(row, 1000, axis=0), 10
    lowest = np.arange(k) + (np.arange(k) >= np.arange(asking)[:, None])
    return Question(space, x[:asking], x, k, 0, lowest, np.zeros((asking, k)))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As in a task: on shared cores two threads a product are slower, not faster."""
    with one_thread_each():
        yield


# --- the definition -----------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["Sphere", "Euclidean"])
def test_ranks_and_distances_have_the_same_bytes_in_every_library(space: str) -> None:
    import array_api_strict
    import torch

    manifold = getattr(gd, space)(5)
    x, y = (10 ** (seed % 3) * gd.Sphere(5).random(20_000, seed) for seed in (11, 12))
    y[::3] = x[::3] + 1e-6 * y[::3]
    x, y = (rows if space == "Euclidean" else manifold.project(rows) for rows in (x, y))
    found = []
    for convert in (np.asarray, torch.from_numpy, array_api_strict.asarray):
        rows, others = rows_of(manifold, convert(x)), rows_of(manifold, convert(y))
        each = convert(np.arange(len(x)))
        ranks = manifold.pair_ranks(rows, each, others, each)
        results = (rows.features, ranks, manifold.rank_to_dist(ranks))
        found.append([np.asarray(result).tobytes() for result in results])
    assert found[0] == found[1] == found[2]


# --- through the kernels ------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", CASES)
def test_no_row_is_wrong(name: str, kernel: Kernel) -> None:
    of = case(name)
    assert_right(of, answer(of, kernel))
    assert_right(of, answer(of, kernel, cut(len(of.targets), 101)))


@pytest.mark.parametrize("name", CASES)
def test_the_float64_answer_is_the_exact_one_but_for_stated_rounding(name: str) -> None:
    of = case(name)
    for row in np.random.default_rng(9).choice(len(of.x), min(3, len(of.x)), replace=False):
        exact = np.array(brute.exact_ranks(of.space, of.x[row], of.targets), object)
        order = sorted(range(len(exact)), key=lambda j: (exact[j], j))
        order = [j for j in order if of.y is not None or j != row][: of.k]
        for here, there, rank in zip(of.indices[row], order, of.ranks[row], strict=True):
            allowed = Decimal(float(of.manifold.rank_error(np.float64(rank))))
            if np.isfinite(rank):
                assert abs(exact[here] - Decimal(float(rank))) <= allowed
                # Where another row belongs here in real arithmetic, it is as near within that.
                assert here == there or abs(exact[here] - exact[there]) <= 2 * allowed
            else:
                assert exact[here] > 1e28


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["grid", "sphere clustered", "cross with duplicates"])
def test_ties_across_tiles(name: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    of = case(name)
    for tile, pairs in (((7, 16), 50), ((128, 41), 1 << 20)):
        monkeypatch.setattr(search, "TILE", tile)
        monkeypatch.setattr(device_search, "DEVICE_TILE", (64, 59))
        monkeypatch.setattr(search, "PAIRS", pairs)
        assert_right(of, answer(of, kernel, cut(len(of.targets), 97)))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("space", ["Sphere", "Euclidean"])
def test_of_a_thousand_equal_rows_the_lowest_numbers_win(space: str, kernel: Kernel) -> None:
    of = equal_rows(space, 70)
    for blocks in ([(0, 1000)], cut(1000, 97)[::-1], cut(1000, 333)):
        assert_right(of, answer(of, kernel, blocks))


CHEAP = ("grid", "one column", "antipodal clusters", "cross with duplicates", "half precision")


@hypothesis_settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(CHEAP), st.data())
def test_neither_blocks_nor_their_order_matter(name: str, data: st.DataObject) -> None:
    of = case(name)
    kernel = data.draw(st.sampled_from(RUNNABLE))
    n = len(of.targets)
    inner = data.draw(st.lists(st.integers(0, n), max_size=6))
    cuts = [0, *sorted(inner), n]
    blocks = data.draw(st.permutations(list(pairwise(cuts))))
    assert_right(of, answer(of, kernel, blocks))


def test_parts_merge_to_the_whole_in_any_order() -> None:
    of = case("grid")
    parts = [answer(of, RUNNABLE[0], [span]) for span in cut(len(of.targets), 53)]
    for some in (parts, parts[::-1]):
        assert_right(of, reduce(merge, some))


def test_too_few_targets_leave_places_empty() -> None:
    of = case("grid")
    indices, ranks, certified = answer(of, RUNNABLE[0], [(0, 4)])
    assert (indices[10:, :4] < 4).all()
    assert (indices[:, 4:] == nearest.NOBODY).all()
    assert np.isinf(ranks[:, 4:]).all()
    assert certified.all()


# --- through plans ------------------------------------------------------------------------------


def assert_same(of: Question, result: Any) -> None:
    distances = of.manifold.rank_to_dist(of.ranks)
    assert (np.asarray(result.indices) == of.indices).all()
    assert np.asarray(result.distances).tobytes() == distances.tobytes()
    assert np.asarray(result.certified).all()
    assert result.report.certified == 1.0
    assert result.indices.dtype == np.int64
    assert result.distances.dtype == np.float64


def computed(of: Question, **settings: Any) -> Any:
    x = gd.points(of.x, of.manifold)
    y = None if of.y is None else gd.points(of.y, of.manifold)
    with dask.config.set({f"geodask.{name.replace('_', '-')}": v for name, v in settings.items()}):
        return gd.knn(x, y, k=of.k).compute()


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some ten tasks for a few hundred rows, in blocks of 16 and more."""
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e6, 4e16))


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("name", CASES)
def test_plans_give_the_same_bytes(name: str) -> None:
    of = case(name)
    assert_same(of, computed(of, threads=2))


@pytest.mark.usefixtures("many_tasks")
def test_all_others_of_a_thousand_rows() -> None:
    of = Question("Sphere", on_sphere(clustered(4, 1001, "f8"), "f4"), None, 1000)
    assert_same(of, computed(of))


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("space", ["Sphere", "Euclidean"])
def test_plans_of_a_thousand_equal_rows(space: str) -> None:
    of = replace(equal_rows(space, 1000), y=None)
    assert_same(of, computed(of))


SETTINGS: list[dict[str, Any]] = [
    {"threads": 1, "array": "numpy"},
    {"threads": 1, "array": "torch", "surrogate": "float32"},
    {"threads": 2, "array": "torch", "surrogate": "float32"},
    {"threads": 2, "array": "numpy", "surrogate": "float32"},
    {"threads": 1, "array": "torch", "surrogate": "bfloat16"},
    {"threads": 2, "array": "torch", "surrogate": "bfloat16"},
]


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("name", ["sphere near-duplicates", "grid", "cross with duplicates"])
def test_settings_do_not_change_bytes(name: str, settings: dict[str, Any]) -> None:
    if settings.get("surrogate") == "bfloat16" and not has_bfloat16(TORCH):
        pytest.skip("this processor has no bfloat16 products")
    of = case(name)
    assert_same(of, computed(of, **settings))


@pytest.mark.usefixtures("many_tasks", "client")
@pytest.mark.parametrize("name", ["sphere near-duplicates", "grid", "cross with duplicates"])
def test_a_cluster_gives_the_same_bytes(name: str) -> None:
    of = case(name)
    assert_same(of, computed(of))


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("sphere near-duplicates", 12),
        ("cross with duplicates", 8),
        ("k = 1000", 2),
        ("two rows", 1),
    ],
)
def test_little_memory_gives_the_same_bytes(name: str, times: int) -> None:
    of = case(name)
    with pytest.raises(gd.MemoryPlanError) as refused:
        computed(of, memory_per_task=1)
    (least,) = re.findall(r"needs at least (\d+) bytes", str(refused.value))
    for size in (times * int(least), 1 << 30):
        assert_same(of, computed(of, memory_per_task=size))


def layouts(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "fortran", np.asfortranarray(x)
    yield "swapped", x.astype(x.dtype.newbyteorder())
    wide = np.zeros((len(x), 2 * x.shape[1]), x.dtype)
    wide[:, 1::2] = x
    yield "strided columns", wide[:, 1::2]
    yield "strided rows", np.repeat(x, 3, axis=0)[1::3]
    yield "backwards", x[::-1].copy()[::-1]
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("name", ["half precision", "flat clustered", "sphere clustered"])
def test_the_layout_in_memory_does_not_matter(name: str) -> None:
    of = case(name)
    for label, rows in layouts(of.x):
        assert (rows == of.x).all(), label
        assert_same(of, computed(replace(of, x=rows)))


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_take_rows_that_cannot_be_written(kernel: Kernel, tmp_path: Any) -> None:
    of = case("flat clustered")
    np.save(tmp_path / "x.npy", of.x)
    mapped = np.ascontiguousarray(np.load(tmp_path / "x.npy", mmap_mode="r"))
    frozen = replace(of, x=mapped)
    assert_right(of, answer(frozen, kernel, cut(len(of.x), 101)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("space", ["Sphere", "Euclidean"])
def test_few_rows_or_none(space: str, dtype: str) -> None:
    manifold = getattr(gd, space)(3)
    rows = on_sphere(np.arange(1, 7).reshape(2, 3), dtype)
    none, one, two = (gd.points(rows[:count], manifold) for count in (0, 1, 2))
    for x, y, k in ((none, None, 1), (none, two, 2), (none, none, 5)):
        result = gd.knn(x, y, k=k).compute()
        assert result.indices.shape == result.distances.shape == (0, k)
        assert result.certified.shape == (0,)
        assert result.report.certified == 1.0
    assert gd.knn(one, one, k=1).compute().distances.tolist() == [[0.0]]
    assert gd.knn(two, k=1).compute().indices.tolist() == [[1], [0]]
    assert gd.knn(one, two, k=2).compute().indices.tolist() == [[0, 1]]
    for x, y in ((one, None), (one, none)):
        with pytest.raises(ValueError, match=r"rows to choose from, 0, but k=1 came"):
            gd.knn(x, y, k=1)
