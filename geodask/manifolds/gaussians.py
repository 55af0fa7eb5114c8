"""Normal distributions, with the Fisher-Rao metric and with Wasserstein's."""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, final

import numpy as np

from ..arrays.namespace import namespace, norm, where
from .base import Manifold
from .bures_wasserstein import SPDBuresWasserstein
from .coordinates import Entries
from .euclidean import Euclidean
from .given import batch
from .halfspace import HalfSpace
from .isometric import Isometric
from .power import Power
from .product import Product
from .rearranged import Rearranged


@final
@dataclass(frozen=True)
class Gaussians(Isometric):
    """Normal distributions of n independent coordinates, with the Fisher-Rao metric: rows (2, n) of
    means and standard deviations. With n = 1 those of a line.

    Each coordinate is a point of a half-plane of curvature -1/2, the mean over sqrt(2) beside the
    standard deviation as height: the metric is (dm^2 + 2 ds^2) / s^2 (Atkinson and Mitchell, Rao's
    distance measure, 1981; Costa, Santos and Strapasson, Fisher information distance, 2015). The
    unit of a coordinate does not count, nor what is added to all means.
    """

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (2, self.n)

    @property
    def chart(self) -> Entries:
        """Means and standard deviations: the metric tensor there is Fisher's information."""
        return Entries(self)

    # --- points and tangent vectors -------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """The row itself. NaN where a standard deviation is not positive: none is the nearest."""
        positive = namespace(x).all(x[..., 1, :] > 0, axis=-1)
        return where(positive[..., None, None], x, math.nan)

    def to_tangent(self, p: Any, v: Any) -> Any:
        return v + namespace(p, v).zeros_like(p)

    complaint_texts: ClassVar[dict[int, str]] = {
        **Manifold.complaint_texts,
        2: "has a standard deviation that is not positive",
        3: "lies farther from the standard normal distribution than its dtype can tell apart: "
        "subtract what is common to all means, take other units, or float64",
    }

    def complaints(self, p: Any) -> Any:
        return self.image.complaints(self.to_image(p))

    def near_limit(self, x: Any) -> Any:
        return self.image.near_limit(self.to_image(x))

    def random(self, shape: int | tuple[int, ...], seed: int) -> np.ndarray:
        """Means and logarithms of standard deviations are standard normal."""
        mean, log = np.random.default_rng(seed).standard_normal((2, *batch(shape), self.n))
        return np.stack([mean, np.exp(log)], axis=-2)

    # --- images ---------------------------------------------------------------------------------

    @property
    def image(self) -> Power:
        return Power(HalfSpace(2, curvature=-0.5), self.n)

    def to_image(self, p: Any) -> Any:
        return namespace(p).stack([p[..., 0, :] / math.sqrt(2), p[..., 1, :]], axis=-1)

    def from_image(self, x: Any) -> Any:
        return namespace(x).stack([x[..., 0] * math.sqrt(2), x[..., 1]], axis=-2)

    def push(self, p: Any, u: Any) -> Any:
        return self.to_image(u + namespace(p, u).zeros_like(p))

    def pull(self, p: Any, y: Any) -> Any:
        u = self.from_image(y)
        return u + namespace(p, u).zeros_like(p)

    def connection(self, p: Any, u: Any, v: Any) -> Any:
        xp, deviation = namespace(p, u, v), p[..., 1, :]
        (m, s), (k, t) = ((each[..., 0, :], each[..., 1, :]) for each in (u, v))
        return xp.stack([-(m * t + k * s) / deviation, (m * k / 2 - s * t) / deviation], axis=-2)

    def blur(self, p: Any) -> Any:
        # The root of 2 and the division by it: two roundings of a mean.
        return 2.0**-52 * norm(p[..., 0, :] / p[..., 1, :])

    def exact_image(self, p: list[list[Decimal]]) -> list[Any]:
        root = Decimal(2).sqrt()
        return [[mean / root, deviation] for mean, deviation in zip(*p, strict=True)]


@final
@dataclass(frozen=True)
class GaussiansBuresWasserstein(Rearranged):
    """Normal distributions in R^n with their Wasserstein distance: rows (n + 1, n), the mean and
    below it the covariance matrix.

    dist^2 is the squared distance of the means and that of the covariances, as
    `SPDBuresWasserstein` has it (Givens and Shortt, A class of Wasserstein metrics for probability
    distributions, 1984).
    """

    @property
    def point_shape(self) -> tuple[int, ...]:
        return (self.n + 1, self.n)

    @property
    def image(self) -> Product:
        return Product((Euclidean(self.n), SPDBuresWasserstein(self.n)))

    @property
    def complaint_texts(self) -> dict[int, str]:
        """Those of the mean and of the covariance."""
        names = {"in part 0 ": "in the mean ", "in part 1 ": "in the covariance "}
        texts = dict(self.image.complaint_texts)
        for part, name in names.items():
            texts = {code: text.replace(part, name) for code, text in texts.items()}
        return texts

    def to_image(self, p: Any) -> Any:
        return namespace(p).reshape(p, (*p.shape[:-2], self.size))

    def from_image(self, x: Any) -> Any:
        return namespace(x).reshape(x, (*x.shape[:-1], *self.point_shape))
