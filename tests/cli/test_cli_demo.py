"""The demo's second half on measured tables, and that the shipped forecaster is the fit of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mergecast.api import demo
from mergecast.cli.main import run
from mergecast.forecast.forecaster import Forecaster
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.runs import load_run

MEASURED = Path(__file__).parents[2] / "src" / "mergecast" / "data" / "measured" / "digits-14"


@pytest.fixture
def measured_run(monkeypatch):
    """Stands in for fine-tuning and merging: the same tables, as the full suite measured them."""

    def run_suite(name, out, *, only, seed, workers, n_sets, progress):
        assert name == "digits-14"
        out.mkdir(parents=True)
        pairs = PairTable.read(MEASURED / "pairs.parquet")
        pairs = pairs.keep(pairs.frame[["left", "right"]].isin(only).all(axis=1))
        kept = set(pairs.frame["left"] + "+" + pairs.frame["right"])
        outcomes = OutcomeTable.read(MEASURED / "outcomes.parquet")
        rows = outcomes.frame
        outcomes = outcomes.keep(rows["members"].isin(kept) & rows["recipe"].isin(["ties", "tsv"]))
        pairs.up_to("weights").write(out / "pairs.parquet")
        outcomes.write(out / "outcomes.parquet")
        shutil.copy(MEASURED / "tasks.parquet", out)
        return out

    monkeypatch.setattr(demo, "run_suite", run_suite)
    monkeypatch.setattr(demo, "TASKS", demo.TASKS[:6])


def test_the_demo_ends_in_a_table_a_report_and_a_forecaster(measured_run, tmp_path, capsys):
    assert run(["demo", "-o", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    assert "Retention of a pair, by method: forecast beside measured" in out
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "what was forecast" in page
    assert sorted(Forecaster.load(tmp_path / "demo" / "forecaster.json").file.methods) == [
        "ties",
        "tsv",
    ]


def test_the_demo_s_summary_for_machines(measured_run, tmp_path, capsys):
    assert run(["demo", "-o", str(tmp_path / "demo"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert len(summary["pairs"]) == 15
    assert {row["method"] for row in summary["rows"]} == {"ties", "tsv"}


def test_the_shipped_forecaster_is_the_fit_of_the_shipped_tables():
    pairs, outcomes = load_run(
        *(path.parent for path in sorted(MEASURED.parent.glob("*/suite.json")))
    )
    fitted = Forecaster.fit(pairs, outcomes.keep(outcomes.frame["recipe"] == "ties"))
    shipped = Forecaster.load()
    assert list(shipped.file.tiers) == ["weights", "activations", "labels"]
    assert list(fitted.file.tiers) == ["weights", "activations", "labels"]
    for tier, models in fitted.file.tiers.items():
        again, stored = models["ties"], shipped.file.tiers[tier]["ties"]
        assert again.predictor == stored.predictor
        assert [f.name for f in again.features] == [f.name for f in stored.features]
        new, old = again.model.model_dump(), stored.model.model_dump()
        assert new == {key: pytest.approx(value, abs=1e-6) for key, value in old.items()}
        for new, old in zip(again.residual_quantiles, stored.residual_quantiles, strict=True):
            assert new.half_width == pytest.approx(old.half_width, abs=1e-6)
