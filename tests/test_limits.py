"""What is measured of a machine, and the time that arrays take to and from a device."""

import time
from typing import Any

import dask
import numpy as np
import pytest

import geodask as gd
from geodask.arrays.device import Place, moved, place, to_host
from geodask.arrays.limits import limits
from geodask.events import Stats
from neighbours import needs_cuda


def test_limits_are_those_of_a_processor() -> None:
    found = limits("numpy", "cpu", "float32")
    assert 1e8 < found.flops < 1e13
    assert 1e8 < found.bytes < 1e12
    assert not found.gpu
    assert limits("numpy", "cpu", "float32") is found


def test_bfloat16_products_are_measured_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    from geodask.arrays import limits as module

    host = Place("torch", "cpu")
    multiply: Any = module._product(host, "bfloat16")
    assert np.unique(multiply()).tolist() == [0x4380]  # 256


def test_nothing_moves_on_the_host() -> None:
    before = moved.bytes
    for library in ("numpy", "torch"):
        there = place(library, "cpu").put(np.ones(3))
        assert to_host(there).tolist() == [1.0, 1.0, 1.0]
    assert moved.bytes == before


def test_moves_are_told_apart_from_kernels(
    sphere: gd.Points, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host's memory stands in for a device's, which is given some time for each copy."""
    put = Place._put

    def slow(self: Place, x: np.ndarray) -> Any:
        time.sleep(0.01)
        return put(self, x)

    monkeypatch.setattr(Place, "on_host", property(lambda self: False))
    monkeypatch.setattr(Place, "_put", slow)
    monkeypatch.setattr(Place, "wait", lambda self: time.sleep(0.001))
    monkeypatch.setattr(Place, "name", lambda self: "device")
    kinds = {"array": "torch", "device": "cpu", "surrogate": "float32"}
    with dask.config.set({f"geodask.{name}": each for name, each in kinds.items()}):
        report = gd.knn(sphere[:300], k=3).compute().report
    stats = Stats(**report.stats)
    assert stats.bytes_moved >= 2 * 300 * 24 * 4  # queries and targets
    assert stats.transfer_seconds >= 0.02
    assert stats.kernel_seconds > 0
    assert sum(stats.stages.values()) <= 1.05 * stats.seconds
    assert "transfer" in stats.stages


@needs_cuda
@pytest.mark.gpu
def test_moves_to_a_gpu_are_counted() -> None:
    there = place("torch", "cuda")
    size, seconds = moved.bytes, moved.seconds
    x = there.put(np.ones(1 << 20))
    to_host(x)
    assert moved.bytes - size == 2 * 8 << 20
    assert moved.seconds > seconds
    assert limits("torch", "cuda", "auto").flops > 1e12
