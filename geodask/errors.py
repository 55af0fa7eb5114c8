"""Typed errors. Each is also the builtin that one would catch.

A message has three parts: what must hold, what came, what to do. The constructors join them:

    PointShapeError(
        "Sphere(n=8) has points of shape (8,)",
        came="rows of shape (7,) came",
        do="Pass gd.Sphere(7), or select the columns.",
    )

reads `Sphere(n=8) has points of shape (8,), but rows of shape (7,) came. Pass gd.Sphere(7), or
select the columns.` One full text in place of the parts is taken as it stands.
"""

from typing import Any


class _ThreeParts(Exception):
    """An error whose message says what must hold, what came and what to do."""

    def __init__(self, must: str, came: str = "", do: str = "") -> None:
        claim = f"{must.rstrip('.')}, but {came.rstrip('.')}." if came else must
        super().__init__(f"{claim} {do}" if do else claim)

    def __reduce__(self) -> tuple[Any, ...]:
        # Dask's pickling of errors cannot rebuild a MemoryError with an __init__ of its own.
        return type(self), self.args


class PointShapeError(_ThreeParts, ValueError):
    """Rows do not have the shape of the manifold's points."""


class NotOnManifoldError(_ThreeParts, ValueError):
    """Rows are not points of the manifold: off it, NaN, infinite, or without a direction."""


class CutLocusError(_ThreeParts, ValueError):
    """A shortest geodesic was asked for where it is not unique."""


class MemoryPlanError(_ThreeParts, MemoryError):
    """A plan cannot keep within the memory or the space it is allowed."""


class StoreError(_ThreeParts, OSError):
    """Something stored is missing, torn, swapped or out of reach."""


class SpecError(_ThreeParts, ValueError):
    """A specification names what does not exist, or contradicts what is stored."""


class TooManyPairsError(_ThreeParts, ValueError):
    """There are more pairs than may be written."""


class DeviceError(_ThreeParts, RuntimeError):
    """A device or array library that was asked for is not there."""


class JobError(_ThreeParts, RuntimeError):
    """A job cannot be submitted, found, resumed or finished."""

    blocks: tuple[tuple[int, int, int], ...] = ()
    """Of a plan that was left incomplete, the blocks that failed: (number, first row, end)."""


def in_short(error: BaseException) -> str:
    """The type of an error, and what it says."""
    return f"{type(error).__name__}: {error}"
