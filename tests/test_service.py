"""The service: jobs over HTTP, from a submission to the rows of its result, and what is refused."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import fsspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator

import geodask as gd
from asking import BEARER, JSON, TOKEN, Answer, Asking, recorded
from geodask import service
from geodask.config import settings
from geodask.service import http, limits
from geodask.service.options import Options, configured
from s3 import SECRET

MANY = {"rate": 1e6, "rate_all": 1e6}


@pytest.fixture(scope="module")
def idle() -> Iterator[Any]:
    """A client of a scheduler in this process, without workers: jobs stay queued."""
    from dask.distributed import Client, LocalCluster

    how = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**how) as cluster, Client(cluster, set_as_default=False) as connected:
        yield connected


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The root of the inputs."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def ask(idle: Any, data: Path) -> Iterator[Asking]:
    """Asks the service of that scheduler."""
    service.install(idle, token=TOKEN, roots=[data], **MANY)
    yield Asking(port_of(idle))
    service.uninstall(idle)


@pytest.fixture
def saved(data: Path) -> Path:
    """200 points with ids, in a folder under the root."""
    sphere = gd.Sphere(8)
    names = [f"document {i}" for i in range(200)]
    path = data / "x.zarr"
    gd.points(sphere.random(200, seed=1).astype(np.float32), sphere, ids=names).save(path)
    return path


def port_of(client: Any) -> int:
    return client.scheduler_info()["services"]["dashboard"]


def described(ask: Asking, name: str) -> Draft202012Validator:
    document = ask("GET", "/schema").json
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document})


def finished(ask: Asking, id: str) -> Any:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        job = ask("GET", f"/{id}").json
        if job["status"] not in ("queued", "running"):
            return job
        time.sleep(0.1)
    raise AssertionError(job)


# --- jobs -------------------------------------------------------------------------------------


def test_a_submission_becomes_a_job_and_its_result_is_that_of_the_plan(
    client: Any, data: Path, saved: Path
) -> None:
    service.install(client, token=TOKEN, roots=[data], **MANY)
    ask = Asking(port_of(client))
    try:
        answer = ask.submit("knn", f"file://{saved}", k=3, name="mine", priority=2)
        assert answer.status == 201, answer.body
        job = answer.json
        assert answer.headers["Location"] == f"/geodask/jobs/{job['id']}"
        assert (job["name"], job["operation"], job["priority"]) == ("mine", "knn", 2)
        done = finished(ask, job["id"])
        assert (done["status"], done["progress"], done["error"]) == ("completed", 1.0, None)
        assert ask("GET").json["jobs"] == [done]
        found = ask("GET", f"/{job['id']}/result?rows=5").json
        described(ask, "Result").validate(found)
        described(ask, "Job").validate(done)
    finally:
        service.uninstall(client)
    expected = gd.knn(gd.open(saved), k=3).compute()
    assert found["url"] == expected.report.url
    assert found["rows"]["indices"] == expected.indices[:5].tolist()
    assert found["rows"]["distances"] == expected.distances[:5].tolist()
    assert found["schema"]["indices"]["shape"] == [200, 3]
    assert found["report"]["certified"] == expected.report.certified
    assert found["ids"]["row"] == [f"document {i}" for i in range(5)]
    assert found["ids"]["indices"][4] == [f"document {i}" for i in expected.indices[4]]


@pytest.mark.slow
def test_a_scheduler_serves_when_it_preloads_the_service(
    tmp_path: Path, data: Path, saved: Path, monkeypatch: pytest.MonkeyPatch, store: Path
) -> None:
    from dask.distributed import Client

    from detached import detached

    for name, value in {
        "DISTRIBUTED__SCHEDULER__PRELOAD": "['geodask.service']",
        "GEODASK__STORE": str(store),
        "GEODASK__SERVICE__TOKEN": TOKEN,
        "GEODASK__SERVICE__ROOTS": str(data),
    }.items():
        monkeypatch.setenv(f"DASK_{name}", value)
    with detached(tmp_path, 1) as cluster:
        with Client(cluster.address, set_as_default=False) as connected:
            ask = Asking(port_of(connected))
        answers = [ask.submit("knn", saved, k=4), ask.submit("within", saved, radius=0.6)]
        jobs = [finished(ask, answer.json["id"]) for answer in answers]
        assert [job["status"] for job in jobs] == ["completed"] * 2
        found, near = (ask("GET", f"/{job['id']}/result").json for job in jobs)
        described(ask, "Result").validate(near)
    expected = gd.knn(gd.open(saved), k=4).compute()
    assert expected.report.cache_hit
    assert found["rows"]["indices"] == expected.indices[:100].tolist()
    pairs = gd.within(gd.open(saved), radius=0.6).compute()
    assert near["schema"]["row"]["shape"] == [len(pairs.row)]
    assert near["rows"]["other"] == pairs.other[:100].tolist()
    assert near["ids"]["other"][0] == f"document {pairs.other[0]}"
    log = (tmp_path / "0.log").read_text(encoding="utf-8")
    assert "Scheduler at" in log
    assert TOKEN not in log


def test_a_queued_job_is_shown_has_no_result_and_can_be_cancelled(
    ask: Asking, saved: Path, store: Path
) -> None:
    job = ask.submit("mean", saved, tol=1e-6).json
    assert job["status"] == "queued"
    described(ask, "Job").validate(job)
    answer = ask("GET", f"/{job['id']}/result")
    assert (answer.status, "it is queued" in answer.message) == (409, True)
    assert ask("DELETE", f"/{job['id']}").status == 200
    assert (store / "jobs" / job["id"] / "cancel").exists()


def test_jobs_are_listed_page_by_page_the_newest_first(ask: Asking, saved: Path) -> None:
    plan = gd.knn(gd.open(saved), k=2)
    made = [recorded(plan, f"job {i}").id for i in range(5)]
    first = ask("GET", "?limit=3").json
    second = ask("GET", f"?limit=3&after={first['next']}").json
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == sorted(made, reverse=True)
    assert (len(first["jobs"]), second["next"]) == (3, None)
    described(ask, "Jobs").validate(first)


def test_a_damaged_record_is_shown_as_that_beside_the_others(
    ask: Asking, saved: Path, store: Path
) -> None:
    plan = gd.knn(gd.open(saved), k=2)
    torn, good = (recorded(plan).id for _ in range(2))
    (store / "jobs" / torn / "job.json").write_bytes(b"{")
    found = {job["id"]: job for job in ask("GET").json["jobs"]}
    assert (found[torn]["status"], found[good]["status"]) == ("damaged", "queued")
    described(ask, "Job").validate(found[torn])


def completed(plan: Any) -> tuple[str, Any]:
    """A record as a driver leaves it, and the result."""
    record, result = recorded(plan), plan.persist()
    record.tell({"status": "completed", "results": [result.report.url]})
    return record.id, result


def test_rows_that_are_not_there_are_null_and_a_lost_result_is_gone(
    ask: Asking, data: Path
) -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    gd.points(rows, gd.Sphere(2)).save(data / "few.zarr")
    x = gd.open(data / "few.zarr")
    id, result = completed(gd.plan(gd.log_map, x[:1], x))
    found = ask("GET", f"/{id}/result").json
    assert found["rows"]["values"][2] == [None, None]  # the antipode has no logarithm
    assert found["rows"]["values"][1] == result.values[1].compute().tolist()
    shutil.rmtree(result.report.url)
    assert ask("GET", f"/{id}/result").status == 410


def test_ids_and_results_outside_the_roots_and_the_store_are_not_read(
    ask: Asking, saved: Path, tmp_path: Path, data: Path
) -> None:
    outside = tmp_path / "outside.zarr"
    gd.open(saved).save(outside)
    shutil.copytree(saved, data / "gone.zarr")
    id, _ = completed(gd.knn(gd.open(data / "gone.zarr"), k=3))
    shutil.rmtree(data / "gone.zarr")
    found = ask("GET", f"/{id}/result").json
    assert (len(found["rows"]["indices"]), found["ids"]) == (100, {})
    for path in (outside, f"{data}/../outside.zarr"):
        id, _ = completed(gd.knn(gd.open(path), k=2))
        found = ask("GET", f"/{id}/result").json
        assert len(found["rows"]["indices"]) == 100
        assert found["ids"] == {}
    plan = gd.knn(gd.open(saved), k=2)
    record = recorded(plan)
    plan.persist(tmp_path / "elsewhere")
    record.tell({"status": "completed", "results": [str(tmp_path / "elsewhere")]})
    found = ask("GET", f"/{record.id}/result").json
    assert (found["rows"], found["report"]) == ({}, None)
    described(ask, "Result").validate(found)


def test_what_is_shown_of_a_wide_array_is_bounded(ask: Asking, data: Path) -> None:
    line = gd.Euclidean(1)
    gd.points(np.arange(3000.0)[:, None], line).save(data / "line.zarr")
    x = gd.open(data / "line.zarr")
    id, _ = completed(gd.pairwise(x))
    shown = np.array(ask("GET", f"/{id}/result").json["rows"]["distances"])
    assert shown.shape[1] <= 1000
    assert 1 <= shown.size <= 10_000
    assert shown[2, 5] == 3.0


def test_inputs_and_the_store_may_lie_in_buckets(
    idle: Any, saved: Path, bucket: str, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fsspec.config.conf, "s3", server)  # as where a scheduler runs
    fsspec.filesystem("s3", **server).put(str(saved), f"{bucket}/in/x.zarr", recursive=True)
    where = {"geodask.store": f"{bucket}/store", "geodask.store-options": server}
    with dask.config.set(where):
        assert SECRET not in repr(configured(roots=[f"{bucket}/in"]))
        service.install(idle, token=TOKEN, roots=[f"{bucket}/in"], **MANY)
    ask = Asking(port_of(idle))
    try:
        answer = ask.submit("knn", f"{bucket}/in/x.zarr", k=2)
        assert answer.status == 201, answer.body
        assert ask("GET").json["jobs"][0]["id"] == answer.json["id"]
        for name, status in {"in/nothing": 404, "out/x.zarr": 403, "in": 404}.items():
            assert ask.submit("mean", f"{bucket}/{name}").status == status, name
    finally:
        service.uninstall(idle)


# --- who may ------------------------------------------------------------------------------------


def test_only_the_token_writes(ask: Asking, saved: Path) -> None:
    asked = {"operation": "knn", "inputs": [str(saved)], "parameters": {"k": 2}}
    for given in ({}, {"Authorization": TOKEN}, {"Authorization": "Bearer " + TOKEN[:-1]}):
        answer = ask("POST", "", asked, JSON | given)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert TOKEN not in str(answer)
        assert ask("DELETE", "/0123456789abcde", headers=given).status == 401
    assert ask("GET").json["jobs"] == []
    assert ask("POST", "", asked, JSON | {"Authorization": f"bearer {TOKEN}"}).status == 201


def test_without_a_token_nobody_writes_and_all_read(idle: Any, data: Path, saved: Path) -> None:
    service.install(idle, roots=[data], **MANY)
    ask = Asking(port_of(idle))
    try:
        assert ask.submit("knn", saved, k=2).status == 403
        assert ask("POST", "", {}, JSON | {"Authorization": "Bearer "}).status == 403
        assert ask("DELETE", "/0123456789abcde").status == 403
        assert ask("GET").status == 200
    finally:
        service.uninstall(idle)


def test_the_token_is_in_nothing_that_is_kept_or_shown(
    ask: Asking, idle: Any, saved: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    assert ask.submit("knn", saved, k=2).status == 201
    assert ask("GET", f"?token={TOKEN.replace(' ', '+')}").status == 400
    ask("POST", "", b"{", JSON | BEARER)
    assert TOKEN not in repr(Options(settings(), token=TOKEN))
    with pytest.raises(gd.SpecError) as caught:
        service.install(idle, token=TOKEN, roots=["nowhere"])
    assert TOKEN not in str(caught.value)
    with pytest.raises(gd.SpecError) as caught:
        Options(settings(), token=TOKEN[:9])
    assert TOKEN[:9] not in str(caught.value)
    assert "submitted job" in caplog.text
    assert TOKEN not in caplog.text
    kept = [path.read_bytes() for path in store.rglob("*") if path.is_file()]
    assert kept
    assert not any(TOKEN.encode() in each for each in kept)


def test_it_is_off_before_and_after(idle: Any, data: Path) -> None:
    ask = Asking(port_of(idle))
    assert ask("GET").status == 404
    service.install(idle, roots=[data])
    assert ask("GET").status == 200
    service.uninstall(idle)
    assert ask("GET").status == 404
    assert ask.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").body == b"ok"


def test_options_come_from_the_configuration_where_none_are_given() -> None:
    with dask.config.set({"geodask.service.token": TOKEN, "geodask.service.roots": "/data"}):
        found = configured(token=None, roots=None, rate=None)
        assert (found.token, found.roots, found.rate) == (TOKEN, ("/data",), 20)
        assert configured(roots=["/other"], rate=3).roots == ("/other",)
    with (
        dask.config.set({"geodask.service.token": 12345678901234567890}),
        pytest.raises(gd.SpecError, match="16 characters"),
    ):
        configured()


# --- what is refused ----------------------------------------------------------------------------

KNN = {"operation": "knn", "inputs": ["/x"], "parameters": {"k": 1}}


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "plain JSON"),
        (b"{", "plain JSON"),
        (b"\xff", "UTF-8"),
        (deep(9), "nested deeper"),
        (deep(30_000), "nested deeper"),
        (b'"' + b'\\"' * 30_000, "plain JSON"),
        (b'{"k": NaN}', "NaN is no number"),
        (b'{"k": -Infinity}', "no number"),
        (b'{"k": 1e999}', "1e999 is no number"),
        (b'{"k": ' + b"9" * 5000 + b"}", "plain JSON"),
        (b'{"k": 1, "k": 2}', "twice"),
        (b'{"k": "\\ud800"}', "surrogates"),
        (b"[]", "an operation of"),
        (b"7", "an operation of"),
        ({"operation": ["knn"]}, "an operation of"),
        ({"operation": "os.system"}, "an operation of"),
        ({"operation": "knn"}, "with operation, inputs, parameters"),
        (KNN | {"code": "1"}, "an object of"),
        (KNN | {"inputs": "/x"}, "inputs must be of type array"),
        (KNN | {"inputs": []}, "minItems"),
        (KNN | {"inputs": ["/x"] * 3}, "maxItems"),
        (KNN | {"inputs": [1]}, "inputs[0] must be of type string"),
        (KNN | {"inputs": ["/" + "x" * 3000]}, "maxLength"),
        (KNN | {"parameters": {}}, "with k"),
        (KNN | {"parameters": {"k": 0}}, "minimum"),
        (KNN | {"parameters": {"k": 1001}}, "maximum"),
        (KNN | {"parameters": {"k": True}}, "of type integer"),
        (KNN | {"parameters": {"k": 1.5}}, "of type integer"),
        (KNN | {"parameters": {"k": 1, "exclude": []}}, "an object of k"),
        (KNN | {"name": "two\nlines"}, "text like"),
        (KNN | {"name": "a line\n"}, "text like"),
        (KNN | {"priority": 1000}, "maximum"),
        ({"operation": "mean", "inputs": ["/x"], "parameters": {"tol": 1}}, "exclusiveMaximum"),
        (
            {"operation": "convert", "inputs": ["/x"], "parameters": {"to": {"manifold": "Z"}}},
            "with manifold, n",
        ),
    ],
)
def test_a_body_that_is_not_plainly_a_submission_is_refused(
    ask: Asking, body: Any, said: str
) -> None:
    answer = ask("POST", "", body)
    assert answer.status == 400
    assert said in answer.message


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 404),
        ("GET", "/nobody", {}, 404),
        ("GET", "/0123456789abcde", {}, 404),
        ("GET", "/0123456789abcde/result", {}, 404),
        ("GET", "/0123456789abcde/result/", {}, 404),
        ("GET", "/../../etc/passwd", {}, 404),
        ("GET", "/..%2f..%2fetc%2fpasswd", {}, 404),
        ("GET", "/%2e%2e/result", {}, 404),
        ("GET", "/%00", {}, 404),
        ("GET", "/%ff", {}, 400),
        ("GET", "/%zz", {}, 404),
        ("GET", "/" + "a" * 5000, {}, 404),
        ("PUT", "/a/b/c", {}, 404),
        ("GET", "?limit=0", {}, 400),
        ("GET", "?limit=101", {}, 400),
        ("GET", "?limit=%d9%a3", {}, 400),
        ("GET", "?limit=", {}, 400),
        ("GET", "?after=..", {}, 400),
        ("GET", "?after=%ff", {}, 400),
        ("GET", "?other=1", {}, 400),
        ("GET", "/0123456789abcde/result?rows=-1", {}, 400),
        ("DELETE", "/0123456789abcde", BEARER, 404),
        ("POST", "", BEARER, 415),
        ("POST", "", BEARER | {"Content-Type": "text/plain"}, 415),
        ("POST", "", BEARER | {"Transfer-Encoding": "chunked"}, 411),
        ("POST", "", BEARER | JSON | {"Content-Length": "65537"}, 413),
        ("POST", "", BEARER | JSON | {"Content-Length": "0" * 20 + "99999999"}, 413),
        ("POST", "", BEARER | JSON | {"Content-Length": "-1"}, 413),
        ("GET", "", {"Content-Length": "1" * 5000}, 413),
    ],
)
def test_what_is_not_there_or_not_understood_is_refused_in_json(
    ask: Asking, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = ask(method, path, headers=headers)
    assert answer.status == status, answer.body
    assert answer.message
    assert answer.headers["Content-Type"] == "application/json"
    described(ask, "Error").validate(answer.json)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("", "GET, POST"), ("/schema", "GET"), ("/x", "GET, DELETE"), ("/x/result", "GET")],
)
def test_a_method_that_a_route_does_not_have_is_refused_with_those_that_it_has(
    ask: Asking, path: str, allowed: str
) -> None:
    for method in {"PUT", "PATCH", "OPTIONS", "POST", "DELETE", "HACK"} - set(allowed.split(", ")):
        answer = ask(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed), method
        assert answer.message


def test_a_body_of_the_longest_length_is_read(ask: Asking) -> None:
    body = json.dumps(KNN).encode().ljust(http.BODY_BYTES)
    answer = ask("POST", "", body)
    assert (answer.status, "roots" in answer.message) == (403, True)


def test_what_the_operation_says_is_the_answer(ask: Asking, saved: Path, data: Path) -> None:
    ball = gd.PoincareBall(3)
    gd.points(ball.random(20, seed=0), ball).save(data / "ball.zarr")
    tall = ask.submit("knn", data / "ball.zarr", k=20)
    assert (tall.status, tall.json["error"]["type"]) == (400, "ValueError")
    assert "k must be at most" in tall.message
    mixed = ask.submit("pairwise", saved, data / "ball.zarr")
    assert (mixed.status, mixed.json["error"]["type"]) == (400, "SpecError")
    elsewhere = ask.submit("convert", data / "ball.zarr", to={"manifold": "Lorentz", "n": 9})
    assert elsewhere.status == 400
    flat = ask.submit("dist_to_origin", saved)
    assert (flat.status, flat.json["error"]["type"]) == (400, "SpecError")


def test_what_is_stored_but_no_points_is_refused(ask: Asking, data: Path, saved: Path) -> None:
    import zarr

    zarr.save(str(data / "numbers.zarr"), np.zeros((4, 8)))  # names no manifold
    (data / "torn.zarr").mkdir()
    (data / "torn.zarr" / "zarr.json").write_text("{", encoding="ascii")
    (data / "odd.zarr").mkdir()
    odd = {"zarr_format": 3, "node_type": "array", "shape": "?"}
    (data / "odd.zarr" / "zarr.json").write_text(json.dumps(odd), encoding="ascii")
    for name in ("numbers", "torn", "odd"):
        answer = ask.submit("mean", data / f"{name}.zarr")
        assert answer.status == 422, (name, answer.body)
        assert f"{name}.zarr" in answer.message
    np.save(data / "rows.npy", np.zeros((4, 8)))
    (data / "empty").mkdir()
    for name in ("rows.npy", "empty", "nothing", "x.zarr/points/c/0/0/0"):
        assert ask.submit("mean", data / name).status == 404, name


def test_a_store_that_cannot_be_read_is_no_fault_of_the_request(ask: Asking, store: Path) -> None:
    (store / "jobs" / "0123456789abcde").mkdir(parents=True)
    (store / "jobs" / "0123456789abcde" / "job.json").symlink_to("job.json")
    answer: Answer = ask("GET", "/0123456789abcde")
    assert answer.status == 503
    assert answer.message.startswith("The store must be readable")


# --- how often ----------------------------------------------------------------------------------


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    now = 0.0
    limit = limits.Limits(each=2, everyone=5, clock=lambda: now)
    assert [limit.wait("a") for _ in range(4)] == [0.0] * 4
    assert limit.wait("a") == 0.5  # and who is refused takes nothing
    assert limit.wait("a") == 0.5
    assert [limit.wait("b") for _ in range(4)] == [0.0] * 4
    assert [limit.wait("c") for _ in range(3)] == [0.0, 0.0, pytest.approx(0.2)]
    now = 0.5
    assert [limit.wait("a"), limit.wait("a")] == [0.0, 0.5]


def test_addresses_are_forgotten_those_that_asked_longest_ago_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ADDRESSES", 2)
    limit = limits.Limits(each=0.5, everyone=100, clock=lambda: 0.0)
    assert [limit.wait(each) for each in "abab"] == [0.0, 0.0, 2.0, 2.0]
    assert [limit.wait(each) for each in "cba"] == [0.0, 2.0, 0.0]


def test_who_asks_too_often_is_told_when_to_come_again(idle: Any, data: Path) -> None:
    service.install(idle, token=TOKEN, roots=[data], rate=0.01)
    ask = Asking(port_of(idle))
    try:
        assert ask("GET").status == 200
        for answer in (ask("GET"), ask("POST", "", KNN), ask("GET", "/nobody")):
            assert answer.status == 429
            assert 90 <= int(answer.headers["Retry-After"]) <= 100
            assert answer.message
    finally:
        service.uninstall(idle)


def test_requests_do_not_pile_up_behind_slow_ones(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "UNDER_WAY", 0)
    answer = ask("GET")
    assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
    assert ask("GET", "/schema").status == 200  # which needs no thread
