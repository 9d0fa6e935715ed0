import pandas as pd

from mergecast.forecast.recommend import recommend


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
