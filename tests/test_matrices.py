"""Batches of small matrices: closed forms and compiled loops against arithmetic of many digits."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch
from mpmath import mp, mpf

import geodask as gd
from geodask.arrays import closed, lapack, matrices, pencils, threads
from geodask.arrays.common_axes import logs_between, steps_between
from geodask.arrays.decimals import decimals
from geodask.arrays.matrices import (
    carried,
    cholesky,
    congruent,
    eigh,
    eigvalsh,
    lower_inverse,
    solved,
    spanned,
    transpose,
)

ROUNDING = 2.0**-52


def even(x: np.ndarray) -> np.ndarray:
    return (x + transpose(x)) / 2


def with_spectra(spectra: Any, count: int, seed: int = 0) -> np.ndarray:
    """Matrices in random axes: (count, n, n)."""
    spectra = np.asarray(spectra, float)
    normal = np.random.default_rng(seed).standard_normal((count, *spectra.shape[-1:] * 2))
    axes = np.linalg.qr(normal)[0]
    return even((axes * spectra[..., None, :]) @ transpose(axes))


def graded(n: int, count: int) -> np.ndarray:
    """Rows and columns of very different size, otherwise well-conditioned."""
    rng = np.random.default_rng(1)
    sizes = 10.0 ** rng.uniform(-12, 0, (count, n))
    near = np.eye(n) + even(np.tril(rng.uniform(-0.3, 0.3, (count, n, n)), -1))
    return near * sizes[:, :, None] * sizes[:, None, :]


def exact(x: np.ndarray) -> list[list[Any]]:
    """Eigenvalues of each, the least first, to 60 digits."""
    with mp.workdps(60):
        return [sorted(mp.eigsy(mp.matrix(a.tolist()), eigvals_only=True)) for a in x]


def errors(found: np.ndarray, true: list[list[Any]]) -> tuple[float, float]:
    """The largest error of an eigenvalue: as a share of itself, and of the largest beside it."""
    own, whole = 0.0, 0.0
    for values, expected in zip(found, true, strict=True):
        top = max(abs(t) for t in expected)
        for value, t in zip(values, expected, strict=True):
            gap = abs(mpf(float(value)) - t)
            own = max(own, float(gap / abs(t)) if t else 0.0)
            whole = max(whole, float(gap / top))
    return own, whole


SPECTRA = {
    **{f"condition {c:.0e}": (1, c**-0.3, 1 / c) for c in (1e2, 1e6, 1e12, 1e15)},
    **{f"apart {d:.0e}": (1 + d, 1, 1 - d) for d in (1e-15, 1e-12, 1e-8, 1e-4)},
    "equal": (1, 1, 1),
    "two equal": (1, 1, 1e-12),
    "two equal, small": (1, 1e-12, 1e-12),
    "of both signs": (1, -0.5, 1e-9),
    "opposite": (1, 0, -1),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("n", [2, 3])
def test_closed_forms_are_right(n: int, name: str) -> None:
    x = with_spectra(np.array(SPECTRA[name])[[0, -1] if n == 2 else [0, 1, 2]], 20)
    values, axes = eigh(x)
    own, whole = errors(values, exact(x))
    assert whole <= 2 * ROUNDING
    assert n == 3 or own <= 2 * ROUNDING
    assert_diagonal(x, values, axes, 8 * ROUNDING)


@pytest.mark.parametrize("n", [2, 3])
def test_closed_forms_keep_the_digits_that_the_entries_determine(n: int) -> None:
    x = graded(n, 60)
    own, _ = errors(eigvalsh(x), exact(x))
    assert own <= 4 * ROUNDING
    assert errors(np.linalg.eigvalsh(x), exact(x))[0] > (1e-3 if n == 3 else 0)


def assert_diagonal(x: np.ndarray, values: np.ndarray, axes: np.ndarray, within: float) -> None:
    """Whether the axes are orthonormal, and turn the matrices into their eigenvalues."""
    top = np.abs(values).max(axis=1)
    scale = np.where(top > 0, top, 1)[:, None, None]
    back = axes @ ((values[..., None] / scale) * transpose(axes)) - x / scale
    assert np.abs(back).max() <= within
    assert np.abs(transpose(axes) @ axes - np.eye(x.shape[-1])).max() <= within
    assert (np.diff(values, axis=1) >= 0).all()


@pytest.mark.parametrize("n", [2, 3])
def test_closed_forms_have_the_same_bytes_everywhere(n: int) -> None:
    spectra = [spectrum[:n] for spectrum in SPECTRA.values()]
    rows = [*(with_spectra(spectrum, 5) for spectrum in spectra), graded(n, 9), np.zeros((1, n, n))]
    rows += [graded(n, 3) * scale for scale in (1e-310, 1e-200, 1e150, 1e300)]
    x = np.concatenate(rows)
    found = [eigh(x), eigh(torch.tensor(x)), eigh(array_api_strict.asarray(x)), closed.eigh(x)]
    for values, axes in found[1:]:
        assert np.array_equal(np.asarray(values), found[0][0])
        assert np.array_equal(np.asarray(axes), found[0][1])


# --- the compiled loops ---------------------------------------------------------------------------


def hard(n: int) -> dict[str, np.ndarray]:
    """Matrices at which eigenvalue algorithms have stumbled."""
    rng = np.random.default_rng(n)
    x = rng.standard_normal((17, n, n))
    ramp = np.arange(n)
    wide, sizes = (10.0 ** -rng.uniform(0, 150, (17, *shape)) for shape in ((n, n), (n,)))
    wilkinson = np.diag(abs(ramp - (n - 1) / 2)) + np.eye(n, k=1) + np.eye(n, k=-1)
    return {
        "normal": even(x),
        "rank 1": x[:, :, :1] @ transpose(x[:, :, :1]),
        "graded": with_spectra(10.0 ** (-2.0 * ramp), 17),
        "clustered": with_spectra(1 + 1e-15 * ramp, 17),
        "two values": with_spectra(np.where(ramp < n // 2, 1, -1), 17),
        "scaled": even(x @ transpose(x)) * sizes[:, :, None] * sizes[:, None, :],
        "scaled up": even(x @ transpose(x)) * 10.0 ** (-9.0 * (ramp[::-1] + ramp[::-1, None])),
        "wild": np.tril(x * wide) + transpose(np.tril(x * wide, -1)),
        "whole": np.sign(np.tril(x.round())) + transpose(np.sign(np.tril(x.round(), -1))),
        "sparse": even(np.where(abs(x) > 1.5, x, 0)),
        "Wilkinson": wilkinson[None],
        "diagonal": x * np.eye(n),
        "zero": np.zeros((1, n, n)),
        "ones": np.ones((1, n, n)),
        "huge": even(x) * 1e306,
        "tiny": even(x) * 1e-290,
    }


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 16, 33])
def test_eigenvalues_are_as_right_as_those_of_lapack(n: int) -> None:
    for name, x in hard(n).items():
        values, axes = eigh(x)
        assert_diagonal(x, values, axes, 2 * (n + 8) * ROUNDING)
        assert np.array_equal(eigvalsh(x), values), name
        top = np.abs(x).max(axis=(1, 2), keepdims=True)
        top = np.where(top > 0, top, 1)
        known = np.linalg.eigvalsh(x / top)
        gap = np.abs(values / top[..., 0] - known).max(axis=1)
        assert (gap <= 2 * (n + 8) * ROUNDING * np.abs(known).max(axis=1)).all(), name


@pytest.mark.parametrize("n", [4, 7])
def test_eigenvalues_are_right(n: int) -> None:
    for x in (with_spectra(np.logspace(0, -12, n), 9), hard(n)["normal"], hard(n)["clustered"]):
        assert errors(eigvalsh(x), exact(x))[1] <= 8 * ROUNDING


def pairs(n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Positive definite matrices, and symmetric ones."""
    rng = np.random.default_rng(n)
    spectra = np.exp(rng.uniform(-4, 4, (count, n)))
    return with_spectra(spectra, count), even(rng.standard_normal((count, n, n)))


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "eigenvalues": lambda p, u: eigvalsh(u),
    "axes": lambda p, u: eigh(u)[1],
    "Cholesky factors": lambda p, u: cholesky(p),
    "inverses": lambda p, u: lower_inverse(cholesky(p)),
    "carried": lambda p, u: carried(cholesky(p), u),
    "congruent": lambda p, u: congruent(p, u),
    "spanned": lambda p, u: spanned(p, u[..., 0, :]),
    "solved": lambda p, u: solved(cholesky(p), u),
    "steps": lambda p, u: steps_between(p, p + u / 512)[0],
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
every_side = pytest.mark.parametrize("n", [1, 2, 3, 6, 17, 65])


@every_side
def test_factors_are_right(n: int) -> None:
    p, u = pairs(n, 11)
    low = cholesky(p)
    assert np.allclose(low, np.linalg.cholesky(p), rtol=0, atol=1e-13 * np.abs(low).max())
    inverse = lower_inverse(low)
    assert (np.triu(low, 1) == 0).all()
    assert np.allclose(inverse @ low, np.eye(n), rtol=0, atol=1e-13)
    expected = np.linalg.solve(low, transpose(np.linalg.solve(low, u)))
    for inside in (carried(low, u), congruent(inverse, u)):
        assert np.allclose(inside, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
        assert np.array_equal(inside, transpose(inside))
    assert np.allclose(congruent(low, u), low @ u @ transpose(low), rtol=0, atol=1e-11)
    assert np.allclose(spanned(*eigh(p)[::-1]), p, rtol=0, atol=1e-13 * np.abs(p).max())
    full = np.random.default_rng(0).standard_normal(p.shape)
    assert np.allclose(solved(low, full), np.linalg.solve(low, full), rtol=0, atol=1e-12)
    values = np.linalg.eigvals(np.linalg.solve(p, u / 512)).real
    logs = np.log1p(np.sort(values))
    assert np.allclose(logs_between(p, p + u / 512), logs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("n", [2, 5, 65])
def test_logarithms_between_the_ends_of_float64(n: int) -> None:
    p, u = pairs(n, 11)
    q = p + u / 512
    found = logs_between(2.0**-1000 * p, 2.0**1000 * q) - 2000 * math.log(2)
    assert np.allclose(found, logs_between(p, q), rtol=0, atol=1e-12)


@every_function
@every_side
def test_a_row_is_the_same_in_every_batch(
    function: Callable, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, u = pairs(n, 21)
    whole = function(p, u)
    for start, stop in ((0, 1), (3, 4), (5, 14), (20, 21), (7, 7)):
        assert np.array_equal(function(p[start:stop], u[start:stop]), whole[start:stop])
    grid = function(p[:20].reshape(4, 5, n, n), u[:20].reshape(4, 5, n, n))
    assert np.array_equal(grid.reshape(20, *grid.shape[2:]), whole[:20])
    monkeypatch.setattr(threads, "SHARE", 1)
    assert np.array_equal(function(p, u), whole)


@every_function
def test_torch_has_the_same_bytes_on_the_host(function: Callable) -> None:
    p, u = pairs(5, 9)
    found = function(torch.tensor(p), torch.tensor(u))
    assert isinstance(found, torch.Tensor)
    assert np.array_equal(found.numpy(), function(p, u))
    single = function(torch.tensor(p, dtype=torch.float32), torch.tensor(u, dtype=torch.float32))
    assert single.dtype == torch.float32


def test_small_matrices_keep_their_dtype_elsewhere() -> None:
    x = array_api_strict.asarray(graded(3, 4), dtype=array_api_strict.float32)
    assert [part.dtype for part in eigh(x)] == [array_api_strict.float32] * 2


@every_function
def test_libraries_agree(function: Callable) -> None:
    for n in (2, 3, 5):
        p, u = pairs(n, 9)
        found = np.asarray(function(*(array_api_strict.asarray(x) for x in (p, u))))
        known = function(p, u)
        if found.shape == p.shape and n == 5:  # axes have either sign
            found, known = abs(found), abs(known)
        assert np.allclose(found, known, rtol=1e-12, atol=1e-12 * np.abs(known).max())


@every_function
@pytest.mark.parametrize("n", [1, 2, 3, 6, 65])
def test_a_row_without_an_answer_is_no_number(function: Callable, n: int) -> None:
    p, u = pairs(n, 11)
    whole = function(p, u)
    p[4, -1, 0] = p[4, 0, -1] = u[4, -1, 0] = u[4, 0, -1] = math.nan
    found, others = function(p, u), np.arange(11) != 4
    assert np.array_equal(found[others], whole[others])
    assert not np.isfinite(found[4]).all()


@every_side
def test_a_matrix_that_is_not_finite_has_no_eigenvalues(n: int) -> None:
    for wrong in (math.inf, -math.inf, math.nan):
        x = np.ones((3, n, n))
        x[1, -1, 0] = wrong
        values, axes = eigh(x)
        assert np.isnan(values[1]).all()
        assert np.isnan(axes[1]).any()
        assert np.isfinite(values[[0, 2]]).all()


def test_what_is_not_positive_definite_has_no_factor() -> None:
    for n in (1, 4, 65):
        p, u = pairs(n, 9)
        p[5] = -p[5]
        assert np.isnan(cholesky(p)[5]).any()
        assert np.isfinite(cholesky(p)[:5]).all()
        found = gd.SPDAffineInvariant(n).dist(p, p + u / 512)
        assert np.flatnonzero(np.isnan(found)).tolist() == [5]


def test_one_matrix_serves_against_many() -> None:
    p, u = pairs(4, 10)
    low = cholesky(p)
    assert np.array_equal(carried(low[0], u), carried(np.broadcast_to(low[:1], u.shape), u))
    assert carried(low[:, None], u[None, :7]).shape == (10, 7, 4, 4)
    assert np.array_equal(congruent(low[:, None], u[None])[2, 3], congruent(low[2], u[3]))


# --- pairs ----------------------------------------------------------------------------------------


def test_pairs_by_compiled_loops_are_those_by_arrays() -> None:
    for n in (1, 2, 3, 6):
        on = gd.SPDAffineInvariant(n)
        x, y = pairs(n, 30)[0], pairs(n, 30)[0][::-1] * np.exp(np.arange(30) / 10)[:, None, None]
        y[:5] = x[:5]
        a, b = on.features(x), on.features(y)
        rows, others = np.indices((30, 30)).reshape(2, -1)
        found = pencils.pair_logs(a, rows, b, others)
        taken = (pencils.Sides(*(part[at] for part in s)) for s, at in ((a, rows), (b, others)))
        known = pencils._by_arrays(*taken)
        assert np.allclose(found, known, rtol=1e-12, atol=1e-12 * np.abs(known).max())
        assert (found[rows == others][:5] == 0).all()
        assert np.array_equal(found, pencils.pair_logs(b, others, a, rows))


@pytest.mark.parametrize("condition", [1e1, 1e6, 1e10])
@pytest.mark.parametrize("n", [2, 3, 16])
def test_ranks_are_within_their_bound(n: int, condition: float) -> None:
    """Of pairs that are close and of others, ill-conditioned, against Decimals."""
    on, rng = gd.SPDAffineInvariant(n), np.random.default_rng(3)
    p = with_spectra(np.exp(rng.uniform(0, np.log(condition), (4, n))), 4)
    q = on.canonical(on.exp(p, on.random_tangent(p, 1) * np.logspace(-8, -1, 4)[:, None, None]))
    ranks = on.rank(p, q)
    with localcontext() as context:
        context.prec = 60
        true = [on.exact_rank(decimals(a), decimals(b)) for a, b in zip(p, q, strict=True)]
        gaps = [float(abs(Decimal(r) - t)) for r, t in zip(ranks.tolist(), true, strict=True)]
    assert (np.array(gaps) <= on.rank_bound(ranks, p, q)).all()


@pytest.mark.parametrize("scale", [1.0, 1e12])
def test_ranks_of_unlike_matrices_are_those_of_distances(scale: float) -> None:
    """Ill-conditioned in other axes each, and in other units: against Decimals."""
    on, rng = gd.SPDAffineInvariant(4), np.random.default_rng(0)
    p, q = (with_spectra(10.0 ** rng.uniform(-8, 0, (6, 4)), 6, seed) for seed in (1, 2))
    q = scale * q
    ranks = on.rank(p, q)
    assert np.allclose(ranks, on.dist(p, q) ** 2, rtol=1e-13)
    with localcontext() as context:
        context.prec = 60
        true = [on.exact_rank(decimals(a), decimals(b)) for a, b in zip(p, q, strict=True)]
    assert np.allclose(ranks, np.array(true, float), rtol=1e-8)


SLICED = [
    *(gd.SPDAffineInvariant(3), gd.SPDLogEuclidean(3), gd.Simplex(9)),
    *(gd.Rotations(3), gd.Rotations(4), gd.Grassmann(5, 2), gd.StiefelCanonical(4, 2)),
]


@pytest.mark.parametrize("on", SLICED, ids=str)
def test_slices_change_no_byte(on: gd.Manifold, monkeypatch: pytest.MonkeyPatch) -> None:
    p, q = on.random(40, 0), on.random(40, 1)
    u = on.log(p, q) / 8
    one = p[0]
    calls = {
        **dict.fromkeys(("dist", "log", "midpoint"), (p, q)),
        "exp": (p, u),
        "transport": (p, q, u),
    }
    others = {"dist": (p[:, None], q[None, :6]), "log": (one, q), "exp": (one[None], u)}
    whole = [getattr(on, name)(*given) for name, given in (*calls.items(), *others.items())]
    monkeypatch.setattr(threads, "SLICE", 7 * on.size)
    monkeypatch.setattr(threads, "SHARE", 14 * on.size)
    for (name, given), expected in zip((*calls.items(), *others.items()), whole, strict=True):
        assert np.array_equal(getattr(on, name)(*given), expected, equal_nan=True), name
        if on.size == 9 and name in calls:
            found = getattr(on, name)(*(torch.tensor(x) for x in given))
            assert np.allclose(found.numpy(), expected, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert on.dist(p[:0], q[:0]).shape == (0,)


def test_slices_heed_what_numpy_is_told_to_warn_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "SLICE", 8)
    monkeypatch.setattr(threads, "SHARE", 8)
    p = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    with np.errstate(all="ignore"):
        assert np.isnan(gd.Simplex(4).dist(-p, p)).all()
    with pytest.warns(RuntimeWarning):
        gd.Simplex(4).dist(-p, p)


def test_large_matrices_go_by_lapack(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(lapack, "decompose", lambda *given: seen.append(len(given)))
    eigvalsh(np.eye(matrices.LARGEST)[None])
    assert not seen
    eigvalsh(np.eye(matrices.LARGEST + 1)[None])
    assert seen == [3]
