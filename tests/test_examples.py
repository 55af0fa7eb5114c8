"""The examples run as a user runs them: as scripts, in an empty folder."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def needs_the_extra() -> None:
    for module in ("distributed", "geographiclib", "matplotlib", "sklearn", "vega_datasets"):
        pytest.importorskip(module, reason="pip install geodask[examples]")


def run(folder: Path, script: str, *options: str) -> str:
    """Run an example in `folder`, with its store in there, and return what it printed."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / script, *options],
        cwd=folder,
        env=os.environ | {"DASK_GEODASK__STORE": str(folder / "store")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long  # .ci/run runs it as the README says
def test_the_quickstart_writes_what_it_promises(tmp_path: Path) -> None:
    printed = run(tmp_path, "quickstart.py", "--rows", "300", "--folder", "out")

    assert (tmp_path / "out" / "docs.zarr").is_dir()
    picture = tmp_path / "out" / "docs.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "dashboard at http" in printed
    assert "asked again: a hit" in printed
    central = printed.partition("the documents nearest to it:\n")[2].splitlines()[:5]
    assert [float(line.split()[0]) for line in central] == sorted(
        float(line.split()[0]) for line in central
    )
    assert all("." in line.split()[1] for line in central)

    table = printed.partition(" radians  name")[2].splitlines()[1:]
    assert len(table) >= 2
    assert len(table) % 2 == 0
    distances = [float(line.split()[0]) for line in table[::2]]
    assert distances == sorted(distances)
    assert 0 < distances[0] < distances[-1]


def test_the_docstrings_are_those_of_the_standard_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)
    import docstrings

    documents = docstrings.standard_library()
    assert 5_000 < len(documents) < 50_000
    assert documents["json"] == inspect.getdoc(json)
    assert documents["json.decoder.JSONDecoder.decode"] == inspect.getdoc(json.JSONDecoder.decode)
    assert documents["builtins.str.split"].startswith("Return a list of the substrings")
    assert not any(name.startswith("test.") for name in documents)
    assert {"antigravity", "this", "idlelib"}.isdisjoint(set(sys.modules) - before)


def test_a_file_that_does_not_parse_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    import docstrings

    (tmp_path / "good.py").write_text('"A module."\nif 1:\n    def f():\n        "A function."\n')
    (tmp_path / "bad.py").write_text("print 'Python 2'\n")
    (tmp_path / "null.py").write_bytes(b"\0")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_good.py").write_text('"""A test."""\n')
    found = list(docstrings.from_sources(tmp_path))
    assert found == [("good", "A module."), ("good.f", "A function.")]


def example(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An example as a module."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(name)


@pytest.mark.slow
def test_airports_lie_as_far_apart_as_geographiclib_says(tmp_path: Path) -> None:
    printed = run(tmp_path, "airports.py", "--folder", "out")

    assert (tmp_path / "out" / "airports.png").read_bytes().startswith(b"\x89PNG")
    assert "3,376 airports; 8 lay in the wrong hemisphere" in printed
    assert "nearest\n     0.015  HHH Hilton Head, HXD Hilton Head\n" in printed
    assert "farthest apart, 16,512.7 km: ROR" in printed
    [(nanometres, relative)] = re.findall(r"off .*?: (\S+) nm, .* (\S+) of each", printed)
    assert 0 < float(nanometres) < 8
    assert 0 < float(relative) < 1e-12


def test_the_map_keeps_areas_and_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    airports = example("airports", monkeypatch)
    [mean] = airports.unit_vectors(np.array([30.0]), np.array([-100.0]))
    quarter = airports.unit_vectors(np.array([0.0, -60, 60]), np.array([-10.0, -100, 80]))
    places = airports.lambert(
        quarter, mean
    )  # the disc of so much radius has half the sphere's area
    assert places / airports.RADIUS == pytest.approx(2**0.5 * np.array([[1, 0], [0, -1], [0, 1]]))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("geomstats") is None, reason="pip install geodask[emg]")
def test_gestures_are_recognised_as_the_example_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = run(tmp_path, "emg.py", "--folder", "out")

    assert (tmp_path / "out" / "emg.png").read_bytes().startswith(b"\x89PNG")
    assert "2,704 covariance matrices" in printed
    found = re.findall(r"^ *(\S+), (as recorded|centred) +(\S+) +(\S+) ", printed, re.MULTILINE)
    shares = {(metric, way): share for metric, way, _, share in found}
    assert len(shares) == 6
    assert re.findall(r"(\S+) % ", example("emg", monkeypatch).__doc__) == [
        shares["Euclidean", "as recorded"],
        shares["affine-invariant", "as recorded"],
        shares["affine-invariant", "centred"],
    ]


def test_near_singular_covariances_are_shrunk_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    emg = example("emg", monkeypatch)
    whole, dead = np.diag(np.arange(1.0, 9)), np.diag([0.0, *range(1, 8)])
    matrices, condition, shrunk = emg.well_conditioned(np.stack([whole, dead]))
    assert (condition, shrunk) == (np.inf, 1)
    assert (matrices[0] == whole).all()
    assert np.diag(matrices[1]) == pytest.approx(0.99 * np.diag(dead) + 0.01 * 28 / 8)
    assert np.trace(matrices[1]) == pytest.approx(28)
