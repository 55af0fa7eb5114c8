"""A store of its own for each test, small data, and one small cluster for those that need it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from zarr.storage import MemoryStore

import geodask as gd
from geodask.storage.objects import Objects, open_objects
from s3 import s3_server


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> Iterator[Path]:
    """The configured store, empty; no progress bar."""
    folder = tmp_path / "store"
    with dask.config.set({"geodask.store": str(folder), "geodask.progress": "off"}):
        yield folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[object]:
    """Two worker processes of one thread each."""
    from dask.distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit="4GiB"
    ) as running:
        yield running


@pytest.fixture
def client(cluster: object) -> Iterator[object]:
    """A client of that cluster, the current one while the test runs."""
    from dask.distributed import Client

    with Client(cluster) as connected:
        yield connected


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, Any]]:
    """The storage options of an S3 server."""
    with s3_server() as options:
        yield options


@pytest.fixture
def bucket(server: dict[str, Any], request: pytest.FixtureRequest) -> str:
    """The URL of an empty bucket of the test's own."""
    import fsspec

    name = f"bucket-{abs(hash(request.node.nodeid))}"
    fsspec.filesystem("s3", **server).mkdir(name)
    return f"s3://{name}"


@pytest.fixture
def sphere() -> gd.Points:
    """2,000 float32 points on a sphere in 24 dimensions."""
    manifold = gd.Sphere(24)
    return gd.points(manifold.random(2000, seed=1).astype(np.float32), manifold)


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts small data into many tasks: 16 blocks x 2 panels for 2,000 rows in 24 dimensions."""
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1.5e7, 5e12))


@pytest.fixture(params=["folder", "elsewhere"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """A store in a folder, and one that takes away object by object, as a bucket does."""
    if request.param == "folder":
        return open_objects(str(tmp_path / "objects"))
    return Objects("elsewhere:", MemoryStore())


@pytest.fixture(scope="session")
def dead() -> dict[str, Any]:
    """The signature of a process that has ended."""
    code = "import json; from geodask.storage.process import signed; print(json.dumps(signed()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
