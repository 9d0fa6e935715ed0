"""A forecast as a figure: every pair is there, and files are what their names say."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import report_case as case

from mergecast.errors import ResourceError, UsageError
from mergecast.forecast.strengths import CURVE_COLUMNS


@pytest.fixture
def forecast():
    strengths = np.linspace(0, 1, 5)
    rows = [("task_arithmetic", "a+b", s, 0.9, 0.8, 1.0) for s in strengths]
    return case.forecast(curves=pd.DataFrame(rows, columns=CURVE_COLUMNS))


def test_the_map_has_every_pair_by_its_best_method(forecast):
    axes = forecast.plot().axes
    image = np.asarray(axes[0].images[0].get_array())
    expected = [[np.nan, 0.95, 0.95], [0.95, np.nan, 0.95], [0.85, 0.85, np.nan]]
    np.testing.assert_allclose(image, expected)
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["a", "b", "c"]
    numbers = [text.get_text() for text in axes[0].texts]
    assert sorted(numbers) == ["0.85"] * 2 + ["0.95"] * 4
    assert axes[1].get_legend().get_texts()[0].get_text() == "a + b"


def test_without_curves_there_is_the_map_alone():
    assert len([one for one in case.forecast().plot().axes if one.images]) == 1


def test_measured_merges_and_layers_have_a_panel_each():
    rows = [("dare", 0.9, 0.8), ("dare", np.nan, 0.7), ("ties", 0.7, 0.75)]
    beside = pd.DataFrame(rows, columns=["method", "before", "measured"])
    layers = [(*pair, f"layer.{i}", 0.5) for pair in ("ab", "ac", "bc") for i in range(2)]
    depth = pd.DataFrame(layers, columns=["left", "right", "layer", "apart"])
    drawn = [
        one for one in case.forecast(beside=beside, depth=depth).plot().axes if one.get_title()
    ]
    titles = [one.get_title() for one in drawn]
    assert titles[1:] == [
        "what members keep: measured beside forecast",
        "where a and b lie apart, by layer",
    ]
    points = [tuple(one) for dots in drawn[1].collections for one in dots.get_offsets().data]
    assert points == [(0.9, 0.8), (0.7, 0.75)]
    assert [one.get_text() for one in drawn[2].get_yticklabels()] == ["layer.0", "layer.1"]
    assert [bar.get_width() for bar in drawn[2].patches] == [0.5, 0.5]


def test_a_notebook_shows_it(forecast):
    assert forecast.plot()._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "begins"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml"), ("p.pdf", b"%PDF")]
)
def test_it_is_written(forecast, tmp_path, name, begins):
    forecast.plot(tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes().startswith(begins)


def test_what_cannot_be_drawn_or_written_is_said(forecast, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"plot: is 'p.jpg'; end it in .png, .svg, .pdf"):
        forecast.plot(tmp_path / "p.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be written"):
        forecast.plot(tmp_path / "file" / "p.png")
    empty = case.forecast()
    empty.rows["retention"] = np.nan
    with pytest.raises(UsageError, match="no pair has a forecast"):
        empty.plot()
    monkeypatch.delitem(sys.modules, "mergecast.forecast.figure", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"needs matplotlib; install mergecast\[plot\]"):
        forecast.plot()
