"""Stored rows in decimal arithmetic, whose digits are as many as one asks for."""

from decimal import Decimal
from typing import Any

import numpy as np


def decimals(row: np.ndarray) -> Any:
    """A stored row as Decimals: a list of them, or of the rows of a matrix."""
    return [Decimal(float(x)) if np.ndim(x) == 0 else decimals(x) for x in row]


def cholesky(p: list[list[Decimal]]) -> list[list[Decimal]]:
    """The lower triangle L with L L^T = p, row by row."""
    lower: list[list[Decimal]] = []
    for i in range(len(p)):
        row: list[Decimal] = []
        for j in range(i + 1):
            others = lower[j] if j < i else row
            rest = p[i][j] - sum((row[k] * others[k] for k in range(j)), Decimal(0))
            row.append(rest.sqrt() if i == j else rest / lower[j][j])
        lower.append(row)
    return lower
