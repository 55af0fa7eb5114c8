"""Every object of a small store is damaged in every way: no result is ever wrong."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodask as gd
from geodask.storage.leases import leased
from geodask.storage.objects import open_objects

SPHERE = gd.Sphere(6)
ROWS = SPHERE.random(200, seed=0).astype(np.float32)
NEW = SPHERE.random(5, seed=1).astype(np.float32)
NAMES = [f"doc {i}" for i in range(200)]


def plans() -> list[Any]:
    x = gd.points(ROWS, SPHERE, ids=NAMES)
    grown = gd.concat([x, gd.points(NEW, SPHERE, ids=list("abcde"))])
    near = x[(ROWS[:, 0] > 0.5).nonzero()[0]]
    return [
        gd.knn(x, k=3),
        gd.knn(grown, k=3),  # from the stored one
        gd.within(x[:80], radius=0.3),
        gd.mean(near),
        gd.pairwise(x[:30]),
        gd.plan(gd.dist, x, x[:1]),
    ]


def use(verify: bool = False) -> list[bytes]:
    """The bytes of all results, and rows by their ids."""
    found = [plan.persist(verify=verify) for plan in plans()]
    knn, within = ["indices", "distances", "certified"], ["row", "other", "distance", "degrees"]
    names = [*knn, *within, "point", "variance", "values"]
    arrays = [getattr(each, name, 0) for each in found for name in names]
    rows = gd.points(ROWS, SPHERE, ids=NAMES).rows_of(["doc 7", "doc 100"])
    return [np.asarray(each).tobytes() for each in (*arrays, rows)]


def damage(path: Path, how: str, other: Path) -> None:
    data = path.read_bytes()
    if how == "delete":
        path.unlink()
    elif how == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes(data[:middle] if how == "cut" else flipped)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flip", "cut", "delete", "swap"])
@pytest.mark.long
def test_no_damage_to_an_object_makes_a_wrong_result(
    how: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geodask.engine.lookup.ID_ROWS", 64)
    monkeypatch.setattr("geodask.ops.near.PIECE", (256, 256))
    truth = use()
    assert use() == truth
    leased(open_objects(str(store)))  # lets go of what nothing holds: no lease is written later
    good = shutil.copytree(store, tmp_path / "good")
    files = sorted(each.relative_to(good) for each in good.rglob("*") if each.is_file())
    assert len(files) > 70
    chunks = [each for each in files if "c" in each.parts and not each.parts[0].startswith("ids")]
    detected = []
    for number, name in enumerate(files):
        leased(open_objects(str(store)))
        shutil.rmtree(store)
        shutil.copytree(good, store)
        alike = [
            each
            for each in files
            if (good / each).stat().st_size == (good / name).stat().st_size
            and (good / each).read_bytes() != (good / name).read_bytes()
        ]
        damage(store / name, how, store / (alike or [files[number - 1]])[0])
        try:
            assert use() == truth, name
        except gd.StoreError:
            detected.append(name)
            assert use(verify=True) == truth, name
            assert use() == truth, name
    result = [each for each in chunks if each.parts[1] not in ("ranks", "gradient_norm")]
    assert len(result) > 15
    assert set(detected) >= set(result)
