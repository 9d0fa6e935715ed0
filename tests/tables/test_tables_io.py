import os

import pandas as pd
import pytest

from mergecast.errors import ResourceError, TableError
from mergecast.tables.io import read_outcomes, read_pairs, write_outcomes, write_pairs


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_both_tables_come_back_bit_by_bit(suffix, pairs, outcomes, tmp_path):
    path = write_pairs(pairs, tmp_path / "new" / f"pairs{suffix}")
    back = read_pairs(path)
    pd.testing.assert_frame_equal(back, pairs, check_exact=True, check_dtype=False)
    assert back.attrs["missing"] == pairs.attrs["missing"]
    more = outcomes.assign(regime="hot", steps=10)
    back = read_outcomes(write_outcomes(more, tmp_path / f"outcomes{suffix}"))
    pd.testing.assert_frame_equal(back, more, check_exact=True, check_dtype=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", f"outcomes{suffix}"]


def test_csv_keeps_reasons_in_a_sidecar_which_goes_when_none_is_missing(pairs, tmp_path):
    write_pairs(pairs, tmp_path / "p.csv")
    sidecar = tmp_path / "p.missing.csv"
    assert "zero task vector, both" in sidecar.read_text()
    complete = pairs.fillna(0.0)
    complete.attrs = {}
    write_pairs(complete, tmp_path / "p.csv")
    assert not sidecar.exists()
    assert read_pairs(tmp_path / "p.csv").attrs["missing"] == []


def test_an_invalid_table_never_reaches_the_disk(pairs, tmp_path):
    with pytest.raises(TableError):
        write_pairs(pairs.assign(cosine="x"), tmp_path / "p.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_an_interrupted_write_leaves_the_old_table(suffix, pairs, tmp_path, monkeypatch):
    path = write_pairs(pairs, tmp_path / f"p{suffix}")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    complete = pairs.fillna(9.0)
    complete.attrs = {}
    with pytest.raises(ResourceError, match=f"p{suffix}: cannot be written: disk full"):
        write_pairs(complete, path)
    assert path.read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", b"", "not a csv table"),
        ("p.csv", b"\xff\xfe\x00\x01", "not a csv table"),
        ("p.csv", b"suite,left,right,cosine\ns,a,b,high\ns,a,c,0.1\n", "row 0: expected a number"),
        ("p.csv", b"suite,left,right,cosine\ns,a,b,high\n", "'cosine': expected numbers"),
        ("p.csv", b"suite,left,right,cosine\ns,b,a,1\n", "p.csv: pairs table, .*not sorted"),
        ("p.parquet", b"PAR1 this is none", "not a (P|p)arquet"),
        ("p.parquet", b"", "not a (P|p)arquet"),
        ("p.xlsx", b"", "unknown table format .xlsx; use .parquet or .csv"),
    ],
)
def test_a_bad_file_is_refused_by_name(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=message) as caught:
        read_pairs(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_folder_say_so(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_pairs(tmp_path / "absent.csv")
    (tmp_path / "f.csv").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        read_outcomes(tmp_path / "f.csv")
