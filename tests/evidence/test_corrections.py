"""What a few real merges say of superposed answers, and that they are what they are."""

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import probe as pair_probes
from mergecast.evidence.retention.forms import Comparison
from mergecast.evidence.superposition.collect import collect
from mergecast.evidence.superposition.corrections import Correction, corrected
from mergecast.family import Family
from mergecast.testing.tiny import tiny_states, tiny_tasks
from tiny_models import of_one_kind


def test_merges_of_a_few_pairs_say_how_far_all_are_off():
    def of(value):
        return Comparison({"expected_unlabelled": value, "kept_unlabelled": value}, {"loss": "no"})

    superposed = {("a", "b"): of(0.6), ("b", "a"): of(0.8), ("a", "c"): of(0.5)}
    real = {("a", "b"): of(0.8), ("b", "a"): of(0.9)}
    found = corrected(superposed, real, of_one_kind("abc"))
    # Merging loses half of what shifts say, which is believed in part.
    seen = Correction.of(np.array([0.4, 0.2]), np.array([0.2, 0.1]))
    assert 0.5 < seen.factor < 0.9
    assert -0.1 < seen.beside < 0
    expected = [found[key].values["expected_unlabelled"] for key in superposed]
    # No check says anything of the last tenth of the greatest loss.
    lost = seen.factor * 0.4 + (0.5 - 0.4) + seen.beside
    assert expected == pytest.approx([0.8, 0.9, 1 - lost])
    # Nobody knows what a form is where nothing changes: it stays, but where a merge was made.
    kept = [found[key].values["kept_unlabelled"] for key in superposed]
    assert kept == [0.8, 0.9, 0.5]
    assert corrected(superposed, {}, of_one_kind("abc")) == superposed
    assert found["a", "c"].missing == {"loss": "no"}
    # A loss that is multiplied stays within what the form can be.
    said = {("a", "b"): of(0.7), ("c", "a"): of(0.1)}
    low = corrected(said, {("a", "b"): of(0.3)}, of_one_kind("abc"))
    assert low["c", "a"].values["expected_unlabelled"] == 0


def test_checks_say_what_is_lost_beside_and_many_are_believed():
    assert Correction.of(np.zeros(0), np.zeros(0)) == Correction(1, 0, 0)
    seen = Correction.of(np.zeros(6), np.full(6, 0.3))
    assert (seen.factor, seen.beside) == pytest.approx((1, 0.3 * 6 / 9))
    said = np.linspace(0.1, 0.6, 900)
    seen = Correction.of(said, 2 * said + 0.1)
    assert (seen.factor, seen.beside, seen.reach) == pytest.approx((2, 0.1, 0.6), abs=1e-2)
    # No loss is taken for its opposite, nor for more than three times what shifts say.
    assert Correction.of(said, -said).factor == 0
    assert Correction.of(said, 9 * said).factor == 3


def test_checks_say_nothing_of_losses_beyond_theirs():
    halved = Correction(0.5, 0.0, 0.2)
    np.testing.assert_allclose(halved(np.array([-0.1, 0.0, 0.2, 0.9])), [-0.05, 0.0, 0.1, 0.8])
    assert float(Correction(2.0, 0.1, 0.2)(0.5)) == pytest.approx(0.8)
    # Nothing was lost in any check: what shifts say of others is neither more nor less.
    seen = Correction.of(np.full(6, -0.05), np.zeros(6))
    assert seen.reach == 0
    assert float(seen(0.3)) == pytest.approx(0.3 + seen.beside)


def test_a_merged_pair_is_its_merge_where_shifts_say_nothing_of_it():
    none = Comparison({}, {"expected_unlabelled": "as its base", "margin_labelled": "as its base"})
    some = Comparison({"expected_unlabelled": 0.8}, {"margin_labelled": "no labels"})
    real = {("a", "b"): some, ("b", "a"): Comparison({"expected_unlabelled": 0.9}, {})}
    found = corrected(
        {("a", "b"): none, ("b", "a"): none, ("a", "c"): none}, real, of_one_kind("abc")
    )
    assert found["a", "b"].values == {"expected_unlabelled": 0.8}
    assert found["a", "b"].missing == {"margin_labelled": "as its base"}
    assert found["b", "a"].values == {"expected_unlabelled": 0.9}
    assert found["a", "c"] == none


def test_a_pair_with_a_model_that_does_nothing_to_its_answers_is_what_its_merge_is(tmp_path):
    states = tiny_states("ab")
    for state in states.values():
        state["down.weight"][:, 0] = 0  # nothing reads the first hidden unit
    idle = {name: value.clone() for name, value in states["base"].items()}
    idle["up.weight"][0] += 1
    states["b"] = {**states["b"], **idle}
    for label, state in states.items():
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    paths = {label: tmp_path / f"{label}.safetensors" for label in "ab"}
    family = Family.open(tmp_path / "base.safetensors", paths)
    settings = ProbeSettings(calibration=10, cache=tmp_path / "cache")
    merges = MergeSettings(samples=12, methods=("weight_avg",))
    with Session(family, tiny_tasks("ab"), settings, merges) as session:
        superposed, merged = collect(session), pair_probes.collect(session)
    assert len(merged.values) > 20
    for key, value in merged.values.items():
        assert superposed.values[key] == value
        assert key not in superposed.missing
