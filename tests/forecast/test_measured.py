"""`Forecaster.forecast(measured=…)`: what merges of a family did moves all forecasts of it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.forecast.measured import sampling_variance, with_measured
from mergecast.tables.outcomes import OutcomeTable

LABELS = "abcdef"
METHODS = ("ties", "tsv")


def forecast_rows(retention=0.9, half=0.1):
    """Cold member rows of six models, all alike."""
    rows = pd.DataFrame(
        {"suite": "", "method": method, "left": left, "right": right, "member": member,
         "basis": "cold", "retention": retention, "lower": retention - half,
         "upper": retention + half, "note": ""}
        for left, right in combinations(LABELS, 2) for method in METHODS for member in (left, right)
    )  # fmt: skip
    reason = {"metric": "m", "value": 1.0, "contribution": 0.001}
    lists = {"out_of_range": [[] for _ in rows.index], "reasons": [[reason] for _ in rows.index]}
    return rows.assign(**lists)


def outcome(members, kept, method="ties", n_eval=1000.0, **more):
    """The rows of one merge in which every member keeps so much."""
    names = members.split("+")
    values = kept if isinstance(kept, dict) else dict.fromkeys(names, kept)
    return [
        {"method": method, "members": members, "task": name, "score": 0.8 * values[name],
         "single_score": 0.8, "n_eval": n_eval, **more}
        for name in names
    ]  # fmt: skip


def table(*merges):
    return OutcomeTable(pd.DataFrame([row for merge in merges for row in merge]))


def one(rows, left, right, member, method="ties"):
    keys = zip(rows["left"], rows["right"], rows["member"], rows["method"], strict=True)
    [found] = [i for i, key in enumerate(keys) if key == (left, right, member, method)]
    return rows.iloc[found]


def test_a_measured_pair_is_what_was_measured_less_its_noise_and_the_others_move_its_way():
    cold = forecast_rows()
    rows, use = with_measured(cold, table(outcome("a+b", 0.7)), 0.9)
    here, beside, far = (one(rows, *pair) for pair in ("aba", "aca", "cdc"))
    assert 0.70 <= here["retention"] < 0.72
    assert here["lower"] < 0.7 < here["upper"]
    assert here["note"] == "measured 0.700 ± 0.016"
    assert here["reasons"] == []
    # a is in the pair that was measured, c and d are only of its family.
    assert 0.7 < beside["retention"] < far["retention"] < 0.9
    assert (here["basis"], beside["basis"], far["basis"]) == ("measured", "family", "family")
    assert far["reasons"][0]["metric"] == "measured merges of this family"
    assert far["reasons"][0]["contribution"] == pytest.approx(far["retention"] - 0.9)
    # Of a method that nobody measured, the forecasts with a or b move, less, and keep their widths.
    other, same = one(rows, *"aca", method="tsv"), one(rows, *"cdc", method="tsv")
    assert beside["retention"] < other["retention"] < 0.9
    assert other["upper"] - other["retention"] == pytest.approx(0.1)
    assert other["basis"] == "family"
    assert (same["retention"], same["lower"], same["basis"]) == (0.9, 0.8, "cold")
    assert use.n_merges == 1
    assert use.n_moved == (rows["basis"] == "family").sum()
    moved = (rows["retention"] - cold["retention"])[rows["basis"] == "family"]
    assert use.sentence == (
        "1 measured merge of this family used (ties): forecasts of the others moved by "
        f"{moved.abs().mean():.3f} on average ({moved.mean():+.3f} in the mean)."
    )


def test_measured_merges_that_agree_narrow_the_intervals_of_the_others():
    cold = forecast_rows()
    merges = [outcome(f"{i}+{j}", 0.8) for i, j in ("ab", "bc", "cd", "de", "ef")]
    rows, _ = with_measured(cold, table(*merges), 0.9)
    row = one(rows, *"ada")
    assert row["retention"] == pytest.approx(0.8, abs=0.01)
    assert row["upper"] - row["lower"] < 0.15


def test_where_the_forecaster_abstains_measured_merges_speak_alone():
    cold = forecast_rows().assign(
        basis="abstained", retention=np.nan, lower=np.nan, upper=np.nan, note="out of domain: m"
    )
    merges = [outcome("a+b", {"a": 0.6, "b": 0.8}), outcome("c+d", 0.8)]
    rows, use = with_measured(cold, table(*merges), 0.9)
    lost, other = one(rows, *"aea"), one(rows, *"cec")
    assert 0.6 < lost["retention"] < other["retention"] < 0.85
    assert other["lower"] < 0.7
    assert (other["basis"], other["note"]) == (
        "family",
        "from measured merges alone, out of domain: m",
    )
    assert one(rows, *"aba")["note"] == "measured 0.600 ± 0.015"
    # Nothing is known of a method that nobody measured.
    silent = rows[rows["method"] == "tsv"]
    assert set(silent["basis"]) == {"abstained"}
    assert silent["retention"].isna().all()
    assert use.sentence == "2 measured merges of this family used (ties)."


def test_a_forecast_that_says_nothing_is_left_for_the_level_of_the_family():
    random = np.random.default_rng(0)
    cold = forecast_rows()
    cold["retention"] = 0.5 + 0.2 * random.random(len(cold))
    cold = cold.assign(lower=cold["retention"] - 0.05, upper=cold["retention"] + 0.05)
    pairs = list(combinations(LABELS, 2))[::2]
    merges = [
        outcome(f"{i}+{j}", 0.9 + 0.01 * random.normal(), m) for i, j in pairs for m in METHODS
    ]
    rows, _ = with_measured(cold, table(*merges), 0.9)
    others = rows[rows["basis"] == "family"]
    assert (others["retention"] - 0.9).abs().mean() < 0.02


def test_one_pair_is_hardly_worse_than_the_better_of_forecast_and_measured_mean():
    random = np.random.default_rng(0)
    for shift, spread in ((0.0, 0.03), (-0.2, 0.03), (0.0, 0.1)):
        errors = []
        for _ in range(20):
            own = dict(zip(LABELS, spread * random.normal(size=6), strict=True))
            cold = forecast_rows()
            truth = 0.9 + shift + cold["member"].map(own) + 0.01 * random.normal(size=len(cold))
            seen = outcome("a+b", {"a": truth[0], "b": truth[1]})
            rows, _ = with_measured(cold, table(seen), 0.9)
            others = (rows["basis"] == "family") & (rows["method"] == "ties")
            says = (rows["retention"], cold["retention"], truth[:2].mean())
            errors.append([(said - truth)[others].abs().mean() for said in says])
        updated, without, mean = np.mean(errors, axis=0)
        assert updated < min(without, mean) + 0.03


def test_what_cannot_be_used_is_named():
    frame = table(
        outcome("a+b", 0.8), outcome("a+x", 0.8), outcome("y+z", 0.8), outcome("a+c", 0.8, "dare"),
        outcome("a+b+c", 0.8), outcome("a+d", float("nan")),
    )  # fmt: skip
    _, use = with_measured(forecast_rows(), frame, 0.9)
    assert use.left_out == (
        "2 measured merges left out: with models that are not forecast here (x, y, z)",
        "1 measured merge left out: by dare, which is not forecast here (ties, tsv are)",
        "1 measured merge left out: of 3 models, where forecasts are of 2",
        "1 measured merge left out: retention is missing",
    )
    strangers = table(outcome("x+y", 0.8))
    with pytest.raises(UsageError, match=r"none can be used: 1 measured merge .* \(x, y\)"):
        with_measured(forecast_rows(), strangers, 0.9)
    two = [outcome("a+b", 0.8, suite=suite) for suite in ("s", "t")]
    with pytest.raises(UsageError, match="measured suites 's', 't': labels of several suites"):
        with_measured(forecast_rows(), table(*two), 0.9)


def test_a_pair_without_a_forecast_that_was_measured_is_what_was_measured():
    cold = forecast_rows()
    cold.loc[:1, ["retention", "lower", "upper"]] = np.nan
    cold.loc[2:3, ["retention", "lower", "upper"]] = np.nan
    rows, _ = with_measured(cold, table(outcome("a+b", 0.7)), 0.9)
    assert rows["retention"][:2].tolist() == pytest.approx([0.7, 0.7])
    assert rows["lower"][0] < 0.7 < rows["upper"][0]
    assert rows[["retention", "lower", "upper"]].iloc[2:4].isna().all(axis=None)
    assert rows["basis"].tolist()[:5] == [*["measured"] * 2, *["cold"] * 3]


def test_noise_is_that_of_the_table_or_of_its_number_of_samples():
    frame = table(outcome("a+b", 0.9, n_eval=400.0), outcome("a+c", 0.9, n_eval=np.nan)).frame
    expected = np.sqrt(0.5 * (0.72 * 0.28 + 0.81 * 0.8 * 0.2) / 400) / 0.8
    assert np.sqrt(sampling_variance(frame)) == pytest.approx([expected] * 2 + [0.02] * 2)
    given = frame.assign(retention_stderr=[0.01, 0.0, 0.03, np.nan])
    assert np.sqrt(sampling_variance(given)) == pytest.approx([0.01, 1 / 400, 0.03, 0.02])


def test_errors_that_nothing_tells_are_counted_with_what_would_tell_them():
    cold, unknown = forecast_rows(), {"n_eval": np.nan}
    _, use = with_measured(cold, table(outcome("a+b", 0.7), outcome("a+c", 0.7, **unknown)), 0.9)
    assert use.n_assumed == 2
    assert use.doubt.startswith("2 rows of measured merges have neither an error nor a number")
    assert "a standard error of 0.02 of retention was assumed" in use.doubt
    # Each column that the sentence names tells it, and seeds are rows.
    for told in ({"n_eval": 400.0}, {**unknown, "retention_stderr": 0.01}):
        _, use = with_measured(cold, table(outcome("a+b", 0.7, **told)), 0.9)
        assert (use.n_assumed, use.doubt) == (0, "")
    seeds = [outcome("a+b", 0.7, seed=seed, **unknown) for seed in range(3)]
    assert with_measured(cold, table(*seeds), 0.9)[1].n_assumed == 6
    # The number of samples says nothing of a score that is no share.
    points = [{**row, "score": 70.0, "single_score": 80.0} for row in outcome("a+b", 0.7)]
    assert with_measured(cold, table(points), 0.9)[1].n_assumed == 2


def test_an_interval_without_an_end_is_no_reason_to_know_nothing():
    cold = forecast_rows().assign(upper=np.inf)
    rows, _ = with_measured(cold, table(outcome("a+b", 0.7)), 0.9)
    assert np.isfinite(rows["upper"][rows["method"] == "ties"]).all()
