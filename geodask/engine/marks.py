"""What the tasks of a run have finished, marked together now and then."""

import time
from collections.abc import Callable, Iterable, Mapping

from ..events import Stats
from ..storage.group import Group

MARK_SECONDS = 1.0
"""Finished objects are marked together, this often: what a killed run has to do again."""


class Marks:
    """Objects that are written, and not marked yet."""

    def __init__(self, group: Group, check: Callable[[], None]):
        self._group, self._check = group, check
        self._digests: dict[str, str] = {}
        self._stats = Stats()
        self._replaced: list[str] = []
        self._written_at, self._pause = time.monotonic(), MARK_SECONDS

    def add(self, digests: Mapping[str, str], stats: Stats, replaced: Iterable[str] = ()) -> None:
        """Notes objects by their digests, and the keys of others that they replace."""
        self._digests.update(digests)
        self._group.digests.update(digests)
        self._stats.add(stats)
        self._replaced += replaced

    @property
    def due(self) -> bool:
        """Whether it is time to write them."""
        return time.monotonic() - self._written_at > self._pause

    def write(self) -> None:
        """Marks them, and removes what they replace."""
        begin = time.monotonic()
        digests, stats = self._digests, self._stats
        self._digests, self._stats = {}, Stats()
        if digests:
            # After the last read of what is marked here, and so proof of what was read.
            self._check()
            self._group.mark(digests, {"stats": vars(stats)})
        self._written_at = time.monotonic()
        self._pause = max(MARK_SECONDS, 20 * (self._written_at - begin))
        # Partial results go only once the mark of what replaced them is written.
        self._group.discard(self._replaced)
        self._replaced = []
