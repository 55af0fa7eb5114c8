"""Data that grow: a result takes what a stored one knows, and is the one from scratch."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from geodask.engine.driver import Run
from geodask.engine.execution import Execution
from geodask.engine.operation import Layout
from geodask.ops.neighbours import KnnResult
from test_store import truncate

BALL = gd.PoincareBall(5)


@pytest.fixture(autouse=True)
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 16 blocks and several panels for a thousand rows, whose borders are primes."""
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1e7, 5e12))
    monkeypatch.setattr("geodask.ops.compared.RATIO", 3)


def rows(count: int) -> np.ndarray:
    """The first rows of one set, some of them equal to others."""
    x = BALL.random(1200, seed=0).astype(np.float32)
    x[1000:1100] = x[:100]
    x[500:520] = x[10]
    return x[:count]


def knn(x: np.ndarray, y: np.ndarray | None = None, k: int = 4) -> KnnResult:
    targets = None if y is None else gd.points(y, BALL)
    return gd.knn(gd.points(x, BALL), targets, k=k).persist()


def from_scratch(tmp_path: Path, *of: np.ndarray | None) -> KnnResult:
    with dask.config.set({"geodask.store": str(tmp_path / "scratch")}):
        return knn(*of)


def same(a: KnnResult, b: KnnResult) -> None:
    for name in ("indices", "distances", "certified"):
        assert np.asarray(getattr(a, name)).tobytes() == np.asarray(getattr(b, name)).tobytes()


SIZES = [(1, 1), (7, 1), (997, 1009), (1009, 1200), (600, 1199)]


@pytest.mark.parametrize(("few", "many"), [(5, 6), *SIZES[2:]])
def test_a_grown_set_has_the_neighbours_of_one_run(few: int, many: int, tmp_path: Path) -> None:
    knn(rows(few))
    found = knn(rows(many))
    assert found.report.reused == pytest.approx((few / many) ** 2)
    same(found, from_scratch(tmp_path, rows(many)))


@pytest.mark.parametrize(("few", "many"), [(4, 5), *SIZES[2:]])
@pytest.mark.parametrize("side", ["queries", "targets", "both"])
def test_either_side_may_grow(side: str, few: int, many: int, tmp_path: Path) -> None:
    x, y = rows(many), rows(1200)[::-1][:many]
    knn(x if side == "targets" else x[:few], y if side == "queries" else y[:few])
    found = knn(x, y)
    assert 0 < found.report.reused < 1
    same(found, from_scratch(tmp_path, x, y))


def test_only_what_is_new_is_computed() -> None:
    first, second = knn(rows(1100)), knn(rows(1111))
    assert second.report.stats["pairs"] < 0.03 * first.report.stats["pairs"]
    assert second.report.stats["measured"] < 0.2 * first.report.stats["measured"]
    assert second.report.blocks_computed < first.report.blocks_computed
    assert "of the pairs, from a stored result" in repr(second.report)


def test_the_largest_beginning_is_taken(tmp_path: Path) -> None:
    for count in (200, 900, 500):
        knn(rows(count))
    found = knn(rows(1000))
    assert found.report.reused == pytest.approx(0.81)
    same(found, from_scratch(tmp_path, rows(1000)))


def test_other_rows_and_other_questions_know_nothing() -> None:
    knn(rows(900))
    changed = rows(1000).copy()
    changed[899] = changed[0]
    assert knn(changed).report.reused == 0
    assert knn(rows(1000), k=5).report.reused == 0
    assert knn(rows(1000), rows(1000)).report.reused == 0
    assert knn(rows(1000).astype(np.float64)).report.reused == 0


def test_compute_grows_too(tmp_path: Path) -> None:
    knn(rows(900))
    found = gd.knn(gd.points(rows(1000), BALL), k=4).compute()
    assert found.report.reused == pytest.approx(0.81)
    same(found, from_scratch(tmp_path, rows(1000)))


def test_explain_knows_what_is_known() -> None:
    plan = gd.knn(gd.points(rows(1000), BALL), k=4)
    before = plan.explain()
    knn(rows(900))
    after = plan.explain()
    assert after.flops == pytest.approx(0.19 * before.flops)


def interrupted(monkeypatch: pytest.MonkeyPatch, run: Callable[[], object], after: int) -> None:
    collect, seen = Run._collect, []

    def stop(self: Run, *of: object) -> None:
        collect(self, *of)
        self._mark()
        seen.append(of)
        if len(seen) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_collect", stop)
        with pytest.raises(KeyboardInterrupt):
            run()


def test_growth_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    knn(rows(900))
    interrupted(monkeypatch, lambda: knn(rows(1000)), after=5)
    found = knn(rows(1000))
    assert found.report.blocks_stored >= 1
    same(found, from_scratch(tmp_path, rows(1000)))


@pytest.mark.parametrize("better", [False, True])
def test_growth_begins_anew_where_what_it_grew_from_is_gone(
    better: bool, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knn(rows(900))
    (base,) = store.glob("knn-*")
    interrupted(monkeypatch, lambda: knn(rows(1000)), after=5)
    shutil.rmtree(base)
    if better:
        knn(rows(950))
    found = knn(rows(1000))
    assert found.report.reused == pytest.approx(0.95**2 if better else 0)
    same(found, from_scratch(tmp_path, rows(1000)))


def test_growth_at_a_path_of_the_users_leaves_what_else_is_there(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knn(rows(900))
    (base,) = store.glob("knn-*")
    plan = gd.knn(gd.points(rows(1000), BALL), k=4)
    named = tmp_path / "named"
    interrupted(monkeypatch, lambda: plan.persist(named), after=5)
    (named / "notes.txt").write_text("mine")
    shutil.rmtree(base)
    found = plan.persist(named)
    assert found.report.reused == 0
    same(found, from_scratch(tmp_path, rows(1000)))
    assert (named / "notes.txt").read_text() == "mine"


def test_a_run_from_scratch_goes_on_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, lambda: knn(rows(1000)), after=5)
    knn(rows(900))
    found = knn(rows(1000))
    assert found.report.reused == 0
    same(found, from_scratch(tmp_path, rows(1000)))


def test_what_another_process_has_begun_to_grow_is_not_gone_on_with_without_its_base(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knn(rows(900))
    create = Execution._create

    def begun_by_another(self: Execution, *of: Any) -> Any:
        monkeypatch.setattr(Execution, "_create", create)
        self._grows = False  # as after its base was found damaged
        of[0].__dict__.update(base="")
        interrupted(monkeypatch, lambda: knn(rows(1000)), after=5)
        return create(self, Layout(**{**vars(of[0]), "asked": (), "come": ()}))

    monkeypatch.setattr(Execution, "_create", begun_by_another)
    same(knn(rows(1000)), from_scratch(tmp_path, rows(1000)))


def test_a_damaged_beginning_is_not_built_upon(store: Path, tmp_path: Path) -> None:
    knn(rows(900))
    (base,) = store.glob("knn-*")
    truncate(base / "ranks" / "c" / "3" / "0", Path())
    found = knn(rows(1000))
    assert found.report.reused == 0
    same(found, from_scratch(tmp_path, rows(1000)))


def test_workers_grow_a_result(client: object, tmp_path: Path) -> None:
    knn(rows(900))
    found = knn(rows(1000))
    assert found.report.reused == pytest.approx(0.81)
    same(found, from_scratch(tmp_path, rows(1000)))
