"""Tables on disk: what comes back, what of earlier versions is read, what is refused."""

import json
import os

import pandas as pd
import pytest

from mergecast.errors import ResourceError, TableError
from mergecast.tables.io import read_table, write_table
from mergecast.tables.metadata import FORMAT
from mergecast.tables.missing import MissingOutcome
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

BOTH = pytest.mark.parametrize("suffix", [".parquet", ".csv"])


@BOTH
def test_both_tables_come_back_with_all_that_they_hold(suffix, pairs, outcome_frame, tmp_path):
    path = pairs.write(tmp_path / "new" / f"pairs{suffix}")
    assert PairTable.read(path) == pairs
    more = outcome_frame.assign(regime="01", steps=10, done=[True, False] * 3, rate=0.1)
    more.loc[0, ["score", "retention"]] = float("nan")
    reason = MissingOutcome("toy", "ties", "NA+b", "NA", 0, "diverged")
    table = OutcomeTable(more, missing=[reason], versions={"merge": 1}, recipe={"steps": 3})
    back = OutcomeTable.read(table.write(tmp_path / f"outcomes{suffix}"))
    assert back == table
    assert (back.missing, back.versions, back.recipe) == ((reason,), {"merge": 1}, {"steps": 3})


def test_a_csv_has_one_sidecar_that_can_be_read_by_eye(pairs, tmp_path):
    pairs.write(tmp_path / "p.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.meta.json"]
    content = json.loads((tmp_path / "p.meta.json").read_text(encoding="utf-8"))
    assert content["format"] == FORMAT
    assert content["tiers"]["cosine"] == "weights"
    assert content["missing"][0]["reason"] == "zero task vector, both"


def test_a_parquet_table_is_an_ordinary_frame_for_others(pairs, tmp_path):
    plain = pd.read_parquet(pairs.write(tmp_path / "p.parquet"))
    assert plain.attrs == {}
    pd.testing.assert_frame_equal(plain, pairs.frame, check_exact=True)


def test_a_table_without_anything_beside_it_is_read(frame, tmp_path):
    frame.to_csv(tmp_path / "p.csv", index=False)
    frame.to_parquet(tmp_path / "p.parquet")
    for suffix in (".csv", ".parquet"):
        assert PairTable.read(tmp_path / f"p{suffix}") == PairTable(frame)


def test_a_parquet_table_of_an_earlier_version_is_read(pairs, outcome_frame, tmp_path):
    """It kept reasons and tiers in the frame's attributes, reasons without a suite."""
    reason = {"left": "b", "right": "c", "key": "cosine", "reason": "zero task vector, both"}
    old = pairs.to_pandas()
    old.attrs = {"missing": [reason], "tiers": dict(pairs.tiers)}
    old.to_parquet(tmp_path / "p.parquet")
    back = PairTable.read(tmp_path / "p.parquet")
    assert (back.missing, back.tiers) == (pairs.missing, pairs.tiers)
    assert (back.versions, back.recipe) == ({}, {})
    outcome_frame.loc[0, ["score", "retention"]] = float("nan")
    lost = {"method": "ties", "members": "NA+b", "task": "NA", "reason": "diverged"}
    outcome_frame.attrs = {"missing": [lost]}
    outcome_frame.to_parquet(tmp_path / "o.parquet")
    [missing] = OutcomeTable.read(tmp_path / "o.parquet").missing
    assert missing == MissingOutcome("toy", "ties", "NA+b", "NA", 0, "diverged")


def test_a_csv_table_of_an_earlier_version_is_read_and_its_sidecar_replaced(pairs, tmp_path):
    pairs.frame.to_csv(tmp_path / "p.csv", index=False)
    reasons = 'suite,left,right,key,reason\n,b,c,cosine,"zero task vector, both"\n'
    (tmp_path / "p.missing.csv").write_text(reasons, encoding="utf-8")
    back = PairTable.read(tmp_path / "p.csv")
    assert back.missing == pairs.missing
    back.write(tmp_path / "p.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.meta.json"]
    assert PairTable.read(tmp_path / "p.csv").missing == pairs.missing


def rewritten(pairs, path, change):
    """The table with its metadata changed, as another version or hand would have written it."""
    pairs.write(path)
    if path.suffix == ".csv":
        sidecar = path.with_name(f"{path.stem}.meta.json")
        content = json.loads(sidecar.read_text())
        change(content)
        sidecar.write_text(json.dumps(content))
        return path
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    content = json.loads(table.schema.metadata[b"mergecast"])
    change(content)
    kept = {**table.schema.metadata, b"mergecast": json.dumps(content).encode()}
    pq.write_table(table.replace_schema_metadata(kept), path)
    return path


@BOTH
def test_a_table_of_a_newer_version_is_refused_with_what_to_do(suffix, pairs, tmp_path):
    path = rewritten(
        pairs, tmp_path / f"p{suffix}", lambda c: c.update(format=FORMAT + 1, curve=[1, 2])
    )
    with pytest.raises(
        TableError,
        match=rf"written by a newer mergecast \(table format {FORMAT + 1}, known up to {FORMAT}\); "
        "update mergecast, or write the table again with this version",
    ) as caught:
        PairTable.read(path)
    assert str(caught.value).startswith(str(tmp_path / "p"))
    assert "\n" not in str(caught.value)


@BOTH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(tiers=["weights"]), "damaged metadata: tiers: Input should be"),
        (lambda c: c.update(curve=[1]), "damaged metadata: curve: Extra inputs"),
        (lambda c: c.update(versions={"spectra": "new"}), "versions.spectra: Input should be"),
        (lambda c: c.update(tiers={"cosine": "cheap"}), "tier 'cheap' unknown"),
        (lambda c: c.update(missing=[{"key": "cosine"}]), "is not the reason of a value"),
    ],
)
def test_damaged_metadata_is_refused_by_file_and_place(suffix, change, message, pairs, tmp_path):
    path = rewritten(pairs, tmp_path / f"p{suffix}", change)
    with pytest.raises(TableError, match=message) as caught:
        PairTable.read(path)
    assert str(caught.value).startswith(str(tmp_path / "p"))


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_a_sidecar_that_is_no_json_object_is_refused(text, pairs, tmp_path):
    pairs.write(tmp_path / "p.csv")
    (tmp_path / "p.meta.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(TableError, match=r"p\.meta\.json: damaged metadata"):
        PairTable.read(tmp_path / "p.csv")


@BOTH
def test_an_interrupted_write_leaves_the_old_table(suffix, pairs, frame, tmp_path, monkeypatch):
    path = pairs.write(tmp_path / f"p{suffix}")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(ResourceError, match=r"cannot be written: disk full"):
        PairTable(frame.fillna(9.0)).write(path)
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
        PairTable.read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_folder_say_so(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        PairTable.read(tmp_path / "absent.csv")
    (tmp_path / "f.csv").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        OutcomeTable.read(tmp_path / "f.csv")


def test_a_table_is_written_in_no_other_format(pairs, tmp_path):
    with pytest.raises(TableError, match=r"unknown table format \.xlsx; use \.parquet or \.csv"):
        pairs.write(tmp_path / "p.xlsx")
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_any_frame_can_be_written_with_nothing_beside_it(suffix, tmp_path):
    rows = pd.DataFrame({"task": ["a", "b"], "score": [0.5, float("nan")]})
    path = write_table(rows, tmp_path / f"tasks{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    back, _ = read_table(path, ["task"])
    pd.testing.assert_frame_equal(back, rows, check_dtype=False)
