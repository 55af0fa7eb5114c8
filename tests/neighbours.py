"""Questions with one right answer, and the kernels that must give it."""

from dataclasses import dataclass

import numpy as np
import pytest

import brute
import geodask as gd
from geodask.arrays.device import Place
from geodask.arrays.product import has_bfloat16
from geodask.kernels import nearest
from geodask.kernels.lists import Lists, one_each
from geodask.kernels.nearest import DeviceNearest, HostNearest
from geodask.ops.exclude import mask_lists, with_one

TORCH, NUMPY, CUDA = Place("torch", "cpu"), Place("numpy", "cpu"), Place("torch", "cuda")
Kernel = tuple[type[nearest.Nearest], Place, str]


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(TORCH), reason="this processor has no bfloat16 products"
)
needs_cuda = pytest.mark.skipif(not _has_cuda(), reason="no CUDA device is visible here")

HOST = [
    pytest.param((HostNearest, TORCH, "float32"), id="host-torch-float32"),
    pytest.param((HostNearest, NUMPY, "float32"), id="host-numpy-float32"),
    pytest.param((HostNearest, TORCH, "bfloat16"), id="host-bfloat16", marks=needs_bfloat16),
]
DEVICE = [
    pytest.param((DeviceNearest, NUMPY, "float32"), id="device-numpy-float32"),
    pytest.param((DeviceNearest, TORCH, "float32"), id="device-torch-float32"),
    pytest.param((DeviceNearest, TORCH, "bfloat16"), id="device-torch-bfloat16"),
    *(
        pytest.param(
            (DeviceNearest, CUDA, precision),
            id=f"cuda-{precision}",
            marks=(pytest.mark.gpu, needs_cuda),
        )
        for precision in ("float32", "bfloat16")
    ),
]
KERNELS = [*HOST, *DEVICE]
RUNNABLE: list[Kernel] = [
    kernel.values[0]
    for kernel in KERNELS
    if not any(mark.args[:1] == (True,) for mark in kernel.marks)
]
"""The kernels that can run here."""


@dataclass
class Question:
    """The k nearest of each row of ``x`` among ``y``, or among ``x`` itself without one.

    The right answer is that of brute force, where it is not given. ``own``: the row of ``y`` that
    the first row of ``x`` is, where both are of one data set.
    """

    space: str
    x: np.ndarray
    y: np.ndarray | None
    k: int
    own: int | None = None
    indices: np.ndarray | None = None
    ranks: np.ndarray | None = None
    mask: np.ndarray | None = None
    """Further pairs that must not be found."""

    def __post_init__(self) -> None:
        if self.y is None:
            self.own = 0
        if self.indices is None:
            found = brute.ranks(self.space, self.x, self.targets)
            if self.mask is not None:
                found = np.where(self.mask, np.inf, found)
            self.indices, self.ranks = brute.nearest(found, self.k, itself=self.y is None)

    @property
    def manifold(self) -> gd.Manifold:
        return getattr(gd, self.space)(self.x.shape[1])

    @property
    def excluded(self) -> Lists | None:
        """What each row must not find: itself, where it is among the targets; or the mask."""
        if self.mask is not None:
            lists = mask_lists(self.mask, self.mask.shape)
            return with_one(lists, np.arange(len(self.x))) if self.y is None else lists
        return None if self.own is None else one_each(np.arange(self.own, self.own + len(self.x)))

    @property
    def targets(self) -> np.ndarray:
        return self.x if self.y is None else self.y


def cut(n: int, size: int) -> list[tuple[int, int]]:
    """0:n in blocks of a size."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def answer(
    of: Question, kernel: Kernel, blocks: list[tuple[int, int]] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kernel's answer, the targets folded in these blocks."""
    kind, place, precision = kernel
    running = kind(of.manifold, of.x, of.k, place, precision, of.excluded)
    for start, stop in blocks or [(0, len(of.targets))]:
        running.fold(of.targets[start:stop], start)
    return running.result()


def assert_right(of: Question, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Ordered row numbers and ranks equal to the last bit, and every row certified."""
    indices, ranks, certified = found
    wrong = np.flatnonzero((indices != of.indices).any(axis=1))
    assert len(wrong) == 0, f"wrong rows {wrong[:5]} of {len(wrong)}"
    assert ranks.tobytes() == of.ranks.tobytes()
    assert certified.all()
