"""The machine that a benchmark runs on, and what it can do at most, measured in the same run."""

import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import zarr
from threadpoolctl import threadpool_info

from geodask.arrays.device import place
from geodask.arrays.product import has_bfloat16
from harness import folder
from sphere import DIMENSIONS, stored, uniform

PACKAGES = (
    *("geodask", "numpy", "torch", "numba", "dask", "distributed", "zarr"),
    *("faiss-cpu", "scikit-learn", "geoopt", "geomstats", "pyriemann", "scipy", "mpmath"),
)
VARIABLES = ("OPENBLAS_", "OMP_", "MKL_", "KMP_", "ONEDNN_", "DNNL_", "NUMBA_", "MALLOC_", "DASK_")
TILE = {"cpu": (1024, 2048), "cuda": (8192, 32768)}
"""Rows by rows of one product; on the CPU those of geodask's own kernel."""
TURNS = 5
LIMIT_BYTES = 256 << 20


def facts() -> dict[str, Any]:
    """Processor, memory, versions, and the environment that libraries look at."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), **versions()},
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)},
        "libraries": [
            {key: pool.get(key) for key in ("internal_api", "version", "architecture")}
            for pool in threadpool_info()
        ],
    }


def versions() -> dict[str, str]:
    """Versions of what takes part; what is not installed is not in it."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def cpu_name() -> str:
    """The processor as Linux names it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


# --- products of matrices -------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """One way to multiply: the form its operands take, and ``x @ y.T`` of two of them."""

    prepare: Callable[[np.ndarray], Any]
    multiply: Callable[[Any, Any], Any]
    device: str = "cpu"

    def wait(self) -> None:
        """Returns when a GPU has done what it was told."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def products(device: str = "cpu") -> dict[str, Product]:
    """The ways that are there, by name, beginning with the precision.

    A product is valid until the same thread multiplies again: tiles are used again.
    """
    found = {"float32 torch.mm": _torch_mm(torch.float32, device)}
    linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if device == "cpu" and linear is not None:
        found["float32 oneDNN"] = Product(
            torch.from_numpy, lambda x, y: linear(x, y, None, "none", [], "")
        )
    if device == "cpu":
        found["float32 numpy"] = _numpy_matmul()
    if has_bfloat16(place("torch", device)):
        found["bfloat16 torch.mm"] = _torch_mm(torch.bfloat16, device)
    return found


def _numpy_matmul() -> Product:
    own = threading.local()

    def multiply(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if getattr(own, "tile", np.empty(0)).size < len(x) * len(y):
            own.tile = np.empty(len(x) * len(y), np.float32)
        return np.matmul(x, y.T, out=own.tile[: len(x) * len(y)].reshape(len(x), len(y)))

    return Product(np.asarray, multiply)


def _torch_mm(dtype: torch.dtype, device: str) -> Product:
    own = threading.local()

    def multiply(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        if getattr(own, "tile", torch.empty(0)).numel() < len(x) * len(y):
            own.tile = torch.empty(len(x) * len(y), dtype=dtype, device=device)
        return torch.mm(x, y.T, out=own.tile[: len(x) * len(y)].view(len(x), len(y)))

    return Product(lambda x: torch.from_numpy(x).to(device, dtype), multiply, device)


# --- limits ---------------------------------------------------------------------------------------


def limits(nbytes: int) -> dict[str, Any]:
    """The most that all cores do at once, of several tries.

    ``flops``: products of (1024, 384) by (2048, 384), operations a second, by each way;
    ``float32_flops``, ``bfloat16_flops``: the best of them. ``copy_bytes``: bytes read and written
    a second by a copy. ``zarr_read_bytes``: bytes a second from a Zarr array of ``nbytes`` without
    compression, in the page cache. Where there is little data, the measurement is brief as well.
    """
    nbytes = min(nbytes, LIMIT_BYTES)
    seconds = 0.5 * nbytes / LIMIT_BYTES
    rates = _product_rates(seconds)
    best = {
        f"{kind}_flops": max(rate for name, rate in rates.items() if name.startswith(kind))
        for kind in {name.partition(" ")[0] for name in rates}
    }
    source = torch.zeros(LIMIT_BYTES, dtype=torch.uint8)
    target = torch.zeros_like(source)
    copied = 2 * LIMIT_BYTES / least_time(lambda: target.copy_(source), seconds)
    return {
        "flops": rates,
        **best,
        "copy_bytes": copied,
        "zarr_read_bytes": _zarr_rate(nbytes, seconds),
    }


def _product_rates(seconds: float) -> dict[str, float]:
    """The ways take turns, so that nobody else's burst of work falls on one of them alone."""
    x, y = uniform(TILE["cpu"][0], seed=0), uniform(TILE["cpu"][1], seed=1)
    work = 2.0 * len(x) * len(y) * DIMENSIONS
    ways = {
        name: partial(way.multiply, way.prepare(x), way.prepare(y))
        for name, way in products().items()
    }
    turns = [
        {name: least_time(run, seconds / TURNS) for name, run in ways.items()} for _ in range(TURNS)
    ]
    return {name: work / min(turn[name] for turn in turns) for name in ways}


def _zarr_rate(nbytes: int, seconds: float) -> float:
    rows = max(1, nbytes // (4 * DIMENSIONS))
    with folder() as home:
        stored(home / "limit.zarr", rows)
        array = zarr.open_array(str(home / "limit.zarr"), mode="r")
        return array.nbytes / least_time(lambda: array[...], seconds)


def least_time(run: Callable[[], Any], seconds: float) -> float:
    """The shortest of as many times as fit in so many seconds, and of three at least."""
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def heading(here: dict[str, Any], most: dict[str, Any]) -> str:
    """Machine and limits in a few lines."""
    rates = [f"{name} {rate / 1e9:.0f}" for name, rate in most["flops"].items()]
    return "\n".join(
        [
            f"{here['cpu']}, {here['cores']} cores, load {here['load_before']:.2f} before",
            ", ".join(f"{name} {number}" for name, number in here["versions"].items()),
            " ".join(f"{name}={value}" for name, value in here["environment"].items()),
            f"GFLOP/s: {', '.join(rates)}",
            f"copy {most['copy_bytes'] / 1e9:.1f} GB/s, "
            f"Zarr read {most['zarr_read_bytes'] / 1e9:.2f} GB/s",
        ]
    )
