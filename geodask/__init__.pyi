from .engine.points import Points as Points
from .engine.points import concat as concat
from .engine.points import open as open
from .engine.points import points as points
from .errors import CutLocusError as CutLocusError
from .errors import DeviceError as DeviceError
from .errors import JobError as JobError
from .errors import MemoryPlanError as MemoryPlanError
from .errors import NotOnManifoldError as NotOnManifoldError
from .errors import PointShapeError as PointShapeError
from .errors import SpecError as SpecError
from .errors import StoreError as StoreError
from .manifolds import Euclidean as Euclidean
from .manifolds import Manifold as Manifold
from .manifolds import Sphere as Sphere
from .ops.knn import knn as knn
from .ops.plan import plan as plan
from .ops.pointwise import dist as dist
from .ops.pointwise import exp_map as exp_map
from .ops.pointwise import geodesic as geodesic
from .ops.pointwise import inner as inner
from .ops.pointwise import log_map as log_map
from .ops.pointwise import midpoint as midpoint
from .ops.pointwise import norm as norm
from .ops.pointwise import project as project
from .ops.pointwise import transport as transport

__version__: str
