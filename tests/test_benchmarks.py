"""The benchmarks run as scripts, at tiny size. Their answers are tested, their times are not."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import geodask as gd

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(folder: Path, *command: str) -> tuple[str, dict[str, Any]]:
    """Runs Python with the benchmarks at hand; what it printed, and the JSON that it wrote."""
    path = folder / "results" / "found.json"
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", *command, "--json", str(path)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(BENCHMARKS), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text(encoding="utf-8"))
    assert not list(folder.glob("geodask-benchmark-*"))  # nothing is left behind
    assert found["claim"]
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert found["limits"]["float32_flops"] == max(
        rate for name, rate in found["limits"]["flops"].items() if name.startswith("float32")
    )
    assert min(found["limits"]["copy_bytes"], found["limits"]["zarr_read_bytes"]) > 1e6
    return done.stdout, found


def script(name: str) -> str:
    return str(BENCHMARKS / f"{name}.py")


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--queries", "40"), ("--self-join", "--data", "clustered")])
def test_nearest_neighbours_on_the_sphere(tmp_path: Path, options: tuple[str, ...]) -> None:
    size = ("--rows", "500", "--repeats", "2", "--sample", "20", "--k", "5")
    printed, found = run(tmp_path, script("knn_sphere"), *size, *options)
    rows = {row["name"]: row for row in found["rows"]}
    ours = [row for row in found["rows"] if "sound" in row]
    assert ours[0]["name"] == "geodask float32"
    for row in ours:
        assert row["sound"]
        assert row["wrong"] == row["differ"] == 0
        assert row["recall"] == row["certified"] == 1
        assert 0 < row["rechecked"] <= 1
        assert 0 < rows[f"{row['name']}: kernels"]["median"] < row["median"]
    pairs = 500 * 499 if "--self-join" in options else 40 * 500
    for row in found["rows"]:
        assert len(row["seconds"]) == 2
        assert row["pairs_per_second"] == pytest.approx(pairs / row["median"])
        assert row["of_product"] > 0
        assert row["name"] in printed
    for name, module in (("FAISS IndexFlatIP", "faiss"), ("scikit-learn brute", "sklearn")):
        is_here = importlib.util.find_spec(module) is not None
        assert (name in rows) == is_here
        assert is_here or any(name in note for note in found["notes"])
        assert not is_here or rows[name]["recall"] > 0


def test_a_missing_peer_is_left_out_and_named(tmp_path: Path) -> None:
    code = (
        "import sys, knn_sphere, peers; peers.installed = lambda module: False; "
        "sys.exit(knn_sphere.main(sys.argv[1:]))"
    )
    size = ("--rows", "300", "--queries", "10", "--repeats", "1", "--sample", "10")
    printed, found = run(tmp_path, "-c", code, *size, "--only", "geodask", "FAISS", "scikit")
    assert {row["name"].partition(":")[0] for row in found["rows"]} <= {
        "geodask float32",
        "geodask bfloat16",
    }
    assert "FAISS IndexFlatIP: left out, faiss is not installed" in found["notes"]
    assert "scikit-learn brute: left out, sklearn is not installed" in printed
    assert not any("times_faiss" in row for row in found["rows"])


@pytest.mark.slow
def test_zarr_to_zarr_on_a_cluster(tmp_path: Path) -> None:
    printed, found = run(tmp_path, script("cluster"), "--rows", "3000", "--repeats", "1")
    persisted = [row for row in found["rows"] if row["kind"] == "persist"]
    assert [row["workers"] for row in persisted] == [1, 2]
    for row in persisted:
        assert row["same"]
        assert row["certified"] == 1
        assert row["kernel_seconds"] > 0
    best = {(row["kind"], row["workers"]): row["best"] for row in found["rows"]}
    for workers in (1, 2):
        ratio = best["persist", workers] / best["kernel", workers]
        assert found["ratios"][f"persist_to_kernel_{workers}"] == pytest.approx(ratio)
    ratio = best["persist", 1] / best["persist", 2]
    assert found["ratios"]["persist_1_to_2"] == pytest.approx(ratio)
    assert f"{ratio:.3f}" in printed


@pytest.mark.slow
def test_memory_of_the_workers(tmp_path: Path) -> None:
    size = ("--rows", "3200", "--queries", "64")
    printed, found = run(tmp_path, script("memory"), *size)
    assert [row["rows"] for row in found["rows"]] == [200, 800, 3200]
    for row in found["rows"]:
        assert row["data_bytes"] == row["rows"] * 384 * 4
        assert row["wrong"] == 0
        assert row["certified"] == 1
        assert row["samples"] >= 2
        assert row["stated_bytes"] == row["base_bytes"] + row["task_bytes"]
        assert row["ratio"] == row["measured_bytes"] / row["stated_bytes"]
        assert 0.3 < row["ratio"] <= 1.2
    assert "3,200" in printed


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("sphere")


@pytest.mark.parametrize("itself", [False, True])
def test_the_truth_is_that_of_ranking_every_pair(rows: Any, itself: bool) -> None:
    manifold = gd.Sphere(8)
    points = rows.clustered(300, 8)
    points[100:160] = points[7]  # ties
    queries = points[90:110] if itself else rows.clustered(20, 8, seed=1)
    own = np.arange(90, 110) if itself else None
    p, q = (manifold.canonical(x) for x in (queries, points))
    ranks = manifold.rank(p[:, None, :], q[None, :, :])
    if own is not None:
        ranks[np.arange(20), own] = np.inf
    right = np.argsort(ranks, axis=1, kind="stable")[:, :10]
    pieces = [(start, points[start : start + 77]) for start in range(0, 300, 77)]
    assert (rows.truth(queries, pieces, 10, own) == right).all()
