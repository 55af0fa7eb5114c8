"""Jobs over HTTP, on the scheduler's own server.

The event loop of the scheduler runs this: it parses and refuses, and leaves whatever reads a disk
or asks another machine to a few threads.
"""

import hmac
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any

from tornado import web
from tornado.ioloop import IOLoop

from ..storage.access import learn
from .board import Board
from .limits import Limits
from .openapi import described
from .operations import offers
from .options import Options
from .refusal import Refusal, refusal_of
from .strict import check, parse

BODY_BYTES = 64 << 10
LISTED = 100
"""Jobs of a page, and rows of a result, at most."""
THREADS = 4
UNDER_WAY = 32
"""Requests that wait for a thread or have one."""
PATH = "/geodask/jobs"

logger = logging.getLogger("geodask.service")


class Service(web.Application):
    """The routes of one scheduler, and what their handlers share."""

    def __init__(self, scheduler: Any, options: Options):
        self.options, self.board = options, Board(scheduler, options)
        self.limits = Limits(options.rate, options.rate_all)
        self.pool = ThreadPoolExecutor(THREADS, "geodask-service")
        self.under_way = 0
        routes = [
            (PATH, Listed),
            (f"{PATH}/schema", Described),
            (f"{PATH}/([^/]*)", One),
            (f"{PATH}/([^/]*)/result", Result),
            (f"{PATH}/.*", Unknown),
        ]
        super().__init__(routes, log_function=lambda handler: None)

    def stop(self) -> None:
        """Called by Dask where the scheduler ends."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def served(method: Callable[..., Awaitable[Any]]) -> Any:
    """A method whose answer is what it returns, as JSON, once the request is let in."""

    @wraps(method)
    async def serve(self: "Handler", *arguments: str) -> None:
        self.let_in()
        self.write(json.dumps(await method(self, *arguments), allow_nan=False))

    return serve


@web.stream_request_body
class Handler(web.RequestHandler):
    """What all routes share: who is let in, and how a refusal is answered."""

    application: Service
    asks: tuple[str, ...] = ()
    """Names that may stand behind the question mark."""

    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Before a body is read: refuses those that are too long, or do not say how long."""
        self.body = b""
        length = self.request.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.request.headers:
            raise Refusal(411, "A body needs its Content-Length, but it came in chunks.")
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > BODY_BYTES:
            raise Refusal(413, f"A body has at most {BODY_BYTES} bytes, but {length} come.")

    def data_received(self, chunk: bytes) -> None:
        self.body += chunk

    def let_in(self) -> None:
        """Refuses who asks too often, writes without the token or asks for what is not known."""
        wait = self.application.limits.wait(self.request.remote_ip or "")
        if wait:
            later = str(math.ceil(wait))
            raise Refusal(429, f"Too many requests. Ask again in {later} s.", Retry_After=later)
        if self.request.method in ("POST", "DELETE"):
            self._check_token()
        unknown = self.request.query_arguments.keys() - set(self.asks)
        if unknown:
            known = ", ".join(self.asks) or "nothing"
            raise Refusal(400, f"A query has {known}, but {sorted(unknown)!a} came.")

    def _check_token(self) -> None:
        token = self.application.options.token
        if token is None:
            raise Refusal(403, "Jobs are not changed here: this service was given no token.")
        kind, _, given = self.request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
        if kind.lower() != "bearer" or not same:
            header = {"WWW_Authenticate": "Bearer"}
            raise Refusal(401, "Jobs are changed by those who send the right token.", **header)

    def asked(self, name: str, default: int) -> int:
        """A count from the query, from 1 on and as far as it is listed."""
        text = self.get_query_argument(name, str(default))
        if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= LISTED:
            raise Refusal(400, f"{name} is a count from 1 to {LISTED}, but {text} came.")
        return int(text)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns that may take a while."""
        service = self.application
        if service.under_way >= UNDER_WAY:
            raise Refusal(429, "Too many requests are under way. Ask again.", Retry_After="1")
        service.under_way += 1
        try:
            return await IOLoop.current().run_in_executor(service.pool, function, *arguments)
        finally:
            service.under_way -= 1

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1]
        if isinstance(error, web.HTTPError):
            words = error.log_message or "The route does not know this method."
            error = Refusal(status_code, words.replace("%%", "%"))
        refusal = refusal_of(error)
        self.set_status(refusal.status)
        for name, value in refusal.headers.items():
            self.set_header(name, value)
        if refusal.status == 405:
            ours = (name for name in ("get", "post", "delete") if name in vars(type(self)))
            self.set_header("Allow", ", ".join(ours).upper())
        self.finish(json.dumps({"error": {"type": refusal.kind, "message": str(refusal)}}))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, web.HTTPError) and refusal_of(value).status >= 500:
            logger.error("%s %s", self.request.method, self.request.path, exc_info=value)


class Listed(Handler):
    """All jobs."""

    asks = ("limit", "after")

    @served
    async def get(self) -> Any:
        limit = self.asked("limit", 50)
        after = self.get_query_argument("after", None)
        jobs = await self.in_thread(self.application.board.page, limit, after)
        return {"jobs": jobs, "next": jobs[-1]["id"] if len(jobs) == limit else None}

    @served
    async def post(self) -> Any:
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind.lower() != "application/json":
            raise Refusal(415, f"A body is application/json, but {kind or 'none'} came.")
        asked = parse(self.body)
        name = asked.get("operation") if isinstance(asked, dict) else None
        if not isinstance(name, str) or name not in offers():
            raise Refusal(400, f"A submission has an operation of {', '.join(offers())}.")
        check(asked, offers()[name].schema(name))
        job = await self.in_thread(self.application.board.submit, asked)
        logger.info("%s submitted job %s, %s", self.request.remote_ip, job["id"], name)
        self.set_status(201)
        self.set_header("Location", f"{PATH}/{job['id']}")
        return job


class One(Handler):
    """One job."""

    @served
    async def get(self, id: str) -> Any:
        return await self.in_thread(self.application.board.find, id)

    @served
    async def delete(self, id: str) -> Any:
        job = await self.in_thread(self.application.board.cancel, id)
        logger.info("%s cancelled job %s", self.request.remote_ip, job["id"])
        return job


class Result(Handler):
    """What a completed job leaves."""

    asks = ("rows",)

    @served
    async def get(self, id: str) -> Any:
        rows = self.asked("rows", LISTED)
        return await self.in_thread(self.application.board.result, id, rows)


class Described(Handler):
    """The schema of all this."""

    @served
    async def get(self) -> Any:
        return described()


class Unknown(Handler):
    """Whatever else stands below."""

    @served
    async def get(self) -> Any:
        raise Refusal(404, f"There is nothing here. {PATH}/schema says what there is.")

    head = post = delete = patch = put = options = get


def mount(scheduler: Any, options: Options) -> None:
    """Serves the routes on a scheduler's server, in place of those that were there."""
    learn(options.opens)
    service = Service(scheduler, options)
    unmount(scheduler)
    scheduler.http_application.add_application(service)


def unmount(scheduler: Any) -> None:
    """Serves them no more."""
    applications = scheduler.http_application.applications
    for each in [each for each in applications if isinstance(each, Service)]:
        applications.remove(each)
        each.stop()
