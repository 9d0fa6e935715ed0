import numpy as np
import pandas as pd
import pytest

from mergecast.analysis.signatures import (
    fold_coefficients,
    mean_coefficients,
    seed_stability,
    sign_agreement,
    signature,
    top_overlap,
)
from mergecast.errors import UndefinedError, UsageError
from mergecast.forecast.estimators.linear import TaskRidge
from mergecast.forecast.estimators.predictors import PREDICTORS
from mergecast.forecast.training import training_rows
from mergecast.paper.fits import released_fits
from mergecast.paper.results import read_setting
from published_folder import SETTING


@pytest.fixture
def rows(results):
    setting = read_setting(results, SETTING)
    return training_rows(setting.pairs, setting.outcomes)["tsv"]


def test_a_signature_counts_folds():
    folds = pd.DataFrame({"a": [1.0, -2.0, 0.0, 0.0], "b": [0.5, 0.5, 0.5, 0.5]})
    table = signature(folds)
    assert list(table.index) == ["b", "a"]
    assert table.loc["a", ["mean", "frequency", "sign_frequency"]].tolist() == [-0.25, 0.5, 0.5]
    assert table.loc["b", ["std", "frequency", "sign_frequency"]].tolist() == [0.0, 1.0, 1.0]


def test_a_metric_that_no_fold_uses_has_no_sign():
    assert np.isnan(signature(pd.DataFrame({"a": [0.0, 0.0]})).loc["a", "sign_frequency"])


def test_overlap_and_signs_of_known_vectors():
    means = pd.DataFrame({"x": [3.0, -2.0, 1.0, 0.0], "y": [3.0, 2.0, 0.5, 1.0]})
    assert top_overlap(means, k=2) == 1.0
    assert sign_agreement(means) == 0.5
    assert np.isnan(top_overlap(means, k=5))
    assert np.isnan(top_overlap(means[["x"]], k=2))
    assert np.isnan(sign_agreement(means[["x"]]))


def test_fits_of_other_metrics_are_not_compared():
    folds = {"x": pd.DataFrame({"a": [1.0]}), "y": pd.DataFrame({"b": [1.0]})}
    with pytest.raises(UsageError, match="metric 'a' is not in all fits"):
        mean_coefficients(folds)


def test_coefficients_of_a_refit_name_the_cause(rows):
    folds = fold_coefficients(rows, TaskRidge())
    assert folds.shape == (6, 4)
    assert signature(folds).index[0] == "task_vector_cosine_similarity"


def test_a_deterministic_fit_does_not_move_with_the_seed(rows):
    overlap, signs = seed_stability(rows, TaskRidge(), seeds=[0, 1])
    assert np.isnan(overlap)  # four metrics have no top five
    assert signs == 1.0


def test_the_papers_fit_moves_with_the_seed(rows):
    fit = PREDICTORS.get("paper").make()
    first, again, other = (fold_coefficients(rows, fit, seed=seed) for seed in (0, 0, 1))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_predictor_without_coefficients_has_no_signature(rows):
    with pytest.raises(UndefinedError, match="0 coefficients for 4 metrics"):
        fold_coefficients(rows, PREDICTORS.get("constant").make())


def test_the_two_numbers_of_the_abstract(paper_results):
    fits = released_fits(paper_results, "ViT-B-16_AdamW")
    means = mean_coefficients({name: fit.coefficients for name, fit in fits.items()})
    assert round(100 * top_overlap(means), 1) == 64.0
    assert round(100 * sign_agreement(means), 1) == 79.3
