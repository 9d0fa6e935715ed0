"""Families of models that change different parameters, of whole models and adapters say."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import probe as pair_probes
from mergecast.evidence.superposition import kinds as kinds_module
from mergecast.evidence.superposition import sets as superposed_sets
from mergecast.evidence.superposition.checks import checked_pairs, checked_sets
from mergecast.evidence.superposition.collect import collect
from mergecast.evidence.superposition.corrections import Correction, corrections
from mergecast.evidence.superposition.kinds import (
    alike,
    changed,
    compositions,
    kinds_of,
    role,
    together,
)
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


def losses(kinds, seed=0):
    """What shifts say that every pair loses, at random."""
    pairs = [*combinations(sorted(kinds), 2)]
    return dict(zip(pairs, np.random.default_rng(seed).random(len(pairs)), strict=True))


def test_pairs_of_every_two_kinds_are_merged_no_more_than_there_are_models():
    lost = losses(MIXED)
    pairs = checked_pairs(MIXED, lost)
    assert pairs == checked_pairs(dict(reversed(MIXED.items())), lost)
    found = Counter(together(pair, MIXED) for pair in pairs)
    # Of 36 pairs 21 are of whole models, 14 of one and an adapter, of which two share no model.
    assert found == {
        ("whole 0", "whole 0"): 3,
        ("lora 1", "whole 0"): 2,
        ("lora 1", "lora 1"): 1,
    }
    three = {"a": "a", "b": "a", "c": "c"}
    assert sorted(checked_pairs(three, losses(three))) in ([("a", "b"), ("a", "c")],
                                                           [("a", "b"), ("b", "c")])  # fmt: skip
    # Many kinds share what a few merges cost, those of the most pairs first.
    many = {f"{kind}{k}": f"{kind}0" for kind in "abcd" for k in range(3 + (kind == "c"))}
    pairs = checked_pairs(many, losses(many))
    assert len(pairs) == len(many)
    assert together(pairs[0], many) in {("a0", "c0"), ("b0", "c0")}
    assert len({together(pair, many) for pair in pairs}) == 10
    # No two of the same kinds share a model.
    for kinds in {together(pair, many) for pair in pairs}:
        used = [x for pair in pairs if together(pair, many) == kinds for x in pair]
        assert len({*used}) == len(used)


def test_where_there_are_more_kinds_than_checks_pairs_of_any_are_merged():
    alone = {f"model {k:02}": f"model {k:02}" for k in range(20)}
    lost = losses(alone)
    pairs = checked_pairs(alone, lost)
    # Not those of the kinds that come first by name.
    assert len({label for pair in pairs for label in pair}) == 6
    values = sorted(lost.values())
    low, high = values[len(values) // 3], values[len(values) // 3 * 2]
    chosen = sorted(lost[pair] for pair in pairs)
    assert chosen[0] < low < chosen[1] < high < chosen[2]


def test_pairs_that_shifts_say_nothing_of_are_no_checks():
    known = {pair: value for pair, value in losses(MIXED).items() if "lora 1" not in pair}
    found = Counter(together(pair, MIXED) for pair in checked_pairs(MIXED, known))
    assert found == {("whole 0", "whole 0"): 3, ("lora 1", "whole 0"): 1}
    assert checked_pairs(MIXED, {}) == []


def test_which_pairs_are_merged_hangs_on_what_they_lose_and_not_on_names():
    lost = losses(MIXED)
    pairs = checked_pairs(MIXED, lost)
    names = {label: f"{place} {label}" for place, label in enumerate(reversed(MIXED))}
    renamed = {names[label]: names[kind] for label, kind in MIXED.items()}
    moved = {tuple(sorted(names[x] for x in pair)): value for pair, value in lost.items()}
    assert {tuple(sorted(names[x] for x in pair)) for pair in pairs} == {
        *checked_pairs(renamed, moved)
    }
    # They are spread over what pairs of these kinds lose: some little, some much.
    values = sorted(lost[pair] for pair in lost if together(pair, MIXED) == ("whole 0",) * 2)
    chosen = sorted(lost[pair] for pair in pairs if together(pair, MIXED) == ("whole 0",) * 2)
    assert chosen[0] < values[7] <= values[13] < chosen[2]


def test_sets_of_all_kinds_are_merged_within_what_checks_are_worth():
    found = checked_sets(MIXED, 3)
    counts = Counter(together(one, MIXED) for one in found)
    # 42 sets have one adapter, 35 none, 7 two.
    assert [*counts.items()] == [
        (("lora 1", "whole 0", "whole 0"), 2),
        (("whole 0", "whole 0", "whole 0"), 1),
        (("lora 1", "lora 1", "whole 0"), 1),
    ]
    assert len(found) == len(MIXED) // 2
    assert all(len({*one}) == 3 for one in found)
    # There are no sets of three adapters of two.
    assert compositions(MIXED, 3)[-1] == ("lora 1", "lora 1", "whole 0")
    # Of three kinds sets of three have ten compositions, which seven models are too few for.
    few = {"a": "a", "b": "a", "c": "c", "d": "c", "e": "e", "f": "e", "g": "e"}
    assert checked_sets(few, 3) == checked_sets(of_one_kind(few), 3)


def test_a_family_of_one_kind_is_checked_as_if_there_were_no_kinds():
    said, lost = np.linspace(0.1, 0.6, 6), np.linspace(0.1, 0.4, 6)
    correct = corrections(said, lost, ["x"] * 6)
    assert correct("x") == correct("never seen") == Correction.of(said, lost)


def test_members_in_the_same_role_are_believed_first_and_all_of_the_rest():
    said = np.tile([0.1, 0.3], 6)
    lost = np.concatenate([0.5 * said[:6], 1.5 * said[6:]])
    correct = corrections(said, lost, ["x"] * 6 + ["y"] * 6)
    of_all = Correction.of(said, lost)
    assert correct("never seen") == of_all
    assert 0.5 < correct("x").factor < of_all.factor < correct("y").factor < 1.5
    # Nearer to their own than all checks together were.
    for here, true in (("x", 0.5), ("y", 1.5)):
        error = abs(float(correct(here)(0.3)) - true * 0.3)
        assert error < 0.5 * abs(float(of_all(0.3)) - true * 0.3)


def test_a_whole_model_and_an_adapter_in_one_merge_are_not_alike():
    pair = ("lora 1", "whole 3")
    assert role("lora 1", pair, MIXED) != role("whole 3", pair, MIXED)
    assert role("lora 1", pair, MIXED) == role("lora 2", ("whole 0", "lora 2"), MIXED)
    assert role("lora 1", pair, MIXED) != role("lora 1", ("lora 1", "lora 2"), MIXED)


@pytest.fixture
def mixed(tmp_path):
    return opened(tmp_path, "abc", "def")


def test_pairs_of_a_mixed_family_that_were_merged_keep_what_they_kept(mixed):
    superposed, merged = collect(mixed), pair_probes.collect(mixed)
    kinds = kinds_of(mixed)
    key = ("task_arithmetic", "expected_labelled")
    kept = [
        pair
        for pair in combinations("abcdef", 2)
        if superposed.values[*pair, *key] == pytest.approx(merged.values[*pair, *key], abs=1e-12)
    ]
    assert {together(pair, kinds) for pair in kept} == {*compositions(kinds, 2)}
    assert len(kept) < 15


def test_sets_of_a_mixed_family_are_corrected_by_what_they_are_made_of(mixed, monkeypatch):
    sets = [("a", "b", "d"), ("b", "e", "f"), ("a", "c", "f"), ("d", "e", "f")]
    seen = []

    def noted(said, lost, roles):
        seen.append(Counter(roles))
        return corrections(said, lost, roles)

    monkeypatch.setattr(superposed_sets, "corrections", noted)
    found = superposed_sets.collect_sets(mixed, sets)
    kinds = kinds_of(mixed)
    checks = checked_sets(kinds, 3)
    assert found.checked["weight_avg"] == checks
    assert seen == 2 * [Counter(role(label, one, kinds) for one in checks for label in one)]
