"""Plans outlive their process as JSON: what comes back computes the same, and names no code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import geodask as gd
from geodask.engine.specs import from_spec, to_spec

SPHERE = gd.Sphere(4)
ROWS = SPHERE.random(300, seed=0).astype(np.float32)


def again(plan: Any) -> Any:
    return from_spec(json.loads(json.dumps(to_spec(plan), allow_nan=False)))


@pytest.fixture
def x(tmp_path: Path) -> gd.Points:
    gd.points(ROWS, SPHERE, ids=[f"doc {i}" for i in range(300)]).save(tmp_path / "x.zarr")
    return gd.open(tmp_path / "x.zarr")


PLANS: dict[str, Callable[[gd.Points], Any]] = {
    "knn": lambda x: gd.knn(x, k=3),
    "cross": lambda x: gd.knn(x[:50], x, k=3),
    "within": lambda x: gd.within(x, radius=0.3, max_pairs=10**6),
    "all": lambda x: gd.within(x[:20], radius=np.inf),
    "pairwise": lambda x: gd.pairwise(x[:30], x),
    "mean": lambda x: gd.mean(x[(ROWS[:, 0] > 0.8).nonzero()[0]], tol=1e-6),
    "dist": lambda x: gd.plan(gd.dist, x, x[::-1]),
    "tensor": lambda x: gd.plan(
        gd.christoffel, x, method="differences", order=2, chart=gd.NormalCoordinates(SPHERE)
    ),
    "convert": lambda x: gd.plan(gd.log_map, x, x[:1], on_undefined="nan"),
}


@pytest.mark.parametrize("make", PLANS.values(), ids=PLANS)
def test_a_plan_comes_back_from_json(make: Callable[[gd.Points], Any], x: gd.Points) -> None:
    plan = make(x)
    there = again(plan)
    assert repr(there) == repr(plan)
    first, second = plan.persist(), there.persist()
    assert second.report.cache_hit
    assert second.report.key == first.report.key
    assert list(there.inputs[0].ids) == list(plan.inputs[0].ids)


def files(folder: Path) -> dict[str, Callable[[], gd.Points]]:
    flat = gd.Euclidean(4)
    whole = np.round(ROWS * 100).astype("i1")
    np.save(folder / "x.npy", ROWS)
    np.save(folder / "whole.npy", whole)
    np.save(folder / "bits.npy", (ROWS.view(np.uint32) >> 16).astype(np.uint16))
    table = pa.table({"id": [f"doc {i}" for i in range(300)], "e": list(ROWS), "x": ROWS[:, 0]})
    pq.write_table(table, folder / "x.parquet", row_group_size=70)
    with h5py.File(folder / "x.h5", "w") as file:
        file["x"], file["id"] = ROWS, np.arange(300, dtype="i2")
    return {
        "npy": lambda: gd.points(folder / "x.npy", SPHERE),
        "range": lambda: gd.points(folder / "x.npy", SPHERE)[5:200:3],
        "rows": lambda: gd.points(folder / "x.npy", SPHERE)[[7, 3, 200]],
        "joined": lambda: gd.concat([gd.points(folder / "x.npy", SPHERE)[:9]] * 2),
        "projected": lambda: gd.points(folder / "x.npy", SPHERE, project=True),
        "scaled": lambda: gd.points(folder / "whole.npy", flat, scale=[1, 2, 3, 0.5]),
        "bfloat16": lambda: gd.points(folder / "bits.npy", flat, dtype="bfloat16"),
        "lists": lambda: gd.points(folder / "x.parquet", SPHERE, column="e", ids="id"),
        "columns": lambda: gd.points(folder / "x.parquet", gd.Euclidean(1), column=["x"]),
        "hdf5": lambda: gd.points(folder / "x.h5", SPHERE, column="x", ids="id"),
    }


NAMES = "npy range rows joined projected scaled bfloat16 lists columns hdf5"


@pytest.mark.parametrize("name", NAMES.split())
def test_stored_points_come_back_from_json(name: str, tmp_path: Path) -> None:
    x = files(tmp_path)[name]()
    there = again(x)
    assert there.read(0, len(x)).tobytes() == x.read(0, len(x)).tobytes()
    assert (there.manifold, there.dtype, there.source) == (x.manifold, x.dtype, x.source)
    assert list(there.ids or ()) == list(x.ids or ())
    first, second = (gd.knn(each, k=1).persist() for each in (x, there))
    assert first.report.key == second.report.key


def test_pairs_that_were_asked_for_come_back(x: gd.Points) -> None:
    plan = gd.ranks(x, np.array([[0, 1], [5, 2], [0, 9]]))
    found = plan.compute()
    assert again(plan.asked).mean_average_precision(found.ranks) == found.mean_average_precision


class Own(gd.Sphere):
    """A space of the user's."""


def test_what_is_in_memory_or_not_registered_is_refused(x: gd.Points) -> None:
    with pytest.raises(gd.SpecError, match=r"reads its rows from storage.*x\.save\(path\)"):
        to_spec(gd.knn(gd.points(ROWS, SPHERE), k=2))
    with pytest.raises(gd.SpecError, match="made of what geodask registers, but PosixPath came"):
        to_spec(Path("x"))
    with pytest.raises(gd.SpecError, match="made of what geodask registers, but Own came"):
        to_spec(Own(3))
    good = to_spec(gd.knn(x, k=2))
    wrong: list[Any] = [
        {**good, "is": "Popen"},
        {**good, "more": 1},
        {"function": "system"},
        {"space": {"manifold": "Path"}},
        {"import": "os"},
        {},
        {**good, "operation": {"is": "Knn", "k": 3}},
        {"array": ["|O", [1], "AAAAAAAAAAA="]},
    ]
    for spec in wrong:
        with pytest.raises(gd.SpecError):
            from_spec(spec)
