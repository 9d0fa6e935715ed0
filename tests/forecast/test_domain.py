"""Where a forecaster knows what it says, and what it says elsewhere."""

import numpy as np
import pytest

from mergecast.forecast.forecaster import Forecaster


def beyond(forecaster, pairs, widths):
    """The pairs, the first one's member t00 so many widths below the training range of `reach`."""
    [reach] = [f for f in forecaster.file.methods["ties"].features if f.name == "reach"]
    value = reach.low - widths * (reach.high - reach.low)
    return pairs.assign(**{"reach:left<-right": [value, *pairs["reach:left<-right"][1:]]})


def test_a_metric_outside_counts_no_further_and_widens_the_interval(forecaster, new_pairs):
    near, far = (
        forecaster.forecast(beyond(forecaster, new_pairs, widths)).rows.iloc[0]
        for widths in (0.3, 0.9)
    )
    assert near["retention"] == far["retention"]
    half = [row["retention"] - row["lower"] for row in (near, far)]
    assert half[1] / half[0] == pytest.approx(1.9 / 1.3)


def test_models_too_unlike_those_of_the_training_get_no_number(forecaster, new_pairs):
    pairs = beyond(forecaster, new_pairs, 1.1)
    forecast = forecaster.forecast(pairs)
    first = (forecast.rows["left"] == "t00") & (forecast.rows["right"] == "t01")
    gone, others = forecast.rows[first], forecast.rows[~first]
    assert set(gone["basis"]) == {"abstained"}
    assert gone[["retention", "lower", "upper"]].isna().all(axis=None)
    assert gone["reasons"].map(len).sum() == 0
    assert set(others["basis"]) == {"cold"}
    assert others["retention"].notna().all()
    # The metric, its value and the range, never the same words for other models.
    value = pairs["reach:left<-right"][0]
    [reach] = [f for f in forecaster.file.methods["ties"].features if f.name == "reach"]
    told = f"reach is {value:.4g}, in training {reach.low:.4g} to {reach.high:.4g}"
    assert set(gone["note"]) == {f"out of domain: {told}"}
    assert told in forecast.abstention
    assert forecast.abstention.startswith("No forecast for 1 of 3 pairs: ")
    assert "--measured" in forecast.abstention
    assert "--tasks" not in forecast.abstention  # no tier of this forecaster takes more
    assert forecast.pairs.set_index("right").loc["t01", "advice"] == "no forecast"
    assert forecast.abstention in " ".join(repr(forecast).split())
    assert "nan" not in repr(forecast)


def test_where_it_abstains_from_every_pair_it_says_so_and_fails_not(forecaster, new_pairs):
    far = new_pairs.assign(**{"reach:left<-right": 1e3, "cosine": 1e3})
    forecast = forecaster.forecast(far)
    assert set(forecast.pairs["advice"]) == {"no forecast"}
    assert forecast.abstention.startswith("No forecast for 3 of 3 pairs: ")
    assert forecast.to_dict()["abstention"] == forecast.abstention
    assert forecaster.forecast(new_pairs).abstention == ""


def test_the_domain_is_that_of_all_methods_whichever_are_asked_for(seven_tasks, new_pairs):
    pairs, outcomes = seven_tasks
    # What dare does has nothing to do with any metric: its fit is the constant.
    draw = np.random.default_rng(0).uniform(0.8, 0.9, len(outcomes))
    noise = outcomes["retention"].where(outcomes["method"] != "dare", draw)
    score = noise * outcomes["single_score"]
    forecaster = Forecaster.fit(pairs, outcomes.assign(retention=noise, score=score))
    assert forecaster.file.methods["dare"].needs == []
    alone = forecaster.only(["dare"])
    assert "reach" in alone.reads("all")
    for one in (forecaster, alone):
        rows = one.forecast(beyond(forecaster, new_pairs, 1.1)).rows
        dare = rows[rows["method"] == "dare"]
        assert dare["basis"].tolist() == ["abstained"] * 2 + ["cold"] * 4
        assert dare["note"].iloc[0].startswith("out of domain: reach is ")


def test_no_number_goes_beyond_what_a_method_was_seen_to_keep(forecaster, new_pairs, seven_tasks):
    kept = seven_tasks[1].groupby("method")["retention"].max()
    for method, entry in forecaster.file.methods.items():
        assert entry.most_kept == pytest.approx(kept[method])
    good = {
        name: entry.model_copy(update={"model": entry.model.model_copy(update={"intercept": 1.5})})
        for name, entry in forecaster.file.methods.items()
    }
    file = forecaster.file.model_copy(update={"tiers": {"all": good}})
    rows = Forecaster(file).forecast(new_pairs).rows
    most = rows["method"].map({name: entry.most_kept for name, entry in good.items()})
    assert (rows["retention"] == most).all()
    assert (rows["upper"] <= 1).all()
    assert (rows["lower"] < most).all()
