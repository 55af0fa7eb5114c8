"""Runs the missing tasks of a group, a bounded number at a time, and marks what is finished."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from ..errors import StoreError
from ..events import Stats, TaskDone, Watcher
from ..storage.group import Group
from .base import DamagedBaseError
from .executors import WINDOW, Executor
from .missing import block_tasks, finish_keys, is_finished, partial_keys, state_key
from .tasks import Done, Job, Task, run_task

MARK_SECONDS = 1.0
"""Finished objects are marked together, this often: what a killed run has to do again."""

ATTEMPTS = 3
"""How often partial results that turn out damaged are computed again."""


@dataclass
class Run:
    """One run of a plan's missing tasks on an executor."""

    job: Job
    group: Group
    engine: Executor
    name: str
    watch: Watcher
    check: Callable[[], None]
    """Raises where the inputs are not what they were: then nothing read from them is marked."""
    stats: Stats = field(default_factory=Stats)

    def __post_init__(self) -> None:
        self._attempts: Counter[int] = Counter()
        self._unmarked: dict[str, str] = {}
        self._unmarked_stats = Stats()
        self._marked_at, self._pause = time.monotonic(), MARK_SECONDS
        self._emptied: list[str] = []
        self._finished: SimpleQueue[tuple[Task, Any]] = SimpleQueue()
        self._running: dict[Task, Any] = {}
        self._waiting: dict[int, int] = {}
        self._todo: deque[Task] = deque()

    def run(self, blocks: Iterable[int]) -> None:
        """Returns when the blocks are finished. What is done stays marked, whatever happens."""
        for block in blocks:
            self._plan_block(block)
        try:
            while self._todo or self._running:
                while self._todo and len(self._running) < WINDOW * self.engine.slots:
                    self._submit(self._todo.popleft())
                self._collect(*self._finished.get())
        finally:
            try:
                self._mark()
            finally:
                for future in self._running.values():
                    future.cancel()

    def write(self, values: dict[str, Any]) -> None:
        """Writes and marks arrays of a single block, from here."""
        for name, each in values.items():
            key, digest, size = self.group.write(self.group.arrays[name], 0, each)
            self._unmarked[key] = self.group.digests[key] = digest
            self._unmarked_stats.bytes_written += size
        self._mark()

    def _plan_block(self, block: int) -> None:
        missing = block_tasks(self.group, self.job.layout, block)
        panels = missing[:-1]
        self._waiting[block] = len(panels)
        self._todo.extend(panels or missing)  # the finish comes once its panels are there

    def _submit(self, task: Task) -> None:
        # A task needs the digests of the state and partial results it reads, and of nothing else.
        keys = self._partial_keys(task.block) if task.panel is None else []
        if self.job.layout.iterative and task.block > 0:
            keys.append(state_key(self.group, task.block - 1))
        needed = {key: self.group.digests[key] for key in keys}
        group = Group(self.group.objects, self.group.path, self.group.body, needed)
        part = "finish" if task.panel is None else task.panel
        attempt = self._attempts[task.block]
        name = f"{self.name}-{task.block}-{part}-{attempt}-{id(self):x}"
        future = self.engine.submit(name, run_task, self.job, task, group)
        self._running[task] = future
        future.add_done_callback(lambda done, task=task: self._finished.put((task, done)))

    def _collect(self, task: Task, future: Any) -> None:
        del self._running[task]
        try:
            done: Done = future.result()
        except StoreError as error:
            if (
                isinstance(error, DamagedBaseError)
                or task.panel is not None
                or not self._repair(task.block)
            ):
                raise
            return
        self.stats.add(done.stats)
        self._unmarked_stats.add(done.stats)
        self._unmarked.update(done.digests)
        self.group.digests.update(done.digests)
        if task.panel is None:
            self._emptied += self._partial_keys(task.block)
        else:
            self._waiting[task.block] -= 1
            if self._waiting[task.block] == 0 and not self.group.complete:
                self._todo.appendleft(Task(task.block, None))
        if time.monotonic() - self._marked_at > self._pause:
            self._mark()
        work = self.job.operation.work(self.job.layout, task.block, task.panel)
        self.watch(TaskDone(work, done.stats))

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
        # Marks may name what was found damaged before the run, and is not there any more.
        layout = self.job.layout
        keys = [*finish_keys(self.group, layout, block), *self._partial_keys(block)]
        self.group.forget(key for key in keys if not self.group.intact(key))
        if not is_finished(self.group, layout, block):
            self._plan_block(block)
        return True

    def _mark(self) -> None:
        begin = time.monotonic()
        digests, stats = self._unmarked, self._unmarked_stats
        self._unmarked, self._unmarked_stats = {}, Stats()
        if digests:
            # After the last read of what is marked here, and so proof of what was read.
            self.check()
            self.group.mark(digests, {"stats": vars(stats)})
        self._marked_at = time.monotonic()
        self._pause = max(MARK_SECONDS, 20 * (self._marked_at - begin))
        # Partial results go only once the mark of what replaced them is written.
        self.group.discard(self._emptied)
        self._emptied = []

    def _partial_keys(self, block: int) -> list[str]:
        return partial_keys(self.group, self.job.layout, block)
