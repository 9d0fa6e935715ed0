"""Scores of answers: of one class a sample, of tokens, of spans."""

from __future__ import annotations

import pytest
import torch

from mergecast.errors import UndefinedError
from mergecast.tasks import scores
from mergecast.tasks.scores import IGNORED

PROBABILITIES = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]], dtype=torch.float64)
TOKENS = PROBABILITIES.log().repeat(2, 2, 1)  # (2, 4, 3), rows in turns
LABELS = torch.tensor([[0, 1, IGNORED, IGNORED], [IGNORED, 0, 0, IGNORED]])


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (scores.accuracy, [1, 0]),
        (scores.exact_match, [1, 0]),
        (scores.probability, [0.7, 0.3]),
        (scores.likelihood, [0.7, 0.3]),
    ],
)
def test_of_one_class_a_sample(score, expected):
    found = score(PROBABILITIES.log(), torch.tensor([0, 1]))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (scores.accuracy, [0.5, 1]),
        (scores.exact_match, [0, 1]),
        (scores.probability, [0.5, 0.6]),
        (scores.likelihood, [(0.7 * 0.3) ** 0.5, (0.5 * 0.7) ** 0.5]),
    ],
)
def test_of_tokens_only_those_with_a_label_count(score, expected):
    found = score(TOKENS, LABELS)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(score(torch.cat([TOKENS[:1], TOKENS[1:]]), LABELS), found)


@pytest.mark.parametrize("score", [scores.accuracy, scores.exact_match, scores.cross_entropy])
def test_a_sample_without_a_labelled_token_has_no_score(score):
    with pytest.raises(UndefinedError, match="a sample has no token to predict"):
        score(TOKENS, torch.full((2, 4), IGNORED))
