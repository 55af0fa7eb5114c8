"""What runs on a worker: one task, from reading its slices to writing its objects."""

import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import psutil

from ..arrays.threads import keep_freed_blocks, keep_to_one_thread
from ..events import Seen, Stats
from ..storage.group import Group
from .operation import PARTIALS, STATES, Budget, Layout, Operation, Work
from .points import Points


@dataclass(frozen=True)
class Job:
    """What all tasks of a run share: small, and with no arrays in it where it travels."""

    operation: Operation
    inputs: tuple[Points, ...]
    layout: Layout
    budget: Budget


@dataclass(frozen=True)
class Task:
    """One task: a (block, panel), or the finish of a block where ``panel`` is None."""

    block: int
    panel: int | None


@dataclass(frozen=True)
class Done:
    """What a task returns: digests of the objects it wrote, and what it did."""

    digests: dict[str, str]
    stats: Stats
    worker: str
    """The process that did it."""
    rows: dict[str, Seen] = field(default_factory=dict)
    """Rows that somebody should look at, by kind."""


def run_task(job: Job, group: Group, task: Task, digests: dict[str, str]) -> Done:
    """Computes the task and writes its objects. Doing it twice writes the same bytes.

    It knows the digests of the objects of the group that it reads, and of no others.
    """
    group = Group(group.objects, group.path, group.body, digests)
    keep_to_one_thread()
    keep_freed_blocks()
    stats, written = Stats(tasks=1), {}
    work = Work(job.inputs, job.layout, job.budget, stats)
    begin = time.perf_counter()
    for name, values in _compute(job, task, group, work):
        array = group.arrays[name]
        chunks = job.layout.chunks(task.block)
        if task.panel is not None:
            chunks = [task.block * job.layout.panels + task.panel]
        start = time.perf_counter()
        for chunk, part in zip(chunks, (values, values.T), strict=False):
            key, digest, size = group.write(array, chunk, part)
            stats.bytes_written += size
            written[key] = digest
        stats.write_seconds += time.perf_counter() - start
    stats.seconds = time.perf_counter() - begin
    if task.panel is None and job.layout.panels_of(task.block):
        others = sum(stats.stages.values()) - stats.merge_seconds
        stats.merge_seconds = max(0.0, stats.seconds - others)
    note_memory(stats)
    return Done(written, stats, this_process(), work.rows)


def _compute(job: Job, task: Task, group: Group, work: Work) -> Iterator[tuple[str, np.ndarray]]:
    operation, layout = job.operation, job.layout
    if layout.iterative and task.block > 0:
        work.state = group.read(group.arrays[STATES], task.block - 1)[0]
    if task.panel is not None:
        yield PARTIALS, operation.partial(work, task.block, task.panel)
        return
    first, panels = task.block * layout.panels, layout.panels_of(task.block)
    parts = (group.read(group.arrays[PARTIALS], first + panel) for panel in panels)
    start, stop = layout.block(task.block)
    work.stats.rows = stop - start if layout.completes_rows(task.block) else 0
    yield from operation.finish(work, task.block, parts).items()


def slices(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    """The rows start:stop in slices of some ``step`` rows.

    They end on multiples of ``step``, which should be one of the storage's own unit, so that no
    chunk is read twice.
    """
    cuts = [start, *range((start // step + 1) * step, stop, step), stop]
    return [(a, b) for a, b in pairwise(cuts) if a < b]


def stream(
    x: Points, spans: Sequence[tuple[int, int]], stats: Stats
) -> Iterator[tuple[int, np.ndarray]]:
    """The rows of some spans, the next one read while one is used: (first row, rows)."""
    with ThreadPoolExecutor(1, "geodask-read") as reader:
        ahead = [reader.submit(x.read, *span) for span in spans[:1]]
        for number, (first, _) in enumerate(spans):
            begin = time.perf_counter()
            rows = ahead.pop().result()
            stats.read_seconds += time.perf_counter() - begin
            stats.bytes_read += rows.nbytes
            if number + 1 < len(spans):
                ahead.append(reader.submit(x.read, *spans[number + 1]))
            yield first, rows
            note_memory(stats)


def this_process() -> str:
    """What runs a task here: a Dask worker, by its address, or a process that is none."""
    distributed = sys.modules.get("distributed")
    if distributed is not None:
        with suppress(ValueError):
            return distributed.get_worker().address
    return here()


def here() -> str:
    """This process, in words."""
    return f"process {os.getpid()} on {platform.node()}"


def note_memory(stats: Stats) -> None:
    """Keeps the largest resident memory of this process that was seen."""
    stats.peak_bytes = max(stats.peak_bytes, resident_bytes())


def resident_bytes() -> int:
    """Resident memory of this process, its libraries included."""
    return psutil.Process().memory_info().rss


def warm_up(job: Job) -> tuple[int, float]:
    """On a worker: load what tasks need, run a trial; (resident bytes, work per second)."""
    keep_to_one_thread()
    rate = job.operation.trial(job.inputs, job.budget)
    return resident_bytes(), rate


def loaded_bytes() -> int:
    """Resident memory of this process once it has loaded the libraries that tasks need."""
    from ..kernels import scan  # noqa: F401 (loads numba)

    keep_to_one_thread()
    return resident_bytes()
