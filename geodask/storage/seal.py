"""Small JSON objects that carry the digest of what they say: torn or altered ones say nothing."""

import json
from typing import Any

from .keys import canonical, digest
from .objects import Objects


def sealed(body: Any) -> dict[str, Any]:
    """The body with its digest."""
    return {"body": body, "digest": digest(canonical(body).encode())}


def unsealed(found: Any) -> Any:
    """The body of what `sealed` gave; None where it was changed, or is something else."""
    try:
        body = found["body"]
        return body if found["digest"] == digest(canonical(body).encode()) else None
    except (ValueError, KeyError, TypeError):
        return None


def parsed(data: Any) -> Any:
    """The JSON that an object's bytes hold; None where there are none, or they are torn."""
    try:
        return None if data is None else json.loads(bytes(data))
    except ValueError:
        return None


def put_note(objects: Objects, key: str, body: Any) -> None:
    """Writes a sealed object that says where it belongs, so that two of them cannot be swapped."""
    objects.put(key, canonical(sealed({"at": key, "note": body})).encode())


def get_note(objects: Objects, key: str) -> Any:
    """The body of what `put_note` wrote there; None where it is missing or damaged."""
    found = unsealed(parsed(objects.get(key)))
    return found["note"] if found is not None and found.get("at") == key else None


def get_notes(objects: Objects, folder: str) -> dict[str, Any]:
    """The notes in a folder that are sound, by their keys."""
    found = ((key, get_note(objects, key)) for key in objects.keys(f"{folder}/"))
    return {key: body for key, body in found if body is not None}
