"""Riemannian geometry over arrays larger than memory, on Dask and Zarr.

The public names load on first use, so `import geodask` costs next to nothing; `__init__.pyi` shows
them to type checkers and editors.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0.dev0"

_HOMES = {
    "engine.points": "Points concat open points",
    "errors": (
        "CutLocusError DeviceError JobError MemoryPlanError NotOnManifoldError PointShapeError "
        "SpecError StoreError TooManyPairsError"
    ),
    "engine.store": "store",
    "manifolds": (
        "Circle Euclidean EuclideanMatrices Gaussians GaussiansBuresWasserstein Grassmann "
        "HPDAffineInvariant HPDBuresWasserstein HPDLogCholesky HPDLogEuclidean HalfSpace "
        "HyperbolicPolar Lorentz Manifold Oblique PoincareBall Power Product RigidMotions "
        "Rotations SPDAffineInvariant SPDBuresWasserstein SPDLogCholesky SPDLogEuclidean Simplex "
        "Sphere StiefelCanonical StiefelEuclidean Torus"
    ),
    "manifolds.charts": "Chart",
    "manifolds.normal": "NormalCoordinates",
    "manifolds.rounds": "SphericalCoordinates StereographicCoordinates",
    "ops.components": "connected_components",
    "ops.coordinates": "image tangent_coordinates",
    "ops.covariances": "common_span compress shrink",
    "ops.curvature": (
        "christoffel metric_tensor ricci riemann scalar_curvature sectional_curvature"
    ),
    "ops.hyperbolic": (
        "busemann convert convert_tangent dist_to_hyperplane dist_to_origin gyration mobius_add "
        "mobius_scale"
    ),
    "ops.knn": "knn",
    "ops.mean": "mean",
    "ops.pairwise": "pairwise",
    "ops.plan": "plan",
    "ops.pointwise": "dist exp_map geodesic inner log_map midpoint norm project transport",
    "ops.ranks": "ranks",
    "ops.recentre": "recentre",
    "ops.within": "within",
    "learn.tangent": "TangentCoordinates",
    "monitor.report": "report",
    "service.jobs": "jobs",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
_MODULES = {"cluster", "monitor"}

__all__ = sorted({*_HOME, *_MODULES})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
