"""What was counted of plans, without that of rows that are admitted, which may be slow or not."""

from typing import Any

from geodask.events import ADMISSION


def of_plans(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs, or the operations, that are of plans."""
    return [each for each in entries if each["operation"] != ADMISSION]
