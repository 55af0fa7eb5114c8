"""Small JSON objects that carry the digest of what they say: torn or altered ones say nothing."""

import json
from typing import Any

from .keys import canonical, digest


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
