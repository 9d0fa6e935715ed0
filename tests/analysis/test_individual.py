import numpy as np
import pytest

from mergecast.analysis.individual import benjamini_hochberg, holm, individual_correlations
from mergecast.errors import TableError
from mergecast.paper.results import read_setting
from published_folder import SETTING


def test_the_cause_is_significant_and_the_rest_is_not(results):
    setting = read_setting(results, SETTING)
    table = individual_correlations(setting.pairs, setting.outcomes, ["tsv"], n_permutations=199)
    cause = table.set_index("metric").loc["task_vector_cosine_similarity"]
    assert cause["r"] > 0.99
    assert cause["rho"] > 0.95
    assert cause["n_pairs"] == 15
    assert cause["p_mantel"] <= cause["q_mantel"] <= cause["p_holm"] < 0.1
    others = table[table["metric"] != "task_vector_cosine_similarity"]
    assert (others["p_holm"] > 0.1).all()


def test_a_constant_metric_is_nan_and_not_counted_as_a_test(results):
    setting = read_setting(results, SETTING)
    pairs = setting.pairs.to_pandas().assign(flat=1.0)
    table = individual_correlations(pairs, setting.outcomes, ["tsv"], n_permutations=99)
    assert table[table["metric"] == "flat"].iloc[0][["r", "p", "p_mantel", "q_mantel"]].isna().all()
    without = individual_correlations(setting.pairs, setting.outcomes, ["tsv"], n_permutations=99)
    kept = table[table["metric"] != "flat"].reset_index(drop=True)
    assert kept["p_holm"].equals(without["p_holm"])


def test_the_seed_decides_the_permutations(results):
    setting = read_setting(results, SETTING)
    one, same, other = (
        individual_correlations(setting.pairs, setting.outcomes, n_permutations=99, seed=seed)
        for seed in (0, 0, 1)
    )
    assert one.equals(same)
    assert not one["p_mantel"].equals(other["p_mantel"])


def test_an_additive_metric_fools_the_naive_test_and_not_mantels():
    """Under the null, metric and outcome each a sum of unrelated effects of their models."""
    import pandas as pd

    naive, permuted = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=(2, 10))
        i, j = np.triu_indices(10, 1)
        names = np.array([f"t{k}" for k in range(10)])
        pairs = pd.DataFrame({"suite": "s", "left": names[i], "right": names[j], "m": a[i] + a[j]})
        retention = 0.8 + 0.02 * (b[i] + b[j])
        rows = pd.DataFrame(
            {"suite": "s", "method": "ties", "members": pairs["left"] + "+" + pairs["right"],
             "score": retention, "single_score": 1.0, "retention": retention, "loss": 0.1,
             "single_loss": 0.1, "n_eval": 10, "seed": 0}
        )  # fmt: skip
        outcomes = pd.concat([rows.assign(task=pairs[side]) for side in ("left", "right")])
        table = individual_correlations(pairs, outcomes, n_permutations=99, seed=seed)
        naive.append(table["p"].iloc[0] < 0.05)
        permuted.append(table["p_mantel"].iloc[0] < 0.05)
    assert np.mean(naive) > 0.25
    assert np.mean(permuted) < 0.15


def test_corrections_of_known_p_values():
    p = np.array([0.01, np.nan, 0.04, 0.03])
    assert holm(p)[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg(p)[[0, 2, 3]] == pytest.approx([0.03, 0.04, 0.04])
    assert np.isnan(holm(p)[1])
    assert np.isnan(benjamini_hochberg(np.array([np.nan]))).all()


def test_several_suites_or_no_method_are_refused(results):
    setting = read_setting(results, SETTING)
    with pytest.raises(TableError, match="no merged pair of these methods"):
        individual_correlations(setting.pairs, setting.outcomes, ["slerp"])
    two = setting.pairs.to_pandas()
    two.loc[0, "suite"] = "another"
    with pytest.raises(TableError, match="2 suites"):
        individual_correlations(two, setting.outcomes)
