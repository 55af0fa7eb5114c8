"""What a manifold is: the interface, the reference for each method, and the glossary.

Glossary. Letters are those of a textbook.

=============  ===================================================================================
p, q, x, y     points, arrays of shape (*batch, *point_shape)
u, v, w        tangent vectors, same shape as their base points
t              times along a geodesic, shape (*batch,)
dist           length of the shortest geodesic between two points
exp, log       where the geodesic with a given start and velocity arrives at time 1, and its inverse
transport      a tangent vector carried along the shortest geodesic without turning
cut locus      the points a shortest geodesic from p cannot pass; there log is not unique: NaN
canonical      the point a stored row stands for, computed from it in float64
rank           a float64 value that grows with the distance of two canonical points, computed by
               + - * / and square roots in one fixed order, so that its bytes agree everywhere
score          what one matrix product yields for a pair: it falls as the rank grows
surrogate      a score in low precision, with a proven bound on its error
shadow         an image in flat space: no two are farther apart there than they are here
=============  ===================================================================================

A body here is the reference; an override in a subclass is a fast path, and `geodask.testing` proves
them equal. Methods broadcast over the batch, take numpy, torch and cupy arrays, return the same
kind, and never squeeze a batch of one.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..arrays.device import to_host
from ..arrays.namespace import lane_sum, like, namespace, where, widen
from ..errors import PointShapeError, SpecError
from .curved import Curved
from .frames import Frames
from .given import batch
from .surrogate import BEYOND as BEYOND
from .surrogate import Queries, Targets

SUMMED = 1024
"""Rows whose logs are summed at once, whole groups of `arrays.logs`. A library's last digit may
differ between the body and the tail of an array: so blocks are the same however the rows come."""


@dataclass(frozen=True)
class Manifold(Frames, Curved, ABC):
    """A Riemannian manifold: a frozen value, hashable, picklable, equal when its fields are.

    ``n`` is the length of a stored vector.
    """

    n: int

    def __post_init__(self) -> None:
        self._keep_whole("n", self.smallest_n)

    def _keep_whole(self, name: str, least: int, most: float = math.inf) -> None:
        """Raises PointShapeError where a field is no integer of that size."""
        value = getattr(self, name)
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not least <= value <= most:
            ends = f"of at least {least}" if most == math.inf else f"from {least} to {most}"
            raise PointShapeError(
                f"{type(self).__name__} needs an integer {name} {ends}",
                came=f"{name}={value!r} came",
                do="Pass what the shape of a stored point has.",
            )
        object.__setattr__(self, name, int(value))  # numpy's integers have no JSON

    smallest_n: ClassVar[int] = 1

    # --- values ---------------------------------------------------------------------------------

    @property
    def point_shape(self) -> tuple[int, ...]:
        """The shape of one stored point."""
        return (self.n,)

    @property
    @abstractmethod
    def dim(self) -> int:
        """The dimension of the manifold."""

    @property
    @abstractmethod
    def injectivity_radius(self) -> float:
        """Up to this distance every shortest geodesic is unique."""

    @property
    def is_minimal(self) -> bool:
        """Whether every `log` is the shortest, and every rank that of a distance. Where one may not
        be, neighbours are found by the ranks that there are, and none is certified."""
        return True

    @property
    def origin(self) -> np.ndarray:
        """The point (*point_shape) that rows are centred at. SpecError where a space names none."""
        raise SpecError(f"{self} names no origin. Choose a point, and move rows there by `exp`.")

    def to_spec(self) -> dict[str, Any]:
        """The manifold as JSON: its class name and its fields."""
        return {"manifold": type(self).__name__, **asdict(self)}

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> "Manifold":
        """The manifold a spec names. Raises SpecError where no loaded class has that name."""
        fields = dict(spec)
        name = fields.pop("manifold", None)
        classes = {cls.__name__: cls for cls in _subclasses(Manifold)}
        if name not in classes:
            raise SpecError(
                f"A spec must name a manifold among {sorted(classes)}, but it names {name!r}. "
                "Import the module that defines it first, or correct the name."
            )
        try:
            return classes[name](**fields)
        except TypeError as error:
            raise SpecError(
                f"A spec of {name} must have its fields, but {fields} came ({error}). "
                "Correct the spec."
            ) from error

    @property
    def size(self) -> int:
        """The coordinates of a stored point."""
        return math.prod(self.point_shape)

    def room(self, p: Any) -> Any:
        """How far geodesics from p go, at least, before they leave the space or are the shortest
        no more: (*batch,)."""
        return 0 * self.norm(p, 0 * p) + self.injectivity_radius

    # --- points and tangent vectors -------------------------------------------------------------

    @abstractmethod
    def project(self, x: Any) -> Any:
        """The nearest point of the manifold. NaN where there is none."""

    @abstractmethod
    def to_tangent(self, p: Any, v: Any) -> Any:
        """The orthogonal projection of an ambient vector to the tangent space at p."""

    @abstractmethod
    def complaints(self, p: Any) -> Any:
        """For each row an integer: 0 where it is a point, else a key of `complaint_texts`."""

    complaint_texts: ClassVar[dict[int, str]] = {1: "holds NaN or infinity"}

    mended_by_project: ClassVar[frozenset[int]] = frozenset()
    """The complaints about rows that have a nearest point."""

    remedies: ClassVar[dict[int, str]] = {}
    """What else to do about rows of a complaint."""

    def near_limit(self, x: Any) -> Any:
        """Whether stored rows have few digits left before they are no points: (*batch,) bool."""
        xp = namespace(x)
        return xp.zeros(tuple(x.shape[: x.ndim - len(self.point_shape)]), dtype=xp.bool)

    def check(self, p: Any) -> str | None:
        """What is wrong with the points, with their first row numbers; None where nothing is."""
        if tuple(p.shape[-len(self.point_shape) :]) != self.point_shape:
            return f"{self} has points of shape {self.point_shape}, but rows {p.shape[1:]} came."
        codes = to_host(self.complaints(p)).reshape(-1)
        bad = np.flatnonzero(codes)
        if len(bad) == 0:
            return None
        named = ", ".join(f"row {i} {self.complaint_texts[int(codes[i])]}" for i in bad[:5])
        return f"{len(bad)} of {len(codes)} rows are not points of {self}: {named}"

    @abstractmethod
    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Random points (*shape, *point_shape), float64; the law is stated by the subclass."""

    def random_tangent(self, p: np.ndarray, seed: int) -> np.ndarray:
        """Tangent vectors at p: standard normal in the ambient coordinates, projected."""
        v = np.random.default_rng(seed).standard_normal(p.shape)
        return self.to_tangent(p, v)

    def random_normal(
        self, shape: int | tuple[int, ...], p: np.ndarray, scale: float, seed: int
    ) -> np.ndarray:
        """Random points (*shape, *point_shape) around one, the wrapped normal law: exp of tangent
        vectors whose orthonormal coordinates are normal, of this standard deviation."""
        c = scale * np.random.default_rng(seed).standard_normal((*batch(shape), self.dim))
        return self.exp(p, self.from_coordinates(p, c))

    # --- geometry -------------------------------------------------------------------------------

    @abstractmethod
    def inner(self, p: Any, u: Any, v: Any) -> Any:
        """The metric at p: (...) for tangent vectors u and v at p."""

    @abstractmethod
    def exp(self, p: Any, u: Any) -> Any:
        """The point reached from p after unit time with initial velocity u."""

    @abstractmethod
    def log(self, p: Any, q: Any) -> Any:
        """The velocity at p of the shortest geodesic to q, at q at time 1; NaN at the cut locus."""

    @abstractmethod
    def transport(self, p: Any, q: Any, u: Any) -> Any:
        """Parallel transport of u from p to q along the shortest geodesic; NaN at the cut locus."""

    def norm(self, p: Any, u: Any) -> Any:
        """The length of a tangent vector u at p."""
        return namespace(p).sqrt(self.inner(p, u, u))

    def dist(self, p: Any, q: Any) -> Any:
        """Geodesic distance, row by row: (*batch,), in the unit of the metric."""
        return self.norm(p, self.log(p, q))

    def pairwise(self, p: Any, q: Any) -> Any:
        """All distances of two blocks of points: (rows, others)."""
        return self.dist(p[:, None, ...], q[None, ...])

    def geodesic(self, p: Any, q: Any, t: Any) -> Any:
        """The point at time t on the shortest geodesic from p (t = 0) to q (t = 1)."""
        xp = namespace(p)
        t = xp.asarray(t, dtype=p.dtype)
        t = xp.reshape(t, (*t.shape, *[1] * len(self.point_shape)))
        return self.exp(p, t * self.log(p, q))

    def midpoint(self, p: Any, q: Any) -> Any:
        """The point half-way on the shortest geodesic."""
        return self.geodesic(p, q, 0.5)

    def recentred(self, p: Any, q: Any) -> Any:
        """q moved by the translation that takes p to the origin, along the geodesic between them.

        On a symmetric space it is an isometry, for every p and q; on others it keeps distances from
        p and angles there alone.
        """
        xp = namespace(p, q)
        origin = xp.asarray(self.origin, dtype=xp.float64, device=q.device)
        return like(self._translated(self.canonical(p), origin, self.canonical(q)), p, q)

    def _translated(self, p: Any, origin: Any, q: Any) -> Any:
        """The same of canonical points."""
        return self.exp(origin, self.transport(p, origin, self.log(p, q)))

    # --- means ----------------------------------------------------------------------------------

    def bending(self, dist: Any) -> Any:
        """What the Hessian of dist^2 / 2 has across the geodesic, where along it it has 1.

        ``dist`` and the result are those of curvature 1, 0 or -1: t cot t, 1 or t coth t.
        """
        return 0 * dist + 1

    def longest_step(self, size: float) -> float:
        """How long a step to a mean is tried where the gradient has the length ``size``, both as
        those of `bending`."""
        return size if math.isinf(self.injectivity_radius) else math.pi / 2

    def tried(self, step: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """What is tried of a step: in a frame as the gradient is, (columns,)."""
        length, size = (math.sqrt(float(lane_sum(y * y))) for y in (step, gradient))
        longest = self.longest_step(size)
        return step * (longest / length) if length > longest else step

    def is_far(self, logs: np.ndarray) -> np.ndarray:
        """Where a row is as far from a mean as half the injectivity radius or farther, so that
        there may be others: logs (rows, columns) in a frame, (rows,)."""
        return np.sqrt(lane_sum(logs * logs)) >= self.injectivity_radius / 2 / self.unit

    def add_logs(self, p: np.ndarray, x: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
        """Adds what `arrays.logs` says of the logs at p (n,) of stored rows (rows, n) to its sums.

        The rows begin a group of them.
        """
        from ..arrays.logs import add_terms

        for start in range(0, len(x), SUMMED):
            rows = slice(start, min(start + SUMMED, len(x)))
            used = weights[rows] > 0
            with np.errstate(all="ignore"):  # rows without a log are counted
                logs = self.log_frame(p, self.canonical(x[rows]))
            square = lane_sum(logs * logs)
            lost = used & ~np.isfinite(square)
            dist = np.where(lost, 0.0, np.sqrt(square))
            weight = np.where(used & ~lost, weights[rows], 0.0)
            columns = [dist * dist, self.bending(dist), np.ones(len(dist))]
            terms = np.column_stack([np.where(lost[:, None], 0.0, logs), *columns])
            counts = [lost, used & ~lost & self.is_far(logs)]
            add_terms(np.column_stack([terms * weight[:, None], *counts]), sums)

    # --- exact neighbours -----------------------------------------------------------------------

    def canonical(self, x: Any) -> Any:
        """The float64 points that stored rows stand for: themselves, but where a space says so."""
        xp = namespace(x)
        return xp.astype(x, xp.float64)

    @abstractmethod
    def rank(self, p: Any, q: Any) -> Any:
        """The rank of canonical points, float64, row by row."""

    @abstractmethod
    def rank_to_dist(self, rank: Any) -> Any:
        """The distance, a function of the rank: float64, the same bytes from every library."""

    @abstractmethod
    def rank_error(self, rank: Any) -> Any:
        """E: how far a computed rank may be from the rank in real arithmetic."""

    @abstractmethod
    def rank_spread(self, rank: Any, dist: Any) -> Any:
        """By how much a rank grows, at most, where the distance does by so much: float64."""

    def rank_bound(self, rank: Any, p: Any, q: Any) -> Any:
        """How far the computed rank of canonical points p and q may be from that of the stored
        rows in real arithmetic."""
        return self.rank_error(rank)

    @abstractmethod
    def exact_rank(self, p: Any, q: Any) -> Decimal:
        """The rank of two stored rows of Decimals in real arithmetic, to the digits of the decimal
        context."""

    def exact_dist(self, rank: Decimal) -> Decimal:
        """The distance of an exact rank, to the digits of the decimal context."""
        return rank.sqrt()

    def dist_error(self, dist: Any, x: "Rows") -> Any:
        """How far a computed distance of up to ``dist`` may be from that of two canonical points in
        real arithmetic: float64 for each of the rows x, whose distances they are."""
        rank = self.rank_spread(0 * dist, dist)
        lower = rank - self.rank_error(rank)
        return dist - self.rank_to_dist(where(lower > 0, lower, 0.0)) + 2.0**-49 * dist

    def blur(self, p: Any) -> Any:
        """How far apart, in the metric, what is measured of canonical points and what they stand
        for may lie, beyond that: (*batch,)."""
        return 0 * namespace(p).reshape(p, (*p.shape[: p.ndim - len(self.point_shape)], -1))[..., 0]

    def aim(self, x: "Rows") -> Any:
        """What the shadows of queries x and of all targets have to share."""
        return None

    def shadow(self, x: "Rows", aim: Any) -> tuple[Any, Any]:
        """Shadows (rows, columns) of rows, and how far rounding may have moved them: (rows,)."""
        raise NotImplementedError(f"{self} states no shadow: no product can hold it")

    def rough_ranks(self, p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float64 values that grow with the rank of every pair, and bounds on their errors: (p, q).

        For checks on the host that are independent of the kernels.
        """
        p, q = p[:, None, ...], q[None, ...]
        ranks = self.rank(p, q)
        return ranks, 2 * self.rank_bound(ranks, p, q)

    def features(self, x: Any) -> Any:
        """What `pair_ranks` needs again and again of each stored row."""
        return None

    def pair_ranks(self, x: "Rows", rows: Any, y: "Rows", others: Any) -> Any:
        """The ranks of the pairs (rows[c], others[c]) of two blocks: (pairs,) float64."""
        xp = namespace(x.points)
        p = self.canonical(xp.take(x.points, rows, axis=0))
        return self.rank(p, self.canonical(xp.take(y.points, others, axis=0)))

    def precision(self, asked: str) -> str:
        """The precision of the surrogate's operands where this one is asked for."""
        return asked

    pair_arrays: ClassVar[int] = 0
    """How many float64 arrays of gathered coordinates measuring pairs takes; 0 where a compiled
    loop takes the rows from where they are."""

    @property
    def working_bytes(self) -> int:
        """Bytes a coordinate that making features and operands takes, beyond the operands."""
        return 0

    @abstractmethod
    def queries(self, x: "Rows", precision: str) -> Queries:
        """The asking side of the surrogate, operands in "float32" or "bfloat16"."""

    @abstractmethod
    def targets(self, y: "Rows", frame: Any, precision: str) -> Targets:
        """The searched side of the surrogate, in the frame of the queries."""

    @abstractmethod
    def score(self, rank: Any, queries: Queries) -> Any:
        """For each query row a score that no pair of at most this rank lies below: (rows,)."""


class Rows(NamedTuple):
    """A block of stored rows with the features of its manifold."""

    points: Any
    features: Any


def rows_of(manifold: Manifold, x: Any) -> Rows:
    """The block, of float32 or wider, with its features computed."""
    return Rows(widen(x), manifold.features(x))


def _subclasses(cls: type) -> list[type]:
    return [cls, *(inner for sub in cls.__subclasses__() for inner in _subclasses(sub))]
