from pathlib import Path

import numpy as np

from mergecast.suites.suite import Recipe
from mergecast.suites.tables import outcomes_table
from mergecast.suites.units import OutcomeUnit, Run


def scores(score, **missing):
    values = {"score": score, "loss": 1.0, "probability": 0.5}
    kept = {name: value for name, value in values.items() if name not in missing}
    return {"values": kept, "missing": missing, "n_eval": 10, "n_classes": 2}


def test_nothing_can_be_retained_of_a_score_of_zero():
    run = Run(Path("run"), "digits-14", Recipe(), seed=3)
    unit = OutcomeUnit(run, "ties", ("a", "b"), "base", ("x", "y"))
    models = {"a": {"single": scores(0.0)}, "b": {"single": scores(0.8)}}
    table = outcomes_table([unit], [{"tasks": {t: scores(0.4) for t in "ab"}}], models)
    np.testing.assert_array_equal(table.frame["retention"], [np.nan, 0.5])
    assert table.frame["members"].tolist() == ["a+b", "a+b"]
    [missing] = table.missing
    assert missing.task == "a"
    assert "the single model's score is 0" in missing.reason
