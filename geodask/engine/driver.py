"""Runs the missing tasks of a group, a bounded number at a time, and marks what is finished."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from ..errors import JobError, StoreError, in_short
from ..events import Stats, TaskDone, TaskFailed, TaskStarted, Waited, Watcher
from ..storage.group import Group
from .base import DamagedBaseError
from .blocks import POLL_SECONDS, Blocks
from .executors import WINDOW, Executor, WorkersDiedError, taken
from .marks import Marks
from .missing import block_tasks, finish_keys, is_finished, partial_keys, state_key
from .operation import Layout
from .tasks import Done, Job, Task, run_task

ATTEMPTS = 3
"""How often partial results that turn out damaged are computed again."""
KILLS = 2
"""A task that was under way when so many drivers died is taken for the cause: it was alone."""


@dataclass
class Run:
    """One run of a plan's missing tasks on an executor. Others may run the same plan (`Blocks`)."""

    job: Job
    group: Group
    engine: Executor
    name: str
    watch: Watcher
    check: Callable[[], None]
    """Raises where the inputs are not what they were: then nothing read from them is marked."""
    on_error: str = "raise"
    """"continue" leaves out blocks that fail, for an error at the end."""
    killed: dict[str, int] = field(default_factory=dict)
    """Tasks that were under way when earlier drivers died, and how many of them."""
    stats: Stats = field(default_factory=Stats)
    found: int = 0
    """Tasks that others have done meanwhile."""
    flops: float = 0.0
    """Floating-point operations of a unit of work."""

    def __post_init__(self) -> None:
        self._bare = Group(self.group.objects, self.group.path, self.group.body)
        self._blocks = Blocks(self.group, self.job.layout)
        self._marks = Marks(self.group, self.check)
        self._todo: deque[Task] = deque()
        self._running: dict[Task, Any] = {}
        self._waiting: dict[int, int] = {}
        self._finished: SimpleQueue[tuple[Task, Any]] = SimpleQueue()
        self._missing: dict[int, list[Task]] = {}
        self._failed: dict[int, BaseException] = {}
        self._suspects: deque[Task] = deque()
        self._alone: set[Task] = set()
        self._attempts: Counter[int] = Counter()
        self._ended: list[int] = []

    def run(self, blocks: Iterable[int]) -> None:
        """Returns when the blocks are finished. What is done stays marked, whatever happens."""
        self._missing = {i: block_tasks(self.group, self.job.layout, i) for i in blocks}
        self._blocks.extend(self._missing)
        try:
            while self._blocks or self._todo or self._running or self._suspects:
                if not (self._blocks or self._todo or self._running):
                    self._todo.append(self._suspects.popleft())
                self._fill()
                if self._running:
                    self._collect()
                elif self._blocks:
                    self._mark()  # others may wait for it
                    time.sleep(POLL_SECONDS)
                    self.watch(Waited())
        finally:
            try:
                self._mark()
            finally:
                for future in self._running.values():
                    future.cancel()
        if self._failed:
            raise failure(self.name, self.job.layout, self._failed)

    def release(self) -> None:
        """Lets others have what is claimed: the last thing a run does."""
        self._blocks.release()

    def write(self, values: dict[str, Any]) -> None:
        """Writes and marks arrays of a single block, from here."""
        for name, each in values.items():
            key, digest, size = self.group.write(self.group.arrays[name], 0, each)
            self._marks.add({key: digest}, Stats(bytes_written=size))
        self._mark()

    # --- blocks ---------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Submits tasks until as many are under way as may be, or others are at the rest."""
        free, tasks = WINDOW * self.engine.slots - len(self._running), []
        while len(tasks) < free:
            if not self._todo:
                self._take_blocks()
            if not self._todo:
                break
            tasks.append(self._todo.popleft())
        self._submit(tasks)

    def _take_blocks(self) -> None:
        mine, found = self._blocks.take(WINDOW * self.engine.slots)
        for block in found:
            self._note_found(block)
        for block in mine:
            self._plan_block(block)

    def _plan_block(self, block: int) -> None:
        missing = block_tasks(self.group, self.job.layout, block)
        panels = missing[:-1]
        self._waiting[block] = len(panels)
        for task in panels or missing:  # the finish comes once its panels are there
            self._line_up(task)

    def _line_up(self, task: Task, *, first: bool = False) -> None:
        kills = self.killed.get(self._label(task), 0)
        if kills >= KILLS:
            error = _deadly(self._label(task), kills)
            self._leave_out(task.block, error)
            rows = self.job.layout.block(task.block)
            self.watch(TaskFailed(self._label(task), task.block, rows, in_short(error), True))
        elif kills:
            self._suspects.append(task)
        elif first:
            self._todo.appendleft(task)
        elif task.block not in self._failed:
            self._todo.append(task)

    def _label(self, task: Task) -> str:
        return f"{self.name}-{task.block}-{'finish' if task.panel is None else task.panel}"

    def _note_found(self, block: int) -> None:
        layout = self.job.layout
        tasks = self._missing[block]
        self.found += len(tasks)
        work = sum(self.job.operation.work(layout, block, task.panel) for task in tasks)
        self.watch(TaskDone(work, Stats(), block=block, finishes=True))
        self._ended.append(block)

    # --- tasks ----------------------------------------------------------------------------------

    def _submit(self, tasks: list[Task]) -> None:
        calls = {}
        for task in tasks:
            name = f"{self._label(task)}-{self._attempts[task.block]}-{id(self):x}"
            calls[name] = task, self._digests_read(task)
            self.watch(TaskStarted(self._label(task), task.block))
        futures = self.engine.submit(run_task, (self.job, self._bare), calls) if calls else []
        self._running.update(zip(tasks, futures, strict=True))
        for task, future in zip(tasks, futures, strict=True):
            future.add_done_callback(lambda done, task=task: self._finished.put((task, done)))

    def _digests_read(self, task: Task) -> dict[str, str]:
        """Those of the state and the partial results that a task reads."""
        keys = self._partial_keys(task.block) if task.panel is None else []
        if self.job.layout.iterative and task.block > 0:
            keys.append(state_key(self.group, task.block - 1))
        return {key: self.group.digests[key] for key in keys}

    def _collect(self) -> None:
        """Takes in what has finished."""
        self.engine.look_after()
        found = taken(self._finished)
        if not found:
            self._blocks.renew()
            self.watch(Waited())
        for task, future in found:
            self._take_in(task, future)

    def _take_in(self, task: Task, future: Any) -> None:
        del self._running[task]
        try:
            done: Done = future.result()
        except Exception as error:
            self._take_failure(task, error)
            return
        work = self.job.operation.work(self.job.layout, task.block, task.panel)
        done.stats.flops = round(work * self.flops)
        self.stats.add(done.stats)
        replaced = self._partial_keys(task.block) if task.panel is None else []
        self._marks.add(done.digests, done.stats, replaced)
        if task.panel is None:
            self._ended.append(task.block)
        elif task.block not in self._failed:
            self._waiting[task.block] -= 1
            if self._waiting[task.block] == 0 and not self.group.complete:
                self._line_up(Task(task.block, None), first=True)
        if self._marks.due:
            self._mark()
        label, finishes = self._label(task), task.panel is None
        what = done.stats, label, task.block, done.worker, finishes, done.rows
        self.watch(TaskDone(work, *what))

    def _take_failure(self, task: Task, error: Exception) -> None:
        """Has the block computed again, or leaves it out, or raises the error."""
        final = True
        try:
            final = self._settle_failure(task, error)
        finally:
            rows = self.job.layout.block(task.block)
            self.watch(TaskFailed(self._label(task), task.block, rows, in_short(error), final))

    def _settle_failure(self, task: Task, error: Exception) -> bool:
        """Whether the block is left out for it. Raises the error where the run ends."""
        block = task.block
        if isinstance(error, StoreError) and not isinstance(error, DamagedBaseError):
            if task.panel is None and self._repair(block):
                return False
            raise error
        if isinstance(error, WorkersDiedError) and task not in self._alone:
            # A worker takes down the calls beside the one to blame: again, once nothing is beside.
            self._alone.add(task)
            self._suspects.append(task)
            return False
        start, stop = self.job.layout.block(block)
        error.add_note(f"This happened in block {block} of {self.name}, rows {start} to {stop}.")
        deadly = isinstance(error, WorkersDiedError)  # then all others have ended
        lost = isinstance(error, DamagedBaseError | JobError)
        if not deadly and (lost or self.on_error == "raise"):
            raise error
        self._leave_out(block, error)
        return True

    def _leave_out(self, block: int, error: Exception) -> None:
        self._failed[block] = error
        self._todo = deque(each for each in self._todo if each.block != block)
        self._suspects = deque(each for each in self._suspects if each.block != block)

    def _repair(self, block: int) -> bool:
        """After a finish failed on its partial results: plan anew what is not there any more.

        Another process may have finished the block and removed them; or they were damaged.
        """
        self._attempts[block] += 1
        if self._attempts[block] > ATTEMPTS:
            return False
        self._mark()
        self.group.refresh()
        if self.group.complete:
            self._todo.clear()
            self._blocks.clear()
        # Marks may name what was found damaged before the run, and is not there any more.
        layout = self.job.layout
        keys = [*finish_keys(self.group, layout, block), *self._partial_keys(block)]
        self.group.forget(key for key in keys if not self.group.intact(key))
        if not is_finished(self.group, layout, block):
            self._plan_block(block)
        return True

    def _mark(self) -> None:
        self._marks.write()
        self._blocks.let_go(self._ended)
        self._ended = []
        self._blocks.renew()

    def _partial_keys(self, block: int) -> list[str]:
        return partial_keys(self.group, self.job.layout, block)


def _deadly(label: str, kills: int) -> WorkersDiedError:
    return WorkersDiedError(
        "A task must not end the worker that runs it",
        came=f"{kills} drivers died while {label} was under way",
        do="Look into their logs: it may need more memory than they have.",
    )


def failure(name: str, layout: Layout, failed: dict[int, BaseException]) -> JobError:
    """The error of a run that has left out blocks."""
    places = [f"block {i}, rows {' to '.join(map(str, layout.block(i)))}" for i in sorted(failed)]
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    first = failed[min(failed)]
    error = JobError(
        f"Every block of {name} must be computed",
        came=f"{'; '.join(places[:3])}{more} failed: {type(first).__name__}: {first}",
        do="The others are stored. Mend the cause and run the plan again: it computes only these.",
    )
    error.__cause__ = first
    error.blocks = tuple((i, *layout.block(i)) for i in sorted(failed))
    return error
