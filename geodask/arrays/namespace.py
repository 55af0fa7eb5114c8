"""Which library an array belongs to, and sums and norms that keep their digits in all of them."""

import math
from contextlib import suppress
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array

LANES = 8


def namespace(*arrays: Any) -> Any:
    """The array API namespace (numpy, torch, cupy, array-api-strict) the arrays share."""
    return array_namespace(*arrays, use_compat=None)


def is_host(x: Any) -> bool:
    """True for a numpy array, on which the compiled loops work."""
    return isinstance(x, np.ndarray)


def host_view(x: Any) -> np.ndarray | None:
    """The same array as numpy's, where numpy or torch has it on the host, but torch no derivatives
    to be had of it."""
    if is_host(x):
        return x
    if is_torch_array(x) and x.device.type == "cpu" and not x.requires_grad:
        # Under a transform of torch.func there are derivatives to be had, and no numpy array.
        with suppress(RuntimeError):
            return x.numpy()
    return None


def host_views(*arrays: Any) -> list[np.ndarray] | None:
    """Those of all; None where one has none."""
    found = [host_view(x) for x in arrays]
    return None if any(view is None for view in found) else [x for x in found if x is not None]


def read_only(x: np.ndarray) -> np.ndarray:
    """A contiguous array that cannot be written: numba compiles a loop anew for each kind."""
    view = np.ascontiguousarray(x).view()
    view.flags.writeable = False
    return view


def eps(x: Any) -> float:
    """Unit round-off times two (machine epsilon) of the array's dtype."""
    return float(namespace(x).finfo(x.dtype).eps)


def where(condition: Any, x: Any, value: Any) -> Any:
    """``x`` where the condition holds, else ``value``, a scalar or an array."""
    xp = namespace(x)
    other = xp.full_like(x, value) if isinstance(value, int | float) else value
    return xp.where(condition, x, other)


def dot(u: Any, v: Any) -> Any:
    """Inner products over the last axis: (..., n), (..., n) -> (...)."""
    return namespace(u, v).sum(u * v, axis=-1)


def norm(v: Any) -> Any:
    """Euclidean lengths over the last axis, without overflow or underflow: (..., n) -> (...)."""
    xp, largest = namespace(v), _largest(v)
    least = float(xp.finfo(v.dtype).smallest_normal) ** 0.25
    # Where squares are sure to stay in the dtype, a scale would only add roundings.
    far = (largest < least) | (largest > 1 / least)
    scale = where(far & (largest > 0) & xp.isfinite(largest), largest, 1.0)
    scaled = v / scale
    return scale[..., 0] * root(dot(scaled, scaled))


def root(x: Any) -> Any:
    """Square roots, whose derivative at zero is taken as 0, as that of a length at its kink is."""
    some = x != 0
    return where(some, namespace(x).sqrt(where(some, x, 1.0)), 0.0)


def unit(v: Any) -> Any:
    """v / |v| for vectors of any finite length, denormal ones too: (..., n) -> (..., n).

    NaN for the zero vector and for vectors that are not finite.
    """
    xp = namespace(v)
    largest = _largest(v)
    scaled = v / where((largest > 0) & xp.isfinite(largest), largest, 1.0)
    length = xp.sqrt(dot(scaled, scaled))[..., None]
    return scaled / where((length > 0) & xp.isfinite(length), length, math.nan)


def _largest(v: Any) -> Any:
    """Of the coordinates: (..., 1)."""
    xp = namespace(v)
    return xp.max(xp.abs(v), axis=-1, keepdims=True)


def wide(x: Any) -> Any:
    """The same in float64."""
    xp = namespace(x)
    return xp.astype(x, xp.float64, copy=False)


def constant(x: Any) -> Any:
    """The same without derivatives."""
    return x.detach() if is_torch_array(x) else x


def is_differentiated(*arrays: Any) -> bool:
    """Whether torch records what is made of one of these."""
    return any(is_torch_array(x) and x.requires_grad for x in arrays)


def like(values: Any, *given: Any) -> Any:
    """In the dtype that the arguments have in common: what a method computes with is float64."""
    xp = namespace(values)
    dtype = xp.result_type(*given)
    return xp.astype(values, dtype, copy=False) if xp.isdtype(dtype, "real floating") else values


def widen(x: Any) -> Any:
    """Floats as the compiled loops know them: float16 as float32, exactly, and in native order.

    Rows on the host are contiguous.
    """
    xp = namespace(x)
    if xp.finfo(x.dtype).bits == 16:
        x = xp.astype(x, xp.float32)
    return np.asarray(x, x.dtype.newbyteorder("="), order="C") if is_host(x) else x


def sqrt(x: Any) -> Any:
    """Square roots to the last bit, for what must have the same bytes from every library.

    Those of torch on the host are MKL's, and one in a hundred is off by a unit in the last place.
    """
    view = host_view(x)
    return namespace(x).sqrt(x) if view is None else namespace(x).asarray(np.sqrt(view))


def lane_sum(z: Any) -> Any:
    """Sums over the last axis in one fixed order of additions: (..., n) -> (...).

    Lane l adds the entries l, l + 8, l + 16 ... in turn; the eight lanes are then added as a tree.
    Library sums choose their own order, which depends on strides, threads and batch, so their last
    digits differ; these do not. The relative error for terms of one sign is at most
    (n / 8 + 3) units of round-off.
    """
    xp = namespace(z)
    n = z.shape[-1]
    tail = -n % LANES
    if tail:
        z = xp.concat([z] + [xp.zeros_like(z[..., :1])] * tail, axis=-1)
    total = z[..., :LANES]
    for start in range(LANES, n, LANES):
        total = total + z[..., start : start + LANES]
    half = total[..., :4] + total[..., 4:]
    pair = half[..., :2] + half[..., 2:]
    return pair[..., 0] + pair[..., 1]
