import numpy as np
import pandas as pd
import pytest

from mergecast.report.outcome_tables import (
    like_one_class,
    member_parts,
    retention_figures,
    retention_parts,
)
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


def scored(method, score, majority=0.72, single=0.8, n_eval=400):
    return [
        {"suite": "s", "method": method, "members": "a+pos", "task": task, "score": value,
         "single_score": single, "retention": value / single, "n_eval": n_eval, "seed": 0,
         "base_score": 0.2, "majority": floor}
        for task, value, floor in (("a", 0.7, 0.5), ("pos", score, majority))
    ]  # fmt: skip


def test_a_merge_that_always_gives_one_class_is_named_beside_what_it_keeps():
    """Nine tenths of a score sound like much where nine tenths are the commonest class."""
    table = OutcomeTable(pd.DataFrame([*scored("ties", 0.72), *scored("tsv", 0.78)]))
    alone, kept = member_parts(table)
    assert alone.rows[1] == ["pos", "0.800", "0.200", "0.720", "400"]
    assert kept.caption == (
        "pos: scores no more than always its commonest class would, 0.720, which is 0.900 of its "
        "own score, in a+pos by ties"
    )
    unknown = table.frame.drop(columns=["majority", "base_score"])
    assert like_one_class(OutcomeTable(unknown)) == []
