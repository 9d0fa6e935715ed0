import math
from dataclasses import replace

import pytest
import torch

from mergecast.evidence.retention.forms import FORMS, compare, compare_features, mean_of, ways

SINGLE = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
MERGED = torch.tensor([[1.0, 0.0], [0.0, 0.5], [0.0, 1.0]])
LABELS = torch.tensor([0, 0, 0])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_labelled_forms_by_hand():
    found = compare(MERGED, SINGLE, LABELS).values
    after = [sigmoid(1), sigmoid(-0.5), sigmoid(-1)]
    before = [sigmoid(2), sigmoid(-1), sigmoid(3)]
    assert found["probability_labelled"] == pytest.approx(sum(after) / sum(before))
    assert found["kept_labelled"] == pytest.approx((after[0] + after[2]) / 2)
    assert found["margin_labelled"] == pytest.approx((1 - 0.5 - 1) / (2 - 1 + 3))
    assert found["accuracy_labelled"] == pytest.approx((1 / 3) / (2 / 3))
    expected = sum(math.log(a) - math.log(b) for a, b in zip(after, before, strict=True)) / 3
    assert found["loss_labelled"] == pytest.approx(expected)


def test_unlabelled_forms_take_the_fine_tuned_models_prediction():
    found = compare(MERGED, SINGLE)
    values = found.values
    after = [sigmoid(1), sigmoid(0.5), sigmoid(-1)]
    before = [sigmoid(2), sigmoid(1), sigmoid(3)]
    assert values["probability_unlabelled"] == pytest.approx(sum(after) / sum(before))
    assert values["kept_unlabelled"] == pytest.approx(sum(after) / 3)
    assert values["margin_unlabelled"] == pytest.approx((1 + 0.5 - 1) / (2 + 1 + 3))
    assert values["accuracy_unlabelled"] == pytest.approx(2 / 3)
    shared = [1 - abs(a - b) for a, b in zip(after, before, strict=True)]
    assert values["overlap_unlabelled"] == pytest.approx(sum(shared) / 3)
    assert found.missing == {
        key: "the samples have no labels" for key, way, _ in ways() if way == "labelled"
    }


def test_matched_does_not_know_confidence_but_knows_answers():
    draw = torch.Generator().manual_seed(0)
    single, other = torch.randn(2, 40, 5, generator=draw)
    for scale in (0.1, 7.0):
        found = compare(scale * single + 3, single).values
        assert found["matched_unlabelled"] == pytest.approx(1, abs=1e-6)
        assert found["overlap_unlabelled"] < 0.9
    near, far = (compare(single + step * other, single).values for step in (0.3, 3.0))
    assert 0.7 < near["matched_unlabelled"] < 0.98
    assert far["matched_unlabelled"] < 0.6
    # Two classes of equal margins: 0.85 for the own answer in both, 0.15 shared where it differs.
    margins = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    flipped = margins.clone()
    flipped[0] = flipped[0].flip(0)
    found = compare(2 * flipped, margins).values["matched_unlabelled"]
    shared, target = (3 + 0.3) / 4, (3 * 0.85 + 0.15) / 4 / 0.85
    assert found == pytest.approx((shared + target) / 2)


def test_expected_accuracy_asks_what_the_fine_tuned_model_believes_of_another_answer():
    # Four samples, two classes, margins alike: a confidence of p in each.
    margins = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 2.0]])
    flipped = margins.clone()
    flipped[0] = flipped[0].flip(0)
    sure = 0.95

    def agreeing(belief):
        return sure * belief + (1 - sure) * (1 - belief), sure * (1 - belief) + (1 - sure) * belief

    belief = 0.95 * sigmoid(2)
    agrees, differs = agreeing(belief)
    for scale in (0.1, 7.0):  # the merge's own confidence does not count
        found = compare(scale * flipped, margins).values["expected_unlabelled"]
        assert found == pytest.approx((3 * agrees + differs) / 4 / agrees)
    # By the true class the merge is right once more, and that counts 4 parts of 204. The model is
    # right on 3 of 4 samples, which counts 4 parts of 54 of what it may be sure of.
    agrees, differs = agreeing((3 + 50 * belief) / 54)
    labels = torch.tensor([1, 0, 1, 1])
    found = compare(flipped, margins, labels).values["expected_labelled"]
    share = 4 / 204
    after = (1 - share) * (3 * agrees + differs) / 4 + share * sure
    before = (1 - share) * agrees + share * (3 * sure + 1 - sure) / 4
    assert found == pytest.approx(after / before)


def test_a_model_that_is_hardly_right_is_taken_for_right_more_often_than_by_chance():
    draw = torch.Generator().manual_seed(0)
    single, other = torch.randn(2, 400, 3, generator=draw)
    wrong = (single.argmax(dim=1) + 1) % 3
    found = compare(other, single, wrong)
    assert found.values["expected_labelled"] > found.values["expected_unlabelled"]


def test_a_model_that_hardly_prefers_an_answer_is_asked_without_labels_too():
    # 0.95 of its confidence would be less than chance.
    single = 0.05 * SINGLE
    found = compare(single.flip(1), single).values["expected_unlabelled"]
    assert 0.5 < found < 1
    assert compare(single, single).values["expected_unlabelled"] == 1


def test_a_model_without_an_opinion_has_no_confidence_to_match():
    found = compare(torch.zeros(3, 2), SINGLE)
    assert "merged model's confidence to 0.85" in found.missing["matched_unlabelled"]


def test_an_unchanged_model_keeps_everything():
    found = compare(SINGLE, SINGLE, LABELS).values
    for form, value in found.items():
        name = form.split("_")[0]
        if name != "kept":
            assert value == pytest.approx(0 if name == "loss" else 1)


def test_language_models_are_compared_on_labelled_tokens_only():
    labels = torch.tensor([[0, -100], [0, 0]])
    single = torch.stack([torch.stack([SINGLE[0], SINGLE[1]]), torch.stack([SINGLE[1], SINGLE[2]])])
    merged = torch.stack([torch.stack([MERGED[0], SINGLE[2]]), torch.stack([MERGED[1], MERGED[2]])])
    assert compare(merged, single, labels) == compare(MERGED, SINGLE, LABELS)


@pytest.mark.parametrize(
    ("merged", "single", "labels", "form", "reason"),
    [
        (MERGED, -SINGLE, LABELS, "margin_labelled", "mean margin of the target is -1.33"),
        (MERGED, -SINGLE[[0, 2]].repeat(2, 1)[:3], LABELS, "kept_labelled", "gets no sample right"),
        (MERGED, -SINGLE[[0, 2]].repeat(2, 1)[:3], LABELS, "accuracy_labelled", "accuracy is 0"),
        (MERGED * torch.inf, SINGLE, LABELS, "overlap_unlabelled", "merged model's output"),
        # Where the model's own output is not finite either, the merge is not to blame.
        (MERGED * torch.nan, SINGLE * torch.nan, LABELS, "kept_labelled", "model's own output is"),
        (MERGED, SINGLE, LABELS - 100, "kept_labelled", "no sample has a label"),
    ],
)
def test_what_is_not_defined_is_missing_with_a_reason(merged, single, labels, form, reason):
    found = compare(merged, single, labels)
    assert form not in found.values
    assert reason in found.missing[form]


@pytest.mark.parametrize("labels", [None, torch.zeros(3, dtype=torch.long)])
def test_one_class_has_no_other_answer(labels):
    found = compare(MERGED[:, :1], SINGLE[:, :1], labels)
    for key, way, _ in ways():
        if way == "labelled" and labels is None:
            continue
        if key.startswith(("margin", "matched", "expected")):
            assert found.missing[key] == "retention: a head of one class has no other answer"
        else:  # whatever the merge does, its one answer has all the probability
            assert found.values[key] == (0 if key.startswith("loss") else 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_form_that_comes_to_no_finite_number_is_missing(monkeypatch, value):
    monkeypatch.setitem(FORMS, "overlap", replace(FORMS["overlap"], function=lambda _: value))
    found = compare(MERGED, SINGLE, LABELS)
    assert "overlap_unlabelled" not in found.values
    assert f"comes to {value}" in found.missing["overlap_unlabelled"]
    assert all(map(math.isfinite, found.values.values()))


def test_features_of_no_sample_are_missing():
    found = compare_features(SINGLE[:0], SINGLE[:0])
    assert not found.values
    assert found.missing["overlap_unlabelled"] == "there is no sample"


def test_features_that_are_not_finite_are_of_the_model_or_of_the_merge():
    for single, whose in ((SINGLE, "merged"), (SINGLE * torch.nan, "fine-tuned")):
        found = compare_features(SINGLE * torch.nan, single)
        assert found.missing["overlap_unlabelled"].startswith(f"the {whose} model's")


def test_the_mean_of_draws_is_missing_where_one_draw_is():
    whole, part = compare(MERGED, SINGLE, LABELS), compare(SINGLE, SINGLE)
    mean = mean_of([whole, part])
    assert mean.values["kept_unlabelled"] == pytest.approx(
        (whole.values["kept_unlabelled"] + part.values["kept_unlabelled"]) / 2
    )
    assert "kept_labelled" not in mean.values
    assert mean.missing["kept_labelled"] == "the samples have no labels"
