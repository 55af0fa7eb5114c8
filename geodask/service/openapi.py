"""What the routes take and answer, as OpenAPI 3.1: `GET /geodask/jobs/schema`."""

from functools import cache
from typing import Any

from .. import __version__
from .operations import closed, offers

STATUSES = ["queued", "running", "interrupted", "completed", "failed", "cancelled", "damaged"]


def _maybe(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


def _all(properties: dict[str, Any]) -> dict[str, Any]:
    return closed(properties, list(properties))


TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
FAILURE = {"type": TEXT, "message": TEXT}
BLOCKS = {"type": "array", "items": {"type": "array", "items": WHOLE}}
JOB = _all(
    {
        "id": TEXT,
        "status": {"enum": STATUSES},
        "name": _maybe("string"),
        "operation": _maybe("string"),
        "priority": _maybe("integer"),
        **dict.fromkeys(("created", "started", "updated", "ended"), _maybe("number")),
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "eta": _maybe("number"),
        "error": {"oneOf": [{"type": "null"}, _all({**FAILURE, "blocks": BLOCKS})]},
    }
)
ARRAY = _all({"url": TEXT, "shape": {"type": "array", "items": WHOLE}, "dtype": TEXT})
LISTS = {"type": "object", "additionalProperties": {"type": "array"}}
RESULT = _all(
    {
        "id": TEXT,
        "url": TEXT,
        "schema": {"type": "object", "additionalProperties": ARRAY},
        "report": _maybe("object"),
        "rows": LISTS,
        "ids": LISTS,
    }
)


@cache
def described() -> dict[str, Any]:
    """The document. What is taken is described by the schemas that it is checked with."""
    schemas = {
        "Submission": {"oneOf": [offer.schema(name) for name, offer in offers().items()]},
        "Job": JOB,
        "Jobs": _all({"jobs": {"type": "array", "items": _named("Job")}, "next": _maybe("string")}),
        "Result": RESULT,
        "Error": _all({"error": _all(FAILURE)}),
    }
    count = {"type": "integer", "minimum": 1, "maximum": 100}
    one = {"name": "id", "in": "path", "required": True, "schema": TEXT}
    listed = [_query("limit", count), _query("after", TEXT)]
    taken = {"required": True, "content": _json("Submission")}
    secured: dict[str, Any] = {"security": [{"token": []}]}
    jobs = "/geodask/jobs"
    return {
        "openapi": "3.1.0",
        "info": {"title": "Jobs of geodask", "version": __version__},
        "paths": {
            jobs: {
                "get": _does("Lists jobs, the newest first.", "Jobs", parameters=listed),
                "post": _does("Starts a job.", "Job", "201", requestBody=taken, **secured),
            },
            f"{jobs}/{{id}}": {
                "parameters": [one],
                "get": _does("One job.", "Job"),
                "delete": _does("Has it stop; what it has stored stays.", "Job", **secured),
            },
            f"{jobs}/{{id}}/result": {
                "parameters": [one],
                "get": _does(
                    "Its result: where, what, and the first rows.",
                    "Result",
                    parameters=[_query("rows", count)],
                ),
            },
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _does(summary: str, gives: str, status: str = "200", **more: Any) -> dict[str, Any]:
    answers = {status: (summary, gives), "4XX": ("What is wrong with the request.", "Error")}
    responses = {
        code: {"description": text, "content": _json(name)}
        for code, (text, name) in answers.items()
    }
    return {"summary": summary, "responses": responses, **more}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _named(name)}}


def _named(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}
