import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import report_case as case
from test_family_summary import forecaster_file, model

from mergecast.errors import ResourceError
from mergecast.report import plots
from mergecast.report.family_summary import summarise_forecast
from mergecast.report.html import render_html, strength_panel, write_html
from mergecast.report.summary import summarise_run

VOID = {"meta", "br", "link", "img", "input"}
HOSTILE = ("<script>alert(1)</script>", "b\"'&", "ü · x")


class Page(HTMLParser):
    """Collects a page's tags and attributes; fails on tags that do not close in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def shown(self):
        return " ".join(" ".join(self.text).split())


def run_summary(names="abc"):
    evaluations = [case.evaluation(p, names=names) for p in ("loto", "l2to")]
    return summarise_run(case.inputs(names), evaluations, case.forecast(names=names))


def forecast_summary(names="abc"):
    return summarise_forecast(
        case.forecast(
            forecaster_file(ties=model("ridge", 0.04), dare=model("constant", 0.08)),
            names,
            base="base.safetensors",
            models=dict.fromkeys(names, "somewhere"),
            name="mine.json",
            refused={"d": "not a checkpoint"},
        )
    )


@pytest.fixture(scope="module")
def run_page():
    return render_html(run_summary())


@pytest.fixture(scope="module", params=[run_summary, forecast_summary])
def page(request):
    return render_html(request.param())


def test_it_is_well_formed(page):
    parsed = Page(page)
    assert page.startswith("<!doctype html>")
    assert len(parsed.all("h1")) == 1
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_it_loads_nothing_from_elsewhere(page):
    for tag, attrs in Page(page).tags:
        assert tag not in {"link", "img", "iframe", "object"}
        assert "src" not in attrs
        assert attrs.get("href", "#").startswith("#")
    assert not re.search(r"https?://|@import|url\(", page)
    assert len(page) < 100_000


def test_pictures_tables_and_regions_have_names(page):
    parsed = Page(page)
    pictures = parsed.all("svg")
    assert pictures
    assert all(svg["role"] == "img" and svg["aria-label"] for svg in pictures)
    assert all(th.get("scope") for th in parsed.all("th"))
    headings = {attrs.get("id") for tag, attrs in parsed.tags if tag == "h2"}
    assert {section["aria-labelledby"] for section in parsed.all("section")} == headings


def test_the_run_page_tells_the_bad_news(run_page):
    shown = Page(run_page).shown
    assert "dare no better than constant" in shown
    assert "no better than always predicting the mean for dare." in shown
    assert "1: zero task vector (first: cosine of a + c)" in shown
    assert "5 of 6 inside" in shown
    assert "right for 1 of 2 such pairs, and “merge” was right for 1 of 1" in shown


def test_a_missing_number_is_a_dash_never_nan(page):
    shown = Page(page).shown
    assert not re.search(r"\bnan\b|\bNone\b(?!\.)|\binf\b", shown)
    assert "–" in shown


def test_the_forecast_page_says_what_to_do_then_shows_a_picture_then_tables():
    parsed = Page(render_html(forecast_summary()))
    sections = [s["aria-labelledby"] for s in parsed.all("section")]
    assert sections[:2] == ["maps", "advice"]
    assert "scatter" not in sections
    order = [
        parsed.shown.index(text) for text in ("1 of 3 pairs can", "mergecast merge", "at a glance")
    ]
    assert order == sorted(order)
    assert "d: not a checkpoint" in parsed.shown
    assert "[0.75, ∞]" in parsed.shown
    assert "metric cosine missing: zero task vector" in parsed.shown


@pytest.mark.parametrize("make", [run_summary, forecast_summary])
def test_hostile_names_stay_text(make):
    names = tuple(sorted(HOSTILE))
    text = render_html(make(names))
    parsed = Page(text)
    assert len(parsed.all("script")) == 1
    assert "alert(1)</script>" not in text
    for name in names:
        assert name in parsed.shown
    labels = [title for title in re.findall(r"<title>(.*?)</title>", text) if "script" in title]
    assert labels
    assert all("&lt;script&gt;" in title for title in labels)


def test_many_tasks_drop_the_names_in_the_map_but_not_the_cells():
    summary = run_summary()
    pair = summary["rows"][0]
    names = [f"t{i:02d}" for i in range(26)]
    summary["rows"] = [
        {**pair, "left": left, "right": right, "member": member}
        for left, right in pairwise(names)
        for member in (left, right)
    ]
    text = render_html(summary)
    assert "rotate(-60)" not in text
    assert "t00 + t01, measured" in text


@pytest.mark.parametrize(("make", "word"), [(run_summary, "measured"), (forecast_summary, "a")])
def test_a_map_has_every_pair_of_its_method_once(make, word):
    summary = make()
    figures = render_html(summary).split("<figure>")[1:]
    for method in ("dare", "ties"):
        [figure] = [one for one in figures if f"<b>{method}</b>" in one and "<rect" in one]
        labels = re.findall(r"<title>(.*?)</title>", figure)
        assert len(labels) == len(set(labels)) == 6
        [cell] = [one for one in labels if one.startswith(f"a + b, {word}:")]
        row = next(
            one
            for one in summary["rows"]
            if (one["method"], one["left"], one["right"]) == (method, "a", "b")
        )
        if word == "a":
            said = "no value" if row["predicted"] is None else f"{row['predicted']:.3f}"
            assert cell == f"a + b, a: {said}"
        else:
            assert cell == f"a + b, measured: {sum(case.MEASURED[method]['ab']) / 2:.3f}"


def test_suites_have_maps_of_their_own():
    summary = run_summary()
    second = [{**row, "suite": "other"} for row in summary["rows"]]
    summary["rows"] = summary["rows"] + second
    assert "<b>ties, other</b>" in render_html(summary)


def test_the_file_is_written_or_the_error_names_it(tmp_path):
    path = write_html(run_summary(), tmp_path / "new" / "page.html")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="page.html"):
        write_html(run_summary(), tmp_path / "file" / "page.html")


def test_a_curve_s_title_says_the_best_strength_that_the_terminal_says():
    curve = {
        "members": ["a", "b"],
        "method": "task_arithmetic",
        "strengths": [0.0, 0.8, 0.9],
        "kept": [0.2, 0.95, 0.9],
        "low": [0.1, 0.9, 0.8],
        "high": [0.3, 1.0, 1.0],
    }
    domain = plots.domain_of([0.1, 1.0])
    assert strength_panel(curve, domain, None)["said"] == "0.95 at 0.80"
    best = {"strength": 0.826, "kept": 0.958, "default": 0.3}
    panel = strength_panel(curve, domain, best)
    assert panel["said"] == "0.96 at 0.83"
    frame = strength_panel(curve, domain, {**best, "strength": 0.8})
    assert panel["best"]["x"] > frame["best"]["x"]
    assert panel["usual"] is not None
    assert strength_panel(curve, domain, {**best, "default": 1.0})["usual"] is None
