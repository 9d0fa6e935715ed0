import pandas as pd
import pytest

from mergecast.forecast.recommend import preference, recommend


def rows(*methods):
    """One pair: (method, left's retention, right's, half width) each."""
    return pd.DataFrame(
        [
            {
                "suite": "",
                "left": "a",
                "right": "b",
                "method": method,
                "member": member,
                "retention": retention,
                "lower": retention - half,
            }
            for method, left, right, half in methods
            for member, retention in (("a", left), ("b", right))
        ]
    )


def test_the_highest_mean_wins_and_its_worst_member_decides_the_advice():
    best = recommend(rows(("ties", 0.99, 0.85, 0.1), ("tsv", 0.9, 0.91, 0.1))).iloc[0]
    assert best["method"] == "ties"
    assert best["worst_member"] == "b"
    assert best["lower"] == 0.75
    assert best["advice"] == "do not merge"
    assert recommend(rows(("ties", 0.99, 0.85, 0.1)), 0.8)["advice"].tolist() == ["merge"]


def test_equal_means_go_to_the_higher_lower_bound_then_to_the_name():
    assert recommend(rows(("dare", 0.9, 0.9, 0.2), ("ties", 0.9, 0.9, 0.1)))["method"][0] == "ties"
    assert recommend(rows(("ties", 0.9, 0.9, 0.1), ("dare", 0.9, 0.9, 0.1)))["method"][0] == "dare"
    nearly = rows(("ties", 0.9 + 1e-9, 0.9, 0.1), ("dare", 0.9, 0.9, 0.1))
    assert recommend(nearly)["method"][0] == "dare"


def family(forecasts, **more):
    """Pairs of one family: (pair, method) to forecast, both members alike."""
    return pd.DataFrame(
        [
            {"suite": "", "left": pair[0], "right": pair[1], "method": method, "member": member}
            | {"retention": value, "lower": value}
            | {key: column.get((pair, method)) for key, column in more.items()}
            for (pair, method), value in forecasts.items()
            for member in pair
        ]
    )


def test_a_method_that_is_better_for_the_family_is_not_left_for_a_small_difference_of_one_pair():
    pairs = ["ab", "ac", "bc"]
    forecasts = {(pair, "ties"): 0.9 for pair in pairs} | {(pair, "tsv"): 0.8 for pair in pairs}
    forecasts["ab", "tsv"] = 0.93
    # tsv is 0.057 below ties in the mean; of what ab says beyond that, three tenths count.
    assert recommend(family(forecasts))["method"].tolist() == ["ties"] * 3
    # Of a pair that was measured all counts, and so does all of a much larger difference.
    basis = {("ab", method): "measured" for method in ("ties", "tsv")}
    assert recommend(family(forecasts, basis=basis))["method"].tolist() == ["tsv", "ties", "ties"]
    forecasts["ab", "tsv"] = 1.4
    assert recommend(family(forecasts))["method"][0] == "tsv"


def test_what_a_pair_is_chosen_by_does_not_depend_on_gaps_of_others():
    pairs = ["ab", "ac", "bc"]
    level = {"ties": 0.0, "tsv": 0.05, "dare": -0.1}
    forecasts = {
        (pair, method): 0.6 + 0.1 * i + of
        for i, pair in enumerate(pairs)
        for method, of in level.items()
    }
    forecasts["ac", "tsv"] = float("nan")
    forecasts["bc", "dare"] = float("nan")
    assert recommend(family(forecasts))["method"].tolist() == ["tsv", "ties", "tsv"]
    merges = pd.DataFrame([(a, b, m, v) for ((a, b), m), v in forecasts.items()])
    merges = merges.set_axis(["left", "right", "method", "mean"], axis=1).dropna()
    sought = preference(merges, ["left", "right"])
    assert sought.to_numpy() == pytest.approx(merges["mean"].to_numpy(), abs=1e-6)


def test_a_method_with_a_missing_member_takes_no_part():
    found = recommend(rows(("ties", 0.99, float("nan"), 0.1), ("tsv", 0.8, 0.8, 0.1)))
    assert found["method"].tolist() == ["tsv"]
    nothing = recommend(rows(("ties", 0.99, float("nan"), 0.1))).iloc[0]
    assert (nothing["method"], nothing["worst_member"], nothing["advice"]) == (
        "",
        "",
        "no forecast",
    )
    assert pd.isna(nothing["retention"])


def test_what_was_measured_is_not_outweighed_by_what_another_method_does_to_the_family():
    """In three other pairs `ties` is far better; in this one `tsv` was seen to keep more."""
    pairs = ["ab", "ac", "bc", "ad", "bd"]
    forecasts = {(pair, "ties"): 0.98 for pair in pairs} | {(pair, "tsv"): 0.9 for pair in pairs}
    forecasts["ab", "ties"], forecasts["ab", "tsv"] = 0.92, 0.95
    basis = dict.fromkeys(forecasts, "cold")
    assert recommend(family(forecasts, basis=basis))["method"][0] == "ties"
    basis["ab", "tsv"] = "measured"
    best = recommend(family(forecasts, basis=basis))
    assert best["method"].tolist() == ["tsv", *["ties"] * 4]
    assert best["retention"][0] == 0.95
    # One that is forecast to keep more than what was measured still wins.
    forecasts["ab", "ties"] = 0.97
    assert recommend(family(forecasts, basis=basis))["method"][0] == "ties"
