"""Spaces: one file each. `base` is the interface and the glossary."""

from .base import Manifold as Manifold
from .euclidean import Euclidean as Euclidean
from .halfspace import HalfSpace as HalfSpace
from .lorentz import Lorentz as Lorentz
from .poincare import PoincareBall as PoincareBall
from .polar import HyperbolicPolar as HyperbolicPolar
from .sphere import Sphere as Sphere
