"""The Fréchet mean: what it must be, on every space, and that no cut of the work changes it."""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import dask
import mpmath as mp
import numpy as np
import pytest
import zarr

import geodask as gd
from geodask.engine.operation import Budget
from geodask.kernels.moments import add_logs, merged, no_sums
from geodask.manifolds.base import SUMMED, Manifold
from geodask.ops.frechet import Mean
from test_resume import start_and_kill

SPACES = [
    gd.Sphere(5),
    gd.Sphere(2),
    gd.Sphere(4, curvature=4.0),
    gd.Euclidean(3),
    gd.PoincareBall(3),
    gd.PoincareBall(1),
    gd.PoincareBall(3, curvature=-0.25),
    gd.Lorentz(4),
    gd.HalfSpace(3),
    gd.HyperbolicPolar(4),
]
HYPERBOLIC = [gd.PoincareBall(3), gd.Lorentz(4), gd.HalfSpace(3), gd.HyperbolicPolar(4)]
spaces = pytest.mark.parametrize("manifold", SPACES, ids=str)


def cloud(manifold: gd.Manifold, n: int, seed: int = 0) -> np.ndarray:
    """Points that have one mean."""
    x = manifold.random(n, seed=seed)
    if isinstance(manifold, gd.Sphere):
        x = manifold.project(x + 1.5 * manifold.random(1, seed=99))
    return x


def mean(x: np.ndarray, manifold: gd.Manifold, **options: object) -> gd.ops.frechet.MeanResult:
    return gd.mean(gd.points(x, manifold), **options).compute()


def close(manifold: gd.Manifold, p: np.ndarray, q: np.ndarray) -> float:
    return float(manifold.dist(p[None], q[None])[0])


# --- what a mean is -------------------------------------------------------------------------------


@spaces
@pytest.mark.parametrize("copies", [1, 300])
def test_copies_have_their_point_as_their_mean(manifold: gd.Manifold, copies: int) -> None:
    x = np.repeat(cloud(manifold, 1), copies, axis=0)
    found = mean(x, manifold)
    assert found.point.tobytes() == manifold.canonical(x[:1])[0].tobytes()
    assert (found.variance, found.gradient_norm, found.iterations) == (0, 0, 0)
    assert found.converged
    assert found.unique


@spaces
def test_two_weighted_points_divide_their_geodesic(manifold: gd.Manifold) -> None:
    x = cloud(manifold, 2, seed=3)
    for weight in (0.5, 0.2, 0.875):
        found = mean(x, manifold, weights=[1 - weight, weight])
        assert found.converged
        t = np.array([weight])
        assert close(manifold, found.point, manifold.geodesic(x[:1], x[1:], t)[0]) < 1e-7
        dist = close(manifold, *x)
        assert found.variance == pytest.approx(weight * (1 - weight) * dist**2, rel=1e-9)


@spaces
def test_the_mean_minimises_the_variance(manifold: gd.Manifold) -> None:
    x = cloud(manifold, 400)
    weights = np.random.default_rng(1).random(400)
    found = mean(x, manifold, weights=weights)
    assert found.converged
    assert found.gradient_norm <= 1e-8 * found.variance**0.5

    def variance(p: np.ndarray) -> float:
        return float(np.average(manifold.dist(p[None], x) ** 2, weights=weights))

    assert found.variance == pytest.approx(variance(found.point), rel=1e-13)
    around = np.repeat(found.point[None], 20, axis=0)
    steps = manifold.random_tangent(around, seed=4)
    steps *= (1e-3 / manifold.norm(around, steps))[:, None]
    for other in manifold.exp(around, steps):
        assert variance(other) > found.variance


@spaces
def test_rows_of_weight_zero_do_not_count(manifold: gd.Manifold) -> None:
    x = cloud(manifold, 260)
    weights = np.ones(260)
    weights[::3] = 0
    weights[:40] = 0
    left = mean(x[weights > 0], manifold)
    assert close(manifold, mean(x, manifold, weights=weights).point, left.point) < 1e-7


@spaces
def test_a_start_and_its_place_change_the_way_and_not_the_end(manifold: gd.Manifold) -> None:
    x = cloud(manifold, 50)
    found = mean(x, manifold)
    for row in (x[7], found.point):
        again = mean(x, manifold, start=row)
        assert again.converged
        assert close(manifold, again.point, found.point) < 1e-7
    assert again.iterations == 0
    with dask.config.set({"geodask.validate": "none"}):
        few = mean(x, manifold, start=x[7], max_iterations=1)
    assert few.iterations <= 1
    assert few.variance >= found.variance * (1 - 1e-12)


def test_flat_space_takes_one_step() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (9000, 4)).astype(np.float32)
    found = mean(x, gd.Euclidean(4))
    assert found.iterations == 1
    assert abs(found.point - x.astype(np.float64).mean(axis=0)).max() < 1e-14
    assert found.variance == pytest.approx(x.astype(np.float64).var(axis=0).sum(), rel=1e-13)


@pytest.mark.parametrize("manifold", [gd.Sphere(4), *HYPERBOLIC], ids=str)
def test_points_symmetric_about_a_point_have_it_as_their_mean(manifold: gd.Manifold) -> None:
    for centre in (manifold.random(1, seed=8), None):
        if centre is None:  # the origin of hyperbolic space, where polar coordinates end
            if isinstance(manifold, gd.Sphere):
                continue
            axis = np.eye(manifold.dim)[:1]
            centre = manifold.from_polar(axis, np.zeros(1))
        base = np.repeat(centre, 30, axis=0)
        y = np.random.default_rng(0).normal(0, 0.4, (30, manifold.frame_columns))
        if isinstance(manifold, gd.Sphere):
            y = manifold.to_tangent(base, y)
        x = np.concatenate([manifold.exp_frame(p, u) for p, u in zip(base, y, strict=True)])
        other = np.concatenate([manifold.exp_frame(p, -u) for p, u in zip(base, y, strict=True)])
        x = np.concatenate([x.reshape(30, -1), other.reshape(30, -1)])
        for start in (None, centre[0]):
            found = mean(x, manifold, start=start)
            assert found.converged
            assert close(manifold, found.point, centre[0]) < 1e-7


def test_an_isometry_moves_the_mean_along() -> None:
    rng = np.random.default_rng(5)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    for manifold in (gd.Sphere(4), gd.Euclidean(4), gd.PoincareBall(4)):
        x = cloud(manifold, 100)
        assert (
            close(manifold, turn @ mean(x, manifold).point, mean(x @ turn.T, manifold).point) < 1e-7
        )
    ball, x = gd.PoincareBall(4), cloud(gd.PoincareBall(4), 100)
    shift = np.array([[0.3, -0.2, 0.5, 0.1]])
    moved = ball.mobius_add(np.repeat(shift, 100, axis=0), x)
    expected = ball.mobius_add(shift, mean(x, ball).point[None])[0]
    assert close(ball, mean(moved, ball).point, expected) < 1e-7


def test_the_models_of_hyperbolic_space_agree() -> None:
    ball = gd.PoincareBall(3)
    x = cloud(ball, 200)
    expected = mean(x, ball)
    for manifold in HYPERBOLIC[1:]:
        found = mean(ball.convert(x, manifold), manifold)
        assert found.variance == pytest.approx(expected.variance, rel=1e-12)
        back = manifold.convert(found.point[None], ball)[0]
        assert close(ball, back, expected.point) < 1e-7


def test_the_mean_in_decimals() -> None:
    x = np.array([[0.3, 0.1], [-0.5, 0.62], [0.2, -0.7], [0.88, 0.1]])
    ball, sphere = gd.PoincareBall(2), gd.Sphere(3)
    lifted = sphere.project(np.column_stack([x, np.full(4, 0.9)]))

    def ball_square(p: list[mp.mpf], q: list[mp.mpf]) -> mp.mpf:
        left = [1 - mp.fdot(a, a) for a in (p, q)]
        return (
            2
            * mp.asinh(
                mp.norm([a - b for a, b in zip(p, q, strict=True)]) / mp.sqrt(left[0] * left[1])
            )
        ) ** 2

    def sphere_square(p: list[mp.mpf], q: list[mp.mpf]) -> mp.mpf:
        p = [*p, mp.sqrt(1 - mp.fdot(p, p))]
        q = [a / mp.norm(q) for a in q]
        return mp.acos(mp.fdot(p, q)) ** 2

    for manifold, rows, square in ((ball, x, ball_square), (sphere, lifted, sphere_square)):
        found = mean(rows, manifold, tol=1e-13)
        with mp.workdps(40):
            root, least = exact_mean(rows, square, found.point[:2])
            apart = [float(a - b) for a, b in zip(root, found.point[:2], strict=True)]
            assert max(map(abs, apart)) < 1e-13
            assert found.variance == pytest.approx(float(least), rel=1e-13)


def exact_mean(
    rows: np.ndarray, square: Callable[..., mp.mpf], guess: np.ndarray
) -> tuple[list[mp.mpf], mp.mpf]:
    """Where the mean of the squares has no slope, and what it is there."""
    exact = [[mp.mpf(float(a)) for a in row] for row in rows]

    def total(*p: mp.mpf) -> mp.mpf:
        return mp.fsum(square(list(p), q) for q in exact) / len(exact)

    def slope(*p: mp.mpf) -> list[mp.mpf]:
        return [mp.diff(total, p, order) for order in ((1, 0), (0, 1))]

    root = list(mp.findroot(slope, [mp.mpf(float(a)) for a in guess]))
    return root, total(*root)


# --- where there is none, or more than one --------------------------------------------------------


def test_antipodal_points_have_no_mean_that_is_given_in_silence() -> None:
    x = np.array([[1.0, 0, 0], [-1.0, 0, 0]])
    with pytest.raises(gd.CutLocusError, match="1 rows have none"):
        mean(x, gd.Sphere(3))
    with pytest.warns(UserWarning, match="need not be unique"):
        found = mean(x, gd.Sphere(3), start=np.array([0.0, 1, 0]))
    assert found.variance == pytest.approx(np.pi**2 / 4)
    assert not found.unique
    near = np.array([[1.0, 0, 0], [-np.cos(1e-3), np.sin(1e-3), 0]])
    with pytest.warns(UserWarning, match="need not be unique"):
        mean(near, gd.Sphere(3), start=np.array([0, -1.0, 0]))


def test_points_all_over_a_sphere_warn() -> None:
    with pytest.warns(UserWarning, match="need not be unique"):
        found = mean(gd.Sphere(3).random(200, seed=0), gd.Sphere(3))
    assert not found.unique


@pytest.mark.parametrize("far", [2.0, 100.0, 1e5])
def test_translations_are_no_reason_for_short_steps_or_a_warning(far: float) -> None:
    on = gd.RigidMotions(3)
    x = on.random(40, seed=0)
    x[:, :3, :3] = gd.Rotations(3).geodesic(np.eye(3), x[:, :3, :3], 0.3)
    x[:, :3, 3] += far
    found = mean(x, on, start=np.eye(4))  # a warning is an error here
    assert found.converged
    assert found.iterations < 12
    assert np.allclose(found.point[:3, 3], x[:, :3, 3].mean(axis=0), rtol=1e-9)


def test_far_ill_conditioned_covariances_have_a_mean() -> None:
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((60, 4, 4)))[0]
    x = (axes * 10.0 ** rng.uniform(-6, 0, (60, 1, 4))) @ axes.swapaxes(1, 2)
    x = (x + x.swapaxes(1, 2)) / 2
    found = mean(x, gd.SPDBuresWasserstein(4), tol=1e-9)
    assert found.converged
    assert found.iterations < 25


@pytest.mark.parametrize("seed", range(4))
def test_one_row_is_its_own_mean(seed: int) -> None:
    on = gd.Grassmann(6, 3)
    x = on.random(1, seed=seed)
    found = mean(x, on)
    assert found.converged
    assert on.dist(x[0], found.point) < 1e-14


def test_a_mean_may_take_many_steps_in_a_second() -> None:
    on = gd.Grassmann(20, 10)
    with pytest.warns(UserWarning, match="need not be unique"):
        found = mean(on.random(30, seed=0), on)
    assert found.converged
    assert found.iterations > 64  # which doubled a count 64 times


def test_a_gradient_below_rounding_is_not_claimed() -> None:
    x = 1e9 + np.random.default_rng(0).random((50, 2))
    found = mean(x, gd.Euclidean(2))
    assert abs(found.point - x.mean(axis=0)).max() < 1e-6
    assert found.converged == (found.gradient_norm <= 1e-8 * found.variance**0.5)
    tight = mean(cloud(gd.Sphere(4), 60), gd.Sphere(4), tol=0.0)
    assert not tight.converged or tight.gradient_norm == 0
    assert tight.gradient_norm < 1e-14
    assert tight.iterations < 30


def test_bad_input_is_refused() -> None:
    manifold = gd.Sphere(3)
    x = gd.points(manifold.random(4, seed=0), manifold)
    with pytest.raises(ValueError, match="at least one row"):
        gd.mean(x[:0])
    with pytest.raises(ValueError, match="not all be zero"):
        gd.mean(x, weights=np.zeros(4))
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="that of row 2 is"):
            gd.mean(x, weights=np.array([1, 1, bad, 1]))
    with pytest.raises(ValueError, match=r"of shape \(4,\), but \(3,\) came"):
        gd.mean(x, weights=np.ones(3))
    with pytest.raises(gd.SpecError, match="one point of shape"):
        gd.mean(x, start=np.ones(4))
    with pytest.raises(gd.NotOnManifoldError, match="unit length"):
        gd.mean(x, start=np.ones(3))
    with pytest.raises(ValueError, match="tol must"):
        gd.mean(x, tol=-1)
    for steps in (-1, 1.5, True):
        with pytest.raises(ValueError, match="max_iterations"):
            gd.mean(x, max_iterations=steps)  # type: ignore[arg-type]
    with pytest.raises(gd.SpecError, match="takes Points"):
        gd.mean(np.ones((3, 3)))  # type: ignore[arg-type]


def test_stored_weights_are_checked_as_they_are_read(tmp_path: Path) -> None:
    manifold = gd.Sphere(3)
    x = gd.points(cloud(manifold, 500), manifold)
    weights = np.random.default_rng(0).random((500, 1))
    stored = zarr.create_array(tmp_path / "w.zarr", data=weights, chunks=(67, 1))
    assert gd.mean(x, weights=stored).compute().point.tobytes() == (
        gd.mean(x, weights=weights[:, 0]).compute().point.tobytes()
    )
    stored[333] = -1
    with pytest.raises(ValueError, match="that of row 333 is -1"):
        gd.mean(x, weights=stored).compute()
    stored[:] = 0
    with pytest.raises(ValueError, match="not all be zero"):
        gd.mean(x, weights=stored).compute()


# --- sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("manifold", SPACES[:7], ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_compiled_sums_are_those_of_the_reference(manifold: gd.Manifold, dtype: str) -> None:
    x = manifold.random(700, seed=1).astype(dtype)
    x[5] = x[3]
    x[6] = np.nan
    weights = np.random.default_rng(2).random(700)
    weights[::7] = 0
    p = manifold.canonical(x[3:4])[0]
    if isinstance(manifold, gd.Sphere):
        x[9] = -x[3]
    quick, slow = no_sums(manifold), no_sums(manifold)
    add_logs(manifold, p, x, weights, quick)
    Manifold.add_logs(manifold, p, x.astype(np.float64), weights, slow)
    np.testing.assert_allclose(quick.sum(0), slow.sum(0), rtol=1e-12, atol=1e-11)
    assert quick.sum(0)[-2] == 1 + isinstance(manifold, gd.Sphere)


@spaces
def test_sums_do_not_depend_on_slices(manifold: gd.Manifold) -> None:
    x, weights = cloud(manifold, 3000), np.random.default_rng(0).random(3000)
    whole = no_sums(manifold)
    add_logs(manifold, manifold.canonical(x[:1])[0], x, weights, whole)
    for step in (SUMMED, 2 * SUMMED):
        sliced = no_sums(manifold)
        for low in range(0, 3000, step):
            rows = slice(low, low + step)
            add_logs(manifold, manifold.canonical(x[:1])[0], x[rows], weights[rows], sliced)
        assert sliced.tobytes() == whole.tobytes()


@pytest.mark.parametrize("chunk", [1, 97, 128, 1009, 4096, 20_000])
@pytest.mark.parametrize("memory", [None, 1 << 22, 1 << 25])
def test_slices_begin_where_sums_do(chunk: int, memory: int | None, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x.zarr", shape=(20_000, 4), chunks=(chunk, 4), dtype="f4")
    plan = gd.mean(gd.points(tmp_path / "x.zarr", gd.Lorentz(4)))
    operation, budget = plan.operation, Budget("numpy", "cpu", "auto", memory)
    tiling = operation._tiling(plan.inputs, operation.layout(plan.inputs), budget)
    assert tiling.step % SUMMED == 0


@pytest.mark.parametrize(
    ("manifold", "expected"),
    [
        (gd.Euclidean(19), "230faf8b284f85086e7727c7cf233c76c775e3e4"),
        (gd.Sphere(19), "4bb01ff0c2aa5b42efc7ae99a3d4919e9ca3425a"),
        (gd.PoincareBall(19), "321dcd27d0c5d336fa4cbe7f1f36519de8b89d0d"),
    ],
    ids=str,
)
def test_the_bytes_of_compiled_sums_change_only_with_a_version(
    manifold: gd.Manifold, expected: str
) -> None:
    """Golden digests, of whatever processor: where they change, raise `Mean.version` with them."""
    rng = np.random.default_rng(5)
    x = (rng.integers(-99, 100, (700, 19)) / 512).astype(np.float32)
    weights, sums = rng.integers(0, 4, 700).astype(np.float64), no_sums(manifold)
    p = np.eye(19)[0] * (1.0 if isinstance(manifold, gd.Sphere) else 0.5)
    add_logs(manifold, p, x, weights, sums)
    assert sums.sum(0)[-2] == 0
    assert blake2b(sums.tobytes(), digest_size=20).hexdigest() == expected


def test_sums_of_slices_lose_nothing() -> None:
    rng = np.random.default_rng(0)
    parts = [np.stack([rng.normal(0, 10.0**k, 8), rng.normal(0, 1e-20, 8)]) for k in range(-8, 8)]
    parts += [-part for part in parts]
    assert abs(merged(parts).sum(0)).max() < 1e-20


# --- the run --------------------------------------------------------------------------------------


@pytest.fixture
def many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts thousands of rows into several tasks of 1024."""
    monkeypatch.setattr("geodask.ops.frechet.TASK_BYTES", 8 * 1024 * 6)


@pytest.mark.usefixtures("many_tasks")
def test_chunks_threads_memory_and_executors_give_the_same_bytes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    manifold = gd.Sphere(6)
    x = cloud(manifold, 5003).astype(np.float32)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    weights = np.random.default_rng(3).random(5003)
    runs = [gd.mean(gd.points(x, manifold), weights=weights).compute()]
    assert runs[0].report.blocks_computed > 15
    for number, chunk in enumerate((1, 97, 1009, 5003)):
        if chunk > 1:
            zarr.create_array(tmp_path / f"{chunk}.zarr", data=x, chunks=(chunk, 5))
        source = tmp_path / f"{chunk}.zarr" if chunk > 1 else x
        with dask.config.set(
            {
                "geodask.threads": 1 + number,
                "geodask.memory-per-task": "4MiB" if number % 2 else None,
            }
        ):
            runs.append(gd.mean(gd.points(source, manifold), weights=weights).compute())
    request.getfixturevalue("client")
    runs.append(gd.mean(gd.points(x, manifold), weights=weights).persist())
    assert not runs[-1].report.cache_hit
    assert len({run.point.tobytes() for run in runs}) == 1
    assert len({(run.variance, run.gradient_norm, run.iterations) for run in runs}) == 1


def test_a_stored_mean_is_found_and_everything_is_in_its_name(store: Path) -> None:
    manifold = gd.PoincareBall(3)
    x = gd.points(cloud(manifold, 100), manifold)
    first = gd.mean(x).persist()
    again = gd.mean(x).persist()
    assert again.report.cache_hit
    assert again.point.tobytes() == first.point.tobytes()
    assert "converged" in repr(again)
    options = (
        {"weights": np.arange(100.0)},
        {"weights": np.arange(1.0, 101.0)},
        {"start": np.zeros(3)},
        {"start": np.full(3, 0.1)},
        {"tol": 1e-3},
        {"max_iterations": 7},
    )
    keys = {gd.mean(x, **each).persist().report.key for each in options}
    assert len(keys | {first.report.key}) == 7
    assert sorted(path.name for path in Path(first.report.url).iterdir()) == [
        *("converged", "gradient_norm", "iterations", "point", "unique", "variance", "zarr.json")
    ]


def test_explain_speaks_of_a_step() -> None:
    manifold = gd.Sphere(6)
    plan = gd.mean(gd.points(cloud(manifold, 1000), manifold), max_iterations=20)
    told = plan.explain()
    assert (told.rows, told.steps, told.panels, told.stored) == (1000, 21, 1, 0)
    assert told.bytes_read == 1000 * 6 * 8
    assert "at most 21 steps" in repr(told)
    plan.persist()
    assert plan.explain().hit
    with dask.config.set({"geodask.memory-per-task": 1000}):
        assert plan.explain().hit
        with pytest.raises(gd.MemoryPlanError, match="A task of mean needs"):
            gd.mean(plan.inputs[0], tol=1e-5).compute()


@pytest.mark.usefixtures("many_tasks")
@pytest.mark.parametrize("at", ["partial", "step"])
def test_a_run_that_stops_goes_on_in_its_step(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    manifold = gd.PoincareBall(6)
    x = gd.points(cloud(manifold, 6000), manifold)
    expected = gd.mean(x).compute()
    monkeypatch.setattr("geodask.engine.marks.MARK_SECONDS", 0.0)
    calls, limit = [0], 9 if at == "partial" else 2
    work = getattr(Mean, at)

    def stop(self: Mean, *arguments: object) -> np.ndarray:
        calls[0] += 1
        if calls[0] > limit:
            raise KeyboardInterrupt
        return work(self, *arguments)

    with monkeypatch.context() as patch, dask.config.set({"geodask.threads": 1}):
        patch.setattr(Mean, at, stop)
        with pytest.raises(KeyboardInterrupt):
            gd.mean(x).persist()
    found = gd.mean(x).persist()
    assert found.report.blocks_stored > 6
    assert found.report.blocks_computed < expected.report.blocks_computed
    assert found.point.tobytes() == expected.point.tobytes()
    assert found.iterations == expected.iterations


@pytest.mark.usefixtures("many_tasks")
def test_a_damaged_state_is_computed_again(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    manifold = gd.PoincareBall(6)
    x = gd.points(cloud(manifold, 3000), manifold)
    expected = gd.mean(x).compute()
    with monkeypatch.context() as patch:

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Mean, "conclude", stop)
        with pytest.raises(KeyboardInterrupt):
            gd.mean(x).persist()
    states = sorted(next(store.glob("mean-*")).glob("states/c/*/0"))
    states[-1].write_bytes(states[0].read_bytes())
    found = gd.mean(x).persist()
    assert found.point.tobytes() == expected.point.tobytes()
    assert 0 < found.report.blocks_computed < expected.report.blocks_computed


CHILD = """
import time
import geodask as gd
import geodask.ops.frechet as frechet

frechet.TASK_BYTES = 8 * 1024 * 6
partial = frechet.Mean.partial

def slow(self, *arguments):
    time.sleep(0.2)
    return partial(self, *arguments)

frechet.Mean.partial = slow
manifold = gd.PoincareBall(6)
gd.mean(gd.points(manifold.random(6000, seed=0), manifold)).persist()
"""


@pytest.mark.usefixtures("many_tasks")
def test_a_killed_run_goes_on_elsewhere_to_the_same_bytes(store: Path, tmp_path: Path) -> None:
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    start_and_kill(script, store, of="mean", at=2)  # the start, and something of the first step
    manifold = gd.PoincareBall(6)
    x = gd.points(cloud(manifold, 6000), manifold)
    found = gd.mean(x).persist()
    expected = gd.mean(x).compute()
    assert found.report.blocks_stored > 0
    assert found.point.tobytes() == expected.point.tobytes()
