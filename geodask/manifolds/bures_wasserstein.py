"""Symmetric positive definite matrices with the Bures-Wasserstein metric."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, final

from ..arrays.coupling import (
    Axes,
    Line,
    axes,
    carried,
    frame,
    line_along,
    line_between,
    lyapunov,
    rise,
)
from ..arrays.decimals import cholesky, difference, lower_inverse, root, turned
from ..arrays.decimals import product as exact_product
from ..arrays.decimals import symmetric as even
from ..arrays.matrices import (
    congruent,
    descends,
    factor,
    flat,
    flat_symmetric,
    from_flat,
    lowest_and_highest,
    norm_of,
    product,
    symmetric,
    transpose,
)
from ..arrays.namespace import constant, lane_sum, like, namespace, norm, sqrt, where, wide
from .base import Rows
from .shadowed import Shadowed
from .spd import SPD

SPIRALS = (0.9, 0.42), (3.0, 0.0233)
"""Frequencies and weights of the shadow."""


class Factors(NamedTuple):
    """Canonical matrices, with what their distances are measured by."""

    points: Any
    factor: Any
    root: Any
    """Of `arrays.coupling.Axes`."""


@final
@dataclass(frozen=True)
class SPDBuresWasserstein(SPD, Shadowed):
    """Symmetric positive definite n x n matrices, as covariances of normal distributions of mean 0.

    The distance is the Wasserstein distance of these, dist^2 = tr p + tr q - 2 tr (p^1/2 q
    p^1/2)^1/2: that of the nearest factors z of p and y of q, |y - z|, where p = z z^T (Bhatia,
    Jain and Lim, On the Bures-Wasserstein distance between positive definite matrices, 2019;
    Takatsu, Wasserstein geometry of Gaussian measures, 2011). A geodesic is a straight line of
    factors, and a tangent vector p x + x p stands for the velocity x z of one. There is one
    shortest geodesic between two matrices; beyond, geodesics end at a singular matrix, and are NaN:
    `room` is the way to the nearest, the root of the least eigenvalue.
    """

    @property
    def injectivity_radius(self) -> float:
        return math.inf

    def room(self, p: Any) -> Any:
        """The distance to the nearest singular matrix."""
        return like(lowest_and_highest(wide(p))[0] ** 0.5, p)

    # --- geometry -------------------------------------------------------------------------------

    def inner(self, p: Any, u: Any, v: Any) -> Any:
        x, y = _lifted(p, u), _lifted(p, v)
        return like(namespace(x).sum(x * y, axis=(-2, -1)), p, u, v)

    def norm(self, p: Any, u: Any) -> Any:
        return like(norm(flat(_lifted(p, u))), p, u)

    def dist(self, p: Any, q: Any) -> Any:
        return like(norm(flat(line_between(wide(p), wide(q)).step)), p, q)

    def exp(self, p: Any, u: Any) -> Any:
        return like(_at(line_along(wide(p), wide(u)), wide(p), wide(u), 1.0), p, u)

    def log(self, p: Any, q: Any) -> Any:
        return like(_velocity(line_between(wide(p), wide(q))), p, q)

    def geodesic(self, p: Any, q: Any, t: Any) -> Any:
        line = line_between(wide(p), wide(q))
        t = namespace(line.step).asarray(t, dtype=line.step.dtype)
        return like(_at(line, wide(p), _velocity(line), t[..., None, None]), p, q)

    def midpoint(self, p: Any, q: Any) -> Any:
        return self.geodesic(p, q, 0.5)

    def transport(self, p: Any, q: Any, u: Any) -> Any:
        """There is no formula: Taylor series, of as many steps as the way needs."""
        line = line_between(wide(p), wide(q))
        there = carried(line, _lifted(p, u))
        return like(2 * symmetric(there @ transpose(line.end)), p, q, u)

    # --- curvature ------------------------------------------------------------------------------

    def curvature_tensor(self, p: Any, u: Any, v: Any, w: Any) -> Any:
        # Of a quotient of flat space <R(u, v) w, h> is <A_v w, A_u h> - <A_u w, A_v h> - 2 <A_u v,
        # A_w h> (O'Neill), where A_u v is what is vertical in the derivative of v along u: -z k, as
        # in `carried`. And <A_u h, -z k> = <x k, h> for the velocity x of u.
        z = factor(wide(p))
        x, y, h = (lyapunov(z, wide(each)) @ z for each in (u, v, w))
        found = x @ _turn(z, y, h) - y @ _turn(z, x, h) - 2 * h @ _turn(z, x, y)
        return like(2 * symmetric(found @ transpose(z)), p, u, v, w)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        # The second derivative of (1 + t x) p (1 + t x) is 2 x p x.
        return -2 * symmetric(_lifted(p, u) @ transpose(_lifted(p, v)))

    # --- tangent vectors in a frame -------------------------------------------------------------

    @property
    def frame_columns(self) -> int:
        return self.dim

    def carry_frame(self, p: Any, q: Any, y: Any) -> Any:
        return self.to_frame(q, self.transport(p, q, self.from_frame(p, y)))

    def to_frame(self, p: Any, u: Any) -> Any:
        a = frame(wide(constant(p)))
        inside = a.inside(_lifted(p, u)) * (a.sums / 2) ** 0.5
        return flat_symmetric(congruent(a.vectors, inside))

    def from_frame(self, p: Any, y: Any) -> Any:
        a = frame(wide(constant(p)))
        inside = congruent(transpose(a.vectors), from_flat(y, self.n)) / (a.sums / 2) ** 0.5
        return 2 * symmetric(product(a.moved(inside), transpose(a.factor)))

    def longest_step(self, size: float) -> float:
        # No curvature is negative, so the mean may lie farther than the gradient is long.
        return 8 * size

    # --- exact neighbours -----------------------------------------------------------------------

    def features(self, x: Any) -> Factors:
        p = self.canonical(x)
        return Factors(p, *axes(p))

    def rank(self, p: Any, q: Any) -> Any:
        """The squared distance, by the side of the larger least eigenvalue: so it is symmetric."""
        return _squares(self.features(p), self.features(q))

    def pair_ranks(self, x: Rows, rows: Any, y: Rows, others: Any) -> Any:
        xp = namespace(x.features.points)
        a = Factors(*(xp.take(each, rows, axis=0) for each in x.features))
        b = Factors(*(xp.take(each, others, axis=0) for each in y.features))
        return _squares(a, b)

    @property
    def working_bytes(self) -> int:
        return 64 + 96 * (self.n + 1) // self.n  # a shadow has 2 n (n + 1) columns

    def rank_to_dist(self, rank: Any) -> Any:
        return sqrt(rank)

    def rank_error(self, rank: Any) -> Any:
        return (self.size / 8 + 16) * 2.0**-52 * rank

    def rank_spread(self, rank: Any, dist: Any) -> Any:
        return dist * (2 * rank**0.5 + dist)

    def blur(self, p: Any) -> Any:
        # The factor is that of p + e with |e| of some n roundings of |p| (Higham, Accuracy and
        # stability of numerical algorithms, 2002, 10.3). Roots of matrices differ by at most |e|
        # over the sum of their least eigenvalues (Bhatia, Matrix analysis, 1997, X.3), and none of
        # their factors are farther apart than the nearest.
        return 8 * self.n * 2.0**-52 * norm_of(p) / lowest_and_highest(p)[0] ** 0.5

    def dist_error(self, dist: Any, x: Rows) -> Any:
        # By `rise`, e = W^-1/2 X for M X + X W = D, from p, the side of the larger least eigenvalue
        # l^2; the largest of both is s^2. Where M is off by m and q - p, to that of the factors, by
        # d, e moves by W^-1/2 y for M y + y W = z^T d z - m X: column by column that is at most
        # 1 / (l w_j) of what is on the right. As X is symmetric, its column j is root j times the
        # row j of e. So e moves by no more than (m dist + s d) / l^2, where m and d are some
        # roundings of s^2. Of the row x, l is at least its own, and s at most its own and dist.
        least, largest = x.features.root[..., -1], x.features.root[..., 0]
        return self._roundings * (largest + dist) ** 3 / least**2

    def rank_bound(self, rank: Any, p: Any, q: Any) -> Any:
        xp, dist = namespace(p), rank**0.5
        x, y = (Rows(each, self.features(each)) for each in (p, q))
        beside = xp.minimum(self.dist_error(dist, x), self.dist_error(dist, y))
        off = xp.minimum(beside + self.blur(p) + self.blur(q), dist * self._share(dist, x, y))
        return self.rank_error(rank) + self.rank_spread(rank, off)

    def _share(self, dist: Any, x: Rows, y: Rows) -> Any:
        """What of a distance may be off: little where matrices are close.

        Here M errs as well by what the factor of q does: M >= t W for the least eigenvalue t of T,
        so where q errs by d, M does by d / (2 t), and 1 / t is at most 1 + dist / (root of q).
        """
        xp, (a, b) = namespace(dist), (x.features.root, y.features.root)
        best, least = (pick(a[..., -1], b[..., -1]) for pick in (xp.maximum, xp.minimum))
        size = (a[..., 0] + b[..., 0]) ** 2
        return self._roundings * size / best**2 * (1 + dist / least)

    @property
    def _roundings(self) -> float:
        return 8 * self.n**1.5 * 2.0**-52

    def exact_rank(self, p: Any, q: Any) -> Decimal:
        p, q = even(p), even(q)
        if p == q:
            return Decimal(0)
        low = [row + [Decimal(0)] * (self.n - len(row)) for row in cholesky(p)]
        best = root(exact_product(exact_product(turned(low), q), low))
        step = difference(best, exact_product(turned(low), low))
        rising = exact_product(turned(lower_inverse(low)), step)
        return sum((x * x for row in rising for x in row), Decimal(0))

    def shadow(self, x: Rows, aim: Any) -> tuple[Any, Any]:
        """Spirals s cos(f log s), s sin(f log s) of s = p^1/2, for the frequencies f.

        Along a geodesic, in the axes of p, s moves by ds_ij = u_ij / (s_i + s_j): the speed is the
        root of the sum of ds_ij^2 (cosh d + 1) / (2 cosh d) for d = log(s_i / s_j). A function g of
        s moves by ds_ij (g(s_i) - g(s_j)) / (s_i - s_j) (Daleckii and Krein), both of a spiral by
        ds_ij^2 (cosh d - cos f d) / (cosh d - 1) in squares. With weights w an image is no longer
        than the geodesic where for all d

            sum of w (cosh d - cos f d) <= (cosh d - 1 / cosh d) / 2,

        and a straight line is no longer than any path. Equal for all d if w is the density
        1 / (4 cosh(pi f / 2)) of f on the line; these two reach 0.98 of it up to d = 3.
        """
        xp, root = namespace(x.points), x.features.root
        vectors, parts = x.features.factor / root[..., None, :], []
        for frequency, weight in SPIRALS:
            angle = frequency * xp.log(root)
            for turn in (xp.cos(angle), xp.sin(angle)):
                values = math.sqrt(weight) * root * turn
                whole = product(vectors * values[..., None, :], transpose(vectors))
                parts.append(flat_symmetric(symmetric(whole)))
        found = xp.concat(parts, axis=-1)
        return found, self.blur(x.features.points) + self._roundings * norm(found)


def _lifted(p: Any, u: Any) -> Any:
    """The velocity of a factor."""
    return line_along(wide(p), wide(u)).step


def _turn(z: Any, x: Any, y: Any) -> Any:
    """The skew k that makes -z k of what is vertical where y is carried along x."""
    inside = transpose(x) @ y
    return lyapunov(transpose(z), inside - transpose(inside))


def _velocity(line: Line) -> Any:
    return 2 * symmetric(line.step @ transpose(line.start))


def _at(line: Line, p: Any, u: Any, t: Any) -> Any:
    """The matrix at t of the line from p with the velocity u, NaN from where one is singular."""
    step = t * line.step
    found = symmetric(p + t * u + step @ transpose(step))
    ends = (t * each[..., None, None] for each in (line.least, line.largest))
    return where(namespace(found).minimum(*ends) > -1, found, math.nan)


def _squares(a: Factors, b: Factors) -> Any:
    """Squared distances."""
    xp, step = namespace(a.points), b.points - a.points
    least, other = a.root[..., -1], b.root[..., -1]
    later = (least < other) | ((least == other) & descends(step))
    swap, row = later[..., None, None], later[..., None]
    near = Axes(xp.where(swap, b.factor, a.factor), xp.where(row, b.root, a.root))
    far = Axes(xp.where(swap, a.factor, b.factor), xp.where(row, a.root, b.root))
    rising = flat(rise(near, far, xp.where(swap, -step, step)))
    return lane_sum(rising * rising)
