import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mergecast.errors import TableError
from mergecast.tables.columns import (
    ON_LEFT,
    ON_RIGHT,
    Column,
    columns_of,
    features,
    method_features,
)

COLUMNS = ["reach:right<-left", "cosine", "reach:left<-right"]


@given(st.text())
@example("a@b@c:left<-right")
@example("@ties")
@example("kept@")
@example("a:b:right<-left")
@example(":left<-right")
def test_every_name_is_read_and_written_back_unchanged(text):
    column = Column.parse(text)
    assert str(column) == text
    assert column.other.other == column
    assert Column.parse(column.key).direction == ""


NAMES = st.text("abc_", min_size=1)


@given(NAMES, st.just("") | NAMES, st.sampled_from(["", ON_LEFT, ON_RIGHT]))
def test_every_column_comes_back_from_its_name(name, method, direction):
    column = Column(name, method, direction)
    assert Column.parse(str(column)) == column


def test_what_is_no_direction_belongs_to_the_name():
    assert Column.parse("ratio:5").name == "ratio:5"
    assert Column.parse("x:left<-right").direction == ON_LEFT


def test_a_directed_metric_fills_two_columns_the_left_models_first():
    assert [str(c) for c in columns_of("reach", "ties", symmetric=False)] == [
        "reach@ties:left<-right",
        "reach@ties:right<-left",
    ]
    assert [str(c) for c in columns_of("cosine", symmetric=True)] == ["cosine"]


def test_features_join_the_two_directions():
    assert features(COLUMNS) == {
        "cosine": ("cosine", "cosine"),
        "reach": ("reach:left<-right", "reach:right<-left"),
    }


def test_metrics_of_a_method_are_its_own_and_lose_its_name():
    columns = [*COLUMNS, "kept@ties", "kept@dare_ties", "kept@dare"]
    found = method_features(columns, "ties")
    assert list(found) == ["cosine", "kept", "reach"]
    assert found["kept"] == ("kept@ties", "kept@ties")
    assert list(method_features(columns, "tsv")) == ["cosine", "reach"]
    with pytest.raises(TableError, match="column 'kept@ties': there is a metric 'kept' too"):
        method_features([*columns, "kept"], "ties")
