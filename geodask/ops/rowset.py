"""A set of row numbers that travels: some bits a row, and far fewer where rows come in runs."""

import zlib
from dataclasses import dataclass

import numpy as np

PIECES = 64
"""In so many pieces a set is described at most."""


@dataclass(frozen=True)
class RowSet:
    """Some of the first ``rows`` rows."""

    rows: int
    held: int
    """How many it holds."""
    packed: bytes

    @classmethod
    def of(cls, mask: np.ndarray) -> "RowSet":
        """The rows where a mask (rows,) bool is True."""
        return cls(len(mask), int(mask.sum()), zlib.compress(np.packbits(mask).tobytes(), 1))

    def mask(self, start: int, stop: int) -> np.ndarray:
        """Which of the rows start:stop it holds: (stop - start,) bool."""
        first = start - start % 8
        bits = np.unpackbits(self._bytes[first // 8 : -(-stop // 8)])
        return bits[start - first : stop - first].astype(bool)

    def narrowed(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The spans cut to the first and the last row that it holds, without those of none."""
        found = []
        for start, stop in spans:
            some = np.flatnonzero(self.mask(start, stop))
            if len(some):
                found.append((start + int(some[0]), start + int(some[-1]) + 1))
        return found

    def holds(self, numbers: np.ndarray) -> np.ndarray:
        """Whether it holds each of some numbers from 0 on, of any shape."""
        found = numbers < self.rows
        there = numbers[found]
        found[found] = self._bytes[there >> 3] >> (7 - (there & 7)).astype(np.uint8) & 1
        return found

    def pieces(self) -> list[list[int]]:
        """Where they lie: (start, stop, how many there), the first and the last among them."""
        mask, found = self.mask(0, self.rows), []
        step = -(-self.rows // PIECES)
        for start in range(0, self.rows, max(1, step)):
            some = np.flatnonzero(mask[start : start + step])
            if len(some):
                found.append([start + int(some[0]), start + int(some[-1]) + 1, len(some)])
        return found

    @property
    def _bytes(self) -> np.ndarray:
        return np.frombuffer(zlib.decompress(self.packed), np.uint8)
