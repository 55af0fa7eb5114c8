"""Whether what is to be written fits where it is to lie."""

from ..config import Settings
from ..errors import MemoryPlanError
from ..storage.eviction import limit_of, make_room
from ..storage.objects import Objects


def check_space(name: str, needed: int, objects: Objects, settings: Settings) -> None:
    """Makes room in the store. Raises MemoryPlanError where it may not take as much."""
    limit = limit_of(objects, settings.store_max_bytes)
    room = make_room(objects, needed, limit)
    if needed > room:
        raise MemoryPlanError(
            f"{name} writes {needed} bytes to {objects.url}",
            came=f"{max(0, room)} of {limit} may be had there, besides what is in use or pinned",
            do="Free space, set geodask.store-max-bytes higher, or set another geodask.store.",
        )


def check_free(name: str, needed: int, objects: Objects) -> None:
    """Raises MemoryPlanError where a path of the user's has no room."""
    room = objects.free_bytes()
    if needed > room:
        raise MemoryPlanError(
            f"{name} writes {needed} bytes to {objects.url}",
            came=f"{room} are free there",
            do="Free space, or pass another path.",
        )
