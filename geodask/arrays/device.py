"""Where arrays live: libraries, devices, and the trip between host and device."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from array_api_compat import is_cupy_array, is_torch_array

from ..errors import DeviceError
from ..events import moved


@dataclass(frozen=True)
class Place:
    """A library and the device its arrays live on, such as torch on ``cuda:1``."""

    library: str
    device: str

    @property
    def on_host(self) -> bool:
        return self.device == "cpu"

    def put(self, x: np.ndarray) -> Any:
        """The host array as the library's own, on this device; on the host nothing is copied."""
        if self.library == "numpy":
            return x
        if self.library == "torch" and not x.flags.writeable:
            x = x.copy()  # torch warns of these, which a memory-mapped file gives
        if self.on_host:
            return self._put(x)
        with _moving(self, x.nbytes):
            return self._put(x)

    def _put(self, x: np.ndarray) -> Any:
        if self.library == "cupy":
            import cupy

            with cupy.cuda.Device(_index(self.device)):
                return cupy.asarray(x)
        import torch

        return torch.as_tensor(x, device=self.device)

    def wait(self) -> None:
        """Returns once the device has done all it was given."""
        if self.library == "cupy":
            import cupy

            with cupy.cuda.Device(_index(self.device)):
                cupy.cuda.get_current_stream().synchronize()
        else:
            import torch

            torch.cuda.current_stream(self.device).synchronize()

    def name(self) -> str:
        """The device in words, for reports."""
        if self.on_host:
            return f"cpu ({self.library})"
        if self.library == "cupy":
            import cupy

            properties = cupy.cuda.runtime.getDeviceProperties(_index(self.device))
            return f"{self.device} ({properties['name'].decode()}, cupy)"
        import torch

        return f"{self.device} ({torch.cuda.get_device_name(self.device)}, torch)"


@cache
def place(library: str, device: str) -> Place:
    """Resolve the settings ``geodask.array`` and ``geodask.device``, each of which may be "auto".

    Raises DeviceError where a device or library that was asked for is missing: no silent fall-back.
    """
    if library not in ("auto", "numpy", "torch", "cupy"):
        raise DeviceError(
            f"geodask.array must be auto, numpy, torch or cupy, but is {library!r}. "
            "Set one of these."
        )
    if library == "cupy" and find_spec("cupy") is None:
        raise DeviceError(
            "geodask.array is cupy, but cupy is not installed. "
            "Install geodask[cuda12] or geodask[cuda13], or set geodask.array to torch."
        )
    if device == "auto":
        device = "cuda" if library != "numpy" and _has_cuda(library) else "cpu"
    if device == "cpu":
        if library == "cupy":
            raise DeviceError("cupy computes on a GPU, but geodask.device is cpu. Set cuda.")
        return Place("torch" if library == "auto" else library, "cpu")
    if not device.startswith("cuda"):
        raise DeviceError(
            f"geodask.device must be auto, cpu, cuda or cuda:<number>, but is {device!r}. "
            "Set one of these."
        )
    if library == "numpy":
        raise DeviceError(f"numpy computes on the host, but geodask.device is {device}. Set cpu.")
    if not _has_cuda(library, _index(device)):
        raise DeviceError(
            f"geodask.device is {device}, but no such GPU is visible here. "
            "Set geodask.device to cpu or auto, or run where the GPU is."
        )
    return Place("torch" if library == "auto" else library, device)


def to_host(x: Any) -> np.ndarray:
    """Any array as numpy, sharing memory where the library can; bfloat16 as float32."""
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) if x.dtype.name == "bfloat16" else x
    if is_torch_array(x):
        if x.device.type == "cuda":
            with _moving(Place("torch", str(x.device)), x.nbytes):
                x = x.detach().cpu()
        x = x.detach()
        return (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
    if is_cupy_array(x):
        with _moving(Place("cupy", f"cuda:{x.device.id}"), x.nbytes):
            return x.get()
    return np.asarray(x)


@contextmanager
def _moving(where: Place, size: int) -> Iterator[None]:
    """Counts what moves inside.

    A copy waits for what the device was given before: that is the kernels' time, not the copy's.
    From ordinary memory of the host it is done when the call returns, but for the last piece.
    """
    where.wait()
    begin = time.perf_counter()
    yield
    where.wait()
    moved.seconds += time.perf_counter() - begin
    moved.bytes += size


def _index(device: str) -> int:
    _, _, number = device.partition(":")
    return int(number or 0)


def _has_cuda(library: str, index: int = 0) -> bool:
    if library == "cupy":
        import cupy

        try:
            return cupy.cuda.runtime.getDeviceCount() > index
        except cupy.cuda.runtime.CUDARuntimeError:
            return False
    import torch

    return torch.cuda.is_available() and torch.cuda.device_count() > index
