"""Spaces whose neighbours are found by a lower bound alone."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from ..arrays.namespace import namespace, norm, where
from .base import Manifold, Queries, Rows, Targets, rows_of
from .euclidean import Euclidean

LAST_DIGITS = 2.0**-49
"""What `rank_to_dist`, and sums of squares in a flat space, may lose of a distance, as a share."""


class Frame(NamedTuple):
    """What targets share with the queries, and what belongs to these."""

    aim: Any
    image: Any
    """The frame of the flat space."""
    off: Any
    """(rows,) how far rounding may have moved the shadows of the queries."""
    length: float
    """The longest of these, in the flat frame."""
    rows: Rows


@dataclass(frozen=True)
class Shadowed(Manifold):
    """A space of which only shadows are compared: images in flat space, where no two points lie
    farther apart than they do here.

    So a product of matrices rules out pairs, and it proves none: the rest are measured. A subclass
    says what its `shadow` is, and why it is one.
    """

    pair_arrays: ClassVar[int] = 20

    @property
    def working_bytes(self) -> int:
        return 32  # features, shadows, and what these are made from

    @abstractmethod
    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]: ...

    def queries(self, x: Rows, precision: str) -> Queries:
        aim = self.aim(x)
        flat, off = self.shadow(x, aim)
        image = Euclidean(flat.shape[1])
        found = image.queries(rows_of(image, flat), precision)
        length = float(namespace(off).max(found.frame.square)) ** 0.5
        return found._replace(frame=Frame(aim, found.frame, off, length, x))

    def targets(self, y: Rows, frame: Frame, precision: str) -> Targets:
        flat, off = self.shadow(y, frame.aim)
        image, inner = Euclidean(flat.shape[1]), frame.image
        found = image.targets(rows_of(image, flat), inner, precision)
        # Shadows that rounding has moved apart: in the flat frame by so much, of pairs that lie no
        # farther apart than the lengths of both rows.
        xp = namespace(flat)
        moved = float(xp.max(off)) * inner.scale
        reach = frame.length + float(xp.max(norm((flat - inner.centre) * inner.scale)))
        below = found.below + moved * (2 * reach + moved) / 2
        # A product is no proof that points are near: the bound is one of distances from below.
        return found._replace(below=below, above=0 * found.above + math.inf)

    def score(self, rank: Any, queries: Queries) -> Any:
        frame = queries.frame
        dist = (1 + LAST_DIGITS) * self.rank_to_dist(rank)
        known = namespace(dist).isfinite(dist)
        some = where(known, dist, 0.0)
        dist = where(known, some + self.dist_error(some, frame.rows) + frame.off, math.inf)
        image = Euclidean(queries.operand.shape[1] - 3)
        return image.score(dist * dist, queries._replace(frame=frame.image))
