"""The two sides of a surrogate: what a manifold makes of rows that ask, and of those searched."""

from typing import Any, NamedTuple

from ..arrays.difference import PairScores

BEYOND = -(2.0**126)
"""Far under every other product. Not -inf: libraries pad with zeros, and their product is NaN."""


class Queries(NamedTuple):
    """One side of a surrogate: the rows that ask.

    For every pair, with S the product of the two operands, whatever the order of its additions, and
    s the score:  -(slack + below) <= S - s <= slack + above.
    """

    operand: Any
    """(rows, columns) in the precision of the product."""
    slack: Any
    """(rows,) float64, the part of the bound that belongs to these rows."""
    frame: Any
    """What the targets must share: a manifold's own business."""
    share: float = 0.0
    """By how much of itself S may lie off besides."""
    scores: type[PairScores] | None = None
    """What takes the place of the product of the operands; None where it is the product."""


class Targets(NamedTuple):
    """The other side of a surrogate: the rows that are searched."""

    operand: Any
    """(rows, columns) in the precision of the product."""
    below: float
    """How far, beyond the slack, a product may lie below the score."""
    above: Any
    """(rows,) float64: how far, beyond the slack, a product may lie above the score."""
    beyond: Any
    """Rows that the operand cannot represent. Their products are `BEYOND`: measure them all."""
