import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError
from mergecast.tables.pairs import features_of, method_features, validate_pairs


def test_a_valid_table_keeps_values_order_and_reasons(pairs):
    checked = validate_pairs(pairs[::-1])
    assert checked["left"].tolist() == ["b", "NA", "NA"]
    assert checked.index.tolist() == [0, 1, 2]
    assert checked.attrs["missing"] == pairs.attrs["missing"]
    assert checked["cosine"].dtype == np.float64


def test_features_join_the_two_directions(pairs):
    assert features_of(pairs) == {
        "cosine": ("cosine", "cosine"),
        "reach": ("reach:left<-right", "reach:right<-left"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="right"), "column 'right': missing; columns found: suite, left"),
        (lambda t: t.assign(cosine="high"), "column 'cosine': expected numbers, found dtype"),
        (lambda t: t.assign(cosine=True), "column 'cosine': expected numbers, found dtype bool"),
        (lambda t: t.assign(cosine=[1, 2, np.inf]), r"column 'cosine', row 2: not finite \(inf\)"),
        (lambda t: t.assign(left=1), "column 'left', row 0: expected text, found 1"),
        (lambda t: t.assign(left=" "), "column 'left', row 0: empty name"),
        (lambda t: t.assign(right=["b", "c", "a"]), r"row 2: pair \('b', 'a'\) is not sorted"),
        (lambda t: t.assign(right=["b", "NA", "c"]), r"row 1: pair \('NA', 'NA'\) is not sorted"),
        (lambda t: pd.concat([t, t[:1]]), "row 3: duplicate of an earlier row: suite 'toy', left"),
        (lambda t: t.drop(columns="reach:left<-right"), "without its other half 'reach:left<-ri"),
        (lambda t: t.assign(reach=1.0), "'reach' stands both as symmetric and as directed"),
        (lambda t: t[:0], "the table has no rows"),
        (lambda t: pd.concat([t, t[["cosine"]]], axis=1), "'cosine': stands more than once"),
    ],
)  # fmt: skip
def test_a_broken_table_is_refused_by_column_and_row(change, message, pairs):
    with pytest.raises(TableError, match=message) as caught:
        validate_pairs(change(pairs))
    assert str(caught.value).startswith("pairs table, column")


def test_an_all_missing_column_of_none_is_missing_not_text(pairs):
    assert validate_pairs(pairs.assign(cosine=None))["cosine"].isna().all()


def test_the_table_given_is_left_alone(pairs):
    before = pairs.copy()
    validate_pairs(pairs)
    pd.testing.assert_frame_equal(pairs, before)


def test_metrics_of_a_method_are_its_own_and_lose_its_name(pairs):
    table = pairs.assign(**{"kept@ties": 1.0, "kept@dare_ties": 2.0, "kept@dare": 3.0})
    found = method_features(table, "ties")
    assert list(found) == ["cosine", "kept", "reach"]
    assert found["kept"] == ("kept@ties", "kept@ties")
    assert list(method_features(table, "tsv")) == ["cosine", "reach"]
    with pytest.raises(TableError, match="column 'kept@ties': there is a metric 'kept' too"):
        method_features(table.assign(kept=0.0), "ties")
