"""Requests that are not served, and how each is answered."""

from http import HTTPStatus

from ..errors import JobError, StoreError

STATUS: dict[type[BaseException], int] = {
    JobError: 409,
    ValueError: 400,
    StoreError: 503,
}
"""By the first class that fits. What becomes of a broken store is no fault of the request."""

SHOWN = 1000
"""Characters of a message: what was asked may be part of it."""


class Refusal(Exception):
    """A request that is not served: the status, the message, and headers of the answer."""

    def __init__(self, status: int, message: str, kind: str = "", **headers: str):
        super().__init__(message[:SHOWN])
        self.status = status
        self.kind = kind or HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refusal_of(error: BaseException | None) -> Refusal:
    """How an error is answered. One that nobody expects says nothing of what it found."""
    if isinstance(error, Refusal):
        return error
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return Refusal(status, str(error), type(error).__name__)
    return Refusal(500, "The request failed here. The scheduler's log has the error.")
