import json

import pytest
import report_case as case

from mergecast.forecast.estimators.stored_linear import LinearModel
from mergecast.forecast.file import ForecasterFile, MethodModel, Score, Training
from mergecast.report.family_summary import forecast_warnings, summarise_forecast
from mergecast.report.family_verdict import better_strengths


def model(predictor, mae, constant=0.08):
    validation = {"constant": Score(mae=constant, pooled_r=None)}
    if predictor != "constant":
        validation[predictor] = Score(mae=mae, pooled_r=0.5)
    return MethodModel(
        predictor=predictor,
        why="",
        model=LinearModel(intercept=0.9, reach=0.25, terms=[]),
        features=[],
        residual_quantiles=[],
        n_residuals=0,
        validation=validation,
        n_pairs=28,
    )


def forecaster_file(**methods):
    return ForecasterFile(
        schema_version=4,
        mergecast_version="0.1.0",
        training=Training(suites=["digits-14"], tasks=["x", "y"], notes=[]),
        tiers={"weights": methods},
    )


@pytest.fixture(scope="module")
def summary():
    return summarise_forecast(
        case.forecast(
            forecaster_file(ties=model("ridge", 0.04), dare=model("constant", 0.08)),
            base="base.safetensors",
            models={"a": "a.pt", "b": "b.pt", "c": "c.pt"},
            name="mine.json",
            warnings=("a warning",),
            refused={"d": "not a checkpoint"},
        )
    )


def test_a_forecast_is_json_without_nan(summary):
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_verdict_counts_pairs_and_methods(summary):
    text = " ".join(summary["verdict"])
    assert "1 of 3 pairs is forecast to keep at least 90% of both members' scores" in text
    assert "Method advised: ties." in text
    assert "Best: a + b by ties: a keeps 0.95 (0.85 to 1.05); b keeps 0.95" in text
    assert "Keep apart: a + c (c keeps 0.850 by dare) and b + c (c keeps 0.850 by dare)." in text
    assert summary["headline"] == "1 of 3 pairs can be merged"
    assert summary["next"] == "mergecast merge --method ties base.safetensors a.pt b.pt -o merged/"


def test_nothing_is_claimed_as_measured(summary):
    assert {row["measured"] for row in summary["rows"]} == {None}
    assert {pair["regret"] for pair in summary["pairs"]} == {None}


def test_an_infinite_bound_and_a_missing_forecast_are_none(summary):
    assert any(row["upper"] is None and row["lower"] is not None for row in summary["rows"])
    gone = [row for row in summary["rows"] if row["predicted"] is None]
    assert {row["note"] for row in gone} == {"metric cosine missing: zero task vector"}


def test_methods_carry_their_validation(summary):
    dare, ties = summary["methods"]
    assert ties["gain"] == pytest.approx(0.5)
    assert not dare["better"]
    assert "dare: No metric beat the constant (error 0.080)." in summary["warnings"]


def test_metrics_out_of_range_are_counted_by_pair(summary):
    assert summary["out_of_range"] == {"cosine": 2}
    assert "pairs of 3): cosine (2: all of c)" in summary["warnings"][-1]
    assert summary["warnings"][0] == "a warning"


def test_a_file_without_the_error_of_its_predictor():
    odd = model("ridge", 0.04).model_copy(update={"validation": {}})
    summary = summarise_forecast(case.forecast(forecaster_file(ties=odd, dare=odd)))
    assert summary["methods"][0]["sentence"] == "The forecaster's file does not hold its error."


def test_warnings_that_are_on_the_forecast_already_are_not_said_twice():
    file = forecaster_file(ties=model("ridge", 0.04), dare=model("constant", 0.08))
    told = forecast_warnings(case.forecast(file))
    assert any("dare: No metric beat the constant" in text for text in told)
    again = summarise_forecast(case.forecast(file, warnings=("first", *told)))
    assert again["warnings"] == ["first", *told]


def test_a_pair_advised_against_is_said_to_be_served_by_a_strength_of_its_own():
    advice = [
        {"left": "a", "right": "b", "advice": "do not merge"},
        {"left": "a", "right": "c", "advice": "do not merge"},
        {"left": "b", "right": "c", "advice": "merge"},
    ]

    def best(members, kept):
        return {
            "members": list(members),
            "method": "task_arithmetic",
            "strength": 0.683,
            "worst_kept": kept,
        }

    found = [best("ab", 0.94), best("ac", 0.8), best("bc", 0.99), best("abc", 0.95)]
    [said] = better_strengths(advice, None, found, 0.9)
    assert "a + b (0.940 by task_arithmetic at 0.68) are forecast to keep enough" in said
    assert "a + c" not in said
    assert "b + c" not in said
    assert not [*better_strengths(advice, None, found, 0.95)]


def test_a_set_that_keeps_more_at_a_strength_of_its_own_is_named_beside_the_best_set():
    def best(members, kept):
        figures = {"kept": kept, "low": kept - 0.05, "high": kept + 0.02}
        worst = {"worst_member": members[0], "worst_kept": kept - 0.01}
        named = {"members": list(members), "method": "task_arithmetic", "strength": 0.55}
        return {**named, **figures, **worst}

    sets = {"best": [{"members": ["a", "b", "c"], "predicted": 0.95}]}
    found = [best("ab", 0.99), best("abd", 0.96), best("abc", 0.9)]
    [said] = better_strengths([], sets, found, 0.9)
    assert "the merge of a, b and d is forecast to keep more than that of the best set" in said
    assert "0.96 by task_arithmetic at 0.55 (0.91 to 0.98), a least, 0.95" in said
    assert not [*better_strengths([], sets, found[:1], 0.9)]
    # A difference that nobody would see in the figures is none.
    assert not [*better_strengths([], sets, [best("abd", 0.953)], 0.9)]
