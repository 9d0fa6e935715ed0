from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.analysis.variance import (
    additive_fit,
    metric_shares,
    metric_values,
    outcome_shares,
    residual_correlations,
)
from mergecast.errors import TableError
from mergecast.paper.results import read_setting
from mergecast.tables.pairs import PairTable
from published_folder import SETTING

PAIRS = np.array(list(combinations("abcdefgh", 2)))
EFFECTS = dict(zip("abcdefgh", (0.3, -0.1, 0.0, 0.2, -0.4, 0.1, 0.05, -0.15), strict=True))


def sums(left, right):
    return np.array([2.0 + EFFECTS[a] + EFFECTS[b] for a, b in zip(left, right, strict=True)])


def test_a_sum_of_two_effects_is_all_additive_and_gives_them_back():
    fit = additive_fit(*PAIRS.T, sums(*PAIRS.T))
    assert fit.share == pytest.approx(1.0)
    assert np.allclose(fit.residuals, 0)
    assert fit.effects.to_dict() == pytest.approx(EFFECTS)  # they sum to 0


def test_missing_pairs_do_not_disturb_the_effects():
    some = PAIRS[::2]
    assert additive_fit(*some.T, sums(*some.T)).effects["a"] == pytest.approx(EFFECTS["a"], abs=0.1)


def test_noise_is_additive_by_chance_only():
    names = [f"{i:02d}" for i in range(20)]
    pairs = np.array(list(combinations(names, 2)))
    draws = np.random.default_rng(0).normal(size=(40, len(pairs)))
    shares = [additive_fit(*pairs.T, y).share for y in draws]
    assert np.mean(shares) == pytest.approx(2 / 20, abs=0.02)


def test_a_share_that_does_not_exist_is_nan():
    assert np.isnan(additive_fit(*PAIRS.T, np.full(28, 0.3)).share)
    three = np.array(list(combinations("abc", 2)))
    assert np.isnan(additive_fit(*three.T, [1.0, 2.0, 4.0]).share)  # as many effects as pairs


def test_a_value_that_is_not_finite_is_refused_by_name():
    y = sums(*PAIRS.T)
    y[3] = np.nan
    with pytest.raises(TableError, match=r"pair a \+ e: value is nan"):
        additive_fit(*PAIRS.T, y)


def test_shares_of_tables(results):
    setting = read_setting(results, SETTING)
    outcomes = outcome_shares(setting.outcomes)
    assert outcomes["task_arithmetic"] > 0.99
    assert outcomes["tsv"] < 0.9
    metrics = metric_shares(setting.pairs)
    assert set(metrics) == set(setting.pairs.metrics)
    assert all(0 < share < 0.9 for share in metrics.values())


def test_a_metric_missing_everywhere_has_no_share(results):
    pairs = read_setting(results, SETTING).pairs.to_pandas()
    pairs["gone"] = np.nan
    assert np.isnan(metric_shares(pairs)["gone"])


def test_a_directed_metric_counts_by_its_mean():
    pairs = pd.DataFrame({"m:left<-right": [1.0, np.nan], "m:right<-left": [3.0, 1.0]})
    table = PairTable(pairs.assign(suite="s", left="a", right=["b", "c"]))
    values = metric_values(table)["m"]
    assert values[0] == 2.0
    assert np.isnan(values[1])


def test_the_cause_is_found_in_what_additive_effects_leave(results):
    setting = read_setting(results, SETTING)
    left = residual_correlations(setting.pairs, setting.outcomes)
    assert left["tsv"].abs().idxmax() == "task_vector_cosine_similarity"
    assert left.loc["task_vector_cosine_similarity", "tsv"] > 0.99


def test_shares_of_the_released_outcomes(paper_results):
    from mergecast.paper.fits import released_fits
    from mergecast.paper.selection import select

    setting = read_setting(paper_results, "ViT-B-16_AdamW")
    chosen = select(setting, released_fits(paper_results, setting.name))
    shares = outcome_shares(chosen.outcomes)
    expected = {"ties": 0.997, "task_arithmetic": 0.986, "weight_avg": 0.813, "dare": 0.808,
                "tsv": 0.593}  # fmt: skip
    assert {name: round(shares[name], 3) for name in expected} == expected
