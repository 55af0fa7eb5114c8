"""The laws of charts and of curvature, one function each.

They are computed in float64 whatever rows come, so rows of other kinds keep to one law alone.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..arrays.namespace import namespace
from ..errors import SpecError
from ..geodesics.curvature import natural_size
from ..geodesics.slopes import ROUNDINGS, step_error
from ..manifolds.base import Manifold
from ..manifolds.charts import METHODS, ORDER
from ..manifolds.tangents import tall
from .rows import Sample, close, column, grain, length, on_host

ROWS = 5
MANY, FEW, FEWER = 20, 10, 3
"""Dimensions up to which vectors, symbols, and tensors of two derivatives are compared."""
BY_TORCH = 1e-8
"""What torch may lose where branches meet, as those of a direction do at the origin."""

Law = Callable[[Manifold, Sample], None]


def up_to(dim: int) -> Callable[[Law], Law]:
    """A law of some float64 rows that the space's chart reaches, up to a dimension."""

    def limited(law: Law) -> Law:
        def check(on: Manifold, s: Sample) -> None:
            if on.dim <= dim and s.p.dtype == namespace(s.p).float64:
                law(on, _some(on, s))

        check.__name__, check.__doc__ = law.__name__, law.__doc__
        return check

    return limited


def _some(on: Manifold, s: Sample) -> Sample:
    """Some rows, their points as their coordinates have them."""
    xp, chart = namespace(s.p), on.chart
    c = chart.coordinates(s.p)
    rows = np.flatnonzero(np.isfinite(on_host(c)).all(axis=-1))
    rows = xp.asarray(rows[:: max(1, -(-len(rows) // ROWS))])
    parts = [xp.take(part, rows, axis=0) for part in s[:5]]
    parts[0] = chart.point(parts[0], xp.take(c, rows, axis=0))
    parts[2:4] = [on.to_tangent(parts[0], v) for v in parts[2:4]]
    return Sample._make([*parts, s.tolerance, s.skew[on_host(rows).astype(int)]])


# --- charts -------------------------------------------------------------------------------------


@up_to(MANY)
def charts_are_coordinates(on: Manifold, s: Sample) -> None:
    """A chart gives a point back from its coordinates and a vector from its components, and vectors
    are the velocities of points whose coordinates move."""
    chart = on.chart
    t = 2.0**-10 * chart.reach(s.p)[:, None] / on.unit
    c, a = chart.coordinates(s.p), chart.components(s.p, s.v)
    within = _rounding(on, s) * (length(s.p) + length(s.v))
    close(chart.point(s.p, c), s.p, column(within, s.p))
    close(chart.vector(s.p, a), s.v, column(within, s.p))
    step = chart.point(s.p, c + t * a) - chart.point(s.p, c - t * a)
    within = 1e-4 * length(s.v) + within / on_host(t)[:, 0]
    close(step / (2 * tall(on, t[:, 0])), s.v, column(within, s.p))


@up_to(MANY)
def metric_tensor_is_the_inner_product(on: Manifold, s: Sample) -> None:
    """The metric tensor is symmetric and positive definite, and makes `inner` of components."""
    g = on_host(on.metric_tensor(s.p))
    assert (g == np.swapaxes(g, 1, 2)).all()
    assert (np.linalg.eigvalsh(g) > 0).all()
    a, b = (on_host(on.chart.components(s.p, each)) for each in (s.u, s.v))
    size = on_host(on.norm(s.p, s.u)) * on_host(on.norm(s.p, s.v))
    close(np.einsum("ri,rij,rj->r", a, g, b), on.inner(s.p, s.u, s.v), _rounding(on, s) * size)


def tensors_keep_shape_and_kind(on: Manifold, s: Sample) -> None:
    """No rows or one: the batch comes first, then an axis for each index, in the kind of array."""
    if on.dim > FEW:
        return
    for rows in (s.rows(slice(0)), s.rows(slice(1))):
        batch, d = rows.p.shape[0], on.dim
        for rank, name in ((2, "metric_tensor"), (3, "christoffel"), (4, "riemann"), (2, "ricci")):
            _is_like(rows.p, getattr(on, name)(rows.p), (batch, *(d,) * rank), name)
        _is_like(rows.p, on.scalar_curvature(rows.p), (batch,), "scalar_curvature")
        found = on.sectional_curvature(rows.p, rows.u, rows.v)
        _is_like(rows.p, found, (batch,), "sectional_curvature")


@up_to(FEW)
def symbols_agree(on: Manifold, s: Sample) -> None:
    """Christoffel symbols are symmetric, and the same in closed form, by torch, by differences."""
    size = _natural(on, s, 3)
    base = _rounding(on, s)[:, None, None, None] * size
    stated = {"closed": 0.0, "autodiff": BY_TORCH * size}
    stated["differences"] = on_host(on.chart.error_of_differences(s.p))
    expected = on_host(on.christoffel(s.p))
    for method, found in _each(on, "christoffel", s):
        close(found, np.swapaxes(found, 2, 3), base)
        close(found, expected, base + stated[method])


@up_to(MANY)
def connection_is_the_acceleration(on: Manifold, s: Sample) -> None:
    """A geodesic with velocity v starts with the acceleration -connection(p, v, v)."""
    if not on.has_connection:
        return
    t = 2.0**-10
    bent = on.exp(s.p, t * s.v) - s.p + (on.exp(s.p, -t * s.v) - s.p)
    found = on.connection(s.p, s.v, s.v)
    within = 1e-4 * (length(found) + length(s.v)) + s.tolerance * length(s.p) / t**2
    close(bent / t**2, -found, column(within, s.p))
    both = on.connection(s.p, s.u, s.v)
    within = _rounding(on, s) * (length(both) + length(s.p))
    close(both, on.connection(s.p, s.v, s.u), column(within, s.p))


# --- curvature ----------------------------------------------------------------------------------


@up_to(FEW)
def riemann_has_its_symmetries(on: Manifold, s: Sample) -> None:
    """R(u, v) = -R(v, u), <R(u, v) w, x> = -<R(u, v) x, w> = <R(w, x) u, v>, and R(u, v) w summed
    over the cyclic changes of u, v and w is 0 (Bianchi)."""
    if not on.has_curvature:
        return
    g, reach = on.metric_tensor(s.p), on_host(on.chart.reach(s.p))
    r = np.einsum("rlm,rmijk->rlijk", on_host(g), on_host(on.riemann(s.p)))
    unit = np.sqrt(np.einsum("rii->ri", on_host(g)))
    size = np.einsum("rl,ri,rj,rk->rlijk", unit, unit, unit, unit)
    within = (_rounding(on, s) / reach**2)[:, None, None, None, None] * size
    close(r, -np.swapaxes(r, 2, 3), within)
    close(r, -np.swapaxes(r, 1, 4), within)
    close(r, np.einsum("rlijk->rjkli", r), within)
    close(r + np.einsum("rlijk->rljki", r) + np.einsum("rlijk->rlkij", r), 0, within)


@up_to(FEWER)
def curvatures_agree(on: Manifold, s: Sample) -> None:
    """Riemann's tensor is the same in closed form, by torch and by differences."""
    size = _natural(on, s, 4)
    base = _rounding(on, s)[:, None, None, None, None] * size
    stated = {"closed": 0.0, "autodiff": (BY_TORCH + step_error(ORDER)) * size}
    stated["differences"] = on_host(on.chart.error_of_differences(s.p, rank=4))
    expected = on_host(on.riemann(s.p))
    for method, found in _each(on, "riemann", s):
        close(found, expected, base + stated[method])


@up_to(FEW)
def traces_agree(on: Manifold, s: Sample) -> None:
    """Ricci's tensor is the trace of Riemann's, and symmetric; its own is the scalar curvature."""
    size = _rounding(on, s)[:, None, None] * np.einsum("riijk->rjk", _natural(on, s, 4))
    if not on.has_curvature:
        errors = on_host(on.chart.error_of_differences(s.p, rank=4))
        size = size + np.einsum("riijk->rjk", errors)
    ricci = on_host(on.ricci(s.p))
    close(ricci, np.einsum("riijk->rjk", on_host(on.riemann(s.p))), size)
    close(ricci, np.swapaxes(ricci, 1, 2), size)
    raised = np.linalg.inv(on_host(on.metric_tensor(s.p)))
    within = np.einsum("rjk,rjk->r", abs(raised), size)
    close(on.scalar_curvature(s.p), np.einsum("rjk,rjk->r", raised, ricci), within)


@up_to(MANY)
def sectional_curvature_is_that_of_planes(on: Manifold, s: Sample) -> None:
    """It is that of any two vectors that span the plane, NaN where they span none, and what makes
    geodesics spread."""
    if on.dim == 1:
        return
    w = on.to_tangent(s.p, s.w)
    u, v = (x / tall(on, on.norm(s.p, x)) for x in (s.v, w))
    found, reach = on.sectional_curvature(s.p, u, v), on_host(on.extent(s.p))
    apart = on_host(on.norm(s.p, u - v)) * on_host(on.norm(s.p, u + v))
    within = 4 * _rounding(on, s) / (apart * reach) ** 2
    coarse = 1 + grain(on, s) / reach / (16 * ROUNDINGS)  # what stored coordinates have lost
    stated = 1.5 * coarse * step_error(ORDER, step_error(ORDER), derivative=2) / reach**2
    if not on.has_curvature:
        within = within + 2 * stated
    close(on.sectional_curvature(s.p, v, u), found, within)
    close(on.sectional_curvature(s.p, u + 2 * v, u - v), found, within)
    assert np.isnan(on_host(on.sectional_curvature(s.p, u, -2 * u))).all()
    if on.has_curvature:
        form = on.inner(s.p, on.curvature_tensor(s.p, u, v, v), u)
        area = on.norm(s.p, u) ** 2 * on.norm(s.p, v) ** 2 - on.inner(s.p, u, v) ** 2
        close(form, found * area, 4 * _rounding(on, s) / reach**2)
    spread = on.sectional_curvature(s.p, u, v, "differences")
    close(spread, found, within + stated)


CURVATURE_LAWS = (
    charts_are_coordinates, metric_tensor_is_the_inner_product, tensors_keep_shape_and_kind,
    symbols_agree, connection_is_the_acceleration, riemann_has_its_symmetries, curvatures_agree,
    traces_agree, sectional_curvature_is_that_of_planes,
)  # fmt: skip


def _is_like(p: Any, found: Any, shape: tuple[int, ...], name: str) -> None:
    assert tuple(found.shape) == shape, f"{name}: {found.shape}"
    assert (type(found), found.dtype) == (type(p), p.dtype), f"{name}: {type(found)}, {found.dtype}"


def _each(on: Manifold, tensor: str, s: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """A tensor by every method that there is."""
    for method in METHODS:
        try:
            found = getattr(on, tensor)(s.p, method=method)
        except SpecError:
            continue
        yield method, on_host(found)


def _natural(on: Manifold, s: Sample, rank: int) -> np.ndarray:
    return on_host(natural_size(on.metric_tensor(s.p), on.chart.reach(s.p), rank))


def _rounding(on: Manifold, s: Sample) -> np.ndarray:
    """What rounding may do, as a share: more where the chart or the space ends."""
    reach = on_host(on.chart.reach(s.p)) / on.unit
    return s.tolerance * s.skew / np.minimum(reach, 1)
