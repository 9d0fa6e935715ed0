import json
import re

import pytest
from measured_case import beside, measured_forecast
from test_html import HOSTILE, Page, forecast_summary

from mergecast.report.family_terminal import forecast_parts
from mergecast.report.html import render_html
from mergecast.report.markdown import render_markdown
from mergecast.report.measured_summary import measured_parts, summarise_measured
from mergecast.report.table import Table


@pytest.fixture(scope="module")
def summary():
    return measured_forecast()


def test_errors_are_means_over_the_members_that_have_a_number():
    found = summarise_measured(beside(), 0.9)
    assert (found["n_merges"], found["n_members"]) == (3, 6)
    assert found["before_error"] == pytest.approx((0.1 + 0.1 + 0 + 0.1 + 0) / 5)
    assert found["others_error"] == pytest.approx((0.02 + 0.02 + 0 + 0.08 + 0.05) / 5)
    assert found["mean_error"] == pytest.approx((0.1 + 0 + 0.1 + 0.1) / 4)
    assert (found["inside_of"], found["n_inside"], found["n_intervals"]) == ("others", 4, 5)
    missing = found["members"][4]
    assert (missing["others"], missing["others_inside"]) == (None, None)


def test_the_sentence_says_what_knew_what():
    assert summarise_measured(beside(), 0.9)["sentence"] == (
        "3 measured merges: mean error 0.060 as forecast before any of them was measured, 0.034 as "
        "forecast from the other pairs' merges, 0.075 by the mean of those; 4 of 5 members lie in "
        "their 90% interval."
    )
    nothing = {name: float("nan") for name in ("others", "others_lower", "others_upper", "mean")}
    alone = summarise_measured(beside().iloc[:2].assign(**nothing), 0.9)
    assert alone["sentence"] == (
        "1 measured merge: mean error 0.100 as forecast before it was measured; 0 of 2 members lie "
        "in their 90% interval."
    )
    assert alone["inside_of"] == "before"
    gone = {name: float("nan") for name in ("before", "before_lower", "before_upper")}
    abstained = summarise_measured(beside().iloc[:4].assign(**gone), 0.9)["sentence"]
    assert "2 measured merges: mean error 0.030 as forecast from the other pairs'" in abstained
    silent = summarise_measured(beside().iloc[:2].assign(**nothing, **gone), 0.9)
    assert silent["sentence"].endswith("nothing was forecast of them that does not rest on them.")
    assert silent["inside_of"] == ""


def test_it_is_in_the_json_the_verdict_and_the_markdown(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["measured"]["sentence"] in summary["verdict"]
    text = render_markdown(summary)
    assert "Measured merges beside forecasts that did not know them" in text
    rows = [line for line in text.splitlines() if line.startswith("| a + c | ties | c |")]
    assert rows == ["| a + c | ties | c | 0.800 | 0.780 | 0.700 |"]


def test_the_table_has_the_worst_first_and_says_what_it_leaves_out(summary):
    [table] = measured_parts(summary["measured"])
    assert [row[2] for row in table.rows[:2]] == ["c", "b"]
    assert table.rows[-1][3:] == ["–", "–", "0.850"]
    assert table.caption == ""
    many = {**summary["measured"], "members": summary["measured"]["members"] * 5}
    [table] = measured_parts(many)
    assert table.caption.startswith("10 that were forecast better are left out")


def test_a_pair_that_is_asked_for_is_not_lost_among_them(summary):
    parts = [part for part in forecast_parts(summary, pairs=["a+b"]) if isinstance(part, Table)]
    assert all("beside forecasts" not in part.title for part in parts)
    assert summary["measured"]["sentence"] in list(forecast_parts(summary, pairs=["a+b"]))


def test_without_measured_merges_nothing_is_said_of_them():
    summary = forecast_summary()
    assert "measured" not in summary
    assert "data-beside" not in render_html(summary)


def test_the_page_has_both_forecasts_of_every_method_on_the_same_axes(summary):
    text = render_html(summary)
    groups = re.findall(r'data-beside="([^"]*)"', text)
    assert groups == ["any method", "dare", "ties"]
    section = text.split('id="beside"')[1].split("</section>")[0]
    figures = section.split("<figure>")[1:]
    titles = ["Before any was measured", "From the other pairs&#39; merges"]
    assert [re.search("<b>(.*?)</b>", one)[1] for one in figures] == titles * 3
    dots = [re.findall(r"<title>(.*?)</title>", one) for one in figures]
    assert [len(some) for some in dots] == [5, 5, 1, 1, 4, 4]
    assert "c in a + c by ties: forecast 0.780, measured 0.700" in dots[1]
    assert "c in a + c: forecast 0.780, measured 0.700" in dots[5]
    assert "1 member without forecast or outcome is not shown" in figures[0]
    assert len({tuple(re.findall(r'class="tick"[^>]*>(.*?)<', one)) for one in figures}) == 1
    assert summary["measured"]["sentence"].replace("'", "&#39;") in section


def test_of_one_pair_there_is_the_forecast_before_alone():
    nothing = {name: float("nan") for name in ("others", "others_lower", "others_upper", "mean")}
    text = render_html(measured_forecast(table=beside().iloc[:2].assign(**nothing)))
    assert re.findall(r'data-beside="([^"]*)"', text) == ["ties"]
    section = text.split('id="beside"')[1].split("</section>")[0]
    assert section.count("<figure>") == 1
    assert "<select" not in section


def test_hostile_names_stay_text():
    names = tuple(sorted(HOSTILE))
    text = render_html(measured_forecast(names, beside(names)))
    assert len(Page(text).all("script")) == 1
    assert "alert(1)</script>" not in text
