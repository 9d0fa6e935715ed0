"""Sets from the shifts of their members, against the merges themselves."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mergecast.checkpoints.writer import write_safetensors
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import merges
from mergecast.evidence.retention.forms import compare
from mergecast.evidence.retention.logits import at_confidence, each_at_confidence
from mergecast.evidence.retention.together import together
from mergecast.evidence.superposition import sets as superposed_sets
from mergecast.evidence.superposition import shares
from mergecast.evidence.superposition.checks import PAIRS, checked_sets
from mergecast.evidence.superposition.lefts import Lefts
from mergecast.evidence.superposition.set_judge import SetJudge
from mergecast.evidence.superposition.set_shifts import SetShifts
from mergecast.evidence.superposition.sets import SetReadings, collect_sets, most_sets
from mergecast.evidence.superposition.shifts import Left
from mergecast.family import Family
from mergecast.merging.stand_ins import merge_alone
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import TinyTask, tiny_states, tiny_tasks
from tiny_models import of_one_kind

LABELS = ("a", "b", "c", "d")


@pytest.fixture
def session(tmp_path):
    """Four models that differ in one linear layer: their logits are linear in weights."""
    states = tiny_states()
    states["d"] = {name: 2 * states["a"][name] - states["b"][name] for name in states["a"]}
    states["d"] |= {name: value for name, value in states["c"].items() if name.startswith("head.")}
    for state in states.values():
        for name in ("up.weight", "up.bias"):
            state[name] = states["base"][name]
    for label, state in states.items():
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    files = {label: tmp_path / f"{label}.safetensors" for label in LABELS}
    family = Family.open(tmp_path / "base.safetensors", files)
    tasks = {**tiny_tasks(), "d": tiny_tasks()["c"]}
    by = MergeSettings(samples=12, methods=("weight_avg", "task_arithmetic"))
    return Session(family, tasks, ProbeSettings(calibration=10, cache=tmp_path / "cache"), by)


#: The roles of members of four sets of three models of a kind.
ONE_KIND = [["a"] * 3] * 4
SETS = [("a", "b", "c"), ("a", "b", "d"), ("a", "c", "d"), ("b", "c", "d")]


@pytest.mark.usefixtures("answers_alone")
def test_where_outputs_are_linear_the_average_of_a_set_is_the_merge_itself(session, monkeypatch):
    monkeypatch.setattr(superposed_sets, "checked_sets", lambda *_: [])
    found = collect_sets(session, SETS)
    assert found.checked == {"weight_avg": [], "task_arithmetic": []}
    for place, members in enumerate(SETS):
        merged = together(session, members, "weight_avg")
        values = [merged[one].values["expected_labelled"] for one in members]
        assert found.kept["weight_avg"][place] == pytest.approx(values, abs=1e-4)


def test_a_set_that_was_merged_keeps_what_it_kept_and_a_second_look_runs_nothing(
    session, monkeypatch
):
    first = collect_sets(session, SETS)
    assert len(first.checked["task_arithmetic"]) == PAIRS
    for members in first.checked["task_arithmetic"]:
        merged = together(session, members, "task_arithmetic")
        values = [merged[one].values["expected_labelled"] for one in members]
        assert first.kept["task_arithmetic"][SETS.index(members)] == pytest.approx(values)
    monkeypatch.setattr(Probe, "forward", None)  # from here on nothing is run
    again = collect_sets(session, SETS)
    assert all((again.kept[method] == kept).all() for method, kept in first.kept.items())
    # Sets that are merged as a check are there, whichever are asked for.
    [left] = {*SETS} - {*first.checked["weight_avg"]}
    few = collect_sets(session, [left])
    assert few.members == SETS
    assert (few.kept["weight_avg"] == first.kept["weight_avg"]).all()


def test_a_model_that_cannot_be_judged_takes_its_own_sets_out_and_no_other(session):
    three = [("a", "b", "c")]
    with Session(session.family.subset("abc"), session.tasks, session.settings) as narrow:
        narrow.merges = session.merges
        alone = collect_sets(narrow, three)
    assert alone.unjudged == {}
    session = replace(session, tasks={**session.tasks, "d": Values("c", private=("head.*",))})
    found = collect_sets(session, SETS)
    assert found.unjudged == {"d": "a regression has no classes"}
    assert found.members == SETS
    assert found.checked == alone.checked
    for method in ("weight_avg", "task_arithmetic"):
        for mine, theirs in ((found.kept, alone.kept), (found.alone, alone.alone)):
            np.testing.assert_array_equal(mine[method][0], theirs[method][0])
            assert np.isnan(mine[method][1:]).all()
    # Where too few are left for a set of the size, there is none.
    few = collect_sets(session, [LABELS])
    assert few.members == [LABELS]
    assert np.isnan(few.kept["weight_avg"]).all()
    assert few.checked == {"weight_avg": [], "task_arithmetic": []}


class Values(TinyTask):
    outputs, kind_name = "values", "regression"


def test_losses_are_brought_to_what_merged_sets_lose():
    said = 1 - np.linspace(0.1, 0.6, 12).reshape(4, 3)
    real = {0: 1 - 2 * (1 - said[0]), 2: 1 - 2 * (1 - said[2])}
    moved = superposed_sets.corrected_sets(said, real, ONE_KIND)
    assert moved[[0, 2]] == pytest.approx(np.stack([*real.values()]))
    assert (moved[[1, 3]] < said[[1, 3]] - 0.1).all()
    assert superposed_sets.corrected_sets(said, {}, ONE_KIND) == pytest.approx(said)
    # A member that its merge says nothing of stays superposed, and spoils no other.
    real[0][1] = np.nan
    assert np.isfinite(superposed_sets.corrected_sets(said, real, ONE_KIND)).all()


def test_sets_are_found_by_their_names_and_others_are_missing():
    kept, alone = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5, 0.6], [0.7, 0.8]])
    readings = SetReadings([("a", "b"), ("a", "c")], {"ties": kept}, {"ties": alone}, {})
    found = readings.of("ties", ["a+c", "b+c", "a+b"])
    np.testing.assert_array_equal(found, [[0.3, 0.4], [np.nan, np.nan], [0.1, 0.2]])
    np.testing.assert_array_equal(readings.alone_of("ties", ["a+c"]), [[0.7, 0.8]])


def test_checked_sets_share_as_few_models_as_they_can():
    names = [f"model {k}" for k in range(11)]
    found = checked_sets(of_one_kind(names), 3)
    assert found == checked_sets(of_one_kind(names[::-1]), 3)
    assert len({label for members in found for label in members}) == 3 * PAIRS
    assert checked_sets(of_one_kind("abc"), 3) == [("a", "b", "c")]
    assert len({frozenset(one) for one in checked_sets(of_one_kind("abcd"), 3)}) == PAIRS


def test_the_number_of_sets_is_bounded_by_what_can_be_worked_through(session, monkeypatch):
    # Two methods, sets of three, twelve samples of at most three classes.
    assert most_sets(session, 3) == 200_000_000 // (12 * 3 * 3 * 2)
    monkeypatch.setattr(superposed_sets, "_IN_ALL", 1)
    assert most_sets(session, 3) == 1


def test_temperatures_of_many_merges_are_those_of_each():
    draw = torch.Generator().manual_seed(0)
    scale = torch.logspace(-3, 3, 7, dtype=torch.float64)[:, None, None]
    logits = scale * torch.randn(7, 40, 5, generator=draw, dtype=torch.float64)
    found = each_at_confidence(logits, 0.95)
    for one, many in zip(logits, found, strict=True):
        torch.testing.assert_close(many, at_confidence(one, "merged", 0.95), atol=1e-4, rtol=0)
    flat = each_at_confidence(torch.cat([logits[:1], torch.zeros_like(logits[:1])]), 0.95)
    assert flat[0].isfinite().all()
    assert flat[1].isnan().all()


def test_what_many_merges_keep_is_what_the_form_says_of_each(session):
    from mergecast.evidence.retention.answers import own_answers
    from mergecast.evidence.superposition.gather import gather

    kept = {label: own_answers(session, label)[0] for label in LABELS}
    shifts = gather(session)
    judge = SetJudge.of(session, "a")
    merges = torch.stack([shifts.base["a"], shifts.single["a"], -shifts.single["a"]])
    found = judge.values(merges.float())
    for value, merged in zip(found.tolist(), merges, strict=True):
        one = compare(merged, shifts.single["a"], kept["a"].labels)
        assert value == pytest.approx(one.values[judge.key], abs=1e-4)


def test_what_a_member_keeps_without_the_others_is_its_merge_with_copies_of_the_base(
    session, monkeypatch
):
    monkeypatch.setattr(superposed_sets, "checked_sets", lambda *_: [])
    found = collect_sets(session, SETS)
    for place, members in enumerate(SETS):
        for column, label in enumerate(members):
            merged = merge_alone(session.family, label, "weight_avg", size=3, partner="base")
            kept = merges.compare(session, label, merges.answer(session, label, merged))
            assert found.alone["weight_avg"][place, column] == pytest.approx(
                kept.values["expected_labelled"], abs=1e-4
            )


@pytest.mark.usefixtures("answers_alone")
def test_merged_sets_tell_what_share_of_the_others_shifts_shows(session, monkeypatch):
    shifts, judges = superposed_sets.judged(session)
    kinds = of_one_kind(LABELS)
    merged, told = superposed_sets.merged_sets(session, judges, SETS)
    sets = SetShifts(shifts, judges, Lefts.of(session, kinds, told, Left()))
    assert sets.lefts.beside("weight_avg", SETS[0])["a"].factor == pytest.approx(2 / 3, abs=1e-4)
    np.testing.assert_allclose(*sets.kept(SETS, "weight_avg", 0.0), atol=1e-6)
    # Where little is believed before, the share is that at which sets keep what they keep: all of
    # it, since logits are linear in the weights.
    monkeypatch.setattr(shares, "_WHOLE", 1e-9)
    monkeypatch.setattr(shares, "_EXACT", 1e-12)
    assert sets.share(SETS, merged["weight_avg"], "weight_avg") == pytest.approx(1, abs=0.02)
    some = sets.kept(SETS, "weight_avg", 0.4)[0]
    assert sets.share(SETS, some, "weight_avg") == pytest.approx(0.4, abs=0.02)
    # One that is not defined spoils no other; beside no merge, or none that is defined, all of it.
    some[0, 1] = np.nan
    assert sets.share(SETS, some, "weight_avg") == pytest.approx(0.4, abs=0.02)
    assert sets.share([], some, "weight_avg") == 1
    assert sets.share(SETS, np.full((4, 3), np.nan), "weight_avg") == 1


def test_what_sets_keep_is_said_with_the_share_that_merged_ones_tell(session, monkeypatch):
    whole = collect_sets(session, SETS).alone["task_arithmetic"]
    monkeypatch.setattr(SetShifts, "share", lambda *_: 0.0)
    monkeypatch.setattr(superposed_sets, "corrected_sets", lambda said, *_: said)
    found = collect_sets(session, SETS)
    np.testing.assert_allclose(found.kept["task_arithmetic"], whole, atol=1e-6)
