"""Rows of the table of accuracy at which a formula once fell short of its claims."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

CONDITION = 10
"""Times what roundings of the rows make of the truth."""


@pytest.mark.parametrize(
    ("space", "verb", "regime"),
    [
        ("HPDLogEuclidean", "dist", "condition 1e+08, 2e-05 apart"),
        ("HPDLogEuclidean", "log", "condition 1e+08, 2e-05 apart"),
    ],
)
def test_digits_are_kept(
    monkeypatch: pytest.MonkeyPatch, space: str, verb: str, regime: str
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    accuracy, spaces = (importlib.import_module(name) for name in ("accuracy", "spaces"))
    entry = spaces.SPACES[space]
    inputs = next(each for each in entry.regimes("float64", 10) if each.regime == regime)
    ours = {"geodask": {verb: getattr(entry.manifold, verb)}}
    assert accuracy._errors(entry.truth, verb, inputs, ours)["times"] <= CONDITION
