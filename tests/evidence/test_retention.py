from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from mergecast.checkpoints import Checkpoint
from mergecast.checkpoints.torch_bridge import to_tensor
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import probe as pair_probes
from mergecast.evidence.retention.collect import collect, stand_ins_of
from mergecast.evidence.retention.forms import compare, ways
from mergecast.evidence.superposition.sets import collect_sets
from mergecast.family import Family
from mergecast.merging import METHODS, merging_method, usual_methods, write_merge
from mergecast.merging.stand_ins import JITTER, merge_alone, scrambled
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import TinyTask, tiny_family, tiny_states, tiny_tasks
from recorded_progress import RecordedProgress
from tiny_models import tiny_session

FORMS = [key for key, *_ in ways()]


def by(*methods, **more):
    return MergeSettings(**{"samples": 12, "draws": 2, "merge_seed": 3, **more}, methods=methods)


@pytest.mark.parametrize("size", [2, 3])
def test_retention_equals_writing_and_loading_the_merge_with_copies_of_the_base(tmp_path, size):
    methods = [name for name in usual_methods() if METHODS.get(name).max_members is None]
    merges = by(*methods, size=size, partners=("base",))
    found = collect(tiny_session(tmp_path, merges=merges))
    base = tmp_path / "base.safetensors"
    company = Family.open(
        base, {"a": tmp_path / "a.safetensors", **{f"z{i}": base for i in range(1, size)}}
    )
    task = tiny_tasks()["a"]
    probe, samples = Probe(task), task.samples(12, 0)
    own = {name: to_tensor(v) for name, v in _arrays(tmp_path / "a.safetensors").items()}
    for method in methods:
        out = write_merge(company, method, tmp_path / f"{method}-{size}", seed=3)
        merged = {name: to_tensor(v) for name, v in _arrays(out).items()}
        head = {name: value for name, value in own.items() if name.startswith("head.")}
        logits = probe.logits({**merged, **head}, samples)
        expected = compare(logits, probe.logits(own, samples), samples.labels).values
        for form in FORMS:
            assert found.value("a", method, "base", form) == pytest.approx(expected[form], abs=1e-6)


def test_values_depend_neither_on_the_order_of_models_nor_on_the_other_models(tmp_path):
    one = collect(tiny_session(tmp_path, merges=by("dare", "slerp", "tsv")))
    other = collect(tiny_session(tmp_path, order="ca", merges=by("tsv", "slerp", "dare")))
    assert {key: one.values[key] for key in other.values} == other.values


def test_threads_change_nothing(tmp_path):
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(collect(tiny_session(tmp_path, merges=by("isotropic"))).values)
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_without_labels_the_unlabelled_forms_remain_and_the_others_say_why(tmp_path):
    merges = by("weight_avg")
    found = collect(tiny_session(tmp_path, labelled=False, merges=merges))
    with_labels = collect(tiny_session(tmp_path, merges=merges))
    for form in FORMS:
        key = ("a", "weight_avg", "base", form)
        if form.endswith("_unlabelled"):
            assert found.value(*key) == with_labels.value(*key)
        else:
            with pytest.raises(UndefinedError, match="no labels"):
                found.value(*key)


@dataclass
class OneClass(TinyTask):
    """A task whose only label is 0."""

    def samples(self, *asked):
        drawn = super().samples(*asked)
        return replace(drawn, labels=torch.zeros_like(drawn.labels))


def test_a_head_of_one_class_is_merged_and_kept_with_what_its_merges_cannot_say(tmp_path):
    states = tiny_states("ab")
    for name in ("head.weight", "head.bias"):
        states["a"][name] = states["a"][name][:1].clone()
    for label, state in states.items():
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    family = Family.open(
        tmp_path / "base.safetensors", {x: tmp_path / f"{x}.safetensors" for x in "ab"}
    )
    tasks = {**tiny_tasks("b"), "a": OneClass("a", private=("head.*",))}
    settings = ProbeSettings(calibration=10, cache=tmp_path / "cache")
    for _ in range(2):  # made, then read from the store
        with Session(family, tasks, settings, by("weight_avg")) as session:
            found = collect(session)
            assert found.value("a", "weight_avg", "base", "accuracy_labelled") == 1
            for form in ("margin", "matched", "expected"):
                with pytest.raises(UndefinedError, match="model 'a': .*one class has no other"):
                    found.value("a", "weight_avg", "base", f"{form}_labelled")
            assert np.isfinite([*found.values.values()]).all()
            unjudged = collect_sets(session, [("a", "b")]).unjudged
            assert unjudged["a"].startswith("a head of one class has no other answer")


def test_a_method_for_one_model_is_missing_with_its_reason(tmp_path):
    name = "only_one_model"
    with METHODS.isolated():
        merging_method(name, reference="a test", max_members=1)(lambda block: block.deltas[0])
        found = collect(tiny_session(tmp_path, merges=by(name)))
        probes = pair_probes.collect(tiny_session(tmp_path, merges=by(name)))
    with pytest.raises(UndefinedError, match="takes at most 1"):
        found.value("a", name, "base", "kept_unlabelled")
    with pytest.raises(UndefinedError, match="takes at most 1"):
        probes.value("a", "b", name, "kept_unlabelled")


def test_what_was_not_probed_and_unknown_forms_are_named(tmp_path):
    found = collect(tiny_session(tmp_path, merges=by("weight_avg")))
    with pytest.raises(UndefinedError, match="model 'a': ties base kept_unlabelled was not coll"):
        found.value("a", "ties", "base", "kept_unlabelled")
    with pytest.raises(UndefinedError, match="base kept_unlabeled was not collected"):
        found.value("a", "weight_avg", "base", "kept_unlabeled")


def test_scrambling_keeps_entries_and_spectrum_and_draws_differ(tmp_path):
    rng = np.random.default_rng(0)
    delta = rng.standard_normal((4, 7)).astype(np.float32)
    shuffled = scrambled(delta, np.random.default_rng(1))
    assert not np.array_equal(shuffled, delta)
    # One factor a row, of 1 ± a few times the jitter; entries and spectrum follow it.
    ratio = np.sort(np.abs(shuffled), axis=1) / np.sort(np.abs(delta), axis=1)
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(7, axis=1), rtol=1e-6)
    assert 0 < np.abs(ratio - 1).max() < 5 * JITTER
    spectra = [np.linalg.svd(matrix, compute_uv=False) for matrix in (shuffled, delta)]
    np.testing.assert_allclose(*spectra, rtol=5 * JITTER)
    vector = rng.standard_normal(9).astype(np.float32)
    moved = scrambled(vector, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(np.abs(moved)), np.sort(np.abs(vector)))
    family = tiny_family(tmp_path)
    merges = [
        merge_alone(family, "a", "weight_avg", partner="scrambled", draw=draw)["up.weight"]
        for draw in (0, 0, 1)
    ]
    assert torch.equal(merges[0], merges[1])
    assert not torch.equal(merges[0], merges[2])


def test_scrambled_tsv_does_not_hang_on_the_signs_of_a_decomposition(tmp_path, monkeypatch):
    """Singular vectors are defined up to sign: another LAPACK gives other ones."""
    from mergecast.merging import decompositions
    from mergecast.merging.methods import spectral

    family = tiny_family(tmp_path)
    usual = merge_alone(family, "a", "tsv", partner="scrambled")

    def flipped(matrix):
        u, s, vh = decompositions.plain_svd(matrix)
        signs = torch.ones_like(s)
        signs[::2] = -1
        return u * signs, s, signs[:, None] * vh

    for name in ("svd", "plain_svd"):
        monkeypatch.setattr(spectral, name, flipped)
    other = merge_alone(family, "a", "tsv", partner="scrambled")
    for name, value in usual.items():
        # Decorrelating two nearly equal sets magnifies float32 rounding by 1 / jitter.
        torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-4)


def test_merge_alone_checks_its_arguments(tmp_path):
    family = tiny_family(tmp_path)
    with pytest.raises(UsageError, match="scrambled"):
        merge_alone(family, "a", "ties", partner="shuffled")
    with pytest.raises(UsageError, match="size: is 0"):
        merge_alone(family, "a", "ties", size=0)
    with pytest.raises(UsageError, match="model 'x'"):
        merge_alone(family, "x", "ties")


def test_pair_probes_evaluate_the_real_merge_with_each_members_own_head(tmp_path):
    session, tasks = tiny_session(tmp_path, merges=by("ties")), tiny_tasks()
    session.progress = progress = RecordedProgress()
    probes = pair_probes.collect(session)
    out = write_merge(session.family, "ties", tmp_path / "merged", members=["a", "c"], seed=3)
    merged = {name: to_tensor(v) for name, v in _arrays(out).items()}
    own = session.state("c")
    head = {name: value for name, value in own.items() if name.startswith("head.")}
    probe, samples = Probe(tasks["c"]), tasks["c"].samples(12, 0)
    expected = compare(
        probe.logits({**merged, **head}, samples), probe.logits(own, samples), samples.labels
    )
    for form in FORMS:
        assert probes.value("c", "a", "ties", form) == pytest.approx(expected.values[form])
    assert progress.stages == {"pair probes": [3, 3]}


def test_a_model_whose_output_is_not_finite_is_missing_with_a_reason(tmp_path):
    states = tiny_states()
    states["a"]["head.weight"][0, 0] = float("nan")
    for label, state in states.items():
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    found = collect(tiny_session(tmp_path, merges=by("weight_avg")))
    with pytest.raises(UndefinedError, match="the fine-tuned model's own output is not f"):
        found.value("a", "weight_avg", "base", "overlap_unlabelled")
    assert 0 < found.value("b", "weight_avg", "base", "overlap_unlabelled") <= 1


def _arrays(path):
    checkpoint = Checkpoint.open(path)
    return {name: checkpoint.array(name) for name in checkpoint.names}


def test_finished_units_are_not_computed_again(tmp_path, monkeypatch):
    session = tiny_session(tmp_path, merges=by("dare"))
    first = collect(session)
    monkeypatch.setattr("mergecast.evidence.retention.merges.merge_alone", None)
    assert collect(session) == first
    session.merges = by("dare", merge_seed=4)
    with pytest.raises(TypeError):
        collect(session)


def test_scrambled_stand_ins_are_merged_only_where_a_metric_reads_them(tmp_path):
    session = tiny_session(tmp_path, merges=by("ties"))
    assert stand_ins_of(session, session.keys) == ["base", "scrambled"]
    values = collect(session.narrowed("ab", ["retention_expected_labelled"])).values
    assert {key[2] for key in values} == {"base"}
    both = ["retention_kept_labelled", "retention_scrambled_kept_labelled"]
    found = collect(session.narrowed("ab", both)).values
    assert {key[2] for key in found} == {"base", "scrambled"}
    assert all(found[key] == value for key, value in values.items())
