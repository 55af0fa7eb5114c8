"""Rows moved so that the mean of each group lies at the origin: subjects, sessions, batches."""

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from ..engine.opening import source_of
from ..engine.points import Points
from ..errors import SpecError
from ..kernels.descent import ROUNDING
from .compared import check_points
from .mean import mean
from .pointwise import lazy
from .rowwise import Verb
from .where import as_labels, numbered

RECENTRED = Verb("recentred", ("point", "at"), "point")


def recentre(x: Points, *, by: Any = None) -> Points:
    """Every row moved by the translation that takes the Fréchet mean of its group to the origin,
    along the geodesic between them.

    On a symmetric space it is an isometry. Those of Bures and Wasserstein and of Stiefel are none,
    nor are their products: there distances from the mean and angles at it are kept, and those
    between other rows are not.

    Parameters
    ----------
    x : Points
        Rows of a space with an origin. What leaves it is NaN, as it may the simplex and the spaces
        of Bures and Wasserstein.
    by : array, optional
        A label a row, (n,), integers or strings, such as the subject; without it all rows are one
        group.

    Returns
    -------
    Points
        In the order and dtype of x and with its ids, lazy: the means are found at once, by a plan
        for each group that is stored. Of covariances in the affine-invariant metric it is
        M^-1/2 C M^-1/2 (Zanini et al., Transfer learning: a Riemannian geometry framework with
        applications to brain-computer interfaces, 2018), in flat space x - m.

    Raises
    ------
    SpecError
        Where labels are of another length or kind, a row has none, or the space has no origin.

    Warns
    -----
    UserWarning
        Where a group's mean is not found to the precision that `mean` promises.
    """
    check_points("recentre", x)
    _ = x.manifold.origin  # raises where there is none
    groups = np.zeros(len(x), np.int64) if by is None else _groups(by, len(x))
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    centres = np.empty((len(ends), *x.manifold.point_shape))
    for group, rows in enumerate(np.split(order, ends[:-1]) if len(x) else ()):
        centres[group] = _centre(x, rows)
    return replace(lazy(RECENTRED, x, _of_rows(x, groups, centres)), ids=x.ids)


def _groups(by: Any, rows: int) -> np.ndarray:
    """The labels as numbers from 0 on."""
    found = as_labels(by)
    if found.shape != (rows,) or found.dtype == bool or found.dtype.kind in "fc":
        raise SpecError(
            f"by must be labels ({rows},), integers or strings, one a row",
            came=f"{found.dtype} of shape {found.shape} came",
            do="Pass the group of each row.",
        )
    return numbered([found])


def _centre(x: Points, rows: np.ndarray) -> np.ndarray:
    """The mean of some rows; those that lie together are read where they are."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    found = mean(x[first:stop] if stop - first == len(rows) else x[rows]).persist()
    if not found.converged and found.gradient_norm > ROUNDING * (1 + math.sqrt(found.variance)):
        warnings.warn(
            f"The mean of the {len(rows)} rows of the group of row {first} is not found: its "
            f"gradient is {found.gradient_norm:.2g}. See gd.mean of them.",
            stacklevel=3,
        )
    return found.point


def _of_rows(x: Points, groups: np.ndarray, centres: np.ndarray) -> Points:
    """The centre of each row; a single one serves all."""
    import dask.array as da

    if len(centres) == 1:
        return Points(source_of(centres), x.manifold)
    numbers = da.from_array(groups, chunks=(x.source.block_rows,))  # type: ignore[arg-type]
    sides = centres.shape[1:]
    found = numbers.map_blocks(
        _chosen,
        centres=centres,
        dtype=centres.dtype,
        new_axis=range(1, centres.ndim),
        chunks=(numbers.chunks[0], *((side,) for side in sides)),
        meta=np.empty((0,) * centres.ndim, centres.dtype),
    )
    return Points(source_of(found), x.manifold)


def _chosen(groups: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return centres[groups]
