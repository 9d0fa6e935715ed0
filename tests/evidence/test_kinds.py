"""Families of models that change different parameters, of whole models and adapters say."""

from collections import Counter

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import probe as pair_probes
from mergecast.evidence.superposition import kinds as kinds_module
from mergecast.evidence.superposition import sets as superposed_sets
from mergecast.evidence.superposition.checked import (
    PAIRS,
    Correction,
    checked_pairs,
    checked_sets,
    corrections,
)
from mergecast.evidence.superposition.collect import collect
from mergecast.evidence.superposition.kinds import alike, changed, compositions, kinds_of, together
from mergecast.family import Family
from mergecast.testing.tiny import tiny_states, tiny_tasks
from tiny_models import of_one_kind

MIXED = {**of_one_kind([f"whole {k}" for k in range(7)]), **of_one_kind(["lora 1", "lora 2"])}


def opened(folder, whole="ab", parts="cd"):
    """A family of models that change everything and of others that change one bias."""
    labels = whole + parts
    states = tiny_states(labels)
    for label in parts:
        shared = [name for name in states["base"] if not name.startswith("head")]
        states[label] |= {name: states["base"][name] for name in shared if name != "up.bias"}
    for label, state in states.items():
        write_safetensors(folder / f"{label}.safetensors", state)
    family = Family.open(
        folder / "base.safetensors", {one: folder / f"{one}.safetensors" for one in labels}
    )
    merges = MergeSettings(samples=12, methods=("task_arithmetic", "weight_avg"))
    settings = ProbeSettings(calibration=10, cache=folder / "cache")
    return Session(family, tiny_tasks(labels), settings, merges)


def test_models_are_of_a_kind_where_they_change_the_same_parameters(tmp_path, monkeypatch):
    session = opened(tmp_path)
    assert changed(session, "c") == ["up.bias"]
    assert changed(session, "a") == [*session.family.shared]
    assert kinds_of(session) == {"a": "a", "b": "a", "c": "c", "d": "c"}
    monkeypatch.setattr(kinds_module, "_changes", None)  # from here on nothing is read
    assert kinds_of(session) == {"a": "a", "b": "a", "c": "c", "d": "c"}


def test_a_parameter_is_changed_by_its_last_number_alone(tmp_path, monkeypatch):
    states = tiny_states("a")
    states["a"] |= {name: states["base"][name].clone() for name in states["base"]}
    states["a"]["up.weight"].view(-1)[-1] += 1
    for label, state in states.items():
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    family = Family.open(tmp_path / "base.safetensors", {"a": tmp_path / "a.safetensors"})
    monkeypatch.setattr(kinds_module, "CHUNK_ELEMENTS", 7)
    with Session(family, tiny_tasks("a"), ProbeSettings(cache=tmp_path / "cache")) as session:
        assert changed(session, "a") == ["up.weight"]


def test_a_few_parameters_more_or_less_make_no_other_kind():
    whole = set("abcdefghij")
    assert alike({"x": whole, "y": whole - {"a", "b"}}) == {"x": "x", "y": "x"}
    # An adapter of two projections, and of half the others.
    assert alike({"x": "qv", "y": "ko"}) == {"x": "x", "y": "y"}
    assert alike({"x": "qv", "y": "qkvo"}) == {"x": "x", "y": "y"}
    assert alike({"x": "qkv", "y": "qkvo"}) == {"x": "x", "y": "x"}
    # Two that have little in common are of one kind with a third that is between them.
    assert alike({"z": "abcdef", "x": "abc", "y": "abcd"}) == {"z": "x", "y": "x", "x": "x"}
    # What changes nothing is like nothing else but its own kind.
    assert alike({"x": "", "y": "", "z": "q"}) == {"x": "x", "y": "x", "z": "z"}


def test_pairs_of_every_two_kinds_are_merged_the_most_frequent_first():
    pairs = checked_pairs(MIXED)
    assert pairs == checked_pairs(dict(reversed(MIXED.items())))
    made_of = [together(pair, MIXED) for pair in pairs]
    assert made_of[:3] == compositions(MIXED, 2)
    assert made_of[0] == ("whole 0", "whole 0")  # 21 pairs
    assert made_of[1] == ("lora 1", "whole 0")  # 14
    assert made_of[2] == ("lora 1", "lora 1")  # 1
    assert len(pairs) == len(MIXED) // 2
    assert len({*pairs}) == len(pairs)
    # More models are worth more checks, and no two of the same kinds share a model.
    many = {**of_one_kind([f"w{k}" for k in range(20)]), **of_one_kind([f"l{k}" for k in range(9)])}
    found = Counter(together(pair, many) for pair in checked_pairs(many))
    assert set(found.values()) == {PAIRS}
    for kinds in found:
        used = [x for pair in checked_pairs(many) if together(pair, many) == kinds for x in pair]
        assert len({*used}) == 2 * PAIRS


def test_sets_of_all_kinds_are_merged_within_what_checks_are_worth():
    found = checked_sets(MIXED, 3)
    made_of = [together(one, MIXED) for one in found]
    assert made_of[:3] == compositions(MIXED, 3)
    assert len(found) == len(MIXED) // 2
    assert all(len({*one}) == 3 for one in found)
    # There are no sets of three adapters of two.
    assert compositions(MIXED, 3)[-1] == ("lora 1", "lora 1", "whole 0")


def test_a_family_of_one_kind_is_checked_as_if_there_were_no_kinds():
    said, lost = np.linspace(0.1, 0.6, 6), np.linspace(0.1, 0.4, 6)
    correct = corrections(said, lost, ["x"] * 6)
    assert correct("x") == correct("never seen") == Correction.of(said, lost)


def test_merges_of_the_same_kinds_are_believed_first_and_all_of_the_rest():
    said = np.tile([0.1, 0.3], 6)
    lost = np.concatenate([0.5 * said[:6], 1.5 * said[6:]])
    correct = corrections(said, lost, ["x"] * 6 + ["y"] * 6)
    of_all = Correction.of(said, lost)
    assert correct("never seen") == of_all
    assert 0.5 < correct("x").factor < of_all.factor < correct("y").factor < 1.5
    # Nearer to their own than all checks together were.
    for kinds, true in (("x", 0.5), ("y", 1.5)):
        error = abs(float(correct(kinds)(0.3)) - true * 0.3)
        assert error < 0.5 * abs(float(of_all(0.3)) - true * 0.3)


@pytest.fixture
def mixed(tmp_path):
    return opened(tmp_path, "abc", "def")


def test_pairs_of_a_mixed_family_that_were_merged_keep_what_they_kept(mixed):
    superposed, merged = collect(mixed), pair_probes.collect(mixed)
    kinds = kinds_of(mixed)
    checks = checked_pairs(kinds)
    assert {together(pair, kinds) for pair in checks} == {*compositions(kinds, 2)}
    for left, right in checks:
        key = (left, right, "task_arithmetic", "expected_labelled")
        assert superposed.values[key] == pytest.approx(merged.values[key])


def test_sets_of_a_mixed_family_are_corrected_by_what_they_are_made_of(mixed, monkeypatch):
    sets = [("a", "b", "d"), ("b", "e", "f"), ("a", "c", "f"), ("d", "e", "f")]
    seen = []

    def noted(said, lost, made_of):
        seen.append(Counter(made_of))
        return corrections(said, lost, made_of)

    monkeypatch.setattr(superposed_sets, "corrections", noted)
    found = superposed_sets.collect_sets(mixed, sets)
    checks = checked_sets(kinds_of(mixed), 3)
    assert found.checked["weight_avg"] == checks
    assert seen == 2 * [Counter(together(one, kinds_of(mixed)) for one in checks for _ in one)]
