"""Intervals of forecasts from fewer samples than they were calibrated on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import mergecast as mc
from mergecast.forecast.few_samples import FewSamples, widened
from mergecast.tables.pairs import FEW_SAMPLES
from mergecast.testing.tiny import tiny_family, tiny_tasks


def test_a_handful_of_right_answers_is_not_taken_for_certainty():
    """The value of a member that loses nothing on 5 samples may be off by a third."""
    few = FewSamples({"a": 5, "b": 20})
    half = widened(np.zeros(3), few.variance(np.ones(3), ["a", "b", "c"]), 0.9)
    assert 0.3 < half[0] < 0.4
    assert 0.1 < half[1] < 0.15
    assert half[2] == 0


def test_the_mean_of_a_set_is_surer_than_its_members():
    few = FewSamples({"a": 10, "b": 10})
    each = few.variance(np.array([0.9]), ["a"])[0]
    assert few.of_mean(0.9, ("a", "b")) == pytest.approx(each / 2)


def test_a_forecast_is_as_wide_as_few_samples_leave_it_and_says_so(tmp_path):
    family = tiny_family(tmp_path, "abc")
    asked = {"tasks": tiny_tasks("abc"), "methods": ["weight_avg"], "calibration": 12}
    few = mc.forecast(family, **asked)
    assert few.metrics.recipe[FEW_SAMPLES] == {"a": 12, "b": 12, "c": 12}
    assert [text for text in few.warnings if "few samples to forecast from (a 12, b 12" in text]
    recipe = {key: value for key, value in few.metrics.recipe.items() if key != FEW_SAMPLES}
    usual = mc.Forecaster.load().forecast(replace(few.metrics, recipe=recipe))
    same = few.rows.merge(usual.rows, on=["left", "right", "member", "method"])
    known = same[same["method"] == "weight_avg"].dropna(subset=["retention_x"])
    assert len(known)
    assert (known["retention_x"] == known["retention_y"]).all()
    assert (known["lower_x"] < known["lower_y"]).all()
