"""Rows of the table of accuracy at which a formula once fell short of its claims."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("space", "verb", "regime"),
    [
        ("HPDLogEuclidean", "dist", "condition 1e+08, 2e-05 apart"),
        ("HPDLogEuclidean", "log", "condition 1e+08, 2e-05 apart"),
        ("SPDBuresWasserstein", "log", "of one law"),
        ("HPDBuresWasserstein", "dist", "condition 1e+08"),
        ("HPDBuresWasserstein", "log", "condition 1e+08"),
        pytest.param(
            "StiefelCanonical",
            "transport",
            "0.999 of the injectivity radius",
            marks=pytest.mark.long,
        ),
        ("Rotations(4)", "log", "0.999 of the way to the cut locus"),
        ("Grassmann", "log", "0.999 of the way to the cut locus"),
    ],
)
def test_at_most_ten_times_the_condition(
    monkeypatch: pytest.MonkeyPatch, space: str, verb: str, regime: str
) -> None:
    assert errors(monkeypatch, space, verb, regime)["times"] <= 10


@pytest.mark.parametrize(
    ("space", "verb", "regime"),
    [
        ("PoincareBall", "exp", "radius 14, step 1e-06"),
        ("PoincareBall", "transport", "radius 0, step 1e-08"),
        ("SPDBuresWasserstein", "exp", "condition 1e+08"),
        ("SPDBuresWasserstein", "transport", "1e-08 apart"),
        ("Lorentz", "exp", "radius 0, step 10"),
        ("Lorentz", "transport", "radius 0, step 1e-08"),
        ("Sphere", "transport", "angle 0.001"),
    ],
)
def test_at_most_three_times_what_rounding_costs(
    monkeypatch: pytest.MonkeyPatch, space: str, verb: str, regime: str
) -> None:
    found = errors(monkeypatch, space, verb, regime)
    assert found["geodask"] <= 3 * found["rounded"]


@pytest.mark.parametrize("verb", ["dist", "log"])
def test_a_cholesky_factor_has_digits_that_a_condition_takes_from_others(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    found = errors(monkeypatch, "SPDLogCholesky", verb, "condition 1e+08, 1 apart")
    assert found["geodask"] <= 1e-3 * found["condition"]


@pytest.mark.parametrize("verb", ["exp", "transport"])
def test_float32_costs_the_rounding_of_the_result(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    found = errors(monkeypatch, "Sphere", verb, "angle 2", "float32")
    assert found["geodask"] <= 2 * found["rounded"]


def errors(
    monkeypatch: pytest.MonkeyPatch, space: str, verb: str, regime: str, dtype: str = "float64"
) -> dict[str, float]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    accuracy, spaces = (importlib.import_module(name) for name in ("accuracy", "spaces"))
    entry = spaces.SPACES[space]
    inputs = next(each for each in entry.regimes(dtype, 10) if each.regime == regime)
    ours = {"geodask": {verb: getattr(entry.manifold, verb)}}
    return accuracy._errors(entry.truth, verb, inputs, ours)
