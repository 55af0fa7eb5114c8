"""A pointwise operation as a plan."""

from collections.abc import Callable
from typing import Any

from ..engine.plan import Plan
from ..errors import SpecError
from . import coordinates, covariances, curvature, hyperbolic, pointwise
from .pointwise import checked_policy, operands
from .rowwise import Pointwise


def plan(
    function: Callable[..., Any], *arguments: Any, on_undefined: str = "nan", **options: Any
) -> Plan:
    """A pointwise operation, such as ``gd.plan(gd.log_map, x, mu)``, with cost, progress and store.

    Takes the function, its arguments and its options. The result has ``values``, ``points`` where
    they are points, and a report whose ``health`` counts the undefined rows. Raises SpecError for
    any other function.
    """
    verbs = pointwise.VERBS | hyperbolic.VERBS | coordinates.VERBS | covariances.VERBS
    verbs |= curvature.VERBS
    if function not in verbs:
        names = ", ".join(sorted(each.__name__ for each in verbs))
        raise SpecError(
            f"gd.plan takes one of {names}, but {function!r} came. "
            "Operations on whole data sets, such as gd.knn, are plans already."
        )
    verb = verbs[function]
    if len(arguments) != len(verb.takes):
        raise TypeError(
            f"{function.__name__} takes {len(verb.takes)} arguments, but {len(arguments)} came."
        )
    verb, arguments = verb.bind(arguments)
    inputs = operands(verb, *arguments)
    verb = verb.told(inputs[0].manifold, options)
    return Plan(Pointwise(verb, checked_policy(on_undefined)), inputs)
