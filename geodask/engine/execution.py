"""A plan at work: what is stored of it, what is missing, and the run that completes it."""

import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from ..config import Settings
from ..errors import MemoryPlanError, SpecError, StoreError, in_short
from ..events import About, PlanEnded, PlanStarted, Stats, Watcher, watching
from ..storage.entries import SCRATCH
from ..storage.group import DamagedError, Group, create, find
from ..storage.keys import canonical, content_key
from ..storage.leases import Lease, hold
from ..storage.objects import PARTIAL, Objects, memory_objects, open_store
from ..storage.usage import counter
from .admission import Admitted
from .base import DamagedBaseError
from .driver import Run
from .executors import WINDOW, Executor
from .growth import grown, note
from .iteration import iterate
from .missing import missing_tasks, results, stored_tasks
from .operation import Budget, Layout, Operation
from .origins import origin
from .progress import Progress
from .result import Report, found_report, make_report
from .space import check_free, check_space
from .specs import to_spec
from .tasks import Job, Task, loaded_bytes, warm_up

NUMERICS = 1
"""Raised when the bytes of every operation change, such as by another order of summation."""

SHARE = 0.65
"""The part of a process's memory limit that a plan takes: at 0.7 Dask spills, at 0.8 it pauses."""


class Execution:
    """A plan whose inputs are known, with the engine and the store it runs on."""

    def __init__(
        self,
        operation: Operation,
        current: Settings,
        engine: Executor,
        objects: Objects,
        admitted: list[Admitted],
        named: bool,
    ):
        self.operation, self.current = operation, current
        self.engine, self.objects = engine, objects
        self.admitted = admitted
        self.scratch = False
        self.spec = {
            "operation": operation.name,
            "version": operation.version,
            "numerics": NUMERICS,
            "parameters": operation.parameters(),
            "manifold": admitted[0].points.manifold.to_spec(),
            "inputs": [each.content for each in admitted],
        }
        self.key = content_key(self.spec)
        self.path = "" if named else f"{operation.name}-{self.key}"
        self.name = f"gd-{operation.name}-{self.key[:8]}"
        self.inputs = tuple(each.points for each in admitted)
        self._named = named
        self._grows = True
        self._lease: Lease | None = None
        self._counter = None if named else counter(objects)

    # --- what is stored -------------------------------------------------------------------------

    def find(self) -> Group | None:
        """The group with this plan's result, complete or building; None where there is none."""
        self._lease = hold(self.objects, self.path)
        try:
            found = find(self.objects, self.path)
        except DamagedError as error:
            self._check_spec(error.spec)
            return None  # built again over what lies there
        if found is None:
            if self._named and any(not _passing(key) for key in self.objects.keys("")):
                raise StoreError(
                    f"{self.objects.url} must be empty or hold this plan's result",
                    came="it holds something else, or a result whose zarr.json is damaged",
                    do="Pass another path, or remove what is there.",
                )
            return None
        self._check_spec(found.body["spec"])
        found.lease = self._lease
        return found

    def _check_spec(self, stored: dict[str, Any]) -> None:
        if canonical(stored) != canonical(self.spec):
            raise StoreError(
                f"{self.objects.url}/{self.path} must hold the result of this plan",
                came="it holds that of another plan or of other rows",
                do="Pass another path, or remove what is there.",
            )

    def go_to_scratch(self) -> None:
        """Results for `compute` go to memory, or to a folder of their own where workers write."""
        self.scratch = True
        if self.engine.remote:
            self.path = f"{SCRATCH}{self.key}-{time.time_ns():x}"
        else:
            self.objects, self.path = memory_objects(), self.path or self.name

    # --- running --------------------------------------------------------------------------------

    def job(self, group: Group | None) -> Job:
        """What the tasks share. The layout of a group that was begun is adopted."""
        operation, adopted = self.operation, group and Layout(**group.body["layout"])
        if group is None or not group.complete:
            operation = self._grown(adopted) or operation
        layout = adopted or operation.layout(self.inputs)
        budget = Budget(self.current.array, self.current.device, self.current.surrogate)
        return Job(operation, self.inputs, layout, budget)

    def _grown(self, adopted: Layout | None) -> Operation | None:
        """The operation as it grows from a stored result, or has begun to."""
        store = open_store(self.current)
        known = self.operation, self.spec, self.admitted, store
        return grown(*known, adopted) if self._grows else None

    def work(self, job: Job, tasks: list[Task]) -> float:
        """The work of some tasks, in the operation's own measure."""
        return sum(self.operation.work(job.layout, task.block, task.panel) for task in tasks)

    def warm_up(self, job: Job) -> tuple[int, float]:
        """Every process loads its libraries and runs a trial: (largest resident bytes, work/s)."""
        with self.engine.computing():
            found = self.engine.everywhere(warm_up, job)
        return max(base for base, _ in found), min(rate for _, rate in found)

    def budgeted(self, job: Job) -> Job:
        """The job with the memory of a task: as configured, or a share of the process's limit."""
        task_bytes = self.current.memory_per_task
        if task_bytes is None:
            with self.engine.computing():
                base = max(self.engine.everywhere(loaded_bytes))
            room = SHARE * self.engine.memory_limit() - base
            if self.scratch and not self.engine.remote:
                held = self.held_bytes(job.layout)
                if held > room:
                    raise MemoryPlanError(
                        f"compute() of {self.name} holds {held} bytes in this process",
                        came=f"{max(0, int(room))} may be taken",
                        do="Use persist(): it holds nothing but its tasks.",
                    )
                room -= held
            task_bytes = max(0, int(room / self.engine.threads_each()))
        return replace(job, budget=replace(job.budget, task_bytes=task_bytes))

    def held_bytes(self, layout: Layout) -> int:
        """What `compute` on threads holds besides its tasks: the result, as objects and as arrays,
        and the partial results of the blocks under way."""
        outputs = self.operation.outputs(self.inputs, layout)
        result = 2 * sum(array.nbytes for array in outputs)
        partials = self.operation.partials(self.inputs, layout)
        if partials is None:
            return result
        # Those of the tasks in the window, and of a block that is merged.
        objects = min(partials.blocks, WINDOW * self.engine.slots + 2 * layout.panels)
        return result + objects * partials.nbytes // max(1, partials.blocks)

    def complete(self, begin: float, verify: bool) -> tuple[Group, Report]:
        """The complete group and the report; computes what is missing."""
        group = self.find()
        if group is not None and verify:
            group.forget([key for key in group.digests if not group.intact(key)])
            if group.complete and self._lacks(group):
                group.reopen()
        if group is not None and group.complete:
            return group, self._hit(group, begin)
        if group is not None:
            begun = Layout(**group.body["layout"])
            if begun.base and self._grown(begun) is None:
                group.remove()  # what it has begun to grow from is gone
                group = None
        job = self.budgeted(self.job(group))
        self._places = self.engine.everywhere(job.budget.describe)
        self._cost = job.operation.cost(job.inputs, job.layout, job.budget)
        self._check_room(job, group)
        if group is None:
            group = self._create(job.layout)
            if canonical(group.body["layout"]) != canonical(vars(job.layout)):
                # Another process has begun it.
                return self.complete(begin, verify=False)
        try:
            return self._run(job, group, begin)
        except DamagedBaseError:  # then from scratch
            self._grows = False
            group.remove()
            return self.complete(begin, verify=False)

    def _hit(self, group: Group, begin: float) -> Report:
        seconds = group.body["report"]["seconds"]
        if self._counter is not None:
            self._counter.hit(self.path, group.nbytes, seconds, *self._copies)
        report = found_report(group, begin)
        what = asdict(report), self._space, group.nbytes, seconds
        watching()(PlanEnded(True, group.name, *what))
        return report

    @property
    def _copies(self) -> list[str]:
        """The entries of the store that inputs were copied to."""
        return [each.lease.path for each in self.admitted if each.lease is not None]

    def _check_room(self, job: Job, group: Group | None) -> None:
        if self.scratch and not self.engine.remote:
            return  # it is memory, and `budgeted` saw to it
        everything = len(missing_tasks(None, job.layout))
        share = len(missing_tasks(group, job.layout)) / max(1, everything)
        needed = int(share * self._cost.bytes_written)
        if self._named:
            check_free(self.name, needed, self.objects)
        else:
            check_space(self.name, needed, self.objects, self.current)

    def _check_unchanged(self) -> None:
        for each in self.admitted:
            # What `compute` gives of an array in memory is stored under no name.
            if not (self.scratch and each.in_memory):
                each.check_unchanged()

    def _run(self, job: Job, group: Group, begin: float) -> tuple[Group, Report]:
        everything = missing_tasks(None, job.layout)
        todo = missing_tasks(group, job.layout)
        watch = self.engine.watching(watching(Progress(self.current.progress)))
        total, left = (self.work(job, tasks) for tasks in (everything, todo))
        self._flops = self._cost.flops / total if total else 0.0
        rows = job.layout.others if job.layout.iterative else job.layout.rows
        about = self._about(job, group, todo)
        watch(PlanStarted(self.name, total, total - left, rows, about))
        stored = stored_tasks(group, job.layout, len(everything), len(todo))
        try:
            report = self._finish(job, group, watch, todo, begin, stored)
        except BaseException as error:
            watch(PlanEnded(False, error=in_short(error)))
            raise
        # Where another process was faster, what it counted is all that was done.
        whole = {**group.body["report"], "cache_hit": False}
        watch(PlanEnded(True, group.name, whole, self._space, group.nbytes))
        return group, Report(**report)

    def _finish(
        self, job: Job, group: Group, watch: Watcher, todo: list[Task], begin: float, stored: int
    ) -> dict[str, Any]:
        """The report of the group, in which nothing is missing any more."""
        how = self.current.on_error, dict(self.current.killed)
        run = Run(job, group, self.engine, self.name, watch, self._check_unchanged, *how)
        run.flops = self._flops
        try:
            with self.engine.computing():
                if job.layout.iterative:
                    iterate(run)
                else:
                    run.run(dict.fromkeys(task.block for task in todo))
            self._check_unchanged()
        finally:
            run.release()
        group.refresh()
        if group.complete:  # another process was faster
            group.clean(names(group))
        report = self._report(run, begin, stored)
        if not group.complete:
            group.commit(names(group), report)
            if self.operation.family is not None and not self.scratch and not self._named:
                note(group, self.operation, self.admitted)
        if self._counter is not None:
            self._counter.miss(f"{self.operation.name}-{self.key}", *self._copies)
        return report

    def _report(self, run: Run, begin: float, stored: int) -> dict[str, Any]:
        group, (device, surrogate) = run.group, self._computing
        facts = {
            "operation": self.operation.name,
            "key": self.key,
            "url": group.name,
            "cache_hit": False,
            "seconds": time.perf_counter() - begin,
            "device": device,
            "surrogate": surrogate,
            "blocks_computed": run.stats.tasks,
            "blocks_stored": stored + run.found,
            "certified": self._certified(group),
        }
        stats = noted(group) if group.extras else run.stats
        facts["reused"] = run.job.operation.account(stats)
        return make_report(facts, stats)

    @property
    def _computing(self) -> tuple[str, str]:
        """The devices of all processes, and the precisions of surrogates, in words."""
        precision = self.inputs[0].manifold.precision
        kinds = {device for device, _ in self._places}, {precision(x) for _, x in self._places}
        device, surrogate = (" and ".join(sorted(each)) for each in kinds)
        return device, surrogate

    @property
    def _space(self) -> str:
        return str(self.inputs[0].manifold)

    def _about(self, job: Job, group: Group, todo: list[Task]) -> About:
        most = max(self.inputs, key=lambda x: len(x) * x.row_bytes)  # what is read the most
        chunk, codec = most.source.chunk
        return About(
            key=self.key,
            operation=self.operation.name,
            manifold=self._space,
            url=group.name,
            created=group.body.get("reopened", group.body["created"]),
            blocks=job.layout.blocks,
            missing=tuple(dict.fromkeys(task.block for task in todo)),
            slots=self.engine.slots,
            device=", ".join(self._computing),
            task_bytes=self._cost.task_bytes,
            flops=self._cost.flops,
            bytes_to_read=self._cost.bytes_read,
            chunk_bytes=chunk,
            codec=codec,
            known=noted(group),
            iterative=job.layout.iterative,
        )

    def _certified(self, group: Group) -> float:
        array = group.arrays.get("certified")
        if array is None or array.shape[0] == 0:
            return 1.0
        counted = sum(int(group.read(array, block).sum()) for block in range(array.blocks))
        return counted / array.shape[0]

    def _lacks(self, group: Group) -> bool:
        blocks = ((array, block) for array in results(group) for block in range(array.blocks))
        return any(array.object_key(block) not in group.digests for array, block in blocks)

    def _create(self, layout: Layout) -> Group:
        arrays = self.operation.outputs(self.inputs, layout)
        for passing in (self.operation.partials, self.operation.states):
            array = passing(self.inputs, layout)
            arrays += [array] if array is not None else []
        told: dict[str, Any] = {"origins": [origin(each.source) for each in self.admitted]}
        with suppress(SpecError):  # of rows in memory
            told["plan"] = {"operation": to_spec(self.operation), "inputs": to_spec(self.inputs)}
        group = create(self.objects, self.path, self.spec, arrays, vars(layout), told)
        group.lease = self._lease
        return group


def noted(group: Group) -> Stats:
    """What the tasks did whose results are marked."""
    stats = Stats()
    for extra in group.extras:
        stats.add(Stats(**extra.get("stats", {})))
    return stats


def names(group: Group) -> list[str]:
    """The names of the result's arrays."""
    return [array.name for array in results(group)]


def _passing(key: str) -> bool:
    """Whether an object is a trace of the store's own work: a probe, or a write cut short."""
    return key.startswith("visible-") or key.endswith(PARTIAL)
