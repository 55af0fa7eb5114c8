"""How fast a machine is at best, measured: what the rate of a plan is compared with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from .device import Place, place
from .product import HostProduct, device_product, precision_for
from .threads import one_thread_each

SHAPE = (512, 2048, 256)
"""Queries, targets and coordinates of a product: a tile of the search, in a cache's reach."""
COPIED = 32 << 20
TIMES = 5


@dataclass(frozen=True)
class Limits:
    """The best of one thread of a processor, or of a whole GPU."""

    flops: float
    """Floating-point operations a second of matrix products, in the precision of surrogates."""
    bytes: float
    """Bytes a second that memory of the host gives to a copy."""
    gpu: bool


@cache
def limits(array: str, device: str, surrogate: str) -> Limits:
    """Those of the place where this process computes with such settings, measured once in 0.1 s."""
    where = place(array, device)
    source, target = np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)
    with one_thread_each():
        multiply = _product(where, precision_for(where, surrogate))
        flops = 2.0 * SHAPE[0] * SHAPE[1] * SHAPE[2] / _best(multiply)
        copied = COPIED / _best(lambda: np.copyto(target, source))
    return Limits(flops, copied, not where.on_host)


def _product(where: Place, precision: str) -> Callable[[], object]:
    queries, targets, n = SHAPE
    # Bits that are numbers of either kind, small enough for every sum.
    kind, one = (np.uint16, 0x3F80) if precision == "bfloat16" else (np.float32, 1.0)
    x, y = np.full((queries, n), one, kind), np.full((targets, n), one, kind)
    if where.on_host:
        host = HostProduct(where.library, precision, (queries, targets))
        return lambda: host(x, y)
    there, others = where.put(x), where.put(y)
    if precision == "bfloat16":
        import torch

        there, others = there.view(torch.bfloat16), others.view(torch.bfloat16)

    def multiply() -> None:
        device_product(there, others)
        where.wait()

    return multiply


def _best(function: Callable[[], object]) -> float:
    """The shortest of some times, in seconds, after a first one that loads what it needs."""
    times = []
    for _ in range(1 + TIMES):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times[1:])
