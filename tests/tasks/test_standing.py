"""Which models hardly answer their own task, and which are only weak, or seen on few samples."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch

from mergecast.tasks.measure import TaskScore
from mergecast.tasks.standing import Standing

DRAW = torch.Generator().manual_seed(0)


def scored(right):
    right = [float(value) for value in right]
    return TaskScore({"score": sum(right) / len(right)}, {}, len(right), 2, right)


def standing(predicted, labels, base=None):
    labels = torch.tensor(labels)
    base = None if base is None else scored(torch.tensor(base) == labels)
    return Standing.labelled(scored(torch.tensor(predicted) == labels), labels, base)


def noisy(labels, share):
    """Answers of which about a share is right, the others wrong."""
    keep = torch.rand(len(labels), generator=DRAW) < share
    return [a if k else 1 - a for a, k in zip(labels, keep, strict=True)]


BALANCED = [0, 1] * 50
SKEWED = [0] * 90 + [1] * 10


@pytest.mark.parametrize("share", [0.75, 0.9, 1.0])
def test_a_model_that_knows_its_task_is_not_doubted(share):
    assert standing(noisy(BALANCED, share), BALANCED).doubt == ""
    assert standing(SKEWED, SKEWED).doubt == ""


@pytest.mark.parametrize(
    ("predicted", "labels"),
    [
        ([0] * 100, BALANCED),
        ([0] * 100, SKEWED),
        ([1] * 100, SKEWED),
        (noisy(BALANCED, 0.5), BALANCED),
        (noisy(SKEWED, 0.88), SKEWED),
        ([1 - label for label in BALANCED], BALANCED),
    ],
)
def test_one_that_the_commonest_class_equals_is_named_with_the_figures(predicted, labels):
    found = standing(predicted, labels)
    assert "on 100 samples, no better than the commonest class for all of them" in found.doubt
    assert f"scores {found.score:.3f}" in found.doubt
    assert f"which scores {found.majority.score:.3f}" in found.doubt
    assert Standing.parse(asdict(found)) == found


def test_one_that_finds_rare_classes_is_asked_for_samples_that_show_it():
    # Nine of ten rare ones are found, for as many of the commonest class that are not.
    found = standing([0] * 81 + [1] * 9 + [1] * 9 + [0], SKEWED)
    assert found.score == found.majority.score == 0.9
    assert found.doubt.endswith("though it tells the classes apart")
    assert found.remedy.startswith("give samples with about as many of every class")
    always = standing([0] * 100, SKEWED)
    assert not always.tells_apart
    assert "check its file" in always.remedy
    # Were it right on two of them by chance, nobody would say so.
    chance = standing([0] * 81 + [1] * 9 + [1] * 2 + [0] * 8, SKEWED)
    assert not chance.tells_apart
    assert "check its file" in chance.remedy
    # Nor of one that its base beats, whatever classes it tells apart.
    worse = standing(noisy(BALANCED, 0.75), BALANCED, BALANCED)
    assert worse.tells_apart
    assert "less than its base" in worse.doubt
    assert "check its file" in worse.remedy


def test_a_gain_on_few_samples_is_no_doubt():
    labels = [0] * 28 + [1] * 12
    predicted = [0] * 28 + [1] * 4 + [0] * 8  # 4 better, none worse: p = 0.06
    assert standing(predicted, labels).doubt == ""
    assert "no better" in standing([0] * 28 + [1] + [0] * 11, labels).doubt


def test_of_random_answers_one_in_twenty_escapes():
    labels = torch.randint(2, (400, 100), generator=DRAW)
    answers = torch.randint(2, (400, 100), generator=DRAW)
    named = [
        bool(Standing.labelled(scored(a == row), row).doubt)
        for a, row in zip(answers, labels, strict=True)
    ]
    # At least 95 % each: 4 standard errors below that among 400.
    assert sum(named) / 400 > 0.95 - 4 * (0.05 * 0.95 / 400) ** 0.5


def test_one_that_is_worse_than_its_base_is_named_and_an_equal_one_is_not():
    weak, good = noisy(BALANCED, 0.7), noisy(BALANCED, 0.95)
    doubt = standing(weak, BALANCED, good).doubt
    assert "less than its base with its head, which scores 0.9" in doubt
    assert standing(good, BALANCED, weak).doubt == ""
    assert standing(good, BALANCED, good).doubt == ""
    tokens = torch.zeros(30, 4, dtype=torch.long)
    half, most = scored([0.5] * 30), scored([0.75] * 30)
    assert "less than its base" in Standing.labelled(half, tokens, most).doubt
    assert Standing.labelled(most, tokens, half).doubt == ""


def test_few_samples_name_nobody_but_one_that_knows_one_class_alone():
    few = [0, 1, 1, 0]
    assert standing([0, 1, 1, 0], few).doubt == ""
    assert standing([0, 0, 0, 0], few).doubt == ""
    eight = [0, 1] * 4
    assert standing([0, 1, 0, 0, 0, 1, 0, 1], eight).doubt == ""
    assert "is right on those of class 0 alone" in standing([0] * 8, eight).doubt
    assert standing([0] * 8, [0] * 8).doubt == ""  # right on all that there are


def test_without_labels_one_class_for_all_samples_is_named():
    alike = torch.tensor([[2.0, 1.0, 0.0]]).repeat(10, 1)
    assert Standing.unlabelled(alike).doubt == "answers all 10 samples with class 0"
    other = alike.clone()
    other[3] = torch.tensor([0.0, 3.0, 1.0])
    assert Standing.unlabelled(other).doubt == ""
    assert Standing.unlabelled(alike[:5]).doubt == ""
    assert Standing.unlabelled(alike[:, :1]).doubt == ""  # nothing to choose among
    tokens = torch.stack([alike, alike.flip(-1)], dim=1)
    assert Standing.unlabelled(tokens).doubt == ""
    kept = torch.tensor([True, False]).repeat(10, 1)
    assert Standing.unlabelled(tokens, kept).doubt == "answers all 10 samples with class 0"


def test_what_could_not_be_scored_is_not_judged():
    nothing = TaskScore({}, {"score": "not finite"}, 5, 2)
    assert Standing.labelled(nothing, torch.zeros(5, dtype=torch.long), nothing).doubt == ""


def test_where_there_is_no_commonest_class_the_base_is_what_counts():
    labels = torch.zeros(20, 3, dtype=torch.long)  # tokens

    def found(own, base):
        return Standing.labelled(scored(own), labels, scored(base)).doubt

    assert "its base with its head 0.500" in found([1, 0] * 10, [0, 1] * 10)
    assert found([1] * 12 + [0] * 8, [0, 1] * 10) == ""
    assert found([0] * 20, [0] * 20) == "gets none of 20 samples right"
    assert Standing.labelled(scored([0] * 20), labels).doubt == "gets none of 20 samples right"
