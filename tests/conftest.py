"""A store of its own for each test, small data, and one small cluster for those that need it."""

from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest

import geodask as gd


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


@pytest.fixture
def sphere() -> gd.Points:
    """2,000 float32 points on a sphere in 24 dimensions."""
    manifold = gd.Sphere(24)
    return gd.points(manifold.random(2000, seed=1).astype(np.float32), manifold)


@pytest.fixture
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts small data into many tasks: 16 blocks x 2 panels for 2,000 rows in 24 dimensions."""
    monkeypatch.setattr("geodask.ops.compared.TASK_WORK", (1.5e7, 5e12))
