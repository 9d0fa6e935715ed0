from dataclasses import replace

import pytest

from mergecast.errors import TableError, UsageError
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.runs import load_run


def store(folder, pairs, outcomes, suite="toy", suffix=".parquet"):
    renamed = [replace(table, frame=table.frame.assign(suite=suite)) for table in (pairs, outcomes)]
    for table, name in zip(renamed, ("pairs", "outcomes"), strict=True):
        table.write(folder / f"{name}{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_suite_folder_gives_both_tables(suffix, pairs, outcomes, tmp_path):
    assert load_run(store(tmp_path, pairs, outcomes, suffix=suffix)) == (pairs, outcomes)


def test_several_folders_are_put_below_each_other_with_their_reasons(frame, outcomes, tmp_path):
    reason = {"left": "b", "right": "c", "key": "cosine", "reason": "zero task vector"}
    one = tmp_path / "one"
    pairs = PairTable.from_pandas(frame.assign(suite="one"), missing=[reason])
    pairs.write(one / "pairs.parquet")
    OutcomeTable(outcomes.frame.assign(suite="one")).write(one / "outcomes.parquet")
    two = store(tmp_path / "two", PairTable(frame.drop(columns="cosine")), outcomes, "two")
    table, measured = load_run(one, two)
    assert table.frame["suite"].tolist() == ["one"] * 3 + ["two"] * 3
    assert len(measured) == 12
    assert table.reason("one", "b", "c", "cosine") == "zero task vector"
    assert table.reason("two", "NA", "b", "cosine") == "not measured in this suite"
    with pytest.raises(TableError, match=r"two: holds suite 'two', which .*again holds too"):
        load_run(store(tmp_path / "again", pairs, outcomes, "two"), two)


def test_what_a_folder_lacks_is_named(pairs, outcomes, tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        load_run(tmp_path / "absent")
    with pytest.raises(TableError, match=r"no pairs.parquet or pairs.csv"):
        load_run(tmp_path)
    path = pairs.write(tmp_path / "pairs.parquet")
    with pytest.raises(TableError, match=r"no outcomes.parquet"):
        load_run(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        load_run(path)


def test_suites_that_do_not_match_are_named(frame, pairs, outcomes, outcome_frame, tmp_path):
    pairs.write(tmp_path / "pairs.parquet")
    OutcomeTable(outcome_frame.assign(suite="other")).write(tmp_path / "outcomes.parquet")
    with pytest.raises(TableError, match="unknown suite 'other'; the pair table has 'toy'"):
        load_run(tmp_path)
    PairTable(frame.assign(suite=["toy", "toy", "more"])).write(tmp_path / "pairs.parquet")
    outcomes.write(tmp_path / "outcomes.parquet")
    with pytest.raises(TableError, match="suite 'more' has no outcomes"):
        load_run(tmp_path)
