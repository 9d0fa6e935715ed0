"""Outcomes from results of lm-evaluation-harness."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import mergecast as mc
from harness_files import DATE, answers, content, digest, write, write_case
from mergecast.errors import TableError, UsageError
from mergecast.tables.harness_file import HarnessFile


def test_members_are_judged_on_their_own_tasks_and_documents_are_paired(tmp_path):
    table = mc.outcomes(write_case(tmp_path))
    rows = table.to_pandas().set_index("task")
    assert rows["score"].tolist() == [0.5, 0.25]
    assert rows["single_score"].tolist() == [0.75, 0.5]
    assert rows["metric"].tolist() == ["acc,none", "exact_match,strict-match"]
    assert set(rows["members"]) == {"a+b"}
    assert rows["n_eval"].tolist() == [4, 4]
    # residuals of a: merged - 2/3 single = 1/3, 1/3, -2/3, 0 of mean 0
    spread = np.sqrt((1 / 9 + 1 / 9 + 4 / 9) / 3)
    assert rows["retention_stderr"]["a"] == pytest.approx(spread / 2 / 0.75)
    assert table.missing == ()
    assert table.recipe["lm_eval"]["a"]["task hash of arc"] == digest("arc4")


def test_the_same_documents_in_another_order_are_paired_by_their_hash(tmp_path):
    path = write_case(tmp_path)
    before = mc.outcomes(path).to_pandas()
    samples = tmp_path / f"ab/samples_arc_{DATE}.jsonl"
    lines = samples.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row["doc_id"] = 3 - row["doc_id"]
    samples.write_text("\n".join(map(json.dumps, rows)))
    assert mc.outcomes(path).to_pandas().equals(before)


def test_without_samples_the_error_is_missing_with_a_reason(tmp_path):
    table = mc.outcomes(write_case(tmp_path, samples=False))
    assert table.to_pandas()["n_eval"].tolist() == [4, 4]
    assert [entry.column for entry in table.missing] == ["retention_stderr"] * 2
    assert "no samples of task 'arc' beside" in table.missing[0].reason


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"versions": {"arc": 2.0}}, r"version of arc is 2.0, but 1.0 in .*results"),
        ({"n-shot": {"arc": 5}}, "n-shot of arc is 5, but 0"),
        ({"task_hashes": {"arc": digest("x")}}, "task hash of arc is '.*', but '"),
        ({"config": {"limit": 100}}, "limit is 100, but None"),
        ({"chat_template_sha": "abc"}, "chat template is 'abc', but None"),
        ({"system_instruction_sha": "abc"}, "system instruction is 'abc', but None"),
        ({"config": {"gen_kwargs": {"temperature": 1}}}, "gen_kwargs is {'temperature': 1}, but"),
    ],
)
def test_results_that_were_not_made_alike_are_refused_by_both_files(changed, message, tmp_path):
    path = write_case(tmp_path, **changed)
    with pytest.raises(TableError, match=message) as caught:
        mc.outcomes(path)
    assert str(tmp_path / "ab") in str(caught.value)
    assert str(tmp_path / "a/results") in str(caught.value)


def test_what_changes_no_score_is_no_difference(tmp_path):
    config = {"limit": None, "model_dtype": "bf16", "batch_size": 8, "device": "cpu"}
    path = write_case(tmp_path, config=config, lm_eval_version="0.4.9", date=1.0)
    assert len(mc.outcomes(path)) == 2


def test_documents_of_one_side_only_are_refused_with_their_number(tmp_path):
    path = write_case(tmp_path, documents={"arc": [0, 1, "other", "new"]})
    with pytest.raises(TableError, match="2 of its 4 documents are not in .*, and 2 of the 4"):
        mc.outcomes(path)


def test_prompts_that_differ_are_refused(tmp_path):
    path = write_case(tmp_path)
    samples = tmp_path / f"ab/samples_arc_{DATE}.jsonl"
    samples.write_text(samples.read_text().replace(digest("?arc 1"), digest("chat: ?arc 1")))
    with pytest.raises(TableError, match="1 of 4 prompts differ from those of"):
        mc.outcomes(path)


def test_samples_of_another_run_are_refused(tmp_path):
    path = write_case(tmp_path)
    samples = tmp_path / f"ab/samples_arc_{DATE}.jsonl"
    samples.write_text(samples.read_text().replace('"acc": 1.0', '"acc": 0.0'))
    with pytest.raises(TableError, match="acc,none of task 'arc' is 0.5, but 0 on its 4 samples"):
        mc.outcomes(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("task: arc", "task: arc, metric: acc_norm", None),
        ("task: arc", "task: piqa", "has no result of task 'piqa'; it has arc, gsm"),
        ("task: arc", "task: arc, metric: f1", "has no metric 'f1'; it has acc,none"),
        ("task: gsm", "task: gsm, metric: exact_match", "with several filters; name one of exact"),
        ("b+a: ab", "a+c: ab", "model 'c': unknown"),
        ("b+a: ab", "a: ab", "merge 'a': is not of two or more models"),
        ("b+a: ab", "a+b: none", "none: cannot be read: No such file"),
        ("task: arc", "tasc: arc", r"line 3: models.a.task: Field required \(and 1 more\)"),
        ("merges:", "merge:", r"line 1: merges: Field required"),
    ],
)
def test_what_the_listing_says_is_held_to(old, new, message, tmp_path):
    path = write_case(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    if message is None:
        assert mc.outcomes(path).to_pandas()["metric"][0] == "acc_norm,none"
        return
    with pytest.raises((TableError, UsageError), match=message):
        mc.outcomes(path)


def test_a_loss_is_no_score(tmp_path):
    file = write(tmp_path, {"lines": {"word_perplexity,none": [12.0, 13.0]}})
    listing = {"models": {n: {"results": file, "task": "lines"} for n in "ab"},
               "merges": {"ties": {"a+b": file}}}  # fmt: skip
    with pytest.raises(UsageError, match="less of word_perplexity,none is better, so it is no"):
        mc.outcomes(listing)


def test_a_folder_may_hold_several_runs_and_the_folder_of_the_model(tmp_path):
    path = write_case(tmp_path)
    shutil.move(tmp_path / "a", tmp_path / "org__a")
    (tmp_path / "a").mkdir()
    shutil.move(tmp_path / "org__a", tmp_path / "a/org__a")
    other = tmp_path / "a/org__a/results_2026-02-01T00-00-00.json"
    other.write_text(json.dumps(content({"piqa": {"acc,none": [1.0]}})))
    assert len(mc.outcomes(path)) == 2
    other.write_text(json.dumps(content(answers([1.0, 0.0]))))
    with pytest.raises(TableError, match="holds task 'arc' 2 times; name: org__a/results_"):
        mc.outcomes(path)


def test_a_group_is_judged_by_its_own_score_and_its_tasks_settings(tmp_path):
    values = {"acc,none": [1.0, 0.0]}
    file = write(tmp_path, {"g_x": values, "g_y": values, "g": values})
    whole = json.loads(file.read_text())
    whole["group_subtasks"] = {"g": ["g_x", "g_y"]}
    found = HarnessFile(file, whole)
    assert found.leaves("g") == ["g_x", "g_y"]
    assert found.n_eval("g") == 4
    assert "version of g_y" in found.settings("g")
    assert len(found.samples("g", "acc,none")) == 4


def test_a_table_of_results_is_an_outcome_table_of_any_format(tmp_path):
    table = mc.outcomes(write_case(tmp_path, samples=False))
    for name in ("o.csv", "o.parquet"):
        table.write(tmp_path / name)
        assert mc.OutcomeTable.read(tmp_path / name) == table
