"""The public names: those that load on first use are those that the stub shows."""

import ast
import importlib
import pickle
from pathlib import Path

import pytest
import tblib.pickling_support

import geodask as gd
from geodask import errors

STUB = Path(gd.__file__).with_suffix(".pyi")
SHOWN = {
    alias.asname: (node.module, alias.name)
    for node in ast.walk(ast.parse(STUB.read_text(encoding="utf-8")))
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
ERRORS = {
    "CutLocusError": ValueError,
    "DeviceError": RuntimeError,
    "JobError": RuntimeError,
    "MemoryPlanError": MemoryError,
    "NotOnManifoldError": ValueError,
    "PointShapeError": ValueError,
    "SpecError": ValueError,
    "StoreError": OSError,
    "TooManyPairsError": ValueError,
}


def test_the_stub_shows_every_public_name() -> None:
    assert sorted(SHOWN) == gd.__all__
    assert set(gd.__all__) <= set(dir(gd))


@pytest.mark.parametrize("name", gd.__all__)
def test_a_public_name_is_what_the_stub_says_and_has_a_docstring(name: str) -> None:
    module, original = SHOWN[name]
    home = importlib.import_module(f"geodask.{module or original}")
    assert getattr(gd, name) is (getattr(home, original) if module else home)
    assert (getattr(gd, name).__doc__ or "").strip()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'geodask' has no attribute 'neighbours'"):
        _ = gd.neighbours  # pyright: ignore[reportAttributeAccessIssue]


def test_errors_are_the_builtins_one_would_catch() -> None:
    assert {name for name in vars(errors) if name.endswith("Error")} == set(ERRORS)
    for name, builtin in ERRORS.items():
        assert issubclass(getattr(gd, name), builtin)


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_says_what_must_hold_what_came_and_what_to_do(name: str) -> None:
    error = getattr(gd, name)("A row has 8 numbers", came="7 came", do="Pass 8 columns.")
    assert str(error) == "A row has 8 numbers, but 7 came. Pass 8 columns."
    assert str(getattr(gd, name)("One full sentence.")) == "One full sentence."
    tblib.pickling_support.install(error)  # as Dask does with an error that leaves a worker
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
