from dataclasses import replace

import pytest
import torch

from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import UndefinedError
from mergecast.evidence import MergeSettings, ProbeSettings, Session
from mergecast.evidence.retention import probe as pair_probes
from mergecast.evidence.retention.answers import Kept
from mergecast.evidence.retention.forms import ways
from mergecast.evidence.retention.logits import LIKELIEST, likeliest
from mergecast.evidence.superposition.checks import PAIRS, checked_pairs
from mergecast.evidence.superposition.collect import collect
from mergecast.evidence.superposition.gather import gather, part_way
from mergecast.evidence.superposition.shifts import HALF, STRONGEST, Curve, Left, Shifts
from mergecast.family import Family
from mergecast.merging import METHODS, merging_method
from mergecast.tasks.probe import Probe
from mergecast.testing.tiny import tiny_states, tiny_tasks
from tiny_models import of_one_kind, tiny_session

FORMS = [key for key, *_ in ways()]
#: Merges that leave as much of both models as of one alone.
AS_ALONE = dict.fromkeys("ab", Left())
AVERAGES = MergeSettings(samples=12, methods=("task_arithmetic", "weight_avg"))


@pytest.fixture
def linear(tmp_path):
    """A family whose models differ in one linear layer: their logits are linear in weights."""
    states = tiny_states()
    for label, state in states.items():
        for name in ("up.weight", "up.bias"):
            state[name] = states["base"][name]
        write_safetensors(tmp_path / f"{label}.safetensors", state)
    family = Family.open(
        tmp_path / "base.safetensors", {x: tmp_path / f"{x}.safetensors" for x in "abc"}
    )

    def session(merges=AVERAGES, names="abc"):
        settings = ProbeSettings(calibration=10, cache=tmp_path / "cache")
        return Session(family.subset(list(names)), tiny_tasks(), settings, merges)

    return session


def added(shifts, task, strengths):
    """What a merge answers on a task's samples, by every member's strength in it."""
    others = (
        shifts.beside(label, task, strength, strengths[task])
        for label, strength in strengths.items()
        if label != task
    )
    return shifts.base[task] + shifts.curves[task].at(strengths[task]) + sum(others)


@pytest.mark.usefixtures("answers_alone")
def test_where_outputs_are_linear_in_the_weights_it_is_the_merge_itself(linear):
    superposed, merged = collect(linear()), pair_probes.collect(linear())
    for key, value in merged.values.items():
        assert superposed.values[key] == pytest.approx(value, abs=1e-5), key
    assert len(merged.values) == 6 * 2 * len(FORMS)


def test_it_is_near_the_merge_where_they_are_not_and_knows_the_partner(tmp_path):
    superposed = collect(tiny_session(tmp_path, merges=AVERAGES))
    merged = pair_probes.collect(tiny_session(tmp_path, merges=AVERAGES))
    form, pairs = "overlap_unlabelled", [(a, b) for a in "abc" for b in "abc" if a != b]
    keys = [(*pair, "weight_avg", form) for pair in pairs]
    errors = [abs(superposed.values[key] - merged.values[key]) for key in keys]
    assert max(errors) < 0.02
    assert min(abs(merged.values[key] - 1) for key in keys) > 0.02
    assert len({superposed.values[key] for key in keys}) == 6


def test_a_set_is_added_up_without_a_pass(linear, monkeypatch):
    session = linear()
    collect(session)
    base = part_way(session, HALF)
    state = {
        name: base[name] + sum(0.8 * (part_way(session, HALF, x)[name] - base[name]) for x in "abc")
        for name in session.family.shared
    }
    head = {k: v for k, v in session.state("b").items() if k.startswith("head.")}
    expected = session.probe("b").logits({**state, **head}, session.merge_samples("b"))
    monkeypatch.setattr(Probe, "forward", None)  # from here on nothing is run
    stored = linear()
    shifts = gather(stored)
    found = added(shifts, "b", dict.fromkeys("abc", 0.4))
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=1e-5)


def test_the_average_and_the_sum_are_what_was_measured_and_between_them_is_a_line(tmp_path):
    """Where answers are not linear in the weights, at two strengths superposition is the merge."""
    merges = MergeSettings(samples=12, methods=("task_arithmetic",))
    session = tiny_session(tmp_path, merges=merges)
    shifts = gather(session)
    for share in (0.5, 1.0):
        merged = part_way(session, share, "a", "b")
        head = {k: v for k, v in session.state("a").items() if k.startswith("head.")}
        expected = session.probe("a").logits({**merged, **head}, session.merge_samples("a"))
        found = added(shifts, "a", {"a": share, "b": share})
        torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=1e-5)
    half, whole = (shifts.beside("b", "a", share, share) for share in (0.5, 1.0))
    assert not torch.allclose(whole, 2 * half, atol=1e-3)
    torch.testing.assert_close(shifts.beside("b", "a", 0.25, 0.25), half / 2)
    torch.testing.assert_close(shifts.beside("b", "a", 0.75, 0.75), (half + whole) / 2)
    torch.testing.assert_close(shifts.beside("b", "a", 1.5, 2.0), 2 * whole - half)
    # Without a method nothing is read beyond a half, nor from the base, and nothing is made.
    halves = gather(session, ())
    assert not halves.whole
    assert not halves.lone
    torch.testing.assert_close(halves.beside("b", "a", 1.0, 0.0), 2 * half)


def test_a_partner_beside_less_of_a_model_is_read_nearer_to_what_it_does_alone(tmp_path):
    merges = MergeSettings(samples=12, methods=("task_arithmetic",))
    session = tiny_session(tmp_path, merges=merges)
    shifts = gather(session)
    state = part_way(session, 0.5, "b")
    head = {k: v for k, v in session.state("a").items() if k.startswith("head.")}
    alone = session.probe("a").logits({**state, **head}, session.merge_samples("a")).double()
    alone = alone - shifts.base["a"]
    both = shifts.half["b", "a"]
    assert not torch.allclose(alone, both, atol=1e-3)
    for own, expected in (
        (0.0, alone),
        (0.125, alone + (both - alone) / 4),
        (0.5, both),
        (2, both),
    ):
        found = shifts.beside("b", "a", 0.5, own)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # A model that does nothing to its own answers: partners do beside it what they do without.
    idle = replace(
        shifts,
        single={**shifts.single, "a": shifts.base["a"]},
        half={**shifts.half, ("a", "a"): 0 * both},
        alone={**shifts.alone, ("a", "task_arithmetic"): shifts.base["a"]},
    )
    strength = idle.strength("b", "task_arithmetic")
    found = idle.of_pair("a", "b", "task_arithmetic") - shifts.base["a"]
    torch.testing.assert_close(found, shifts.beside("b", "a", strength, strength))


@pytest.mark.usefixtures("answers_alone")
def test_passes_are_counted_and_another_model_costs_its_own(linear, monkeypatch):
    calls, forward = [], Probe.forward

    def counted(self, samples):
        calls.append(self.task.name)
        return forward(self, samples)

    monkeypatch.setattr(Probe, "forward", counted)
    first = collect(linear(names="ab"))
    # Two models' own answers; the base, a half, the average, the sum and half of the other on two
    # tasks; two methods alone, and of the only pair.
    assert len(calls) == 2 + 2 * 5 + 2 * 2 + 2 * 2
    calls.clear()
    assert collect(linear(names="ab")).values == first.values
    assert not calls
    again = collect(linear()).values
    assert {key: again[key] for key in first.values} == pytest.approx(first.values, abs=1e-5)
    # The third model's own answers, its samples under the base, its half, two averages, two sums
    # and two other halves, and the others' under these; alone; and where another pair is merged by
    # both methods, that one and the own answers of the model in it that was there before.
    new = checked_pairs(of_one_kind("abc"), {}) != checked_pairs(of_one_kind("ab"), {})
    assert len(calls) == 1 + 8 + 6 + 2 + new * (2 * 2 + 1)


def test_of_few_pairs_that_are_merged_no_two_share_a_model():
    names = [f"model {k}" for k in range(11)]
    pairs = checked_pairs(of_one_kind(names), {})
    assert pairs == checked_pairs(of_one_kind(names[::-1]), {})
    assert len({label for pair in pairs for label in pair}) == 2 * len(pairs) == 2 * PAIRS
    assert all(left < right for left, right in pairs)
    assert checked_pairs(of_one_kind("ba"), {}) == [("a", "b")]
    assert checked_pairs(of_one_kind("a"), {}) == []


def test_a_curve_finds_the_strength_that_made_a_shift():
    draw = torch.Generator().manual_seed(0)
    half, whole = torch.randn(2, 9, 4, generator=draw, dtype=torch.float64)
    curve = Curve(half, whole)
    torch.testing.assert_close(curve.at(0.5), half)
    torch.testing.assert_close(curve.at(1.0), whole)
    for strength in (0.0, 0.3, 0.5, 1.0, 1.7):
        constant = torch.arange(9, dtype=torch.float64)[:, None]
        assert curve.strength_of(curve.at(strength) + constant) == pytest.approx(strength, abs=1e-6)
    with pytest.raises(UndefinedError, match="answers as its base does"):
        Curve(0 * half, 0 * whole).strength_of(whole)
    for broken in (Curve(half, torch.inf * whole), curve):
        with pytest.raises(UndefinedError, match="not finite"):
            broken.strength_of(torch.nan * whole)


def test_shifts_are_read_at_any_share_of_a_method_s_strength():
    draw = torch.Generator().manual_seed(1)
    base, half, whole, more = torch.randn(4, 9, 4, generator=draw, dtype=torch.float64)
    own = Curve(half, whole)
    shifts = Shifts(
        base={"a": base, "b": base},
        single={"a": base + whole, "b": base + whole},
        half={("a", "a"): half, ("b", "b"): half, ("b", "a"): more},
        whole={("b", "a"): 3 * more},
        lone={("b", "a"): -more},
        alone={("a", "ties"): base + own.at(0.4), ("b", "ties"): base + own.at(0.8)},
        missing={},
    )
    for strength in (0.0, 0.2, 0.4, 0.7):
        torch.testing.assert_close(shifts.own_at("a", "ties", strength), own.at(strength))
    # Of a partner: in proportion up to a half, from there on to all of it; and half of that, as
    # half as much is left of the model, beside half of what it does alone.
    merged, others = shifts.in_merge("a", "ties", AS_ALONE, "ab")
    torch.testing.assert_close(merged, base + own.at(0.4))
    torch.testing.assert_close(others["b"], more * (1 + (0.8 - 0.5) / 0.5 * 2) / 2 - more * 1.6 / 2)
    torch.testing.assert_close(shifts.of_pair("a", "b", "ties"), merged + others["b"])
    merged, others = shifts.in_merge("a", "ties", dict.fromkeys("ab", Left(0.5)), "ab")
    torch.testing.assert_close(merged, base + own.at(0.2))
    torch.testing.assert_close(others["b"], more * 0.8 / 2 - more * 0.8 / 2)
    merged, others = shifts.in_merge("a", "ties", {"a": Left(0.0, 0.3), "b": Left(0.5)}, "ab")
    torch.testing.assert_close(merged, base + own.at(0.3))
    torch.testing.assert_close(others["b"], -more * 0.8 + (more * 0.8 + more * 0.8) * 0.3 / 0.4)


def test_what_is_left_beside_others_is_no_less_than_nothing_and_bounded():
    assert Left().of(0.4) == 0.4
    assert Left(0.5).of(0.4) == pytest.approx(0.2)
    assert Left(0.0, 0.1).of(0.4) == pytest.approx(0.1)
    assert Left(-1.0).of(0.4) == 0.0
    assert Left(9.0).of(0.4) == STRONGEST


def test_a_method_that_fails_is_missing_with_its_reason(linear):
    def refuses(block):
        raise UndefinedError(block.name, "has no such thing")

    with METHODS.isolated():
        merging_method("superposition_test_refuses", reference="a test")(refuses)
        found = collect(linear(MergeSettings(methods=("superposition_test_refuses",))))
    with pytest.raises(UndefinedError, match="no merge by superposition_test_refuses"):
        found.value("a", "b", "superposition_test_refuses", "overlap_unlabelled")
    assert found.value("a", "base", "overlap_unlabelled") > 0


def test_of_many_classes_the_likeliest_and_the_true_one_are_kept():
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 1000, generator=draw)
    rare = logits.argmin(dim=1)
    classes, place = likeliest(logits, rare)
    assert torch.equal(classes.gather(1, place[:, None])[:, 0], rare)
    assert torch.equal(likeliest(logits, logits.argmax(dim=1))[1], torch.zeros(7, dtype=torch.long))
    rows = torch.tensor([0, 2, 5])
    kept = Kept(rows, classes[rows], None).of(logits)
    assert kept.shape == (3, LIKELIEST + 1)
    whole = logits[rows].softmax(dim=1).gather(1, classes[rows])
    torch.testing.assert_close(kept.softmax(dim=1)[:, :-1], whole)
