"""Matrices to the last digit, by what they lack: batches (*batch, n, k).

What solves an equation is off by the condition of it. What it lacks, computed in twice the digits,
leads on to what is off by its own rounding alone (Wilkinson's iterative refinement; Higham,
Accuracy and stability of numerical algorithms, 2002, chapter 12).
"""

from typing import Any

from . import matrices
from .matrices import carried, half_lower, product, transpose
from .namespace import constant, namespace

LEADING = 2.0**32
"""Rows are split into 21 binary digits of their largest entry, and what is left."""


def lacking(u: Any, a: Any, b: Any) -> Any:
    """u - a b^T, off by some 2^-72 of the lengths of rows.

    Where a and b have no more than 2^10 columns, products of leading digits and their sums are
    exact (Ozaki, Ogita, Oishi and Rump, Error-free transformations of matrix multiplication, 2012).
    """
    (high, low), (other, rest) = _split(a), _split(b)
    after = product(high, transpose(rest)) + product(low, transpose(b))
    return (u - product(high, transpose(other))) - after


def _split(a: Any) -> tuple[Any, Any]:
    xp = namespace(a)
    large = LEADING * xp.max(xp.abs(a), axis=-1, keepdims=True)
    high = (a + large) - large
    return high, a - high


def beside(*columns: Any) -> Any:
    """The columns of one matrix after those of another one."""
    xp = namespace(*columns)
    return xp.concat(xp.broadcast_arrays(*columns), axis=-1)


def cholesky(p: Any) -> Any:
    """The lower factors L: p = L L^T."""
    return refined(p, matrices.cholesky(p))


def refined(p: Any, low: Any) -> Any:
    """The same, from factors that are off by rounding."""
    return low + constant(_slope(low, lacking(p, low, low)))


def cholesky_slope(low: Any, u: Any) -> Any:
    """What L changes by where L L^T does by u: the triangle X of X L^T + L X^T = u."""
    found = _slope(low, u)
    left = lacking(u, beside(found, low), beside(low, found))
    return found + constant(_slope(low, left))


def _slope(low: Any, u: Any) -> Any:
    return low @ half_lower(carried(low, u))
