"""Charts and curvature of the spaces: known symbols and curvatures, ends of charts, refusals."""

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import geodask as gd
from geodask.geodesics.curvature import riemann_by_differences
from geodask.geodesics.slopes import step_error
from geodask.manifolds.charts import Chart
from geodask.manifolds.curved import Curved
from geodask.manifolds.isometric import Isometric
from geodask.manifolds.spd import SPD

S2 = gd.Sphere(3, curvature=0.25)
ANGLES = gd.SphericalCoordinates(S2)
ORDERS = pytest.mark.parametrize("order", [2, 4, 6])
METHODS = pytest.mark.parametrize("method", ["closed", "autodiff", "differences"])


def on_the_sphere(*angles: tuple[float, float]) -> np.ndarray:
    t, s = np.array(angles).T
    return np.stack([np.sin(t) * np.cos(s), np.sin(t) * np.sin(s), np.cos(t)], axis=1)


# --- symbols of the literature ------------------------------------------------------------------


@METHODS
def test_symbols_of_the_sphere_in_angles(method: str) -> None:
    t = np.array([0.3, 1.2, 1.5707, 3.0])
    p = on_the_sphere(*zip(t, [0.1, -3.0, 2.0, 1.0], strict=True))
    found = S2.christoffel(p, method, chart=ANGLES)
    expected = np.zeros((4, 2, 2, 2))
    expected[:, 0, 1, 1] = -np.sin(t) * np.cos(t)
    expected[:, 1, 0, 1] = expected[:, 1, 1, 0] = 1 / np.tan(t)
    np.testing.assert_allclose(found, expected, atol=1e-10 if method == "differences" else 1e-14)
    metric = 4 * np.array([np.diag([1.0, np.sin(each) ** 2]) for each in t])
    np.testing.assert_allclose(S2.metric_tensor(p, chart=ANGLES), metric, rtol=1e-14, atol=1e-16)


@METHODS
def test_symbols_of_the_half_plane(method: str) -> None:
    x, y = np.array([[0.0, 2.0, -1e3], [1.0, 0.01, 500.0]])
    found = gd.HalfSpace(2, curvature=-4.0).christoffel(np.stack([x, y], axis=1), method)
    expected = np.zeros((3, 2, 2, 2))
    expected[:, 0, 0, 1] = expected[:, 0, 1, 0] = expected[:, 1, 1, 1] = -1 / y
    expected[:, 1, 0, 0] = 1 / y
    within = 1e-11 if method == "differences" else 1e-14
    np.testing.assert_allclose(
        found * y[:, None, None, None], expected * y[:, None, None, None], atol=within
    )


def test_metrics_of_the_literature() -> None:
    sphere = gd.Sphere(5, curvature=0.25)
    p = sphere.random(4, seed=0)
    c = sphere.chart.coordinates(p)
    factor = (2 / (1 + (c * c).sum(axis=1))) ** 2 / 0.25
    np.testing.assert_allclose(
        sphere.metric_tensor(p), factor[:, None, None] * np.eye(4), atol=1e-13
    )
    simplex = gd.Simplex(4)
    p = simplex.random(4, seed=0)
    fisher = np.array([np.diag(1 / row[:-1]) + 1 / row[-1] for row in p])
    np.testing.assert_allclose(simplex.metric_tensor(p), fisher, rtol=1e-12)
    sheet = gd.Lorentz(4)
    p = sheet.random(4, seed=0)
    s, time = p[:, 1:], p[:, 0, None, None]
    np.testing.assert_allclose(
        sheet.metric_tensor(p), np.eye(3) - s[:, :, None] * s[:, None, :] / time**2, atol=1e-12
    )
    p = gd.SPDAffineInvariant(2).random(1, seed=0)
    a = np.linalg.inv(p[0])
    e = [np.diag([1.0, 0]), np.array([[0, 1.0], [1, 0]]), np.diag([0, 1.0])]
    traces = [[np.trace(a @ u @ a @ v) for v in e] for u in e]
    np.testing.assert_allclose(gd.SPDAffineInvariant(2).metric_tensor(p)[0], traces, rtol=1e-13)


@pytest.mark.parametrize("radius", [1e-9, 1e-4, 0.3, 0.5, 1.0, 7.0, 250.0])
def test_symbols_in_polar_coordinates_keep_their_digits(radius: float) -> None:
    on = gd.HyperbolicPolar(3, curvature=-0.25)
    found = on.christoffel(np.array([0.6, 0.8, radius]))
    with mp.workdps(60):
        r, n = mpf(radius), [mpf(0.6), mpf(0.8)]
        n = [x / mp.norm(n) for x in n]
        turned = float((r * mp.coth(r) - 1) / r)
        pulled = float((mp.sinh(r) * mp.cosh(r) - r) / r**2)
    u = np.array([float(x) for x in n])
    across = np.eye(2) - np.outer(u, u)
    both = np.einsum("i,kj->kij", u, across) + np.einsum("j,ki->kij", u, across)
    expected = turned * both - pulled * np.einsum("k,ij->kij", u, across)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-14 * (turned + pulled))


@ORDERS
@pytest.mark.parametrize(
    "on",
    [S2, gd.PoincareBall(2), gd.Simplex(3), gd.SPDAffineInvariant(2), gd.SPDLogCholesky(2)],
    ids=str,
)
def test_differences_err_by_what_they_state(on: gd.Manifold, order: int) -> None:
    p = on.random(30, seed=0)
    off = abs(on.christoffel(p, "differences", order) - on.christoffel(p))
    assert (off <= on.chart.error_of_differences(p, order)).all()
    p = p[:3]
    off = abs(on.riemann(p, "differences", order) - on.riemann(p))
    assert (off <= on.chart.error_of_differences(p, order, rank=4)).all()


# --- curvatures of the literature ---------------------------------------------------------------

X, Y = np.diag([1.0, -1.0]) / 2**0.5, np.array([[0.0, 1.0], [1.0, 0.0]]) / 2**0.5


@METHODS
def test_the_affine_invariant_metric_has_curvature_down_to_a_half(method: str) -> None:
    on = gd.SPDAffineInvariant(2)
    assert on.sectional_curvature(np.eye(2), X, Y, method) == pytest.approx(-0.5, abs=1e-8)
    root = np.array([[2.0, 0.5], [0.5, 1.0]])  # it is the same wherever a congruence takes it
    p, x, y = (root @ each @ root for each in (np.eye(2), X, Y))
    assert on.sectional_curvature(p, x, y, method) == pytest.approx(-0.5, abs=1e-8)
    assert on.sectional_curvature(p, x, p, method) == pytest.approx(0, abs=1e-8)


def test_the_affine_invariant_metric_curves_nowhere_more_and_never_upwards() -> None:
    on = gd.SPDAffineInvariant(4)
    p = on.random(500, seed=0)
    found = on.sectional_curvature(p, on.random_tangent(p, 1), on.random_tangent(p, 2))
    assert (found <= 1e-13).all()
    assert (found >= -0.5).all()
    commuting = gd.SPDAffineInvariant(2).sectional_curvature(
        np.eye(2), np.diag([1.0, 3.0]), np.diag([2.0, -1.0])
    )
    assert commuting == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_affine_invariant_metric_has_these_traces(n: int) -> None:
    on = gd.SPDAffineInvariant(n)
    p = on.random(3, seed=0)
    # Ric(u, u) = -(n |p^-1 u|^2 - tr(p^-1 u)^2) / 4.
    e = on.chart.basis(p)
    turned = np.linalg.solve(p[:, None], e)
    traces = np.trace(turned, axis1=2, axis2=3)
    expected = (
        np.einsum("rjab,rkba->rjk", turned, turned) * n - traces[:, :, None] * traces[:, None, :]
    )
    np.testing.assert_allclose(on.ricci(p), -expected / 4, atol=1e-12 * abs(expected).max())
    for method in ("closed", "autodiff"):
        found = on.scalar_curvature(p, method)
        np.testing.assert_allclose(found, -n * (n - 1) * (n + 2) / 8, atol=1e-9)


@pytest.mark.parametrize(
    ("on", "curvature"),
    [
        (gd.Sphere(4, curvature=4.0), 4.0), (gd.Euclidean(3), 0.0),
        (gd.PoincareBall(3, curvature=-4.0), -4.0), (gd.HalfSpace(3), -1.0),
        (gd.Lorentz(4), -1.0), (gd.HyperbolicPolar(4), -1.0), (gd.Simplex(4), 0.25),
        (gd.SPDLogEuclidean(2), 0.0), (gd.SPDLogCholesky(2), 0.0),
        (gd.EuclideanMatrices(1, 3), 0.0),
    ],
    ids=str,
)  # fmt: skip
def test_spaces_of_constant_curvature(on: gd.Manifold, curvature: float) -> None:
    p = on.random(4, seed=0)
    u, v = on.random_tangent(p, 1), on.random_tangent(p, 2)
    np.testing.assert_allclose(on.sectional_curvature(p, u, v), curvature, rtol=1e-13)
    np.testing.assert_allclose(on.scalar_curvature(p), 6 * curvature)
    np.testing.assert_allclose(on.ricci(p), 2 * curvature * on.metric_tensor(p))
    away = 1e-10 * np.abs(on.metric_tensor(p)).max() / on.extent(p).min() ** 2
    np.testing.assert_allclose(on.ricci(p, "autodiff"), on.ricci(p), atol=away)


# --- what comes for nothing ---------------------------------------------------------------------


class Bare(gd.Sphere):
    """A sphere of which nobody knows more than what a manifold has to state."""

    chart, constant_curvature, connection = (
        vars(Curved)[name] for name in ("chart", "constant_curvature", "connection")
    )


def test_a_space_without_chart_or_closed_forms_has_them_all() -> None:
    on = Bare(4, curvature=4.0)
    p = on.random(3, seed=0)
    u, v, w = (on.random_tangent(p, seed) for seed in (1, 2, 3))
    assert isinstance(on.chart, gd.NormalCoordinates)
    np.testing.assert_allclose(
        on.metric_tensor(p), np.broadcast_to(np.eye(3), (3, 3, 3)), atol=1e-14
    )
    assert (on.christoffel(p) == 0).all()
    np.testing.assert_allclose(on.christoffel(p, "differences"), 0, atol=1e-9)
    np.testing.assert_allclose(on.sectional_curvature(p, u, v), 4.0, atol=1e-6)
    np.testing.assert_allclose(on.ricci(p), 8 * on.metric_tensor(p), atol=1e-6)
    np.testing.assert_allclose(on.scalar_curvature(p), 24, atol=1e-6)
    known = gd.Sphere(4, curvature=4.0).curvature_tensor(p, u, v, w)
    np.testing.assert_allclose(on.curvature_tensor(p, u, v, w), known, atol=1e-6)
    for method, name in (
        ("closed", "riemann"),
        ("autodiff", "riemann"),
        ("autodiff", "christoffel"),
    ):
        with pytest.raises(gd.SpecError, match=f"method='{method}' came"):
            getattr(on, name)(p, method)
    with pytest.raises(gd.SpecError, match="Bare must state its connection"):
        on.connection(p, u, v)


def unused(*args: object) -> Any:
    raise NotImplementedError


@dataclass(frozen=True)
class Inverse(Isometric, SPD):
    """Matrices by their inverses: the affine-invariant metric does not tell them apart."""

    @property
    def image(self) -> gd.SPDAffineInvariant:
        return gd.SPDAffineInvariant(self.n)

    def to_image(self, p: Any) -> Any:
        return np.linalg.inv(p)

    def from_image(self, x: Any) -> Any:
        return np.linalg.inv(x)

    def push(self, p: Any, u: Any) -> Any:
        return -np.linalg.inv(p) @ u @ np.linalg.inv(p)

    def pull(self, p: Any, y: Any) -> Any:
        return -p @ y @ p

    blur = exact_image = unused


def test_what_is_carried_over_has_the_curvature_and_the_chart_of_its_image() -> None:
    on, other = Inverse(3), gd.SPDAffineInvariant(3)
    p = on.random(4, seed=0)
    u, v, w = (on.random_tangent(p, seed) for seed in (1, 2, 3))
    expected = other.curvature_tensor(p, u, v, w)
    np.testing.assert_allclose(on.curvature_tensor(p, u, v, w), expected, atol=1e-9)
    assert type(on.chart).__name__ == "ImageCoordinates"
    np.testing.assert_allclose(on.christoffel(p), other.christoffel(np.linalg.inv(p)), atol=1e-8)
    np.testing.assert_allclose(on.riemann(p), other.riemann(np.linalg.inv(p)), atol=1e-8)
    assert on.sectional_curvature(p, u, v, "closed") == pytest.approx(
        other.sectional_curvature(p, u, v), abs=1e-12
    )


@dataclass(frozen=True)
class Mirrored(Isometric):
    """The points of a sphere by their antipodes, where nothing is known of it."""

    @property
    def image(self) -> Bare:
        return Bare(self.n)

    def to_image(self, p: Any) -> Any:
        return -p

    from_image = to_image

    def push(self, p: Any, u: Any) -> Any:
        return -u + 0 * p

    pull = push

    project, to_tangent = vars(gd.Sphere)["project"], vars(gd.Sphere)["to_tangent"]
    complaints = blur = exact_image = random = unused


def test_what_is_carried_over_from_a_space_without_a_chart_has_its_normal_coordinates() -> None:
    on = Mirrored(3)
    p = gd.Sphere(3).random(3, seed=0)
    u, v = (gd.Sphere(3).random_tangent(p, seed) for seed in (1, 2))
    assert (on.christoffel(p) == 0).all()
    np.testing.assert_allclose(on.metric_tensor(p), [np.eye(2)] * 3, atol=1e-15)
    np.testing.assert_allclose(on.ricci(p), on.metric_tensor(p), atol=1e-6)
    np.testing.assert_allclose(on.sectional_curvature(p, u, v), 1, atol=1e-7)


@pytest.mark.parametrize("method", [None, "closed", "differences"])
def test_what_is_carried_over_from_a_product_has_the_tensors_of_its_parts(
    method: str | None,
) -> None:
    on = gd.RigidMotions(3, weight=0.5)
    p = on.random(2, seed=3)
    np.testing.assert_allclose(on.scalar_curvature(p, method), 1.5, atol=1e-6)  # that of SO(3)
    for tensor in ("christoffel", "riemann", "ricci"):
        expected = getattr(on.image, tensor)(on.to_image(p), method)
        np.testing.assert_array_equal(getattr(on, tensor)(p, method), expected)
    error = on.chart.error_of_differences(p, rank=4)
    assert (abs(on.riemann(p, "differences") - on.riemann(p, "closed")) <= error).all()


def test_the_metric_of_a_product_is_the_sum_of_those_of_its_charts() -> None:
    on = gd.Product((gd.Rotations(3), gd.Sphere(3)), (0.5, 2.0))
    p = on.random(3, seed=0)
    c, reach = on.chart.coordinates(p), on.chart.reach(p)
    found = riemann_by_differences(on.chart.metric(p), c, reach, 6, step_error(6))
    np.testing.assert_allclose(found, on.riemann(p), atol=1e-6)


# --- where there is no answer -------------------------------------------------------------------


def test_beside_a_pole_digits_are_kept_and_on_it_there_are_no_coordinates() -> None:
    on = gd.Sphere(3)
    p = on_the_sphere((1e-8, 1.0), (0.0, 0.0), (np.pi, 0.0))
    c = on.chart.coordinates(p)
    np.testing.assert_allclose(np.linalg.norm(c[0]), 1 / np.tan(0.5e-8), rtol=1e-15)
    a = np.array([1e16, -2e16])
    v = on.chart.vector(p[0], a)
    np.testing.assert_allclose(on.chart.components(p[0], v), a, rtol=1e-14)
    for chart in (on.chart, gd.SphericalCoordinates(on)):
        for found in (
            on.metric_tensor(p, chart),
            on.christoffel(p, chart=chart),
            on.ricci(p, chart=chart),
        ):
            assert np.isfinite(found[0]).all()
            assert np.isnan(found[1]).all()
    assert (on.scalar_curvature(p) == 2).all()


@METHODS
def test_numbers_that_are_the_same_in_all_charts_are_known_at_and_beside_a_pole(
    method: str,
) -> None:
    on = gd.Sphere(3)
    angles = [(t, 1.0) for t in (0.0, 1e-9, 1e-6, 1e-3, np.pi - 1e-6, np.pi, np.pi / 2, 1.0)]
    p = on_the_sphere(*angles)
    u, v = on.random_tangent(p, 1), on.random_tangent(p, 2)
    np.testing.assert_allclose(on.scalar_curvature(p, method), 2, atol=1e-9)
    np.testing.assert_allclose(on.sectional_curvature(p, u, v, method), 1, atol=1e-7)
    carried = gd.Oblique(3, 1)
    p, u, v = (each[..., None] for each in (p, u, v))
    np.testing.assert_allclose(carried.scalar_curvature(p, method), 2, atol=1e-9)
    np.testing.assert_allclose(carried.sectional_curvature(p, u, v, method), 1, atol=1e-7)


@METHODS
def test_curvatures_beside_the_origin_of_polar_coordinates(method: str) -> None:
    on = gd.HyperbolicPolar(3, curvature=-4.0)
    p = np.array([[0.6, 0.8, r] for r in (1e-12, 1e-6, 1e-3, 1.0)] + [[1.0, 0.0, 2.0**-8]])
    u, v = on.random_tangent(p, 1), on.random_tangent(p, 2)
    np.testing.assert_allclose(on.scalar_curvature(p, method), -8, atol=1e-9)
    np.testing.assert_allclose(on.ricci(p, method), -4 * on.metric_tensor(p), atol=1e-9)
    if method != "differences":  # which are along geodesics, whose directions turn there
        np.testing.assert_allclose(on.sectional_curvature(p, u, v, method), -4, atol=1e-9)


@METHODS
def test_the_scalar_curvature_of_parts_is_the_sum_of_theirs_over_their_weights(
    method: str,
) -> None:
    on = gd.Product((gd.Sphere(3), gd.Euclidean(1)), (4.0, 1.0))
    pole = np.array([[0.0, 0.0, 1.0, 0.0]])
    np.testing.assert_allclose(on.scalar_curvature(pole, method), [0.5], atol=1e-9)
    u, v = on.random_tangent(pole, 1), on.random_tangent(pole, 2)
    flipped = pole * [1, 1, -1, 1]
    found = on.sectional_curvature(pole, u, v, method)
    np.testing.assert_allclose(found, on.sectional_curvature(flipped, u, v, method), atol=1e-7)
    power = gd.Power(gd.Product((gd.Sphere(3), gd.PoincareBall(2)), (1.0, 0.5)), 3, weight=2.0)
    p = power.random(4, seed=0)
    np.testing.assert_allclose(power.scalar_curvature(p, method), 3 * (2 - 4) / 2, atol=1e-8)
    p[:, :, :3] = [0, 0, 1]
    np.testing.assert_allclose(power.scalar_curvature(p, method), 3 * (2 - 4) / 2, atol=1e-8)


def test_vectors_on_one_line_span_no_plane() -> None:
    on = gd.Sphere(4)
    p = on.random(4, seed=0)
    u, v = on.random_tangent(p, 1), on.random_tangent(p, 2)
    v[0], v[1], v[2] = 3 * u[0], 0, 3 * u[2] + 1e-12 * v[2]
    for method in ("closed", "differences"):
        found = on.sectional_curvature(p, u, v, method)
        assert np.isnan(found).tolist() == [True, True, False, False]
        assert abs(found[2:] - 1).max() < 1e-7
    circle = gd.Sphere(2)
    p = circle.random(4, seed=0)
    found = circle.sectional_curvature(p, circle.random_tangent(p, 1), circle.random_tangent(p, 2))
    assert np.isnan(found).all()


def test_what_does_not_fit_is_refused() -> None:
    p = S2.random(2, seed=0)
    with pytest.raises(gd.SpecError, match=r"A chart of Sphere.* is needed"):
        S2.christoffel(p, chart=gd.SphericalCoordinates(gd.Sphere(3)))
    for chart in (3, "normal", gd.NormalCoordinates, gd.NormalCoordinates(S2).coordinates):
        with pytest.raises(gd.SpecError, match=r"chart= takes coordinates of Sphere.* came\. Pass"):
            S2.riemann(p, chart=chart)  # pyright: ignore[reportArgumentType]
        with pytest.raises(gd.SpecError, match="chart= takes coordinates of Sphere"):
            gd.metric_tensor(gd.points(p, S2), chart=chart)  # pyright: ignore[reportArgumentType]
    for space in (gd.Sphere(4), gd.Lorentz(3), gd.Euclidean(3), 3):
        with pytest.raises(gd.SpecError, match="those of the sphere in R"):
            gd.SphericalCoordinates(space)  # pyright: ignore[reportArgumentType]
    for space in (gd.Euclidean(3), gd.Lorentz(3), gd.Simplex(3), 3, gd.Sphere):
        with pytest.raises(gd.SpecError, match=r"those of a sphere, but .* came\. Pass such as"):
            gd.StereographicCoordinates(space)  # pyright: ignore[reportArgumentType]
    for space in (3, None, gd.Sphere, "Sphere"):
        with pytest.raises(gd.SpecError, match=r"those of a manifold, but .* came\. Pass such as"):
            gd.NormalCoordinates(space)  # pyright: ignore[reportArgumentType]
    with pytest.raises(gd.SpecError, match="comes by closed or autodiff or differences"):
        S2.riemann(p, "symbolic")
    with pytest.raises(gd.SpecError, match=r"christoffel of SPDLogEuc.* comes by autodiff or"):
        gd.SPDLogEuclidean(2).christoffel(gd.SPDLogEuclidean(2).random(1, 0), "closed")
    with pytest.raises(gd.SpecError, match="order 2, 4 or 6"):
        S2.sectional_curvature(p, p, p, order=3)


def test_a_chart_is_a_frozen_value() -> None:
    again = pickle.loads(pickle.dumps(ANGLES))
    assert (again, hash(again)) == (ANGLES, hash(ANGLES))
    assert gd.SphericalCoordinates(gd.Sphere(3)) != ANGLES
    assert ANGLES.to_spec() == {"chart": "SphericalCoordinates", "space": S2.to_spec()}
    assert isinstance(ANGLES, Chart)


def test_batches_of_any_rank_are_not_squeezed() -> None:
    on = gd.SPDAffineInvariant(2)
    p = on.random((2, 1), seed=0)
    u, v = on.random_tangent(p, 1), on.random_tangent(p, 2)
    for method in ("closed", "autodiff", "differences"):
        assert on.christoffel(p, method).shape == (2, 1, 3, 3, 3)
        assert on.riemann(p, method).shape == (2, 1, 3, 3, 3, 3)
        assert on.sectional_curvature(p, u, v, method).shape == (2, 1)
        assert on.sectional_curvature(p[0, 0], u, v, method).shape == (2, 1)
    assert on.christoffel(p[0, 0]).shape == (3, 3, 3)
    assert on.scalar_curvature(p[0, 0]).shape == ()
