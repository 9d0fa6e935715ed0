import json
import re

import numpy as np
import pandas as pd
import pytest
import report_case as case
from test_family_summary import forecaster_file, model
from test_html import HOSTILE, Page, forecast_summary

from mergecast.report.depth_panels import depth_panel, depth_parts, shown_pairs
from mergecast.report.family_summary import summarise_forecast
from mergecast.report.family_terminal import forecast_parts
from mergecast.report.html import render_html
from mergecast.report.markdown import render_markdown
from mergecast.report.table import Table


def depth(names="abc"):
    a, b, c = names
    return pd.DataFrame(
        {"left": left, "right": right, "layer": layer, "apart": apart, "cosine": cosine,
         "left_share": 0.5, "right_share": 0.25}
        for left, right in ((a, b), (a, c), (b, c))
        for layer, apart, cosine in (("embed", 0.2, np.nan), ("blocks.0", 0.5, -0.5),
                                     ("blocks.1", 0.3, 0.25))
    )  # fmt: skip


def deep_forecast(names="abc"):
    return summarise_forecast(
        case.forecast(
            forecaster_file(ties=model("ridge", 0.04), dare=model("constant", 0.08)),
            names,
            base="base.safetensors",
            models=dict.fromkeys(names, "somewhere"),
            depth=depth(names),
        )
    )


@pytest.fixture(scope="module")
def summary():
    return deep_forecast()


def test_it_is_in_the_json_pair_by_pair(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert [(one["left"], one["right"]) for one in summary["layers"]] == [
        ("a", "b"), ("a", "c"), ("b", "c"),
    ]  # fmt: skip
    assert summary["layers"][0]["layers"][0] == {
        "layer": "embed", "apart": 0.2, "cosine": None, "left_share": 0.5, "right_share": 0.25,
    }  # fmt: skip


def test_bars_are_as_long_as_what_they_say(summary):
    panel = depth_panel(summary["layers"][0])
    first, second, third = panel["bars"]
    assert (first["apart"] / second["apart"], third["apart"] / second["apart"]) == pytest.approx(
        (0.4, 0.6), abs=0.01
    )
    assert panel["names"] + second["apart"] == pytest.approx(panel["ends"]["apart"])
    assert (first["turn"], second["against"], third["against"]) == (0, True, False)
    assert second["x"] + second["turn"] == pytest.approx(panel["middle"])
    assert third["x"] == pytest.approx(panel["middle"])
    assert second["turn"] == pytest.approx(2 * third["turn"], abs=0.2)
    assert second["label"] == "blocks.0: 50% of the distance, cosine −0.50"
    assert first["label"].endswith("cosine –")
    assert panel["said"] == "most in blocks.0, 50%"


def test_deep_networks_stay_in_the_picture():
    layers = [
        {"layer": f"model.decoder.layers.{i}", "apart": 0.01, "cosine": 0.1, "left_share": 0.01,
         "right_share": 0.01}
        for i in range(100)
    ]  # fmt: skip
    panel = depth_panel({"left": "a", "right": "b", "layers": layers})
    assert panel["bars"][-1]["y"] + panel["thick"] <= panel["height"] - 16
    named = [bar["name"] for bar in panel["bars"] if bar["name"]]
    assert 20 <= len(named) <= 60
    assert named[0] == "…decoder.layers.0"
    assert all(len(name) <= 17 for name in named)


def test_of_many_pairs_the_best_and_the_worst_are_shown(summary):
    pair, layers = summary["pairs"][0], summary["layers"][0]
    kept = [0.5, 0.9, None, 0.7, 0.8, 0.6, 0.95, 0.4, 0.3]
    many = {
        **summary,
        "pairs": [{**pair, "left": f"m{i}", "predicted": value} for i, value in enumerate(kept)],
        "layers": [{**layers, "left": f"m{i}"} for i in range(len(kept))],
    }
    assert [one["left"] for one in shown_pairs(many)] == ["m6", "m1", "m4", "m0", "m7", "m8"]
    silent = [{**one, "predicted": None} for one in many["pairs"]]
    assert [one["left"] for one in shown_pairs({**many, "pairs": silent})] == ["m0", "m1", "m2"]


def test_tables_are_of_the_best_and_the_worst_or_of_the_pair_that_is_asked_for(summary):
    parts = list(depth_parts(summary))
    titles = [part.title for part in parts if isinstance(part, Table)]
    assert titles == [
        "a + b: task vectors by layer",
        f"{shown_pairs(summary)[-1]['left']} + c: task vectors by layer",
    ]
    assert parts[0].rows[1] == ["blocks.0", "50%", "−0.50", "50% and 25%"]
    assert "no forecast is made of it" in parts[-1]
    asked = [part for part in forecast_parts(summary, pairs=["c+a"]) if isinstance(part, Table)]
    assert "a + c: task vectors by layer" in [part.title for part in asked]
    text = render_markdown(summary)
    assert "**a + b: task vectors by layer**" in text
    assert "| blocks.0 | 50% | −0.50 | 50% and 25% |" in text


def test_of_a_table_alone_there_is_none():
    bare = forecast_summary()
    assert "layers" not in bare
    assert list(depth_parts(bare)) == []
    assert 'id="depth"' not in render_html(bare)


def test_the_page_draws_every_pair_once_and_says_what_it_is_not(summary):
    text = render_html(summary)
    section = text.split('id="depth"')[1].split("</section>")[0]
    assert section.count("<figure>") == 3
    assert "blocks.0: 50% of the distance, cosine −0.50" in section
    assert "no forecast is made of it" in section
    assert not re.search(r"\bnan\b|None", section)


def test_hostile_names_stay_text():
    names = tuple(sorted(HOSTILE))
    text = render_html(deep_forecast(names))
    assert len(Page(text).all("script")) == 1
    assert "alert(1)</script>" not in text
