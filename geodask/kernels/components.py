"""Connected components of a graph whose edges come in blocks, by a union-find over its rows."""

import numba
import numpy as np

compiled = numba.njit(nogil=True, cache=True)


@compiled
def _root(parents, row):
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@compiled
def join(parents, rows, others):
    """Joins the trees of both ends of each edge; the root of a tree is its lowest row.

    parents: (n,), in which each row is its own at the start.
    """
    for c in range(len(rows)):
        a, b = _root(parents, rows[c]), _root(parents, others[c])
        if a < b:
            parents[b] = a
        elif b < a:
            parents[a] = b


@compiled
def number(parents):
    """Turns parents into numbers of components, 0, 1 ... by their lowest row; how many there are.

    Parents lie below their rows, so each is numbered before the rows that hang on it.
    """
    count = 0
    for row in range(len(parents)):
        if parents[row] == row:
            parents[row] = count
            count += 1
        else:
            parents[row] = parents[parents[row]]
    return count


def own_parents(n: int) -> np.ndarray:
    """Where a union-find of n rows starts: (n,), int32 where that holds them."""
    return np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
