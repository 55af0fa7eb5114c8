"""Points written to a path of the user's, as a Zarr v3 group."""

import errno
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import zarr

from ..errors import StoreError
from ..storage.access import local_path
from .sources import BLOCK_BYTES
from .stored_ids import save_ids

if TYPE_CHECKING:
    from .points import Points

STORED_BYTES = 8 << 20
ATTEMPTS = 20
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
"""What renaming a folder fails with where another lies."""


def save_points(x: "Points", path: str | Path, overwrite: bool) -> None:
    """Writes beside the path first, so whatever fails leaves what was there."""
    there = local_path(str(path))
    if there is None:
        raise StoreError(
            "Points are saved in a local folder",
            came=f"{str(path)!r} came",
            do="Save them in a folder, and copy that: gd.open takes the URL of the copy.",
        )
    path = there.resolve() if there.is_symlink() else there
    if not overwrite and _holds_something(path):
        raise _exists(path)
    token = uuid4().hex[:8]
    partial, old = (path.with_name(f"{path.name}.{token}.{end}") for end in ("partial", "old"))
    try:
        _write(x, partial)
        if overwrite:
            _swap(partial, path, old)
        else:
            _place(partial, path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        _remove(partial)
        _remove(old)


def _exists(path: Path) -> StoreError:
    return StoreError(f"{path} exists. Pass overwrite=True to replace it, or another path.")


def _holds_something(path: Path) -> bool:
    try:
        return any(path.iterdir())
    except FileNotFoundError:  # others may take it away meanwhile
        return False
    except NotADirectoryError:
        return True


def _place(partial: Path, path: Path) -> None:
    try:
        partial.rename(path)
    except OSError as error:
        if error.errno in (*TAKEN, errno.ENOTDIR):
            raise _exists(path) from error  # saved there since
        raise


def _swap(partial: Path, path: Path, old: Path) -> None:
    for attempt in range(ATTEMPTS):
        _remove(old)
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            partial.rename(path)
            return
        except OSError as error:  # another process has just saved there
            if error.errno not in TAKEN or attempt == ATTEMPTS - 1:
                raise


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _write(x: "Points", path: Path) -> None:
    group = zarr.create_group(str(path))
    stored = storage_rows(x)
    array = group.create_array(
        "points",
        shape=x.shape,
        dtype=x.dtype,
        chunks=(stored, *x.shape[1:]),
        compressors=None,
        attributes={"geodask": {"manifold": x.manifold.to_spec(), "whole": True}},
        config={"write_empty_chunks": True},
    )
    rows = stored * max(1, BLOCK_BYTES // STORED_BYTES)
    for start in range(0, len(x), rows):
        array[start : start + rows] = x.read(start, min(start + rows, len(x)))
    if x.ids is not None:
        save_ids(group, x.ids)


def storage_rows(x: "Points") -> int:
    """Rows of a stored chunk: a power of two that fits in 8 MiB, and no more than there are."""
    return max(1, min(full_chunk_rows(x), len(x)))


def full_chunk_rows(x: "Points") -> int:
    """Rows of a stored chunk where there are as many."""
    return 1 << max(0, (STORED_BYTES // max(1, x.row_bytes)).bit_length() - 1)
