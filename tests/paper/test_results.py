import json

import numpy as np
import pytest

from mergecast.analysis.audit import raw_outcomes
from mergecast.errors import ResourceError, TableError, UsageError
from mergecast.paper.results import read_setting, settings
from published_folder import (
    SETTING,
    SINGLE,
    TASKS,
    change,
    metrics_file,
    summary_file,
    write_results,
)

COSINE = "task_vector_cosine_similarity"


def test_a_setting_becomes_our_two_tables(results):
    setting = read_setting(results, SETTING)
    assert settings(results) == [SETTING]
    assert setting.tasks == sorted(TASKS)
    assert setting.methods == ["task_arithmetic", "tsv"]
    assert len(setting.pairs) == 15
    assert len(setting.outcomes) == 2 * 15 * 2
    assert setting.failures == []
    matrix = json.loads(metrics_file(results).read_text())["metrics"][COSINE]["matrix"]
    row = setting.pairs.frame.set_index(["left", "right"]).loc["cars", "pets"]
    assert row[COSINE] == matrix[0][1]  # pets stands before cars in the file
    single = setting.outcomes.frame.set_index("task")["single_score"].groupby("task").first()
    assert single.to_dict() == SINGLE


def test_the_parent_of_the_results_folder_will_do(results):
    assert settings(results.parent) == [SETTING]


def test_raw_outcomes_are_mean_accuracies(results):
    setting = read_setting(results, SETTING)
    raw = raw_outcomes(setting.outcomes).pairs().set_index(["method", "left", "right"])
    summary = json.loads(summary_file(results).read_text())["pets__cars"]
    assert raw.loc[("task_arithmetic", "cars", "pets"), "retention"] == pytest.approx(
        summary["avg"][0]["acc/test/avg"]
    )


def test_a_null_metric_is_missing_with_a_reason(results):
    def edit(data):
        data["metrics"][COSINE]["matrix"][0][1] = None
        data["metrics"][COSINE]["matrix"][0][2] = float("inf")

    change(metrics_file(results), edit)
    pairs = read_setting(results, SETTING).pairs
    gone = pairs.frame[pairs.frame[COSINE].isna()]
    assert sorted(gone["left"] + "+" + gone["right"]) == ["cars+pets", "digits+pets"]
    assert [entry.key for entry in pairs.missing] == [COSINE, COSINE]
    assert "null" in pairs.missing[0].reason


def test_a_failed_or_absent_merge_is_listed_with_its_reason(results):
    def edit(data):
        data["pets__cars"] = {"error": "CUDA out of memory.\n Tried"}
        data["pets__digits"]["pets"][0]["acc/test/pets"] = None
        del data["cars__digits"]

    change(summary_file(results, "tsv"), edit)
    setting = read_setting(results, SETTING)
    failures = {(f.left, f.right): f.reason for f in setting.failures}
    assert {f.method for f in setting.failures} == {"tsv"}
    assert failures["cars", "pets"] == "merge failed: CUDA out of memory. Tried"
    assert failures["digits", "pets"] == "no accuracy of pets in the published outcomes"
    assert failures["cars", "digits"] == "not in the published outcomes"
    assert len(setting.outcomes) == (15 + 12) * 2


def test_without_single_accuracies_they_follow_from_the_normalized_ones(results):
    (results / "finetuning" / "accs.json").unlink()
    outcomes = read_setting(results, SETTING).outcomes.frame
    assert np.allclose(outcomes["single_score"], outcomes["task"].map(SINGLE))


def test_single_accuracies_of_another_model_are_not_believed(results):
    change(results / "finetuning" / "accs.json", lambda data: data["Net-S"].update(pets=0.5))
    outcomes = read_setting(results, SETTING).outcomes.frame
    assert np.allclose(outcomes.loc[outcomes["task"] == "pets", "single_score"], SINGLE["pets"])


def test_neither_single_nor_normalized_accuracy_leaves_the_pair_out(results):
    (results / "finetuning" / "accs.json").unlink()
    change(
        summary_file(results),
        lambda data: data["pets__cars"]["pets"][0].pop("normalized_acc/test/pets"),
    )
    failures = read_setting(results, SETTING).failures
    assert [f.reason for f in failures] == ["no accuracy of the single model of pets"]


def test_any_number_of_tasks_and_any_method_name(tmp_path):
    write_results(tmp_path, tasks=TASKS[:4], methods=("slerp",), fits=False)
    write_results(tmp_path, "Other_SGD", tasks=TASKS[:5], methods=("ties", "mine"), fits=False)
    assert settings(tmp_path) == [SETTING, "Other_SGD"]
    assert read_setting(tmp_path, SETTING).methods == ["slerp"]
    assert len(read_setting(tmp_path, "Other_SGD").pairs) == 10


def test_the_largest_table_is_read_with_the_outcomes_of_its_size(results):
    write_results(results, tasks=TASKS[:4], fits=False)
    assert len(read_setting(results, SETTING).tasks) == 6


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.pop("datasets"), "key 'datasets': missing"),
        (lambda d: d.update(datasets="pets"), "key 'datasets': expected a list, found 'pets'"),
        (lambda d: d.update(datasets=["pets"]), "1 task"),
        (lambda d: d["datasets"].__setitem__(1, "pets"), "row 1: task 'pets' stands twice"),
        (lambda d: d["datasets"].__setitem__(1, 3), "row 1: 3 cannot name a task"),
        (lambda d: d.update(metrics={}), "no metric"),
        (lambda d: d["metrics"][COSINE].pop("matrix"), f"'{COSINE}', key 'matrix': missing"),
        (lambda d: d["metrics"][COSINE]["matrix"].pop(), "5 rows where there are 6 tasks"),
        (lambda d: d["metrics"][COSINE]["matrix"][2].pop(), "row 2: 5 columns"),
        (
            lambda d: d["metrics"][COSINE]["matrix"].__setitem__(2, 1),
            "'matrix', row 2: expected a list, found 1",
        ),
        (
            lambda d: d["metrics"][COSINE]["matrix"][0].__setitem__(1, "high"),
            f"'{COSINE}', key 'matrix', row 0, column 1: expected a number or null, found 'high'",
        ),
        (
            lambda d: d["metrics"][COSINE]["matrix"][0].__setitem__(1, True),
            "expected a number or null, found True",
        ),
        (
            lambda d: d["metrics"][COSINE]["matrix"][0].__setitem__(1, 10**400),
            "expected a number or null, found 1000",
        ),
        (
            lambda d: d["metrics"][COSINE]["matrix"][1].__setitem__(0, 7.0),
            "above the diagonal, 7 below",
        ),
    ],
)
def test_a_damaged_metric_table_is_refused_with_its_place(results, edit, message):
    change(metrics_file(results), edit)
    with pytest.raises(TableError, match=r"pairwise_metrics_N6\.json") as caught:
        read_setting(results, SETTING)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d.update(moon__cars=d["pets__cars"]), "pair 'moon__cars': not a pair of tasks"),
        (lambda d: d.update(cars__pets=d["pets__cars"]), "the same as 'pets__cars'"),
        (lambda d: d["pets__cars"].pop("cars"), "pair 'pets__cars', key 'cars': missing"),
        (lambda d: d["pets__cars"]["cars"].append({}), "task 'cars': 2 results"),
        (
            lambda d: d["pets__cars"]["cars"][0].pop("acc/test/cars"),
            "task 'cars': key 'acc/test/cars': missing; found: 'loss/test/cars'",
        ),
        (
            lambda d: d.update(pets__cars=[1]),
            "key 'pets__cars': expected an object, found [1]; copy the file again",
        ),
        (
            lambda d: d["pets__cars"].update(cars=0.7),
            "pair 'pets__cars', task 'cars': expected a list, found 0.7",
        ),
        (
            lambda d: d["pets__cars"]["cars"][0].update({"acc/test/cars": "0.7"}),
            "expected a number or null, found '0.7'",
        ),
    ],
)
def test_a_damaged_outcome_table_is_refused_with_its_place(results, edit, message):
    change(summary_file(results), edit)
    with pytest.raises(TableError, match=r"arithmetic/all_pairwise_summary_N6\.json") as caught:
        read_setting(results, SETTING)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"expected an object, found \[1\]"),
        ("{", "not valid JSON"),
        ('{"a": 1, "a": 2}', "key 'a': stands twice"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_files_that_are_no_table(results, content, message):
    path = metrics_file(results)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TableError, match=message):
        read_setting(results, SETTING)


def test_what_is_not_there_is_named(results, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'Net-S_Adam'"):
        read_setting(results, "Net-S_Adm")
    with pytest.raises(UsageError, match="no such folder"):
        settings(tmp_path / "absent")
    with pytest.raises(UsageError, match="has no folder 'mergeability'"):
        settings(results / SETTING)
    summary_file(results).unlink()
    with pytest.raises(TableError, match="no all_pairwise_summary_N<n>"):
        read_setting(results, SETTING)


def test_outcomes_that_are_absent_altogether(results):
    change(summary_file(results), lambda data: data.clear())
    change(summary_file(results, "tsv"), lambda data: data.clear())
    with pytest.raises(TableError, match="no merge of a pair has an outcome"):
        read_setting(results, SETTING)
    (results / SETTING).rename(results / "elsewhere")
    with pytest.raises(TableError, match="copy the outcomes"):
        read_setting(results, SETTING)


def test_two_names_of_one_method(results):
    (results / SETTING / "tsv").rename(results / SETTING / "task_arithmetic")
    with pytest.raises(TableError, match="'task_arithmetic' stands twice"):
        read_setting(results, SETTING)


def test_a_file_that_cannot_be_read(results):
    path = metrics_file(results)
    path.unlink()
    path.mkdir()
    with pytest.raises(ResourceError, match="cannot be read"):
        read_setting(results, SETTING)


@pytest.mark.parametrize(("name", "incomplete"), [("ViT-B-16_AdamW", 3), ("ViT-B-16_SGD", 17)])
def test_released_tables_are_read_whole(paper_results, name, incomplete):
    setting = read_setting(paper_results, name)
    assert len(setting.tasks) == 20
    assert len(setting.pairs) == 190
    assert setting.pairs.frame.isna().any(axis=1).sum() == incomplete
    per_method = setting.outcomes.frame.groupby("method").size() / 2
    failed = {m: sum(f.method == m for f in setting.failures) for m in setting.methods}
    assert all(per_method[m] + failed[m] == 190 for m in setting.methods)
    assert failed["tsv"] == (2 if name.endswith("AdamW") else 0)
