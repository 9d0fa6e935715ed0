"""Merges of two are superposed at what those that are made leave of their members."""

from itertools import permutations

import numpy as np
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import forms
from mergecast.evidence.retention import probe as pair_probes
from mergecast.evidence.retention.answers import own_answers
from mergecast.evidence.superposition import collect as superposition
from mergecast.evidence.superposition import shares
from mergecast.evidence.superposition.checks import real_merges
from mergecast.evidence.superposition.gather import gather
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.pair_shifts import PairShifts
from mergecast.evidence.superposition.shifts import Left
from mergecast.family import Family
from mergecast.merging import METHODS, merging_method
from mergecast.testing.tiny import tiny_states, tiny_tasks
from tiny_models import of_one_kind

LABELS = "abcdef"
PAIRS = [*permutations(LABELS, 2)]


@pytest.fixture
def opened(tmp_path):
    """Opens a family whose answers are linear in weights, to be merged by some methods."""
    states = tiny_states(LABELS)
    for state in states.values():
        state |= {name: states["base"][name] for name in ("up.weight", "up.bias")}
    for label, state in states.items():
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    files = {label: tmp_path / f"{label}.safetensors" for label in LABELS}
    family = Family.open(tmp_path / "base.safetensors", files)

    def session(*methods):
        settings = ProbeSettings(calibration=12, cache=tmp_path / "cache")
        merges = MergeSettings(samples=12, methods=methods)
        return Session(family, tiny_tasks(LABELS), settings, merges)

    return session


def pair_shifts(session, told):
    shifts, kinds = gather(session), of_one_kind(LABELS)
    judges = {
        label: forms.Reference(shifts.single[label], own_answers(session, label)[0].labels).compare
        for label in LABELS
    }
    return PairShifts(shifts, judges, Lefts.of(session, kinds, told, Left()))


def test_a_method_that_leaves_less_beside_others_than_alone_is_superposed_at_what_it_leaves(opened):
    """Alone it leaves a model whole, beside another half of it: three merged pairs tell it."""

    def shared_out(block):
        changed = int(block.deltas.flatten(1).any(dim=1).sum())
        return block.deltas.sum(0) / max(changed, 1)

    with METHODS.isolated():
        merging_method("pairs_test_shared_out", reference="a test")(shared_out)
        session = opened("pairs_test_shared_out")
        superposed, merged = superposition.collect(session), pair_probes.collect(session)
        alone = pair_shifts(session, {}).kept(PAIRS, "pairs_test_shared_out")
    for key, value in merged.values.items():
        assert superposed.values[key] == pytest.approx(value, abs=2e-3), key
    form = "overlap_unlabelled"
    off = [abs(one.values[form] - merged.values[*key, form]) for key, one in alone.items()]
    assert np.mean(off) > 0.02


def test_merged_pairs_tell_what_share_of_a_partners_shift_shows(opened, monkeypatch):
    session, checks = opened("weight_avg"), [("a", "b"), ("c", "d"), ("e", "f")]
    merges, told = real_merges(session, checks, "checked pairs")
    pairs = pair_shifts(session, told)
    real = {
        (task, partner, "weight_avg"): merges[tuple(sorted((task, partner))), "weight_avg"][task]
        for pair in checks
        for task, partner in (pair, pair[::-1])
    }
    # Where little is believed before, the share is that at which pairs keep what they keep: all of
    # it, since answers are linear in the weights.
    monkeypatch.setattr(shares, "_WHOLE", 1e-9)
    monkeypatch.setattr(shares, "_EXACT", 1e-12)
    assert pairs.share(real, "weight_avg") == pytest.approx(1, abs=0.02)
    some = pairs.kept([key[:2] for key in real], "weight_avg", 0.4)
    assert pairs.share(some, "weight_avg") == pytest.approx(0.4, abs=0.02)
    # One that is not defined spoils no other; beside no merge, or none that is defined, all of it.
    first = next(iter(some))
    nothing = forms.all_missing("a reason")
    assert pairs.share({**some, first: nothing}, "weight_avg") == pytest.approx(0.4, abs=0.02)
    assert pairs.share({}, "weight_avg") == 1
    assert pairs.share(dict.fromkeys(some, nothing), "weight_avg") == 1
    # Where none of it shows, a model keeps what it keeps at its own strength.
    [without] = {
        round(one.values["expected_labelled"], 6)
        for one in pairs.kept([("a", x) for x in "bcdef"], "weight_avg", 0.0).values()
    }
    assert without > 0.5


def test_what_pairs_keep_is_said_with_the_share_that_merged_ones_tell(opened, monkeypatch):
    session, form = opened("weight_avg"), "expected_labelled"
    whole = pair_shifts(session, {}).kept(PAIRS, "weight_avg")
    monkeypatch.setattr(PairShifts, "share", lambda *_: 0.0)
    monkeypatch.setattr(superposition, "corrected", lambda said, *_: said)
    found = superposition.collect(session).values
    for task in LABELS:
        beside = [found[task, x, "weight_avg", form] for x in LABELS if x != task]
        assert beside == pytest.approx(beside[:1] * 5, abs=1e-4)
    partners = [whole["a", x, "weight_avg"].values[form] for x in "bcdef"]
    assert max(partners) - min(partners) > 1e-2
