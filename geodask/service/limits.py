"""How often may be asked: token buckets, one for each address and one for everybody."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST_SECONDS = 2.0
"""A bucket holds what comes in so many seconds."""
ADDRESSES = 4096
"""So many addresses are remembered, those that asked last."""


@dataclass
class Bucket:
    """Tokens that come at a rate, and of which each request takes one."""

    rate: float
    filled_at: float
    tokens: float = -1.0

    def wait(self, now: float) -> float:
        """Seconds until there is a token: 0.0 where there is one."""
        most = max(1.0, self.rate * BURST_SECONDS)
        gained = self.rate * (now - self.filled_at)
        self.tokens = most if self.tokens < 0 else min(most, self.tokens + gained)
        self.filled_at = now
        return max(0.0, (1.0 - self.tokens) / self.rate)


class Limits:
    """The buckets of one service."""

    def __init__(self, each: float, everyone: float, clock: Callable[[], float] = time.monotonic):
        self._each, self._clock = each, clock
        self._everyone = Bucket(everyone, clock())
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may ask again; 0.0 where it may now, and then has asked."""
        now = self._clock()
        own = self._buckets.setdefault(address, Bucket(self._each, now))
        self._buckets.move_to_end(address)
        if len(self._buckets) > ADDRESSES:
            self._buckets.popitem(last=False)
        wait = max(own.wait(now), self._everyone.wait(now))
        if wait == 0.0:
            own.tokens -= 1
            self._everyone.tokens -= 1
        return wait
