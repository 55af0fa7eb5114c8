"""Arrow files and streams, memory-mapped; their record batches are the row groups of Parquet."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SpecError
from .files import Local

if TYPE_CHECKING:
    from .parquet import File

IPC_SUFFIXES = (".arrow", ".feather", ".ipc")


def ipc_files(folder: Path) -> list[str] | None:
    """The files of a folder that `datasets` saved, in their order; None where it is another."""
    if not (folder / "state.json").is_file():
        return None
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return [str(folder / each["filename"]) for each in state.get("_data_files", [])]


def ipc_layout(file: "File") -> tuple[Any, list[int]]:
    """The schema, and the rows of each record batch."""
    table = _mapped(file)
    return table[0], [each.num_rows for each in table[1]]


def ipc_batch(file: "File", number: int, columns: tuple[str, ...]) -> Any:
    """A record batch as a table of some columns; nothing is copied that is not compressed."""
    import pyarrow as pa

    return pa.Table.from_batches([_mapped(file)[1][number]]).select(list(columns))


@lru_cache(maxsize=64)
def _mapped(file: "File") -> tuple[Any, list[Any]]:
    import pyarrow as pa

    if not isinstance(file.files, Local):
        raise SpecError(
            "Arrow files are mapped from a folder of this machine",
            came=f"{file.path} lies elsewhere",
            do="Copy it, or write it as Parquet.",
        )
    source = pa.memory_map(file.path)
    try:
        reader = pa.ipc.open_file(source)
        return reader.schema, [reader.get_batch(i) for i in range(reader.num_record_batches)]
    except pa.ArrowInvalid:  # a stream has no footer
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, list(stream)
