"""Rows read straight from files are those that zarr reads, or zarr reads them.

The fast path skips copies; it never gives other rows, and never keeps an error back.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import geodask as gd
from geodask.engine.opening import source_of
from geodask.engine.raw import raw_rows

ROWS = np.arange(1.0, 101.0)[:, None] + np.arange(4) / 8
PLAIN: dict[str, Any] = {"chunks": (7, 4), "compressors": None, "filters": None}
RAW: dict[str, dict[str, Any]] = {
    "v3": {},
    "v2": {"zarr_format": 2},
    "float16": {"dtype": "float16"},
    "float64, v2": {"dtype": "float64", "zarr_format": 2},
    "one byte": {"dtype": "uint8"},
    "one chunk": {"chunks": (200, 4)},
    "dotted keys": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "nested keys, v2": {
        "zarr_format": 2,
        "chunk_key_encoding": {"name": "v2", "separator": "/"},
    },
}
ENCODED: dict[str, dict[str, Any]] = {
    "compressed": {"compressors": "auto"},
    "compressed, v2": {"compressors": "auto", "zarr_format": 2},
    "checked": {"compressors": [zarr.codecs.Crc32cCodec()]},
    "big-endian": {"serializer": zarr.codecs.BytesCodec(endian="big")},
    "big-endian, v2": {"dtype": ">f4", "zarr_format": 2},
    "columns first": {"filters": [zarr.codecs.TransposeCodec(order=(1, 0))]},
    "columns first, v2": {"order": "F", "zarr_format": 2},
    "columns apart": {"chunks": (7, 3)},
    "sharded": {"shards": (21, 4)},
    "bool": {"dtype": "bool"},
}
KINDS = {**RAW, **ENCODED}


def stored(path: Path, **options: Any) -> Any:
    """The rows as a Zarr array, opened again as it is read."""
    options = {"dtype": "float32", **PLAIN, **options}
    zarr.create_array(path, shape=ROWS.shape, **options)[:] = ROWS.astype(options["dtype"])
    return zarr.open_array(path, mode="r")


def file_of(path: Path, row: int) -> Path:
    return path / "c" / str(row // 7) / "0"


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("raw")
    return {name: stored(home / name, **KINDS[name]) for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
@given(start=st.integers(0, 110), count=st.integers(0, 110))
@settings(max_examples=20, deadline=None)
def test_rows_are_those_of_zarr(arrays: dict[str, Any], name: str, start: int, count: int) -> None:
    array = arrays[name]
    source = source_of(array)
    found, expected = source.read(start, start + count), array[start : start + count]
    assert (found.dtype, found.shape) == (source.dtype, expected.shape)
    assert (found == expected).all()
    assert found.flags.c_contiguous
    assert found.flags.writeable
    quick = raw_rows(array, start, start + count)
    assert (quick is not None) == (name in RAW and len(expected) > 0)
    assert quick is None or quick.tobytes() == found.tobytes()


def test_numbers_of_one_column_are_rows(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "x", data=np.arange(50), chunks=(8,), compressors=None)
    array = zarr.open_array(tmp_path / "x", mode="r")
    quick = raw_rows(array, 5, 44)
    assert quick is not None
    assert quick.tolist() == list(range(5, 44))


def test_a_chunk_that_is_missing_means_the_fill_value(tmp_path: Path) -> None:
    source = source_of(stored(tmp_path, fill_value=0.5))
    file_of(tmp_path, 20).unlink()
    found = source.read(0, 100)
    assert (found[14:21] == 0.5).all()
    assert (np.delete(found, np.s_[14:21], axis=0) == np.delete(ROWS, np.s_[14:21], axis=0)).all()


@pytest.mark.parametrize("size", [0, 16, 7 * 16 - 1, 7 * 16 + 1, 14 * 16])
def test_a_file_of_another_size_is_an_error(tmp_path: Path, size: int) -> None:
    source = source_of(stored(tmp_path))
    data = file_of(tmp_path, 20).read_bytes()
    file_of(tmp_path, 20).write_bytes((2 * data)[:size])
    assert (source.read(0, 14) == ROWS[:14]).all()
    with pytest.raises(gd.StoreError, match="must be readable"):
        source.read(14, 15)
    with pytest.raises(gd.StoreError, match="must be readable"):
        source.read(0, 100)


def test_what_was_rewritten_is_read_as_it_is_now(tmp_path: Path) -> None:
    source = source_of(stored(tmp_path))
    assert (source.read(30, 40) == ROWS[30:40]).all()
    changed = zarr.open_array(tmp_path, mode="r+")
    changed[35] = -1
    assert (source.read(30, 40)[5] == -1).all()
