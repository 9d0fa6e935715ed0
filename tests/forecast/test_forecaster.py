import json
import math

import numpy as np
import pytest

from mergecast.errors import TableError, UndefinedError, UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.tables.missing import MissingMetric
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable


def test_it_forecasts_models_it_has_never_seen(forecaster, make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=5, seed=7, methods=("dare", "ties"))
    rows = forecaster.forecast(pairs).rows
    truth = outcomes.assign(pair=outcomes["members"]).set_index(["method", "pair", "task"])
    measured = [
        truth.loc[(row.method, f"{row.left}+{row.right}", row.member), "retention"]
        for row in rows.itertuples()
    ]
    assert np.abs(rows["retention"] - measured).max() < 0.02
    inside = (rows["lower"] <= measured) & (measured <= rows["upper"])
    assert inside.mean() >= 0.8


def test_the_best_predictor_on_unseen_tasks_is_chosen_and_says_so(forecaster, make_suite):
    model = forecaster.file.methods["ties"]
    assert model.predictor in ("ridge", "lasso")
    errors = {name: score.mae for name, score in model.validation.items()}
    assert errors[model.predictor] == min(errors.values())
    assert model.why.startswith(f"{model.predictor}, least error of constant, ridge, lasso")
    noise = Forecaster.fit(*make_suite("noise", n_tasks=7, seed=2)).file.methods["ties"]
    assert noise.predictor == "constant"
    assert noise.why.startswith("no metric beat the constant")


def test_reasons_are_the_metrics_that_moved_the_number_most(forecaster, new_pairs):
    rows = forecaster.forecast(new_pairs).rows
    model = forecaster.file.methods["ties"]
    for row in rows[rows["method"] == "ties"].itertuples():
        assert row.reasons[0]["metric"] == "reach"
        sizes = [abs(reason["contribution"]) for reason in row.reasons]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) <= 3
        # Two metrics act here, so the reasons are the whole of the number.
        told = model.model.intercept + sum(r["contribution"] for r in row.reasons)
        assert min(told, model.most_kept) == pytest.approx(row.retention)


@pytest.mark.parametrize(
    ("predictor", "cause", "why"),
    [
        ("auto", "noise", "no metric beat the constant (L2TO mean absolute error: constant 0."),
        ("constant", "metric", "constant, as asked (L2TO mean absolute error: constant 0."),
    ],
)
def test_a_constant_forecast_has_no_reasons_and_says_why(
    predictor, cause, why, make_suite, new_pairs
):
    pairs, outcomes = make_suite(cause, n_tasks=7, seed=2)
    row = Forecaster.fit(pairs, outcomes, predictor).forecast(new_pairs).rows.iloc[0]
    assert row["reasons"] == []
    assert row["note"].startswith(why)
    assert row["note"].endswith("the mean retention of the 21 training pairs of ties")
    assert row["retention"] == pytest.approx(outcomes["retention"].mean())


def test_a_lasso_that_keeps_no_metric_says_so(make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=5)
    flat = pairs[["suite", "left", "right", "flat"]]
    assert (
        Forecaster.fit(flat, outcomes, "lasso")
        .file.methods["ties"]
        .why.startswith("lasso kept no metric")
    )


def test_metrics_that_move_the_number_are_named_where_they_lie_outside(forecaster, new_pairs):
    new_pairs.loc[0, "cosine"] = 50.0
    new_pairs.loc[0, "flat"] = 4.0
    new_pairs.loc[0, "reach:left<-right"] = 30.0
    rows = forecaster.forecast(new_pairs).rows
    first = rows[(rows["right"] == "t01") & (rows["method"] == "ties")]
    assert first["out_of_range"].tolist()[0] == ["reach"]
    assert first["out_of_range"].tolist()[1] == []


def test_training_pairs_are_inside_the_training_range(forecaster, seven_tasks):
    assert not forecaster.forecast(seven_tasks[0]).rows["out_of_range"].map(len).any()


def test_retention_and_its_interval_are_clipped_at_zero(forecaster, new_pairs):
    poor = {
        name: entry.model_copy(update={"model": entry.model.model_copy(update={"intercept": -0.5})})
        for name, entry in forecaster.file.methods.items()
    }
    file = forecaster.file.model_copy(update={"tiers": {"all": poor}})
    row = Forecaster(file).forecast(new_pairs).rows.iloc[0]
    assert (row["retention"], row["lower"]) == (0.0, 0.0)
    assert row["upper"] > 0


def test_a_table_is_read_by_the_models_of_the_richest_tier_it_has(seven_tasks, new_pairs):
    pairs, outcomes = seven_tasks
    columns = [c for c in pairs.columns if c not in ("suite", "left", "right")]
    tiers = {c: "activations" if c.startswith("reach") else "weights" for c in columns}
    pairs = PairTable(pairs, tiers=tiers)
    forecaster = Forecaster.fit(pairs, outcomes)
    assert list(forecaster.file.tiers) == ["weights", "activations"]
    assert "reach" not in {f.name for f in forecaster.file.tiers["weights"]["ties"].features}
    assert forecaster.forecast(new_pairs).tier == "activations"
    cheap = new_pairs[[c for c in new_pairs.columns if not c.startswith("reach")]]
    assert forecaster.forecast(cheap).tier == "weights"
    assert list(Forecaster.fit(pairs, outcomes, cheaper=False).file.tiers) == ["activations"]


def test_a_member_that_lacks_a_metric_is_forecast_from_less_evidence_and_says_so(
    seven_tasks, new_pairs
):
    pairs, outcomes = seven_tasks
    columns = [c for c in pairs.columns if c not in ("suite", "left", "right")]
    tiers = {c: "labels" if c.startswith("reach") else "activations" for c in columns}
    forecaster = Forecaster.fit(PairTable(pairs, tiers=tiers), outcomes)
    whole = forecaster.forecast(new_pairs)
    cheap = forecaster.forecast(new_pairs[[c for c in new_pairs if not c.startswith("reach")]])
    gap = new_pairs.copy()
    gap.loc[0, "reach:left<-right"] = np.nan
    reason = MissingMetric("", "t00", "t01", "reach:left<-right", "the samples have no labels")
    forecast = forecaster.forecast(PairTable(gap, missing=[reason]))
    assert forecast.tier == "labels"
    filled = forecast.rows["note"].str.startswith("from less evidence: metric reach missing: the")
    assert filled.sum() == 2  # one member, under two methods
    values = ["retention", "lower", "upper"]
    assert (forecast.rows.loc[filled, values] == cheap.rows.loc[filled, values]).all(axis=None)
    assert (forecast.rows.loc[~filled, values] == whole.rows.loc[~filled, values]).all(axis=None)


def test_the_file_says_what_its_training_tables_were_made_with(seven_tasks):
    pairs, outcomes = seven_tasks
    made = {"spectra": 2, "outcome": 1}
    file = Forecaster.fit(
        PairTable(pairs, versions={"spectra": 2}),
        OutcomeTable(outcomes, versions={"outcome": 1}),
        "constant",
    ).file
    assert file.training.versions == made
    assert Forecaster.fit(pairs, outcomes, "constant").file.training.versions == {}


def test_a_missing_metric_makes_the_forecast_missing_with_the_reason(forecaster, new_pairs):
    new_pairs.loc[0, "reach:left<-right"] = np.nan
    reason = MissingMetric("", "t00", "t01", "reach:left<-right", "zero task vector")
    forecast = forecaster.forecast(PairTable(new_pairs, missing=[reason]))
    row = forecast.rows.iloc[0]
    assert np.isnan(row[["retention", "lower", "upper"]].astype(float)).all()
    assert row["note"] == "metric reach missing: zero task vector"
    assert row["reasons"] == []
    assert forecast.pairs.loc[0, "advice"] == "no forecast"
    assert forecast.pairs.loc[1, "advice"] != "no forecast"


def test_a_family_without_a_needed_metric_is_refused_by_name(forecaster, new_pairs):
    with pytest.raises(UndefinedError, match=r"metric \w+ missing: not in the pair table; compute"):
        forecaster.forecast(new_pairs[["suite", "left", "right", "flat"]])
    with pytest.raises(TableError, match="pairs table, column 'left': missing"):
        forecaster.forecast(new_pairs.drop(columns="left"))


def test_saved_and_loaded_it_forecasts_the_same(forecaster, new_pairs, tmp_path):
    path = forecaster.save(tmp_path / "deep" / "f.json")
    loaded = Forecaster.load(path).forecast(new_pairs)
    direct = forecaster.forecast(new_pairs)
    numbers = ["retention", "lower", "upper"]
    assert np.abs(loaded.rows[numbers] - direct.rows[numbers]).to_numpy().max() <= 1e-12
    assert loaded.pairs.equals(direct.pairs)
    json.dumps(loaded.to_dict(), allow_nan=False)


def test_the_linear_file_agrees_with_the_estimator(make_suite):
    from mergecast.forecast.estimators.predictors import PREDICTORS
    from mergecast.forecast.training import training_rows

    pairs, outcomes = make_suite("metric", n_tasks=6)
    rows = training_rows(pairs, outcomes)["ties"]
    fitted = PREDICTORS.get("ridge").make().fit(rows.X, rows.y)
    found = Forecaster.fit(pairs, outcomes, "ridge").forecast(pairs).rows
    told = np.minimum(fitted.predict(rows.X), rows.y.max())
    assert np.abs(found["retention"].to_numpy() - told).max() < 1e-12


def test_too_few_residuals_give_all_that_retention_can_be(make_suite, tmp_path):
    pairs, outcomes = make_suite("metric", n_tasks=4)
    keep = outcomes["members"].isin(["t00+t01", "t02+t03", "t00+t02", "t01+t03"])
    forecaster = Forecaster.fit(pairs, outcomes[keep], "constant")
    path = forecaster.save(tmp_path / "f.json")
    rows = Forecaster.load(path).forecast(pairs).rows
    assert (rows["upper"] == 1).all()
    assert (rows["lower"] == 0).all()
    assert "Infinity" not in path.read_text()


def test_levels_nest_and_an_unknown_one_is_refused(forecaster, new_pairs):
    widths = [
        forecaster.forecast(new_pairs, level=level).rows["upper"].iloc[0]
        for level in (0.5, 0.8, 0.9, 0.95)
    ]
    assert widths == sorted(widths)
    with pytest.raises(UsageError, match=r"level 0.99: not stored .* use one of 0.5, 0.8, 0.9"):
        forecaster.forecast(new_pairs, level=0.99)


def test_it_needs_four_tasks_and_a_predictor_it_can_store(make_suite):
    with pytest.raises(UsageError, match=r"no pair is left to train on \(3 tasks in all\)"):
        Forecaster.fit(*make_suite(n_tasks=3))
    with pytest.raises(
        UsageError,
        match="known: auto, constant, tempered, tempered_unlabelled, superp",
    ):
        Forecaster.fit(*make_suite(n_tasks=4), "partner_mean")
    with pytest.raises(UsageError, match="predictor 'retention', method 'ties': not applicable"):
        Forecaster.fit(*make_suite(n_tasks=4), "retention")


def test_advice_follows_the_worst_member_of_the_best_method(forecaster, new_pairs):
    merge = forecaster.forecast(new_pairs, threshold=0.0).pairs
    assert set(merge["advice"]) == {"merge"}
    refuse = forecaster.forecast(new_pairs, threshold=math.inf).pairs
    assert set(refuse["advice"]) == {"do not merge"}


def test_one_screen_says_how_to_merge_each_pair(forecaster, make_suite):
    pairs = make_suite("metric", n_tasks=7, seed=9, suite="")[0]
    forecast = forecaster.forecast(pairs)
    lines = repr(forecast).splitlines()
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("Forecast: 21 pairs, 2 merging methods, by forecaster in memory")
    assert "interval (90%)" in lines[1]
    best = forecast.pairs.iloc[0]
    assert f"t00 + t01 {best['advice']}" in " ".join(lines[3].split())
    assert f"{best['lower']:.3f} to " in lines[3]
    assert lines[-1] == "… 9 more rows"
    page = forecast._repr_html_()
    assert "<table" in page
    assert "t00 + t01" in page
    forecast.pairs.loc[0, "left"] = forecast.rows.loc[0, "left"] = "<script>"
    assert "<script>" not in forecast._repr_html_()


def test_a_pair_without_a_forecast_is_on_the_screen_too(forecaster, new_pairs):
    new_pairs.loc[0, "reach:left<-right"] = np.nan
    text = repr(forecaster.forecast(new_pairs))
    assert "t00 + t01 no forecast" in " ".join(text.split())
    assert "nan" not in text.lower()
