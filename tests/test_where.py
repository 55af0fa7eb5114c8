"""Which rows may be found: masks, and groups that are kept apart."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import geodask as gd
from geodask.kernels import device_search, search
from geodask.kernels.lists import LEFT_OUT, equal_pairs
from graphs import SPACES, all_ranks, lists_of, random_mask, rows
from neighbours import KERNELS, Kernel, cut

RNG = np.random.default_rng(5)
GROUPS = RNG.integers(9, size=300)
MASK = RNG.random(300) < 0.3
SPHERE = gd.Sphere(6)


def brute(x: np.ndarray, y: np.ndarray, hidden: np.ndarray, k: int, on: Any = SPHERE) -> Any:
    """Row numbers by sorting all that may be found."""
    ranks = np.where(hidden, np.inf, all_ranks(on, x, y))
    order = np.lexsort((np.broadcast_to(np.arange(len(y)), ranks.shape), ranks), axis=1)[:, :k]
    return order, np.take_along_axis(ranks, order, axis=1)


@pytest.fixture
def values() -> np.ndarray:
    x = SPHERE.random(300, seed=1).astype(np.float32)
    x[100:110] = x[7]
    return x


def points(values: np.ndarray) -> gd.Points:
    return gd.points(values, SPHERE)


# --- kernels ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("space", SPACES)
def test_no_kernel_finds_its_own_label(
    space: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifold, x, y = SPACES[space], rows(space, 70), rows(space, 700, seed=2)
    y[100:170] = x
    ours, theirs = RNG.integers(4, size=70), RNG.integers(-1, 4, size=700)
    mask = random_mask(70, 700, 0.05)
    hidden = mask | (ours[:, None] == theirs) | (theirs == LEFT_OUT)
    indices, ranks = brute(x, y, hidden, 5, manifold)
    for tile in ((1024, 2048), (32, 128)):
        monkeypatch.setattr(search, "TILE", tile)
        monkeypatch.setattr(device_search, "DEVICE_TILE", tile)
        kind, place, precision = kernel
        running = kind(manifold, x, 5, place, precision, lists_of(mask))
        running.keep_apart(ours)
        for start, stop in cut(len(y), 333)[::-1]:
            running.fold(y[start:stop], start, theirs[start:stop])
        found = running.result()
        assert (found[0] == indices).all()
        assert found[1].tobytes() == ranks.tobytes()
        assert found[2].all()


def test_equal_pairs_are_all_of_them() -> None:
    x, y = RNG.integers(5, size=23), RNG.integers(7, size=31)
    i, j = equal_pairs(x, y)
    found = np.zeros((23, 31), int)
    np.add.at(found, (i, j), 1)
    assert (found == (x[:, None] == y)).all()
    assert len(equal_pairs(x[:0], y)[0]) == len(equal_pairs(x, y[:0])[0]) == 0


# --- plans --------------------------------------------------------------------------------------


def test_a_mask_says_who_may_be_found(values: np.ndarray) -> None:
    own = np.eye(300, dtype=bool)
    found = gd.knn(points(values), k=5, where=MASK).compute()
    assert (found.indices == brute(values, values, ~MASK | own, 5)[0]).all()
    assert found.certified.all()
    assert found.audit(60).wrong == 0
    across = gd.knn(points(values[:50]), points(values), k=5, where=MASK).compute()
    hidden = np.broadcast_to(~MASK, (50, 300))
    assert (across.indices == brute(values[:50], values, hidden, 5)[0]).all()


def test_a_mask_of_objects_is_a_mask(values: np.ndarray) -> None:
    plain = gd.knn(points(values), k=5, where=MASK).compute()
    found = gd.knn(points(values), k=5, where=MASK.astype(object)).compute()
    assert (found.indices == plain.indices).all()


def test_labels_of_two_kinds_are_refused(values: np.ndarray) -> None:
    with pytest.raises(gd.SpecError, match="of one kind"):
        gd.knn(points(values[:50]), points(values), k=5, where=(GROUPS[:50], GROUPS.astype(str)))


@pytest.mark.parametrize("kind", [int, str, np.uint8])
def test_rows_of_one_label_do_not_find_each_other(kind: type, values: np.ndarray) -> None:
    labels = GROUPS.astype(kind)
    hidden = GROUPS[:, None] == GROUPS
    found = gd.knn(points(values), k=5, where=labels).compute()
    assert (found.indices == brute(values, values, hidden, 5)[0]).all()
    pair = labels[:50], labels
    across = gd.knn(points(values[:50]), points(values), k=5, where=pair).compute()
    assert (across.indices == brute(values[:50], values, hidden[:50], 5)[0]).all()
    assert across.audit(50).wrong == 0


def test_known_pairs_and_groups_are_both_hidden(values: np.ndarray) -> None:
    mask = random_mask(300, 300, 0.2)
    hidden = mask | (GROUPS[:, None] == GROUPS)
    plan = gd.knn(points(values), k=5, exclude=sparse.csr_array(mask), where=GROUPS)
    found = plan.compute()
    assert (found.indices == brute(values, values, hidden, 5)[0]).all()
    assert found.audit(60).wrong == 0


def test_the_audit_knows_who_may_be_found(values: np.ndarray) -> None:
    from dataclasses import replace

    free = gd.knn(points(values), k=5).compute()
    for where in (MASK, GROUPS):
        held = gd.knn(points(values), k=5, where=where)
        assert replace(free, plan=held).audit(100).wrong > 30


def test_a_plan_with_labels_grows(values: np.ndarray) -> None:
    gd.knn(points(values[:280]), k=5, where=GROUPS[:280]).persist()
    found = gd.knn(points(values), k=5, where=GROUPS).persist()
    hidden = GROUPS[:, None] == GROUPS
    assert found.report.reused == pytest.approx((280 / 300) ** 2)
    assert (found.indices.compute() == brute(values, values, hidden, 5)[0]).all()


@pytest.mark.parametrize(
    ("where", "k"),
    [
        (np.arange(300) < 5, 5),
        (np.arange(300) // 295, 6),
        (np.zeros(300, int), 1),
    ],
    ids=["own row", "small rest", "one group"],
)
def test_too_few_to_choose_from_are_refused(where: Any, k: int, values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="where leaves row 0"):
        gd.knn(points(values), k=k, where=where)


def test_as_many_as_are_left_are_enough(values: np.ndarray) -> None:
    found = gd.knn(points(values), k=5, where=np.arange(300) // 295).compute()
    assert (found.indices[:295] >= 295).all()


@pytest.mark.parametrize(
    "where",
    [
        np.ones(299, bool),
        np.arange(299),
        np.arange(300.0),
        np.ones((300, 2), int),
        (np.arange(300), np.arange(300)),
        np.array([None] * 300),
        "labels",
    ],
    ids=["short mask", "short", "floats", "matrix", "pair", "none", "text"],
)
def test_what_is_neither_mask_nor_labels_is_refused(where: Any, values: np.ndarray) -> None:
    with pytest.raises(gd.SpecError, match=r"where must be|needs a label"):
        gd.knn(points(values), k=5, where=where)
