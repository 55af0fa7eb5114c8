"""What a group holds of a plan, and which tasks are missing."""

from ..store.array import ArraySpec
from ..store.group import Group
from .operation import Layout
from .tasks import Task

PARTIALS = "partials"
"""The array of partial results, which goes when the blocks are finished."""


def results(group: Group) -> list[ArraySpec]:
    """The arrays of the result."""
    return [array for array in group.arrays.values() if array.name != PARTIALS]


def partial_keys(group: Group, layout: Layout, block: int) -> list[str]:
    """The objects of a block's partial results, panel after panel."""
    first, panels = block * layout.panels, layout.panels_of(block)
    return [group.arrays[PARTIALS].object_key(first + panel) for panel in panels]


def is_finished(group: Group, block: int) -> bool:
    """Whether the block of every array of the result is stored."""
    done = group.digests
    return group.complete or all(array.object_key(block) in done for array in results(group))


def block_tasks(group: Group | None, layout: Layout, block: int) -> list[Task]:
    """The tasks of a block that are not stored: panels, and the finish last."""
    if group is not None and is_finished(group, block):
        return []
    panels = list(layout.panels_of(block))
    if group is not None and panels:
        keys = zip(panels, partial_keys(group, layout, block), strict=True)
        panels = [panel for panel, key in keys if key not in group.digests]
    return [*(Task(block, panel) for panel in panels), Task(block, None)]


def missing_tasks(group: Group | None, layout: Layout) -> list[Task]:
    """All tasks that are not stored; every one, where there is no group."""
    blocks = range(layout.blocks)
    return [task for block in blocks for task in block_tasks(group, layout, block)]
