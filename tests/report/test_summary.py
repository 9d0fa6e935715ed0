import json
from dataclasses import replace

import pytest
import report_case as case

from mergecast.errors import UsageError
from mergecast.report.inputs import RunInputs
from mergecast.report.summary import summarise_run
from mergecast.tables.outcomes import OutcomeTable


@pytest.fixture(scope="module")
def summary():
    evaluations = [case.evaluation("loto"), case.evaluation("l2to")]
    return summarise_run(case.inputs(), evaluations, case.forecast(), date="2026-01-02")


def method(summary, name):
    return next(entry for entry in summary["methods"] if entry["method"] == name)


def test_a_summary_is_json_without_nan(summary):
    text = json.dumps(summary, allow_nan=False)
    assert json.loads(text) == summary


def test_header_says_what_was_run(summary):
    header = summary["header"]
    assert header["tasks"] == ["a", "b", "c"]
    assert header["methods"] == ["dare", "ties"]
    assert (header["n_pairs"], header["n_metrics"], header["seeds"]) == (3, 1, [0])
    assert header["date"] == "2026-01-02"
    assert header["versions"]["torch"] == "2.13.0"


def test_the_forecast_comes_from_the_hardest_protocol_and_its_best_predictor(summary):
    assert summary["protocol"] == "l2to"
    ties = method(summary, "ties")
    assert ties["predictor"] == "ridge"
    assert ties["gain"] == pytest.approx(0.6)
    assert ties["protocols"]["l2to"]["forecast"]["coverage"] == pytest.approx(5 / 6)
    assert ties["protocols"]["l2to"]["partner_mean"] is None
    assert ties["protocols"]["loto"]["partner_mean"]["mae"] == 0.03
    assert ties["sentence"] == "Error 0.040 beside the constant's 0.100: 60% less."


def test_where_the_constant_won_the_summary_says_so(summary):
    dare = method(summary, "dare")
    assert (dare["predictor"], dare["better"]) == ("constant", False)
    assert dare["sentence"] == "No metric beat the constant (error 0.050)."
    verdict = " ".join(summary["verdict"])
    assert "misses by 60% less than always predicting the mean, for 1 of 2" in verdict
    assert "no better than always predicting the mean for dare." in verdict
    assert any(w.startswith("dare: no metric beat the constant") for w in summary["warnings"])


def test_measured_retention_and_its_sampling_error(summary):
    measured = method(summary, "ties")["measured"]
    assert measured["mean"] == pytest.approx((0.85 + 0.95 + 0.7) / 3)
    assert measured["min"] == pytest.approx(0.7)
    # Binomial: sqrt((p(1-p) + q(1-q)) / 100) / 2 for (.9, .8), (1, .9), (.7, .7).
    expected = (0.0025**0.5 + 0.0009**0.5 + 0.0042**0.5) / 2 / 3
    assert measured["sampling_error"] == pytest.approx(expected)


def test_rows_stand_beside_the_outcome_and_say_whether_it_lay_inside(summary):
    rows = {
        (r["left"] + r["right"], r["member"]): r for r in summary["rows"] if r["method"] == "ties"
    }
    assert len(summary["rows"]) == 12
    assert rows["ab", "b"]["predicted"] == pytest.approx(0.84)
    assert rows["ab", "b"]["measured"] == pytest.approx(0.8)
    assert [rows["bc", m]["inside"] for m in "bc"] == [True, False]
    assert rows["ab", "a"]["reasons"] == [{"metric": "cosine", "value": 0.1, "contribution": -0.02}]


def test_advice_and_its_regret(summary):
    found = {p["left"] + p["right"]: p for p in summary["pairs"]}
    assert [found[k]["method"] for k in ("ab", "ac", "bc")] == ["ties", "ties", "dare"]
    assert [found[k]["advice"] for k in ("ab", "ac", "bc")] == [
        "do not merge",
        "merge",
        "do not merge",
    ]
    assert [found[k]["regret"] for k in ("ab", "ac", "bc")] == pytest.approx([0, 0, 0])
    advice = summary["advice"]
    # The constant takes dare everywhere: 0.05, 0.15 and 0 short of the best.
    assert advice["constant"]["mean"] == pytest.approx(0.2 / 3)
    assert advice["constant"]["share_best"] == pytest.approx(1 / 3)
    assert (advice["n_merge"], advice["n_merge_right"]) == (1, 1)
    assert (advice["n_leave"], advice["n_leave_right"]) == (2, 1)


def test_warnings_name_what_to_distrust(summary):
    text = "\n".join(summary["warnings"])
    assert "ties: the 90% intervals held 83% of the measured values." in text
    assert "ties: with one task unseen, the partner's mean outcome" in text
    assert "Only 3 tasks" in text
    assert "One seed" in text
    assert "c is hardly better after fine-tuning" in text
    assert "a little too good" in text


def test_missing_values_keep_their_reasons(summary):
    assert summary["missing"][0]["reason"] == "zero task vector"
    assert summary["notes"] == ["a note"]
    assert [task["gain"] for task in summary["tasks"]] == [
        pytest.approx(0.3),
        None,
        pytest.approx(0.01),
    ]


def test_loto_alone_has_no_intervals():
    summary = summarise_run(case.inputs(), [case.evaluation("loto", coverage=None)])
    assert summary["protocol"] == "loto"
    assert {row["inside"] for row in summary["rows"]} == {None}
    assert summary["rows"][0]["reasons"] == []
    assert "With one task unseen" in summary["verdict"][0]


def test_a_forecast_that_never_helps_is_told_first():
    poor = case.evaluation("l2to", ridge_mae=(0.099, 0.06))
    summary = summarise_run(case.inputs(), [poor])
    assert summary["verdict"][0].endswith("for dare and ties.")
    assert method(summary, "ties")["sentence"].startswith("No better than the constant")
    assert any("not even 5% below" in warning for warning in summary["warnings"])


def test_advice_no_better_than_the_constant_is_told():
    table = case.evaluation("l2to")
    swapped = table.predictions.copy()
    ridge = (swapped["predictor"] == "ridge") & (swapped["method"] == "ties")
    swapped.loc[ridge, "predicted"] = 0.1
    summary = summarise_run(case.inputs(), [type(table)("l2to", table.results, swapped, [])])
    assert "does not help to choose the method" in summary["verdict"][-1]


def test_an_undefined_outcome_is_no_number():
    inputs = case.inputs()
    outcomes = inputs.outcomes.to_pandas()
    row = (outcomes["members"] == "a+b") & (outcomes["task"] == "a")
    outcomes.loc[row, ["score", "single_score"]] = 0.0
    outcomes.loc[row, "retention"] = float("nan")
    evaluation = case.evaluation("l2to")
    kept = evaluation.predictions.query("fold != 'ab'").reset_index(drop=True)
    summary = summarise_run(
        RunInputs(inputs.pairs, OutcomeTable(outcomes)),
        [type(evaluation)("l2to", evaluation.results, kept, [])],
    )
    assert method(summary, "ties")["measured"]["n_undefined"] == 1
    assert "ties: 1 pair has no defined outcome." in summary["warnings"]
    assert len(summary["pairs"]) == 2


def test_scores_that_are_no_shares_have_no_sampling_error():
    inputs = case.inputs()
    rows = inputs.outcomes.to_pandas()
    outcomes = rows.assign(score=rows["score"] * 50, single_score=rows["single_score"] * 50)
    summary = summarise_run(
        RunInputs(inputs.pairs, OutcomeTable(outcomes)), [case.evaluation("l2to")]
    )
    assert method(summary, "ties")["measured"]["sampling_error"] is None
    assert summary["tasks"] == []


def test_outcomes_as_noisy_as_their_test_set_leave_little_to_forecast():
    inputs = case.inputs()
    noisy = OutcomeTable(inputs.outcomes.to_pandas().assign(n_eval=5))
    summary = summarise_run(RunInputs(inputs.pairs, noisy), [case.evaluation("l2to")])
    assert any("little is left to forecast" in warning for warning in summary["warnings"])


def test_no_evaluation_is_refused():
    with pytest.raises(UsageError, match="evaluate the run"):
        summarise_run(case.inputs(), [])


def test_the_order_of_rows_changes_nothing(summary):
    inputs = case.inputs()
    shuffled = RunInputs(
        _reversed(inputs.pairs), _reversed(inputs.outcomes), inputs.tasks, inputs.suite
    )
    evaluations = [case.evaluation("loto"), case.evaluation("l2to")]
    again = summarise_run(shuffled, evaluations, case.forecast(), date="2026-01-02")
    assert again["pairs"] == summary["pairs"]
    assert again["rows"] == summary["rows"]


def _reversed(table):
    return replace(table, frame=table.frame.iloc[::-1])
