"""A disk that is full, over its quota, or may not be written: said, with what is stored kept."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr.storage import LocalStore

import geodask as gd
from geodask.storage.group import find
from geodask.storage.objects import open_objects
from test_store import arrays, same

FULL = """
import subprocess, sys
import dask
import numpy as np
import geodask as gd
import geodask.engine.execution as execution
import geodask.engine.marks as marks
import geodask.ops.compared as compared

compared.TASK_WORK = (1.5e7, 5e12)
marks.MARK_SECONDS = 0.01  # some blocks are marked before the disk is full
execution.check_space = lambda *_: None  # as where others fill it during the run
folder = sys.argv[1]
mount = lambda options: subprocess.run(
    ["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True
)
mount("size=200k")
dask.config.set({"geodask.store": folder + "/store", "geodask.store-max-bytes": "1 GB"})
dask.config.set({"geodask.progress": "off"})
manifold = gd.Sphere(24)
x = gd.points(manifold.random(2000, seed=1).astype(np.float32), manifold)
truth = gd.knn(x, k=4).compute()


def refused(said):
    try:
        gd.knn(x, k=4).persist()
    except gd.StoreError as error:
        assert said in str(error) and folder in str(error), error
    else:
        raise AssertionError("it was not refused")


refused("No space left on device")
mount("remount,ro")
refused("Read-only file system")
mount("remount,rw,size=8m")
found = gd.knn(x, k=4).persist()
assert found.report.blocks_stored > 0, found.report
assert np.asarray(found.indices).tobytes() == truth.indices.tobytes()
"""


def test_a_disk_that_is_full_then_read_only_then_large_enough(tmp_path: Path) -> None:
    alone = ["unshare", "--mount", "--map-root-user"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    (tmp_path / "disk").mkdir()
    command = [*alone, sys.executable, "-c", FULL, str(tmp_path / "disk")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("small_tasks")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_disk_refuses_is_said_and_what_is_stored_is_kept(
    code: int, sphere: gd.Points, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = gd.knn(sphere, k=4).compute()
    write, count = LocalStore.set, iter(range(10**6))

    async def refuse_later(self: LocalStore, key: str, value: Any) -> None:
        if next(count) > 60 and "/marks/" not in key:
            raise OSError(code, os.strerror(code), key)
        await write(self, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", refuse_later)
        said = rf"knn-.* under {store} failed: .*{os.strerror(code)}.*stored already is kept"
        with pytest.raises(gd.StoreError, match=said) as raised:
            gd.knn(sphere, k=4).persist()
    assert raised.value.__cause__.errno == code
    kept = find(open_objects(str(store)), f"knn-{truth.report.key}")
    assert len(kept.digests) > 10
    found = gd.knn(sphere, k=4).persist()
    assert found.report.blocks_stored > 0
    assert same(arrays(found), arrays(truth))
    assert np.asarray(found.certified).all()
