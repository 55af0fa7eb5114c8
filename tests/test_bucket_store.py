"""A store in a bucket keeps what one in a folder does: every promise, over HTTP to an S3 server."""

import gc
import logging
import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import fsspec
import numpy as np
import pytest

import geodask as gd
from geodask.config import settings, using
from geodask.engine import admission, copies
from geodask.engine.executors import visible
from geodask.engine.remote import Dask
from geodask.storage import access
from geodask.storage.group import find
from geodask.storage.objects import Objects, open_objects, open_store
from s3 import KEY, SECRET, answering
from test_resume import CHILD, kill_once
from test_store import arrays, same

SPHERE = gd.Sphere(24)
pytestmark = pytest.mark.usefixtures("small_tasks")


@pytest.fixture
def few(sphere: gd.Points) -> gd.Points:
    """Enough for some 20 tasks."""
    return sphere[:900]


@pytest.fixture
def there(bucket: str, server: dict[str, Any]) -> Iterator[Objects]:
    """The configured store, in a bucket."""
    url = f"{bucket}/store"
    with dask.config.set({"geodask.store": url, "geodask.store-options": server}):
        yield open_objects(url, server)


def flip(objects: Objects, key: str) -> None:
    data = bytearray(objects.get(key))
    data[len(data) // 2] ^= 4
    objects.put(key, bytes(data))


def lazy(x: gd.Points, chunk: int = 300) -> gd.Points:
    return gd.points(da.from_array(x.read(0, len(x)), chunks=(chunk, 24)), SPHERE)


def test_a_result_in_a_bucket_is_that_of_a_folder(
    few: gd.Points, there: Objects, store: Path
) -> None:
    first = gd.knn(few, k=4).persist()
    assert first.report.url.startswith(f"{there.url}/knn-")
    assert first.report.blocks_computed > 10
    again = gd.knn(few, k=4).persist()
    assert again.report.cache_hit
    assert gd.knn(few, k=4).compute().report.cache_hit
    keys = there.keys("")
    assert not [key for key in keys if "/marks/" in key or "/partials/" in key]
    with dask.config.set({"geodask.store": str(store)}):
        truth = gd.knn(few, k=4).compute()
    assert same(arrays(again), arrays(truth))
    assert np.array_equal(first.to_dataframe().compute().other, truth.indices.ravel())


def test_damage_in_a_bucket_is_an_error_and_is_mended(few: gd.Points, there: Objects) -> None:
    first = gd.knn(few, k=4).persist()
    truth, group = arrays(first), first.report.url.rpartition("/")[2]
    flip(there, f"{group}/distances/c/1/0")
    there.delete(f"{group}/indices/c/0/0")
    with pytest.raises(gd.StoreError, match="bytes differ"):
        first.distances.compute()
    with pytest.raises(gd.StoreError, match="missing"):
        gd.knn(few, k=4).compute()
    mended = gd.knn(few, k=4).persist(verify=True)
    assert 0 < mended.report.blocks_computed < first.report.blocks_computed
    assert same(arrays(mended), truth)


def test_a_store_in_a_bucket_is_listed_and_evicted(few: gd.Points, there: Objects) -> None:
    result = gd.knn(few, k=3).persist()
    key, store = result.report.key, gd.store()
    assert store.list().loc[key, "status"] == "complete"
    assert store.verify().empty
    with pytest.raises(gd.StoreError, match="reads or builds"):
        store.evict(key)
    assert np.array_equal(store.get(key).arrays["indices"].compute(), result.indices.compute())
    del result
    gc.collect()
    assert store.evict(key) > 0
    assert len(store) == 0
    assert not [name for name in there.keys("") if name.startswith(("knn-", "tombstones"))]
    assert not gd.knn(few, k=3).persist().report.cache_hit
    assert store.stats()["limit"] is None


def test_rows_grow_and_ids_are_found_over_a_store_in_a_bucket(
    few: gd.Points, there: Objects, tmp_path: Path
) -> None:
    ids = [f"doc {i}" for i in range(900)]
    x = gd.points(few, ids=ids)
    gd.knn(x[:600], k=4).persist()
    found = gd.knn(x, k=4).persist()
    assert found.report.reused == pytest.approx((600 / 900) ** 2)
    assert x.take(["doc 7", "doc 899"]).read(0, 2).tobytes() == x[[7, 899]].read(0, 2).tobytes()
    assert any(key.startswith("ids-") for key in there.keys(""))
    found.to_parquet(tmp_path / "table")
    assert len(gd.points(tmp_path / "table", gd.Euclidean(1), column="distance")) == 3600


def test_one_result_may_go_to_a_bucket(
    few: gd.Points, bucket: str, server: dict[str, Any], store: Path
) -> None:
    result = gd.knn(few, k=4).persist(f"{bucket}/one/", storage_options=server)
    assert result.report.url == f"{bucket}/one"
    assert gd.knn(few, k=4).persist(f"{bucket}/one", storage_options=server).report.cache_hit
    assert not list(store.glob("knn-*"))
    x = gd.points(f"{bucket}/one/distances", gd.Euclidean(4), storage_options=server)
    assert np.array_equal(x.read(0, 900), np.asarray(result.distances))  # as any reader of Zarr
    with pytest.raises(gd.StoreError, match="another plan"):
        gd.knn(few, k=5).persist(f"{bucket}/one", storage_options=server)
    open_objects(f"{bucket}/mine", server).put("notes.txt", b"keep me")
    with pytest.raises(gd.StoreError, match="something else"):
        gd.knn(few, k=4).persist(f"{bucket}/mine", storage_options=server)


def test_a_cluster_works_on_a_bucket_and_nothing_keeps_what_opens_it(
    few: gd.Points, there: Objects, client: Any, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plan = gd.knn(lazy(few), k=4)
    found = plan.persist()
    assert same(arrays(found), arrays(gd.knn(few, k=4).compute()))
    assert not plan.compute().report.blocks_computed
    assert len({key.split("/")[0] for key in there.keys("") if key.startswith("points-")}) == 1
    assert not there.keys("stages")
    told = client.run(lambda: [each["secret"] for each in access._known.values()])
    assert all(SECRET in each for each in told.values())
    kept = [pickle.dumps(there), pickle.dumps(found.indices), pickle.dumps(found.to_dataframe())]
    kept += [bytes(there.get(key)) for key in there.keys("")]
    kept += [pickle.dumps(settings()), repr(there.store).encode(), caplog.text.encode()]
    kept += [str(client.get_worker_logs()).encode(), str(client.get_scheduler_logs()).encode()]
    assert len(kept) > 50
    assert not any(SECRET.encode() in each for each in kept)
    assert not store.exists()


def test_other_plans_keep_their_results_in_a_bucket(
    few: gd.Points, there: Objects, store: Path
) -> None:
    x = gd.points(np.abs(few.read(0, 200)), SPHERE)
    plans = [gd.mean(x), gd.pairwise(x), gd.within(x, radius=1.2), gd.plan(gd.dist, x, x[::-1])]
    for plan in plans:
        assert not plan.persist().report.cache_hit
        assert plan.persist().report.cache_hit
    found = np.asarray(plans[1].persist().distances)
    with dask.config.set({"geodask.store": str(store)}):
        assert np.array_equal(found, plans[1].compute().distances)
    with (
        dask.config.set({"geodask.store-max-bytes": "1 kB"}),
        pytest.raises(gd.MemoryPlanError, match=f"bytes to {there.url}, but 0 of 1000 may be had"),
    ):
        gd.pairwise(few).persist()


def test_a_worker_that_does_not_see_the_bucket_is_named(client: Any) -> None:
    def answer(method: str, path: str) -> tuple[int, bytes]:
        if method == "GET":
            return 404, b"<Code>NoSuchKey</Code>"
        return 200, b"<DeleteResult><Deleted><Key>unseen/x</Key></Deleted></DeleteResult>"

    with (
        answering(answer) as options,
        pytest.raises(gd.StoreError, match="visible to every worker, but the worker in process"),
        visible(Dask(client, 2), open_objects("s3://bucket/unseen", options)),
    ):
        pass


# --- copies -------------------------------------------------------------------------------------


class Elsewhere:
    """An executor whose tasks run in other processes, as far as admission can tell."""

    remote = True

    def __init__(self, pool: ThreadPoolExecutor):
        self.submit = lambda name, function, *arguments: pool.submit(function, *arguments)
        self.slots = 2


def test_copies_at_once_in_a_bucket_are_one(few: gd.Points, there: Objects) -> None:
    def admit(number: int) -> Any:
        with ThreadPoolExecutor(2) as pool:
            return admission.admit(lazy(few, 100 + number), settings(), Elsewhere(pool), there)

    with ThreadPoolExecutor(4) as pool:
        admitted = list(pool.map(admit, range(4)))
    for each in admitted:
        each.check_unchanged()
        assert each.points.read(0, 900).tobytes() == few.read(0, 900).tobytes()
    assert (
        len({key.split("/")[0] for key in there.keys("")} - {"admission", "leases", "limit"}) == 1
    )


def test_a_damaged_copy_in_a_bucket_is_written_anew(
    few: gd.Points, there: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(2) as pool:
        known = settings(), Elsewhere(pool), there
        first = admission.admit(lazy(few), *known)
        (chunk,) = there.keys(f"{first.points.source.path}/c")
        flip(there, chunk)
        with pytest.raises(gd.StoreError, match="must stay as it is"):
            first.check_unchanged()
        second = admission.admit(lazy(few), *known)
        assert second.points.read(0, 900).tobytes() == few.read(0, 900).tobytes()

        # What a killed process left, before the root was written and after some objects were.
        there.delete(f"{chunk.split('/')[0]}/zarr.json")
        flip(there, chunk)
        there.put("stages/0123/points/c/0/0", b"half")
        monkeypatch.setattr(copies, "STALE_SECONDS", -5.0)
        third = admission.admit(lazy(few), *known)
        assert third.points.read(0, 900).tobytes() == few.read(0, 900).tobytes()
        assert not there.keys("stages")


# --- objects ------------------------------------------------------------------------------------


def test_objects_of_a_bucket(bucket: str, server: dict[str, Any]) -> None:
    here, beside = (open_objects(f"{bucket}/{name}", server) for name in ("a", "ab?#é %41"))
    beside.put("x", b"beside")
    assert here.get("x") is None
    here.put("x", b"")
    assert here.get("x").nbytes == 0
    with ThreadPoolExecutor(4) as pool:
        names = [f"many/{number:04d}" for number in range(1010)]  # two pages of a listing
        list(pool.map(lambda key: here.put(key, key.encode()), names))
    assert here.keys("many") == here.keys("many/") == names
    assert here.keys("man") == []
    here.put("from/a b%é", b"moved")
    assert here.move("from", "to")
    assert bytes(here.get("to/a b%é")) == b"moved"
    here.delete()
    here.delete("many/0001", "many/0001", "never")
    here.delete_under("many")
    assert here.keys("") == ["to/a b%é", "x"]
    assert beside.keys("") == ["x"]
    large = np.random.default_rng(0).integers(0, 256, 20 << 20, dtype=np.uint8)
    here.put("large", large)
    assert np.array_equal(here.get("large"), large)
    assert pickle.loads(pickle.dumps(here)) is here


def test_requests_of_several_threads_overlap() -> None:
    barrier = threading.Barrier(4, timeout=20)

    def answer(method: str, path: str) -> tuple[int, bytes]:
        barrier.wait()  # breaks unless four are under way
        return 200, b"bytes"

    with answering(answer) as options, ThreadPoolExecutor(4) as pool:
        objects = open_objects("s3://bucket/overlap", options)
        list(pool.map(lambda key: objects.put(key, b"bytes"), "abcd"))
        assert {bytes(each) for each in pool.map(objects.get, "abcd")} == {b"bytes"}


@pytest.mark.parametrize(
    ("status", "text"), [(403, b"<Code>AccessDenied</Code>"), (404, b"<Code>NoSuchBucket</Code>")]
)
def test_what_a_bucket_refuses_is_said_with_the_object(status: int, text: bytes) -> None:
    with answering(lambda method, path: (status, text)) as options:
        objects = open_objects(f"s3://bucket/refused-{status}", options)
        calls: list[Any] = [
            lambda: objects.get("x"),
            lambda: objects.put("x", b"1"),
            lambda: objects.move("x", "y"),
            lambda: objects.delete("x"),
            lambda: objects.keys("x"),
        ]
        for call in calls:
            message = f"'x' under s3://bucket/refused-{status} failed: .*{status}.*is kept"
            with pytest.raises(gd.StoreError, match=f"(?s){message}") as raised:
                call()
            assert "Debug" not in str(raised.value)
            assert SECRET not in str(raised.value)
            assert isinstance(pickle.loads(pickle.dumps(raised.value)), gd.StoreError)


def test_a_busy_bucket_is_asked_again_and_one_that_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def answer(method: str, path: str) -> tuple[int, bytes]:
        seen.append(method)
        return (503, b"<Code>SlowDown</Code>") if len(seen) < 3 else (200, b"late")

    patience = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
    monkeypatch.setattr(access, "PATIENCE", patience)
    with answering(answer) as options:
        objects = open_objects("s3://bucket/busy", options)
        assert bytes(objects.get("x")) == b"late"
    assert seen == ["GET"] * 3
    with pytest.raises(gd.StoreError, match="'x' under s3://bucket/closed failed"):
        open_objects("s3://bucket/closed", options).put("x", b"1")


def test_carried_settings_open_the_store_by_a_name(there: Objects, store: Path) -> None:
    carried = pickle.dumps(replace(settings(), store_options=there.options))
    assert SECRET.encode() not in carried
    with dask.config.set({"geodask.store": str(store), "geodask.store-options": None}):
        assert open_store(settings()).url == str(store)
        with using(pickle.loads(carried)):
            assert open_store(settings()) is there


# --- what opens a bucket ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["environment", "profile", "client_kwargs", "fsspec"])
def test_credentials_are_found_as_fsspec_finds_them(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bucket: str, server: dict[str, Any]
) -> None:
    options: dict[str, Any] = {}
    endpoint = server["endpoint_url"]
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    if how == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    elif how == "profile":
        keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n"
        (tmp_path / "credentials").write_text(f"[work]\n{keys}")
        options = {"profile": "work", "endpoint_url": endpoint}
    elif how == "client_kwargs":
        where = {"endpoint_url": endpoint, "region_name": "eu-west-1"}
        options = {"key": KEY, "secret": SECRET, "client_kwargs": where}
    else:
        monkeypatch.setitem(fsspec.config.conf, "s3", server)
    objects = open_objects(f"{bucket}/found-by-{how}", options)
    objects.put("x", b"1")
    assert objects.keys("") == ["x"]


def test_a_bucket_of_aws_is_found_in_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")

    def tell(name: str) -> str:
        if name == "here":
            return "eu-west-1"
        raise OSError("no such bucket")

    monkeypatch.setattr("pyarrow.fs.resolve_s3_region", tell)
    assert open_objects("s3://here/x", {"anon": True}).store.config["region"] == "eu-west-1"
    with pytest.raises(gd.StoreError, match="region of the bucket there must be known"):
        open_objects("s3://there/x", {"anon": True})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert open_objects("s3://there/x", {"anon": True}).store.config["region"] == "eu-west-2"


def test_what_no_store_opens_is_said(
    few: gd.Points, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = gd.knn(few, k=4)
    with pytest.raises(gd.SpecError, match=r"opened with .*but requester_pays came") as raised:
        plan.persist(bucket, storage_options={"requester_pays": SECRET})
    assert SECRET not in str(raised.value)
    with pytest.raises(gd.StoreError, match="a local folder or an S3 bucket, but 'gs://b/x' came"):
        plan.persist("gs://b/x")
    with pytest.raises(gd.SpecError, match="hold no passwords"):
        plan.persist("s3://key:secret@bucket/x")
    with pytest.raises(gd.StoreError, match="saved in a local folder"):
        few.save(f"{bucket}/saved")
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(gd.StoreError, match=r"Install geodask\[s3\]"):
        plan.persist(f"{bucket}/nothing")


# --- killed -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", pytest.param("dask", marks=pytest.mark.long)])
def test_a_run_that_was_killed_goes_on_in_the_bucket(
    engine: str, sphere: gd.Points, there: Objects, server: dict[str, Any], tmp_path: Path
) -> None:
    with dask.config.set({"geodask.store": str(tmp_path / "other")}):
        truth = gd.knn(sphere, k=4).compute()
    tasks = truth.report.blocks_computed
    (tmp_path / "child.py").write_text(CHILD)
    path = f"knn-{truth.report.key}"
    kill_once(
        lambda: len(getattr(find(there, path), "digests", ())) >= tasks * 2 // 5,
        tmp_path / "child.py",
        engine,
        DASK_GEODASK__STORE=there.url,
        DASK_GEODASK__STORE_OPTIONS=repr(server),
    )
    resumed = gd.knn(sphere, k=4).persist()
    assert resumed.report.blocks_stored > 0
    assert resumed.report.blocks_computed + resumed.report.blocks_stored == tasks
    assert same(arrays(resumed), arrays(truth))
