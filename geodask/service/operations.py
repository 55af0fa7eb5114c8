"""What may be asked for by name: operations, their parameters, and the plans they make.

The public functions make the plans and judge what they are given. Here is only what JSON may say to
them: parameters by name, of one type and within bounds, and the URLs of what is stored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..engine.files import LOCAL, Remote
from ..engine.opening import open_rows
from ..engine.points import open as open_points
from ..geodesics.slopes import STENCILS
from ..manifolds.base import Manifold
from ..manifolds.charts import METHODS
from ..ops import curvature, hyperbolic, knn, mean, pairwise, plan, pointwise, within
from ..ops.rowwise import Verb
from ..storage.access import grant
from .refusal import Refusal
from .roots import Roots

Schema = dict[str, Any]

SPACES = ["Euclidean", "HalfSpace", "HyperbolicPolar", "Lorentz", "PoincareBall", "Sphere"]
NAME = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f]+$"}
PRIORITY = {"type": "integer", "minimum": -100, "maximum": 100}
SPACE = {
    "type": "object",
    "required": ["manifold", "n"],
    "additionalProperties": False,
    "properties": {
        "manifold": {"enum": SPACES},
        "n": {"type": "integer", "minimum": 1, "maximum": 1 << 20},
        "curvature": {"type": "number", "minimum": -1e9, "maximum": 1e9},
    },
}
TIME = {"type": "number", "minimum": -1e300, "maximum": 1e300}
POLICY = {"enum": ["nan", "raise"]}
OPTIONS = {"method": {"enum": list(METHODS)}, "order": {"enum": list(STENCILS)}}


@dataclass(frozen=True)
class Offer:
    """An operation as it is offered: what it takes, and what makes its plan of that."""

    make: Callable[..., Any]
    """Of the opened inputs and the parameters."""
    kinds: tuple[str, ...]
    """What each input is: "point", whose manifold is stored with it, or plain rows."""
    least: int
    """Inputs that there must be."""
    parameters: dict[str, Schema]
    required: tuple[str, ...] = ()

    def schema(self, name: str) -> Schema:
        """The JSON schema of a submission."""
        url = {"type": "string", "minLength": 1, "maxLength": 2048}
        parameters = closed(self.parameters, list(self.required))
        inputs = {"type": "array", "minItems": self.least, "maxItems": len(self.kinds)}
        properties = {
            "operation": {"enum": [name]},
            "inputs": {**inputs, "items": url},
            "parameters": parameters,
            "name": NAME,
            "priority": PRIORITY,
        }
        needed = ["operation", "inputs", *(["parameters"] if self.required else [])]
        return closed(properties, needed)


def closed(properties: dict[str, Schema], required: list[str]) -> Schema:
    """A schema of an object with these properties and no others."""
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": properties,
    }


@cache
def offers() -> dict[str, Offer]:
    """Every operation that is offered, by its name."""
    verbs = (pointwise.VERBS | hyperbolic.VERBS | curvature.VERBS).items()
    both = ("point", "point")
    k = {"type": "integer", "minimum": 1, "maximum": knn.K_MAX}
    radius = {"type": "number", "minimum": 0, "maximum": 1e300}
    pairs = {"type": "integer", "minimum": 0, "maximum": 1 << 50}
    tol = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
    steps = {"type": "integer", "minimum": 0, "maximum": 1_000_000}
    return {
        "knn": Offer(knn.knn, both, 1, {"k": k}, ("k",)),
        "within": Offer(
            within.within, both, 1, {"radius": radius, "max_pairs": pairs}, ("radius",)
        ),
        "pairwise": Offer(pairwise.pairwise, both, 1, {}),
        "mean": Offer(mean.mean, ("point",), 1, {"tol": tol, "max_iterations": steps}),
        **{function.__name__: _offer(function, verb) for function, verb in verbs},
    }


def _offer(function: Callable[..., Any], verb: Verb) -> Offer:
    """A verb's: what has rows is an input, what is one number or a space is a parameter."""
    named = {"time": ("t", TIME), "space": ("to", SPACE)}
    parameters = dict(named[kind] for kind in verb.takes if kind in named)
    kinds = tuple(kind for kind in verb.takes if kind not in named)
    required = tuple(parameters)

    def make(*inputs: Any, **rest: Any) -> Any:
        if "to" in rest:
            rest["to"] = Manifold.from_spec(rest["to"])
        return plan.plan(function, *inputs, *(rest.pop(name) for name in required), **rest)

    parameters |= {name: OPTIONS[name] for name in verb.options() if name in OPTIONS}
    return Offer(make, kinds, len(kinds), parameters | {"on_undefined": POLICY}, required)


def make_plan(asked: dict[str, Any], roots: Roots) -> Any:
    """The plan of a submission that fits its schema. Opens what it names, and reads no rows.

    Raises Refusal, or what the public function raises.
    """
    offer = offers()[asked["operation"]]
    places = [roots.resolve(url) for url in asked["inputs"]]
    inputs = [_opened(place, kind, roots) for place, kind in zip(places, offer.kinds, strict=False)]
    return offer.make(*inputs, **asked.get("parameters", {}))


def _opened(place: str, kind: str, roots: Roots) -> Any:
    try:
        _check_stored(place, roots)
        if kind in ("point", "ambient"):
            return open_points(place)
        return open_rows(place, None, None, None, None)[0]
    except Refusal:
        raise
    except Exception as error:  # of zarr, json or a bucket: what lies there may be anything
        must = f"{place} must be points that gd.open reads, but it says: {error}"
        raise Refusal(422, must, type(error).__name__) from error


def _check_stored(place: str, roots: Roots) -> None:
    """Refuses a place that is no Zarr group or array, or one with links that lead elsewhere.

    Files of other formats may name further files, which nobody has judged.
    """
    local = place.startswith("/")
    files = LOCAL if local else Remote(place, grant(place, None))
    if not any(files.exists(f"{place}/{name}") for name in ("zarr.json", ".zgroup", ".zarray")):
        raise Refusal(404, f"No Zarr group or array is stored at {place}.")
    if local:
        roots.check_links(place)
