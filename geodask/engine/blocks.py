"""The blocks that a run has not begun: it takes some at a time, and leaves others to others."""

import math
import time
from collections import deque
from collections.abc import Iterable

from ..storage.claims import Claims
from ..storage.group import Group
from .missing import is_finished
from .operation import Layout

POLL_SECONDS = 0.5
"""How often a run looks whether others have finished what it waits for."""

MOST = 1 << 20
"""Blocks that are asked for at once."""


class Blocks:
    """Blocks in their order, claimed before they are computed.

    Others may run the same plan. What they have finished is found by its marks.
    """

    def __init__(self, group: Group, layout: Layout):
        self._group, self._layout = group, layout
        self._claims = Claims(group.objects, group.claims)
        self._ahead: deque[int] = deque()
        self._taken_at, self._again_at, self._most = -math.inf, 0.0, 1

    def __bool__(self) -> bool:
        return bool(self._ahead)

    def extend(self, blocks: Iterable[int]) -> None:
        """Puts more of them behind the others."""
        self._ahead.extend(blocks)

    def clear(self) -> None:
        """Leaves all of them."""
        self._ahead.clear()

    def take(self, tasks: int) -> tuple[list[int], list[int]]:
        """The next blocks, with so many tasks or for a second or longer, and what others finished.

        No block may be had where others are at all of them.
        """
        now = time.monotonic()
        if not self._ahead or now < self._again_at:
            return [], []
        each = len(self._layout.panels_of(self._ahead[0])) + 1
        mine = self._claims.take(map(self._part, self._ahead), max(self._most, -(-tasks // each)))
        news = self._group.refresh()  # after the claim: who lets a block go has marked it before
        taken, found, left = [], [], deque()
        for block in self._ahead:
            if news and is_finished(self._group, self._layout, block):
                found.append(block)
            else:
                (taken if self._part(block) in mine else left).append(block)
        self._ahead = left
        if not taken:
            self._again_at = now + POLL_SECONDS
        elif now - self._taken_at < 1.0:
            self._most = min(2 * self._most, MOST)
        self._taken_at = now
        return taken, found

    def _part(self, block: int) -> int:
        """What is claimed for a block: the steps of an iteration belong together."""
        return 0 if self._layout.iterative else block

    def let_go(self, ended: Iterable[int]) -> None:
        """Lets others see that these are marked."""
        if not self._layout.iterative:
            self._claims.let_go(ended)

    def renew(self) -> None:
        """Says that this run is still at what it has taken."""
        self._claims.renew()

    def release(self) -> None:
        """Lets others have what is claimed."""
        self._claims.release()
