"""Whether what is to be written fits where it is to lie."""

from ..config import Settings
from ..errors import MemoryPlanError
from ..storage.objects import Objects


def check_space(name: str, needed: int, objects: Objects, settings: Settings) -> None:
    """Raises MemoryPlanError where that is more than the store may take."""
    room = settings.store_max_bytes
    if room is None:
        room = objects.free_bytes() // 2
    if needed > room:
        raise MemoryPlanError(
            f"{name} writes {needed} bytes to {objects.url}",
            came=f"{room} may be taken there",
            do="Free space, set geodask.store-max-bytes higher, or set another geodask.store.",
        )
