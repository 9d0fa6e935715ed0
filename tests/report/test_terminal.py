import io

import pytest
from rich.console import Console
from test_html import forecast_summary, run_summary

from mergecast.errors import UsageError
from mergecast.report.family_terminal import forecast_parts
from mergecast.report.run_terminal import run_parts
from mergecast.report.table import show


def printed(function, summary, width=80, **options):
    # A terminal without colours: prose is wrapped there, and one line a sentence in a pipe.
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, markup=False
    )
    show(console, function(summary, **options))
    return console.file.getvalue()


def test_a_run_ends_in_forecast_beside_measured():
    text = printed(run_parts, run_summary())
    ties = next(line for line in text.splitlines() if line.strip().startswith("ties"))
    # Forecast and measured mean, error, constant's error, pooled r, coverage.
    assert " ".join(ties.split()) == "ties 0.87 ± 0.09 0.83 ± 0.13 0.040 0.100 0.70 83%"
    assert "a + b  no: at best ties      0.88      0.85  0.85" in text
    assert "no better than always predicting the mean for dare." in " ".join(text.split())
    assert "note: Only 3 tasks" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_long_recipe_leaves_the_interval_whole_on_80_columns():
    summary, recipe = forecast_summary(), "ties(density=0.5, scaling=1)"
    for row in (*summary["pairs"], *summary["rows"]):
        row["method"] = recipe if row["method"] == "dare" else row["method"]
    lines = printed(forecast_parts, summary).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("a + c  no: at best "))
    assert lines[first].split()[-4:] == ["c", "0.85", "[0.75,", "∞]"]
    assert recipe in lines[first + 1]
    heads = [line for line in lines if line.startswith("pair ")]
    assert len(heads) == 1  # one block
    assert max(map(len, lines)) <= 80


def test_a_forecast_is_one_line_a_pair_and_what_to_do():
    text = printed(forecast_parts, forecast_summary())
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "a + b ties 0.950 a 0.95 [0.85, 1.05]" in lines
    assert "a + c no: at best dare 0.900 c 0.85 [0.75, ∞]" in lines
    assert "no forecast for 1 pair (dare): metric cosine missing: zero task vector" in text
    assert "Keep apart: a + c" in text
    assert "next: mergecast merge --method ties base.safetensors somewhere somewhere" in text
    assert max(map(len, text.splitlines())) <= 80
    # Those to merge come first.
    pairs = [line for line in lines if line.startswith(("a + ", "b + "))]
    assert pairs[0].startswith("a + b")


def test_a_pair_that_is_asked_for_is_shown_by_every_method_with_reasons():
    text = printed(forecast_parts, forecast_summary(), width=120, pairs=["b+a", "a+c"])
    assert "a + b: merge by ties (a keeps 0.950)" in text
    assert "a + c: do not merge (c keeps 0.850 by the method advised, dare)" in text
    assert "b + c:" not in text
    assert "0.95 [0.85, 1.05]" in text
    assert "0.85 [0.75, ∞]" in text
    assert "moved most (ties, a): cosine −0.020" in text
    assert "out of the training range: cosine" in text
    assert "no forecast: dare: metric cosine missing: zero task vector" in text


def test_a_pair_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(UsageError, match=r"pair 'a\+d': unknown; did you mean 'a\+c'"):
        printed(forecast_parts, forecast_summary(), pairs=["a+d"])


def test_many_pairs_are_cut_and_it_is_said_where_all_are():
    summary = forecast_summary()
    first = summary["pairs"][0]
    rows = [row for row in summary["rows"] if row["right"] == "b"]
    names = [f"m{i:02d}" for i in range(50)]
    summary["pairs"] = [{**first, "right": name, "worst_member": "a"} for name in names]
    summary["rows"] = [
        {**row, "right": name, "member": name if row["member"] == "b" else "a"}
        for name in names
        for row in rows
    ]
    text = printed(forecast_parts, summary)
    assert text.count("a + m") == 30
    assert "20 between are left out; all of them: --verbose" in text
    assert printed(forecast_parts, summary, verbose=True).count(": merge by ties") == 50


def test_markup_in_names_is_text():
    names = ("[bold]a", "b[/]", "c")
    text = printed(forecast_parts, forecast_summary(names), width=120, verbose=True)
    assert "[bold]a + b[/]: merge by ties" in text
    assert "[bold]a + b[/]  ties" in printed(forecast_parts, forecast_summary(names), width=120)


def test_a_pair_without_any_forecast():
    summary = forecast_summary()
    pair = summary["pairs"][0]
    pair |= {"advice": "no forecast", "method": "", "predicted": None, "worst_member": ""}
    for row in summary["rows"]:
        if (row["left"], row["right"]) == ("a", "b"):
            row |= {"predicted": None, "reasons": [], "note": "metric cosine missing: why"}
    text = printed(forecast_parts, summary, width=120, verbose=True)
    assert "a + b: no forecast" in text
    assert text.count("metric cosine missing: why") == pytest.approx(3, abs=1)
    short = printed(forecast_parts, summary, width=120)
    assert "no forecast for 1 pair (dare, ties): metric cosine missing: why" in short
