"""A plan: an operation over points, that says what it will cost and keeps what it has computed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import settings
from ..storage.group import Group
from ..storage.objects import Objects, open_objects, open_store
from .admission import admit
from .execution import Execution
from .executors import executor, tell_workers, visible
from .explain import Explanation
from .following import following
from .html import card
from .missing import missing_tasks, results
from .operation import Operation
from .points import Points
from .result import Report, complete_group, found_report, load, stored_array
from .submission import Submitted


@dataclass(frozen=True)
class Plan(Submitted):
    """What will be computed. Nothing is until `compute` or `persist`.

    Made by the operations (`geodask.knn`, `geodask.plan`).
    """

    operation: Operation
    inputs: tuple[Points, ...]

    def _repr_html_(self) -> str:
        inputs = {f"input {i + 1}": repr(x).strip("<>") for i, x in enumerate(self.inputs)}
        parameters = {name: str(value) for name, value in self.operation.parameters().items()}
        return card(f"Plan {self.operation.name}", {**parameters, **inputs})

    def explain(self) -> Explanation:
        """Blocks, flops, bytes, memory and hours on the workers at hand, and what is stored.

        Takes a few seconds: the inputs are admitted, and each worker runs a trial. Raises
        MemoryPlanError where the plan cannot fit.
        """
        with self._prepared(None) as run:
            found = run.find()
            job = run.job(found)
            base, rate = run.warm_up(job)
            hit = found is not None and found.complete
            job = job if hit else run.budgeted(job)  # what is only read needs no memory for tasks
            cost = job.operation.cost(job.inputs, job.layout, job.budget)
            todo, everything = (missing_tasks(group, job.layout) for group in (found, None))
            return Explanation(
                name=run.name,
                rows=job.layout.others if job.layout.iterative else job.layout.rows,
                blocks=1 if job.layout.iterative else job.layout.blocks,
                panels=job.layout.panels,
                flops=cost.flops,
                worst_flops=cost.worst_flops,
                bytes_read=cost.bytes_read,
                bytes_written=cost.bytes_written,
                base_bytes=base,
                task_bytes=cost.task_bytes,
                held_bytes=run.held_bytes(job.layout),
                slots=run.engine.slots,
                slots_each=run.engine.threads_each(),
                hours=run.work(job, todo) / (rate * run.engine.slots) / 3600,
                steps=job.layout.blocks - 1 if job.layout.iterative else 0,
                stored=1 - len(todo) / len(everything) if everything else float(hit),
                hit=hit,
                url=f"{run.objects.url}/{run.path}".rstrip("/"),
            )

    def persist(
        self,
        url: str | Path | None = None,
        *,
        verify: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result in the store, as Dask arrays: computed once, found the second time.

        Parameters
        ----------
        url : path or URL, optional
            Where the result is to stay, instead of under its key in the store: a folder, or
            ``s3://bucket/folder``.
        verify : bool
            Compare every stored object with its digest first, and compute anew what is damaged.
        storage_options : dict, optional
            What opens the bucket of ``url``, as for `geodask.points`.

        Raises
        ------
        MemoryPlanError
            Before anything runs, where no task fits the memory.
        NotOnManifoldError
            Where rows are not points.
        StoreError
            Where the store fails, or the inputs change during the run. What is stored is kept.
        """
        begin = time.perf_counter()
        with self._prepared(url, storage_options) as run:
            group, report = run.complete(begin, verify)
        return self._stored(group, report)

    def opened(self, store: Objects, urls: Sequence[str]) -> Any:
        """The result as it lies complete in a store. Raises StoreError where it is gone."""
        (group,) = (complete_group(store, url) for url in urls)
        return self._stored(group, found_report(group))

    def _stored(self, group: Group, report: Report) -> Any:
        arrays = {array.name: stored_array(group, array) for array in results(group)}
        return self.operation.result(self, arrays, report)

    def compute(self) -> Any:
        """The result in memory, as numpy arrays. A stored one is read; nothing is left behind."""
        begin = time.perf_counter()
        with self._prepared(None) as run:
            found = run.find()
            if found is None or not found.complete:
                run.go_to_scratch()
            try:
                group, report = run.complete(begin, verify=False)
                arrays = {array.name: load(group, array) for array in results(group)}
            finally:
                if run.scratch:
                    run.objects.delete_under(run.path)
        return self.operation.result(self, arrays, report)

    @contextmanager
    def _prepared(
        self, url: str | Path | None, options: Mapping[str, Any] | None = None
    ) -> Iterator[Execution]:
        current = settings()
        store = open_store(current)
        target = open_objects(str(url), options) if url is not None else store
        here = executor(current)
        with here as engine, following(current.watchers), visible(engine, target):
            tell_workers(store.access)
            unchecked = replace(current, validate="none")
            admitted = [
                admit(x, current if self.operation.checks(i) else unchecked, engine, store)
                for i, x in enumerate(self.inputs)
            ]
            yield Execution(self.operation, current, engine, target, admitted, url is not None)
