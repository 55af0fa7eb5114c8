"""Connected components of a graph of rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import SpecError
from .graph import PART_PAIRS, Graph


def connected_components(graph: Any) -> tuple[int, np.ndarray]:
    """How many connected components there are, and the number of the one each row is in.

    Parameters
    ----------
    graph : KnnResult, WithinResult or scipy sparse matrix
        Pairs of rows of one set, or a square matrix whose stored entries are edges, zeros included.
        Directions do not count: rows are connected where either is a neighbour of the other.

    Returns
    -------
    count : int
    labels : ndarray (n,) int32
        Numbers from 0, in the order of the lowest row of each component; int64 from 2^31 rows on.

    Raises
    ------
    SpecError
        Where something else came, or a graph between two sets.

    Notes
    -----
    The pairs are read once, part by part, so what is held is the labels and one part.
    """
    from ..kernels.components import join, number, own_parents

    n, edges = _rows(graph), _edges(graph)
    parents = own_parents(n)
    for rows, others in edges:
        join(parents, rows, others)
    return number(parents), parents


def _rows(graph: Any) -> int:
    if isinstance(graph, Graph):
        sides = graph.sides()
        shape = len(sides[0]), len(sides[1])
        one = sides[0] is sides[1]
    else:
        from scipy.sparse import issparse

        if not issparse(graph) or graph.ndim != 2:
            raise SpecError(
                "connected_components takes a result with pairs or a scipy sparse matrix",
                came=f"{type(graph)} came",
                do="Pass what gd.knn or gd.within returned.",
            )
        shape = graph.shape
        one = shape[0] == shape[1]
    if not one:
        raise SpecError(
            "Components are those of rows of one set",
            came=f"pairs of {shape[0]} and {shape[1]} rows of two sets came",
            do="Join them with gd.concat first.",
        )
    return shape[0]


def _edges(graph: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    if isinstance(graph, Graph):
        for part in graph.edges():
            yield part.row, part.other
        return
    matrix = graph.tocsr()
    starts = matrix.indptr
    for begin in range(0, matrix.nnz, PART_PAIRS):
        places = np.arange(begin, min(begin + PART_PAIRS, matrix.nnz))
        yield np.searchsorted(starts, places, side="right") - 1, matrix.indices[places]
