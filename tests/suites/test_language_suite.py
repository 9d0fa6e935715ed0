"""Language models fit the contract: no head, spans, loss alone; from fine-tuning to a forecast."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from language_suite import COUNTING, Language, LanguageTask
from safetensors.torch import load_file

import mergecast as mc
from mergecast.errors import UndefinedError, UsageError
from mergecast.suites.folder import run_tasks
from mergecast.suites.language.recipe import LanguageRecipe
from mergecast.suites.run import run_suite
from mergecast.suites.suite import SUITES
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.runs import load_run
from mergecast.tasks.measure import measure
from mergecast.tasks.probe import Probe

METHODS = ["ties", "weight_avg"]


@pytest.fixture(scope="module", autouse=True)
def registered():
    with SUITES.isolated():
        SUITES.add(Language.name, Language())
        yield


@pytest.fixture(scope="module")
def run(registered, tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    return run_suite(
        Language.name, folder, methods=METHODS, n_sets=1, tier="weights", seed=1, workers=1
    )


def test_scores_are_those_of_the_tasks_and_a_majority_is_only_of_classes(run):
    tasks = pd.read_parquet(run / "tasks.parquet").set_index("task")
    assert tasks["majority"].isna().all()
    assert (tasks["n_eval"] == 24).all()
    assert (tasks["n_classes"] == 9).all()
    table = OutcomeTable.read(run / "outcomes.parquet")
    outcomes = table.frame
    assert len(outcomes) == 2 * (6 * 2 + 3 + 4)
    spans = outcomes[outcomes["task"] != COUNTING]
    assert np.allclose(spans["score"] * 24, (spans["score"] * 24).round())  # right or wrong
    assert (spans["single_score"] > 0).all()
    counting = outcomes[outcomes["task"] == COUNTING]
    assert (counting["single_score"] > 0.9).all()
    # The score of a task with a loss alone is its likelihood, and no probability is made up.
    assert (counting["score"] <= 1).all()
    assert (counting["loss"] > counting["single_loss"]).all()
    assert counting["probability"].isna().all()
    assert len(table.missing) == len(counting)
    assert {(m.task, m.column) for m in table.missing} == {(COUNTING, "probability")}
    assert "is scored by its loss alone" in table.missing[0].reason


def test_a_merge_is_scored_as_the_merged_checkpoint_itself_is(run):
    tasks = run_tasks(run)
    models = {name: run / "models" / f"{name}.safetensors" for name in ("double", COUNTING)}
    merged = mc.merge(mc.Family.open(run / "base.safetensors", models), "weight_avg", seed=1)
    assert merged.keys() == load_file(models["double"]).keys()  # nothing is private
    outcomes = pd.read_parquet(run / "outcomes.parquet").set_index(["method", "members", "task"])
    for name in models:
        probe = Probe(tasks[name])
        probe.load(merged)
        row = outcomes.loc["weight_avg", f"{COUNTING}+double", name]
        scores = asdict(measure(probe, tasks[name].samples(None, 0, "test")))["values"]
        assert (scores["score"], scores["loss"]) == (row["score"], row["loss"])


def test_the_tables_are_fitted_and_forecast_like_any_others(run):
    pairs, outcomes = load_run(run)
    forecast = mc.Forecaster.fit(pairs, outcomes, workers=1).forecast(pairs)
    assert set(forecast.rows["method"]) == set(METHODS)
    assert forecast.rows["retention"].notna().all()


def test_models_of_the_run_can_be_probed(run):
    tasks = {name: run_tasks(run)[name] for name in ("double", COUNTING)}
    models = {name: run / "models" / f"{name}.safetensors" for name in tasks}
    family = mc.Family.open(run / "base.safetensors", models)
    table = mc.metrics(family, tasks=tasks, tier="activations", metrics="paper", calibration=20)
    assert table["activation_cosine_similarity"].notna().all()


def test_a_single_model_without_a_score_stops_the_run_by_name(tmp_path, monkeypatch):
    def no_score(task, logits, labels):
        raise UndefinedError(f"task {task.name!r}", "has no score")

    monkeypatch.setattr(LanguageTask, "score", no_score)
    with pytest.raises(UndefinedError, match="model 'counting': has no score: .*; leave the task"):
        run_suite(Language.name, tmp_path, only=["double", COUNTING], tier="weights", workers=1)


def test_a_language_model_has_no_easy_regime():
    with pytest.raises(UsageError, match="regime.*is 'easy'.*no head to be fitted"):
        LanguageRecipe.of({"regime": "easy"})
