"""Forecasts that use what the merges of known models did."""

import json

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError, UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.method_forecast import BETWEEN
from synthetic_suite import build_suite

NUMBERS = ["retention", "lower", "upper"]


def touching(table, *tasks):
    return table["left"].isin(tasks) | table["right"].isin(tasks)


@pytest.fixture(scope="module")
def zoo():
    """Ten models whose losses are additive: no metric says anything of them."""
    return build_suite("additive", n_tasks=10, methods=("dare", "ties"))


@pytest.fixture(scope="module")
def split(zoo):
    """A forecaster that never saw t08 and t09, the pairs of all ten, and what they kept."""
    pairs, outcomes = zoo
    unseen = outcomes["members"].str.contains("t08|t09")
    forecaster = Forecaster.fit(pairs[~touching(pairs, "t08", "t09")], outcomes[~unseen])
    members = outcomes["members"].str.split("+", expand=True)
    truth = outcomes.assign(left=members[0], right=members[1], member=outcomes["task"])
    keys = ["method", "left", "right", "member"]
    return forecaster, pairs, truth.set_index(keys)["retention"]


def errors(rows, truth):
    keys = ["method", "left", "right", "member"]
    measured = truth.loc[list(rows[keys].itertuples(index=False, name=None))].to_numpy()
    return (rows["retention"] - measured).abs()


def test_a_new_model_among_known_ones_is_forecast_far_better_from_their_outcomes(split):
    forecaster, pairs, truth = split
    assert set(forecaster.file.warm["all"]) == {"dare", "ties"}
    cold = forecaster.forecast(pairs).rows
    warm = forecaster.forecast(pairs, suite="toy").rows
    one_new = touching(warm, "t08", "t09") & ~((warm["left"] == "t08") & (warm["right"] == "t09"))
    assert set(warm[one_new]["basis"]) == {"warm"}
    assert errors(warm[one_new], truth).mean() < 0.8 * errors(cold[one_new], truth).mean()
    # Of the known partners themselves next to nothing is left to be wrong about.
    known = one_new & ~warm["member"].isin(["t08", "t09"])
    assert errors(warm[known], truth).mean() < 0.1 * errors(cold[known], truth).mean()
    # And of pairs, over every model in turn: one of two equal effects is known, which leaves
    # 1/√2 of the error.
    for model in forecaster.file.warm["all"].values():
        found = model.validation
        assert found["additive_plus_warm"].mae < 0.8 * found["constant"].mae


def test_two_new_models_are_forecast_as_without_the_suite(split):
    forecaster, pairs, _ = split
    both = pairs[(pairs["left"] == "t08") & (pairs["right"] == "t09")]
    cold, warm = forecaster.forecast(both).rows, forecaster.forecast(both, suite="toy").rows
    bounds = ["lower", "upper"]
    assert warm.drop(columns=bounds).equals(cold.drop(columns=bounds))
    assert set(warm["basis"]) == {"cold"}
    # They are new models of a family that is known, not those of another one.
    half = [(table["retention"] - table["lower"]).to_numpy() for table in (cold, warm)]
    assert half[0] == pytest.approx(BETWEEN * half[1])
    # Also beside pairs of known models, whatever these say of the two.
    among = forecaster.forecast(pairs, suite="toy").rows
    among = among[(among["left"] == "t08") & (among["right"] == "t09")]
    assert np.array_equal(among[NUMBERS].to_numpy(), warm[NUMBERS].to_numpy())


@pytest.mark.parametrize("suite", ["toy", "", "elsewhere"])
def test_labels_that_coincide_are_strangers_unless_the_caller_says_otherwise(split, suite):
    forecaster, pairs, _ = split
    named = pairs.assign(suite=suite)
    found = forecaster.forecast(named).rows
    renamed = named.assign(left="x" + named["left"], right="x" + named["right"])
    assert set(found["basis"]) == {"cold"}
    strangers = forecaster.forecast(renamed).rows
    assert np.array_equal(found[NUMBERS].to_numpy(), strangers[NUMBERS].to_numpy())


def test_only_rows_of_the_suite_named_are_warm(split):
    forecaster, pairs, _ = split
    some = pairs.iloc[:4].copy()
    some["suite"] = ["", "toy", "elsewhere", "elsewhere"]
    rows = forecaster.forecast(some, suite="toy").rows
    assert set(zip(rows["suite"], rows["basis"], strict=True)) == {
        ("toy", "warm"),
        ("elsewhere", "cold"),
    }
    with pytest.raises(UsageError, match="suite 'to': unknown; did you mean 'toy'"):
        forecaster.forecast(some, suite="to")
    twice = some.iloc[[0, 0]].copy()
    twice["suite"] = ["", "toy"]
    with pytest.raises(TableError, match="duplicate"):
        forecaster.forecast(twice, suite="toy")


def test_of_two_suites_that_it_knows_only_the_one_named_is_warm(zoo):
    more = build_suite("additive", n_tasks=6, methods=("dare", "ties"), seed=3, suite="second")
    pairs, outcomes = (
        pd.concat(tables, ignore_index=True) for tables in zip(zoo, more, strict=True)
    )
    forecaster = Forecaster.fit(pairs, outcomes, "additive_plus_warm")
    rows = forecaster.forecast(pairs, suite="second").rows
    cold = forecaster.forecast(pairs).rows
    assert set(rows[rows["suite"] == "second"]["basis"]) == {"warm"}
    first = rows["suite"] == "toy"
    assert rows[first].equals(cold[first])
    # Models of one label in two suites are two models.
    measured = outcomes[(outcomes["suite"] == "second") & (outcomes["method"] == "ties")]
    mine = rows[(rows["suite"] == "second") & (rows["method"] == "ties")]
    missed = mine["retention"].to_numpy() - measured["retention"].to_numpy()
    assert np.abs(missed).max() < 0.02


def test_an_unmeasured_pair_of_known_models_is_forecast_from_both(zoo):
    pairs, outcomes = zoo
    apart = outcomes["members"].isin(["t00+t01", "t02+t03", "t04+t05"])
    rows = Forecaster.fit(pairs, outcomes[~apart]).forecast(pairs, suite="toy").rows
    measured = outcomes[apart].set_index(["method", "members", "task"])["retention"]
    keys = zip(rows["method"], rows["left"] + "+" + rows["right"], rows["member"], strict=True)
    truth = np.array([measured.get(key, np.nan) for key in keys])
    there = ~np.isnan(truth)
    missed = np.abs(rows["retention"].to_numpy() - truth)[there]
    assert len(missed) == 12
    assert missed.max() < 0.02  # the models differ by 0.05, outcomes by 0.002 beside that


def test_known_members_have_narrow_intervals_that_hold_and_new_ones_wide_ones(split):
    forecaster, pairs, truth = split
    rows = forecaster.forecast(pairs, suite="toy").rows
    rows = rows[touching(rows, "t08", "t09") & (rows["basis"] == "warm")]
    width = rows["upper"] - rows["lower"]
    new = rows["member"].isin(["t08", "t09"])
    assert width[~new].max() < 0.5 * width[new].min()
    inside = errors(rows, truth) <= width / 2
    assert inside[~new].mean() > 0.8


def test_reasons_name_the_outcomes_that_moved_the_number(split):
    forecaster, pairs, _ = split
    rows = forecaster.forecast(pairs, suite="toy").rows
    row = rows[(rows["left"] == "t00") & (rows["right"] == "t08")].iloc[0]
    assert row["member"] == "t00"
    assert row["reasons"][0]["metric"] == "known outcomes of t00"


def test_saved_and_loaded_it_forecasts_as_the_estimator_did(zoo, tmp_path):
    from mergecast.forecast.estimators.predictors import PREDICTORS
    from mergecast.forecast.training import training_rows

    pairs, outcomes = zoo
    rows = training_rows(pairs, outcomes)["ties"]
    fitted = PREDICTORS.get("additive_plus_warm").make().fit(rows.X, rows.y)
    forecaster = Forecaster.fit(pairs, outcomes, "additive_plus_warm")
    loaded = Forecaster.load(forecaster.save(tmp_path / "f.json"))
    found = loaded.forecast(pairs, suite="toy").rows
    mine = found[found["method"] == "ties"]
    assert np.abs(mine["retention"].to_numpy() - fitted.predict(rows.X)).max() < 1e-12
    direct = forecaster.forecast(pairs, suite="toy").rows
    assert np.array_equal(found[NUMBERS].to_numpy(), direct[NUMBERS].to_numpy())


def test_metrics_alone_can_be_stored_too_and_know_no_names(make_suite, tmp_path):
    pairs, outcomes = make_suite("metric", n_tasks=7)
    forecaster = Forecaster.fit(pairs, outcomes, "additive_plus")
    assert forecaster.file.methods["ties"].model.by_name is False
    loaded = Forecaster.load(forecaster.save(tmp_path / "f.json"))
    new = make_suite("metric", n_tasks=4, seed=5, suite="")[0]
    found, direct = loaded.forecast(new).rows, forecaster.forecast(new).rows
    assert np.array_equal(found[NUMBERS].to_numpy(), direct[NUMBERS].to_numpy())
    renamed = new.assign(left="x" + new["left"], right="x" + new["right"])
    again = loaded.forecast(renamed).rows
    assert again[NUMBERS].to_numpy() == pytest.approx(found[NUMBERS].to_numpy(), abs=1e-12)


def test_the_warm_model_is_stored_only_where_it_helps_or_is_asked_for(make_suite):
    pairs, outcomes = make_suite("metric", n_tasks=7)
    assert Forecaster.fit(pairs, outcomes, "constant", warm=False).file.warm == {}
    noise = make_suite("noise", n_tasks=7, seed=2)
    chosen = Forecaster.fit(*noise).file
    asked = Forecaster.fit(*noise, "additive_plus_warm").file
    assert asked.methods["ties"].predictor == chosen.methods["ties"].predictor
    model = asked.warm["all"]["ties"]
    assert model.why.startswith("additive_plus_warm, as asked (LOTO mean absolute error: constant")
    for tier, models in chosen.warm.items():
        for method, warm in models.items():
            cold = chosen.tiers[tier][method].predictor
            assert warm.validation[warm.predictor].mae < warm.validation[cold].mae


def test_a_pair_that_lacks_a_metric_falls_back_whole_and_spoils_no_other(split):
    forecaster, pairs, _ = split
    pairs = pairs.copy()
    before = forecaster.forecast(pairs.drop(index=0), suite="toy").rows
    pairs.loc[0, "reach:left<-right"] = np.nan
    rows = forecaster.forecast(pairs, suite="toy").rows
    first = (rows["left"] == "t00") & (rows["right"] == "t01")
    assert set(rows[first]["basis"]) == {"cold"}
    assert np.array_equal(rows[~first][NUMBERS].to_numpy(), before[NUMBERS].to_numpy())


def drop_last(values):
    values.pop()


@pytest.mark.parametrize(
    ("path", "change", "message"),
    [
        (("effects", "member"), drop_last, "effects.member has 9 entries, expected 10"),
        (("effects", "member_slopes"), drop_last, "effects.member_slopes has 9 entries"),
        (("effects", "partner_slopes"), lambda rows: drop_last(rows[3]),
         r"effects.partner_slopes\[3\] has 2 entries, expected 3, one for each metric"),
        (("descriptors", "own"), lambda rows: drop_last(rows[0]), r"descriptors.own\[0\] has 2"),
        (("descriptors", "scale"), lambda v: v.__setitem__(0, 0), "model.descriptors.scale.0"),
        (("low",), lambda v: v.__setitem__(0, 99.0), "metric 'cosine' has low above high"),
        (("models",), lambda v: v.__setitem__(0, v[1]), "models has an entry twice"),
        (("variances",), lambda v: v.__setitem__("own", -1), "model.variances.own"),
        (("effects",), lambda v: v.pop("own_metrics"), "model.effects.own_metrics: Field req"),
        (("effects",), lambda v: v.__setitem__("mean", "x"), "model.effects.mean"),
    ],
)  # fmt: skip
def test_a_damaged_block_is_refused_by_the_name_of_its_field(
    zoo_file, path, change, message, tmp_path
):
    data = json.loads(zoo_file.read_text())
    block = data["warm"]["all"]["ties"]["model"]
    for key in path:
        block = block[key]
    change(block)
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps(data))
    with pytest.raises(
        UsageError, match=rf"damaged.json: field warm.all.ties.*{message}"
    ) as caught:
        Forecaster.load(damaged)
    assert "\n" not in str(caught.value)


def test_a_warm_model_without_its_cold_one_or_form_is_refused(zoo_file, tmp_path):
    data = json.loads(zoo_file.read_text())
    path = tmp_path / "f.json"
    data["warm"]["all"]["tsv"] = data["warm"]["all"]["ties"]
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"warm.all.tsv has no model in tiers beside it"):
        Forecaster.load(path)
    del data["warm"]["all"]["tsv"]
    data["warm"]["all"]["ties"]["model"] = data["tiers"]["all"]["ties"]["model"]
    path.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"warm.all.ties knows no models by name"):
        Forecaster.load(path)


@pytest.fixture(scope="module")
def zoo_file(zoo, tmp_path_factory):
    path = tmp_path_factory.mktemp("zoo") / "zoo.json"
    return Forecaster.fit(*zoo, "additive_plus_warm").save(path)


def test_vectors_stand_on_one_line_each(zoo_file):
    text = zoo_file.read_text()
    block = json.loads(text)["warm"]["all"]["ties"]["model"]
    assert json.dumps(block["effects"]["member"]) in text
    assert len(text) < 40_000
