"""Requests of all kinds: answered with 2xx or 4xx, and nothing outside the roots is read."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import current_thread
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

import geodask as gd
from asking import BEARER, JSON, Asking, recorded
from geodask import service
from geodask.service.operations import offers

CANARY = "canary-in-the-mine"
PYTHONS = [
    sys.prefix,
    sys.base_prefix,
    "/proc",
    "/dev",
    "/sys",
    "/usr",
    str(Path(gd.__file__).parents[1]),
]

watched: list[set[str]] = []
"""Where opened paths are collected, while somebody does."""


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    # Leases of stores that tests before it have held are written and let go by a thread.
    leases = current_thread().name == "geodask-leases"
    opens = event in ("open", "os.listdir", "os.scandir") and not leases
    if watched and opens and arguments[0] is not None:
        path = arguments[0]
        if not isinstance(path, int):
            watched[0].add(os.path.normpath(Path.cwd() / os.fsdecode(path)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root `in` with points and broken ones, links out of it, and what lies out."""
    place = tmp_path_factory.mktemp("fuzz")
    sphere = gd.Sphere(3)
    x = gd.points(sphere.random(10, seed=0), sphere, ids=[f"{CANARY} {i}" for i in range(10)])
    for name in ("in", "out"):
        (place / name).mkdir()
        x.save(place / name / "x.zarr")
    (place / "out" / "secret").write_text(CANARY, encoding="ascii")
    gd.points(np.eye(3), sphere).save(place / "in" / "y.zarr")
    (place / "in" / "torn.zarr").mkdir()
    (place / "in" / "torn.zarr" / "zarr.json").write_text("{", encoding="ascii")
    (place / "in" / "away").symlink_to(place / "out")
    shutil.rmtree(place / "in" / "x.zarr" / "points")
    (place / "in" / "x.zarr" / "points").symlink_to(place / "out" / "x.zarr" / "points")
    (place / "in" / "round").symlink_to("round")
    return place


@pytest.fixture
def ask(place: Path, store: Path) -> Iterator[Asking]:
    """Asks a scheduler in this process whose opened files are watched."""
    from dask.distributed import Client, LocalCluster

    sys.addaudithook(_watch)
    how = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**how) as cluster, Client(cluster, set_as_default=False) as client:
        given = {"token": BEARER["Authorization"].partition(" ")[2], "roots": [place / "in"]}
        service.install(client, **given, rate=1e6, rate_all=1e6)
        yield Asking(client.scheduler_info()["services"]["dashboard"])
        watched.clear()


def joined(pieces: list[str], first: str = "") -> Any:
    """Some pieces behind a first one, or nothing."""
    some = st.lists(st.sampled_from(pieces), max_size=6)
    return some.map(lambda found: "".join([first, *found]) if found else "")


DOTS = ["/", "/", "..", ".", "%2e%2e", "%2f", "%2F", "%00", "%ff", "%", "%zz", "//", "\\", "~", "é"]
PATHS = [*DOTS, "/result", "/result", "/schema", "a" * 3000, "/etc/passwd", "secret"]
MANY = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1200)]
BLANKS = dict.fromkeys(map(ord, "\r\n "))
QUERIES = ["?", "&", "limit=3", "limit=", "after=0123456789abcde", "after=..", "rows=1", "=", "%ff"]
BYTES = st.binary(max_size=30).map(lambda data: "/" + data.decode("latin-1").translate(BLANKS))


def urls(place: Path) -> Any:
    """URLs about the root: under it, out of it by all ways, and of other things."""
    known = [f"{place}/in/{name}" for name in ("x.zarr", "y.zarr", "torn.zarr", "away/x.zarr")]
    known += [f"file://{known[1]}", known[1], f"{place}/out/x.zarr", f"{place}/out/secret"]
    starts = [str(place), f"{place}/in", f"{place}/out", f"file://{place}/in", "file://", "s3://b"]
    starts += [f"file:///{quote(str(place), safe='')}/in", *known, "", "/", "/etc", "\0"]
    names = ["/x.zarr", "/y.zarr", "/torn.zarr", "/away", "/round", "/secret", "/points", "/in"]
    parts = joined([*names, *names, *DOTS, "?a=1", "::file://", "x" * 300, "\ud800"])
    return st.sampled_from(known) | st.tuples(st.sampled_from(starts), parts).map("".join)


NUMBERS = st.sampled_from([1, 2, 0, -1, 1001, 0.5, 1e300, 10**400, True, None, "1", [], {}])
SPACES = st.sampled_from(["Sphere", "Lorentz", "Manifold", "os"])
NAMES = st.sampled_from(["k", "radius", "tol", "t", "to", "exclude", "on_undefined"])
VALUES = NUMBERS | st.fixed_dictionaries({"manifold": SPACES, "n": NUMBERS})
MARKS = st.sampled_from([*'[]{}",:\\', "NaN", "1e999", '"k"', "\ud800"])


def bodies(place: Path) -> Any:
    """Submissions that nearly are some, and whatever else."""
    anything = st.fixed_dictionaries(
        {"operation": st.sampled_from([*offers(), "os.system", 1])},
        optional={
            "inputs": st.lists(urls(place) | NUMBERS, max_size=3),
            "parameters": st.dictionaries(NAMES, VALUES, max_size=2) | NUMBERS,
            "name": NUMBERS | st.text("a\n\0é", max_size=3),
            "priority": NUMBERS,
            "code": NUMBERS,
        },
    )
    odd = st.lists(MARKS).map(lambda found: "".join(found).encode("utf-8", "replace"))
    return st.one_of(anything, odd, st.binary(max_size=20), st.none())


def requests(place: Path, job: str) -> Any:
    """Method, path, query, headers and body: half of them submissions of one or two URLs."""
    good = JSON | BEARER
    lengths = [good | {"Content-Length": each} for each in ("0", "x", "-1", "65537", "9" * 40)]
    others = [{}, JSON, BEARER, BEARER | {"Content-Type": "text/plain"}, {"Authorization": "é"}]
    odd = st.sampled_from([*lengths, *others, good | {"Transfer-Encoding": "chunked"}])
    known = st.sampled_from(["", f"/{job}", f"/{job}/result"])
    paths = st.one_of(known, known, joined([*PATHS, job], "/"), BYTES)
    methods = st.sampled_from(["GET", "GET", "POST", "POST", "DELETE", "PUT", "HEAD", "HACK"])
    headers = st.just(good) | odd
    operations = st.sampled_from(["mean", "pairwise", "project", "dist", "log_map", "norm"])
    inputs = st.lists(urls(place), min_size=1, max_size=2)
    asked = st.fixed_dictionaries({"operation": operations, "inputs": inputs})
    return st.one_of(
        st.tuples(methods, paths, joined(QUERIES, "?"), headers, bodies(place)),
        st.tuples(st.just("POST"), st.just(""), st.just(""), st.just(good), asked),
    )


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=MANY)])
def test_whatever_is_asked_is_answered_and_nothing_outside_the_roots_is_read(
    ask: Asking, place: Path, store: Path, count: int
) -> None:
    seen: Counter[int] = Counter()
    plan = gd.pairwise(gd.open(place / "in" / "y.zarr"))
    record = recorded(plan)
    record.tell({"status": "completed", "results": [plan.persist().report.url]})
    watched.append(set())

    @hypothesis(max_examples=count, deadline=None, derandomize=True, database=None)
    @given(requests(place, record.id))
    def answered(asked: Any) -> None:
        method, path, query, headers, body = asked
        answer = ask(method, path + query, body, headers)
        seen[answer.status] += 1
        assert 200 <= answer.status < 300 or 400 <= answer.status < 500, answer
        assert CANARY.encode() not in answer.body

    answered()
    opened = watched[0]
    allowed = [str(place / "in"), str(store), *PYTHONS]
    outside = [path for path in opened if not any(path.startswith(each) for each in allowed)]
    assert outside == []
    assert any(path.startswith(str(place / "in")) for path in opened)
    assert not any(path.startswith(str(place / "in" / "away")) for path in opened)
    assert {201, 400, 403, 404, 405, 422} <= seen.keys()
