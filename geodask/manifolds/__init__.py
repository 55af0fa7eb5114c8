"""Spaces: one file each. `base` is the interface and the glossary."""

from .affine_invariant import SPDAffineInvariant as SPDAffineInvariant
from .base import Manifold as Manifold
from .bures_wasserstein import SPDBuresWasserstein as SPDBuresWasserstein
from .euclidean import Euclidean as Euclidean
from .euclidean_matrices import EuclideanMatrices as EuclideanMatrices
from .gaussians import Gaussians as Gaussians
from .gaussians import GaussiansBuresWasserstein as GaussiansBuresWasserstein
from .grassmann import Grassmann as Grassmann
from .halfspace import HalfSpace as HalfSpace
from .log_cholesky import SPDLogCholesky as SPDLogCholesky
from .log_euclidean import SPDLogEuclidean as SPDLogEuclidean
from .lorentz import Lorentz as Lorentz
from .oblique import Oblique as Oblique
from .poincare import PoincareBall as PoincareBall
from .polar import HyperbolicPolar as HyperbolicPolar
from .power import Power as Power
from .product import Product as Product
from .rigid_motions import RigidMotions as RigidMotions
from .rotations import Rotations as Rotations
from .simplex import Simplex as Simplex
from .sphere import Sphere as Sphere
from .torus import Circle as Circle
from .torus import Torus as Torus
