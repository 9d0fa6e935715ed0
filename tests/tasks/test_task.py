"""Samples, their choice, and the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mergecast.errors import UndefinedError, UsageError
from mergecast.tasks.file_task import next_tokens
from mergecast.tasks.scores import IGNORED
from mergecast.tasks.task import Samples, Task, draw, take


class Plain(Task):
    def build(self) -> nn.Module:
        return nn.Linear(2, 2)

    def samples(self, count, seed, split="calibration"):
        return take(self.name, split, {"input": torch.arange(20.0)}, None, count, seed)


def test_the_choice_depends_on_task_seed_and_split_only_and_more_contain_fewer():
    chosen = Plain("a").samples(8, 1)
    assert chosen.ids == Plain("a").samples(8, 1).ids
    assert chosen.ids[:3] == Plain("a").samples(3, 1).ids
    assert len(set(chosen.ids)) == 8
    others = [Plain("b").samples(8, 1), Plain("a").samples(8, 2), Plain("a").samples(8, 1, "test")]
    rows = {tuple(found.inputs["input"].tolist()) for found in [chosen, *others]}
    assert len(rows) == 4
    assert chosen.ids[0].startswith("a/calibration/")


def test_all_samples_come_in_their_own_order():
    task = Plain("a")
    assert task.samples(None, 7).inputs["input"].tolist() == list(range(20))
    assert task.samples(None, 8).ids == task.samples(None, 7).ids
    assert task.size("test") == 20
    with pytest.raises(UsageError, match="asked for 0 test samples of 0"):
        draw(0, None, 0, "a", "test")


def test_too_few_samples_are_named():
    with pytest.raises(UsageError, match="task 'a': asked for 21 calibration samples of 20; ask"):
        Plain("a").samples(21, 0)
    with pytest.raises(UsageError, match="asked for 1 test samples of 0; give it samples"):
        draw(0, 1, 0, "a", "test")


def test_rows_and_labels_belong_together():
    with pytest.raises(UsageError, match="samples' labels: holds 2 rows for 3 samples"):
        Samples({"x": torch.ones(3)}, torch.ones(2), ("a", "b", "c"))
    with pytest.raises(UsageError, match="have no inputs"):
        Samples({}, None, ())
    samples = Samples({"x": torch.arange(3)}, torch.arange(3), ("a", "b", "c"))
    parts = list(samples.batches(2))
    assert [len(part) for part in parts] == [2, 1]
    assert parts[1].ids == ("c",)
    assert int(parts[1].labels) == 2


def test_the_digest_is_of_content_not_of_names():
    one = Samples({"x": torch.arange(3)}, torch.arange(3), ("a", "b", "c"))
    other = Samples({"x": torch.arange(3)}, torch.arange(3), ("d", "e", "f"))
    assert one.digest() == other.digest()
    assert one.digest() != Samples({"x": torch.arange(3)}, None, one.ids).digest()
    assert one.digest() != Samples({"y": torch.arange(3)}, one.labels, one.ids).digest()


def test_losses_are_per_sample():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0])
    expected = nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(Plain("a").loss(logits, labels), expected)
    with pytest.raises(UsageError, match="label 2 is outside its head of 2 classes; use labels 0"):
        Plain("a").loss(logits, torch.tensor([0, 2]))
    with pytest.raises(UsageError, match="label -1 is outside"):
        Plain("a").loss(logits, torch.tensor([0, -1]))
    with pytest.raises(UsageError, match=r"labels of shape \[3\] for logits of \[2, 2\]"):
        Plain("a").loss(logits, torch.tensor([0, 1, 1]))


def test_a_language_models_loss_is_a_mean_over_its_tokens():
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 0, 0]])
    labels = next_tokens(ids, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]))
    assert labels.tolist() == [[2, 3, 4, IGNORED], [2, IGNORED, IGNORED, IGNORED]]
    found = Plain("a").loss(logits, labels)
    probabilities = logits.log_softmax(-1)
    first = -(probabilities[0, 0, 2] + probabilities[0, 1, 3] + probabilities[0, 2, 4]) / 3
    torch.testing.assert_close(found, torch.stack([first, -probabilities[1, 0, 2]]))
    with pytest.raises(UndefinedError, match="a sample has no token to predict"):
        Plain("a").loss(logits, torch.full((2, 4), IGNORED))
    left = next_tokens(torch.tensor([[0, 0, 3, 4]]), torch.tensor([[0, 0, 1, 1]]))
    assert left.tolist() == [[IGNORED, IGNORED, 4, IGNORED]]


def test_what_is_no_logits_is_named():
    task = Plain("a")
    assert task.logits((torch.ones(2, 3), None)).shape == (2, 3)
    with pytest.raises(UsageError, match="returns no logits but pooler_output; add a head"):
        task.logits({"pooler_output": torch.ones(2, 3)})
    with pytest.raises(UsageError, match=r"logits of shape \[2\]"):
        task.logits(torch.ones(2))


def test_draws_cover_all_samples():
    assert sorted(draw(9, 9, 0, "a", "test")) == list(np.arange(9))
