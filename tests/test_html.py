"""What a notebook shows of points, plans and results."""

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import geodask as gd
from geodask.engine.html import card


class Balanced(HTMLParser):
    """Collects the text, and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def text(html: str) -> str:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser.text


def test_what_it_shows_is_escaped() -> None:
    assert "<script>" not in card("a", {"b": "<script>"})
    assert "<script>" in text(card("a", {"b": "<script>"}))


@pytest.fixture
def x() -> gd.Points:
    return gd.points(gd.Sphere(3).random(50, seed=0).astype(np.float32), gd.Sphere(3))


def test_points_show_their_size_and_ids(x: gd.Points) -> None:
    assert "50 x 3 float32" in text(x._repr_html_())
    assert "Sphere(n=3" in text(x._repr_html_())
    named = gd.points(x, ids=[f"<b>{i}" for i in range(50)])
    assert "strings" in text(named._repr_html_())


def test_plans_and_results_show_what_they_say_in_words(x: gd.Points) -> None:
    for plan in (gd.knn(x, k=2), gd.within(x, radius=0.5)):
        assert plan._repr_html_().count("<tr>") >= 1
        explained, result = plan.explain(), plan.persist()
        assert "flops" in text(explained._repr_html_())
        assert f"{result.report.seconds:.3g} s" in text(result.report._repr_html_())
        assert "certified 100.00%" in text(result._repr_html_())


def test_every_result_shows_its_report(x: gd.Points) -> None:
    plans = [gd.pairwise(x), gd.mean(x[:1]), gd.ranks(x, [[0, 1]]), gd.plan(gd.dist, x, x)]
    for plan in plans:
        shown = text(plan.persist()._repr_html_())
        assert "stored in" in shown
        assert "time" in shown
