"""Strengths and weights chosen: of one merge by making it, of all pairs and sets from curves."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.evidence.retention.merges import answer, compare
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.evidence.superposition.strengths import FORM, collect_strengths, groups
from mergecast.forecast.strengths import StrengthForecast
from mergecast.merging import Recipe
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import tiny_family, tiny_tasks

SAMPLES = 20


@pytest.fixture
def family(tmp_path):
    return tiny_family(tmp_path)


@pytest.fixture
def passes(monkeypatch):
    """How often a model was run."""
    count = [0]
    logits = Probe.logits

    def counted(self, *args, **options):
        count[0] += 1
        return logits(self, *args, **options)

    monkeypatch.setattr(Probe, "logits", counted)
    return count


def kept_by(family, recipe, form="matched_labelled"):
    """What every member keeps in a merge, made anew."""
    merged = mc.merge(family, recipe)
    with Session(family, tiny_tasks(), ProbeSettings(SAMPLES)) as session:
        return {
            label: compare(session, label, answer(session, label, merged)).values[form]
            for label in family.names
        }


@pytest.mark.parametrize("method", ["task_arithmetic", "ties", "tsv"])
def test_the_strength_that_keeps_most_is_chosen(family, method):
    tuned = mc.tune_merge(family, tasks=tiny_tasks(), method=method, calibration=SAMPLES)
    tried = tuned.tried
    assert tried["mean"].max() == tuned.chosen["mean"]
    assert tried["sought"].tolist()[0] == "given"
    assert tried["scaling"][0] == mc.METHODS.get(method).defaults["scaling"]
    assert tried["scaling"].nunique() > 8
    assert tuned.chosen["scaling"] == tuned.recipe.strength
    again = kept_by(family, tuned.recipe)
    for label, value in again.items():
        assert tuned.chosen[f"kept {label}"] == pytest.approx(value, abs=1e-5)
    expected = kept_by(family, tuned.recipe, "expected_labelled")
    told = np.mean([*expected.values()])
    assert tuned.chosen["retention"] == pytest.approx(told, abs=1e-5)
    assert str(tuned.recipe) in repr(tuned)
    assert "strength" in repr(tuned)
    assert "retention" in repr(tuned)


def test_what_is_kept_over_strength_is_shown(family):
    tuned = mc.tune_merge(family, tasks=tiny_tasks(), method="ties", calibration=SAMPLES)
    curve = tuned.curve
    assert curve["scaling"].is_monotonic_increasing
    assert curve["scaling"].is_unique
    assert len(curve) >= 9
    assert curve["mean"].max() == tuned.chosen["mean"]
    assert len(tuned.parts[1].rows) == len(curve)
    fixed = mc.tune_merge(
        family, tasks=tiny_tasks(), method="ties", scaling=0.5, weights="auto", calibration=SAMPLES
    )
    assert fixed.curve.empty
    assert len(fixed.parts) == 2


def test_weights_stand_beside_equal_ones(family):
    tuned = mc.tune_merge(
        family,
        tasks=tiny_tasks(),
        method="task_arithmetic",
        weights="auto",
        objective="worst",
        calibration=SAMPLES,
    )
    assert tuned.steps["sought"].tolist() == ["given", "strength", "weights"]
    worst = tuned.steps["worst"].to_numpy()
    assert (np.diff(worst[[0, 1]]) >= 0).all()
    assert tuned.chosen["worst"] == worst.max()
    assert tuned.recipe.weights.keys() <= set(family.names)
    fixed = mc.tune_merge(
        family,
        tasks=tiny_tasks(),
        method="weight_avg",
        scaling=None,
        weights="auto",
        calibration=SAMPLES,
    )
    assert fixed.recipe.strength is None
    assert fixed.chosen["mean"] >= fixed.tried["mean"][0]


def test_without_labels_models_are_asked_for_their_own_answers(family):
    tasks = tiny_tasks(labelled=False)
    tuned = mc.tune_merge(family, tasks=tasks, method="ties", calibration=SAMPLES)
    assert tuned.way == "unlabelled"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "weight_avg"}, "strength of weight_avg: it has none"),
        ({"method": "tsv", "weights": "auto"}, "weights of tsv"),
        ({"method": "regmean", "scaling": None, "weights": "auto"}, "weights of regmean: cannot"),
        ({"method": "ties", "scaling": 0.5}, "neither is 'auto'"),
        ({"method": "ties", "objective": "best"}, "objective"),
        ({"method": "ties", "tasks": None}, "tasks: not given"),
    ],
)
def test_what_cannot_be_chosen_is_said_before_anything_runs(family, passes, options, words):
    given = {"tasks": tiny_tasks(), **options}
    with pytest.raises(UsageError, match=words):
        mc.tune_merge(family, **given)
    assert passes == [0]


def test_every_model_is_merged_with_one_other_and_with_all():
    assert groups(["b", "a"]) == [("a", "b")]
    assert groups("abc") == [("a", "b"), ("a", "c"), ("a", "b", "c")]
    assert groups("dcba") == [("a", "b"), ("c", "d"), ("a", "b", "c", "d")]


def test_a_further_set_takes_no_pass(family, passes, tmp_path):
    def read():
        settings = ProbeSettings(SAMPLES, cache=tmp_path / "cache")
        with Session(family, tiny_tasks(), settings) as session:
            return collect_strengths(session, "task_arithmetic")

    readings, first = read(), passes[0]
    assert first > 0
    curves = StrengthForecast(readings)
    three = curves.curve(family.names)
    weighted = curves.curve({"a": 0.5, "b": 1.5})
    assert np.isfinite(three.mean).all()
    assert np.isfinite(weighted.mean).all()
    assert passes[0] == first
    again = StrengthForecast(read()).curve(family.names)
    np.testing.assert_allclose(again.mean, three.mean, atol=1e-6)
    assert passes[0] == first, "a stored family is not run again"


def test_alone_is_what_a_model_keeps_alone(family):
    with Session(family, tiny_tasks(), ProbeSettings(SAMPLES)) as session:
        readings = collect_strengths(session, "task_arithmetic")
        for label in family.names:
            alone = readings.alone[label]
            assert alone.at(1.0) == pytest.approx(1, abs=1e-6)
            merged = mc.merge(family, Recipe("task_arithmetic").at(0.5), members=[label])
            half = compare(session, label, answer(session, label, merged))
            assert alone.at(0.5) == pytest.approx(half.values[f"{FORM}_labelled"], abs=1e-5)


def test_a_forecast_shows_the_best_recipe(family):
    forecast = mc.forecast(family, tasks=tiny_tasks(), strengths=True, sets=3, calibration=SAMPLES)
    assert forecast.strengths["members"].tolist()[-1] == "a+b+c"
    assert len(forecast.strengths) == 4
    summary = mc.report(forecast)
    assert {len(entry["members"]) for entry in summary["strengths"]} == {2, 3}
    for drawn, best in zip(summary["curves"], summary["strengths"], strict=True):
        assert drawn["members"] == best["members"]
        assert max(drawn["kept"]) == pytest.approx(best["kept"], abs=0.02)
    pairs = [one for one in summary["pairs"] if one["advice"] == "merge"]
    assert bool(summary["next"]) == bool(pairs)
    # The only set of three was really merged by every method, and stands under one of them.
    assert (forecast.sets["basis"] == "checked").all()
    assert (forecast.sets["lower"] <= forecast.sets["retention"]).all()
    assert [entry["members"] for entry in summary["sets"]["best"]] == [["a", "b", "c"]]
    with pytest.raises(UsageError, match="strengths: asked for without tasks"):
        mc.forecast(family, strengths=True)


def test_merge_writes_what_was_chosen(tmp_path, capsys, monkeypatch):

    family = tiny_family(tmp_path)
    monkeypatch.setattr("mergecast.load_tasks", lambda path: tiny_tasks())
    files = [str(family.base.path), *(str(family.models[one].path) for one in family.names)]
    (tmp_path / "tasks.yaml").write_text("tasks: {}\n")
    given = ["--tasks", str(tmp_path / "tasks.yaml"), "--calibration", str(SAMPLES)]
    out = tmp_path / "out"
    auto = ["merge", "--method", "ties", "--scaling", "auto", *files, "-o", str(out)]
    assert run([*auto, *given, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    record = json.loads((out / "mergecast.json").read_text())
    best = max(said["tried"], key=lambda row: row["mean"])
    assert record["params"]["scaling"] == best["scaling"] == said["params"]["scaling"]
    assert run(auto) == 2
    assert "auto: given without --tasks" in capsys.readouterr().err
    assert run(["merge", "--method", "ties", "--objective", "worst", *files, "-o", str(out)]) == 2
    assert "nothing is chosen" in capsys.readouterr().err
    assert run(["merge", "--method", "ties", "--scaling", "lots", *files, "-o", str(out)]) == 2
    assert "--scaling: is 'lots'" in capsys.readouterr().err
