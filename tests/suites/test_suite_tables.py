from pathlib import Path

import numpy as np
import pytest

from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.suites.plan import RunPlan
from mergecast.suites.tables import outcomes_table, tasks_table
from mergecast.suites.units import Run


def scores(score=0.8, missing=()):
    missing = dict(missing)
    values = {"score": score, "loss": 1.0, "probability": 0.5}
    present = {name: value for name, value in values.items() if name not in missing}
    return {"values": present, "missing": missing, "n_eval": 10, "n_classes": 2}


@pytest.fixture
def plan():
    run = Run(Path("run"), "digits-14", DigitsRecipe(rate=0.5), seed=3)
    return RunPlan(run, ("a", "b"), ("ties",))


def table_of(plan, merged, single):
    return outcomes_table(
        [(plan.recipes[0], ("a", "b"))],
        [{"tasks": merged}],
        {name: {"single": record} for name, record in single.items()},
        suite="digits-14",
        versions=plan.stages(),
        recipe={"suite": plan.run.recipe.model_dump(mode="json")},
    )


def test_nothing_can_be_retained_of_a_score_of_zero(plan):
    table = table_of(plan, {t: scores(0.4) for t in "ab"}, {"a": scores(0.0), "b": scores(0.8)})
    np.testing.assert_array_equal(table.frame["retention"], [np.nan, 0.5])
    assert table.frame["members"].tolist() == ["a+b", "a+b"]
    [missing] = table.missing
    assert missing.task == "a"
    assert "the single model's score is 0" in missing.reason


def test_what_a_task_does_not_have_is_missing_with_its_reason(plan):
    none = scores(missing={"loss": "task 'a': has no loss"})
    table = table_of(plan, {"a": none, "b": scores()}, {"a": none, "b": scores()})
    assert table.frame["loss"].isna().tolist() == [True, False]
    assert table.frame["single_loss"].isna().tolist() == [True, False]
    [missing] = table.missing
    assert (missing.task, missing.column) == ("a", "loss")
    assert missing.reason == "task 'a': has no loss"


def test_a_merge_that_does_not_exist_has_its_reason_once(plan):
    gone = scores(missing=dict.fromkeys(("score", "loss", "probability"), "no merge"))
    table = table_of(plan, {"a": gone, "b": scores()}, {"a": scores(), "b": scores()})
    assert table.frame.loc[0, ["score", "retention", "loss", "probability"]].isna().all()
    assert [(m.task, m.column, m.reason) for m in table.missing] == [("a", "retention", "no merge")]


def test_the_table_says_what_it_was_made_by(plan):
    table = table_of(plan, {t: scores() for t in "ab"}, {t: scores() for t in "ab"})
    assert table.recipe["suite"]["rate"] == 0.5
    assert table.versions == plan.stages()
    assert table.stale({**plan.stages(), "method ties": 7}) == ["method ties"]


def test_what_a_task_does_not_say_of_itself_is_missing():
    full = {"sizes": {"train": 5, "calibration": 3}, "majority": 0.6}
    bare = {"sizes": {}, "majority": None}
    records = {
        name: {**record, "base": scores(0.2), "single": scores()}
        for name, record in {"a": full, "b": bare}.items()
    }
    table = tasks_table(records).set_index("task")
    assert table.loc["a", ["n_train", "n_calibration", "majority"]].tolist() == [5, 3, 0.6]
    assert table.loc["b", ["n_train", "n_calibration", "majority"]].isna().all()
    assert (table["n_eval"] == 10).all()
