import pytest

from mergecast.errors import UsageError
from mergecast.tables.io import read_pairs, write_pairs
from mergecast.tables.tiers import ALL, known_tier, tiers_of, up_to


@pytest.fixture
def tiered(pairs):
    named = dict.fromkeys(["reach:left<-right", "reach:right<-left"], "activations")
    pairs.attrs["tiers"] = {"cosine": "weights", **named}
    return pairs


def test_a_table_is_cut_to_what_a_cheaper_tier_would_hold(tiered):
    assert tiers_of(tiered) == ["weights", "activations"]
    cheap = up_to(tiered, "weights")
    assert list(cheap.columns) == ["suite", "left", "right", "cosine"]
    assert tiers_of(cheap) == ["weights"]
    assert cheap.attrs["missing"] == tiered.attrs["missing"]
    assert list(up_to(tiered, "gradients").columns) == list(tiered.columns)


def test_reasons_go_with_their_columns(tiered):
    reason = {"left": "b", "right": "c", "key": "reach:left<-right", "reason": "NaN loss"}
    tiered.attrs["missing"].append(reason)
    assert reason not in up_to(tiered, "weights").attrs["missing"]
    assert reason in up_to(tiered, "activations").attrs["missing"]


def test_a_table_that_does_not_say_is_one_tier(pairs):
    assert tiers_of(pairs) == [ALL]
    assert up_to(pairs, ALL) is pairs


def test_parquet_keeps_the_tiers_and_csv_does_not(tiered, tmp_path):
    for suffix, tiers in ((".parquet", ["weights", "activations"]), (".csv", [ALL])):
        path = write_pairs(tiered, tmp_path / f"pairs{suffix}")
        assert tiers_of(read_pairs(path)) == tiers


def test_an_unknown_tier_is_named(tiered):
    with pytest.raises(UsageError, match="tier 'gradient': unknown; did you mean 'gradients'"):
        known_tier("gradient")
    with pytest.raises(UsageError, match="unknown"):
        up_to(tiered, "everything")
