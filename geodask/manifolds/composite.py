"""What products and powers of spaces share: everything is that of the parts, squares summed."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from ..arrays.namespace import lane_sum, namespace, norm, sqrt
from .base import Manifold, Rows, rows_of
from .shadowed import LAST_DIGITS, Shadowed

CODES = 64
"""Complaints of the part number i have the codes from i times this."""


class Part(NamedTuple):
    """Some coordinates of a composite point: ``copies`` points of one space."""

    space: Manifold
    copies: int
    weight: float
    """Squared distances count so many times."""


@dataclass(frozen=True)
class Composite(Shadowed):
    """Points whose parts are points of other spaces: dist^2 is the weighted sum of theirs.

    Geodesics are those of the parts, all at once.
    """

    @property
    @abstractmethod
    def parts(self) -> tuple[Part, ...]:
        """What a point is made of."""

    @abstractmethod
    def split(self, x: Any) -> list[Any]:
        """The parts of points, or of tangent vectors: (*batch, copies, *shape of the space)."""

    @abstractmethod
    def join(self, values: list[Any]) -> Any:
        """The points with these parts."""

    # --- values ---------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return sum(part.copies * part.space.dim for part in self.parts)

    @property
    def injectivity_radius(self) -> float:
        return min(part.space.injectivity_radius * math.sqrt(part.weight) for part in self.parts)

    def room(self, p: Any) -> Any:
        return self._least(lambda part, x: part.space.room(x) * math.sqrt(part.weight), p)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The nearest of each part."""
        return self._each("project", x)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return self._each("to_tangent", p, v)

    @property
    def complaint_texts(self) -> dict[int, str]:
        """Those of the parts, with their number where there are several."""
        several = len(self.parts) > 1
        return {
            code + CODES * i: f"in part {i} {text}" if several else text
            for i, part in enumerate(self.parts)
            for code, text in part.space.complaint_texts.items()
        }

    @property
    def mended_by_project(self) -> frozenset[int]:
        """Those that the parts mend."""
        mended = [part.space.mended_by_project for part in self.parts]
        return frozenset(CODES * i + code for i, codes in enumerate(mended) for code in codes)

    def complaints(self, p: Any) -> Any:
        """The gravest of each row."""
        found = []
        for i, (part, x) in enumerate(zip(self.parts, self.split(p), strict=True)):
            xp = namespace(x)
            codes = xp.astype(part.space.complaints(x), xp.int32)
            found.append(xp.max(xp.where(codes > 0, codes + CODES * i, codes), axis=-1))
        xp = namespace(p)
        return xp.max(xp.stack(found, axis=-1), axis=-1)

    def near_limit(self, x: Any) -> Any:
        xp = namespace(x)
        pairs = zip(self.parts, self.split(x), strict=True)
        near = [xp.any(part.space.near_limit(each), axis=-1) for part, each in pairs]
        return xp.any(xp.stack(near, axis=-1), axis=-1)

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Independent in each part."""
        shape = (shape,) if isinstance(shape, int) else shape
        seeds = np.random.SeedSequence(seed).generate_state(len(self.parts)).tolist()
        pairs = zip(self.parts, seeds, strict=True)
        return self.join([part.space.random((*shape, part.copies), each) for part, each in pairs])

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        return sum(
            part.weight * namespace(x).sum(part.space.inner(x, y, z), axis=-1)
            for part, x, y, z in zip(self.parts, *map(self.split, (p, u, v)), strict=True)
        )

    def norm(self, p: Any, u: Any) -> Any:
        return norm(self._lengths("norm", p, u))

    def dist(self, p: Any, q: Any) -> Any:
        return norm(self._lengths("dist", p, q))

    def exp(self, p: Any, u: Any) -> Any:
        return self._each("exp", p, u)

    def log(self, p: Any, q: Any) -> Any:
        return self._each("log", p, q)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        return self._each("transport", p, q, u)

    def geodesic(self, p: Any, q: Any, t: Any) -> Any:
        t = namespace(p).asarray(t, dtype=p.dtype)[..., None]
        return self.join(
            [
                part.space.geodesic(x, y, t)
                for part, x, y in zip(self.parts, self.split(p), self.split(q), strict=True)
            ]
        )

    def midpoint(self, p: Any, q: Any) -> Any:
        return self._each("midpoint", p, q)

    def _each(self, method: str, *of: Any) -> Any:
        found = zip(self.parts, *map(self.split, of), strict=True)
        return self.join([getattr(part.space, method)(*each) for part, *each in found])

    def _lengths(self, method: str, *of: Any) -> Any:
        """What a method says of all copies, in the unit of this space: (*batch, copies)."""
        found = [
            getattr(part.space, method)(*each) * math.sqrt(part.weight)
            for part, *each in zip(self.parts, *map(self.split, of), strict=True)
        ]
        return namespace(*found).concat(found, axis=-1)

    def _least(self, of: Callable[[Part, Any], Any], p: Any) -> Any:
        """The least of what is said of all copies: (*batch,)."""
        xp, pairs = namespace(p), zip(self.parts, self.split(p), strict=True)
        return xp.min(xp.concat([of(part, x) for part, x in pairs], axis=-1), axis=-1)

    # --- tangent vectors in a frame -------------------------------------------------------------

    @property
    def frame_columns(self) -> int:
        return sum(part.copies * part.space.frame_columns for part in self.parts)

    def log_frame(self, p: Any, q: Any) -> Any:
        return self._join_frames("log_frame", p, q)

    def exp_frame(self, p: Any, y: Any) -> Any:
        frames = zip(self.parts, self.split(p), self._split_frame(y), strict=True)
        points = []
        for part, x, z in frames:
            each = [part.space.exp_frame(x[i, ...], z[i, ...]) for i in range(part.copies)]
            points.append(namespace(p).stack(each))
        return self.join(points)

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        frames = zip(self.parts, self.split(p), self.split(q), self._split_frame(y), strict=True)
        carried = [part.space.carry_frame(x, z, each) for part, x, z, each in frames]
        return self._flat_frame(carried)

    def bending(self, dist: Any) -> Any:
        """The most of the parts: no part of a way is longer than the whole."""
        xp, most = namespace(dist), 0 * dist + 1
        for part in self.parts:
            if math.isinf(part.space.injectivity_radius):
                most = xp.maximum(most, part.space.bending(dist / _unit(part)))
        return most

    def _join_frames(self, method: str, p: Any, q: Any) -> Any:
        found = zip(self.parts, self.split(p), self.split(q), strict=True)
        return self._flat_frame([getattr(part.space, method)(x, y) for part, x, y in found])

    def _flat_frame(self, frames: list[Any]) -> Any:
        """Components (..., copies, columns) of each part in one row, in the unit of this space."""
        xp, flat = namespace(*frames), []
        for part, each in zip(self.parts, frames, strict=True):
            columns = part.copies * part.space.frame_columns
            flat.append(xp.reshape(each * _unit(part), (*each.shape[:-2], columns)))
        return xp.concat(flat, axis=-1)

    def _split_frame(self, y: Any) -> list[Any]:
        found, start = [], 0
        for part in self.parts:
            shape = part.copies, part.space.frame_columns
            stop = start + math.prod(shape)
            each = namespace(y).reshape(y[..., start:stop], (*y.shape[:-1], *shape))
            found.append(each / _unit(part))
            start = stop
        return found

    # --- exact neighbours -----------------------------------------------------------------------

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


def _unit(part: Part) -> float:
    return part.space.unit * math.sqrt(part.weight)


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
