# cupy is an optional dependency: type checks must not need it.
from typing import Any

def __getattr__(name: str) -> Any: ...
