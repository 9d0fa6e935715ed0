"""A member that hardly answers its own task is named before any advice, and none is about it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import mergecast as mc
from mergecast.api.forecast_sets import too_few
from mergecast.api.metrics import measure
from mergecast.family.findings import NO_MODEL
from mergecast.report.family_terminal import forecast_parts
from mergecast.report.table import Table
from mergecast.tasks.task import Samples
from mergecast.testing.tiny import TinyTask, tiny_family, tiny_tasks

HEAD = {"private": ("head.*",)}


@dataclass
class Shuffled(TinyTask):
    """Its labels have nothing to do with its samples."""

    def samples(self, count, seed, split="calibration"):
        found = super().samples(count, seed, split)
        labels = torch.arange(len(found)) % 3
        return Samples(found.inputs, labels, found.ids)


def forecast(folder, c, **options):
    tasks = {**tiny_tasks("ab"), "c": c}
    family = tiny_family(folder, "abc")
    given = {"forecaster": "suites", "methods": ["ties"], "calibration": 40, **options}
    return mc.forecast(family, tasks=tasks, **given)


def test_no_advice_is_given_about_it_and_the_verdict_says_so_first(tmp_path):
    said = "no better than the commonest class"
    found = forecast(tmp_path, Shuffled("c", **HEAD), sets=2)
    assert list(found.doubtful) == ["c"]
    assert said in found.doubtful["c"]
    advice = found.pairs.set_index(["left", "right"])
    assert advice.loc[("a", "b"), "method"] == "ties"
    touched = advice.loc[[("a", "c"), ("b", "c")]]
    assert (touched["advice"] == "no advice").all()
    assert touched[["retention", "lower", "worst_retention"]].isna().all(axis=None)
    assert found.rows["retention"].notna().all()
    assert set(found.sets["members"]) == {"a+b"}
    [warning] = [w for w in found.warnings if w.startswith("c:")]
    assert said in warning
    assert "check its file, head, labels and tokenizer" in warning
    summary = mc.report(found, tmp_path / "page.html")
    assert summary["verdict"][0].startswith("No advice is given about merges with c, which hardly")
    overview = next(part for part in forecast_parts(summary) if isinstance(part, Table))
    assert ["a + c", "no advice", "–", "–"] in overview.rows
    titles = [one.title for one in forecast_parts(summary, verbose=True) if isinstance(one, Table)]
    assert "a + c: no advice" in titles
    assert "No advice is given about merges with c" in (tmp_path / "page.html").read_text("utf-8")


def test_sets_that_would_need_it_are_not_ranked(tmp_path):
    found = forecast(tmp_path, Shuffled("c", **HEAD), sets=3)
    assert found.sets is None
    said = "no set of 3 is forecast: c hardly answers its own task, which leaves a, b; put that "
    assert f"{said}right, or ask for sets of 2" in found.warnings


def test_why_no_set_is_forecast_names_only_sets_that_there_are():
    assert too_few(2, ["a"], ["c", "b"]) == (
        "no set of 2 is forecast: b, c hardly answer their own tasks, which leaves a; put that "
        "right"
    )
    assert too_few(4, [*"abc"], "d").endswith(
        "leaves a, b, c; put that right, or ask for sets of 2 to 3"
    )
    assert "leaves no model;" in too_few(2, [], "ab")


def test_models_that_answer_are_not_doubted(tmp_path):
    found = forecast(tmp_path, TinyTask("c", **HEAD))
    assert found.doubtful == {}
    assert "no advice" not in set(found.pairs["advice"])
    weights = forecast(tmp_path, Shuffled("c", **HEAD), tier="weights", calibration=None)
    assert weights.doubtful == {}  # nothing was run


def test_metrics_name_it_and_keep_what_was_answered(tmp_path):
    tasks = {**tiny_tasks("ab"), "c": Shuffled("c", **HEAD)}
    given = {"tasks": tasks, "tier": "activations", "calibration": 40, "cache": tmp_path / "cache"}
    first, again = (measure(tiny_family(tmp_path, "abc"), **given) for _ in range(2))
    assert [one.about for one in first.findings if one.rule == NO_MODEL] == ["c"]
    assert first.doubts == again.doubts


def test_without_labels_one_class_for_all_samples_is_named(tmp_path):
    class Alike(TinyTask):
        def samples(self, count, seed, split="calibration"):
            found = super().samples(count, seed, split)
            return Samples({"x": torch.ones_like(found.inputs["x"])}, None, found.ids)

    tasks = {**tiny_tasks("ab"), "c": Alike("c", **HEAD)}
    found = measure(tiny_family(tmp_path, "abc"), tasks=tasks, tier="activations", calibration=40)
    [finding] = [one for one in found.findings if one.rule == NO_MODEL]
    assert finding.about == "c"
    assert "it answers all 40 samples with class" in finding.message


@pytest.mark.parametrize(
    ("labels", "methods", "cheaper"), [("ab", ["ties", "tsv"], True), ("abcdef", (), False)]
)
def test_where_measuring_is_cheaper_than_probing_it_is_said_at_once(
    labels, methods, cheaper, tmp_path, caplog
):
    given = {"tasks": tiny_tasks(labels), "tier": "activations", "calibration": 40}
    measure(tiny_family(tmp_path, labels), methods=methods, **given)
    # Two models: 2 · 64 · (2 + 2) test samples beside 2 · 40 · (2 · 4 + 1) probed ones, 2 · 40 · 6
    # superposed and 2 · 2 · 40 of a pair merged as a check.
    said = "measuring all pairs (1) by 2 method(s) takes 2 merges and about"
    assert (said in caplog.text) == cheaper
    assert ("less than the evidence asked for (20 and" in caplog.text) == cheaper
    assert ("mergecast measure" in caplog.text) == cheaper
    caplog.clear()
    measure(tiny_family(tmp_path, labels), metrics="paper", **given)
    assert "mergecast measure" not in caplog.text
