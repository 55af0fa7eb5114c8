"""Which geodesic of matrices with orthonormal columns leads from one to another.

In the metric weight |a|^2 + |r|^2 of velocities p a + b r, for orthonormal columns b across p, the
one of velocity p a + b r ends at [p b] e^x [1 0]^T e^z, for x = [[2 weight a, -r^T], [r, 0]] and
z = (1 - 2 weight) a (Zimmermann and Hüper, Computing the Riemannian logarithm on the Stiefel
manifold, 2022). Seen from its start an end is a matrix of k + m rows, where m = min(k, n - k).
Newton's method moves the velocity by what is missed, and takes no step that misses by more.
"""

import math
from functools import cache
from typing import Any

import numpy as np

from .device import to_host
from .matrices import flat, flat_skew, norm_of, product, skew, transpose, unit_like
from .namespace import namespace, norm, where
from .refined import lacking
from .rotations import blocks_of_geodesic, exponential
from .threads import SLICE, over_rows

LONGEST = 1 / 2, 1 / 4, 1 / 8, 1 / 16
"""The longest steps: the derivative at their start says little of what is farther. Shorter ones are
for ends that others do not meet."""
WAYS = 8
"""The length of all steps of a kind together, at most; most ends need five or six steps."""
STUCK = 1000
"""Steps so much shorter than what is missed lead nowhere."""
ROUNDING = 2.0**-44
"""What is missed of an end that is met, at most: some roundings of k + m products."""
HALVINGS, TERMS = 3, 18
"""Of derivatives, which are those of eighths of the way: their series fall as (|x| / 4)^j / j!."""
REGULAR = 2.0**-50
"""Added to derivatives, far less than they are off by: libraries raise where one is singular."""


class Velocities:
    """Those p a + b r of geodesics from points p, by orthonormal coordinates of a and r."""

    def __init__(self, c: Any, k: int, m: int, weight: float):
        xp, axes = namespace(c), _axes(k, m, weight)
        self.c, self.k, self.weight = c, k, weight
        self.axes = [xp.asarray(each, device=c.device) for each in axes]
        self.x, self.z = (xp.sum(c[..., None, None] * each, axis=-3) for each in self.axes)

    @property
    def step(self) -> Any:
        """a, and below it r."""
        x, k = self.x[..., : self.k], self.k
        top = x[..., :k, :] / (2 * self.weight)
        return namespace(x).concat([top, x[..., k:, :]], axis=-2)

    def seen_back(self, end: Any) -> Any:
        """An end as it is seen from where these lead."""
        return transpose(exponential(self.x)) @ end @ transpose(exponential(self.z))

    def change(self, left: Any) -> Any:
        """Of the coordinates, where these are to lead farther by ``left``, as it is seen there."""
        found = namespace(left).linalg.solve(self._slopes(), self._coordinates(left)[..., None])
        return found[..., 0]

    def _coordinates(self, step: Any) -> Any:
        return coordinates(step, self.weight)

    def _slopes(self) -> Any:
        """The derivatives of the end by the coordinates, as they are seen there."""
        k, count = self.k, self.k * (self.k - 1) // 2  # coordinates of a, on which alone z depends
        x, z = self.axes
        moved = self._coordinates(_swept(self.x, x)[..., :k])
        spun = flat_skew(_swept(-self.z, z[:count, ...])) * math.sqrt(2 * self.weight)
        xp = namespace(moved)
        first = xp.concat([moved[..., :count, :count] + spun, moved[..., :count, count:]], axis=-1)
        slopes = transpose(xp.concat([first, moved[..., count:, :]], axis=-2))
        return slopes + REGULAR * unit_like(slopes)


@cache
def _axes(k: int, m: int, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """x and z of each coordinate: (columns, k + m, k + m), (columns, k, k)."""
    i, j = np.tril_indices(k, -1)
    rows, columns = np.indices((m, k)).reshape(2, -1)
    x = np.zeros((len(i) + len(rows), k + m, k + m))
    z = np.zeros((len(x), k, k))
    inside, beside = np.arange(len(i)), np.arange(len(i), len(x))
    a = 1 / math.sqrt(2 * weight)
    x[inside, i, j], z[inside, i, j] = 2 * weight * a, (1 - 2 * weight) * a
    x[beside, k + rows, columns] = 1
    return x - transpose(x), z - transpose(z)


def coordinates(step: Any, weight: float) -> Any:
    """Those of the velocity whose first k rows are a, and the others r: (..., columns)."""
    k = step.shape[-1]
    inside = flat_skew(skew(step[..., :k, :])) * math.sqrt(2 * weight)
    return namespace(step).concat([inside, flat(step[..., k:, :])], axis=-1)


def _swept(x: Any, directions: Any) -> Any:
    """e^-x times the derivatives of e^x: the means of e^-tx d e^tx over times t from 0 to 1."""
    x = x[..., None, :, :] / 2**HALVINGS
    turn, term = exponential(x), directions + 0 * x
    total = term
    for j in range(2, TERMS):
        term = (term @ x - x @ term) / j
        total = total + term
    for _ in range(HALVINGS):
        total, turn = (total + transpose(turn) @ total @ turn) / 2, turn @ turn
    return total


# --- from end to end ------------------------------------------------------------------------------


class Shots:
    """The geodesics from points p to points q, (*batch, n, k), without derivatives.

    On the host by numpy: a row has the same bytes in every batch, from every library and device.
    """

    def __init__(self, p: Any, q: Any, weight: float):
        xp, found = namespace(p, q), _shots(to_host(p), to_host(q), weight)
        self.frame, self.c = (xp.asarray(each, device=p.device) for each in found)
        self.k, self.weight = p.shape[-1], weight

    def _along(self, c: Any) -> Velocities:
        return Velocities(c, self.k, self.frame.shape[-1] - self.k, self.weight)

    def velocity(self) -> Any:
        """p a + b r."""
        return self.frame @ self._along(self.c).step

    def change(self, gap: Any) -> Any:
        """What the velocity changes by where q does by ``gap``, in which it is linear.

        Across p and q, that is the change of b r alone.
        """
        way, k = self._along(self.c), self.k
        turned, spun = exponential(way.x), exponential(way.z)
        there, r = self.frame @ turned, way.x[..., k:, :k]
        seen = transpose(there) @ gap
        inside = self._along(way.change(seen @ transpose(spun))).step
        slope = blocks_of_geodesic(way.x[..., :k, :k], transpose(r) @ r)[1] @ spun
        rest = namespace(gap).linalg.solve(transpose(slope), transpose(gap - there @ seen))
        return self.frame @ inside + transpose(rest)


def _shots(p: np.ndarray, q: np.ndarray, weight: float) -> tuple[np.ndarray, np.ndarray]:
    """The columns [p b], (*batch, n, k + m), and coordinates (*batch, columns), NaN where no way
    was found."""
    k = p.shape[-1]
    p, step = p + 0 * q, q - p
    inside = product(transpose(p), step)
    across = np.linalg.qr(np.concatenate([p, step - product(p, inside)], axis=-1))[0][..., k:]
    frame = np.concatenate([p, across], axis=-1)
    gap = _in_frame(frame, step)
    batch = gap.shape[:-2]
    rows, columns = gap.shape[-2], len(_axes(k, gap.shape[-2] - k, weight)[0])
    gap = gap.reshape(math.prod(batch), rows, k)
    c = np.empty((len(gap), columns))
    work = rows**2 * columns
    count = max(1, SLICE // work)

    def part(start: int, stop: int) -> None:
        for low in range(start, stop, count):
            here = slice(low, min(low + count, stop))
            c[here] = _met(gap[here], weight)

    over_rows(part, len(gap), TERMS * work, blas=True)
    return frame, c.reshape(*batch, columns)


def _in_frame(frame: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The x of ``frame`` x = ``step``, as far as there is one: a rounding of it moves a way near
    the cut locus by many. Columns are orthonormal but for rounding, which counts as well."""
    back = transpose(frame)
    along = -lacking(0 * (back @ step), (back, transpose(step)))
    return along + lacking(unit_like(back @ frame), (back, back)) @ along


def _met(gap: np.ndarray, weight: float) -> np.ndarray:
    """Coordinates (rows, columns) of the ways to the ends [1 0]^T + gap."""
    k, m, one = gap.shape[-1], gap.shape[-2] - gap.shape[-1], unit_like(gap)
    numbers, found = np.arange(len(gap)), np.full_like(coordinates(gap, weight), math.nan)
    for longest in LONGEST:
        step = coordinates(gap, weight)
        c, missed = 0 * step, norm_of(gap)
        for _ in range(round(WAYS / longest)):
            left = Velocities(c + step, k, m, weight).seen_back(gap + one) - one
            size = norm_of(left)
            nearer = size < missed
            c, missed = where(nearer[:, None], c + step, c), where(nearer, size, missed)
            met = ~nearer & ~(missed > ROUNDING)  # NaN is met as well
            found[numbers[met]] = c[met]
            rest = numbers, gap, c, missed, step, left, nearer
            numbers, gap, c, missed, step, left, nearer = (x[~met] for x in rest)
            if len(numbers) == 0:
                return found
            further = _at_most(longest, Velocities(c, k, m, weight).change(left))
            step = where(nearer[:, None], further, step / 2)
            if np.all((norm(step) < missed / STUCK) & (missed > ROUNDING)):
                break
    return found


def _at_most(longest: float, step: Any) -> Any:
    size = norm(step)[..., None]
    return step * where(size > longest, longest / where(size > longest, size, 1.0), 1.0)
