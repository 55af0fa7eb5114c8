"""How much of a task over pairs of rows is held at a time; it changes nothing in the result."""

from collections.abc import Callable
from typing import NamedTuple

from ..engine.operation import Layout
from ..engine.points import Points
from ..errors import MemoryPlanError

SLICE_BYTES = 24 << 20
"""Bytes of a panel that are read at once, while the ones before are computed."""


class Tiling(NamedTuple):
    """The part of a block and of a panel."""

    rows: int
    """Rows of the block."""
    step: int
    """Rows of a slice of the panel."""


def fitting(
    name: str, y: Points, layout: Layout, needs: Callable[[Tiling], int], allowed: int | None
) -> Tiling:
    """All of a block against long slices of ``y``, or what the memory allows for a task.

    Raises MemoryPlanError where it allows none.
    """
    most = layout.others_per_panel if layout.others else len(y)
    tiling = Tiling(max(1, layout.rows_per_block), slice_rows(y, most))
    unit = min(y.source.chunk_rows, tiling.step)
    if allowed is None:
        return tiling
    while (needed := needs(tiling)) > allowed:
        fewer = Tiling(-(-tiling.rows // 2), tiling.step)
        shorter = Tiling(tiling.rows, max(1, tiling.step // (2 * unit)) * unit)
        cuts = [cut for cut in (fewer, shorter) if cut != tiling]
        if not cuts:
            raise MemoryPlanError(
                f"A task of {name} needs at least {needed} bytes (slices of {unit} rows)",
                came=f"{allowed} bytes are allowed for one",
                do="Give the workers more memory or fewer threads, or store the input in "
                "smaller chunks.",
            )
        tiling = min(cuts, key=needs)  # the cut that saves more
    return tiling


def slice_rows(y: Points, most: int) -> int:
    """Rows read at once: some 24 MiB and no more than that, in whole chunks of the storage."""
    unit = y.source.chunk_rows
    rows = min(most, max(1, SLICE_BYTES // max(1, y.row_bytes)))
    return unit * max(1, rows // unit)
