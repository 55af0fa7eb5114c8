"""Tangent coordinates at the mean as a transformer of scikit-learn."""

from typing import Any

import numpy as np

from ..engine.points import Points, points
from ..errors import SpecError
from ..manifolds.base import Manifold
from ..ops.coordinates import tangent_coordinates
from ..ops.mean import mean

try:
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        "Estimators follow the conventions of scikit-learn, but it is not installed. "
        "Install it: pip install 'geodask[learn]'."
    ) from error


class TangentCoordinates(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Points as rows of orthonormal coordinates in the tangent space at their Fréchet mean.

    Distances from the mean are lengths of rows, so the variances of the columns sum to that of the
    points, and a pipeline may go on as with any table: scale, reduce, classify.

    Parameters
    ----------
    manifold : Manifold
        The space of the rows, such as ``gd.SPDAffineInvariant(16)``.

    Attributes
    ----------
    mean_ : array (*point_shape)
        The Fréchet mean of the rows that it was fitted to.
    variance_ : float
        The mean of their squared distances from it.
    """

    def __init__(self, manifold: Manifold):
        self.manifold = manifold

    def fit(self, X: Any, y: Any = None) -> "TangentCoordinates":
        """Finds the mean of rows (n, *point_shape): an array, or Points."""
        found = mean(self._points(X)).compute()
        self.mean_, self.variance_ = found.point, found.variance
        self._n_features_out = self.manifold.dim
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The coordinates (n, dim) float64 of rows; NaN where a row has no log at the mean."""
        check_is_fitted(self)
        return tangent_coordinates(self._points(X), self.mean_).compute()

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The points (n, *point_shape) with rows of coordinates (n, dim)."""
        check_is_fitted(self)
        return self.manifold.exp_coordinates(self.mean_, np.asarray(X, np.float64))

    def _points(self, X: Any) -> Points:
        if not isinstance(self.manifold, Manifold):
            raise SpecError(
                "TangentCoordinates takes a manifold",
                came=f"{self.manifold!r} came",
                do="Pass one, such as gd.SPDAffineInvariant(16).",
            )
        return points(X, self.manifold)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inside = len(self.manifold.point_shape) == 2
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = not inside, inside
        return tags
