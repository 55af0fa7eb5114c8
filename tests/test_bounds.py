"""Adversaries of the surrogates' bounds, and proof that each term of a bound is needed.

The contract: with S a product as the processor gives it and s the score in real arithmetic,
-(slack + below) <= S - s <= slack + above, and no pair of a rank has a score under `score(rank)`.
A product in bfloat16 on the host was rounded once more, which the selection allows for.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import brute
import geodask as gd
from geodask.arrays.device import Place
from geodask.arrays.product import HostProduct, device_product, has_bfloat16, precision_for
from geodask.arrays.threads import one_thread_each
from geodask.kernels import scan
from geodask.kernels.nearest import HostNearest
from geodask.manifolds import Euclidean, Sphere, euclidean, sphere
from geodask.manifolds.base import BEYOND, Queries, Targets, rows_of
from neighbours import KERNELS, RUNNABLE, TORCH, Question, answer, assert_right, cut, needs_bfloat16

Patch = tuple[Any, str, Any]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As in a task: on shared cores two threads a product are slower, not faster."""
    with one_thread_each():
        yield


# --- the contract -------------------------------------------------------------------------------


class Surrogate(NamedTuple):
    """Both sides of a surrogate, their products S, and what a rounded product may be off by."""

    label: str
    queries: Queries
    targets: Targets
    products: np.ndarray
    share: float


def surrogates(
    manifold: gd.Manifold,
    x: np.ndarray,
    y: np.ndarray,
    precision: str,
    making: tuple[Callable[[], Any], Callable[[], Any]] = (nullcontext, nullcontext),
) -> Iterator[Surrogate]:
    """The surrogate as each kernel computes it; its two sides are made in these contexts."""
    for label in ("host-torch", "host-numpy") if precision == "float32" else ("host-torch",):
        if precision == "bfloat16" and not has_bfloat16(TORCH):
            continue
        queries, targets = sides(manifold, x, y, precision, making)
        multiply = HostProduct(label[5:], precision, (len(x), len(y)))
        found, share = multiply(queries.operand, targets.operand), 0.0
        if precision == "bfloat16":
            found, share = (found.astype(np.uint32) << 16).view(np.float32), scan.ROUNDOFF
        yield Surrogate(label, queries, targets, found.astype(np.float64), share)
    tensors = torch.from_numpy(x.copy()), torch.from_numpy(y.copy())
    queries, targets = sides(manifold, *tensors, precision, making)
    found = device_product(queries.operand, targets.operand).double().numpy()
    yield Surrogate("device", queries, targets, found, 0.0)


def sides(
    manifold: gd.Manifold, x: Any, y: Any, precision: str, making: tuple[Any, Any]
) -> tuple[Queries, Targets]:
    with making[0]():
        queries = manifold.queries(rows_of(manifold, x), precision)
    with making[1]():
        return queries, manifold.targets(rows_of(manifold, y), queries.frame, precision)


def scores_of(manifold: gd.Manifold, x: np.ndarray, y: np.ndarray, queries: Queries) -> Any:
    frame = queries.frame or SimpleNamespace(centre=np.zeros(manifold.n), scale=1.0)
    name = type(manifold).__name__
    return brute.exact_scores(name, x, y, np.asarray(frame.centre), frame.scale)


def broken(on: Surrogate, scores: list[list[Decimal]]) -> tuple[int, float]:
    """How many pairs break the contract; and the largest share of the bound that was used."""
    slack, above = (np.asarray(each).tolist() for each in (on.queries.slack, on.targets.above))
    beyond = set(np.asarray(on.targets.beyond).tolist())
    count, used = 0, 0.0
    with localcontext() as context:
        context.prec = brute.DIGITS
        for i, row in enumerate(scores):
            for j, score in enumerate(row):
                product = float(on.products[i, j])
                if j in beyond:
                    assert product == BEYOND
                    continue
                error = Decimal(product) - score
                rounding = Decimal(on.share) * abs(Decimal(product))
                upper = Decimal(slack[i]) + Decimal(above[j]) + rounding
                lower = Decimal(slack[i]) + Decimal(on.targets.below) + rounding
                count += not -lower <= error <= upper
                bound = upper if error > 0 else lower
                used = max(used, float(abs(error) / bound) if bound else 0.0)
    return count, used


def assert_contract(manifold: gd.Manifold, x: np.ndarray, y: np.ndarray, precision: str) -> float:
    """Checks every surrogate of a precision; returns how much of the bound was used."""
    most = 0.0
    for on in surrogates(manifold, x, y, precision):
        count, used = broken(on, scores_of(manifold, x, y, on.queries))
        assert count == 0, f"{on.label}: {count} pairs, {used} of the bound"
        assert np.isfinite(np.asarray(on.queries.slack)).all()
        most = max(most, used)
    return most


def assert_score(manifold: gd.Manifold, x: np.ndarray, y: np.ndarray) -> None:
    """No pair of at most some rank has, in real arithmetic, a score under `score` of that rank."""
    queries = manifold.queries(rows_of(manifold, x), "float32")
    scores = scores_of(manifold, x, y, queries)
    ranks = brute.ranks(type(manifold).__name__, x, y)
    with np.errstate(over="ignore"):
        for held in ranks.T:
            floors = manifold.score(held, queries).tolist()
            for i, j in np.argwhere(ranks <= held[:, None]):
                assert floors[i] == -math.inf or scores[i][j] >= Decimal(floors[i])


# --- adversaries --------------------------------------------------------------------------------


def snapped(n: int, bits: int, rows: int, seed: int) -> np.ndarray:
    """Unit vectors whose coordinates lie just beside a rounding tie, all on the same side.

    So every coordinate loses nearly half a unit of its last place, in the same direction.
    """
    rng = np.random.default_rng(seed)
    found = []
    for i in range(rows):
        x = np.abs(rng.standard_normal(n)) + 0.2
        x /= 1.01 * np.linalg.norm(x)
        unit = 2.0 ** (np.frexp(x)[1] - bits)
        x = np.floor(x / unit) * unit + (0.5 + (-1) ** i * 1e-4) * unit
        x[0] = math.sqrt(1 - math.fsum(x[1:] ** 2))
        found += [x, -x]
    return np.array(found)


def graded(depth: int, rows: int, seed: int) -> np.ndarray:
    """Powers of two whose squares sum to 1 exactly, shuffled, with any signs: nothing is rounded
    but sums, which lose their small terms to the big ones."""
    rng = np.random.default_rng(seed)
    x = np.array([2.0**-j for j in range(1, depth) for _ in range(3)] + [2.0 ** (1 - depth)])
    assert math.fsum(x * x) == 1
    some = [rng.permutation(x) * rng.choice([-1, 1], len(x)) for _ in range(rows - 1)]
    return np.concatenate([[x], some, [-x], np.negative(some)])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def spread(*shape: int, decades: int, seed: int) -> np.ndarray:
    """Coordinates of very different sizes and any sign."""
    exponents = np.random.default_rng(seed).integers(-decades, 1, shape)
    return normal(*shape, seed=seed) * 10.0**exponents


def unit(x: np.ndarray) -> np.ndarray:
    return gd.Sphere(x.shape[1]).project(x)


def outliers(rows: int, seed: int) -> np.ndarray:
    x = normal(rows, 6, seed=seed)
    x[3:8] *= np.array([1e30, 1e12, 2.0**29, 1e149, 1e-200])[:, None]
    return x


def antipodal() -> tuple[np.ndarray, np.ndarray]:
    p = unit(normal(9, 12))
    q = -unit(p[np.arange(24) % 9] + 1e-9 * normal(24, 12, seed=1))
    return p, np.concatenate([q, -p, p])


def constant(x: np.ndarray) -> np.ndarray:
    x[:, 1:] = 7.7
    return x


def flat(size: float) -> Callable[[], tuple[str, np.ndarray, np.ndarray]]:
    return lambda: ("Euclidean", size * normal(9, 6), size * normal(24, 6, seed=1))


ADVERSARIES: dict[str, Callable[[], tuple[str, np.ndarray, np.ndarray]]] = {
    "sphere, bfloat16 ties": lambda: ("Sphere", snapped(16, 8, 5, 0), snapped(16, 8, 9, 0)),
    "sphere, float32 ties": lambda: ("Sphere", snapped(16, 24, 5, 0), snapped(16, 24, 9, 0)),
    "sphere, ties, 2 columns": lambda: ("Sphere", snapped(2, 8, 5, 0), snapped(2, 8, 9, 0)),
    "flat, bfloat16 ties": lambda: ("Euclidean", snapped(16, 8, 5, 0), snapped(16, 8, 9, 0)),
    "flat, float32 ties": lambda: ("Euclidean", snapped(16, 24, 5, 0), snapped(16, 24, 9, 0)),
    "flat, ties, farther": lambda: ("Euclidean", snapped(16, 8, 5, 0), 9 * snapped(16, 8, 9, 0)),
    "sphere, sums": lambda: ("Sphere", graded(14, 5, 1), graded(14, 9, 1)),
    "flat, sums": lambda: ("Euclidean", graded(14, 5, 1), graded(14, 9, 1)),
    "flat, sums, farther": lambda: ("Euclidean", graded(14, 5, 1), 2.0**9 * graded(14, 9, 1)),
    "sphere, big and small": lambda: (
        "Sphere",
        unit(spread(9, 300, decades=12, seed=2)),
        unit(spread(24, 300, decades=12, seed=3)),
    ),
    "flat, big and small": lambda: (
        "Euclidean",
        spread(9, 300, decades=12, seed=2),
        spread(24, 300, decades=12, seed=3),
    ),
    "sphere, denormals": lambda: (
        "Sphere",
        unit(spread(9, 40, decades=50, seed=4)),
        unit(spread(24, 40, decades=50, seed=5)),
    ),
    "flat, denormals": lambda: (
        "Euclidean",
        spread(9, 40, decades=50, seed=4),
        spread(24, 40, decades=50, seed=5),
    ),
    "sphere, antipodes": lambda: ("Sphere", *antipodal()),
    "flat, 1e149": flat(1e149),
    "flat, 1e-154": flat(1e-154),
    "flat, 1e-160": flat(1e-160),
    "flat, 1e-162": flat(1e-162),
    "flat, 1e-310": flat(1e-310),
    "flat, 1e-323": flat(1e-323),
    "flat, outliers ask": lambda: ("Euclidean", outliers(9, 6), outliers(24, 7)),
    "flat, outliers": lambda: ("Euclidean", normal(9, 6), outliers(24, 7)),
    "flat, outliers of tiny rows": lambda: ("Euclidean", 1e-160 * normal(9, 6), outliers(24, 7)),
    "flat, all far": lambda: ("Euclidean", normal(9, 6), 1e12 + normal(24, 6, seed=1)),
    "flat, far": lambda: ("Euclidean", normal(9, 6), 1e5 + normal(24, 6, seed=1)),
    "flat, offset": lambda: (
        "Euclidean",
        1e6 + 1e-3 * normal(9, 6),
        1e6 + 1e-3 * normal(24, 6, seed=1),
    ),
    "flat, offset in float32": lambda: (
        "Euclidean",
        (1e6 + normal(9, 6)).astype(np.float32),
        (1e6 + normal(24, 6, seed=1)).astype(np.float32),
    ),
    "flat, constant columns": lambda: (
        "Euclidean",
        constant(normal(9, 6)),
        constant(normal(24, 6, seed=1)),
    ),
    "flat, almost equal rows ask": lambda: (
        "Euclidean",
        1 + 1e-13 * normal(9, 6),
        normal(24, 6, seed=1),
    ),
    "flat, rows at the far end": lambda: (
        "Euclidean",
        normal(9, 6),
        normal(24, 6, seed=1) * 2.0 ** np.arange(40, 64)[:, None],
    ),
    "flat, constant rows": lambda: ("Euclidean", np.full((9, 6), 3.3), normal(24, 6)),
    "flat, constant": lambda: ("Euclidean", np.full((9, 6), 3.3), np.full((24, 6), 3.3)),
    "flat, zeros": lambda: ("Euclidean", np.zeros((9, 6)), np.zeros((24, 6))),
    "flat, 1 column": lambda: ("Euclidean", normal(9, 1), normal(24, 1, seed=1)),
    "flat, 1 query": lambda: ("Euclidean", normal(1, 6), normal(24, 6, seed=1)),
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ADVERSARIES)
def test_the_contract_holds(name: str, precision: str) -> None:
    space, x, y = ADVERSARIES[name]()
    assert_contract(getattr(gd, space)(x.shape[1]), x, y, precision)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_no_pair_scores_below_the_score_of_its_rank(name: str) -> None:
    space, x, y = ADVERSARIES[name]()
    assert_score(getattr(gd, space)(x.shape[1]), x, y)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ADVERSARIES)
def test_no_row_is_wrong(name: str, kernel: Any) -> None:
    space, x, y = ADVERSARIES[name]()
    for k in (1, len(y) // 3):
        of = Question(space, x, y, k)
        assert_right(of, answer(of, kernel))
        assert_right(of, answer(of, kernel, cut(len(y), 5)))
    of = Question(space, y, None, 2)
    assert_right(of, answer(of, kernel))


@pytest.mark.parametrize(
    ("name", "precision", "least"),
    [
        ("sphere, bfloat16 ties", "bfloat16", 0.95),
        ("flat, bfloat16 ties", "bfloat16", 0.9),
        ("sphere, float32 ties", "float32", 0.05),
        ("flat, 1 column", "float32", 0.4),
    ],
)
def test_the_adversaries_come_close(name: str, precision: str, least: float) -> None:
    space, x, y = ADVERSARIES[name]()
    assert assert_contract(getattr(gd, space)(x.shape[1]), x, y, precision) > least


# --- settings of torch that would break the bounds ----------------------------------------------


def older(value: str) -> None:
    torch.set_float32_matmul_precision(value)


def newer(value: str) -> None:
    names = {"medium": "bf16", "highest": "none"}
    torch.backends.mkldnn.matmul.fp32_precision = names[value]


def newest(value: str) -> None:
    names = {"medium": "tf32", "highest": "none"}
    torch.backends.cuda.matmul.fp32_precision = names[value]


@pytest.mark.parametrize("setting", [older, newer, newest])
def test_products_in_float32_stay_so(setting: Callable[[str], None]) -> None:
    if setting is not older and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has the older setting only")
    setting("medium")
    try:
        for name in ("sphere, float32 ties", "flat, float32 ties"):
            space, x, y = ADVERSARIES[name]()
            manifold = getattr(gd, space)(x.shape[1])
            for on in surrogates(manifold, x, y, "float32"):
                # Tensors on the host are no device outside tests.
                if on.label != "device":
                    assert broken(on, scores_of(manifold, x, y, on.queries))[0] == 0
        if setting is newest:  # what the user has set is as it was
            assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        setting("highest")


@pytest.mark.parametrize("kernel", RUNNABLE, ids=str)
def test_almost_equal_queries_are_not_brute_force(kernel: Any) -> None:
    kind, place, precision = kernel
    x, y = 0.5 + 1e-12 * normal(64, 6), normal(8192, 6, seed=1)
    running = kind(gd.Euclidean(6), x, 3, place, precision)
    running.fold(y, 0)
    assert running.measured < 0.05 * running.pairs


def test_cupy_has_no_bfloat16() -> None:
    with pytest.raises(gd.DeviceError, match="cupy has no bfloat16"):
        precision_for(Place("cupy", "cuda"), "bfloat16")


# --- adversaries by search ----------------------------------------------------------------------

MANTISSAS = [1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-24, 1 + 2.0**-23, 1.5, 2 - 2.0**-52]


@st.composite
def rows(draw: st.DrawFn, n: int, exponents: st.SearchStrategy[int]) -> np.ndarray:
    """Rows of numbers at, just below and just above rounding ties; some rows come twice."""
    beside = st.sampled_from([0.0, 2.0**-50, -(2.0**-50), 2.0**-30, -(2.0**-30)])
    number = st.builds(
        lambda m, b, e, s: s * math.ldexp(m * (1 + b), e),
        st.sampled_from(MANTISSAS),
        beside,
        exponents,
        st.sampled_from([1.0, -1.0, 1.0, 0.0]),
    )
    found = draw(st.lists(st.lists(number, min_size=n, max_size=n), min_size=1, max_size=7))
    again = draw(st.lists(st.integers(0, len(found) - 1), max_size=2))
    return np.array(found + [found[i] for i in again])


NEAR = st.integers(-3, 3)
EXPONENTS = st.sampled_from([NEAR, st.integers(-40, 0), st.integers(-160, 0), st.integers(-30, 60)])
WILD = st.sampled_from([st.integers(-545, -520), st.integers(-1074, 400), st.integers(300, 490)])
SEARCH = settings(max_examples=150, deadline=None, derandomize=True, database=None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@SEARCH
@given(st.data(), st.integers(1, 11), EXPONENTS | WILD)
def test_search_in_flat_space(precision: str, data: Any, n: int, exponents: Any) -> None:
    x, y = data.draw(rows(n, exponents)), data.draw(rows(n, exponents))
    manifold = gd.Euclidean(n)
    assert_contract(manifold, x, y, precision)
    assert_score(manifold, x, y)
    of = Question("Euclidean", x, y, data.draw(st.integers(1, len(y))))
    for kernel in RUNNABLE:
        if kernel[2] == precision:
            assert_right(of, answer(of, kernel))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@SEARCH
@given(st.data(), st.integers(2, 11), EXPONENTS)
def test_search_on_the_sphere(precision: str, data: Any, n: int, exponents: Any) -> None:
    x, y = data.draw(rows(n, exponents)), data.draw(rows(n, exponents))
    assume(x.any(axis=1).all() and y.any(axis=1).all())
    x, y, manifold = unit(x), unit(np.concatenate([y, -x])), gd.Sphere(n)
    assert_contract(manifold, x, y, precision)
    assert_score(manifold, x, y)
    of = Question("Sphere", x, y, data.draw(st.integers(1, len(y))))
    for kernel in RUNNABLE:
        if kernel[2] == precision:
            assert_right(of, answer(of, kernel))


# --- every term is needed -----------------------------------------------------------------------


def none(*_: Any) -> float:
    """A bound of zero."""
    return 0.0


LOST = (sphere, "REACH", 0.0)
PRODUCT = (sphere, "product_error", none)
ANGLE = (Sphere, "_angle_error", 0.0)
SPHERE_FLUSHED = (sphere, "FLUSHED", 0.0)
SHARE = (euclidean, "_share", none)
FRAME = euclidean.Frame
FRAME_SHARE = (euclidean, "Frame", lambda *parts: FRAME(*parts[:3], 0.0))
GAMMA = (Euclidean, "_gamma", 0.0)
ROUNDING = (Euclidean, "_rounding", 0.0)
COLUMN = (euclidean, "COLUMN_LOSS", 0.0)
FLAT_FLUSHED = (euclidean, "FLUSHED", 0.0)
UNDERFLOW = (Euclidean, "_underflow", none)


@dataclass(frozen=True)
class Term:
    """A term of a bound, and an input on which the contract holds with it and not without it.

    Where larger terms would hide it, they are zero in both cases: ``apart``, on an input that does
    not need them. ``asking`` and ``searched`` say what is zero without the term, on either side;
    ``change`` does the same to what both sides have said.
    """

    space: str
    x: np.ndarray
    y: np.ndarray
    precision: str
    apart: tuple[Patch, ...] = ()
    asking: tuple[Patch, ...] = ()
    searched: tuple[Patch, ...] = ()
    change: Callable[[Queries, Targets], tuple[Queries, Targets]] = lambda q, t: (q, t)

    def broken(self, without: bool) -> list[int]:
        """Pairs that break the contract, for each product."""
        manifold = getattr(gd, self.space)(self.x.shape[1])
        asking = self.apart + (self.asking if without else ())
        searched = self.apart + (self.searched if without else ())
        made = surrogates(
            manifold,
            self.x,
            self.y,
            self.precision,
            (partial(zero, asking), partial(zero, searched)),
        )
        found = []
        for on in made:
            scores = scores_of(manifold, self.x, self.y, on.queries)
            queries, targets = on.queries, on.targets
            if without:
                queries, targets = self.change(queries, targets)
            found.append(broken(on._replace(queries=queries, targets=targets), scores)[0])
        return found


@contextmanager
def zero(terms: tuple[Patch, ...]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for where, name, value in terms:
            patch.setattr(where, name, value)
        yield


def no_share(queries: Queries, targets: Targets) -> tuple[Queries, Targets]:
    frame = queries.frame
    return queries._replace(slack=queries.slack - frame.share * frame.square / 2), targets


def with_below(queries: Queries, targets: Targets) -> tuple[Queries, Targets]:
    below = 2.0**-8 * float(queries.frame.square.max()) / 2
    return queries, targets._replace(below=below, above=targets.above + below)


TIES = (snapped(16, 8, 9, 0), snapped(16, 8, 9, 0), "bfloat16")
SUMS = (graded(14, 5, 1), graded(14, 9, 1))
TINY = 2.0**-75 * (1 + 2.0**-20)  # its square is not a float32
CUT = (1 + 2.0**-7) * np.array([[1.0, 2.0**-12], [-1.0, 2.0**-12]])  # nor its in 24 bits

TERMS = {
    "sphere: lost by queries": Term("Sphere", *TIES, asking=(LOST,)),
    "sphere: above": Term("Sphere", *TIES, change=lambda q, t: (q, t._replace(above=0 * t.above))),
    "sphere: below": Term("Sphere", *TIES, change=lambda q, t: (q, t._replace(below=0.0))),
    "sphere: product": Term("Sphere", *SUMS, "float32", asking=(PRODUCT,)),
    "sphere: canonical points": Term(
        "Sphere",
        np.array([[1.0, 2.0**-27]]),
        np.array([[1.0, 0.0]]),
        "float32",
        apart=(PRODUCT, SPHERE_FLUSHED),
        asking=(ANGLE,),
    ),
    "sphere: flushed": Term(
        "Sphere",
        np.array([[1.0, TINY, 0.0]]),
        np.array([[0.0, TINY, 1.0]]),
        "float32",
        apart=(PRODUCT, ANGLE),
        asking=(SPHERE_FLUSHED,),
    ),
    "flat: lost by queries": Term("Euclidean", *TIES, change=no_share),
    "flat: lost by queries, in the column": Term("Euclidean", *TIES, asking=(FRAME_SHARE,)),
    "flat: lost by targets, in the column": Term(
        "Euclidean", *TIES, searched=(SHARE,), change=with_below
    ),
    "flat: below": Term("Euclidean", *TIES, change=lambda q, t: (q, t._replace(below=0.0))),
    "flat: above": Term("Euclidean", *TIES, change=lambda q, t: (q, t._replace(above=0 * t.above))),
    "flat: product": Term("Euclidean", SUMS[0], 2.0**-12 * SUMS[1], "float32", asking=(GAMMA,)),
    "flat: product, in the column": Term(
        "Euclidean", SUMS[0], 2.0**12 * SUMS[1], "float32", apart=(COLUMN,), searched=(GAMMA,)
    ),
    "flat: three columns": Term(
        "Euclidean",
        np.array([[1.0, 0.0], [-1.0, 0.0]]),
        CUT,
        "bfloat16",
        apart=(GAMMA, ROUNDING),
        searched=(COLUMN,),
    ),
    "flat: flushed": Term(
        "Euclidean",
        np.array([[1.0, TINY, 0.0], [-1.0, -TINY, 0.0]]),
        np.array([[0.0, TINY, 2.0**-80]]),
        "float32",
        apart=(GAMMA, ROUNDING, COLUMN, SHARE),
        asking=(FLAT_FLUSHED,),
    ),
    "flat: rounded differences": Term(
        "Euclidean",
        np.array([[1.0], [2.0**-53 - 1]]),
        np.array([[1.0]]),
        "float32",
        apart=(GAMMA, COLUMN),
        asking=(ROUNDING,),
        searched=(ROUNDING,),
    ),
}


@pytest.mark.parametrize("name", TERMS)
def test_without_this_term_the_contract_breaks(name: str) -> None:
    term = TERMS[name]
    assert not any(term.broken(without=False))
    # On the host what a bfloat16 product may be rounded by is larger than some terms.
    found = term.broken(without=True)
    assert all(found if term.precision == "float32" else found[-1:])


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("sphere, big and small", ANGLE),
        ("flat, big and small", ROUNDING),
        ("flat, 1e-162", UNDERFLOW),
    ],
)
def test_without_this_term_pairs_score_below_the_score_of_their_rank(
    name: str, term: Patch
) -> None:
    space, x, y = ADVERSARIES[name]()
    with zero((term,)), pytest.raises(AssertionError):
        assert_score(getattr(gd, space)(x.shape[1]), x, y)


# On the host in bfloat16 what products are rounded by covers much of the rest.
@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.id != "host-bfloat16"])
@pytest.mark.parametrize(
    ("space", "terms"),
    [("Sphere", (LOST, PRODUCT)), ("Euclidean", (SHARE, GAMMA, COLUMN))],
)
def test_without_a_bound_rows_are_wrong(space: str, terms: tuple[Patch, ...], kernel: Any) -> None:
    x = unit(normal(8, 24)[np.arange(160) % 8] + 1e-5 * normal(160, 24, seed=1))
    of = Question(space, x, None, 5)
    assert_right(of, answer(of, kernel))
    with zero(terms), pytest.raises(AssertionError, match="wrong rows"):
        assert_right(of, answer(of, kernel))


@pytest.mark.parametrize("kernel", KERNELS)
def test_without_the_squares_that_underflow_rows_are_wrong(kernel: Any) -> None:
    of = Question("Euclidean", 1e-162 * normal(60, 6), None, 5)
    assert_right(of, answer(of, kernel))
    with zero((UNDERFLOW,)), pytest.raises(AssertionError, match="wrong rows"):
        assert_right(of, answer(of, kernel))


@needs_bfloat16
@pytest.mark.parametrize("share", [0.0, 2.0**-9])
def test_without_the_rounding_of_bfloat16_products_rows_are_wrong(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two targets as far from the query, one on either side of it: equal ranks, and scores that
    # differ in what the columns lose alone. They lie astride a tie. The first row is the nearest,
    # also among many copies of the other.
    u = np.array([0.5, 0.9375, 0.0, 0.0])
    d = np.array([-0.1875, -0.0625, 2.0**-9, 7 * 2.0**-13])
    several = [
        Question("Euclidean", np.array([u, -u]), np.array([u + s * d] + count * [u - s * d]), 1)
        for s in (1, -1)
        for count in (1, 60)
    ]
    kernel = (HostNearest, TORCH, "bfloat16")
    for of in several:
        assert_right(of, answer(of, kernel))
    monkeypatch.setattr(scan, "scan", scan.scan.py_func)  # compiled, it holds the constant
    for of in several:
        assert_right(of, answer(of, kernel))
    monkeypatch.setattr(scan, "ROUNDOFF", share)
    assert any((answer(of, kernel)[0] != of.indices).any() for of in several)
