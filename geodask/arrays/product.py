"""Matrix products in low precision, and proven bounds on their error."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from ..errors import DeviceError
from .device import Place
from .namespace import is_host, namespace

FLUSHED = 2.0**-126
"""Products and operands below the smallest normal float32 may be flushed to zero."""


def product_error(n: int) -> float:
    """gamma with |fl(u.v) - u.v| <= gamma |u| |v| for sums of n products added in float32.

    n u / (1 - n u) with u = 2^-23, that of additions which are cut off, as in tensor cores; where
    they are rounded u is 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
    3.1). It holds for every order of the additions, with or without fused operations.
    """
    operations = 2 * n * 2.0**-24
    return operations / (1 - operations)


def precision_for(place: Place, asked: str) -> str:
    """The operands' precision for "auto": bfloat16 where the processor multiplies it natively."""
    if asked == "bfloat16" and place.library == "cupy":
        raise DeviceError(
            "cupy has no bfloat16, but geodask.surrogate is bfloat16. "
            "Set it to float32 or auto, or geodask.array to torch."
        )
    if asked != "auto":
        return asked
    return "bfloat16" if has_bfloat16(place) else "float32"


def has_bfloat16(place: Place) -> bool:
    """Whether products of bfloat16 run natively there, accumulated in float32."""
    if place.library != "torch":
        return False
    if place.on_host:
        return _processor_has_bfloat16()
    import torch

    return torch.cuda.get_device_capability(place.device)[0] >= 8


@cache
def _processor_has_bfloat16() -> bool:
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


class HostProduct:
    """``queries @ targets.T`` of row blocks on the host, into one tile that is used again.

    float32 goes through oneDNN where torch offers it (MKL keeps to AVX2 on some processors and runs
    at half the rate there) and through numpy's BLAS otherwise; bfloat16 through torch, whose result
    is rounded to bfloat16 once.
    """

    def __init__(self, library: str, precision: str, tile: tuple[int, int]):
        self.precision = precision
        self._multiply = _float32_product(library) if precision == "float32" else _bfloat16_product
        kind = np.uint16 if precision == "bfloat16" else np.float32
        self._tile = np.empty(tile[0] * tile[1], kind)

    def __call__(self, queries: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """float32 scores, or uint16 bit patterns of bfloat16 scores: (q, n), (m, n) -> (q, m)."""
        shape = len(queries), len(targets)
        tile = self._tile[: shape[0] * shape[1]].reshape(shape)
        return self._multiply(queries, targets, tile)


def _bfloat16_product(queries: np.ndarray, targets: np.ndarray, tile: np.ndarray) -> np.ndarray:
    import torch

    x, y, out = (torch.from_numpy(a).view(torch.bfloat16) for a in (queries, targets, tile))
    torch.mm(x, y.T, out=out)
    return tile


def _float32_product(library: str) -> Any:
    if library == "torch":
        import torch

        linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
        if linear is not None and _keeps_float32():

            def onednn(queries: np.ndarray, targets: np.ndarray, tile: np.ndarray) -> np.ndarray:
                x, y = torch.from_numpy(queries), torch.from_numpy(targets)
                return linear(x, y, None, "none", [], "").numpy()

            return onednn

    def blas(queries: np.ndarray, targets: np.ndarray, tile: np.ndarray) -> np.ndarray:
        return np.matmul(queries, targets.T, out=tile)

    return blas


def _keeps_float32() -> bool:
    """Whether torch multiplies operands as they are: other settings let oneDNN round them first."""
    import torch

    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # it was set in the finer way of newer versions, which this cannot tell
        return False


_settings = Lock()


@contextmanager
def _without_tf32() -> Iterator[None]:
    """On CUDA torch multiplies operands as they are; the setting is global, hence the lock."""
    import torch

    matmul = torch.backends.cuda.matmul
    # Reading the older name raises where the user has set the newer one.
    newer = hasattr(matmul, "fp32_precision")
    name, value = ("fp32_precision", "ieee") if newer else ("allow_tf32", False)
    with _settings:
        before = getattr(matmul, name)
        setattr(matmul, name, value)
        try:
            yield
        finally:
            setattr(matmul, name, before)


def device_product(queries: Any, targets: Any) -> Any:
    """``queries @ targets.T`` of device arrays, summed in float32 and not in TF32."""
    if not is_torch_array(queries):
        return queries.astype("float32") @ targets.astype("float32").T
    import torch

    if queries.dtype == torch.bfloat16:
        if queries.is_cuda:
            return torch.mm(queries, targets.T, out_dtype=torch.float32)
        return torch.mm(queries.float(), targets.float().T)
    with _without_tf32():
        return torch.mm(queries, targets.T)


def rounded(
    x: Any, centre: Any, scale: Any, precision: str, extra: int = 0
) -> tuple[Any, Any, Any]:
    """(x - centre) * scale as an operand of a product, with what the rounding lost.

    Takes blocks (rows, n), centre (n,) and scale (rows,). Returns the operand (rows, n + extra)
    in the precision asked for (on the host bfloat16 comes as uint16 bit patterns), whose extra
    columns are for the caller to fill, and two float64 columns (rows,): the length of what rounding
    took away, and the length of the row before.
    """
    if is_host(x):
        from .fused import round_bfloat16, round_float32

        kind, fill = (
            (np.uint16, round_bfloat16) if precision == "bfloat16" else (np.float32, round_float32)
        )
        operand = np.empty((len(x), x.shape[1] + extra), kind)
        lost, length = fill(x, centre, scale, operand)
        return operand, lost, length
    xp = namespace(x)
    points = (xp.astype(x, xp.float64) - centre) * scale[:, None]
    if precision == "bfloat16":
        low = points.bfloat16()
        back = low.double()
    else:
        low = xp.astype(points, xp.float32)
        back = xp.astype(low, xp.float64)
    operand = xp.concat([low] + [xp.zeros_like(low[:, :1])] * extra, axis=1)
    gap = points - back
    return operand, xp.sqrt(xp.sum(gap * gap, axis=1)), xp.sqrt(xp.sum(points * points, axis=1))


def fill_columns(operand: Any, start: int, values: Any) -> None:
    """Writes float64 ``values`` into the last three columns as a sum of three parts.

    Three parts of 8 bits (bfloat16, cut off) keep the values to 2^-23 relative, three of 24 bits to
    more than float64 holds.
    """
    xp = namespace(values)
    rest = values
    for column in range(start, start + 3):
        if is_host(operand) and operand.dtype == np.uint16:
            bits = rest.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
            operand[:, column] = (bits >> np.uint32(16)).astype(np.uint16)
            part = bits.view(np.float32).astype(np.float64)
        else:
            operand[:, column] = xp.astype(rest, xp.float32)
            part = xp.astype(operand[:, column], xp.float64)
        rest = rest - part
