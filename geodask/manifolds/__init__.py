"""Spaces: one file each. `base` is the interface and the glossary."""

from .base import Manifold as Manifold
from .euclidean import Euclidean as Euclidean
from .poincare import PoincareBall as PoincareBall
from .sphere import Sphere as Sphere
