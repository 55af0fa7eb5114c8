"""Requests to the service as raw bytes, so that nothing is put right on the way."""

import json
import socket
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import Any, NamedTuple

from geodask.config import settings
from geodask.engine.submission import record_plan
from geodask.storage.objects import open_store
from geodask.storage.records import Record

TOKEN = "the token of these tests"
JSON = {"Content-Type": "application/json"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """What is wrong, of an answer that says so in the way all of them do."""
        error = self.json["error"]
        assert error.keys() == {"type", "message"}
        return error["message"]


class Asking:
    """Asks the routes on a port of this machine."""

    def __init__(self, port: int):
        self.port = port

    def __call__(
        self,
        method: str,
        path: str = "",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Of a path below the list of jobs; a body that is no bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        headers = (JSON | BEARER if headers is None else headers) | {"Host": "x"}
        if body is not None and "Transfer-Encoding" not in headers:
            headers = {"Content-Length": str(len(data))} | headers
        lines = [f"{method} /geodask/jobs{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + data)

    def raw(self, data: bytes) -> Answer:
        """Of a whole request, on a connection of its own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(data)
            answer = HTTPResponse(connection, method=data.partition(b" ")[0].decode())
            answer.begin()
            return Answer(answer.status, answer.headers, answer.read())

    def submit(self, operation: str, *inputs: Any, **more: Any) -> Answer:
        """POSTs a submission; what is no field of it is a parameter."""
        fields = {name: more.pop(name) for name in ("name", "priority") if name in more}
        given = {"parameters": more} if more else {}
        asked = {"operation": operation, "inputs": [str(each) for each in inputs]}
        return self("POST", "", asked | given | fields)


def recorded(plan: Any, name: str | None = None) -> Record:
    """A job that nobody runs."""
    return record_plan(plan, open_store(settings()), settings(), name)
