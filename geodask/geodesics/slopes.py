"""Derivatives of functions of coordinates: by torch, and by central differences.

A function takes coordinates (*batch, d) to values (*batch, *shape), each row by itself and whatever
the batch. Its slopes are (*batch, *shape, d), the coordinate of the derivative last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from array_api_compat import is_cupy_array, is_torch_array

from ..arrays.device import to_host
from ..arrays.namespace import namespace
from ..errors import SpecError

Function = Callable[[Any], Any]

# --- by differences -----------------------------------------------------------------------------


class Stencil(NamedTuple):
    """Weights of f(x + m h), m = 1, 2, ...: those of the first and of the second derivative."""

    first: tuple[float, ...]
    second: tuple[float, ...]
    remainder: float
    """What is left out, over h^order, for f(x) = (1 - x)^-2 at 0: its terms are (n + 1) x^n."""


STENCILS = {
    2: Stencil((1 / 2,), (1.0,), 4.0),
    4: Stencil((2 / 3, -1 / 12), (4 / 3, -1 / 12), 24.0),
    6: Stencil((3 / 4, -3 / 20, 1 / 60), (3 / 2, -3 / 20, 1 / 90), 288.0),
}
"""By their order (Fornberg, Generation of finite difference formulas, 1988)."""

ROUNDINGS = 2.0**-49
"""How far, as a share, a value that is differentiated is off by rounding."""


def stencil(order: int) -> Stencil:
    """The stencil of an order. Raises SpecError where there is none."""
    if order not in STENCILS:
        raise SpecError(
            "Differences are of order 2, 4 or 6", came=f"order={order!r} came", do="Pass one."
        )
    return STENCILS[order]


def step_size(order: int, noise: float = ROUNDINGS, derivative: int = 1) -> float:
    """The step, as a share of the length over which a function changes by its size, at which what
    is left out grows as large as what noise in its values makes of the quotient."""
    return (noise / (order * stencil(order).remainder)) ** (1 / (order + derivative))


def step_error(order: int, noise: float = ROUNDINGS, derivative: int = 1) -> float:
    """How far a derivative at that step is off, for a function and a length of size 1.

    Some 1e-9, 2e-11 and 3e-12 for first derivatives of order 2, 4 and 6.
    """
    return 4 * noise / step_size(order, noise, derivative) ** derivative


@dataclass(frozen=True)
class Differences:
    """Central differences of order 2, 4 or 6, with steps (*batch, d).

    Powers of two leave the differences of coordinates exact: see `rounded`.
    """

    order: int
    step: Any

    def __call__(self, f: Function, x: Any) -> Any:
        xp, d = namespace(x), x.shape[-1]
        weights = stencil(self.order).first
        step = self.step + xp.zeros_like(x)
        columns = []
        for i in range(d):
            axis = xp.asarray([float(j == i) for j in range(d)], dtype=x.dtype, device=x.device)
            # The coordinate's moves are an axis in front, so f is called once.
            moves = [sign * (m + 1) * step * axis for m in range(len(weights)) for sign in (1, -1)]
            values = f(xp.stack([x + move for move in moves]))
            total: Any = sum(
                w * (values[2 * m, ...] - values[2 * m + 1, ...]) for m, w in enumerate(weights)
            )
            tail = (1,) * (total.ndim - x.ndim + 1)
            columns.append(total / xp.reshape(step[..., i], (*step.shape[:-1], *tail)))
        return xp.stack(columns, axis=-1)


def rounded(step: Any) -> Any:
    """The nearest powers of two."""
    xp = namespace(step)
    return 2.0 ** xp.round(xp.log2(step))


# --- by torch -----------------------------------------------------------------------------------


def by_torch(f: Function, x: Any) -> tuple[Any, Any]:
    """The values of f, one number for each row (*batch,), and their slopes (*batch, d).

    By reverse differentiation of their sum, since rows do not depend on each other. Slopes have no
    derivative of their own: of functions that torch knows one derivative of, as those of symmetric
    matrices, it takes a second one to be 0 and does not say so.
    """
    import torch

    with torch.enable_grad():
        at = x.detach().requires_grad_()
        values = f(at)
    if not values.requires_grad:  # no value depends on the coordinates
        return values, torch.zeros_like(x)
    (slopes,) = torch.autograd.grad(values.sum(), at, materialize_grads=True)
    return values.detach(), slopes


def in_torch(compute: Function, x: Any) -> Any:
    """compute(x) by torch, on the same device, in the library that x came in."""
    if is_torch_array(x):
        return compute(x.detach())
    import torch

    if is_cupy_array(x):
        return namespace(x).from_dlpack(compute(torch.from_dlpack(x)))
    return namespace(x).asarray(compute(torch.tensor(to_host(x))).numpy())
