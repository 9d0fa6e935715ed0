"""One merge of any recipe, forecast by making it: as by hand, and what is refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import yaml

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.search import scores
from mergecast.suites.evaluate import merged_state
from mergecast.tasks.task import Samples
from mergecast.testing.tiny import TinyTask, tiny_family, tiny_tasks

SAMPLES = 40
HEAD = {"private": ("head.*",)}
RECIPE = mc.Recipe("task_arithmetic", {"scaling": 0.6}, {"a": 2, "b": 1, "c": 1})


def accuracy(session, label, state, samples):
    logits = session.probe(label).logits(state, samples, SAMPLES)
    return float((logits.argmax(dim=1) == samples.labels).double().mean())


def test_it_is_the_merge_s_score_over_the_model_s_own_on_the_same_samples(tmp_path):
    family, tasks = tiny_family(tmp_path), tiny_tasks()
    found = mc.forecast_merge(family, recipe=RECIPE, tasks=tasks, calibration=SAMPLES)
    made = mc.merge(family, RECIPE)
    assert list(found.kept["model"]) == ["a", "b", "c"]
    assert set(found.kept["samples"]) == {SAMPLES}
    with Session(family, tasks, ProbeSettings(SAMPLES)) as session:
        for row in found.kept.to_dict("records"):
            label = row["model"]
            samples = tasks[label].samples(1000, 0)
            samples = type(samples)(
                {key: value[:SAMPLES] for key, value in samples.inputs.items()},
                samples.labels[:SAMPLES],
                samples.ids[:SAMPLES],
            )
            own = accuracy(session, label, session.state(label), samples)
            kept = accuracy(session, label, merged_state(session, made, label, SAMPLES), samples)
            assert row["own"] == pytest.approx(own)
            assert row["kept"] == pytest.approx(kept / own)
            assert row["lower"] <= row["kept"] <= row["upper"]
    assert f"keeps {found.kept['kept'].mean():.3f} of their own scores" in repr(found)
    assert "<table" in found._repr_html_()


class Few(TinyTask):
    def samples(self, count, seed, split="calibration"):
        return super().samples(30 if count is None else count, seed, split)


def test_a_task_of_few_samples_takes_none_from_the_others(tmp_path):
    family, tasks = tiny_family(tmp_path), tiny_tasks()
    all_alike = mc.forecast_merge(family, recipe=RECIPE, tasks=tasks).kept.set_index("model")
    few = mc.forecast_merge(family, recipe=RECIPE, tasks={**tasks, "b": Few("b", **HEAD)})
    kept = few.kept.set_index("model")
    assert kept["samples"].to_dict() == {"a": 64, "b": 30, "c": 64}
    assert kept.loc["a", "kept"] == all_alike.loc["a", "kept"]
    with pytest.raises(UsageError, match="calibration: is 31; give a number from 1 to 30"):
        mc.forecast_merge(
            family, recipe=RECIPE, tasks={**tasks, "b": Few("b", **HEAD)}, calibration=31
        )


def test_values_by_parameter_take_part(tmp_path):
    family, tasks = tiny_family(tmp_path), tiny_tasks()
    nothing = mc.Recipe("task_arithmetic", {"scaling": 0.0})
    names = {name for name in family.shared if "weight" in name}
    apart = mc.Recipe(
        "task_arithmetic", {"scaling": 0.3}, by_parameter=dict.fromkeys(names, nothing)
    )
    given = {"tasks": tasks, "calibration": SAMPLES}
    whole = mc.forecast_merge(family, recipe="task_arithmetic", **given)
    part = mc.forecast_merge(family, recipe=apart, **given)
    assert not np.allclose(whole.kept["kept"], part.kept["kept"])
    # Nor does one stand for the other in a cache.
    kept = [
        mc.forecast_merge(family, recipe=one, cache=tmp_path / "cache", **given).kept["kept"]
        for one in ("task_arithmetic", apart)
    ]
    np.testing.assert_array_equal(kept, [whole.kept["kept"], part.kept["kept"]])


def test_no_more_samples_are_answered_than_are_asked_for(tmp_path, monkeypatch):
    answered, real = [], scores.measure

    def counted(probe, samples, *more):
        answered.append(len(samples))
        return real(probe, samples, *more)

    monkeypatch.setattr(scores, "measure", counted)
    given = {"tasks": tiny_tasks(), "calibration": 30}
    mc.forecast_merge(tiny_family(tmp_path), recipe="ties", **given)
    assert answered == [30] * 6  # every model's own, and the merge's on every model's


def test_without_labels_there_is_no_own_score_and_it_is_said(tmp_path):
    class Unlabelled(TinyTask):
        def samples(self, count, seed, split="calibration"):
            found = super().samples(count, seed, split)
            return Samples(found.inputs, None, found.ids)

    tasks = {label: Unlabelled(label, **HEAD) for label in "abc"}
    found = mc.forecast_merge(
        tiny_family(tmp_path), recipe="weight_avg", tasks=tasks, calibration=SAMPLES
    )
    assert found.kept["own"].isna().all()
    assert found.kept["kept"].between(0, 1).all()
    assert "Without labels: the share of a model's own answers" in found.parts[0].caption
    assert found.parts[0].title == "What each model keeps of its own answers"
    assert f"keeps {found.kept['kept'].mean():.3f} of their own answers in the" in found.sentence


def test_a_parameter_that_the_network_does_not_have_is_named(tmp_path):
    strange = mc.Recipe("ties", by_parameter={"no.such": mc.Recipe("ties", {"scaling": 1})})
    family = tiny_family(tmp_path)
    with pytest.raises(UsageError, match="parameter of the recipe 'no.such': unknown"):
        mc.merge(family, strange)
    with pytest.raises(UsageError, match="cannot be tuned: it has values by parameter"):
        mc.tune_merge(family, tasks=tiny_tasks(), method=strange)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A family's files, a mergekit file and a task file of two of its models."""
    family = tiny_family(tmp_path, "ab")
    monkeypatch.chdir(tmp_path)
    models = [
        {"model": str(family.models[one].path), "parameters": {"weight": w}}
        for one, w in (("a", 1.0), ("b", 0.5))
    ]
    content = {"merge_method": "task_arithmetic", "models": models}
    content["base_model"] = str(family.base.path)
    (tmp_path / "merge.yml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_the_command_forecasts_a_file_of_mergekit(folder, monkeypatch, capsys):
    monkeypatch.setattr("mergecast.api.one_merge.open_tasks", lambda *_: tiny_tasks("ab"))
    words = ["forecast", "--mergekit", "merge.yml", "--tasks", "t.yaml", "--calibration", "40"]
    assert run(words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert re.search(r"a 0\.\d+ [01]\.\d+ [01]\.\d+ to [01]\.\d+ 40", printed)
    assert "task_arithmetic(scaling=1, weights={a: 1, b: 0.5}) of 2 models keeps" in printed
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"]["weights"] == {"a": 1.0, "b": 0.5}
    assert {row["model"] for row in found["kept"]} == {"a", "b"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mergekit", "merge.yml"], "--mergekit: given without --tasks"),
        (["base", "a", "--mergekit", "merge.yml", "--tasks", "t"], "--mergekit: given beside"),
        (["--mergekit", "merge.yml", "--tasks", "t", "--sets", "2"], "--mergekit: given beside"),
        ([], "models: not given; name the base, then the models"),
    ],
)
def test_what_does_not_go_together_is_said(words, said, folder, capsys):
    assert run(["forecast", *words]) == 2
    assert said in capsys.readouterr().err


def test_more_samples_than_there_are_are_refused(tmp_path):
    given = {"recipe": "ties", "tasks": tiny_tasks(), "calibration": 10**6}
    with pytest.raises(UsageError, match="calibration: is 1000000; give a number from 1 to"):
        mc.forecast_merge(tiny_family(tmp_path), **given)


def of_size(size):
    """Tasks of so many samples, and no test samples."""

    class Few(TinyTask):
        def size(self, split):
            if split == "test":
                raise UsageError(f"task {self.name!r}, split 'test'", "none", "leave it")
            return size

    return {label: Few(label, **HEAD) for label in "abc"}


@pytest.mark.parametrize(
    ("size", "asked", "used"), [(120, 100, 100), (120, None, 100), (15, None, 15)]
)
def test_no_samples_are_held_back(size, asked, used, tmp_path):
    found = mc.forecast_merge(
        tiny_family(tmp_path), recipe="ties", tasks=of_size(size), calibration=asked
    )
    assert set(found.kept["samples"]) == {used}


def test_no_samples_at_all_are_refused(tmp_path):
    with pytest.raises(UsageError, match="calibration: is 0; give 1 or more"):
        mc.forecast_merge(tiny_family(tmp_path), recipe="ties", tasks=tiny_tasks(), calibration=0)
