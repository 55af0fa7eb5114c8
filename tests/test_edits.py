"""Data that are edited: what changed is computed anew, and the result is that of one run.

How many pairs may be compared is counted here from the inputs and the stored answer alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import dask
import numpy as np
import pytest
from scipy import sparse

import geodask as gd
from geodask.ops.neighbours import KnnResult
from geodask.ops.rowset import RowSet
from geodask.ops.tiling import Tiling
from geodask.storage.entries import NOTES
from test_growth import interrupted, same
from test_store import truncate

BALL = gd.PoincareBall(5)
BLOCK = 64
"""Rows of a digest in these tests."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests of 64 rows, and many tasks for few rows."""
    monkeypatch.setattr("geodask.engine.census.DIGEST_BYTES", BLOCK * 4 * BALL.n)
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (2e6, 5e12))
    monkeypatch.setattr("geodask.ops.compared.RATIO", 3)


def rows(count: int, seed: int = 0) -> np.ndarray:
    """Rows of which some are equal, and a few have few digits left."""
    x = BALL.random(1000, seed=seed).astype(np.float32)
    x[70:75] = x[400:405] = x[7]
    x[::97] *= (1 - 8e-7) / np.linalg.norm(x[::97], axis=1, keepdims=True)
    return x[:count]


@dataclass(frozen=True)
class Asked:
    """What is asked of a kNN."""

    x: np.ndarray
    y: np.ndarray | None = None
    where: Any = None
    exclude: np.ndarray | None = None
    k: int = 4

    @property
    def plan(self) -> Any:
        y = None if self.y is None else gd.points(self.y, BALL)
        exclude = None if self.exclude is None else sparse.csr_array(self.exclude)
        what = {"k": self.k, "where": self.where, "exclude": exclude}
        return gd.knn(gd.points(self.x, BALL), y, **what)

    def run(self) -> KnnResult:
        return self.plan.persist()

    def from_scratch(self, tmp_path: Path) -> KnnResult:
        with dask.config.set({"geodask.store": mkdtemp(dir=tmp_path)}):
            return self.run()

    @property
    def targets(self) -> np.ndarray:
        return self.x if self.y is None else self.y

    @property
    def hidden(self) -> np.ndarray:
        """Which targets each row must not find: (n, m)."""
        pairs = np.zeros((len(self.x), len(self.targets)), bool)
        if self.exclude is not None:
            pairs |= self.exclude
        if self.y is None:
            np.fill_diagonal(pairs, True)
        return pairs

    @property
    def mask(self) -> np.ndarray:
        return np.ones(len(self.targets), bool) if self.where is None else self.where


def fresh(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which rows are in blocks of digests that are not the same, or beyond them."""
    found = np.ones(len(after), bool)
    for start in range(0, len(before), BLOCK):
        stop = min(start + BLOCK, len(before))
        if stop <= len(after) and before[start:stop].tobytes() == after[start:stop].tobytes():
            found[start:stop] = False
    return found


def pairs_to_compare(before: Asked, after: Asked, answer: np.ndarray) -> int:
    """How many pairs the stored answer to one question leaves of another, under a mask at most."""
    n, m = min(len(before.x), len(after.x)), min(len(before.targets), len(after.targets))
    rows = fresh(before.x, after.x)
    rows[:n] |= (before.hidden[:n, :m] != after.hidden[:n, :m]).any(axis=1)
    rows[:n] |= before.hidden[:n, m:].any(axis=1) | after.hidden[:n, m:].any(axis=1)
    others = fresh(before.targets, after.targets)
    others[:m] |= before.mask[:m] != after.mask[:m]
    gone = np.ones(len(before.targets), bool)
    gone[:m] = others[:m]
    gone &= before.mask
    rows[:n] |= gone[answer[:n]].any(axis=1)
    come = others & after.mask
    return int(rows.sum() * after.mask.sum() + (~rows).sum() * come.sum())


def check(before: Asked, after: Asked, tmp_path: Path) -> KnnResult:
    """Asks one thing after the other; the second as cheaply as it can be, and as from scratch."""
    stored, found = before.run(), after.run()
    expected = pairs_to_compare(before, after, np.asarray(stored.indices))
    whole = len(after.x) * int(after.mask.sum())
    assert found.report.stats["pairs"] == expected < whole
    assert found.report.reused == pytest.approx(1 - expected / whole)
    as_from_scratch(found, after, tmp_path)
    return found


def as_from_scratch(found: KnnResult, asked: Asked, tmp_path: Path) -> None:
    scratch = asked.from_scratch(tmp_path)
    same(found, scratch)
    assert scratch.report.reused == 0
    assert found.report.health == scratch.report.health
    assert found.report.certified == scratch.report.certified


def without(count: int, *gone: int | slice) -> np.ndarray:
    """A mask of all rows but some."""
    kept = np.ones(count, bool)
    for each in gone:
        kept[each] = False
    return kept


def edited(x: np.ndarray, *where: int | slice) -> np.ndarray:
    """Rows of which some have other values."""
    x = x.copy()
    for each in where:
        x[each] = x[each] * np.float32(0.5)
    return x


X, Y = rows(601), rows(1000, seed=1)[::-1][:499].copy()
MASK = without(601, 3, 7, 70, slice(590, 595))
SHOWN = ~MASK | (np.arange(601) % 2 == 0)
EDGES = np.zeros((601, 601), bool)
EDGES[np.arange(0, 500, 7), np.arange(1, 501, 7)] = True
FIRST, LAST = EDGES & (np.arange(601) < 30), EDGES & (np.arange(601) > 30)
NO_300 = without(601, 300)

SELF = {
    "append": (Asked(X[:509]), Asked(X)),
    "delete": (Asked(X), Asked(X, where=MASK)),
    "delete more": (Asked(X, where=MASK), Asked(X, where=MASK & without(601, 8, 400))),
    "show again": (Asked(X, where=MASK), Asked(X, where=without(601, 7))),
    "show all": (Asked(X, where=MASK), Asked(X)),
    "delete and append": (Asked(X[:550], where=MASK[:550]), Asked(X, where=MASK)),
    "delete, show and append": (Asked(X[:550], where=MASK[:550]), Asked(X, where=SHOWN)),
    "a block in the middle": (Asked(X), Asked(edited(X, 200))),
    "two blocks and a mask": (Asked(X), Asked(edited(X, 70, slice(250, 260)), where=MASK)),
    "a block and more rows": (Asked(X[:550]), Asked(edited(X, 100))),
    "the block that was cut": (Asked(X[:550]), Asked(edited(X, 545))),
    "a hidden row": (Asked(X, where=NO_300), Asked(edited(X, 300), where=NO_300)),
    "fewer rows": (Asked(X), Asked(X[:509])),
    "fewer rows, another block": (Asked(X), Asked(edited(X[:509], 0))),
    "equal rows": (Asked(X, where=without(601, 7, 70)), Asked(X, where=without(601, 71, 400))),
    "excluded pairs, append": (Asked(X[:509], exclude=EDGES[:509, :509]), Asked(X, exclude=EDGES)),
    "more excluded pairs": (Asked(X), Asked(X, exclude=FIRST)),
    "fewer excluded pairs": (Asked(X, exclude=EDGES), Asked(X, exclude=LAST)),
    "excluded pairs, delete": (Asked(X, exclude=EDGES), Asked(X, exclude=EDGES, where=MASK)),
}


@pytest.mark.parametrize("name", SELF)
def test_an_edited_set_has_the_neighbours_of_one_run(name: str, tmp_path: Path) -> None:
    check(*SELF[name], tmp_path)


CROSS = {
    "append": (Asked(X[:509], Y[:450]), Asked(X, Y)),
    "delete": (Asked(X, Y), Asked(X, Y, where=MASK[:499])),
    "show all": (Asked(X, Y, where=MASK[:499]), Asked(X, Y)),
    "a block of queries": (Asked(X, Y), Asked(edited(X, 99), Y)),
    "a block of targets": (Asked(X, Y), Asked(X, edited(Y, 99))),
    "both, and a mask": (Asked(X[:509], Y), Asked(edited(X, 9), edited(Y, 99), where=MASK[:499])),
    "fewer of both": (Asked(X, Y), Asked(X[:409], Y[:399])),
    "excluded pairs": (
        Asked(X, Y, exclude=EDGES[:, :499]),
        Asked(X, Y, exclude=EDGES[:, :499] & (np.arange(601) > 99)[:, None]),
    ),
}


@pytest.mark.parametrize("name", CROSS)
def test_either_side_may_be_edited(name: str, tmp_path: Path) -> None:
    check(*CROSS[name], tmp_path)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(each, marks=pytest.mark.long) for each in range(4, 12))]
)
def test_any_edits_one_after_the_other(seed: int, tmp_path: Path) -> None:
    rng, asked = np.random.default_rng(seed), Asked(X[: 300 + seed], k=1 + seed % 5)
    if seed % 3 == 2:
        asked = replace(asked, y=Y[:331])
    asked.run()
    for _ in range(3):
        asked = random_edit(asked, rng)
        as_from_scratch(asked.run(), asked, tmp_path)


def random_edit(asked: Asked, rng: np.random.Generator) -> Asked:
    """The same rows but for one row, some behind, or some that are shown or hidden."""
    x, y = asked.x, asked.y
    if rng.random() < 0.4:
        x = edited(x, int(rng.integers(len(x))))
    if rng.random() < 0.5:
        x = np.concatenate([x[: len(x) - rng.integers(20)], rows(int(rng.integers(40)), seed=3)])
    if y is not None and rng.random() < 0.4:
        y = edited(y, int(rng.integers(len(y))))
    mask = np.ones(len(x if y is None else y), bool)
    if rng.random() < 0.7:
        mask[rng.integers(len(mask), size=rng.integers(1, 9))] = False
        mask[: len(asked.mask)] &= asked.mask[: len(mask)] | (rng.random() < 0.5)
    return replace(asked, x=x, y=y, where=mask)


def test_labels_grow_by_the_same_rule(tmp_path: Path) -> None:
    labels = np.arange(601) // 3
    moved = np.where(np.arange(601) == 590, 10, labels)
    Asked(X, where=labels).run()
    found = Asked(X, where=moved).run()
    same(found, Asked(X, where=moved).from_scratch(tmp_path))
    assert found.report.reused > 0.95


def test_the_base_that_knows_most_is_taken(tmp_path: Path) -> None:
    for asked in (Asked(X, where=MASK), Asked(edited(X, 3)), Asked(X[:300]), Asked(X[:550])):
        asked.run()
    check(Asked(X, where=without(601, 3)), Asked(X, where=without(601, 3, 4)), tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "count"), [(X[:509], X, 7), (X, edited(X, 97), 6), (X, X[:509], 6)]
)
def test_rows_near_the_limit_are_counted_as_from_scratch(
    before: np.ndarray, after: np.ndarray, count: int, tmp_path: Path
) -> None:
    """Also those that the stored result has counted and that are gone."""
    assert check(Asked(before), Asked(after), tmp_path).report.health["near_limit"] == count
    found = check(Asked(before, Y), Asked(after, Y), tmp_path)
    assert found.report.health["near_limit"] == count + 5


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of an infinite rank
def test_certificates_come_back_with_rows_that_are_sound(tmp_path: Path) -> None:
    broken = X.copy()
    broken[200] = np.nan
    with dask.config.set({"geodask.validate": "none"}):
        assert not Asked(broken).run().certified.compute().any()
        found = Asked(X).run()
        as_from_scratch(found, Asked(X), tmp_path)
        assert found.certified.all().compute()
        hidden = Asked(broken, where=without(601, 200))
        as_from_scratch(hidden.run(), hidden, tmp_path)


def test_an_edit_of_everything_is_a_run_from_scratch(tmp_path: Path) -> None:
    Asked(X).run()
    asked = Asked(edited(X, slice(None)))
    found = asked.run()
    assert found.report.reused == 0
    as_from_scratch(found, asked, tmp_path)


def test_a_mask_that_hides_nothing_compares_nothing() -> None:
    Asked(X).run()
    found = Asked(X, where=np.ones(601, bool)).run()
    assert found.report.stats["pairs"] == 0
    assert found.report.reused == 1


def test_too_few_rows_left_are_refused_as_from_scratch(tmp_path: Path) -> None:
    Asked(X).run()
    with pytest.raises(ValueError, match="where leaves row 0 3 of them"):
        Asked(X, where=np.arange(601) < 4).run()
    asked = Asked(X, where=np.arange(601) < 5)
    as_from_scratch(asked.run(), asked, tmp_path)


def test_an_edit_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Asked(X).run()
    asked = Asked(edited(X, 200), where=MASK)
    interrupted(monkeypatch, asked.run, after=5)
    Asked(edited(X, 200)).run()  # knows more, but the other one was begun with
    found = asked.run()
    assert found.report.blocks_stored >= 1
    assert found.report.reused < 0.9
    same(found, asked.from_scratch(tmp_path))


def in_the_ranks(store: Path) -> Path:
    return next(store.glob("knn-*")) / "ranks" / "c" / "1" / "0"


def in_the_indices(store: Path) -> Path:
    return next(store.glob("knn-*")) / "indices" / "c" / "1" / "0"


def in_a_column(store: Path) -> Path:
    return max(store.glob("points-*/points/c/0/0"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("damaged", [in_the_ranks, in_the_indices, in_a_column])
def test_what_cannot_be_read_is_not_built_upon(
    damaged: Callable[[Path], Path], store: Path, tmp_path: Path
) -> None:
    Asked(X, where=MASK).run()
    truncate(damaged(store), Path())
    asked = Asked(edited(X, 200), where=without(601, 7))
    found = asked.run()
    assert found.report.reused == 0
    as_from_scratch(found, asked, tmp_path)


def test_a_column_that_is_gone_is_no_base(store: Path, tmp_path: Path) -> None:
    Asked(X, where=MASK).run()
    in_a_column(store).parents[3].rename(tmp_path / "away")
    assert Asked(X).run().report.reused == 0


def test_notes_are_small(store: Path) -> None:
    Asked(X, where=MASK).run()
    (note,) = (path for path in (store / NOTES).rglob("*") if path.is_file())
    assert note.stat().st_size < 4000


def test_a_layout_says_where_the_work_is() -> None:
    Asked(X).run()
    explained = Asked(X, where=without(601, *range(0, 600, 2))).plan.explain()
    assert 0.9 < explained.flops / (2 * BALL.n * 601 * 601) < 1  # nearly every row lost one
    explained = Asked(edited(X, 200)).plan.explain()
    assert 0.2 < explained.flops / (2 * BALL.n * 601 * 601) < 0.6


def test_little_memory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that hold a few rows at a time ask the same pairs."""
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e8, 5e12))
    monkeypatch.setattr("geodask.ops.compared.RATIO", 1)
    monkeypatch.setattr("geodask.ops.compared.fitting", lambda *_: Tiling(rows=7, step=50))
    check(Asked(X, exclude=EDGES), Asked(edited(X, 200), where=MASK, exclude=EDGES), tmp_path)


def test_workers_edit_a_result(
    client: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodask.engine.census.DIGEST_BYTES", 16 << 20)  # as on the workers
    Asked(X, exclude=EDGES).run()
    asked = Asked(X, where=MASK, exclude=EDGES)
    found = asked.run()
    assert found.report.reused > 0.8
    same(found, asked.from_scratch(tmp_path))


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_a_set_of_rows_is_what_it_was_made_of(count: int) -> None:
    rng = np.random.default_rng(count)
    mask = rng.random(count) < 0.3
    found = RowSet.of(mask)
    assert found.held == mask.sum() == sum(held for _, _, held in found.pieces())
    for start, stop in rng.integers(count + 1, size=(20, 2)):
        part = slice(start, max(start, stop))
        assert (found.mask(part.start, part.stop) == mask[part]).all()
        spans = found.narrowed([(part.start, part.stop)])
        assert [number for span in spans for number in span] == [
            each for numbers in [part.start + np.flatnonzero(mask[part])] if len(numbers)
            for each in (numbers[0], numbers[-1] + 1)
        ]  # fmt: skip
    numbers = np.arange(2 * count).reshape(2, count)
    assert (found.holds(numbers) == np.stack([mask, np.zeros(count, bool)])).all()
    assert not found.holds(np.array([np.iinfo(np.int64).max])).any()
