"""The laws, one function each."""

import json
import math
import pickle
from dataclasses import FrozenInstanceError, fields
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from ..arrays.decimals import decimals
from ..arrays.device import to_host
from ..arrays.namespace import is_host, namespace
from ..manifolds.base import Manifold, Queries, rows_of
from . import coordinates
from .curvature_laws import CURVATURE_LAWS
from .rows import (
    Sample,
    ambient,
    close,
    column,
    grain,
    length,
    on_host,
    pull,
    same_rows,
    sample,
)  # fmt: skip


def check_manifold(
    manifold: Manifold, xp: Any = np, points: np.ndarray | None = None, dtype: str = "float64"
) -> None:
    """Every law on one sample of rows; `sample` takes the same arguments."""
    rows = sample(manifold, xp, points, dtype)
    for law in LAWS:
        law(manifold, rows)


# --- the value ----------------------------------------------------------------------------------


def value_round_trips(on: Manifold, s: Sample) -> None:
    """A manifold is a frozen value, equal and of equal hash after JSON and after pickling."""
    named = Manifold.from_spec(json.loads(json.dumps(on.to_spec())))
    assert (named, hash(named)) == (on, hash(on))
    copied = pickle.loads(pickle.dumps(on))
    assert (copied, hash(copied)) == (on, hash(on))
    try:
        setattr(on, fields(on)[0].name, None)
    except FrozenInstanceError:
        return
    raise AssertionError(f"{on} can be changed: make it a frozen dataclass")


def random_repeats(on: Manifold, s: Sample) -> None:
    """A seed gives the same points again, on the manifold, and the same tangent vectors."""
    p = on.random((2, 3), seed=5)
    u = on.random_tangent(p, seed=5)
    assert p.shape == u.shape == (2, 3, *on.point_shape)
    assert (p == on.random((2, 3), seed=5)).all()
    assert (u == on.random_tangent(p, seed=5)).all()
    assert on.check(p) is None, on.check(p)


# --- points, tangent vectors, geodesics ---------------------------------------------------------


def results_stay_on_the_manifold(on: Manifold, s: Sample) -> None:
    """`check` has no complaint about the points that methods return, and has one about NaN."""
    found = _values(on, s)
    for name in ("project", "exp", "geodesic", "midpoint"):
        assert on.check(found[name]) is None, f"{name}: {on.check(found[name])}"
    assert on.check(s.p * math.nan) is not None


def projections_are_idempotent(on: Manifold, s: Sample) -> None:
    """project and to_tangent leave alone what they made; what to_tangent removes is orthogonal."""
    same_rows(s, on.project(s.p), s.p)
    x = on.project(ambient(on, s))
    same_rows(s, on.project(x), x)
    flat = on.to_tangent(s.p, s.w)
    share = s.tolerance * s.skew * pull(on, s.p, s.w)
    for made in (s.u, flat):
        close(on.to_tangent(s.p, made), made, column(share * (length(made) + length(s.p)), made))
    unit = on_host(on.norm(s.p, s.v)) / length(s.v)
    if (share < 2 * s.tolerance).all():  # elsewhere `inner` is that of tangent vectors alone
        close(on.inner(s.p, s.w - flat, s.v), 0, share * unit**2 * length(s.w) * length(s.v))


def inner_is_bilinear(on: Manifold, s: Sample) -> None:
    """inner is symmetric and linear, and inner(p, u, u) = norm(p, u)^2."""
    norms = on_host(on.norm(s.p, s.u))
    close(on.inner(s.p, s.u, s.u), norms**2, s.tolerance * norms**2)
    parts = on_host(on.inner(s.p, s.v, s.u)) + on_host(on.inner(s.p, s.v, s.v))
    close(on.inner(s.p, s.u + s.v, s.v), parts, s.tolerance * s.skew * (1 + norms))


def exp_starts_with_its_tangent(on: Manifold, s: Sample) -> None:
    """exp(p, tv) = p + tv + O(t^2): a tenth of the step leaves at most a fiftieth of the error."""
    steps = np.logspace(-1, -8, 8).tolist()
    errors = [length(on.exp(s.p, t * s.v) - s.p - t * s.v) for t in steps]
    for larger, smaller in pairwise(errors):
        close(smaller, 0, larger / 50 + s.tolerance * (length(s.p) + length(s.v)))


def exp_and_log_are_inverse(on: Manifold, s: Sample) -> None:
    """log(p, exp(p, u)) = u within the injectivity radius, and exp(p, log(p, q)) = q."""
    same_rows(s, on.log(s.p, on.exp(s.p, s.u)), s.u)
    same_rows(s, on.exp(s.p, on.log(s.p, s.q)), s.q)


def dist_of_exp_is_the_length(on: Manifold, s: Sample) -> None:
    """dist(p, exp(p, u)) = norm(p, u), for lengths from 1e-8 to near the injectivity radius."""
    close(on.dist(s.p, on.exp(s.p, s.u)), on.norm(s.p, s.u), grain(on, s))


def dist_is_a_metric(on: Manifold, s: Sample) -> None:
    """dist is symmetric, zero from a point to itself, and obeys the triangle inequality."""
    close(on.dist(s.p, s.q), on.dist(s.q, s.p), grain(on, s))
    close(on.dist(s.p, s.p), 0, grain(on, s))
    for r in (on.exp(s.p, s.v), namespace(s.q).flip(s.q, axis=0)):
        around = on.dist(s.p, s.q) + on.dist(s.q, r) - on.dist(s.p, r)
        close(np.minimum(on_host(around), 0), 0, grain(on, s, r))


def transport_is_an_isometry(on: Manifold, s: Sample) -> None:
    """Transport keeps inner products, ends tangent, returns, and carries a geodesic's velocity."""
    u, v = on.transport(s.p, s.q, s.u), on.transport(s.p, s.q, s.v)
    within = s.tolerance * s.skew * on_host(on.norm(s.p, s.u)) * on_host(on.norm(s.p, s.v))
    close(on.inner(s.q, u, v), on.inner(s.p, s.u, s.v), within)
    within = s.tolerance * s.skew * pull(on, s.q, s.w) * (length(v) + length(s.q))
    close(on.to_tangent(s.q, v), v, column(within, v))
    same_rows(s, on.transport(s.q, s.p, v), s.v, s.v)
    same_rows(s, on.transport(s.p, s.q, on.log(s.p, s.q)), -on.log(s.q, s.p))


def geodesics_have_constant_speed(on: Manifold, s: Sample) -> None:
    """Equal times from p to q make equal distances, which add up to dist(p, q)."""
    path = [on.geodesic(s.p, s.q, i / 4) for i in range(5)]
    same_rows(s, path[0], s.p)
    same_rows(s, path[-1], s.q)
    for a, b in pairwise(path):
        close(4 * on.dist(a, b), on.dist(s.p, s.q), 4 * grain(on, s))
    times = namespace(s.p).full_like(on.dist(s.p, s.q), 0.25)
    same_rows(s, on.geodesic(s.p, s.q, times), path[1])


def midpoint_is_half_way(on: Manifold, s: Sample) -> None:
    """Half the distance from either end, whichever comes first."""
    middle = on.midpoint(s.p, s.q)
    same_rows(s, middle, on.midpoint(s.q, s.p))
    for end in (s.p, s.q):
        close(2 * on.dist(end, middle), on.dist(s.p, s.q), 2 * grain(on, s))


# --- arrays -------------------------------------------------------------------------------------


def shape_dtype_and_library_stay(on: Manifold, s: Sample) -> None:
    """No rows, one row or many: a batch is never squeezed, and the kind of array stays."""
    for rows in (0, 1, s.p.shape[0]):
        for name, value in _values(on, s.rows(slice(rows))).items():
            tail = () if name in ("dist", "norm", "inner") else on.point_shape
            assert tuple(value.shape) == (rows, *tail), f"{name} of {rows} rows: {value.shape}"
            assert value.dtype == s.p.dtype, f"{name}: {value.dtype}"
            assert type(value) is type(s.p), f"{name}: {type(value)}"


def batch_equals_loop(on: Manifold, s: Sample) -> None:
    """A row's results do not depend on its batch, and one point serves against many."""
    together = _values(on, s)
    for i in range(0, s.p.shape[0], 5):  # some of them, of several lengths
        for name, value in _values(on, s.rows(slice(i, i + 1))).items():
            close(value, together[name][i : i + 1, ...], s.tolerance * (1 + abs(on_host(value))))
    alike = namespace(s.p).broadcast_to(s.p[:1, ...], s.p.shape)
    close(on.dist(s.p[0, ...], s.q), on.dist(alike, s.q), grain(on, s))
    assert on.transport(s.p, s.q, s.v[0, ...]).shape == s.p.shape


def gradients_are_finite(on: Manifold, s: Sample) -> None:
    """torch differentiates every method everywhere, where points coincide and u vanishes too."""
    if not is_torch_array(s.p):
        return
    same = s._replace(q=s.p, u=0 * s.u)
    for each in (s, same):
        inputs = [part.clone().requires_grad_() for part in (each.p, each.q, each.u, each.v)]
        fresh = Sample._make([*inputs, *each[4:]])
        for name, value in _values(on, fresh).items():
            if not value.requires_grad:  # it has no formula, such as `to_tangent` of flat space
                continue
            value.sum().backward()
            for part in inputs:
                if part.grad is not None:
                    assert bool(part.grad.isfinite().all()), f"{name}: {part.grad}"
                part.grad = None


def closed_forms_equal_the_reference(on: Manifold, s: Sample) -> None:
    """Where a subclass has a body of its own, it agrees with the one in `Manifold`."""
    close(on.norm(s.p, s.u), Manifold.norm(on, s.p, s.u), grain(on, s))
    close(on.dist(s.p, s.q), Manifold.dist(on, s.p, s.q), grain(on, s))
    both = grain(on, s)
    both = both[:, None] + both[None, :]
    close(on.pairwise(s.p, s.q), Manifold.pairwise(on, s.p, s.q), both)
    same_rows(s, on.geodesic(s.p, s.q, 0.25), Manifold.geodesic(on, s.p, s.q, 0.25))
    same_rows(s, on.midpoint(s.p, s.q), Manifold.midpoint(on, s.p, s.q))


# --- exact neighbours ---------------------------------------------------------------------------


def rank_orders_by_distance(on: Manifold, s: Sample) -> None:
    """Ranks are float64, symmetric to the last bit, grow with the distance, and give it back."""
    x, y = on.canonical(s.p), on.canonical(s.q)
    xp, around = namespace(x), s._replace(p=x, q=y)
    ranks, back = on.rank(x[:, None, ...], y[None, ...]), on.rank(y[:, None, ...], x[None, ...])
    assert x.dtype == ranks.dtype == xp.float64
    assert (on_host(ranks) == on_host(back).T).all()
    assert (on_host(on.rank_to_dist(on.rank(x, x))) == 0).all()
    close(on.rank_to_dist(on.rank(x, y)), on.dist(x, y), grain(on, around))
    # The order is that of the ranks; distances follow it but for their last digits.
    dists = on_host(on.rank_to_dist(xp.asarray(np.sort(on_host(ranks), axis=None))))
    close(np.minimum(np.diff(dists), 0), 0, 2.0**-50 * dists[1:])


def rank_is_exact_to_its_error(on: Manifold, s: Sample) -> None:
    """A rank is at most `rank_bound` from `exact_rank`, the rank in real arithmetic; there is none
    where no log is known to be the shortest."""
    if not on.is_minimal:
        return
    x, y = (on.canonical(np.asarray(on_host(part))) for part in (s.p, s.q))
    ranks = on_host(on.rank(on.canonical(s.p), on.canonical(s.q)))
    stored = [[decimals(row) for row in on_host(part)] for part in (s.p, s.q)]
    with localcontext() as context:
        context.prec = 100
        exact = [on.exact_rank(x, y) for x, y in zip(*stored, strict=True)]
        gaps = [float(abs(Decimal(r) - e)) for r, e in zip(ranks.tolist(), exact, strict=True)]
        dists = [float(on.exact_dist(Decimal(r))) for r in ranks.tolist()]
    close(gaps, 0, on.rank_bound(ranks, x, y))
    close(on.rank_to_dist(ranks), dists, 2.0**-49 * np.array(dists))


def pair_ranks_equal_the_reference(on: Manifold, s: Sample) -> None:
    """The fast path to ranks is the reference bit for bit, and does not depend on the batch."""
    xp, x, y = namespace(s.p), rows_of(on, s.p), rows_of(on, s.q)
    numbers = np.indices((s.p.shape[0],) * 2).reshape(2, -1)
    rows, others = xp.asarray(numbers[0]), xp.asarray(numbers[1])
    ranks = on_host(on.pair_ranks(x, rows, y, others))
    assert (ranks == on_host(Manifold.pair_ranks(on, x, rows, y, others))).all()
    for c in range(0, len(ranks), 29):
        alone = on.pair_ranks(x, rows[c : c + 1], y, others[c : c + 1])
        assert (on_host(alone) == ranks[c : c + 1]).all(), f"pair {numbers[:, c]}"


def shadows_lie_no_farther_apart(on: Manifold, s: Sample) -> None:
    """No two shadows lie farther apart than their points do, but for rounding."""
    x = rows_of(on, namespace(s.p).concat([s.p, s.q]))
    flat, off = map(on_host, on.shadow(x, on.aim(x)))
    p, count = on.canonical(x.points), x.points.shape[0]
    dist = on.rank_to_dist(on.rank(p[:, None, ...], p[None, ...]))
    error = np.stack([on_host(on.dist_error(dist[i, :], x)) for i in range(count)])
    dist = on_host(dist)
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).sum(axis=-1))
    blurred = off[:, None] + off[None, :] + error.T
    assert (apart <= dist + blurred + 2.0**-48 * length(flat).max()).all()


def surrogate_keeps_its_bound(on: Manifold, s: Sample) -> None:
    """No product of operands hides a pair that is as near as another.

    A pair of rank r has a product of at least score(r) - slack - below. And what a pair proves by
    its product, product - above - 2 slack - below, the products of all pairs of lower rank reach.
    """
    x = namespace(s.p).concat([s.p, s.q])
    x = rows_of(on, x if hasattr(namespace(x), "bfloat16") else to_host(x))
    count = x.points.shape[0]
    pairs = namespace(x.points).asarray(np.indices((count, count)).reshape(2, -1))
    ranks = on.pair_ranks(x, pairs[0], x, pairs[1]).reshape(count, count)
    order = np.argsort(on_host(ranks), axis=1, kind="stable")
    for precision in ("float32", "bfloat16"):
        queries = on.queries(x, precision)
        targets = on.targets(x, queries.frame, precision)
        floor = on_host(queries.slack)[:, None] + targets.below
        measured = np.isin(np.arange(count), to_host(targets.beyond))
        scores = np.stack([on_host(on.score(ranks[:, j], queries)) for j in range(count)], axis=1)
        for product in _scores(queries, targets.operand):
            share = queries.share * abs(product)
            reached = np.where(measured, math.inf, product + share + floor)
            proven = product - share - on_host(targets.above) - floor
            proven = np.where(measured, -math.inf, proven)
            assert (reached >= scores).all()
            reached, proven = (np.take_along_axis(z, order, axis=1) for z in (reached, proven))
            assert (reached >= np.maximum.accumulate(proven[:, ::-1], axis=1)[:, ::-1]).all()


LAWS = (
    value_round_trips, random_repeats, results_stay_on_the_manifold, projections_are_idempotent,
    inner_is_bilinear, exp_starts_with_its_tangent, exp_and_log_are_inverse,
    dist_of_exp_is_the_length, dist_is_a_metric, transport_is_an_isometry,
    geodesics_have_constant_speed, midpoint_is_half_way, shape_dtype_and_library_stay,
    batch_equals_loop, gradients_are_finite, closed_forms_equal_the_reference,
    *coordinates.LAWS, *CURVATURE_LAWS, rank_orders_by_distance, rank_is_exact_to_its_error,
    pair_ranks_equal_the_reference, shadows_lie_no_farther_apart, surrogate_keeps_its_bound,
)  # fmt: skip


def _values(on: Manifold, s: Sample) -> dict[str, Any]:
    return {
        "project": on.project(ambient(on, s)),
        "to_tangent": on.to_tangent(s.p, s.w),
        "inner": on.inner(s.p, s.u, s.v),
        "norm": on.norm(s.p, s.u),
        "dist": on.dist(s.p, s.q),
        "exp": on.exp(s.p, s.u),
        "log": on.log(s.p, s.q),
        "transport": on.transport(s.p, s.q, s.v),
        "geodesic": on.geodesic(s.p, s.q, 0.25),
        "midpoint": on.midpoint(s.p, s.q),
    }


def _scores(queries: Queries, targets: Any) -> list[np.ndarray]:
    """All scores in every way that they are computed; products exactly as well."""
    if queries.scores is None:
        a, b = _decoded(queries.operand), _decoded(targets)
        return [a.astype(np.float64) @ b.astype(np.float64).T, on_host(a @ b.T)]
    found = [on_host(queries.scores.on_device(queries.operand, targets))]
    if is_host(targets):
        tile = queries.scores((len(queries.operand), len(targets)))
        found.append(on_host(tile(queries.operand, targets)))
    return found


def _decoded(operand: Any) -> np.ndarray:
    """An operand as float32 on the host, where bfloat16 lies as bit patterns."""
    if is_host(operand) and operand.dtype == np.uint16:
        return (operand.astype(np.uint32) << 16).view(np.float32)
    return to_host(namespace(operand).astype(operand, namespace(operand).float32))
