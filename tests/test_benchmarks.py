"""The benchmarks run as scripts, at tiny size. Their answers are tested, their times are not."""

import importlib.util
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

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


SELF = ("--self-join", "--data", "clustered")


@pytest.mark.long
@pytest.mark.parametrize("options", [("--queries", "40"), SELF])
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


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--s3",)])
def test_admission(tmp_path: Path, options: tuple[str, ...]) -> None:
    size = ("--rows", "70001", "--repeats", "1")
    printed, found = run(tmp_path, script("admission"), *size, *options)
    assert {row["rows"] for row in found["rows"]} == {70_001}
    assert len(found["rows"]) == (5 if options else 3)
    assert found["killed"]["same"]
    assert found["killed"]["blocks"] == 3
    assert found["tables"]["right"]
    assert found["share"] > 0
    assert "ids and neighbours in the table right: True" in printed


@pytest.mark.long
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


HYPERBOLIC = {
    "FAISS IndexFlatIP": "faiss",
    "FAISS HNSW": "faiss",
    "torch lift + topk": "torch",
    "torch difference + topk": "torch",
    "geoopt": "geoopt",
    "geomstats": "geomstats",
}


@pytest.mark.long
def test_nearest_neighbours_in_the_ball(tmp_path: Path) -> None:
    size = ("--rows", "600", "--repeats", "2", "--queries", "60", "--k", "5")
    data = ("--dimensions", "3", "6", "--steps", "0.6", "1.9", "--join-dimension", "6")
    picture = tmp_path / "pictures" / "recall.png"
    printed, found = run(tmp_path, script("knn_hyperbolic"), *size, *data, "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    cases = {(case["n"], case["step"]): case["radius"] for case in found["cases"]}
    assert list(cases) == [(3, 0.6), (3, 1.9), (6, 0.6), (6, 1.9)]
    assert cases[6, 0.6] < 5 < 12 < cases[6, 1.9]
    there = {n for n, module in HYPERBOLIC.items() if importlib.util.find_spec(module)}
    for rows, count in ((found["rows"], 4), (found["self_join"], 1)):
        assert sorted(row["name"] for row in rows) == sorted(["geodask", *there] * count)
        for row in rows:
            pairs = row["queries"] * 599
            assert row["pairs_per_second"] == pytest.approx(
                np.median([pairs / seconds for seconds in row["seconds"]])
            )
            assert row["name"] in printed
            assert 0 < row["checked"] <= row["queries"]
            assert ("times_faiss" in row) == ("FAISS IndexFlatIP" in there)
            if row["name"] == "geodask":
                assert row["sound"]
                assert row["wrong"] == 0
                assert row["recall"] == row["certified"] == 1
                assert row["error"] < 1e-14
            elif row["name"].startswith("torch difference"):
                assert row["recall"] == 1
                assert row["error"] < 1e-6
    far = [r["recall"] for r in found["rows"] if r["name"] == "torch lift + topk" and r["n"] == 3]
    assert far[0] == 1 > far[1]
    assert {row["queries"] for row in found["self_join"] if row["name"] == "geodask"} == {600}


@pytest.mark.long
def test_missing_peers_in_the_ball_are_left_out_and_named(tmp_path: Path) -> None:
    code = (
        "import sys, knn_hyperbolic; knn_hyperbolic.installed = lambda module: module == 'torch'; "
        "sys.exit(knn_hyperbolic.main(sys.argv[1:]))"
    )
    size = ("--rows", "200", "--repeats", "1", "--queries", "20", "--join-dimension", "3")
    only = ("--dimensions", "3", "--steps", "1", "--only", "geo", "FAISS")
    printed, found = run(tmp_path, "-c", code, *size, *only)
    assert {row["name"] for row in found["rows"] + found["self_join"]} == {"geodask"}
    for name in ("FAISS IndexFlatIP", "FAISS HNSW", "geoopt", "geomstats"):
        assert f"{name}: left out, {HYPERBOLIC[name]} is not installed" in found["notes"]
        assert name in printed


@pytest.mark.long
def test_distances_in_the_ball(tmp_path: Path) -> None:
    size = ("--rows", "3000", "--side", "40", "--repeats", "2")
    printed, found = run(tmp_path, script("pairwise_hyperbolic"), *size)
    modules = {
        "geoopt": "geoopt",
        "geoopt, sliced": "geoopt",
        "geomstats, sliced": "geomstats",
    }
    there = {name for name, module in modules.items() if importlib.util.find_spec(module)}
    assert sorted(row["name"] for row in found["rows"]) == sorted(["geodask", *there] * 8)
    pairs = {("row by row", 10): 3000, ("row by row", 64): 468}
    for row in found["rows"]:
        assert row["pairs"] == pairs.get((row["kind"], row["n"]), 1600)
        assert row["pairs_per_second"] == pytest.approx(row["pairs"] / row["median"])
        assert ("times_geoopt" in row) == ("geoopt" in there)
        if row["name"] == "geodask":
            assert row["sound"]
            assert row["error"] < 1e-6
    for name in set(modules) - there:
        assert f"{name}: left out, {modules[name]} is not installed" in printed
    assert len(found["ratios"]) == (4 if "geoopt" in there else 0)


@pytest.mark.long
def test_a_lower_bound_for_matrices(tmp_path: Path) -> None:
    size = ("--rows", "300", "--repeats", "1", "--k", "3", "--checked", "4")
    printed, found = run(tmp_path, script("lower_bound"), *size)
    ours = [row for row in found["rows"] if row["name"] == "geodask"]
    assert len({row["law"] for row in ours}) == 3
    for row in ours:
        assert row["law"] in printed
        assert row["certified"] == 1
        assert 0 < row["rechecked"] < 1
        if importlib.util.find_spec("pyriemann"):
            assert (row["wrong"], row["checked"]) == (0, 4)


@pytest.mark.long
def test_batches_of_matrices(tmp_path: Path) -> None:
    size = ("--rows", "40", "--repeats", "2", "--neighbours", "120", "--few", "30")
    printed, found = run(tmp_path, script("matrices"), *size)
    modules = {name: name.lower() for name in ("geomstats", "geoopt", "pyRiemann")}
    there = {n for n, module in modules.items() if importlib.util.find_spec(module)}
    for row in found["rows"]:
        assert row["case"] in printed
        assert row["rows_per_second"] == pytest.approx(40 / row["median"])
        # geomstats ends a log of frames at 1e-8, by whichever geodesic it finds.
        assert row["error"] < 1e-11 or ("Stiefel" in row["case"] and row["name"] != "geodask")
        assert row["sound"] if row["name"] == "geodask" else row["name"].split(",")[0] in there
    cases = [row["case"] for row in found["rows"] if row["name"] == "geodask"]
    assert "SPDAffineInvariant(n=16) dist" in cases
    assert len(cases) == len(set(cases)) == 9
    assert {row["name"].split(",")[0] for row in found["rows"]} == {"geodask", *there}
    for name in set(modules) - there:
        assert f"{name}: left out, {modules[name]} is not installed" in printed
    ours, product, *others = found["neighbours"]
    assert "recall" not in product
    assert (ours["rows"], ours["certified"], ours["sound"]) == (120, 1, True)
    assert len(others) == (3 if "pyRiemann" in there else 0)
    for row in others:
        by_rows = row["name"].endswith("KNearestNeighbor")
        assert row["scaled"] == pytest.approx(row["median"] * (16 if by_rows else 1))
        assert by_rows or row["recall"] == 1


CLAIMED = {
    "PoincareBall": {"dist": 16, "exp": 16, "log": 16, "transport": 16},
    "HalfSpace": {"dist": 32, "exp": 32, "log": 32, "transport": 32},
    "Lorentz": {"dist": 8, "exp": 32, "log": 32, "transport": 64},
    "HyperbolicPolar": {"dist": 32, "exp": 32, "log": 32, "transport": 32},
    "Sphere": {},
}


@pytest.mark.long
def test_means_from_zarr(tmp_path: Path) -> None:
    size = ("--rows", "3000", "--dimensions", "5", "--repeats", "2")
    printed, found = run(tmp_path, script("mean"), *size)
    assert len(found["rows"]) == 12
    there = importlib.util.find_spec("geomstats") is not None
    assert len(found["peers"]) == (6 if there else 0)
    assert all(row["sound"] for row in found["peers"])
    assert ("geomstats is not installed" in printed) != there
    for row in found["rows"]:
        assert len(row["seconds"]) == 2
        assert row["space"] in printed
        passes = row.get("passes", 1)
        assert row["bytes_per_second"] == pytest.approx(passes * 3000 * 20 / row["median"])
        if row["name"] == "mean":
            assert row["sound"]
            assert 0 <= row["gradient"] < 2e-8


ACCURACY = "import sys, accuracy; accuracy.main(sys.argv[1:])"
"""Whatever it returns: where peers are installed, a claim about them may be missed."""


REGIMES = {
    "PoincareBall": {"radius 0, step 1e-06", "radius 14, step 1"},
    "Sphere": {"angle pi - 1e-05"},
    "HyperbolicPolar": {"radius 0.001, step 1", "radius 300, ray 1e-06", "radius 50, angle 1e-12"},
}
OTHERS = {"PoincareBall": ("geoopt", "geomstats"), "HalfSpace": ("geomstats",)}
TOO_FINE = {"radius 8, step 1e-06", "radius 14, step 10", "angle 1e-08"}
"""Regimes that float32 cannot tell."""


@pytest.mark.long
@pytest.mark.parametrize("space", CLAIMED)
def test_accuracy_by_verb(tmp_path: Path, space: str) -> None:
    printed, found = run(tmp_path, "-c", ACCURACY, "--rows", "4", "--only", space)
    kinds = {(row["space"], row["verb"], row["dtype"]) for row in found["rows"]}
    assert len(kinds) == 4 * 2
    for row in found["rows"]:
        assert row["sound"] == (row["missed"] == "")
        assert row["missed"] in ("", "peer")
        assert row["regime"] in printed
        bound = CLAIMED[space].get(row["verb"], np.inf)
        assert row["rounded"] >= np.finfo(row["dtype"]).eps / 2
        assert row["geodask"] <= bound * row["rounded"]
        assert row["times"] <= 10
        assert np.isfinite(row["geodask"])
    regimes = {row["regime"] for row in found["rows"] if row["dtype"] == "float32"}
    assert REGIMES.get(space, set()) <= regimes
    assert not TOO_FINE & regimes
    for name in OTHERS.get(space, ()):
        is_here = importlib.util.find_spec(name) is not None
        assert any(name in row for row in found["rows"]) == is_here
        assert (f"{name}: left out, it is not installed" in found["notes"]) != is_here


def test_a_page_of_accuracy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    accuracy = importlib.import_module("accuracy")
    monkeypatch.setattr(accuracy, "limits", lambda _: {})  # which takes seconds
    page, path = tmp_path / "docs" / "page.md", tmp_path / "found.json"
    options = ("--rows", "1", "--markdown", str(page), "--json", str(path))
    status = accuracy.main([*options, "--only", "Torus", "SPDAffineInvariant", "dist", "log"])
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 2 * 2 * (3 + 4)
    assert status == any(row["missed"] for row in rows)
    printed = capsys.readouterr().out
    for row in rows:
        assert row["regime"] in printed
        assert row["rounded"] < row["condition"] < 0.1
        assert row["times"] == row["geodask"] / row["condition"] <= 10
    text = page.read_text(encoding="utf-8")
    assert "## Torus" in text
    assert "| condition 1e8, or what rows can hold | float64 | log |" in text


def test_what_misses_a_claim_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    misses = importlib.import_module("accuracy")._misses
    row = {"times": 10.0, "geodask": 2e-16, "rounded": 1e-16, "geoopt": 1e-17}
    assert not list(misses(row, 2))
    assert list(misses(row | {"times": 10.1}, 2)) == ["condition"]
    assert list(misses(row | {"geodask": 3e-16}, 4)) == ["peer"]
    assert not list(misses(row | {"geodask": 3e-16, "geoopt": 1.6e-16}, 4))
    assert list(misses(row, 1)) == ["rounding"]


@pytest.mark.long
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


@pytest.mark.long
def test_a_set_that_grew(tmp_path: Path) -> None:
    printed, found = run(tmp_path, script("growth"), "--rows", "2000", "--more", "0.1")
    scratch, update = found["rows"]
    assert scratch["same"]
    assert update["same"]
    assert (scratch["reused"], update["certified"]) == (0, 1)
    assert update["reused"] == pytest.approx(1 / 1.21)
    assert update["pairs"] == pytest.approx(0.1736 * scratch["pairs"], rel=1e-3)
    assert f"{found['update_to_scratch']:.2%}" in printed


@pytest.mark.long
def test_pairs_within_a_radius(tmp_path: Path) -> None:
    many = ("--pairs", "2000", "--many", "400000")
    printed, found = run(tmp_path, script("within"), "--rows", "3000", "--repeats", "1", *many)
    ours = found["rows"][0]
    assert (ours["name"], ours["wrong"], ours["checked"]) == ("geodask", 0, 200)
    assert 500 < ours["found"] < 8000
    assert found["many"]["stopped"]
    assert found["many"]["inside"]
    assert f"{found['many']['pairs']:,} pairs" in printed


@pytest.mark.long
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


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_faults(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, script("faults"), "--faults", "10", "--seed", "7", "--json", str(path)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads(path.read_text(encoding="utf-8"))["outcomes"]
    assert {each["kind"] for each in outcomes} == {"knn", "mean", "pairwise"}
    assert sum(len(each["faults"]) for each in outcomes) == 10
    assert not any(each["wrong"] for each in outcomes)
    assert "10 faults in 3 runs" in done.stdout
    assert not list(tmp_path.glob("geodask-benchmark-*"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("monitor", ("--blocks", "4", "--repeats", "2", "--large", "300", "--events", "50000")),
        ("overhead", ("--blocks", "40", "--gigabytes", "0.02", "--minute", "2", "--workers", "1",
                      "3", "--repeats", "1")),
    ],
)  # fmt: skip
def test_what_it_costs_to_be_run_and_watched(
    tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, script(name), *options, "--json", str(path)],
        env=os.environ | {"PYTHONPATH": str(BENCHMARKS), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text(encoding="utf-8"))
    if name == "monitor":
        assert "counted as reported: True" in done.stdout
        assert found["months"][-1]["events"] == 50_000
    else:
        assert [row["workers"] for row in found["scaling"]] == [1, 3]
    assert not list(tmp_path.glob("geodask-benchmark-*"))


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("sphere")


@pytest.fixture
def trees(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("trees")


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


# --- planted trees --------------------------------------------------------------------------------


def hyperboloid(direction: np.ndarray, radius: float) -> list[mpf]:
    """Coordinates in the Lorentz model, time first."""
    r = mpf(float(radius))
    v = [mpf(float(a)) for a in direction]
    length = mp.sqrt(mp.fdot(v, v))
    return [mp.cosh(r), *(mp.sinh(r) / length * a for a in v)]


def lorentz(p: list[mpf], q: list[mpf]) -> mpf:
    return mp.fdot(p[1:], q[1:]) - p[0] * q[0]


def test_a_child_is_where_the_geodesic_from_its_parent_ends(trees: Any) -> None:
    rng = np.random.default_rng(0)
    parents = trees.Nodes(trees.unit(rng.standard_normal((30, 4))), rng.uniform(0, 20, 30))
    directions, steps = trees.unit(rng.standard_normal((30, 4))), rng.uniform(0.1, 3, 30)
    parents.radii[:3] = 0
    children = parents.moved(directions, steps)
    with mp.workdps(50):
        for i in range(30):
            p = hyperboloid(parents.directions[i], parents.radii[i])
            w = hyperboloid(directions[i], 1e-3)
            w = [mpf(0), *(a / mp.sinh(mpf(1e-3)) for a in w[1:])]
            share = lorentz(p, w) / (1 + p[0])  # parallel transport from the origin (1, 0, ...)
            v = [a + share * (b + (j == 0)) for j, (a, b) in enumerate(zip(w, p, strict=True))]
            assert abs(lorentz(v, v) - 1) < 1e-30
            s = mpf(float(steps[i]))
            q = [mp.cosh(s) * a + mp.sinh(s) * b for a, b in zip(p, v, strict=True)]
            radius = mp.acosh(q[0])
            assert abs(radius - mpf(float(children.radii[i]))) < 1e-14 * max(radius, 1)
            for a, b in zip(q[1:], children.directions[i], strict=True):
                assert abs(a / mp.sinh(radius) - mpf(float(b))) < 1e-14


def test_a_tree_has_the_nodes_that_it_says(trees: Any) -> None:
    tree = trees.tree(5, 1.5, (0, 0))
    assert tree.directions.shape == (21_845, 5)
    starts = np.cumsum([0, *(4**depth for depth in range(8))])
    children = [1, 4, 6, 21, 90, 5000, 20_000, 21_844]
    with mp.workdps(50):
        for child in children:
            depth = np.searchsorted(starts, child, side="right") - 1
            parent = starts[depth - 1] + (child - starts[depth]) // 4
            ends = [hyperboloid(tree.directions[i], tree.radii[i]) for i in (parent, child)]
            assert 0.6 * 1.5 <= mp.acosh(-lorentz(*ends)) <= 1.4 * 1.5
            assert tree.radii[child] > tree.radii[parent]


@pytest.mark.parametrize(("dtype", "step"), [("float32", 0.6), ("float32", 1.9), ("float64", 3.0)])
def test_a_forest_is_the_same_each_time_and_keeps_off_the_rim(
    trees: Any, dtype: str, step: float
) -> None:
    x = trees.forest(30_000, 5, step, dtype=dtype)  # from two trees
    assert x.shape == (30_000, 5)
    assert x.dtype == dtype
    assert x.tobytes() == trees.forest(30_000, 5, step, dtype=dtype).tobytes()
    assert x.tobytes() != trees.forest(30_000, 5, step, seed=1, dtype=dtype).tobytes()
    assert (trees.inside(x) > trees.RIM[dtype]).all()
    gd.points(x, gd.PoincareBall(5))  # each of them is a point
    radii = trees.radii(x)
    assert 6 < np.median(radii) / step < 8.5
    for row, radius in zip(x[:10], radii, strict=False):
        with mp.workdps(50):
            true = 2 * mp.atanh(mp.sqrt(mp.fdot(row, row)))
        assert abs(mpf(float(radius)) - true) < 1e-15 * max(true, 1)


def test_a_step_that_is_too_long_is_refused(trees: Any) -> None:
    with pytest.raises(ValueError, match="stays off the rim"):
        trees.forest(100, 3, 29.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_left_to_the_rim_is_rounded_once(trees: Any, dtype: str) -> None:
    x = trees.shell(15 if dtype == "float32" else 30, 50, 7).ball(dtype)
    for row, found in zip(x, trees.inside(x), strict=True):
        true = 1 - sum(Fraction(float(a)) ** 2 for a in row)
        assert abs(Fraction(float(found)) - true) <= Fraction(2) ** -52 * true


def test_the_truth_in_the_ball_is_that_of_ranking_every_pair(trees: Any) -> None:
    points = trees.forest(400, 6, 1.9)
    points[100:160] = points[7]  # ties
    own = np.arange(90, 120)
    ranks = gd.PoincareBall(6).rank(points[own].astype(float)[:, None], points.astype(float)[None])
    ranks[np.arange(30), own] = np.inf
    right = np.argsort(ranks, axis=1, kind="stable")[:, :10]
    assert (trees.truth(points[own], points, 10, own) == right).all()


# --- the truth of accuracy ------------------------------------------------------------------------


SPACES = [
    *CLAIMED,
    *("Oblique", "Simplex", "Euclidean", "Torus", "Circle", "Grassmann", "Rotations(3)"),
    *("StiefelCanonical", "StiefelEuclidean"),
    *("Rotations(4)", "RigidMotions", "Gaussians", "GaussiansBuresWasserstein", "Product"),
    *(
        kind + metric
        for kind in ("SPD", "HPD")
        for metric in ("AffineInvariant", "LogEuclidean", "LogCholesky", "BuresWasserstein")
    ),
]


def test_every_space_is_in_the_table_of_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    spaces = importlib.import_module("spaces").SPACES
    assert set(spaces) == set(SPACES)
    known = {name for name in dir(gd) if _is_space(name)}
    assert known - {type(each.manifold).__name__ for each in spaces.values()} == {
        *("EuclideanMatrices", "Power"),  # other shapes of Euclidean and of Product
    }


def _is_space(name: str) -> bool:
    value = getattr(gd, name)
    return isinstance(value, type) and issubclass(value, gd.Manifold) and value is not gd.Manifold


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_truth_of_the_verbs_agrees_with_itself(
    monkeypatch: pytest.MonkeyPatch, name: str, dtype: str
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    space = importlib.import_module("spaces").SPACES[name]
    truth = space.truth
    with mp.workdps(truth.digits):
        for inputs in space.regimes(dtype, 1):
            p, q, u, w = (
                [mpf(float(a)) for a in each[0].reshape(-1)]
                for each in (inputs.p, inputs.q, inputs.u, inputs.w)
            )
            log = truth.log(p, q)
            assert abs(truth.length(p, log) - truth.dist(p, q)) < 1e-25
            assert truth.dist(truth.exp(p, log), q) < 1e-25
            assert truth.dist(truth.exp(p, u), p) == pytest.approx(truth.length(p, u), rel=1e-12)
            carried = truth.transport(p, q, w)
            assert abs(truth.length(q, carried) - truth.length(p, w)) < 1e-25
            turned = [-a for a in truth.transport(p, q, log)]
            assert truth.off(q, turned, truth.log(q, p)) < 1e-25


@pytest.mark.parametrize("name", ["Lorentz", "HalfSpace", "HyperbolicPolar"])
def test_the_truth_is_the_same_in_every_model(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    spaces, truths = (importlib.import_module(each) for each in ("spaces", "truths"))
    ball, truth = truths.Ball(), spaces.SPACES[name].truth
    sheet, half, polar = truths.Sheet(), truths.Half(), truths.Polar()

    def lifted(b: list[mpf], u: list[mpf]) -> tuple[list[mpf], list[mpf]]:
        """2 b / (1 - |b|^2) and its derivative."""
        left = 1 - mp.fdot(b, b)
        point = sheet.point([mpf(0), *(2 * a / left for a in b)])
        more = 4 * mp.fdot(b, u) / left**2
        space = [2 * a / left + more * c for a, c in zip(u, b, strict=True)]
        return point, sheet.tangent(point, [mpf(0), *space])

    def moved(b: list[mpf], u: list[mpf]) -> tuple[list[mpf], list[mpf]]:
        if name == "HalfSpace":
            return half.back(b), half.turned(half.below(b), u)
        point, tangent = lifted(b, u)
        if name == "Lorentz":
            return point, tangent
        return polar.back(point), polar.tangent_back(point, tangent)

    with mp.workdps(400):
        for inputs in spaces.SPACES["PoincareBall"].regimes("float64", 1):
            if inputs.regime.startswith("radius 0,"):
                continue  # no point of polar coordinates
            p, q, u, w = (
                [mpf(float(a)) for a in each[0]]
                for each in (inputs.p, inputs.q, inputs.u, inputs.w)
            )
            there, step = moved(p, u)
            end, carried = moved(q, ball.transport(p, q, w))
            assert abs(truth.dist(there, end) / ball.dist(p, q) - 1) < 1e-25
            assert truth.gap(truth.exp(there, step), moved(ball.exp(p, u), u)[0]) < 1e-25
            assert truth.off(there, truth.log(there, end), moved(p, ball.log(p, q))[1]) < 1e-25
            assert truth.off(end, truth.transport(there, end, moved(p, w)[1]), carried) < 1e-25
