"""Values that users hand to spaces, as spaces keep them."""

import math
from collections.abc import Mapping, Set
from typing import Any

import numpy as np


def as_number(value: Any) -> float:
    """A number of any library as Python's, which has JSON. NaN for what is none, strings too."""
    try:
        return math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        return math.nan


def as_weight(value: Any) -> float:
    """How many times squared distances count. NaN for what is no positive finite number."""
    number = as_number(value)
    return number if 0 < number < math.inf else math.nan


def in_order(values: Any) -> tuple[Any, ...]:
    """Several values one after the other; (None,) for what has no order, or is a single one."""
    try:
        return (None,) if isinstance(values, str | Mapping | Set) else tuple(values)
    except TypeError:
        return (None,)


def batch(shape: Any) -> tuple[int, ...]:
    """The shape of a batch, which may be the number of its rows."""
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
