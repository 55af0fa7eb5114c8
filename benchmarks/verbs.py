"""The verbs of other libraries, in the order and the forms of geodask: where points are vectors.

Each function returns what a library has of dist, exp, log and transport. Peers are called without
projections where they let one choose. geomstats has no transport in the ball and the half-space in
closed form, and geoopt none on the sphere, where its `transp` is a projection.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from regimes import N

Verb = Callable[..., np.ndarray]
Verbs = dict[str, Verb]


def geoopt_ball() -> Verbs:
    """geoopt.PoincareBall."""
    import geoopt

    on = geoopt.PoincareBall()
    exp = partial(on.expmap, project=False)
    return by_torch(dist=on.dist, exp=exp, log=on.logmap, transport=on.transp)


def geoopt_lorentz() -> Verbs:
    """geoopt.Lorentz."""
    import geoopt

    on = geoopt.Lorentz()
    exp = partial(on.expmap, norm_tan=False, project=False)
    return by_torch(dist=on.dist, exp=exp, log=on.logmap, transport=on.transp)


def geoopt_sphere() -> Verbs:
    """geoopt.Sphere."""
    import geoopt

    on = geoopt.Sphere()
    return by_torch(dist=on.dist, exp=on.expmap, log=on.logmap)


def geoopt_flat() -> Verbs:
    """geoopt.Euclidean."""
    import geoopt

    on = geoopt.Euclidean(1)
    return by_torch(dist=on.dist, exp=on.expmap, log=on.logmap, transport=on.transp)


def geoopt_oblique() -> Verbs:
    """geoopt.Sphere, column by column."""
    return of_columns(geoopt_sphere())


def geoopt_mixed() -> Verbs:
    """geoopt.ProductManifold of a disc, a sphere and a plane."""
    import geoopt

    parts = (geoopt.PoincareBall(), 2), (geoopt.Sphere(), 3), (geoopt.Euclidean(1), 2)
    on = geoopt.ProductManifold(*parts)
    return by_torch(dist=on.dist, exp=on.expmap, log=on.logmap)


def geomstats_ball() -> Verbs:
    """geomstats.PoincareBall."""
    from geomstats.geometry.poincare_ball import PoincareBall

    return base_point_last(PoincareBall(N).metric)


def geomstats_half_space() -> Verbs:
    """geomstats.PoincareHalfSpace."""
    from geomstats.geometry.poincare_half_space import PoincareHalfSpace

    return base_point_last(PoincareHalfSpace(N).metric)


def geomstats_lorentz() -> Verbs:
    """geomstats.Hyperboloid."""
    from geomstats.geometry.hyperboloid import Hyperboloid

    metric = Hyperboloid(N).metric
    return base_point_last(metric) | {"transport": transport(metric)}


def geomstats_sphere(dim: int = N - 1) -> Verbs:
    """geomstats.Hypersphere."""
    from geomstats.geometry.hypersphere import Hypersphere

    metric = Hypersphere(dim).metric
    return base_point_last(metric) | {"transport": transport(metric)}


def geomstats_flat() -> Verbs:
    """geomstats.Euclidean."""
    from geomstats.geometry.euclidean import Euclidean

    metric = Euclidean(N).metric
    return base_point_last(metric) | {"transport": transport(metric)}


def geomstats_oblique(n: int) -> Verbs:
    """geomstats.Hypersphere, column by column."""
    return of_columns(geomstats_sphere(n - 1))


def geomstats_mixed() -> Verbs:
    """geomstats.ProductManifold of a disc, a sphere and a plane."""
    from geomstats.geometry.euclidean import Euclidean
    from geomstats.geometry.hypersphere import Hypersphere
    from geomstats.geometry.poincare_ball import PoincareBall
    from geomstats.geometry.product_manifold import ProductManifold

    on = ProductManifold((PoincareBall(2), Hypersphere(2), Euclidean(2)))
    return base_point_last(on.metric)


def geomstats_simplex(n: int) -> Verbs:
    """geomstats.MultinomialDistributions of one draw."""
    from geomstats.information_geometry.multinomial import MultinomialDistributions

    return base_point_last(MultinomialDistributions(n - 1, n_draws=1).metric)


def geomstats_normal() -> Verbs:
    """geomstats.UnivariateNormalDistributions, coordinate by coordinate.

    Its DiagonalNormalDistributions have variances, and take tangent vectors of these for such of
    deviations.
    """
    from geomstats.information_geometry.normal import UnivariateNormalDistributions

    return of_columns(base_point_last(UnivariateNormalDistributions().metric))


# --- forms ----------------------------------------------------------------------------------------


def by_torch(**methods: Callable[..., torch.Tensor]) -> Verbs:
    def plain(method: Callable[..., torch.Tensor], *rows: np.ndarray) -> np.ndarray:
        return method(*(torch.from_numpy(np.ascontiguousarray(x)) for x in rows)).detach().numpy()

    return {verb: partial(plain, method) for verb, method in methods.items()}


def base_point_last(metric: Any) -> Verbs:
    """geomstats has the base point last."""
    return {
        "dist": metric.dist,
        "exp": lambda p, u: metric.exp(u, p),
        "log": lambda p, q: metric.log(q, p),
    }


def transport(metric: Any, **options: Any) -> Verb:
    return lambda p, q, u: metric.parallel_transport(u, p, end_point=q, **options)


def of_columns(verbs: Verbs) -> Verbs:
    """Of matrices whose columns are points: dist^2 is the sum over them."""

    def turned(method: Verb, *rows: np.ndarray) -> np.ndarray:
        found = method(*(np.concatenate(x.mT, axis=0) for x in rows))
        if found.ndim == 1:
            return np.linalg.norm(found.reshape(len(rows[0]), -1), axis=1)
        return found.reshape(rows[0].mT.shape).mT

    return {verb: partial(turned, method) for verb, method in verbs.items()}
