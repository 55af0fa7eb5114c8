"""Neighbours by brute force without geodask: in float64 ranks, and in exact arithmetic.

The float64 rank is the definition: canonical rows, then sums in eight lanes folded as a tree, with
nothing but + - * / and square roots. Its bytes are what every kernel must give. The exact one works
on the stored values as integers, and in decimals only where a square root is taken.
"""

from decimal import Decimal, localcontext

import numpy as np

DIGITS = 120


def lanes(columns: list[np.ndarray]) -> np.ndarray:
    """The sum of the columns: the eight lanes one after the other, then their tree."""
    lane = [np.zeros_like(columns[0]) for _ in range(8)]
    for j, column in enumerate(columns):
        lane[j % 8] = lane[j % 8] + column
    even = (lane[0] + lane[4]) + (lane[2] + lane[6])
    return even + ((lane[1] + lane[5]) + (lane[3] + lane[7]))


def ranks(space: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """All ranks in float64, (q, m): tan^2 of half the angle, or the squared distance."""
    u, v = (rows.astype(np.float64) for rows in (x, y))
    if space == "Sphere":
        u, v = (
            a * (1 / np.sqrt(lanes([a[:, j] ** 2 for j in range(a.shape[1])])))[:, None]
            for a in (u, v)
        )
    pairs = [(u[:, j][:, None], v[:, j][None, :]) for j in range(u.shape[1])]
    near = lanes([(a - b) * (a - b) for a, b in pairs])
    if space == "Euclidean":
        return near
    far = lanes([(a + b) * (a + b) for a, b in pairs])
    with np.errstate(divide="ignore"):
        return near / far


def nearest(found: np.ndarray, k: int, itself: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and ranks of the k least (rank, row number) of each row; never the row itself."""
    numbers = np.broadcast_to(np.arange(found.shape[1]), found.shape)
    order = np.lexsort((numbers, found), axis=1)
    if itself:
        order = order[order != np.arange(len(found))[:, None]].reshape(len(found), -1)
    order = order[:, :k]
    return order, np.take_along_axis(found, order, axis=1)


def integers(*blocks: np.ndarray) -> tuple[list[np.ndarray], int]:
    """Floats as Python integers times one power of two: (blocks, exponent)."""
    parts = [np.frexp(np.asarray(block, np.float64)) for block in blocks]
    exponent = min((int(e[m != 0].min()) for m, e in parts if m.any()), default=0) - 53
    return [
        np.array(
            [
                int(f * 2.0**53) << max(int(p) - 53 - exponent, 0)
                for f, p in zip(m.flat, e.flat, strict=True)
            ],
            dtype=object,
        ).reshape(m.shape)
        for m, e in parts
    ], exponent


def exact_ranks(space: str, p: np.ndarray, y: np.ndarray) -> list[Decimal]:
    """The ranks of one stored row to others, in real arithmetic."""
    (row, others), exponent = integers(p, y)
    with localcontext() as context:
        context.prec = DIGITS
        if space == "Euclidean":
            unit = Decimal(4) ** exponent
            return [Decimal(square) * unit for square in ((others - row) ** 2).sum(axis=1)]
        found = []
        for product, square in zip(others @ row, (others * others).sum(axis=1), strict=True):
            lengths = (Decimal(int(row @ row)) * Decimal(square)).sqrt()
            far = lengths + product
            found.append((lengths - product) / far if far else Decimal("Infinity"))
        return found


def exact_scores(
    space: str, x: np.ndarray, y: np.ndarray, centre: np.ndarray, scale: float
) -> list[list[Decimal]]:
    """Cosines, or u.v - |v|^2 / 2 in a frame (u, v = rows less the centre, scaled): (q, m)."""
    with localcontext() as context:
        context.prec = DIGITS
        if space == "Sphere":
            (u, v), _ = integers(x, y)
            lengths = [[Decimal(int(row @ row)).sqrt() for row in rows] for rows in (u, v)]
            return [
                [Decimal(int(p)) / (a * b) for p, b in zip(products, lengths[1], strict=True)]
                for products, a in zip(u @ v.T, lengths[0], strict=True)
            ]
        (u, v, middle), exponent = integers(x, y, centre)
        u, v = u - middle, v - middle
        unit = Decimal(scale) ** 2 * Decimal(2) ** (2 * exponent - 1)
        return [[Decimal(s) * unit for s in row] for row in 2 * (u @ v.T) - (v * v).sum(axis=1)]
