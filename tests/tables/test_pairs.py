import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

from mergecast.errors import TableError, UsageError
from mergecast.tables.missing import MissingMetric
from mergecast.tables.pairs import NO_REASON, PairTable, as_pairs
from mergecast.tables.tiers import ALL, known_tier

REACH = "reach:left<-right"


def gap(suite, left, right, key, reason="NaN loss"):
    return {"suite": suite, "left": left, "right": right, "key": key, "reason": reason}


def test_a_valid_table_keeps_values_and_order(frame):
    table = PairTable(frame[::-1])
    assert table.frame["left"].tolist() == ["b", "NA", "NA"]
    assert table.frame.index.tolist() == [0, 1, 2]
    assert table.frame["cosine"].dtype == np.float64
    assert table.metrics == ["cosine", REACH, "reach:right<-left"]
    assert (table.models, table.suites, len(table)) == (["NA", "b", "c"], ["toy"], 3)


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
        (lambda t: t.rename(columns={"cosine": 7}), "column '7': its name is no text"),
    ],
)  # fmt: skip
def test_a_broken_table_is_refused_by_column_and_row(change, message, frame):
    with pytest.raises(TableError, match=message) as caught:
        PairTable(change(frame))
    assert str(caught.value).startswith("pairs table, column")


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"tiers": {"cosine": "weight"}}, "'cosine': tier 'weight' unknown; known: weights, "),
        ({"missing": [{"left": "b", "reason": "x"}]}, "is not the reason of a value; give left"),
        ({"missing": [gap("toy", "b", "c", "cosine") | {"why": "x"}]}, "is not the reason of"),
        ({"recipe": {"seed": float("nan")}}, "column 'recipe': not JSON"),
        ({"recipe": {"seed": object()}}, "column 'recipe': not JSON"),
    ],
)
def test_data_that_cannot_go_beside_the_rows_is_refused(beside, message, frame):
    with pytest.raises(TableError, match=message):
        PairTable.from_pandas(frame, **beside)


def test_an_all_missing_column_of_none_is_missing_not_text(frame):
    assert PairTable(frame.assign(cosine=None)).frame["cosine"].isna().all()


def test_the_frame_given_is_left_alone_and_changes_of_it_do_not_reach_the_table(frame):
    before = frame.copy()
    table = PairTable(frame)
    pd.testing.assert_frame_equal(frame, before)
    frame.loc[0, "cosine"] = 7.0
    copy = table.to_pandas()
    copy.loc[0, "cosine"] = 8.0
    assert table.frame.loc[0, "cosine"] == 0.1
    with pytest.raises(FrozenInstanceError):
        table.frame = frame


def test_a_table_given_to_pandas_is_an_ordinary_frame(pairs, frame):
    assert pairs.to_pandas().attrs == {}
    pd.testing.assert_frame_equal(pairs.to_pandas(), frame, check_exact=True)


def test_only_missing_values_have_reasons_and_one_without_a_suite_is_of_all(frame):
    twice = pd.concat([frame, frame.assign(suite="again")])
    reasons = [
        gap("", "b", "c", "cosine", "zero"),
        gap("toy", "b", "c", "cosine", "later"),
        gap("toy", "NA", "b", "cosine"),
        gap("toy", "b", "c", "elsewhere"),
        gap("third", "b", "c", "cosine"),
    ]
    table = PairTable.from_pandas(twice, missing=reasons)
    assert [(m.suite, m.reason) for m in table.missing] == [
        ("toy", "zero"),
        ("again", "zero"),
        ("toy", "later"),
    ]
    assert table.reason("again", "b", "c", "cosine") == "zero"
    assert table.reason("toy", "NA", "b", "cosine") == NO_REASON


def test_a_table_is_cut_to_what_a_cheaper_tier_would_hold(frame):
    frame.loc[2, REACH] = np.nan
    late = gap("toy", "b", "c", REACH)
    tiers = {"cosine": "weights", REACH: "activations", "reach:right<-left": "activations"}
    table = PairTable.from_pandas(frame, tiers=tiers, missing=[late])
    assert table.tier_names == ["weights", "activations"]
    cheap = table.up_to("weights")
    assert list(cheap.frame.columns) == ["suite", "left", "right", "cosine"]
    assert cheap.tier_names == ["weights"]
    assert cheap.missing == ()
    assert table.up_to("gradients") == table
    assert table.up_to("activations").missing == (MissingMetric(**late),)


def test_a_table_that_does_not_say_is_one_tier(frame):
    table = PairTable(frame)
    assert table.tier_names == [ALL]
    assert table.up_to(ALL) is table
    assert table.up_to("weights") == table


def test_an_unknown_tier_is_named(pairs):
    with pytest.raises(UsageError, match="tier 'gradient': unknown; did you mean 'gradients'"):
        known_tier("gradient")
    with pytest.raises(UsageError, match="unknown"):
        pairs.up_to("everything")


def test_pairs_and_columns_are_taken_with_what_belongs_to_them(pairs):
    one = pairs.keep(pairs.frame["right"] == "c").only(["cosine"])
    assert one.frame["left"].tolist() == ["NA", "b"]
    assert (one.tiers, one.missing) == ({"cosine": "weights"}, pairs.missing)
    assert one.keep([True, False]).missing == ()
    assert (one.versions, one.recipe) == (pairs.versions, pairs.recipe)
    with pytest.raises(TableError, match="the table has no rows"):
        pairs.keep([False] * 3)


def test_models_without_a_suite_may_be_declared_to_be_of_one(pairs, frame):
    nameless = PairTable.from_pandas(
        frame.assign(suite=["", "other", ""]), missing=[gap("", "b", "c", "cosine")]
    )
    named = nameless.with_suite("toy")
    assert named.frame["suite"].tolist() == ["toy", "other", "toy"]
    assert named.reason("toy", "b", "c", "cosine") == "NaN loss"


def test_suites_below_one_another_know_what_each_lacks(pairs):
    other = replace(
        pairs.only(["cosine"]),
        frame=pairs.frame[["suite", "left", "right", "cosine"]].assign(suite="two", cosine=1.0),
        versions={"spectra": 1},
        recipe={"calibration": 10},
    )
    both = PairTable.concat([pairs, other])
    assert both.suites == ["toy", "two"]
    assert both.of_suite("toy") == replace(pairs, versions=both.versions, recipe=both.recipe)
    assert both.reason("two", "NA", "b", REACH) == "not measured in this suite"
    assert both.tiers == pairs.tiers
    assert both.versions == {"spectra": 1, "activations": 1}
    assert both.recipe == {"runs": [pairs.recipe, other.recipe]}
    assert PairTable.concat([pairs, replace(other, tiers={})]).tiers == {}


def test_stages_of_another_version_are_stale(pairs, frame):
    assert pairs.stale({"spectra": 2, "activations": 1, "gradients": 4}) == []
    assert pairs.stale({"spectra": 3, "activations": 1}) == ["spectra"]
    assert pairs.stale({}) == ["activations", "spectra"]
    assert PairTable(frame).stale({"spectra": 3}) == []


def test_equal_tables_are_equal_in_all_that_they_hold(pairs):
    assert pairs == replace(pairs)
    assert pairs != replace(pairs, versions={})
    assert pairs != replace(pairs, frame=pairs.frame.assign(cosine=0.0))
    assert pairs != "a table"
    with pytest.raises(TypeError, match="unhashable"):
        hash(pairs)


def test_a_table_goes_to_a_worker_and_comes_back(pairs):
    assert pickle.loads(pickle.dumps(pairs)) == pairs


def test_one_screen_says_what_the_table_holds(pairs):
    more = pd.DataFrame(0.0, index=range(3), columns=[f"m{i}" for i in range(300)])
    wide = replace(pairs, frame=pd.concat([pairs.frame, more], axis=1))
    text = repr(wide)
    assert len(text.splitlines()) < 20
    assert max(map(len, text.splitlines())) <= 100
    assert " ".join(text.split()).startswith(
        "PairTable: 3 pairs of 3 models ('toy'), 303 metric columns (1 of weights, 2 of "
        "activations), missing values: 1"
    )
    assert "298 more columns" in text


def test_a_notebook_shows_names_as_text(frame):
    table = PairTable(frame.assign(suite="<b>"))
    page = table._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page
    assert "<table" in page


def test_the_door_takes_a_table_or_a_frame_and_nothing_else(pairs, frame):
    assert as_pairs(pairs) is pairs
    assert as_pairs(frame) == PairTable(frame)
    with pytest.raises(TableError, match="pairs table: is a list; give a PairTable or DataFrame"):
        as_pairs([frame])
