import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError
from mergecast.tables.outcomes import member_outcomes, pair_outcomes, validate_outcomes


def set_at(row, **values):
    def change(table):
        table = table.copy()
        for column, value in values.items():
            table[column] = table[column].astype(object)
            table.loc[row, column] = value
            table[column] = table[column].infer_objects()
        return table

    return change


def test_the_outcome_of_a_pair_is_the_mean_retention_of_its_members(outcomes):
    found = pair_outcomes(outcomes)
    assert list(found.columns) == ["suite", "method", "left", "right", "retention"]
    assert found[["left", "right"]].to_numpy().tolist() == [["NA", "b"], ["NA", "c"], ["b", "c"]]
    assert found["retention"].to_numpy() == pytest.approx(np.full(3, 0.75 / 0.9))


def test_seeds_are_averaged_and_larger_sets_are_no_pairs(outcomes):
    again = outcomes.assign(seed=1, score=0.9, retention=1.0)
    triple = outcomes.iloc[[0, 1, 3]].assign(members="NA+b+c")
    found = member_outcomes(pd.concat([outcomes, again, triple]))
    assert len(found) == 6
    assert found["retention"].iloc[0] == pytest.approx((0.7 / 0.9 + 1) / 2)


def test_undefined_retention_stays_undefined_in_the_mean(outcomes):
    undefined = set_at(0, score=0.0, single_score=0.0, retention=np.nan)(outcomes)
    found = pair_outcomes(undefined)["retention"]
    assert found.isna().tolist() == [True, False, False]


def test_more_columns_are_kept(outcomes):
    assert validate_outcomes(outcomes.assign(regime="hot"))["regime"].tolist() == ["hot"] * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="score"), "column 'score': missing"),
        (set_at(2, single_score=np.nan), "column 'single_score', row 2: NaN is not allowed here"),
        (set_at(2, score=np.nan), "column 'retention', row 2"),
        (set_at(1, score=0.5), r"column 'retention', row 1: 0.888889 where .* is 0.555556"),
        (set_at(1, retention=np.nan), "column 'retention', row 1: nan where"),
        (set_at(1, retention=0.8 / 0.9 + 2e-6), "column 'retention', row 1"),
        (set_at(3, single_score=-1.0), r"column 'single_score', row 3: negative \(-1\)"),
        (set_at(4, members="c+b"), "column 'members', row 4: 'c\\+b' is not a sorted list"),
        (set_at(4, members="b+b"), "column 'members', row 4"),
        (set_at(4, task="z"), "column 'task', row 4: 'z' is not a member of 'b\\+c'"),
        (set_at(0, n_eval=0), "column 'n_eval', row 0: expected an integer of at least 1, found 0"),
        (set_at(0, seed=0.5), "column 'seed', row 0: expected an integer"),
        (lambda t: t.drop(index=5), r"row 4: members 'b\+c' \(method ties\) lack a row for 'c'"),
        (lambda t: pd.concat([t, t[:1]]), "row 6: duplicate of an earlier row"),
        (lambda t: t[:0], "the table has no rows"),
    ],
)
def test_a_broken_table_is_refused_by_column_and_row(change, message, outcomes):
    with pytest.raises(TableError, match=message) as caught:
        validate_outcomes(change(outcomes))
    assert str(caught.value).startswith("outcomes table, column")


def test_retention_rounded_below_a_millionth_is_accepted(outcomes):
    validate_outcomes(outcomes.assign(retention=outcomes["retention"].round(7)))
