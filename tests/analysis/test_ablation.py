import pytest

import mergecast as mc
from mergecast.analysis.ablation import ablate
from mergecast.analysis.groups import PAPER_KEYS, group_of, groups_of, range_of
from mergecast.paper.results import read_setting
from published_folder import METRICS, SETTING
from recorded_progress import RecordedProgress


def test_the_papers_28_metrics_fall_into_five_groups():
    assert len(set(PAPER_KEYS)) == 28
    sizes = {group: len(keys) for group, keys in groups_of(PAPER_KEYS).items()}
    assert sizes == {"task_vector": 5, "effective_rank": 7, "subspace": 6, "activation": 4,
                     "gradient": 6}  # fmt: skip


def test_groups_and_ranges_agree_with_the_registered_metrics():
    for spec in mc.metric_specs():
        assert group_of(spec.key) == spec.family
        assert range_of(spec.key) == spec.range


def test_a_metric_about_a_method_is_grouped_and_bounded_as_itself():
    name = "retention_accuracy_labelled"
    assert group_of(f"{name}@ties") == group_of(name) == "retention"
    assert range_of(f"{name}@ties") == range_of(name)
    assert range_of(name)[0] == 0.0


def test_an_unknown_metric_is_other_and_unbounded():
    assert groups_of(["mine", "stable_rank"]) == {"effective_rank": ["stable_rank"],
                                                  "other": ["mine"]}  # fmt: skip
    assert range_of("mine") == (float("-inf"), float("inf"))


def test_leaving_the_cause_out_costs_the_fit(results):
    setting = read_setting(results, SETTING)
    progress = RecordedProgress()
    table = ablate(setting.pairs, setting.outcomes, methods=["tsv"], progress=progress)
    assert progress.stages == {"groups of metrics": [len(table), len(table)]}
    r = table.set_index("metrics")["per_fold_r"]
    assert r["all"] > 0.95
    assert r["only task_vector"] > 0.95
    assert r["without task_vector"] < 0.7
    assert table.set_index("metrics").loc["all", "n_metrics"] == len(METRICS)


def test_one_group_is_neither_left_out_nor_repeated(results):
    setting = read_setting(results, SETTING)
    pairs = setting.pairs.to_pandas().drop(columns=["effective_rank", "activation_l2_distance"])
    table = ablate(pairs, setting.outcomes, methods=["tsv"])
    assert table["metrics"].tolist() == ["all"]


@pytest.mark.parametrize("key", ["x_cosine_similarity", "x_magnitude_ratio", "x_l2_distance"])
def test_names_of_published_metrics_tell_their_range(key):
    assert range_of(key)[0] >= -1
