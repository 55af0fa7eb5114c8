"""Matrices to the last digit, by what they lack: batches (*batch, n, k).

What solves an equation is off by the condition of it. What it lacks, computed in twice the digits,
leads on to what is off by its own rounding alone (Wilkinson's iterative refinement; Higham,
Accuracy and stability of numerical algorithms, 2002, chapter 12).
"""

from typing import Any

from . import factors, matrices
from .doubled import exact_sum
from .matrices import LARGEST, carried, half_lower, on_host, product, transpose
from .namespace import constant, namespace

LEADING = 2.0**32
"""The leading digits of a row are 21 binary ones of its largest entry."""


def lacking(u: Any, *pairs: tuple[Any, Any]) -> Any:
    """u minus the sum of a b^T over pairs a, b, off by some 2^-72 of the lengths of their rows.

    Where a and b have no more than 2^10 columns, products of leading digits and their sums are
    exact (Ozaki, Ogita, Oishi and Rump, Error-free transformations of matrix multiplication, 2012).
    """
    lost = 0.0
    for a, b in pairs:
        leading, rest = _product(a, b)
        u, missed = exact_sum(u, -leading)
        lost = lost + (missed - rest)
    return u + lost


def gathered(*pairs: tuple[Any, Any]) -> Any:
    """The sum of a b^T over pairs a, b, rounded but once."""
    return -lacking(0.0, *pairs)


def _product(a: Any, b: Any) -> tuple[Any, Any]:
    """a b^T, exactly that of leading digits, and the rest."""
    high, other = _leading(a), _leading(b)
    rest = product(a, transpose(b - other)) + product(a - high, transpose(other))
    return product(high, transpose(other)), rest


def _leading(a: Any) -> Any:
    xp = namespace(a)
    large = LEADING * xp.max(xp.abs(a), axis=-1, keepdims=True)
    return (a + large) - large


def cholesky(p: Any) -> Any:
    """The lower factors L: p = L L^T."""
    return refined(p, matrices.cholesky(p))


def refined(p: Any, low: Any) -> Any:
    """The same, from factors that are off by rounding."""
    if p.shape[-1] <= LARGEST:
        found = on_host(factors.refined, [p, low], [p.shape[-2:]])
        if found is not None:
            return found[0]
    return low + constant(_slope(low, lacking(p, (low, low))))


def cholesky_slope(low: Any, u: Any) -> Any:
    """What L changes by where L L^T does by u: the triangle X of X L^T + L X^T = u."""
    found = _slope(low, u)
    left = lacking(u, (found, low), (low, found))
    return found + constant(_slope(low, left))


def _slope(low: Any, u: Any) -> Any:
    return low @ half_lower(carried(low, u))
