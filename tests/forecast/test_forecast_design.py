import numpy as np
import pytest

from mergecast.errors import TableError
from mergecast.forecast.rows import member_rows
from mergecast.forecast.training import training_rows
from mergecast.tables.missing import MissingMetric
from mergecast.tables.pairs import PairTable


def test_each_member_sees_a_directed_metric_from_its_own_side(make_suite):
    pairs, _ = make_suite(n_tasks=2)
    rows = member_rows(PairTable(pairs), "ties")
    assert rows[["member", "partner"]].to_numpy().tolist() == [["t00", "t01"], ["t01", "t00"]]
    assert rows["reach"].tolist() == [
        pairs["reach:left<-right"].iloc[0],
        pairs["reach:right<-left"].iloc[0],
    ]
    assert rows["cosine"].nunique() == 1


def test_rows_carry_the_retention_of_their_member(make_suite):
    pairs, outcomes = make_suite(n_tasks=4, methods=("ties", "dare"))
    data = training_rows(pairs, outcomes)
    assert list(data) == ["dare", "ties"]
    rows = data["ties"]
    assert list(rows.X.columns) == ["suite", "member", "partner", "cosine", "flat", "reach"]
    ties = outcomes[outcomes["method"] == "ties"].set_index(["members", "task"])["retention"]
    for (_, left, right, member), y in zip(rows.keys.to_numpy(), rows.y, strict=True):
        assert y == pytest.approx(ties[f"{left}+{right}", member], abs=1e-12)


def test_row_order_of_the_tables_does_not_matter(make_suite):
    pairs, outcomes = make_suite(n_tasks=4)
    shuffled = training_rows(pairs.sample(frac=1, random_state=1), outcomes[::-1])["ties"]
    straight = training_rows(pairs, outcomes)["ties"]
    assert np.array_equal(shuffled.y, straight.y)
    assert shuffled.X.equals(straight.X)


def test_a_pair_with_a_missing_metric_is_left_out_with_its_recorded_reason(make_suite):
    pairs, outcomes = make_suite(n_tasks=8)
    pairs.loc[0, "reach:right<-left"] = np.nan
    reason = MissingMetric("toy", "t00", "t01", "reach:right<-left", "zero task vector")
    rows = training_rows(PairTable(pairs, missing=[reason]), outcomes)["ties"]
    assert rows.n_pairs == 27
    assert rows.notes == [
        "pair t00 + t01 of suite 'toy' left out: metric reach missing (zero task vector)"
    ]


def test_a_metric_missing_in_many_pairs_is_left_out_and_no_pair_is(make_suite):
    pairs, outcomes = make_suite(n_tasks=8)
    pairs.loc[:9, "cosine"] = np.nan
    rows = training_rows(pairs, outcomes)["ties"]
    assert rows.n_pairs == 28
    assert "cosine" not in rows.X.columns
    assert rows.notes == [
        "metric cosine left out: missing in 10 of 28 pairs (no reason recorded)",
    ]


def test_pairs_without_a_defined_outcome_or_without_metrics_are_reported(make_suite):
    pairs, outcomes = make_suite(n_tasks=5)
    outcomes.loc[0, ["score", "single_score", "retention"]] = [0.0, 0.0, np.nan]
    rows = training_rows(pairs.drop(index=9), outcomes)["ties"]
    assert rows.n_pairs == 8
    assert rows.notes == [
        "ties: pair t00 + t01 of suite 'toy' left out: no defined outcome",
        "ties: pair t03 + t04 of suite 'toy' left out: not in the pair table",
    ]


def test_nothing_to_learn_from_is_an_error_that_names_the_table(make_suite):
    pairs, outcomes = make_suite(n_tasks=4)
    with pytest.raises(TableError, match=r"'tsv': no pair was merged by it; methods there: ties"):
        training_rows(pairs, outcomes, ["tsv"])
    with pytest.raises(TableError, match="pairs table: no metric column"):
        training_rows(pairs[["suite", "left", "right"]], outcomes)
    with pytest.raises(TableError, match="no metric is present in nine tenths"):
        training_rows(pairs[["suite", "left", "right"]].assign(cosine=np.nan), outcomes)
    triples = outcomes.iloc[[0, 0, 0]].assign(members="a+b+c", task=["a", "b", "c"])
    with pytest.raises(TableError, match="no merged pair in it"):
        training_rows(pairs, triples)
    with pytest.raises(TableError, match="no pair has both metrics and a defined outcome"):
        training_rows(pairs.iloc[[0]], outcomes.iloc[-2:])


def test_a_directed_metric_that_one_model_lacks_does_not_cost_that_model(make_suite):
    """It is missing in all the model's pairs, though in fewer than a tenth of the member rows."""
    pairs, outcomes = make_suite(n_tasks=14)
    for column in ("margin:left<-right", "margin:right<-left"):
        pairs[column] = 1.0
    pairs.loc[pairs["left"] == "t00", "margin:left<-right"] = np.nan
    rows = training_rows(pairs, outcomes)["ties"]
    assert rows.n_pairs == 91
    assert "margin" not in rows.X.columns
    assert rows.notes == ["metric margin left out: missing in 13 of 91 pairs (no reason recorded)"]
