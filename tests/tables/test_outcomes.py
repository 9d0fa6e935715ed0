import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError
from mergecast.tables.io import write_table
from mergecast.tables.missing import MissingOutcome
from mergecast.tables.outcomes import OutcomeTable, as_outcomes
from mergecast.tables.sets import join_members, split_members


def set_at(row, **values):
    def change(table):
        table = table.copy()
        for column, value in values.items():
            table[column] = table[column].astype(object)
            table.loc[row, column] = value
            table[column] = table[column].infer_objects()
        return table

    return change


def told(row, recipe):
    return lambda table: set_at(row, recipe=recipe)(table.assign(recipe=table["method"]))


def test_the_outcome_of_a_pair_is_the_mean_retention_of_its_members(outcomes):
    means = outcomes.pairs()
    assert list(means.columns) == ["suite", "method", "left", "right", "retention"]
    assert means[["left", "right"]].to_numpy().tolist() == [["NA", "b"], ["NA", "c"], ["b", "c"]]
    assert means["retention"].to_numpy() == pytest.approx(np.full(3, 0.75 / 0.9))


def test_seeds_are_averaged_and_larger_sets_are_no_pairs(outcome_frame):
    again = outcome_frame.assign(seed=1, score=0.9, retention=1.0)
    triple = outcome_frame.iloc[[0, 1, 3]].assign(members="NA+b+c")
    table = OutcomeTable(pd.concat([outcome_frame, again, triple]))
    assert table.sizes.tolist() == [2] * 12 + [3] * 3
    members = table.members()
    assert len(members) == 6
    assert members["retention"].iloc[0] == pytest.approx((0.7 / 0.9 + 1) / 2)
    assert table.keep(table.sizes > 2).members().empty


def at_two_strengths(outcome_frame):
    """Every merge by ties as usual, where half is kept, and again at another strength."""
    usual = outcome_frame.assign(score=0.45, retention=0.5, recipe="ties")
    return pd.concat([usual, outcome_frame.assign(recipe="ties(scaling=1)")])


def test_a_method_at_two_strengths_makes_two_merges_of_each_set(outcome_frame):
    table = OutcomeTable(at_two_strengths(outcome_frame))
    assert (table.methods, table.recipes) == (["ties"], ["ties", "ties(scaling=1)"])
    assert "6 merges ('toy'; 6 of 2 models) by ties, ties(scaling=1), missing" in repr(table)
    means = table.pairs().groupby("method")["retention"].mean()
    assert means.to_dict() == pytest.approx({"ties": 0.5, "ties(scaling=1)": 0.75 / 0.9})
    assert [*table.by_recipe["method"]] == [*table.frame["recipe"]]
    with pytest.raises(TableError, match="row 12: duplicate of an earlier row: .*'ties.scaling=1"):
        OutcomeTable(pd.concat([table.frame, table.frame[-1:]]))


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_without_recipes_has_those_of_its_methods(suffix, tmp_path, outcome_frame):
    path = tmp_path / f"old{suffix}"
    write_table(outcome_frame, path)
    assert OutcomeTable.read(path).recipes == ["ties"]
    blank = at_two_strengths(outcome_frame)
    blank["recipe"] = blank["recipe"].replace("ties", None if suffix == ".parquet" else "")
    write_table(blank, path)
    assert OutcomeTable.read(path) == OutcomeTable(at_two_strengths(outcome_frame))


def test_a_reason_is_of_one_recipe(outcome_frame):
    both = at_two_strengths(outcome_frame).reset_index(drop=True)
    gap = set_at(0, score=np.nan, retention=np.nan)(both)
    keys = ("toy", "ties", "NA+b", "NA", 0, "diverged")
    usual, other = (MissingOutcome(*keys, recipe=r) for r in ("", "ties(scaling=1)"))
    assert OutcomeTable(gap, missing=[usual, other]).missing == (usual,)
    gap = set_at(6, score=np.nan, retention=np.nan)(both)
    assert OutcomeTable(gap, missing=[usual, other]).missing == (other,)


def test_undefined_retention_stays_undefined_in_the_mean(outcome_frame):
    undefined = set_at(0, score=0.0, single_score=0.0, retention=np.nan)(outcome_frame)
    means = OutcomeTable(undefined).pairs()["retention"]
    assert means.isna().tolist() == [True, False, False]


def test_more_columns_are_kept_and_their_missing_text_is_empty(outcome_frame):
    more = outcome_frame.assign(
        regime=["hot", None, "hot", "hot", "hot", "hot"], steps=10, done=True, rate=np.nan
    )
    frame = OutcomeTable(more).frame
    assert frame["regime"].tolist() == ["hot", "", "hot", "hot", "hot", "hot"]
    assert [str(frame[key].dtype) for key in ("steps", "done", "rate")] == [
        "int64",
        "bool",
        "float64",
    ]


def test_a_reason_belongs_to_a_row_without_a_value(outcome_frame):
    undefined = set_at(0, score=np.nan, retention=np.nan)(outcome_frame)
    reason = MissingOutcome("toy", "ties", "NA+b", "NA", 0, "diverged")
    other = MissingOutcome("toy", "ties", "NA+b", "b", 0, "diverged")
    assert OutcomeTable(undefined, missing=[reason, other, reason]).missing == (reason,)


def test_a_reason_may_be_of_another_column(outcome_frame):
    lossless = set_at(0, loss=np.nan)(outcome_frame.assign(loss=0.5))
    keys = ("toy", "ties", "NA+b")
    reasons = [
        MissingOutcome(*keys, task, 0, "has none", column)
        for task, column in (("NA", "loss"), ("b", "loss"), ("NA", "score"), ("NA", "colour"))
    ]
    assert OutcomeTable(lossless, missing=reasons).missing == (reasons[0],)


def test_members_are_joined_in_sorted_order():
    assert join_members(["b", "NA"]) == "NA+b"
    assert split_members("NA+b") == ["NA", "b"]


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
        (set_at(3, score=-0.02), r"column 'score', row 3: negative \(-0.02\); use a score whose"),
        (
            set_at(3, score=52.2, single_score=0.5, retention=104.4),
            "column 'score', row 3: 52.2 beside a single_score of 0.5; give both in one unit",
        ),
        (set_at(4, members="c+b"), "column 'members', row 4: 'c\\+b' is not a sorted list"),
        (set_at(4, members="b+b"), "column 'members', row 4"),
        (told(4, "tie"), "column 'recipe', row 4: 'tie' is none of method 'ties'; write"),
        (told(4, "ties2(a=1)"), "'ties2\\(a=1\\)' is none of method 'ties'"),
        (told(4, "ties(a=1"), "column 'recipe', row 4"),
        (told(4, "ties(a=1)"), r"row 4: members 'b\+c' \(by ties\(a=1\)\) lack a row"),
        (set_at(4, task="z"), "column 'task', row 4: 'z' is not a member of 'b\\+c'"),
        (set_at(0, n_eval=0), "column 'n_eval', row 0: expected an integer of at least 1, found 0"),
        (set_at(0, seed=0.5), "column 'seed', row 0: expected an integer"),
        (lambda t: t.drop(index=5), r"row 4: members 'b\+c' \(by ties\) lack a row for 'c'"),
        (lambda t: pd.concat([t, t[:1]]), "row 6: duplicate of an earlier row"),
        (lambda t: t[:0], "the table has no rows"),
        (lambda t: t.assign(note=["x", 1, "x", "x", "x", "x"]), "'note', row 1: expected text"),
    ],
)
def test_a_broken_table_is_refused_by_column_and_row(change, message, outcome_frame):
    with pytest.raises(TableError, match=message) as caught:
        OutcomeTable(change(outcome_frame))
    assert str(caught.value).startswith("outcomes table, column")


def test_retention_rounded_below_a_millionth_is_accepted(outcome_frame):
    OutcomeTable(outcome_frame.assign(retention=outcome_frame["retention"].round(7)))


@pytest.mark.parametrize("decimals", [3, 4])
def test_scores_and_retention_rounded_by_hand_are_accepted(decimals, outcome_frame):
    scores = outcome_frame.assign(score=0.60711, single_score=0.83491)
    columns = {name: scores[name].round(decimals) for name in ("score", "single_score")}
    rounded = scores.assign(**columns, retention=round(0.60711 / 0.83491, decimals))
    OutcomeTable(rounded)
    with pytest.raises(TableError, match="where score / single_score is"):
        OutcomeTable(rounded.assign(retention=rounded["retention"] + 0.004))


def test_one_screen_says_what_the_table_holds(outcomes):
    assert repr(outcomes).startswith(
        "OutcomeTable: 3 merges ('toy'; 3 of 2 models) by ties, missing retentions: 0\n"
    )
    assert (outcomes.methods, outcomes.suites, len(outcomes)) == (["ties"], ["toy"], 6)


def test_the_door_takes_a_table_or_a_frame_and_nothing_else(outcomes, outcome_frame):
    assert as_outcomes(outcomes) is outcomes
    assert as_outcomes(outcome_frame) == outcomes
    with pytest.raises(TableError, match="outcomes table: is a NoneType; give an OutcomeTable"):
        as_outcomes(None)


def test_percents_throughout_are_taken_however_bad_a_model_was(outcome_frame):
    table = outcome_frame.drop(columns="retention")
    table[["score", "single_score"]] *= 100
    table.loc[3, ["score", "single_score"]] = [8.0, 0.4]
    assert OutcomeTable(table).frame["retention"][3] == pytest.approx(20)
