"""Files of schema version 2, which had every form in the fields of one class."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import UsageError
from mergecast.forecast.estimators.stored_additive import AdditiveModel
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.shipped import MEASURED
from mergecast.tables.runs import load_run

#: A cut of the forecaster that came with the package: one method, two tiers, both sides.
OLD = Path(__file__).parent / "version-2.json"


@pytest.fixture(scope="module")
def old():
    return json.loads(OLD.read_text(encoding="utf-8"))


def rows_within(features, n, seed=0):
    """Metrics of n symmetric pairs, up to a tenth of a width outside the training range."""
    random = np.random.default_rng(seed)
    columns = {
        f["name"]: f["low"] + (f["high"] - f["low"]) * random.uniform(-0.1, 1.1, n)
        for f in features
    }
    names = {"suite": "", "left": [f"a{k}" for k in range(n)], "right": [f"b{k}" for k in range(n)]}
    return pd.DataFrame(names | columns)


@pytest.mark.parametrize("tier", ["weights", "activations"])
def test_a_linear_method_forecasts_as_it_was_defined_then_to_the_last_bit(old, tier):
    entry = old["tiers"][tier]["tsv"]
    pairs = rows_within(entry["features"], 12)
    forecast = Forecaster.load(OLD).forecast(pairs)
    assert forecast.tier == tier
    used = [feature for feature in entry["features"] if feature["coefficient"] != 0]
    name = {key: np.array([f[key] for f in used]) for key in used[0] if key != "name"}
    X = pairs[[f["name"] for f in used]].to_numpy()
    room = entry["reach"] * (name["high"] - name["low"])
    inside = np.clip(X, name["low"] - room, name["high"] + room)
    by_hand = entry["intercept"] + (
        name["coefficient"] * (inside - name["mean"]) / name["scale"]
    ).sum(axis=1)
    order = pairs.sort_values(["left", "right"]).index
    found = forecast.rows.sort_values(["left", "right"], kind="stable")["retention"].to_numpy()
    assert np.array_equal(found, np.repeat(np.maximum(by_hand[order], 0), 2))


def test_a_warm_method_knows_its_models_by_name_still(old):
    block = old["warm"]["weights"]["tsv"]["additive"]
    pairs = rows_within(old["tiers"]["weights"]["tsv"]["features"], 1)
    pairs = pairs.assign(suite="digits-14", left="noisy", right="parity")
    rows = Forecaster.load(OLD).forecast(pairs, suite="digits-14").rows
    assert set(rows["basis"]) == {"warm"}
    X = pd.DataFrame(
        {"suite": "digits-14", "member": ["noisy", "parity"], "partner": ["parity", "noisy"]}
    )
    for metric in block["metrics"]:
        X[metric] = pairs[metric].iloc[0]
    assert np.array_equal(rows["retention"], AdditiveModel(**block).estimator().predict(X))


def test_written_again_it_is_a_file_of_this_version_that_says_the_same(old, tmp_path):
    loaded = Forecaster.load(OLD)
    path = loaded.save(tmp_path / "new.json")
    new = json.loads(path.read_text(encoding="utf-8"))
    assert new["schema_version"] == 4
    assert new["mergecast_version"] == old["mergecast_version"]
    assert Forecaster.load(path).file == loaded.file
    entry, before = new["tiers"]["weights"]["tsv"], old["tiers"]["weights"]["tsv"]
    for key in ("why", "residual_quantiles", "validation", "n_pairs", "n_residuals"):
        assert entry[key] == before[key]
    assert [f["name"] for f in entry["features"]] == [f["name"] for f in before["features"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda method: method.pop("intercept"), "damaged: no forecaster file of schema version 2"),
        (lambda method: method.update(features=3), "damaged: no forecaster file of schema"),
        (lambda method: method["features"][0].pop("low"), "damaged: .*'low'"),
        (lambda method: method.update(reach=-1), "field tiers.weights.tsv.model.reach: "),
    ],
)
def test_a_damaged_one_is_refused_in_one_line(old, change, message, tmp_path):
    damaged = json.loads(json.dumps(old))
    change(damaged["tiers"]["weights"]["tsv"])
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(UsageError, match=f"damaged.json: {message}") as caught:
        Forecaster.load(path)
    assert "\n" not in str(caught.value)


def test_tiers_that_are_no_tiers_are_refused(old, tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(old | {"tiers": ["weights"]}))
    with pytest.raises(UsageError, match="damaged: no forecaster file of schema version 2"):
        Forecaster.load(path)


def test_a_file_of_version_3_says_nothing_of_a_domain_nor_of_what_was_kept(tmp_path):
    pairs, outcomes = load_run(MEASURED / "digits-14")
    two = outcomes.frame["method"].isin(["ties", "tsv"])
    now = Forecaster.fit(pairs.up_to("weights"), outcomes.keep(two), warm=False)
    data = json.loads(now.file.model_dump_json())
    data["schema_version"] = 3
    for side in ("tiers", "warm"):
        for entry in (entry for models in data[side].values() for entry in models.values()):
            del entry["domain"], entry["most_kept"]
            entry["model"].pop("offset", None)
    path = tmp_path / "version-3.json"
    path.write_text(json.dumps(data))
    before = Forecaster.load(path).file
    assert before.schema_version == 4
    entry, after = (file.tiers["weights"]["ties"] for file in (before, now.file))
    assert entry.most_kept is None
    # What moved the number of the method alone, where the domain is now that of all methods.
    assert entry.watched == entry.needs
    assert set(entry.watched) < set(after.watched)
