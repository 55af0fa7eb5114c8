"""On the scheduler: the book, the page, the routes and the metrics."""

import asyncio
import json
import logging
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from distributed import SchedulerPlugin, WorkerPlugin
from distributed.http.utils import RequestHandler
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import Application

from .. import __version__
from ..arrays.limits import limits
from ..engine.live import NAME as JOBS
from . import tables
from .alerts import Watch
from .book import Book
from .html import alone
from .prometheus import export, export_worker, withdraw

TICK_MS = 1000
PAGE = "geodask"

logger = logging.getLogger("geodask.monitor")


class Monitor(SchedulerPlugin):
    """Counts what plans do. What fails here is logged, and costs the scheduler nothing."""

    name, idempotent = "geodask-monitor", True

    def __init__(self, wanted: str):
        self.wanted = wanted
        """The version of whoever installs it."""
        self.applications: list[Any] = []

    async def start(self, scheduler: Any) -> None:
        """Takes questions, and shows the page where the scheduler has a dashboard."""
        scheduler.handlers["geodask_version"] = self.answer_version
        if self.wanted != __version__:
            raise RuntimeError(f"geodask is {__version__} here, but {self.wanted} asks.")
        self.scheduler, self.book, self.watch = scheduler, Book(), Watch()
        self._seen: tuple[float, dict[str, Any]] = (-1.0, {})
        for name in ("take", "view", "unmount"):
            scheduler.handlers[f"geodask_{name}"] = getattr(self, f"answer_{name}")
        self._ticking = PeriodicCallback(self._tick, TICK_MS)
        self._ticking.start()
        export(self.book)
        try:
            self._mount_page()
        except Exception:
            logger.warning("There is no geodask page.", exc_info=True)

    def _mount_page(self) -> None:
        http, main, prefix = self.scheduler.http_application, None, ""
        with suppress(ImportError):  # no bokeh
            from bokeh.server.tornado import BokehTornado

            found = (each for each in http.applications if isinstance(each, BokehTornado))
            main = next(found, None)
            prefix = "" if main is None else main._prefix
        route = rf"{prefix.rstrip('/')}/{PAGE}[.]json"
        rows = rf"{prefix.rstrip('/')}/{PAGE}/rows/([0-9a-f]*)"
        here = {"dask_server": self.scheduler}
        self._mount(Application([(route, Numbers, here), (rows, Rows, here)]))
        if main is None:
            return  # no dashboard
        from distributed.dashboard.core import BokehApplication
        from distributed.dashboard.scheduler import template_variables

        from .page import document

        variables = template_variables(self.scheduler)
        if PAGE not in variables["pages"]:
            variables["pages"].append(PAGE)
        page = BokehApplication(
            {f"/{PAGE}": document}, self.scheduler, prefix=prefix, template_variables=variables
        )
        self._mount(page)
        page.initialize(IOLoop.current())
        page.start()

    def _mount(self, application: Any) -> None:
        self.scheduler.http_application.add_application(application)
        self.applications.append(application)

    def _tick(self) -> None:
        self.book.tick()
        self.watch.look(self.view())

    def view(self) -> dict[str, Any]:
        """What is shown, made twice a second at most for all who look while a plan runs."""
        made_at, view = self._seen
        now = IOLoop.current().time()
        if now - made_at > TICK_MS / 2000:
            view = {**self.book.view(), **self._cluster(), "advice": self.watch.found}
            self._seen = now, view
        return view

    def _cluster(self) -> dict[str, Any]:
        live = self.scheduler.plugins.get(JOBS)
        workers = {}
        for address, worker in self.scheduler.workers.items():
            metrics = worker.metrics
            workers[address] = {
                "name": str(worker.name),
                "memory": metrics.get("memory", 0),
                "memory_limit": worker.memory_limit,
                "cpu": metrics.get("cpu", 0.0),
                "threads": worker.nthreads,
                "status": worker.status.name,
                "gpu": metrics.get("gpu_utilization"),
                "gpu_memory": metrics.get("gpu_memory_used"),
                "running": len(worker.processing),
                "limits": metrics.get(Metrics.name),
            }
        jobs = {"jobs": live.jobs, "queued": live.queued} if live is not None else {}
        return {"cluster": workers, **jobs}

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        self.book.workers_lost += 1

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        """Called for every task there is, so it looks at little of most."""
        if start == "processing" and finish in ("released", "waiting"):
            task = self.scheduler.tasks.get(key)
            if task is not None and task.who_wants:  # else it was given up
                self.book.note_rerun(str(key))

    # --- questions ------------------------------------------------------------------------------

    async def answer_take(self, snapshot: dict[str, Any]) -> bool:
        self.book.take(snapshot)
        if snapshot["ended"] is not None:  # whoever asks after the end of a plan sees it
            self._seen = -1.0, {}
        return True

    async def answer_view(self) -> dict[str, Any]:
        return self.view()

    async def answer_version(self) -> str:
        return __version__

    async def answer_unmount(self) -> bool:
        self.unmount()
        return True

    def unmount(self) -> None:
        """Takes away what was mounted."""
        self._ticking.stop()
        withdraw(self.book)
        for name in ("take", "view", "version", "unmount"):
            self.scheduler.handlers.pop(f"geodask_{name}", None)
        for application in self.applications:
            self.scheduler.http_application.applications.remove(application)
        if len(self.applications) > 1:
            from distributed.dashboard.scheduler import template_variables

            self.applications[-1].stop()
            template_variables(self.scheduler)["pages"].remove(PAGE)
        self.applications = []

    async def close(self) -> None:
        self._ticking.stop()
        withdraw(self.book)


class Metrics(WorkerPlugin):
    """On a worker: has Prometheus find what it did, and measures how fast it is at best."""

    name, idempotent = "geodask-metrics", True

    def __init__(self, array: str, device: str, surrogate: str):
        self.computing = array, device, surrogate
        """The settings of whoever installs it."""

    async def setup(self, worker: Any) -> None:
        export_worker()
        try:
            found = asdict(await asyncio.to_thread(limits, *self.computing))
        except Exception:
            logger.debug("The limits of a worker could not be measured.", exc_info=True)
            return
        worker.metrics[self.name] = lambda _: found  # it comes with every heartbeat

    def teardown(self, worker: Any) -> None:
        worker.metrics.pop(self.name, None)


class Handler(RequestHandler):
    """What both routes share."""

    @property
    def monitor(self) -> Monitor | None:
        """The one of this scheduler, unless it was taken away."""
        scheduler: Any = self.server
        return scheduler.plugins.get(Monitor.name)

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")


class Numbers(Handler):
    """All that is counted, as JSON."""

    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        if self.monitor is None:
            self.set_status(404)
            self.write(json.dumps({"error": "geodask counts nothing here any more."}))
            return
        self.write(json.dumps(self.monitor.view(), default=str))


class Rows(Handler):
    """The rows and the errors of one run, as a page."""

    def get(self, run: str) -> None:
        found = self.monitor.book.runs.get(run) if self.monitor is not None else None
        self.set_status(200 if found else 404)
        title = "Rows to look at" if found else "This run is not known here any more"
        self.write(alone(title, tables.rows(found) if found else ""))
