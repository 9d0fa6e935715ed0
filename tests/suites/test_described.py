"""Suites that a YAML file describes: models that are tuned from it, or that exist already."""

from __future__ import annotations

import json
import logging
import shutil

import pandas as pd
import pytest
import torch
from described_files import SMALL, SPLITS, described, rows, write_described, write_rows
from safetensors.torch import load_file
from typer.testing import CliRunner

from mergecast.cli.bench import app
from mergecast.errors import CheckpointError, UndefinedError, UsageError
from mergecast.suites.described.described_suite import DescribedSuite
from mergecast.suites.described.reading import read_described
from mergecast.suites.folder import run_tasks
from mergecast.suites.run import run_suite
from mergecast.suites.status import suite_status
from mergecast.suites.suite import SUITES
from mergecast.tables.outcomes import OutcomeTable
from mergecast.testing import check_suite

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # other packages' warnings about themselves


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A file and its finished run; read only."""
    folder = tmp_path_factory.mktemp("described")
    path = write_described(folder, described(folder))
    return path, run_suite(path, folder / "run", **SMALL)


@pytest.fixture
def copied(finished, tmp_path):
    """The same, to change."""
    path, _ = finished
    folder = tmp_path / "mine"
    shutil.copytree(path.parent, folder)
    return folder


def digests(run):
    return {path.stem: path.stat().st_mtime_ns for path in (run / "models").iterdir()}


def test_models_are_tuned_and_merges_measured(finished):
    path, run = finished
    tasks = pd.read_parquet(run / "tasks.parquet").set_index("task")
    assert [*tasks.index] == ["a", "b", "c"]
    assert (tasks["single_score"] > tasks["majority"] + 0.2).all()
    assert (tasks["single_score"] > tasks["base_score"] + 0.1).all()
    assert [*tasks["n_train"]] == [SPLITS["train"]] * 3
    outcomes = OutcomeTable.read(run / "outcomes.parquet")
    assert outcomes.suites == ["mine"]
    assert set(outcomes.frame["members"]) == {"a+b", "a+c", "b+c"}
    assert suite_status(run, str(path))["pairs"] == (1, 1)


def test_what_the_base_lacks_is_the_head_and_tuned_along(finished):
    _, run = finished
    base = load_file(run / "base.safetensors")
    one, two = (load_file(run / "models" / f"{name}.safetensors") for name in "ab")
    heads = {name for name in one if name not in base}
    assert heads == {"classifier.weight", "classifier.bias"}
    assert len(one["classifier.weight"]) == 2
    assert len(two["classifier.weight"]) == 3
    assert not torch.equal(one["bert.pooler.dense.weight"], base["bert.pooler.dense.weight"])


def test_the_run_folder_is_a_file_of_tasks(finished):
    _, run = finished
    tasks = run_tasks(run)
    assert tasks["b"].class_names == ("b0", "b1", "b2")
    assert len(tasks["b"].samples(None, 0, "train")) == SPLITS["train"]


def test_it_keeps_the_laws_of_suites(copied):
    content = described(copied)
    content["defaults"]["private"] = ["classifier.*"]
    recipe = read_described(write_described(copied, content), {"steps": 3})
    with SUITES.isolated():
        SUITES.add("described", DescribedSuite())
        check_suite("described", recipe)


def test_another_task_leaves_the_models_there(copied):
    run = copied / "run"
    before = digests(run)
    path = write_described(copied, described(copied, ("a", "b", "c", "d")))
    run_suite(path, run, **SMALL)
    after = digests(run)
    assert {name: after[name] for name in before} == before
    assert "d" in after


def test_other_samples_tune_their_own_model_anew(copied):
    run = copied / "run"
    before = digests(run)
    write_rows(copied / "b-train.csv", rows(3, ["b0", "b1", "b2"], 150))
    run_suite(copied / "suite.yaml", run, **SMALL)
    after = digests(run)
    assert {name for name in before if after[name] != before[name]} == {"b"}


def test_a_setting_of_the_command_goes_before_the_files(copied):
    run_suite(copied / "suite.yaml", copied / "other", suite_params={"steps": 2}, **SMALL)
    assert json.loads((copied / "other" / "suite.json").read_text())["recipe"]["steps"] == 2


def test_adapters_and_the_head_are_trained(copied):
    pytest.importorskip("peft")
    run = copied / "lora"
    settings = {"regime": "lora", "rate": 0.01, "steps": 120}
    run_suite(copied / "suite.yaml", run, suite_params=settings, **SMALL)
    base, model = load_file(run / "base.safetensors"), load_file(run / "models" / "a.safetensors")
    moved = {name for name in base if not torch.equal(base[name], model[name])}
    assert moved
    assert all(name.endswith("weight") and model[name].dim() == 2 for name in moved)
    tasks = pd.read_parquet(run / "tasks.parquet")
    assert (tasks["single_score"] > tasks["majority"] + 0.1).all()
    assert OutcomeTable.read(run / "outcomes.parquet").suites == ["mine/lora"]


def test_frozen_parameters_stay(copied):
    path = write_described(copied, described(copied, freeze=["*embeddings*"]))
    run = run_suite(path, copied / "frozen", suite_params={"steps": 2}, **SMALL)
    base, model = load_file(run / "base.safetensors"), load_file(run / "models" / "a.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(base[name], model[name])


def existing(folder, run, label, n_classes):
    """A tuned model as transformers publishes it."""
    config = transformers.BertConfig.from_pretrained(folder / "base", num_labels=n_classes)
    model = transformers.BertForSequenceClassification(config)
    model.load_state_dict(load_file(run / "models" / f"{label}.safetensors"), strict=False)
    model.save_pretrained(folder / "there")
    return "there/"


def test_models_that_exist_are_taken_as_they_are(copied):
    content = described(copied)
    del content["tasks"]["b"]["train"]
    content["tasks"]["b"]["checkpoint"] = existing(copied, copied / "run", "b", 3)
    run = run_suite(write_described(copied, content), copied / "other", **SMALL)
    made, taken = (load_file(copied / x / "models" / "b.safetensors") for x in ("run", "other"))
    assert made.keys() == taken.keys()
    assert all(torch.equal(made[name], taken[name]) for name in made)
    sizes = pd.read_parquet(run / "tasks.parquet").set_index("task")["n_train"]
    assert pd.isna(sizes["b"]) or sizes["b"] == 0


def test_a_model_of_other_classes_is_no_model_of_the_task(copied):
    content = described(copied)
    del content["tasks"]["a"]["train"]
    content["tasks"]["a"]["checkpoint"] = "base/"
    with pytest.raises(UsageError, match=r"'a': its checkpoint .*base lacks classifier\.bias"):
        run_suite(write_described(copied, content), copied / "other", **SMALL)


def test_training_samples_that_are_tested_on_are_left_out(copied, caplog):
    train, test = copied / "a-train.csv", copied / "a-test.csv"
    train.write_text(train.read_text() + "".join(test.read_text().splitlines(True)[1:21]))
    with caplog.at_level(logging.WARNING):
        run_suite(copied / "suite.yaml", copied / "other", suite_params={"steps": 2}, **SMALL)
    assert "task 'a': 20 of 220 training samples are among those of data and test" in caplog.text


def test_none_left_to_train_on(copied):
    shutil.copy(copied / "a-test.csv", copied / "a-train.csv")
    with pytest.raises(UsageError, match="'a': all its training samples are among those of data"):
        run_suite(copied / "suite.yaml", copied / "other", **SMALL)


def test_a_rate_that_breaks_the_model_is_named(copied):
    with pytest.raises(UsageError, match="loss is (nan|inf) in training at rate 1e\\+30"):
        run_suite(copied / "suite.yaml", copied / "other", suite_params={"rate": 1e30}, **SMALL)


def without_test(content):
    del content["tasks"]["a"]["test"]


def with_both(content):
    content["tasks"]["a"]["checkpoint"] = "base/"


def one_file(content):
    content["tasks"]["a"]["test"] = dict(content["tasks"]["a"]["data"])


def no_labels(content):
    del content["defaults"]["data"]["labels"]


def fewer_classes(content):
    content["tasks"]["b"]["classes"] = ["b0", "b1"]


WRONG = {
    "no test": (without_test, r"line \d+: tasks\.a: test is missing"),
    "both": (with_both, r"line \d+: tasks\.a: give either train, .* or checkpoint"),
    "one file": (one_file, "'a': its `data:` and `test:` are the same"),
    "no labels": (no_labels, "'a': its train samples have no labels"),
    "classes": (fewer_classes, "'b': .*holds 'b2', no numbers and no classes"),
    "setting": (lambda c: c["training"].update(epochs=3), "setting of training.*'epochs'"),
    "value": (lambda c: c["training"].update(steps=0), "setting steps: is 0"),
    "regime": (lambda c: c["training"].update(regime="easy"), "setting regime: is 'easy'"),
    "base": (lambda c: c.update(base="nowhere/"), "base: nowhere does not exist"),
    "label": (lambda c: c["tasks"].update({"a+b": c["tasks"]["a"]}), r"'a\+b': holds '\+'"),
    "file": (lambda c: c["tasks"]["a"]["train"].update(file="x.csv"), r"x\.csv: does not exist"),
    "one task": (lambda c: [c["tasks"].pop(k) for k in "bc"], "at least 2 items"),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_wrong_is_said_before_anything_is_tuned(copied, how):
    edit, message = WRONG[how]
    content = described(copied)
    edit(content)
    with pytest.raises(UsageError, match=message):
        run_suite(write_described(copied, content), copied / "other", **SMALL)
    assert not (copied / "other" / "base.safetensors").exists()


def test_labels_by_number_outside_the_head(copied):
    content = described(copied)
    for split in SPLITS:
        given = rows(0, ["0", "1", "2"], SPLITS[split])
        write_rows(copied / f"a-{split}.csv", given)
    content["tasks"]["a"]["classes"] = 2
    with pytest.raises(UsageError, match="'a': its train samples have label 2, of classes from 0"):
        run_suite(write_described(copied, content), copied / "other", **SMALL)


def test_a_regression_has_no_score_to_keep(copied):
    content = described(copied)
    content["tasks"]["a"]["loss"] = "regression"
    with pytest.raises(UndefinedError, match="'a': a regression has no classes"):
        run_suite(write_described(copied, content), copied / "other", **SMALL)


def test_the_commands(copied):
    def said(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.stdout

    path, run = copied / "suite.yaml", copied / "run"
    assert "nothing to fetch" in said("fetch", path)
    assert "models    3/3" in said("status", path, "-o", run)
    out = said("run", path, "-o", run, "--method", "weight_avg", "--tier", "weights", "--n-sets", 0)
    assert "Retention of a pair" in out


def test_another_suites_recipe_and_backbone(finished, tmp_path, tiny):
    path, _ = finished
    with pytest.raises(UsageError, match="setting of training.*'backbone'"):
        run_suite(path, tmp_path / "x", backbone="minilm-l3")
    with pytest.raises(UsageError, match="say all of it in the file"):
        run_suite(path, tmp_path / "x", recipe=tiny)
    with pytest.raises((UsageError, CheckpointError), match="cannot be read"):
        run_suite(tmp_path / "none.yaml", tmp_path / "x")
