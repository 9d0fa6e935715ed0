"""`mc.explain`: what names stand for, from what they declare and what suites measured."""

from __future__ import annotations

import json

import pytest

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.evidence import EVIDENCE
from mergecast.forecast.shipped import MEASURED


def test_a_metric_says_its_definition_source_and_what_suites_say():
    found = mc.explain("superposed_expected_labelled@ties")
    assert found.kind == "metric"
    assert found.facts["source"] == mc.METRICS.get(found.name).source
    assert found.meaning
    assert set(found.suites["suite"]) == {
        mc.load_run(path)[0].suites[0] for path in MEASURED.iterdir() if path.is_dir()
    }
    assert (found.suites["r"] > 0.5).all()
    assert found.suites["least"].le(found.suites["r"]).all()


def test_evidence_says_what_it_is_and_how_its_metrics_do(capsys):
    found = mc.explain("superposition")
    assert found.kind == "evidence"
    assert found.meaning.startswith("Adding up what models do to each other's answers.")
    metrics = {spec.key for spec in mc.METRICS if spec.evidence == "superposition"}
    assert set(found.suites["metric"]) == metrics
    alone = mc.explain("base_expected_labelled").suites
    here = found.suites.set_index("metric").loc["base_expected_labelled"]
    assert here["least"] == pytest.approx(alone["least"].min())
    assert here["most"] == pytest.approx(alone["most"].max())
    weighted = (alone["r"] * alone["methods"]).sum() / alone["methods"].sum()
    assert here["r"] == pytest.approx(weighted)
    assert here["suites"] == len(alone)
    assert run(["explain", "weights"]) == 0
    shown = capsys.readouterr().out
    assert "Correlation of its metrics with what a member keeps" in shown
    assert "task_vector_cosine_similarity" in shown


@pytest.mark.parametrize("name", [one.name for one in EVIDENCE])
def test_every_kind_of_evidence_says_what_it_is(name):
    assert len(EVIDENCE.get(name).meaning) > 20


def test_a_method_says_what_models_kept_by_it():
    found = mc.explain("ties(density=0.5, scaling=1)")
    assert found.name == "ties(density=0.5, scaling=1)"
    pairs, outcomes = mc.load_run(MEASURED / "digits-14")
    rows = outcomes.members()
    mean = rows[rows["method"] == found.name]["retention"].mean()
    here = found.suites.set_index("suite").loc[pairs.suites[0]]
    assert here["kept"] == pytest.approx(mean)
    assert here["kept"] <= here["best"]


def test_what_no_suite_has_says_so(capsys):
    assert mc.explain("karcher").suites.empty
    assert run(["explain", "karcher"]) == 0
    assert "No measured suite has it." in capsys.readouterr().out


def test_every_name_can_be_explained_to_a_reader():
    for spec in mc.METRICS:
        assert spec.function.__doc__, spec.key
    for method in mc.METHODS:
        assert method.summary, method.name


def test_the_command_prints_and_gives_json(capsys):
    assert run(["explain", "task_vector_cosine_similarity"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("task_vector_cosine_similarity (metric)")
    assert "range: -1 to 1" in shown
    assert run(["explain", "ties", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "method"


def test_a_name_that_there_is_not_is_told_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ties'"):
        mc.explain("tiees")
