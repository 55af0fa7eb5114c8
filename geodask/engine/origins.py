"""Where the rows of an input came from, for those who ask a result of what it was made."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from ..storage.group import root_body
from ..storage.objects import open_objects
from .files import LOCAL
from .result import Opened
from .sources import Lazy, Source, Zarr


def origin(source: Source) -> dict[str, Any]:
    """The source in words, and the URLs of the stored results that it reads, as JSON."""
    return {"label": source.label, "results": sorted(set(_results(source)))}


def _results(source: Source) -> Iterator[str]:
    if isinstance(source, Lazy):
        layers = source.array.dask.layers.values()
        for each in (each for layer in layers for each, _ in getattr(layer, "indices", ())):
            value = getattr(each, "value", each)  # newer versions of Dask wrap what they are given
            if isinstance(value, Opened):
                yield f"{value.objects.url}/{value.path}".rstrip("/")
    elif isinstance(source, Zarr) and source.files == LOCAL:
        folder = source.label.rpartition("/")[0]
        if root_body(open_objects(folder).get("zarr.json")) is not None:
            yield folder
    for value in (getattr(source, part.name) for part in fields(source)):
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Source):
                yield from _results(part)
