"""The laws of a manifold, for its tests: yours as well as ours.

    from geodask.testing import check_manifold

    def test_my_manifold():
        check_manifold(MyManifold(5))

Each law is a function of a manifold and a `Sample` of rows, and raises AssertionError where it is
broken; `LAWS` lists them, to parametrize a test with. Where a law can hold only to rounding, the
sample's ``tolerance`` says how far off is allowed, as a share of the coordinates of the row: in
float64 a distance of 1e-8 must be right to some 1e-6 of itself.
"""

from .laws import LAWS as LAWS
from .laws import check_manifold as check_manifold
from .rows import STEPS as STEPS
from .rows import Sample as Sample
from .rows import sample as sample
