"""What a submission may name: places under the roots, operations and their parameters."""

import json
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate as validate_openapi

import geodask as gd
from geodask.engine.specs import to_spec
from geodask.service.openapi import described
from geodask.service.operations import SPACES, make_plan, offers
from geodask.service.refusal import Refusal
from geodask.service.roots import Roots
from geodask.service.strict import DEPTH, check, parse


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A root `in` with points, and what lies `out` of it."""
    for name in ("in/x.zarr/points", "in/%41", "in-other", "out/y.zarr"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "in" / "x.zarr" / "zarr.json").touch()
    (tmp_path / "in" / "away").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "away.zarr").symlink_to(tmp_path / "out" / "y.zarr")
    (tmp_path / "in" / "near").symlink_to("x.zarr")
    (tmp_path / "in" / "round").symlink_to("round")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    return tmp_path


def status(roots: Roots, url: str) -> int:
    with pytest.raises(Refusal) as caught:
        roots.resolve(url)
    return caught.value.status


@pytest.mark.parametrize(
    "url",
    [
        "{}/in/x.zarr",
        "{}/in/x.zarr/",
        "{}//in/./x.zarr",
        "//{}/in/x.zarr",
        "{}/in/../in/x.zarr",
        "{}/in/away/../x.zarr",  # by its letters, and so it is opened
        "{}/in/near",
        "{}/alias/near",
        "file://{}/in/x.zarr",
        "FILE://{}/in/x.zarr",
        "file://localhost{}/in/x.zarr",
        "file://{}/in/%78.zarr",
        "file://{}/in%2fx.zarr",
    ],
)
def test_one_place_under_the_roots_is_found_under_its_names(house: Path, url: str) -> None:
    roots = Roots.of([f"{house}/in", f"{house}/alias"])
    assert roots.resolve(url.format(house)) == f"{house}/in/x.zarr"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("{}/in", 0),
        ("{}/in/%41", 0),  # a path is no URL
        ("file://{}/in/%2541", 0),
        ("file://{}/in/%41", 404),
        ("{}/in/nothing", 404),
        ("{}/in/round", 404),
        ("{}/in/" + "x" * 300, 404),
        ("{}/in/x.zarr/zarr.json/x", 404),
        ("{}/out/y.zarr", 403),
        ("{}/out/nothing", 403),
        ("{}/in/../out/y.zarr", 403),
        ("file://{}/in/%2e%2e/out/y.zarr", 403),
        ("file://{}/in/..%2fout%2fy.zarr", 403),
        ("{}/in-other", 403),
        ("{}/in/away", 403),
        ("{}/in/away.zarr", 403),
        ("{}/in/away/y.zarr", 403),
        ("/", 403),
        ("/etc/passwd", 403),
        ("file:///etc/passwd", 403),
        ("s3://bucket/in", 403),
        ("in/x.zarr", 400),
        ("~/x.zarr", 400),
        ("file://~/x.zarr", 400),
        ("file://host{}/in/x.zarr", 400),
        ("file:{}/in/x.zarr", 400),
        ("file://{}/in/x.zarr?a=1", 400),
        ("file://{}/in/x.zarr#a", 400),
        ("file://{}/in/%zz", 400),
        ("file://{}/in/%f", 400),
        ("file://{}/in/%ff", 400),
        ("file://{}/in/x.zarr%00", 400),
        ("{}/in/x.zarr\0", 400),
        ("{}/in/x\n.zarr", 400),
        ("", 400),
    ],
)
def test_every_other_place_is_refused(house: Path, url: str, expected: int) -> None:
    roots = Roots.of([f"{house}/in"])
    if expected:
        assert status(roots, url.format(house)) == expected
    else:
        assert roots.resolve(url.format(house)).startswith(f"{house}/in")


def test_what_exists_outside_is_answered_as_what_does_not(house: Path) -> None:
    roots = Roots.of([f"{house}/in"])
    said = set()
    for name in ("out/y.zarr", "out/nothing", "in/../out"):
        with pytest.raises(Refusal) as caught:
            roots.resolve(f"{house}/{name}")
        said.add(str(caught.value).replace(name, "..."))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket/data/x.zarr", 0),
        ("S3://bucket/data/x.zarr/", 0),
        ("s3://bucket/data", 0),
        ("s3://bucket/data-other/x", 403),
        ("s3://bucket/other", 403),
        ("s3://other/data/x", 403),
        ("gs://bucket/data/x", 403),
        ("memory://bucket/data/x", 403),
        ("s3://bucket/data/../other/x", 400),
        ("s3://bucket/data/./x", 400),
        ("s3://bucket/data//x", 400),
        ("s3://bucket/data/%2e%2e/other", 400),
        ("s3://bucket/data/x?versionId=1", 400),
        ("s3://bucket/data/x#y", 400),
        ("s3://user:password@bucket/data/x", 400),
        ("s3://bucket/data/x::file:///etc/passwd", 400),
        ("simplecache::s3://bucket/data/x", 400),
        ("s3://bucket/data/*", 400),
        ("s3://bucket\\data/x", 400),
        ("://bucket/data", 400),
    ],
)
def test_a_bucket_is_what_its_letters_say(url: str, expected: int) -> None:
    roots = Roots.of(["s3://bucket/data/"])
    if expected:
        assert status(roots, url) == expected
    else:
        assert roots.resolve(url).startswith("s3://bucket/data")


@pytest.mark.parametrize("root", ["data", "~", "s3://bucket/../x", "file://host/x", ""])
def test_a_root_that_is_no_place_is_refused(root: str) -> None:
    with pytest.raises(gd.SpecError, match="A root of the service"):
        Roots.of([root])


def test_the_root_of_all_holds_all(house: Path) -> None:
    assert Roots.of(["/"]).resolve(f"{house}/out/y.zarr") == f"{house}/out/y.zarr"


@pytest.mark.parametrize("where", ["points", "points/c/0/0", "zarr.json"])
def test_links_inside_stored_points_do_not_lead_out(tmp_path: Path, where: str) -> None:
    sphere = gd.Sphere(3)
    x = gd.points(sphere.random(10, seed=0), sphere)
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        x.save(tmp_path / name / "x.zarr")
    roots = Roots.of([str(tmp_path / "in")])
    asked = {"operation": "mean", "inputs": [str(tmp_path / "in" / "x.zarr")]}
    made = tmp_path / "in" / "x.zarr" / where
    made.rename(tmp_path / "in" / "moved")
    made.symlink_to(tmp_path / "in" / "moved")
    assert len(make_plan(asked, roots).inputs[0]) == 10
    made.unlink()
    made.symlink_to(tmp_path / "out" / "x.zarr" / where)
    with pytest.raises(Refusal, match="under the roots"):
        make_plan(asked, roots)


def test_a_link_to_a_folder_above_ends(house: Path) -> None:
    (house / "in" / "x.zarr" / "up").symlink_to("..")
    (house / "in" / "away").unlink()
    (house / "in" / "away.zarr").unlink()
    (house / "in" / "round").unlink()
    Roots.of([str(house / "in")]).check_links(str(house / "in" / "x.zarr"))


# --- operations ---------------------------------------------------------------------------------


@pytest.fixture
def ball(tmp_path: Path) -> dict[str, Any]:
    """Points x, y and tangents v in a ball, as values and stored under their names."""
    import zarr

    manifold = gd.PoincareBall(3)
    rows = {name: manifold.random(6, seed=seed) for seed, name in enumerate("xy")}
    for name, values in rows.items():
        gd.points(values, manifold).save(tmp_path / name)
    zarr.save(str(tmp_path / "v"), np.full((6, 3), 0.1))
    zarr.save(str(tmp_path / "direction"), np.eye(3)[:1])
    opened = {name: gd.open(tmp_path / name) for name in "xy"}
    opened |= {name: zarr.open_array(str(tmp_path / name)) for name in ("v", "direction")}
    return {"roots": Roots.of([str(tmp_path)]), "folder": tmp_path, "open": opened}


CASES = {
    "knn": ({"k": 2}, lambda x, y: gd.knn(x, y, k=2)),
    "within": ({"radius": 1, "max_pairs": 9}, lambda x, y: gd.within(x, y, radius=1, max_pairs=9)),
    "pairwise": ({}, gd.pairwise),
    "mean": ({"max_iterations": 3}, lambda x: gd.mean(x, max_iterations=3)),
    "geodesic": ({"t": 0.5}, lambda x, y: gd.plan(gd.geodesic, x, y, 0.5)),
    "mobius_scale": ({"t": 2}, lambda x: gd.plan(gd.mobius_scale, x, 2)),
    "convert": (
        {"to": {"manifold": "Lorentz", "n": 4}},
        lambda x: gd.plan(gd.convert, x, gd.Lorentz(4)),
    ),
    "convert_tangent": (
        {"to": {"manifold": "HalfSpace", "n": 3, "curvature": -1.0}},
        lambda x, v: gd.plan(gd.convert_tangent, x, v, gd.HalfSpace(3)),
    ),
}


@pytest.mark.parametrize("operation", offers())
def test_a_submission_makes_the_plan_of_the_public_function(
    ball: dict[str, Any], operation: str
) -> None:
    offer, points = offers()[operation], iter("xy")
    stored = {"tangent": "v", "direction": "direction"}
    names = [stored[kind] if kind in stored else next(points) for kind in offer.kinds]
    default = ({}, lambda *inputs: gd.plan(getattr(gd, operation), *inputs))
    parameters, expected = CASES.get(operation, default)
    asked = {"operation": operation, "inputs": [str(ball["folder"] / name) for name in names]}
    asked |= {"parameters": parameters} if parameters else {}
    check(asked, offer.schema(operation))
    plan = make_plan(asked, ball["roots"])
    opened = [ball["open"][name] for name in names]
    wanted = expected(*opened)
    assert plan.operation == wanted.operation
    for mine, theirs in zip(plan.inputs, wanted.inputs, strict=True):
        assert mine.manifold == theirs.manifold
        assert mine.read(0, 6).tobytes() == theirs.read(0, 6).tobytes()
    if "t" not in parameters:
        assert to_spec(plan) == to_spec(wanted)


def test_the_spaces_are_those_of_the_package() -> None:
    assert all(issubclass(getattr(gd, name), gd.Manifold) for name in SPACES)


# --- schemas ------------------------------------------------------------------------------------


def test_the_document_is_openapi_and_its_schemas_are_json_schema() -> None:
    document = described()
    validate_openapi(document)  # pyright: ignore[reportArgumentType]
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert len(document["components"]["schemas"]["Submission"]["oneOf"]) == len(offers())
    json.dumps(document, allow_nan=False)


SUBMISSION = Draft202012Validator(described()["components"]["schemas"]["Submission"])

ODD = [None, True, 0, -1, 0.5, 1, 1000, 1001, 10**400, "", "a", "nan", [], ["/x"], {}, {"n": 3}]
GOOD = {"k": 1000, "radius": 0, "t": -0.5, "to": {"manifold": "Sphere", "n": 3}, "tol": 0.5}
odd = st.sampled_from(ODD)


@st.composite
def submissions(draw: Any) -> dict[str, Any]:
    """One that fits, and then perhaps something else at one place of it."""
    operation = draw(st.sampled_from(sorted(offers())))
    offer = offers()[operation]
    named = {name: deepcopy(GOOD[name]) for name in offer.parameters if name in GOOD}
    rows = ["/x"] * draw(st.integers(offer.least, len(offer.kinds)))
    asked = {"operation": operation, "inputs": rows, "parameters": named, "name": "a"}
    place = draw(st.sampled_from([asked, asked["parameters"], asked["inputs"], named.get("to")]))
    if isinstance(place, list):
        place[draw(st.integers(0, 3)) :] = [draw(odd)]
    elif place is not None:
        key = draw(st.sampled_from([*place, "priority", "max_pairs", "on_undefined", "curvature"]))
        place[key] = draw(odd)
        if draw(st.booleans()):
            del place[key]
    return asked


@hypothesis(max_examples=400, deadline=None, derandomize=True, database=None)
@given(submissions())
def test_what_is_checked_is_what_is_served(asked: dict[str, Any]) -> None:
    name = asked.get("operation")
    if not isinstance(name, str) or name not in offers():
        assert not SUBMISSION.is_valid(asked)
    elif SUBMISSION.is_valid(asked):
        check(asked, offers()[name].schema(name))
    else:
        with pytest.raises(Refusal, match="must be"):
            check(asked, offers()[name].schema(name))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@hypothesis(max_examples=200, deadline=None, derandomize=True, database=None)
@given(values)
def test_plain_json_is_read_as_it_is(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        try:
            body = text.encode()
        except UnicodeEncodeError:
            continue
        if _levels(value) <= DEPTH:
            assert parse(body) == value
        else:
            with pytest.raises(Refusal, match="nested"):
                parse(body)


def _levels(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_levels, parts), default=0) if isinstance(value, dict | list) else 0


def test_brackets_in_text_are_no_depth() -> None:
    assert parse(json.dumps(["[{" * 50, '"[' * 50, "\\"]).encode()) == ["[{" * 50, '"[' * 50, "\\"]


def test_nothing_under_a_root_is_named_by_where_this_runs(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(house / "in")
    monkeypatch.setenv("HOME", str(house / "in"))
    roots = Roots.of([str(house / "in")])
    assert os.path.exists("x.zarr")  # noqa: PTH110
    for url in ("x.zarr", "./x.zarr", "~/x.zarr", "file://x.zarr", "file:x.zarr"):
        assert status(roots, url) == 400


def test_the_submission_in_the_readme_fits() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (body,) = re.findall(r"-d '(.+)'", readme)
    check(parse(body.encode()), offers()["knn"].schema("knn"))
