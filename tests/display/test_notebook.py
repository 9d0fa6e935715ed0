"""Results as a notebook shows them: complete, inert, and without colours of their own."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest

from mergecast.display.notebook import as_html
from mergecast.display.table import Table
from mergecast.family import Family
from mergecast.tables.show import as_html as frame_html
from mergecast.testing.tiny import tiny_family

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>$\\href{javascript:1}{x}$&amp;'
ALLOWED = {"div", "p", "b", "small", "br", "table", "thead", "tbody", "tr", "th", "td"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser would take them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def table(*rows, **more):
    return Table("title", ["model", "kept"], rows, **more)


@pytest.mark.parametrize(
    "parts",
    [
        [HOSTILE],
        [Table(HOSTILE, [HOSTILE, "kept"], [[HOSTILE, "1"]], caption=HOSTILE)],
    ],
)
def test_what_is_in_a_name_is_text(parts):
    page = Page(as_html(parts))
    assert set(page.tags) <= ALLOWED
    assert {name for name, _ in page.attributes} <= {"class", "style"}
    assert HOSTILE in page.text


def test_no_formula_is_looked_for():
    classes = dict(Page(as_html(["$x$"])).attributes)["class"].split()
    assert {"tex2jax_ignore", "mathjax_ignore"} <= set(classes)


def test_nothing_has_a_colour_or_comes_from_elsewhere():
    page = as_html(["said", table(["a", "1"], None, ["b", "2"])])
    for word in ("color", "background", "font", "http", "url(", "<style", "<link", "<script"):
        assert word not in page


def test_rows_groups_and_titles_are_all_there():
    page = Page(as_html(["said", table(["a", "1\n2"], None, ["b", "3"], caption="so measured")]))
    assert page.open == []
    assert page.tags.count("tr") == 3
    assert page.tags.count("tbody") == 2
    assert page.text == "saidtitlemodelkepta12b3so measured"


def test_a_table_without_rows_and_an_empty_sentence_are_nothing():
    assert as_html([table(), "", table(None)]) == as_html([])


def test_names_stand_on_the_left_and_numbers_on_the_right():
    frame = pd.DataFrame({"left": ["a"], "right": ["b"], "r": [0.25], "note": [None]})
    sides = [value for name, value in Page(frame_html([], frame)).attributes if name == "style"]
    assert ["left" in side for side in sides] == [True, True, False, False] * 2
    assert "–" in frame_html([], frame)


def test_a_family_whose_models_have_odd_names(tmp_path):
    tiny = tiny_family(tmp_path, "ab")
    family = Family(tiny.base, {HOSTILE: tiny.models["a"], "b": tiny.models["b"]}, tiny.alignment)
    page = Page(family._repr_html_())
    assert set(page.tags) <= ALLOWED
    assert HOSTILE in page.text
    assert page.text.startswith("Family of 2 modelsbase")
