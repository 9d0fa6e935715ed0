"""Merges of people's own models: the numbers of a suite's run, kept by content, paired errors."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.errors import FamilyError, UndefinedError, UsageError
from mergecast.merging.stand_ins import with_own_head
from mergecast.suites.evaluate import session_of
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.paired import retention_stderr
from mergecast.tasks.measure import measure
from mergecast.tasks.task import Samples
from mergecast.testing.tiny import TinyTask, tiny_family, tiny_tasks


class Recorded:
    """Keeps every stage as it begins: name, units in all, and those done before."""

    def __init__(self):
        self.stages = []

    def stage(self, name, total, done=0):
        self.stages.append((name, total, done))
        return lambda _units: None


def measured(folder, labels="abc", **options):
    options = {"tasks": tiny_tasks(labels), "methods": ["weight_avg", "ties"], **options}
    return mc.measure(tiny_family(folder, labels), **options)


def test_a_suites_models_measured_by_themselves_have_the_numbers_of_its_run(finished):
    table = OutcomeTable.read(finished / "outcomes.parquet").frame
    tasks = mc.load_tasks(finished)
    models = {name: finished / f"models/{name}.safetensors" for name in tasks}
    again = mc.measure(
        finished / "base.safetensors",
        models,
        tasks=finished,
        pairs=True,
        sets=3,
        suite="digits-14",
        reestimate_batchnorm=True,
        batch_size=next(iter(tasks.values())).batch_size,
    ).outcomes.frame
    keys = ["method", "members", "task"]
    pd.testing.assert_frame_equal(
        again.sort_values(keys, ignore_index=True), table.sort_values(keys, ignore_index=True)
    )


def test_an_interrupted_measurement_goes_on_where_it_was(tmp_path, monkeypatch):
    from mergecast.suites import own

    calls = []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    evaluate = own.evaluate_merge
    monkeypatch.setattr(own, "evaluate_merge", stopping)
    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, cache=tmp_path / "cache")
    progress = Recorded()
    resumed = measured(tmp_path, cache=tmp_path / "cache", progress=progress)
    assert len(calls) == 4 + 3
    assert progress.stages == [("evaluate", 3, 3), ("merge and evaluate", 6, 3)]
    monkeypatch.undo()
    pd.testing.assert_frame_equal(resumed.outcomes.frame, measured(tmp_path).outcomes.frame)


def test_another_model_costs_its_own_merges_and_another_file_is_measured_anew(tmp_path):
    measured(tmp_path, "ab", cache=tmp_path / "cache")
    progress = Recorded()
    measured(tmp_path, "abc", cache=tmp_path / "cache", progress=progress)
    assert progress.stages == [("evaluate", 3, 2), ("merge and evaluate", 6, 2)]
    other = load_file(tmp_path / "c.safetensors")
    other["up.weight"] += 0.1
    write_safetensors(tmp_path / "c.safetensors", other)
    progress = Recorded()
    measured(tmp_path, "abc", cache=tmp_path / "cache", progress=progress)
    assert progress.stages == [("evaluate", 3, 2), ("merge and evaluate", 6, 2)]


def test_scores_of_samples_stand_beside_the_table_in_its_order(tmp_path):
    found = measured(tmp_path)
    found.write(tmp_path / "run/outcomes.csv")
    samples = pd.read_parquet(tmp_path / "run/outcomes.samples.parquet")
    frame = OutcomeTable.read(tmp_path / "run/outcomes.csv").frame
    keys = ["suite", "method", "recipe", "members", "task", "seed"]
    pd.testing.assert_frame_equal(samples[keys], frame[keys], check_dtype=False)
    for column, mean in (("scores", "score"), ("single_scores", "single_score")):
        assert [np.mean(row) for row in samples[column]] == pytest.approx([*frame[mean]])
        assert {len(row) for row in samples[column]} == {64}
    errors = [
        retention_stderr(*row) for row in zip(samples.scores, samples.single_scores, strict=True)
    ]
    assert [*frame["retention_stderr"]] == pytest.approx(errors)
    assert (frame["single_score"] > frame["majority"]).all()
    assert frame["base_score"].between(0, 1).all()


def test_the_error_of_a_retention_is_that_of_its_bootstrap_over_samples():
    rng = np.random.default_rng(0)
    single = (rng.random(400) < 0.8).astype(float)
    merged = np.where(rng.random(400) < 0.85, single, rng.random(400) < 0.4)
    draws = rng.integers(0, 400, (4000, 400))
    spread = (merged[draws].sum(1) / single[draws].sum(1)).std()
    # A bootstrap of 4000 draws is itself good to about 1 %.
    assert retention_stderr(merged, single) == pytest.approx(spread, rel=0.05)
    unpaired = retention_stderr(rng.permutation(merged), single)
    assert retention_stderr(merged, single) < 0.6 * unpaired
    assert np.isnan([retention_stderr([1], [1]), retention_stderr([0, 1], [0, 0])]).all()


def test_sets_members_and_pairs_are_merged_as_asked(tmp_path):
    sets = measured(tmp_path, sets=3, members="c+a").outcomes.frame
    assert [*dict.fromkeys(sets["members"])] == ["a+b+c", "a+c"]
    both = measured(tmp_path, sets=3, pairs=True, methods="ties").outcomes.frame
    assert [*dict.fromkeys(both["members"])] == ["a+b", "a+c", "b+c", "a+b+c"]
    one = measured(tmp_path, members=["a+b"], tasks=tiny_tasks("ab")).outcomes.frame
    assert len(one) == 4
    sizes = measured(tmp_path, sets=[3, 2], methods="ties").outcomes.frame
    assert [*dict.fromkeys(sizes["members"])] == ["a+b+c", "a+b", "a+c", "b+c"]


RECIPES = [
    "task_arithmetic(scaling=0.3)",  # which is the default
    "task_arithmetic(scaling=1)",
    mc.Recipe("weight_avg", weights={"a": 7, "b": 3}),
    {"method": "dare", "seed": 3},
]


def test_a_method_is_measured_by_several_recipes_and_found_again(tmp_path):
    cache = tmp_path / "cache"
    measured(tmp_path, methods="task_arithmetic", cache=cache)
    progress = Recorded()
    found = measured(tmp_path, methods=None, recipes=RECIPES, cache=cache, progress=progress)
    assert progress.stages[-1] == ("merge and evaluate", 10, 3)
    table = OutcomeTable.read(found.write(tmp_path / "o.csv"))
    assert table == found.outcomes
    usual, stronger, own = (
        "task_arithmetic",
        "task_arithmetic(scaling=1)",
        "weight_avg(weights={a: 7, b: 3})",
    )
    assert table.recipes == ["dare", usual, stronger, own]
    sets = table.frame.groupby("recipe")["members"].unique().map(list)
    assert sets[usual] == sets[stronger] == ["a+b", "a+c", "b+c"]
    assert sets[own] == ["a+b"]  # whose models it names
    assert table.frame.groupby("recipe")["seed"].first().to_dict() == {
        "dare": 3, usual: 0, stronger: 0, own: 0
    }  # fmt: skip
    assert table.recipe["merging"][stronger] == {"scaling": 1, "normalize": False}
    family = tiny_family(tmp_path, "abc")
    session = session_of(
        [tiny_tasks("ab")[label] for label in "ab"],
        tmp_path / "base.safetensors",
        {label: tmp_path / f"{label}.safetensors" for label in "ab"},
    )
    for recipe, params in ((stronger, {"scaling": 1}), (own, {})):
        weights = {"a": 7, "b": 3} if recipe == own else None
        method = recipe.partition("(")[0]
        merged = mc.merge(family, method, members=["a", "b"], params=params, weights=weights)
        probe = session.probe("a")
        probe.load(with_own_head(session.family, merged, "a"))
        score = asdict(measure(probe, session.test_samples("a")))["values"]["score"]
        rows = table.frame[(table.frame["recipe"] == recipe) & (table.frame["members"] == "a+b")]
        assert rows["score"].iloc[0] == score


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"methods": None, "recipes": "weight_avg(weights={a: 1, b: 2})", "sets": 2},
            "sets of models: asked for, but every recipe names the models that it merges; leave",
        ),
        (
            {"recipes": "weight_avg(weights={a: 1, x: 2})"},
            "model of recipe weight_avg(weights={a: 1, x: 2}) 'x': unknown",
        ),
        (
            {"recipes": "ties(density={a: .5, b: .5}, weights={a: 1, c: 2})"},
            "weight of model 'b': not given",
        ),
        ({"recipes": "ties(denity=1)"}, "parameter of ties 'denity': unknown; did you mean"),
        ({"recipes": "tsv(weights={a: 1, b: 2})"}, "weights of tsv: given, but it takes none"),
        (
            {"merge_params": {"dare": {"drop_rate": 0.5}}, "recipes": "dare"},
            "parameters of dare: given, but the method is not asked for by its name; add it",
        ),
        ({"sets": 4}, "sets: of 4 of 3 models; give 2 to 3"),
        ({"members": "a+x"}, "member 'x': unknown"),
        ({"members": "a"}, "members 'a': are no set"),
        ({"tasks": None}, "tasks: none given"),
        ({"merge_params": {"ties": {"densty": 1}}}, "densty"),
        ({"tasks": tiny_tasks("ab")}, "task of model 'c': unknown"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is_run(tmp_path, asked, said):
    with pytest.raises(UsageError, match=".*") as refused:
        measured(tmp_path, progress=Recorded(), **asked)
    assert said in str(refused.value)


class Untested(TinyTask):
    def samples(self, count, seed, split="calibration"):
        if split == "test":
            raise UsageError.unknown("split", split, ["calibration"]).about("task 'c'")
        return super().samples(count, seed, split)


class Values(TinyTask):
    outputs, kind_name = "values", "regression"


def test_tasks_without_test_labels_or_score_are_refused_with_what_to_do(tmp_path):
    progress = Recorded()

    def with_c(task):
        return {**tiny_tasks("ab"), "c": task}

    head = {"private": ("head.*",)}
    for task, error, said in (
        (Untested("c", **head), UsageError, "has no test samples; add `test:` to the task"),
        (TinyTask("c", labelled=False, **head), UsageError, "test samples have no labels; name"),
        (Values("c", **head), UndefinedError, "a regression has no classes, and retention is a"),
    ):
        with pytest.raises(error, match=".*") as refused:
            measured(tmp_path, tasks=with_c(task), progress=progress)
        assert said in str(refused.value)
        assert "task 'c'" in str(refused.value)
    assert progress.stages == []


def test_what_check_refuses_is_not_measured_unless_it_is_asked_for(tmp_path):
    tiny_family(tmp_path, "abc")
    stranger = load_file(tmp_path / "c.safetensors")
    stranger = {name: 30 * value for name, value in stranger.items()}
    write_safetensors(tmp_path / "c.safetensors", stranger)
    with pytest.raises(FamilyError, match="model 'c': its distance from the base"):
        measured(tmp_path)
    assert len(measured(tmp_path, unchecked=True).outcomes.frame) == 12


def test_a_merge_that_does_not_exist_is_missing_with_its_reason(tmp_path, monkeypatch):
    def diverge(*_, **__):
        raise FamilyError("parameter 'up.weight'", "gave non-finite values")

    monkeypatch.setattr("mergecast.suites.evaluate.merge", diverge)
    found = measured(tmp_path, methods="ties")
    assert found.outcomes.frame[["score", "retention", "retention_stderr"]].isna().all(axis=None)
    assert "'up.weight': gave non-finite values" in found.outcomes.missing[0].reason
    assert [*map(len, found.samples["scores"])] == [0] * 6
    assert [*map(len, found.samples["single_scores"])] == [64] * 6


class Shuffled(TinyTask):
    """Its labels have nothing to do with its samples."""

    def samples(self, count, seed, split="calibration"):
        samples = super().samples(count, seed, split)
        draw = torch.Generator().manual_seed(5)
        labels = samples.labels[torch.randperm(len(samples), generator=draw)]
        return Samples(samples.inputs, labels, samples.ids)


def test_a_member_that_hardly_answers_its_task_is_named(tmp_path, caplog):
    tasks = {**tiny_tasks("ab"), "c": Shuffled("c", private=("head.*",))}
    found = measured(tmp_path, tasks=tasks, methods="ties")
    assert measured(tmp_path, methods="ties").findings == ()
    [finding] = found.findings
    assert (finding.about, finding.severity) == ("c", "warning")
    assert "no better than the commonest class" in finding.message
    assert "c: hardly answers its own task: it scores" in caplog.text
