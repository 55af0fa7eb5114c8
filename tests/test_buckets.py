"""Buckets are folders like any others; what opens them reaches the workers and is kept nowhere."""

import logging
import pickle
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

import geodask as gd
from geodask.storage import access
from s3 import SECRET

SPHERE = gd.Sphere(4)
ROWS = SPHERE.random(600, seed=0).astype(np.float32)
TABLE = {"column": "e", "ids": "id"}


def put(folder: Path, url: str, options: dict[str, Any]) -> Any:
    files = fsspec.filesystem("s3", **options)
    files.put(f"{folder}/", f"{url}/", recursive=True)
    return files


def write(folder: Path, rows: np.ndarray = ROWS) -> Path:
    """Three files in row groups of 70."""
    folder.mkdir(exist_ok=True)
    for part, numbers in enumerate(np.array_split(np.arange(len(rows)), 3)):
        names = [f"doc {i}" for i in numbers]
        table = pa.table({"id": names, "e": list(rows[numbers]), "number": numbers})
        pq.write_table(table, folder / f"part-{part}.parquet", row_group_size=70)
    return folder


@pytest.fixture(params=["pyarrow", "s3fs"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who reads the files: pyarrow's client, or s3fs where that cannot take the options."""
    if request.param == "s3fs":
        monkeypatch.setattr("geodask.engine.files.arrow_s3", lambda url, name: None)
    return request.param


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("where", ["", "/*.parquet"])
def test_parquet_in_a_bucket_is_that_of_a_folder(
    where: str, bucket: str, server: dict[str, Any], tmp_path: Path
) -> None:
    put(write(tmp_path / "rows"), f"{bucket}/rows", server)
    x = gd.points(f"{bucket}/rows{where}", SPHERE, **TABLE, storage_options=server)
    there = gd.points(tmp_path / "rows", SPHERE, **TABLE)
    assert np.array_equal(x.read(0, 600), there.read(0, 600))
    found, expected = (gd.knn(y, k=3).compute() for y in (x, there))
    assert np.array_equal(found.indices, expected.indices)
    frame = found.to_dataframe().compute()
    assert frame.row_id.tolist() == [f"doc {i}" for i in frame.row]
    assert frame.other_id.tolist() == [f"doc {i}" for i in frame.other]
    chosen = {"filters": [("number", ">", 500)], "storage_options": server}
    some = gd.points(f"{bucket}/rows{where}", SPHERE, **TABLE, **chosen)
    assert np.array_equal(some.read(0, 99), ROWS[501:])
    assert list(some.ids or ())[:2] == ["doc 501", "doc 502"]


def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What s3fs asks for from now on."""
    call, seen = S3FileSystem._call_s3, []

    async def note(self: S3FileSystem, method: str, *arguments: Any, **options: Any) -> Any:
        seen.append(method)
        return await call(self, method, *arguments, **options)

    monkeypatch.setattr(S3FileSystem, "_call_s3", note)
    return seen


def test_a_file_in_a_bucket_is_recognised_by_its_etag(
    bucket: str, server: dict[str, Any], tmp_path: Path
) -> None:
    files = put(write(tmp_path / "rows"), f"{bucket}/rows", server)

    def run() -> Any:
        x = gd.points(f"{bucket}/rows/part-0.parquet", SPHERE, **TABLE, storage_options=server)
        return gd.knn(x, k=2).persist()

    assert not run().report.cache_hit
    assert run().report.cache_hit
    files.put(str(write(tmp_path / "rows", ROWS[::-1]) / "part-0.parquet"), f"{bucket}/rows/")
    assert not run().report.cache_hit


def test_a_file_that_is_read_in_pieces_is_asked_for_its_state_once(
    bucket: str, server: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(write(tmp_path / "rows"), f"{bucket}/rows", server)
    x = gd.points(f"{bucket}/rows/part-0.parquet", SPHERE, **TABLE, storage_options=server)
    asked = calls(monkeypatch)
    for start in range(0, len(x), 10):
        assert np.array_equal(x.read(start, start + 10), ROWS[start : start + 10][: len(x) - start])
    assert asked.count("head_object") <= 2
    before = asked.count("head_object")
    x.source.fingerprint()
    x.source.fingerprint()
    assert asked.count("head_object") == before + 2  # who asks for a change gets what is true now


@pytest.mark.usefixtures("reader")
def test_hdf5_and_a_missing_file_in_a_bucket(
    bucket: str, server: dict[str, Any], tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file.create_dataset("rows", data=ROWS, chunks=(64, 4))
    files = fsspec.filesystem("s3", **server)
    files.put(str(tmp_path / "rows.h5"), f"{bucket}/rows.h5")
    x = gd.points(f"{bucket}/rows.h5", SPHERE, storage_options=server)
    assert np.array_equal(x.read(10, 500), ROWS[10:500])
    files.rm(f"{bucket}/rows.h5")
    with pytest.raises(gd.StoreError, match=r"rows\.h5"):
        x.read(0, 1)


def test_pyarrow_reads_s3_where_it_finds_what_s3fs_does(
    server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)

    def client(url: str, **options: Any) -> Any:
        return access.arrow_s3(url, access.grant(url, options))

    assert client("s3://b", **server) is not None
    assert client("s3://b", key="k", secret="s") is None  # the region is not known
    assert client("s3://b", **server, config_kwargs={"retries": 3}) is None
    assert client("gs://b", **server) is None
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert client("s3://b", key="k", secret="s").region == "eu-west-1"


def test_the_chunks_of_an_array_are_listed_at_once(
    bucket: str, server: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(tmp_path / "rows", data=ROWS, chunks=(50, 4))
    put(tmp_path / "rows", f"{bucket}/rows", server)
    x = gd.points(f"{bucket}/rows", SPHERE, storage_options=server)
    seen = calls(monkeypatch)
    states = x.source.fingerprint()
    assert len(states or []) == 13
    assert 0 < len(seen) < 5


def test_saved_points_are_opened_from_a_bucket(
    bucket: str, server: dict[str, Any], tmp_path: Path
) -> None:
    named = gd.points(ROWS, SPHERE, ids=[f"doc {i}" for i in range(600)])
    named.save(tmp_path / "saved")
    files = put(tmp_path / "saved", f"{bucket}/saved", server)
    x = gd.open(f"{bucket}/saved", storage_options=server)
    assert x.manifold == SPHERE
    assert np.array_equal(x.read(0, 600), ROWS)
    assert x.rows_of(["doc 7", "doc 599"]).tolist() == [7, 599]
    assert np.array_equal(x.take(["doc 7"]).read(0, 1), ROWS[7:8])
    assert np.array_equal(x.array.compute(), ROWS)
    with pytest.raises(gd.SpecError, match="appended to points that were saved"):
        x.append(ROWS[:1], ids=["new"])
    files.rm(f"{bucket}/saved/points/c/0/0")
    with pytest.raises(gd.StoreError, match="must exist, but is missing"):
        x.read(0, 1)


def test_workers_are_told_what_opens_a_bucket_and_nothing_keeps_it(
    bucket: str,
    server: dict[str, Any],
    client: Any,
    tmp_path: Path,
    store: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    put(write(tmp_path / "rows"), f"{bucket}/rows", server)
    x = gd.points(f"{bucket}/rows", SPHERE, **TABLE, storage_options=server)
    found = gd.knn(x, k=2).persist()  # workers do not know where the server is, unless told
    names = found.to_dataframe().row_id.compute()
    assert names.tolist() == [f"doc {i // 2}" for i in range(1200)]
    assert np.array_equal(x.array.compute(), ROWS)
    told = client.run(lambda: [each["secret"] for each in access._known.values()])
    assert all(SECRET in each for each in told.values())

    kept = [pickle.dumps(x), pickle.dumps(x.array), pickle.dumps(found.to_dataframe())]
    kept += [path.read_bytes() for path in store.rglob("*") if path.is_file()]
    kept += [repr(x).encode(), x._repr_html_().encode(), caplog.text.encode()]
    kept += [str(client.get_worker_logs()).encode(), str(client.get_scheduler_logs()).encode()]
    assert not any(SECRET.encode() in each for each in kept)


def test_what_fsspec_is_configured_with_opens_a_bucket(
    bucket: str, server: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(write(tmp_path / "rows"), f"{bucket}/rows", server)
    monkeypatch.setitem(fsspec.config.conf, "s3", server)
    x = gd.points(f"{bucket}/rows", SPHERE, **TABLE)
    assert np.array_equal(x.read(0, 600), ROWS)


def test_a_process_that_was_not_told_says_so(
    bucket: str, server: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(write(tmp_path / "rows"), f"{bucket}/rows", server)
    x = gd.points(f"{bucket}/rows", SPHERE, **TABLE, storage_options=server)
    monkeypatch.setattr(access, "_known", {})
    with pytest.raises(gd.StoreError, match="must be known to this process"):
        x.read(0, 1)


@pytest.mark.parametrize(
    "url", ["s3://key:secret@bucket/rows", "https://host/rows.parquet?X-Amz-Signature=0123"]
)
def test_urls_hold_no_secrets(url: str) -> None:
    with pytest.raises(gd.SpecError, match="hold no passwords or signatures") as raised:
        gd.points(url, SPHERE, column="e")
    assert "secret" not in str(raised.value)
    assert "0123" not in str(raised.value)


def test_what_a_bucket_lacks_is_said(bucket: str, server: dict[str, Any]) -> None:
    files = fsspec.filesystem("s3", **server)
    with pytest.raises(FileNotFoundError, match="none is there"):
        gd.points(f"{bucket}/nothing", SPHERE, column="e", storage_options=server)
    files.pipe(f"{bucket}/rows.arrow", b"0")
    with pytest.raises(gd.SpecError, match="Arrow files are mapped from a folder"):
        gd.points(f"{bucket}/rows.arrow", SPHERE, column="e", storage_options=server)
    files.pipe(f"{bucket}/rows.npy", b"0")
    with pytest.raises(gd.SpecError, match=r"\.npy files are mapped from a folder"):
        gd.points(f"{bucket}/rows.npy", SPHERE, storage_options=server)
    with pytest.raises(gd.StoreError, match="must be a protocol that fsspec can open"):
        gd.points("nowhere://bucket/rows", SPHERE, column="e")


class Denied(MemoryFileSystem):
    """Files of which some may be listed and not read."""

    protocol = "denied"
    forbidden = False
    cachable = False

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        if self.forbidden and path.endswith("part-1.parquet"):
            raise PermissionError(f"no one may read {path}")
        return super()._open(path, *arguments, **options)


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("denied", Denied, clobber=True)
    for folder in ("rows", "others"):
        Denied().put(f"{write(tmp_path / 'rows')}/", f"denied://{folder}/", recursive=True)
    x = gd.points("denied://rows", SPHERE, **TABLE)
    monkeypatch.setattr(Denied, "forbidden", True)
    with pytest.raises(gd.StoreError, match=r"part-1\.parquet, row group 0.*no one may read"):
        gd.knn(x, k=2).persist()
    with pytest.raises(gd.StoreError, match=r"part-1\.parquet must be readable"):
        gd.points("denied://others", SPHERE, **TABLE)
    monkeypatch.setattr(Denied, "forbidden", False)
    assert not gd.knn(x, k=2).persist().report.cache_hit
