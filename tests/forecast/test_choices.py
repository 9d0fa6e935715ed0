import pytest

from mergecast.errors import UsageError
from mergecast.forecast.validation.choices import MEASURED_PAIRS, choices
from mergecast.forecast.validation.evaluate import evaluate
from mergecast.tables.outcomes import OutcomeTable
from synthetic_suite import build_suite


def triples(outcomes, loss=0.9):
    """The outcomes with every merge of three: a member keeps `loss` of its mean over its pairs."""
    own = outcomes.groupby(["method", "task"])["retention"].mean()
    rows = []
    for members in ("t00+t01+t02", "t00+t01+t03", "t00+t02+t03", "t01+t02+t03"):
        for method in sorted(set(outcomes["method"])):
            for task in members.split("+"):
                kept = loss * own[method, task]
                row = outcomes.iloc[0].to_dict() | {"method": method, "members": members}
                rows.append(row | {"task": task, "score": 0.9 * kept, "retention": kept})
    return OutcomeTable(type(outcomes)([*outcomes.to_dict("records"), *rows]))


def test_sets_are_forecast_from_predicted_and_from_measured_pairs():
    pairs, outcomes = build_suite("additive", n_tasks=6)
    outcomes = triples(outcomes)
    found = choices(evaluate(pairs, outcomes, predictors=["additive_plus_warm"]), outcomes)
    table = found.sets.set_index(["predictor", "rule"])
    assert (table["n_sets"] == 4).all()
    known = table.loc[(MEASURED_PAIRS, "pair_mean")]
    # Measured pairs get the ranking of sets right and the level wrong, by what a third model costs.
    assert known["r"] > 0.95
    assert known["mae"] == pytest.approx(0.1 * 0.8, abs=0.02)
    assert table.loc[("additive_plus_warm", "pair_mean"), "r"] > 0.5


def test_what_does_not_apply_is_empty():
    pairs, outcomes = build_suite("metric", n_tasks=5)
    one = choices(evaluate(pairs, outcomes, "l2to", ["ridge"]), outcomes)
    assert one.methods.empty
    assert one.partners.empty
    assert one.sets.empty
    assert one.to_dict() == {"threshold": 0.9, "methods": [], "partners": [], "sets": []}


def test_a_method_is_chosen_by_what_each_predictor_knows():
    pairs, outcomes = build_suite("metric", n_tasks=7, methods=("ties", "tsv"), noise=0.0)
    better = outcomes["retention"].where(outcomes["method"] == "ties", outcomes["retention"] + 0.1)
    outcomes = outcomes.assign(retention=better, score=0.9 * better)
    found = choices(evaluate(pairs, outcomes, predictors=["ridge"]), outcomes).methods
    assert set(found["fixed_method"]) == {"tsv"}
    assert found["regret"].max() == pytest.approx(0.0, abs=1e-9)


def test_folds_average_to_the_score():
    evaluation = evaluate(*build_suite("metric", n_tasks=6), predictors=["ridge"])
    folds = evaluation.folds().query("predictor == 'ridge'")
    row = evaluation.results.set_index("predictor").loc["ridge"]
    assert folds["n_pairs"].tolist() == [5] * 6
    assert folds["r"].mean() == pytest.approx(row["per_fold_r"])
    assert folds["rho"].mean() == pytest.approx(row["per_fold_rho"])
    with pytest.raises(UsageError, match="unknown"):
        evaluate(*build_suite(n_tasks=5), protocol="loko")
