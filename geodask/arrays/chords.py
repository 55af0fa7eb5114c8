"""Squared distances of all pairs of rows by one product of float64 matrices, with their bounds."""

import numpy as np

from .namespace import dot


def squared_chords(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, n), (others, n) -> |p - q|^2 and how far they may be off, both (rows, others)."""
    centre = p.mean(axis=0) if len(p) else 0.0
    p, q = p - centre, q - centre
    sizes = dot(p, p)[:, None] + dot(q, q)[None, :]
    return sizes - 2 * (p @ q.T), (p.shape[1] + 16) * 2.0**-51 * sizes
