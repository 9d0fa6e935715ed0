import numpy as np
import pandas as pd
import pytest

from mergecast.report.outcome_tables import retention_figures, retention_parts
from mergecast.tables.outcomes import OutcomeTable


def outcome(method, members, kept):
    return [
        {"suite": "s", "method": method, "members": members, "task": task, "score": value,
         "single_score": 1.0, "retention": value, "loss": 0.1, "single_loss": 0.1, "n_eval": 10,
         "seed": 0}
        for task, value in zip(members.split("+"), kept, strict=True)
    ]  # fmt: skip


def test_merges_are_counted_by_method_and_size_in_their_order():
    rows = [
        *outcome("ties", "a+b", (0.8, 0.6)),
        *outcome("ties", "a+c", (1.0, 0.8)),
        *outcome("ties", "a+b+c", (0.6, 0.5, 0.4)),
        *outcome("dare", "a+b", (np.nan, 0.9)),
    ]
    figures = retention_figures(OutcomeTable(pd.DataFrame(rows)))
    assert list(zip(figures["method"], figures["size"], strict=True)) == [
        ("ties", 2),
        ("ties", 3),
        ("dare", 2),
    ]
    assert list(figures["count"]) == [2, 1, 0]  # a member without a score is no zero
    assert figures["mean"].iloc[0] == pytest.approx(0.8)
    assert np.isnan(figures["mean"].iloc[2])
    pairs, larger = retention_parts(figures)
    assert [row[0] for row in pairs.rows] == ["ties", "dare"]
    assert larger.rows == [["ties", "3", "1", "0.500", "–", "0.500"]]
