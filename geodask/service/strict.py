"""JSON as strangers send it: what is not plainly what a schema says is refused.

The schema that is checked is the one that is served.
"""

import json
import math
import re
from typing import Any

from .refusal import Refusal

DEPTH = 8
"""Objects and arrays inside one another."""

_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
}


def parse(body: bytes) -> Any:
    """The JSON in a body. Refuses NaN, infinities, repeated keys, deep nesting and half letters."""
    try:
        text = body.decode()
        if _depth(text) > DEPTH:
            raise ValueError(f"it is nested deeper than {DEPTH}")
        hooks: dict[str, Any] = {"object_pairs_hook": _unique, "parse_float": _finite}
        found = json.loads(text, parse_constant=_finite, **hooks)
        json.dumps(found, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except ValueError as error:
        raise Refusal(400, f"A body must be plain JSON in UTF-8, but {error}.") from error
    return found


def check(value: Any, schema: dict[str, Any], where: str = "The body") -> None:
    """Refuses a value that does not fit the schema."""
    complaint = _complaint(value, schema)
    if complaint:
        raise Refusal(400, f"{where} must be {complaint}, but {json.dumps(value)[:100]} came.")
    if isinstance(value, list):
        for number, each in enumerate(value):
            check(each, schema["items"], f"{where}[{number}]")
    if isinstance(value, dict):
        for name, each in value.items():
            check(each, schema["properties"][name], f"{where}.{name}")


def _complaint(value: Any, schema: dict[str, Any]) -> str:
    """What the value itself must be, and is not; its parts are others' business."""
    if "enum" in schema:
        return "" if value in schema["enum"] else f"one of {', '.join(schema['enum'])}"
    if not isinstance(value, _TYPES[schema["type"]]) or isinstance(value, bool):
        return f"of type {schema['type']}"
    if isinstance(value, dict):
        unknown, missing = value.keys() - schema["properties"], schema["required"] - value.keys()
        known = ", ".join(schema["properties"]) or "nothing"
        if unknown or missing:
            needed = ", ".join(schema["required"])
            return f"an object of {known}{f', with {needed}' if needed else ''}"
        return ""
    size = value if isinstance(value, int | float) else len(value)
    kind = {str: "Length", list: "Items"}.get(type(value), "imum")
    least, most = (schema.get(f"{side}{kind}", size) for side in ("min", "max"))
    below = schema.get("exclusiveMaximum", math.inf)
    if not least <= size <= most or size >= below:
        limits = {name: limit for name, limit in schema.items() if name.startswith(("m", "ex"))}
        return f"within {limits}"
    if isinstance(value, str) and not re.fullmatch(schema.get("pattern", ".*"), value, re.DOTALL):
        return f"text like {schema['pattern']}"
    return ""


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in _MARKS.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number of it")
    return value
