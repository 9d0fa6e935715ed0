"""Scores as people have them, through the commands: harness results, and CSV with few columns."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from harness_files import answers, write
from mergecast.cli.main import run
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

MODELS = "abcde"


@pytest.fixture
def folder(tmp_path):
    """A run folder with a pair table only."""
    generator = np.random.default_rng(0)
    rows = [
        {"suite": "llm", "left": left, "right": right, "cosine": generator.normal()}
        for left, right in combinations(MODELS, 2)
    ]
    PairTable(pd.DataFrame(rows)).write(tmp_path / "run/pairs.parquet")
    return tmp_path / "run"


def fits_and_reports(folder, capsys):
    """The report's summary of a folder that `fit` takes too."""
    assert run(["fit", str(folder), "-o", str(folder / "f.json")]) == 0
    assert run(["report", str(folder)]) == 0
    capsys.readouterr()
    assert run(["report", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_results_of_the_harness_are_fitted_and_reported(folder, tmp_path, capsys):
    generator = np.random.default_rng(1)
    listing = {"suite": "llm", "models": {}, "merges": {"ties": {}}}
    for label in MODELS:
        write(tmp_path / label, answers(generator.choice([0.0, 1.0, 1.0], 40)))
        listing["models"][label] = {"results": label, "task": "arc"}
    for left, right in combinations(MODELS, 2):
        write(tmp_path / (left + right), answers(generator.choice([0.0, 1.0], 40)))
        listing["merges"]["ties"][f"{left}+{right}"] = left + right
    scores = tmp_path / "scores.yaml"
    scores.write_text(json.dumps(listing), encoding="utf-8")  # JSON is YAML
    out = folder / "outcomes.parquet"
    assert run(["outcomes", str(scores), "-o", str(out)]) == 0
    assert "a: arc by acc,none\n" in (printed := capsys.readouterr().out)
    assert f"10 merges, 20 rows → {out}" in printed
    summary = fits_and_reports(folder, capsys)
    paired = OutcomeTable.read(out).frame["retention_stderr"]
    assert summary["header"]["n_eval"] == [40, 40]
    error = summary["methods"][0]["measured"]["sampling_error"]
    assert paired.min() / 2 < error < paired.max()


def test_json_says_what_each_model_was_judged_by(example_folder, capsys):
    assert run(["outcomes", "lm/scores.yaml", "-o", "o.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"]["b"] == {"harness_task": "gsm", "metric": "exact_match,strict-match"}
    assert [row["n_eval"] for row in found["table"]] == [4, 4]
    assert run(["outcomes", "lm/scores.yaml", "-o", "o.json"]) == 2
    assert "unknown table format .json" in capsys.readouterr().err


def rounded(folder, decimals, *, retention):
    """A CSV of pairs' scores as people write them down."""
    generator = np.random.default_rng(2)
    rows = []
    for members in combinations(MODELS, 2):
        for task in members:
            score, single = generator.uniform(0.5, 0.7), generator.uniform(0.8, 0.9)
            row = {
                "suite": "llm",
                "method": "ties",
                "members": "+".join(members),
                "task": task,
                "score": round(score, decimals),
                "single_score": round(single, decimals),
            }
            rows.append(row | ({"retention": round(score / single, decimals)} if retention else {}))
    frame = pd.DataFrame(rows)
    frame.to_csv(folder / "outcomes.csv", index=False)
    return frame


@pytest.mark.parametrize("decimals", [2, 3, 4])
@pytest.mark.parametrize("retention", [True, False])
def test_a_csv_of_rounded_scores_is_read(decimals, retention, tmp_path):
    written = rounded(tmp_path, decimals, retention=retention)
    table = OutcomeTable.read(tmp_path / "outcomes.csv").frame
    # As it is given, or what the scores say where it is not.
    kept = written["retention"] if retention else written["score"] / written["single_score"]
    assert table["retention"].to_numpy() == pytest.approx(kept.to_numpy(), abs=1e-9)
    assert table["n_eval"].isna().all()


@pytest.mark.parametrize(("decimals", "retention"), [(2, True), (4, False)])
def test_a_csv_of_rounded_scores_and_nothing_else_is_enough(decimals, retention, folder, capsys):
    rounded(folder, decimals, retention=retention)
    summary = fits_and_reports(folder, capsys)
    assert summary["header"]["n_eval"] == []
    assert summary["header"]["seeds"] == [0]
    assert summary["methods"][0]["measured"]["sampling_error"] is None
    assert "an unknown number of test samples" in (folder / "report.html").read_text("utf-8")
