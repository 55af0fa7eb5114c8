"""What users hand to spaces: numbers of numpy, and what is no number."""

from typing import Any

import numpy as np
import pytest

import geodask as gd

WEIGHED = [
    lambda w: gd.RigidMotions(3, weight=w),
    lambda w: gd.Power(gd.Sphere(3), 2, weight=w),
    lambda w: gd.Product((gd.Sphere(3),), weights=(w,)),
]
CURVED = [lambda k: gd.Sphere(3, curvature=k), lambda k: gd.Lorentz(3, curvature=-k)]


@pytest.mark.parametrize("make", [*WEIGHED, *CURVED])
@pytest.mark.parametrize("number", [2, np.float32(2), np.int64(2), np.array(2.0)], ids=repr)
def test_numbers_of_any_kind_make_the_same_space(make: Any, number: Any) -> None:
    on, same = make(number), make(2.0)
    assert repr(on) == repr(same)
    x = on.random(20, seed=0)
    gd.knn(gd.points(x, on), k=2).persist()
    assert gd.knn(gd.points(x, same), k=2).persist().report.cache_hit


@pytest.mark.parametrize("make", WEIGHED)
@pytest.mark.parametrize("weight", ["2", None, "one", 0, -1.0, np.nan, np.inf, 1j, (1.0, 2.0)])
def test_what_is_no_weight_is_refused(make: Any, weight: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"positive finite weight, but .* came\. Pass such as"):
        make(weight)


@pytest.mark.parametrize("space", [gd.Sphere, gd.PoincareBall])
@pytest.mark.parametrize("curvature", ["1", "-1", None, 0, np.nan, 1j])
def test_what_is_no_curvature_is_refused(space: Any, curvature: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"finite curvature, but curvature=.* came\. Pass"):
        space(3, curvature=curvature)


@pytest.mark.parametrize(
    ("factors", "weights"),
    [
        (gd.Sphere(3), ()),
        ("Sphere", ()),
        ({gd.Sphere(3), gd.Sphere(4)}, ()),
        ((gd.Sphere(3),), 2.0),
        ((gd.Sphere(3), gd.Sphere(4)), {1.0, 2.0}),
        ((gd.Sphere(3), gd.Sphere(4)), "12"),
        ((gd.Sphere(3),), np.float64(2)),
    ],
)
def test_a_product_needs_spaces_and_weights_in_order(factors: Any, weights: Any) -> None:
    with pytest.raises(gd.SpecError, match=r"needs manifolds, and for each .* came\. Pass such as"):
        gd.Product(factors, weights)


@pytest.mark.parametrize(
    "on",
    [
        gd.Sphere(3), gd.Euclidean(2), gd.PoincareBall(2), gd.Simplex(3), gd.SPDAffineInvariant(2),
        gd.HPDLogEuclidean(2), gd.Rotations(3), gd.Gaussians(2), gd.Oblique(3, 2), gd.Torus(2),
        gd.Product((gd.Sphere(3), gd.Lorentz(3))),
    ],
    ids=str,
)  # fmt: skip
def test_rows_are_counted_by_any_integer(on: gd.Manifold) -> None:
    four = np.int64(4)
    np.testing.assert_array_equal(on.random(four, 0), on.random(4, 0))
    p = on.random(1, seed=1)[0]
    around = [on.random_normal(count, p, 0.1, seed=2) for count in (four, 4, (4,), [4])]
    for each in around[1:]:
        np.testing.assert_array_equal(around[0], each)
