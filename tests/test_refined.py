"""What matrices lack, and what that mends, against fractions and decimals."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch

import geodask as gd
from geodask.arrays import decimals
from geodask.arrays.refined import cholesky, cholesky_slope, lacking

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("xp", [np, torch, array_api_strict], ids=lambda xp: xp.__name__)
def test_what_a_product_lacks_is_known_to_many_digits(xp: Any) -> None:
    a, b = RNG.standard_normal((2, 4, 60)) * np.geomspace(1, 1e-9, 60)
    u = a @ b.T
    found = lacking(xp.asarray(u), (xp.asarray(a), xp.asarray(b)))
    for i in range(4):
        for j in range(4):
            pairs = zip(a[i].tolist(), b[j].tolist(), strict=True)
            truth = Fraction(u[i, j]) - sum(Fraction(x) * Fraction(y) for x, y in pairs)
            within = 2.0**-70 * np.linalg.norm(a[i]) * np.linalg.norm(b[j])
            assert abs(Fraction(float(found[i, j])) - truth) <= within


def test_nothing_lacks_where_nothing_is() -> None:
    zeros = np.zeros((3, 2, 2))
    assert (lacking(zeros, (zeros, zeros)) == 0).all()
    assert (lacking(np.eye(2), (np.eye(2), np.eye(2))) == 0).all()


def ill_conditioned(n: int, condition: float) -> np.ndarray:
    turn = np.linalg.qr(RNG.standard_normal((n, n)))[0]
    found = (turn * np.geomspace(1, 1 / condition, n)) @ turn.T
    return (found + found.T) / 2


def test_factors_are_right_to_the_last_digit() -> None:
    for _ in range(10):
        p = ill_conditioned(4, 1e8)
        with localcontext(prec=60):
            truth = decimals.cholesky([[Decimal(x) for x in row] for row in p.tolist()])
        truth = np.array([[float(x) for x in row] + [0.0] * (4 - len(row)) for row in truth])
        assert np.allclose(cholesky(p), truth, rtol=1e-9, atol=1e-17)


def test_what_is_definite_by_rounding_alone_is_nan_in_silence() -> None:
    """A refined pivot may be negative, where that of the first factor was not."""
    g = np.random.default_rng(0).standard_normal((3000, 4, 3))
    on = gd.SPDLogCholesky(4)
    found = on.dist(g @ g.mT, np.eye(4))
    assert np.isnan(found).sum() > 100
    assert not np.isinf(found).any()


def test_slopes_of_factors_are_right_to_the_last_digit() -> None:
    """Of the triangle L x for a known one: less than a rounding of u may change."""
    p = ill_conditioned(4, 1e8)
    low, x = np.linalg.cholesky(p), np.tril(RNG.standard_normal((4, 4)))
    true = low @ x
    u = true @ low.T
    u = u + u.T
    found = cholesky_slope(low, u)
    left = lacking(u, (found, low), (low, found))
    assert np.abs(np.linalg.solve(low, np.linalg.solve(low, left).T)).max() <= 1e-7
