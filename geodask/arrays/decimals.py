"""Stored rows in decimal arithmetic, whose digits are as many as one asks for."""

from collections.abc import Callable
from decimal import Decimal, getcontext, localcontext
from typing import Any

import numpy as np

GUARDS = 10
"""Digits beyond those that are asked for."""


def decimals(row: np.ndarray) -> Any:
    """A stored row as Decimals: a list of them, or of the rows of a matrix."""
    return [Decimal(float(x)) if np.ndim(x) == 0 else decimals(x) for x in row]


def symmetric(p: list[list[Decimal]]) -> list[list[Decimal]]:
    """The symmetric part of a matrix."""
    n = range(len(p))
    return [[(p[i][j] + p[j][i]) / 2 for j in n] for i in n]


def cholesky(p: list[list[Decimal]]) -> list[list[Decimal]]:
    """The lower triangle L with L L^T = p, row by row."""
    lower: list[list[Decimal]] = []
    for i in range(len(p)):
        row: list[Decimal] = []
        for j in range(i + 1):
            others = lower[j] if j < i else row
            rest = p[i][j] - _dot(row[:j], others[:j])
            row.append(rest.sqrt() if i == j else rest / lower[j][j])
        lower.append(row)
    return lower


def logarithm(p: list[list[Decimal]]) -> list[list[Decimal]]:
    """The logarithm of a symmetric positive definite matrix."""
    return _function(p, Decimal.ln)


def root(p: list[list[Decimal]]) -> list[list[Decimal]]:
    """The square root of a symmetric positive definite matrix."""
    return _function(p, Decimal.sqrt)


def eigenvalues(p: list[list[Decimal]]) -> list[Decimal]:
    """Those of a symmetric matrix, in no order."""
    return _spectrum(p)[0]


def _function(p: list[list[Decimal]], value: Callable[[Decimal], Decimal]) -> list[list[Decimal]]:
    """A function of a symmetric matrix."""
    values, vectors = _spectrum(p)
    found = [value(x) for x in values]
    scaled = [[x * y for x, y in zip(row, found, strict=True)] for row in vectors]
    return product(scaled, turned(vectors))


def _spectrum(p: list[list[Decimal]]) -> tuple[list[Decimal], list[list[Decimal]]]:
    """Eigenvalues of a symmetric matrix, and vectors as columns, by Jacobi's rotations."""
    n, small = range(len(p)), Decimal(10) ** -getcontext().prec
    with localcontext() as context:
        context.prec += GUARDS  # so that no rounding is taken for an entry that is to vanish
        a, vectors = symmetric(p), [[Decimal(i == j) for j in n] for i in n]
        while True:
            size = sum((abs(x) for row in a for x in row), Decimal(0))
            far = [(i, j) for i in n for j in range(i) if abs(a[i][j]) > small * size]
            if not far:
                return [a[k][k] for k in n], vectors
            for i, j in far:
                _rotate(a, vectors, i, j)


def _rotate(a: list[list[Decimal]], vectors: list[list[Decimal]], i: int, j: int) -> None:
    """Turns axes i and j, so that a[i][j] vanishes."""
    if a[i][j] == 0:
        return
    theta = (a[j][j] - a[i][i]) / (2 * a[i][j])
    t = 1 / (abs(theta) + (theta * theta + 1).sqrt())
    t = t if theta >= 0 else -t
    c = 1 / (t * t + 1).sqrt()
    s = t * c
    for row in (*a, *vectors):
        row[i], row[j] = c * row[i] - s * row[j], s * row[i] + c * row[j]
    a[i], a[j] = (
        [c * x - s * y for x, y in zip(a[i], a[j], strict=True)],
        [s * x + c * y for x, y in zip(a[i], a[j], strict=True)],
    )


def arctangent(x: Decimal) -> Decimal:
    """The arc tangent of a number that is not negative."""
    digits, doubled = Decimal(10) ** -getcontext().prec, 0
    while x > Decimal(1) / 16:
        x, doubled = x / (1 + (1 + x * x).sqrt()), doubled + 1
    term, total, k = x, x, 1
    while abs(term) > total * digits:
        term, k = -term * x * x, k + 2
        total += term / k
    return total * 2**doubled


def angle(sine: Decimal, cosine: Decimal) -> Decimal:
    """The angle up to a right one whose sine and cosine are as these."""
    if sine > cosine:
        return 2 * arctangent(Decimal(1)) - angle(cosine, sine)
    return arctangent(sine / cosine)


def lower_inverse(lower: list[list[Decimal]]) -> list[list[Decimal]]:
    """The inverse of a lower triangle, as whole rows."""
    n = len(lower)
    found = [[Decimal(0)] * n for _ in range(n)]
    for j in range(n):
        for i in range(j, n):
            rest = sum((lower[i][k] * found[k][j] for k in range(j, i)), Decimal(0))
            found[i][j] = (Decimal(i == j) - rest) / lower[i][i]
    return found


def turned(a: list[list[Decimal]]) -> list[list[Decimal]]:
    """A matrix with rows for columns."""
    return [list(row) for row in zip(*a, strict=True)]


def orthonormal(x: list[list[Decimal]]) -> list[list[Decimal]]:
    """The nearest orthonormal columns to some that nearly are, by Newton and Schulz's steps."""
    least = Decimal(10) ** (1 - getcontext().prec)
    while True:
        inner = product(turned(x), x)
        excess = [[a - (i == j) for j, a in enumerate(row)] for i, row in enumerate(inner)]
        half = [[a / 2 for a in row] for row in excess]
        x = difference(x, product(x, half))
        if max(abs(a) for row in excess for a in row) ** 2 < least:
            return x


def difference(a: list[list[Decimal]], b: list[list[Decimal]]) -> list[list[Decimal]]:
    """The first matrix less the second."""
    return [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def product(a: list[list[Decimal]], b: list[list[Decimal]]) -> list[list[Decimal]]:
    """The product of two matrices."""
    columns = turned(b)
    return [[_dot(row, column) for column in columns] for row in a]


def _dot(u: Any, v: Any) -> Decimal:
    return sum((x * y for x, y in zip(u, v, strict=True)), Decimal(0))
