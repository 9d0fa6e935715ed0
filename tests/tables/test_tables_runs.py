import pytest

from mergecast.errors import TableError, UsageError
from mergecast.tables.io import write_outcomes, write_pairs
from mergecast.tables.pairs import missing_reasons
from mergecast.tables.runs import load_run


def store(folder, pairs, outcomes, suite="toy", suffix=".parquet"):
    write_pairs(pairs.assign(suite=suite), folder / f"pairs{suffix}")
    write_outcomes(outcomes.assign(suite=suite), folder / f"outcomes{suffix}")
    return folder


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_suite_folder_gives_both_tables(suffix, pairs, outcomes, tmp_path):
    found_pairs, found_outcomes = load_run(store(tmp_path, pairs, outcomes, suffix=suffix))
    assert (len(found_pairs), len(found_outcomes)) == (3, 6)
    assert found_pairs.attrs["missing"] == pairs.attrs["missing"]


def test_several_folders_are_put_below_each_other_with_their_reasons(pairs, outcomes, tmp_path):
    one = store(tmp_path / "one", pairs, outcomes, "one")
    two = store(tmp_path / "two", pairs.drop(columns="cosine"), outcomes, "two")
    found, measured = load_run(one, two)
    assert found["suite"].tolist() == ["one"] * 3 + ["two"] * 3
    assert len(measured) == 12
    reasons = missing_reasons(found)
    assert reasons["one", "b", "c", "cosine"] == "zero task vector, both"
    assert reasons["two", "NA", "b", "cosine"] == "not measured in this suite"
    with pytest.raises(TableError, match=r"two: holds suite 'two', which .*again holds too"):
        load_run(store(tmp_path / "again", pairs, outcomes, "two"), two)


def test_what_a_folder_lacks_is_named(pairs, outcomes, tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        load_run(tmp_path / "absent")
    with pytest.raises(TableError, match=r"no pairs.parquet or pairs.csv"):
        load_run(tmp_path)
    path = write_pairs(pairs, tmp_path / "pairs.parquet")
    with pytest.raises(TableError, match=r"no outcomes.parquet"):
        load_run(tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        load_run(path)


def test_suites_that_do_not_match_are_named(pairs, outcomes, tmp_path):
    write_pairs(pairs, tmp_path / "pairs.parquet")
    write_outcomes(outcomes.assign(suite="other"), tmp_path / "outcomes.parquet")
    with pytest.raises(TableError, match="unknown suite 'other'; the pair table has 'toy'"):
        load_run(tmp_path)
    extra = pairs.assign(suite=["toy", "toy", "more"])
    write_pairs(extra, tmp_path / "pairs.parquet")
    write_outcomes(outcomes, tmp_path / "outcomes.parquet")
    with pytest.raises(TableError, match="suite 'more' has no outcomes"):
        load_run(tmp_path)
