"""Known pairs that must not be returned: no kernel finds them, and the rest is the brute answer."""

from dataclasses import replace
from typing import Any

import dask
import numpy as np
import pytest
from scipy import sparse

import geodask as gd
from geodask.kernels import device_search, search
from geodask.kernels.lists import Hidden, Lists, Named
from geodask.ops.exclude import excluded_lists, heaviest, list_bytes, mask_lists
from graphs import SPACES, all_ranks, lists_of, random_mask, rows, with_own
from neighbours import KERNELS, Kernel, cut


def brute(manifold: gd.Manifold, x: np.ndarray, y: np.ndarray, mask: np.ndarray, k: int) -> Any:
    """Row numbers and ranks by sorting all that the mask leaves."""
    ranks = all_ranks(manifold, x, y)
    numbers = np.broadcast_to(np.arange(len(y)), ranks.shape)
    order = np.lexsort((numbers, ranks, mask), axis=1)[:, :k]
    return order, np.take_along_axis(ranks, order, axis=1)


# --- kernels ------------------------------------------------------------------------------------


def nearest_masks(manifold: gd.Manifold, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Masks that a kernel may get wrong: among them the nearest themselves, and nearly all."""
    ranks = all_ranks(manifold, x, y)
    places = ranks.argsort(axis=1).argsort(axis=1)
    few = ranks.argsort(axis=1)[:, ::17] if len(y) > 100 else None
    nearly = np.ones(ranks.shape, bool)
    if few is not None:
        np.put_along_axis(nearly, few[:, :7], False, axis=1)
    return {
        "nothing": random_mask(len(x), len(y), 0.0),
        "at random": random_mask(len(x), len(y), 0.1),
        "the 40 nearest": places < 40,
        "every second of the nearest": (places < 60) & (places % 2 == 0),
        "one row much": random_mask(len(x), len(y), 0.9) & (np.arange(len(x)) == 3)[:, None],
        "nearly all": nearly,
    }


MASKS = ["nothing", "at random", "the 40 nearest", "every second of the nearest", "one row much"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", [*MASKS, "nearly all"])
def test_no_kernel_finds_what_is_excluded(
    name: str, space: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifold, x, y = SPACES[space], rows(space, 70), rows(space, 700, seed=2)
    y[100:170] = x
    mask = nearest_masks(manifold, x, y)[name]
    kind, place, precision = kernel
    for k in (1, 7):
        indices, ranks = brute(manifold, x, y, mask, k)
        for tile in ((1024, 2048), (32, 128)):
            monkeypatch.setattr(search, "TILE", tile)
            monkeypatch.setattr(device_search, "DEVICE_TILE", tile)
            running = kind(manifold, x, k, place, precision, lists_of(mask))
            for start, stop in cut(len(y), 333)[::-1]:
                running.fold(y[start:stop], start)
            found = running.result()
            assert (found[0] == indices).all()
            assert found[1].tobytes() == ranks.tobytes()
            assert found[2].all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_targets_beyond_the_operands_are_excluded_too(kernel: Kernel) -> None:
    manifold, x = gd.Euclidean(5), rows("Euclidean", 40)
    y = rows("Euclidean", 300, seed=2).astype(np.float64)
    y[::3] *= 1e25  # farther than the operands can hold: measured one and all
    mask = random_mask(40, 300, 0.5)
    kind, place, precision = kernel
    running = kind(manifold, x, 110, place, precision, lists_of(mask))
    for start, stop in cut(300, 77):
        running.fold(y[start:stop], start)
    assert (running.result()[0] == brute(manifold, x, y, mask, 110)[0]).all()


def test_the_pairs_of_a_tile_are_those_of_the_mask() -> None:
    mask = random_mask(50, 90, 0.2)
    hidden = Hidden(lists_of(mask), 16)
    for begin, end in cut(50, 16):
        for first, stop in ((0, 90), (13, 40), (89, 90), (40, 40)):
            found = np.zeros((end - begin, stop - first), bool)
            found[hidden.within(slice(begin, end), Named(np.arange(first, stop)))] = True
            assert (found == mask[begin:end, first:stop]).all()


# --- masks --------------------------------------------------------------------------------------

FORMS: dict[str, Any] = {
    "dense": lambda mask: mask,
    "fortran": np.asfortranarray,
    "csr array": sparse.csr_array,
    "csc matrix": sparse.csc_matrix,
    "lil": lambda mask: sparse.lil_array(mask.astype(int)),
    "coo of floats": lambda mask: sparse.coo_array(mask * -0.5),
    "bsr": lambda mask: sparse.bsr_array(mask, blocksize=(1, 1)),
    "dok": sparse.dok_array,
}


def same(a: Any, b: Any) -> bool:
    parts = ("indices", "distances", "certified")
    return all(
        np.asarray(getattr(a, p)).tobytes() == np.asarray(getattr(b, p)).tobytes() for p in parts
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_in_any_form_is_the_same_plan(form: str) -> None:
    x, mask = gd.points(rows("Sphere", 60), SPACES["Sphere"]), random_mask(60, 60, 0.2)
    truth = gd.knn(x, k=5, exclude=mask).persist()
    given = FORMS[form](mask)
    again = gd.knn(x, k=5, exclude=given).persist()
    assert again.report.cache_hit
    assert same(again, truth)
    assert (given != FORMS[form](mask)).sum() == 0  # it is left as it was


def test_what_is_stored_and_zero_is_not_excluded() -> None:
    i, j, values = [0, 0, 1, 1, 2], [1, 1, 2, 2, 0], [1, 2, 0, 0, 5]
    mask = sparse.coo_array((values, (i, j)), shape=(4, 4))
    lists = mask_lists(mask, (4, 4))
    assert lists.starts.tolist() == [0, 1, 1, 2, 2]
    assert lists.others.tolist() == [1, 0]
    assert mask.nnz == 5
    unsorted = sparse.csr_array((np.ones(3, bool), [3, 1, 2], [0, 3, 3, 3, 3]), shape=(4, 4))
    assert mask_lists(unsorted, (4, 4)).others.tolist() == [1, 2, 3]
    assert unsorted.indices.tolist() == [3, 1, 2]


def test_a_mask_of_nothing_is_no_mask() -> None:
    x = gd.points(rows("Sphere", 60), SPACES["Sphere"])
    gd.knn(x, k=5).persist()
    for nothing in (np.zeros((60, 60), bool), np.eye(60, dtype=bool), sparse.csr_array((60, 60))):
        assert gd.knn(x, k=5, exclude=nothing).persist().report.cache_hit
    assert gd.knn(x[:0], k=5, exclude=np.zeros((0, 0), bool)).compute().indices.shape == (0, 5)


WRONG = [
    ([(0, 1), (2, 3)], "must be a mask.*but list came. Make pairs"),
    (np.zeros((9, 8), bool), r"one column a target, \(9, 9\), but the shape \(9, 8\) came"),
    (np.zeros(9, bool), r"\(9, 9\), but the shape \(9,\) came"),
    (sparse.csr_array((8, 9)), r"\(9, 9\), but the shape \(8, 9\) came"),
    (np.zeros((9, 9)), "A dense mask must be boolean, but one of float64 came"),
    (np.zeros((9, 9), object), "A dense mask must be boolean, but one of object came"),
]


@pytest.mark.parametrize(("mask", "text"), WRONG, ids=lambda value: str(type(value).__name__))
def test_what_is_no_mask_is_refused(mask: Any, text: str) -> None:
    x = gd.points(rows("Sphere", 30)[:9], SPACES["Sphere"])
    with pytest.raises(gd.SpecError, match=text):
        gd.knn(x, k=1, exclude=mask)


def test_a_row_must_keep_k_to_choose_from() -> None:
    x = gd.points(rows("Sphere", 30), SPACES["Sphere"])
    mask = np.zeros((30, 30), bool)
    mask[7, :25] = mask[9, :20] = True
    with pytest.raises(ValueError, match=r"k=6 rows to choose from, but exclude leaves row 7 5 of"):
        gd.knn(x, k=6, exclude=mask)
    mask[7, 7] = False  # the row itself is left out in any case
    with pytest.raises(ValueError, match=r"leaves row 7 5 of"):
        gd.knn(x, k=6, exclude=mask)
    with pytest.raises(ValueError, match=r"leaves row 7 6 of"):
        gd.knn(x, x, k=7, exclude=mask)
    found = gd.knn(x, k=5, exclude=mask).compute()
    assert sorted(found.indices[7]) == [25, 26, 27, 28, 29]
    assert gd.knn(x, x, k=6, exclude=mask).compute().indices[7][0] == 7


# --- plans --------------------------------------------------------------------------------------


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e6, 4e16))


def assert_brute(result: Any, x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> None:
    manifold = result.plan.inputs[0].manifold
    indices, ranks = brute(manifold, x, y, mask, result.indices.shape[1])
    assert (np.asarray(result.indices) == indices).all()
    assert np.asarray(result.distances).tobytes() == manifold.rank_to_dist(ranks).tobytes()
    assert np.asarray(result.certified).all()


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(
    "share", [0.2, *(pytest.param(each, marks=pytest.mark.long) for each in (0.001, 0.9))]
)
def test_plans_against_brute_force(space: str, share: float) -> None:
    on = SPACES[space]
    x, y = rows(space, 300), rows(space, 211, seed=2)
    both = gd.points(x, on), gd.points(y, on)
    for target, of, mask in (
        (None, x, random_mask(300, 300, share)),
        (both[1], y, random_mask(300, 211, share)),
    ):
        whole = with_own(mask) if target is None else mask
        most = int((~whole).sum(axis=1).min())
        for k in (3, most):  # all that the fullest row has left
            plan = gd.knn(both[0], target, k=k, exclude=sparse.csr_array(mask))
            assert plan.explain().blocks > 1
            assert_brute(plan.compute(), x, of, whole)


@pytest.mark.usefixtures("many_tasks")
def test_equal_rows_the_lowest_that_are_left_win() -> None:
    x = np.repeat(rows("Sphere", 30)[:1], 300, axis=0)
    mask = random_mask(300, 300, 0.5)
    result = gd.knn(gd.points(x, SPACES["Sphere"]), k=9, exclude=mask).compute()
    expected = [np.flatnonzero(~row)[:9] for row in with_own(mask)]
    assert (result.indices == expected).all()
    assert (result.distances == 0).all()


@pytest.mark.usefixtures("many_tasks", "client")
def test_a_cluster_gives_the_same_bytes_and_finds_them_again() -> None:
    x, mask = rows("Sphere", 300), random_mask(300, 300, 0.2)
    points = gd.points(x, SPACES["Sphere"])
    result = gd.knn(points, k=6, exclude=mask).persist()
    assert_brute(result, x, x, with_own(mask))
    assert gd.knn(points, k=6, exclude=mask).persist().report.cache_hit
    mask[0, 5] ^= True
    other = gd.knn(points, k=6, exclude=mask).persist()
    assert not other.report.cache_hit
    assert_brute(other, x, x, with_own(mask))
    assert not gd.knn(points, k=6).persist().report.cache_hit


@pytest.mark.usefixtures("many_tasks")
def test_little_memory_gives_the_same_bytes() -> None:
    x, mask = rows("Sphere", 300), random_mask(300, 300, 0.4)
    plan = gd.knn(gd.points(x, SPACES["Sphere"]), k=6, exclude=mask)
    needed = plan.explain().task_bytes
    with dask.config.set({"geodask.memory-per-task": needed // 2}):
        assert plan.explain().task_bytes <= needed // 2
        assert_brute(plan.compute(), x, x, with_own(mask))


def test_memory_counts_the_lists() -> None:
    x = gd.points(rows("Sphere", 2000), SPACES["Sphere"])
    mask = np.zeros((2000, 2000), bool)
    mask[:300, 10:] = True
    lists = excluded_lists(mask, mask.shape, np.arange(2000))
    assert lists is not None
    most = heaviest(lists)
    for rows_held in (1, 2, 3, 8, 100, 256, 1500, 2000):
        windows = lists.starts[rows_held:] - lists.starts[:-rows_held]
        assert list_bytes(most, rows_held) >= 64 * windows.max()
    assert list_bytes(most, 2000) == 64 * len(lists.others)
    assert list_bytes((), 7) == 0
    without, with_mask = gd.knn(x, k=3).explain(), gd.knn(x, k=3, exclude=mask).explain()
    assert with_mask.task_bytes >= without.task_bytes + 64 * mask.sum()


def test_the_audit_knows_what_is_excluded() -> None:
    x, mask = rows("Sphere", 300), random_mask(300, 300, 0.3)
    points = gd.points(x, SPACES["Sphere"])
    result = gd.knn(points, k=6, exclude=mask).compute()
    found = result.audit(100)
    assert (found.rows, found.wrong) == (100, 0)
    assert found.distance_error < 1e-14
    free = gd.knn(points, k=6).compute()
    assert free.audit(300).wrong == 0
    assert replace(free, plan=result.plan).audit(300).wrong > 200  # it holds excluded pairs
    assert replace(result, plan=free.plan).audit(300).wrong > 200  # it lacks nearer ones


def test_the_mask_is_read_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from geodask.ops import knn as knn_module

    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e6, 4e16))
    read, seen = knn_module.read_lists, []

    def note(inputs: Any, start: int, stop: int) -> Lists:
        seen.append((start, stop))
        return read(inputs, start, stop)

    monkeypatch.setattr(knn_module, "read_lists", note)
    plan = gd.knn(
        gd.points(rows("Sphere", 300), SPACES["Sphere"]), k=2, exclude=random_mask(300, 300, 0.1)
    )
    blocks = plan.explain().blocks
    plan.compute()
    assert max(stop - start for start, stop in seen) <= -(-300 // blocks) + 16
