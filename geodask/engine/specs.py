"""Plans as JSON and back: what outlives the process that made them.

Values of registered classes come back, and nothing else: JSON names no code. Rows in memory are not
part of it: `submit` stores them first.
"""

from base64 import b64decode, b64encode
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import SpecError
from ..manifolds.base import Manifold
from ..storage.access import grant, knows
from .files import Remote
from .sources import Lazy, Memory

_HOMES = {
    "engine.derived": "Joined Projected Selected",
    "engine.files": "Local",
    "engine.hdf5": "Hdf5 Integers",
    "engine.ids": "Ids",
    "engine.parquet": "Table",
    "engine.plan": "Plan",
    "engine.points": "Points",
    "engine.sources": "Npy Zarr",
    "engine.stored_ids": "Text",
    "engine.widened": "Bfloat16 Scaled",
    "manifolds.coordinates": "AllButLast ImageCoordinates LowerTriangle SpaceCoordinates Vectors",
    "manifolds.normal": "NormalCoordinates",
    "manifolds.rounds": "PolarCoordinates SphericalCoordinates StereographicCoordinates",
    "ops.curvature": "Tensor",
    "ops.frechet": "Mean",
    "ops.knn": "Knn",
    "ops.near": "Degrees Pairs",
    "ops.pairs": "Asked",
    "ops.pairwise": "Pairwise",
    "ops.ranks": "Ranks RanksPlan",
    "ops.rowwise": "Pointwise Verb",
    "ops.within": "WithinPlan",
}
_SPACES = "geodask.manifolds."
_FUNCTIONS = {"engine.arrow": "decode_columns decode_ids decode_lists"}


def to_spec(value: Any) -> Any:
    """A plan, or a part of one, as JSON.

    Raises SpecError where it holds rows in memory, or something of a class that is not registered.
    """
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind in (tuple, list):
        return [to_spec(each) for each in value]
    if is_dataclass(value) and _registered().get(kind.__name__) is kind:
        known = {part.name: getattr(value, part.name) for part in fields(value) if part.init}
        return {"is": kind.__name__, **{name: to_spec(each) for name, each in known.items()}}
    if isinstance(value, Memory | Lazy):
        raise SpecError(
            "A plan that is kept as JSON reads its rows from storage",
            came=f"{value.label} came",
            do="Save the points first: x.save(path), then gd.open(path).",
        )
    found = _tagged(value)
    if found is None:
        raise SpecError(
            "A plan that is kept as JSON is made of what geodask registers",
            came=f"{kind.__name__} came",
            do="Run it with persist() or compute().",
        )
    return found


def _tagged(value: Any) -> dict[str, Any] | None:
    """A value of another class, under the name of what `_built` makes of it."""
    if isinstance(value, Manifold) and type(value).__module__.startswith(_SPACES):
        return {"space": value.to_spec()}
    if isinstance(value, Remote):
        return {"remote": [value.root, value.options]}
    if isinstance(value, np.dtype):
        return {"dtype": value.name}
    if isinstance(value, range):
        return {"range": [value.start, value.stop, value.step]}
    if isinstance(value, float | np.floating):
        return {"float": float(value).hex()}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {"array": [value.dtype.str, value.shape, b64encode(value.tobytes()).decode()]}
    functions = _registered(functions=True)
    return next(({"function": name} for name, each in functions.items() if each is value), None)


def from_spec(spec: Any) -> Any:
    """What `to_spec` described. Raises SpecError for everything else."""
    if isinstance(spec, list):
        return tuple(from_spec(each) for each in spec)
    if not isinstance(spec, dict):
        return spec
    try:
        return _built(dict(spec))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(
            "JSON of a plan must be what geodask wrote",
            came=f"{str(spec)[:200]} came: {error}",
            do="Make the plan anew.",
        ) from error


def _built(spec: dict[str, Any]) -> Any:
    if "is" in spec:
        kind = _registered()[spec.pop("is")]
        return kind(**{name: from_spec(each) for name, each in spec.items()})
    ((kind, value),) = spec.items()
    if kind == "remote":
        root, options = value
        return Remote(root, options if knows(options) else grant(root, None))
    if kind == "array":
        dtype, shape, data = value
        return np.frombuffer(b64decode(data), np.dtype(dtype)).reshape(shape)
    made = {
        "space": Manifold.from_spec,
        "dtype": np.dtype,
        "float": float.fromhex,
        "range": lambda bounds: range(*bounds),
        "function": _registered(functions=True).__getitem__,
    }
    return made[kind](value)


@cache
def _registered(functions: bool = False) -> dict[str, Any]:
    """What may come back, by its name."""
    import_module("geodask.manifolds")
    homes = (_FUNCTIONS if functions else _HOMES).items()
    return {
        name: getattr(import_module(f"geodask.{home}"), name)
        for home, names in homes
        for name in names.split()
    }
