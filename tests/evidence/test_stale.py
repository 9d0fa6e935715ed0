"""A kept number is missed by a change of what it was made by, and by nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

from mergecast.cli import main
from mergecast.evidence import MergeSettings, ProbeSettings, Session, collect_evidence, table_stage
from mergecast.evidence.activations import collect as activations
from mergecast.evidence.gradients import collect as gradients
from mergecast.evidence.gradients import curvature, fisher
from mergecast.evidence.inputs import collect as inputs
from mergecast.evidence.retention import answers, merges, together
from mergecast.evidence.retention.forms import FORMS
from mergecast.evidence.superposition import gather, kinds
from mergecast.merging import METHODS
from mergecast.runtime.store import Store
from tiny_models import tiny_family, tiny_tasks

SETTINGS = MergeSettings(methods=("ties", "weight_avg"), draws=1)
#: Units of three models: one for each, for each and a task, pair of directions, stand-in or pair.
MODELS = {
    "gradients": 3,
    "curvature": 3,
    "fisher": 9,
    "input moments": 3,
    "activations": 9,
    "own answers": 3,
    "changed parameters": 3,
}
#: Of the base and of half of every model, and of all of every other one beside its own, on every
#: task's samples.
SHIFTS = {"shifts": 24}
COMPARED = {"retention": 3 * 2, "pair probe": 3 * 2}
#: And what the one pair that corrects the others leaves of its members.
METHOD = {**COMPARED, "left in merges": 1}


def nothing_kept(_answers):
    return 0.5


@pytest.fixture
def missed(tmp_path, monkeypatch):
    """Collect everything in one cache; what was not found there, by stage."""
    counts, seen = Counter(), set()
    find = Store.get

    def counted(self, spec):
        result = find(self, spec)
        key = self.key(spec)
        if result is None and key not in seen:  # what is there is looked up before it is made
            seen.add(key)
            counts[spec["stage"]["name"]] += 1
        return result

    monkeypatch.setattr(Store, "get", counted)

    def collect(merges=SETTINGS, seed=0):
        settings = ProbeSettings(calibration=4, seed=seed, cache=tmp_path / "cache")
        counts.clear()
        seen.clear()
        with Session(tiny_family(tmp_path), tiny_tasks(), settings, merges) as session:
            collect_evidence(session, "probe", "all")
        return dict(counts)

    methods = len(SETTINGS.methods)
    assert collect() == MODELS | SHIFTS | {
        stage: methods * count for stage, count in METHOD.items()
    }
    return collect


def change_method(monkeypatch, name, **fields):
    entry = METHODS._entries[name]
    method = replace(METHODS.get(name), **fields)
    monkeypatch.setitem(METHODS._entries, name, replace(entry, value=method))


def kernel_with(density):
    def kernel(block, *, density: float = density):
        return block.deltas.mean(0) * density

    return kernel


def test_the_same_again_is_found(missed):
    assert missed() == {}


def test_an_edited_form_misses_every_comparison(missed, monkeypatch):
    monkeypatch.setitem(FORMS, "kept", replace(FORMS["kept"], function=nothing_kept))
    assert missed() == {stage: 2 * count for stage, count in COMPARED.items()}


def test_a_kernels_version_misses_what_is_about_its_method(missed, monkeypatch):
    change_method(monkeypatch, "ties", version=2)
    assert missed() == METHOD
    assert missed() == {}


def test_an_edited_kernel_and_a_changed_default_miss_it_too(missed, monkeypatch):
    change_method(monkeypatch, "ties", kernel=kernel_with(0.3))
    assert missed() == METHOD
    change_method(monkeypatch, "ties", kernel=kernel_with(0.4))
    assert missed() == METHOD


def test_a_parameter_given_as_the_default_is_the_default(missed):
    default = METHODS.get("ties").defaults["density"]
    assert missed(replace(SETTINGS, params={"ties": {"density": default}})) == {}
    assert missed(replace(SETTINGS, params={"ties": {"density": default / 2}})) == METHOD


def test_the_seed_of_merges_is_no_affair_of_single_models(missed):
    changed = missed(replace(SETTINGS, merge_seed=1))
    assert changed == {stage: 2 * count for stage, count in COMPARED.items()}


def test_statistics_measured_anew_are_another_merge(missed, monkeypatch):
    again = replace(SETTINGS, reestimate_batchnorm=True)
    both = {stage: 2 * count for stage, count in COMPARED.items()}
    assert missed(again) == both | SHIFTS
    monkeypatch.setattr(merges, "BATCHNORM", replace(merges.BATCHNORM, version=2))
    assert missed(again) == both
    monkeypatch.setattr(gather, "BATCHNORM", merges.BATCHNORM)
    assert missed(again) == SHIFTS
    assert missed() == {}


@pytest.mark.parametrize(
    ("module", "name", "stage"),
    [
        (activations, "STAGE", "activations"),
        (gradients, "STAGE", "gradients"),
        (curvature, "CURVATURE", "curvature"),
        (fisher, "FISHER", "fisher"),
        (inputs, "STAGE", "input moments"),
        (answers, "OWN", "own answers"),
        (kinds, "CHANGED", "changed parameters"),
    ],
)
def test_a_stages_version_misses_its_own_units(missed, monkeypatch, module, name, stage):
    stored = getattr(module, name)
    monkeypatch.setattr(module, name, replace(stored, version=stored.version + 1))
    assert missed() == {stage: MODELS[stage]}


def test_a_step_that_others_use_misses_them_all(missed, monkeypatch):
    layers = replace(inputs.LAYERS, version=inputs.LAYERS.version + 1)
    monkeypatch.setattr(inputs, "STAGE", replace(inputs.STAGE, uses=(layers,)))
    monkeypatch.setattr(curvature, "CURVATURE", replace(curvature.CURVATURE, uses=(layers,)))
    assert missed() == {stage: MODELS[stage] for stage in ("input moments", "curvature")}


def test_the_key_of_a_table_knows_its_metrics_forms_and_methods(monkeypatch):
    before = table_stage("gradients").key
    assert table_stage("gradients").key == before
    assert table_stage("gradients", "all").key != before
    assert "method ties" in table_stage("gradients").versions()
    assert "method ties" not in table_stage("weights").versions()
    with monkeypatch.context() as patched:
        patched.setitem(FORMS, "kept", replace(FORMS["kept"], function=nothing_kept))
        assert table_stage("gradients").key != before
        assert table_stage("weights").key == table_stage("weights").key
    with monkeypatch.context() as patched:
        change_method(patched, "ties", version=2)
        assert table_stage("gradients").versions()["method ties"] == 2
    assert table_stage("gradients").key == before


def test_metrics_with_a_cache_around_a_changed_form(probe_family, tmp_path, monkeypatch):
    """As a user sees it: the same command, the same cache, a form edited in between."""
    built = probe_family("cnn")
    out = tmp_path / "pairs.parquet"

    def run():
        options = ("--tier", "activations", "--method", "ties", "--calibration", "5", "--json")
        arguments = ["metrics", *built.arguments, "--cache", str(tmp_path / "cache"), *options]
        result = CliRunner().invoke(main.app, [*arguments, "-o", str(out)])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["pairs"] == 3
        return pd.read_parquet(out)

    before = run()
    column = "retention_kept_unlabelled@ties:left<-right"
    monkeypatch.setitem(FORMS, "kept", replace(FORMS["kept"], function=nothing_kept))
    after = run()
    assert (after[column] == 0.5).all()
    assert (before[column] != 0.5).all()
    rest = [name for name in before.columns if "kept" not in name]
    assert after[rest].equals(before[rest])


@pytest.mark.parametrize("ask", ["alone", "together"])
def test_what_is_shared_is_part_of_what_a_merge_is_kept_under(ask, tmp_path):
    family = tiny_family(tmp_path)

    def kept(one, cache):
        settings = ProbeSettings(40, cache=tmp_path / cache)
        with Session(one, tiny_tasks(), settings, SETTINGS) as session:
            if ask == "alone":
                return merges.alone(session, "a", "ties", "base")
            return together.together(session, ("a", "b"), "ties")["a"]

    whole, narrow = kept(family, "one"), kept(family.without(["up.*"]), "one")
    assert narrow == kept(family.without(["up.*"]), "other")
    assert narrow != whole
