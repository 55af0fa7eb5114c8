"""What a group holds of a plan, and which tasks are missing."""

from collections.abc import Iterable

from ..storage.array import ArraySpec
from ..storage.group import Group
from .operation import PARTIALS, STATES, Layout
from .tasks import Task


def results(group: Group) -> list[ArraySpec]:
    """The arrays of the result."""
    passing = PARTIALS, STATES
    return [array for array in group.arrays.values() if array.name not in passing]


def partial_keys(group: Group, layout: Layout, block: int) -> list[str]:
    """The objects of a block's partial results, panel after panel."""
    first, panels = block * layout.panels, layout.panels_of(block)
    return [group.arrays[PARTIALS].object_key(first + panel) for panel in panels]


def state_key(group: Group, step: int) -> str:
    """The object of the state that a step of an iteration ends with."""
    return group.arrays[STATES].object_key(step)


def finish_keys(group: Group, layout: Layout, block: int) -> list[str]:
    """The objects that finish a block: its part of the result, or the state of a step."""
    states = group.arrays.get(STATES)
    written = results(group) if states is None else [states]
    return [array.object_key(chunk) for array in written for chunk in layout.chunks(block)]


def is_finished(group: Group, layout: Layout, block: int) -> bool:
    """Whether what finishes a block is stored."""
    keys = finish_keys(group, layout, block)
    return group.complete or all(key in group.digests for key in keys)


def next_step(group: Group | None, layout: Layout) -> int:
    """The first step of an iteration that is not stored; the last there may be where all are."""
    steps = range(1, layout.blocks)
    if group is None:
        return steps.start
    return next((step for step in steps if not is_finished(group, layout, step)), steps[-1])


def block_tasks(group: Group | None, layout: Layout, block: int) -> list[Task]:
    """The tasks of a block that are not stored: panels, and the finish last."""
    if group is not None and is_finished(group, layout, block):
        return []
    panels = list(layout.panels_of(block))
    if group is not None and panels:
        keys = zip(panels, partial_keys(group, layout, block), strict=True)
        panels = [panel for panel, key in keys if key not in group.digests]
    return [*(Task(block, panel) for panel in panels), Task(block, None)]


def missing_tasks(group: Group | None, layout: Layout) -> list[Task]:
    """All tasks that are not stored; every one, where there is no group.

    Of an iteration those of its next step: how many more there will be is not known.
    """
    blocks: Iterable[int] = range(layout.blocks)
    if layout.iterative:
        blocks = [next_step(group, layout)]
    return [task for block in blocks for task in block_tasks(group, layout, block)]


def stored_tasks(group: Group, layout: Layout, everything: int, todo: int) -> int:
    """How many tasks have their results stored, of so many that there are and that are missing."""
    steps = next_step(group, layout) if layout.iterative else 1
    return steps * everything - todo
