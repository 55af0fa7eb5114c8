"""How products and powers of spaces find neighbours: by the shadows of their parts."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ..arrays.namespace import lane_sum, namespace, norm, sqrt
from .base import Rows, rows_of
from .parts import Parts
from .shadowed import LAST_DIGITS, Shadowed


@dataclass(frozen=True)
class Composite(Parts, Shadowed):
    """Squared distances are sums of those of the parts, and so are squared ones of shadows."""

    @property
    def is_minimal(self) -> bool:
        return all(part.space.is_minimal for part in self.parts)

    def canonical(self, x: Any) -> Any:
        return self._each("canonical", x)

    def features(self, x: Any) -> list[Rows]:
        """Those of the parts: of rows of copies."""
        return [
            rows_of(part.space, each) for part, each in zip(self.parts, self.split(x), strict=True)
        ]

    def rank(self, p: Any, q: Any) -> Any:
        """The squared distance."""
        found = zip(self.parts, self.split(p), self.split(q), strict=True)
        return self._squares([part.space.rank(x, y) for part, x, y in found])

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        xp, ranks = namespace(x.points), []
        for part, a, b in zip(self.parts, x.features, y.features, strict=True):
            copies = xp.arange(part.copies, device=rows.device)
            i, j = (xp.reshape(k[:, None] * part.copies + copies, (-1,)) for k in (rows, others))
            found = part.space.pair_ranks(_one_by_one(a), i, _one_by_one(b), j)
            ranks.append(xp.reshape(found, (-1, part.copies)))
        return self._squares(ranks)

    def _squares(self, ranks: list[Any]) -> Any:
        """The sum of squared distances from ranks (*batch, copies) of each part."""
        squares = []
        for part, each in zip(self.parts, ranks, strict=True):
            dist = part.space.rank_to_dist(each)
            squares.append(part.weight * (dist * dist))
        return lane_sum(namespace(*ranks).concat(squares, axis=-1))

    def rank_to_dist(self, rank: Any) -> Any:
        return sqrt(rank)

    def rank_error(self, rank: Any) -> Any:
        return (sum(part.copies for part in self.parts) / 8 + 8) * 2.0**-52 * rank

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return dist * (2 * rank**0.5 + dist)

    def rank_bound(self, rank: Any, p: Any, q: Any) -> Any:
        off = self.dist_error(rank**0.5, Rows(p, self.features(p))) + self.blur(p) + self.blur(q)
        return self.rank_error(rank) + self.rank_spread(rank, off)

    def blur(self, p: Any) -> Any:
        return norm(self._lengths("blur", p))

    def dist_error(self, dist: Any, x: Rows) -> Any:
        # No part is farther than the whole, and the length of all errors is the most they make.
        xp, found = namespace(x.points), []
        for part, rows in zip(self.parts, x.features, strict=True):
            root = math.sqrt(part.weight)
            some = xp.zeros(part.copies, dtype=xp.float64, device=x.points.device)
            found.append(root * part.space.dist_error(dist[..., None] / root + some, rows))
        return norm(xp.concat(found, axis=-1)) + LAST_DIGITS * dist

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        total = Decimal(0)
        sides = (self.split(np.array(each, object)) for each in (p, q))
        for part, x, y in zip(self.parts, *sides, strict=True):
            for a, b in zip(x.tolist(), y.tolist(), strict=True):
                dist = part.space.exact_dist(part.space.exact_rank(a, b))
                total += Decimal(part.weight) * dist * dist
        return total

    def aim(self, x: Rows) -> list[Any]:
        pairs = zip(self.parts, x.features, strict=True)
        return [part.space.aim(_one_by_one(rows)) for part, rows in pairs]

    def shadow(self, x: Rows, aim: list[Any]) -> tuple[Any, Any]:
        """Those of the parts, side by side."""
        xp, flats, offs = namespace(x.points), [], []
        for part, rows, each in zip(self.parts, x.features, aim, strict=True):
            flat, off = part.space.shadow(_one_by_one(rows), each)
            root, columns = math.sqrt(part.weight), part.copies * flat.shape[-1]
            flats.append(root * xp.reshape(flat, (-1, columns)))
            offs.append(root * xp.reshape(off, (-1, part.copies)))
        flat = xp.concat(flats, axis=-1)
        return flat, norm(xp.concat(offs, axis=-1)) + LAST_DIGITS * norm(flat)


def _one_by_one(rows: Any) -> Any:
    """Rows of copies (rows, copies, ...), or features of such, with the copies as rows."""
    if rows is None:
        return None
    if isinstance(rows, list):
        return [_one_by_one(each) for each in rows]
    if isinstance(rows, tuple):
        return type(rows)(*map(_one_by_one, rows))
    count = rows.shape[0] * rows.shape[1]
    return namespace(rows).reshape(rows, (count, *rows.shape[2:]))
