"""`fit` and `forecast --suite`: a zoo with measured merges, and one more model of the same base."""

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.tables.outcomes import OutcomeTable
from tiny_family import arrays

LABELS = "abcdefgh"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Base, eight models, and a forecaster that saw the merges of all but the last one.

    What a model keeps is a matter of that model alone.
    """
    folder = tmp_path_factory.mktemp("zoo")
    write_safetensors(folder / "base.safetensors", arrays(0))
    for seed, label in enumerate(LABELS, start=1):
        write_safetensors(folder / f"{label}.safetensors", arrays(seed))
    paths = [folder / f"{label}.safetensors" for label in LABELS]
    base = folder / "base.safetensors"
    known = [base, *paths[:-1]]
    output = ("--suite", "zoo", "-o", folder / "pairs.parquet")
    assert run(["metrics", *map(str, [*known, *output])]) == 0
    random = np.random.default_rng(0)
    keeps = dict(zip(LABELS, 0.95 - 0.02 * np.arange(8), strict=True))
    rows = [
        {"suite": "zoo", "method": "ties", "members": f"{left}+{right}", "task": task,
         "score": (kept := keeps[task] + 0.002 * random.normal()), "single_score": 1.0,
         "retention": kept, "loss": 0.1, "single_loss": 0.1, "n_eval": 100, "seed": 0}
        for left, right in combinations(LABELS[:-1], 2)
        for task in (left, right)
    ]  # fmt: skip
    OutcomeTable(pd.DataFrame(rows)).write(folder / "outcomes.parquet")
    return base, paths, folder, keeps


@pytest.fixture(scope="module")
def forecaster_file(zoo):
    folder = zoo[2]
    asked = ("--predictor", "additive_plus_warm")
    assert run(["fit", str(folder), "-o", str(folder / "zoo.json"), *asked]) == 0
    return folder / "zoo.json"


def flat(printed):
    """What was printed, however wide the terminal."""
    return " ".join(printed.split())


def call(*arguments):
    return run(["forecast", *map(str, arguments)])


def test_a_new_models_partners_keep_what_they_are_known_to_keep(zoo, forecaster_file, capsys):
    base, paths, _, keeps = zoo
    asked = ("--forecaster", forecaster_file, "--suite", "zoo", "--json")
    assert call(base, *paths, *asked) == 0
    summary = json.loads(capsys.readouterr().out)
    with_new = [row for row in summary["rows"] if row["right"] == "h" and row["member"] != "h"]
    assert len(with_new) == 7
    for row in with_new:
        assert row["basis"] == "warm"
        assert row["predicted"] == pytest.approx(keeps[row["member"]], abs=0.01)
    assert summary["header"]["suite"] == "zoo"
    assert summary["methods"][0]["warm"]["sentence"].startswith(
        "With known outcomes of one of the two models: error 0.0"
    )
    assert (
        "Known outcomes of a, b, c, d, e, f, g (suite zoo) were used for 28 of 28 pairs, by ties."
        in summary["verdict"]
    )


def test_the_same_labels_without_the_option_are_strangers(zoo, forecaster_file, capsys):
    base, paths, _, _ = zoo
    assert call(base, *paths, "--forecaster", forecaster_file, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert {row["basis"] for row in summary["rows"]} == {"cold"}
    assert not any("nown outcomes" in sentence for sentence in summary["verdict"])


def test_terminal_and_page_say_which_forecasts_use_known_outcomes(
    zoo, forecaster_file, tmp_path, capsys
):
    base, paths, _, _ = zoo
    asked = ("--forecaster", forecaster_file, "--suite", "zoo", "--report", tmp_path)
    assert call(base, *paths[-2:], *asked) == 0
    printed = flat(capsys.readouterr().out)
    assert "ties (known)" in printed
    assert "Known outcomes of g (suite zoo) were used for 1 of 1 pairs, by ties." in printed
    page = (tmp_path / "report.html").read_text("utf-8")
    for text in ("(known outcomes)", "were declared to be those of suite zoo",
                 "With known outcomes of one of the two models: error"):  # fmt: skip
        assert text in page
    assert call(base, *paths[-2:], *asked[:2], "--report", tmp_path) == 0
    assert "nown outcomes" not in (tmp_path / "report.html").read_text("utf-8")


def test_a_suite_of_strangers_and_an_unknown_suite_are_said(zoo, forecaster_file, tmp_path, capsys):
    base, paths, _, _ = zoo
    renamed = []
    for path in paths[:2]:
        renamed.append(tmp_path / f"new-{path.name}")
        renamed[-1].write_bytes(path.read_bytes())
    asked = ("--forecaster", forecaster_file, "--suite")
    assert call(base, *renamed, *asked, "zoo") == 0
    printed = flat(capsys.readouterr().out)
    assert "none of these models has the label of one of suite zoo (a, b, c" in printed
    assert call(base, *renamed, *asked, "zo") == 2
    assert "suite 'zo': unknown; did you mean 'zoo'?" in capsys.readouterr().err


def test_fit_says_where_known_outcomes_help(zoo, capsys):
    folder = zoo[2]
    assert run(["fit", str(folder), "-o", str(folder / "auto.json")]) == 0
    printed = capsys.readouterr().out
    assert "the model for pairs with a known member (forecast --suite)" in flat(printed)
    warm = json.loads((folder / "auto.json").read_text())["warm"]["weights"]
    assert warm.keys() == {"ties"}
    known = f"→ {warm['ties']['validation']['additive_plus_warm']['mae']:.4f}"
    assert any(" ties " in line and line.rstrip().endswith(known) for line in printed.splitlines())


def test_a_model_by_metrics_alone_is_an_ordinary_forecaster(zoo, tmp_path, capsys):
    base, paths, folder, _ = zoo
    file = tmp_path / "f.json"
    assert run(["fit", str(folder), "-o", str(file), "--predictor", "additive_plus"]) == 0
    assert "and models like them" in flat(capsys.readouterr().out)
    assert call(base, *paths, "--forecaster", file, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert all(row["predicted"] is not None for row in summary["rows"])
    assert summary["methods"][0]["predictor"] == "additive_plus"
