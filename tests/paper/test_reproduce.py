import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from mergecast.analysis.audit import raw_outcomes
from mergecast.cli import reproduce as command
from mergecast.errors import TableError, UsageError
from mergecast.forecast.estimators.predictors import PREDICTORS, Predictor
from mergecast.forecast.training import training_rows
from mergecast.forecast.validation.protocols import PROTOCOLS, out_of_fold
from mergecast.forecast.validation.scoring import scores
from mergecast.paper.fits import released_fits
from mergecast.paper.refits import (
    NUMBERS,
    REFIT_COLUMNS,
    default_predictors,
    report_name,
    seed_spread,
)
from mergecast.paper.reproduce import reproduce
from mergecast.paper.results import read_setting
from mergecast.paper.selection import select
from published_folder import (
    SETTING,
    TASKS,
    change,
    fit_file,
    metrics_file,
    summary_file,
    write_results,
)
from recorded_progress import RecordedProgress

QUICK = ["constant", "partner_mean", "lasso"]


def invoke(*arguments):
    app = typer.Typer()
    app.command()(command.command)
    return CliRunner(env={"COLUMNS": "220"}).invoke(app, [str(a) for a in arguments])


def refits(found):
    return pd.DataFrame(found.to_dict()["refit"])


def test_the_object_has_exactly_the_agreed_keys(results):
    progress = RecordedProgress()
    found = reproduce(results, SETTING, QUICK, progress=progress)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert list(data) == ["setting", "pairs", "published", "refit", "additive_share", "audit"]
    assert data["setting"] == SETTING
    assert data["pairs"] == {"expected": 15, "used": 15, "missing": []}
    assert list(data["published"]) == ["top5_overlap", "sign_agreement", "per_fold_r"]
    assert list(data["published"]["per_fold_r"]) == ["task_arithmetic", "tsv"]
    assert data["published"]["top5_overlap"] is None  # of four metrics
    assert 0 <= data["published"]["sign_agreement"] <= 1
    assert all(list(row) == REFIT_COLUMNS for row in data["refit"])
    assert set(data["additive_share"]) == {"outcomes", "metrics"}
    assert data["additive_share"]["outcomes"]["task_arithmetic"] > 0.99
    assert all(list(row) == ["code", "severity", "message"] for row in data["audit"])
    assert progress.stages == {"refitting": [len(data["refit"])] * 2}


def test_refits_tell_the_intrinsic_method_from_the_pairwise_one(results):
    table = refits(reproduce(results, SETTING, QUICK))
    loto = table[(table["target"] == "normalized") & (table["protocol"] == "loto")]
    r = loto.set_index(["predictor", "method"])["per_fold_r"]
    assert r["partner_mean", "task_arithmetic"] > 0.95
    assert r["lasso", "tsv"] > 0.95
    assert r["lasso", "task_arithmetic"] < 0.9
    assert np.isnan(r["constant", "tsv"])
    unseen = table[table["protocol"] == "l2to"].set_index(["predictor", "method"])
    assert unseen.loc[("lasso", "tsv"), "mae"] < unseen.loc[("constant", "tsv"), "mae"] / 3
    assert unseen.loc["partner_mean", NUMBERS].isna().all(axis=None)
    assert set(table[table["target"] == "raw"]["protocol"]) == {"loto"}


def test_seeds_are_averaged_and_their_spread_is_reported(results):
    found = reproduce(results, SETTING, ["paper", "constant"], seeds=3)
    spread = seed_spread(found.runs)
    assert set(spread["predictor"]) == {"paper"}
    assert (spread["n_seeds"] == 3).all()
    row = spread.iloc[0]
    table = refits(found)
    mean = table[(table["predictor"] == "paper") & (table["target"] == row["target"])]
    assert mean["per_fold_r"].iloc[0] == pytest.approx(row["mean"])
    assert row["low"] <= row["mean"] <= row["high"]
    assert any(f.code == "seed_sensitive" for f in found.findings) == bool(
        (spread["high"] - spread["low"] > 0.05).any()
    )


def test_the_number_of_workers_does_not_change_a_number(results):
    one, two = (reproduce(results, SETTING, ["constant"], workers=n) for n in (1, 2))
    assert one.runs.equals(two.runs)


def test_a_setting_without_fits_with_other_methods_and_tasks(tmp_path):
    write_results(tmp_path, "New_Net", tasks=TASKS[:5], methods=("slerp", "mine"), fits=False)
    data = reproduce(tmp_path, "New_Net", QUICK).to_dict()
    assert data["published"] == {"top5_overlap": None, "sign_agreement": None, "per_fold_r": {}}
    assert {row["method"] for row in data["refit"]} == {"mine", "slerp"}
    assert data["pairs"]["expected"] == 10
    assert "no_released_fits" in {row["code"] for row in data["audit"]}


def test_too_few_tasks_for_a_protocol_are_reported_not_hidden(tmp_path):
    write_results(tmp_path, "Few_Net", tasks=TASKS[:3], fits=False)
    data = reproduce(tmp_path, "Few_Net", ["constant"]).to_dict()
    unseen = [row for row in data["refit"] if row["protocol"] == "l2to"]
    assert all(row["mae"] is None for row in unseen)
    messages = [row["message"] for row in data["audit"] if row["code"] == "not_fitted"]
    assert len(messages) == 2
    assert "no pair is left to train on" in messages[0]


def test_a_constant_target_is_reported_and_gives_no_r(results):
    def edit(data):
        for entry in data.values():
            for task in set(entry) - {"avg"}:
                entry[task][0][f"normalized_acc/test/{task}"] = 0.9
                entry[task][0][f"acc/test/{task}"] = 0.9 * 0.9

    change(summary_file(results, "tsv"), edit)
    (results / "finetuning" / "accs.json").unlink()
    found = reproduce(results, SETTING, ["lasso"])
    table = refits(found).set_index(["target", "method"])
    assert table.loc[("normalized", "tsv"), "per_fold_r"].isna().all()
    assert "constant_outcome" in {f.code for f in found.findings}
    assert found.to_dict()["additive_share"]["outcomes"]["tsv"] is None


def test_a_damaged_neighbour_or_foreign_fit_does_not_stop_a_setting(results):
    write_results(results, "Net-S_SGD", fits=False)
    metrics_file(results, "Net-S_SGD").write_text("{")
    change(fit_file(results, "tsv"), lambda d: d["fold_results"][0].update(held_out_task="moon"))
    found = {f.code: f.message for f in reproduce(results, SETTING, ["constant"]).findings}
    assert found["unreadable_setting"].startswith("Net-S_SGD is not compared with")
    assert "held-out task 'moon' has no pair" in found["released_fit_not_reproduced"]


def test_a_damaged_experiment_does_not_stop_a_setting(results):
    good = fit_file(results)
    damaged = fit_file(results, experiment="l1_loto_cv_no_subspace")
    damaged.parent.mkdir()
    damaged.write_text(good.read_text().replace('"held_out_task"', '"task"', 1))
    found = reproduce(results, SETTING, ["constant"])
    assert list(found.experiments) == ["loto_cv_l1_lambda1.0"]
    (finding,) = [f for f in found.findings if f.code == "unreadable_experiment"]
    assert "row 0, key 'held_out_task': missing; found: 'task'" in finding.message


def test_wrong_requests_are_refused(results):
    with pytest.raises(UsageError, match="setting 'Net': unknown"):
        reproduce(results, "Net")
    with pytest.raises(UsageError, match="predictor 'laso': unknown; did you mean 'lasso'"):
        reproduce(results, SETTING, ["laso"])
    with pytest.raises(UsageError, match="0 is not a number of seeds"):
        reproduce(results, SETTING, seeds=0)
    metrics_file(results).write_text("[]")
    with pytest.raises(TableError):
        reproduce(results, SETTING)


def test_names_say_which_predictors_use_known_outcomes():
    assert {"constant", "partner_mean", "paper", "ridge", "lasso"} <= set(default_predictors())
    for predictor in PREDICTORS:
        name = report_name(predictor)
        assert (name.endswith("_warm") or name == "partner_mean") == predictor.warm


def test_a_cold_name_that_follows_known_outcomes_is_exposed(results):
    disguised = Predictor("clever", PREDICTORS.get("partner_mean").make, False, "partner mean")
    with PREDICTORS.isolated():
        PREDICTORS.add("clever", disguised)
        found = reproduce(results, SETTING, ["clever", "ridge"], workers=1)
    (message,) = [f.message for f in found.findings if f.code == "predictor_identifies_partner"]
    assert message.startswith("clever: with one task unseen its predictions follow partner mean")
    assert any(f.code == "not_fitted" and "clever" in f.message for f in found.findings)


def test_the_command_prints_published_beside_recomputed(results):
    change(summary_file(results, "tsv"), lambda d: d.update(pets__cars={"error": "no memory"}))
    write_results(results, "Net-S_SGD", fits=False)
    result = invoke(results, "--setting", SETTING, "--predictor", "paper", "--predictor",
                    "partner_mean", "--seeds", "2", "--workers", "1")  # fmt: skip
    assert result.exit_code == 0, result.output
    for text in (
        f"{SETTING}: 6 tasks, 14 of 15 pairs used, 4 metrics",
        "not used: cars+pets: tsv: merge failed: no memory",
        "Released coefficients",
        "published r",
        "loto_cv_l1_lambda1.0",
        "Corrected: normalized accuracy, both tasks unseen",
        "Additive share of outcomes",
        "permuted, corrected (FDR)",
        "Beside other settings",
        "error   duplicated_outcomes",
    ):
        assert text in result.stdout


def test_the_command_as_json_is_the_same_object(results):
    arguments = ("--predictor", "constant", "--workers", "1", "--json")
    result = invoke(results, *arguments)  # the only setting needs no name
    assert json.loads(result.stdout) == reproduce(results, SETTING, ["constant"]).to_dict()
    write_results(results, "Net-S_SGD")
    error = invoke(results, *arguments).exception
    assert str(error) == "setting: not given; choose one: Net-S_Adam, Net-S_SGD"


def test_the_command_without_fits_or_defined_correlations(tmp_path):
    write_results(tmp_path, "New_Net", tasks=TASKS[:3], methods=("mine",), fits=False)
    change(
        metrics_file(tmp_path, "New_Net", 3),
        lambda d: [m.update(matrix=[[1.0] * 3] * 3) for m in d["metrics"].values()],
    )
    result = invoke(tmp_path, "--predictor", "constant", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "published r" not in result.stdout
    assert "constant_metric" in result.stdout


def test_the_papers_solver_gives_the_published_r(paper_results):
    fits = released_fits(paper_results, "ViT-B-16_AdamW")
    chosen = select(read_setting(paper_results, "ViT-B-16_AdamW"), fits)
    data = training_rows(chosen.pairs, raw_outcomes(chosen.outcomes), chosen.methods)
    loto, paper = PROTOCOLS.get("loto"), PREDICTORS.get("paper")
    for method, rows in data.items():
        found = scores(out_of_fold(rows, paper, loto))["per_fold_r"]
        assert found == pytest.approx(fits[method].per_fold_r, abs=0.05)


def test_a_folder_without_settings_says_what_is_missing(tmp_path):
    (tmp_path / "mergeability").mkdir()
    error = str(invoke(tmp_path).exception)
    assert "no mergeability/<SETTING>/pairwise_metrics_N<n>.json in it" in error
    assert error.endswith("copy the whole results folder")


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_printed_tables_break_no_name_and_fit_the_width(results, columns):
    app = typer.Typer()
    app.command()(command.command)
    arguments = [str(results), "--predictor", "constant", "--predictor", "additive_plus_warm"]
    result = CliRunner(env={"COLUMNS": columns}).invoke(app, [*arguments, "--workers", "1"])
    assert result.exit_code == 0, result.output
    tables, _, audit = result.stdout.partition("\nAudit")
    for name in ("task_arithmetic", "task_vector_cosine_similarity", "loto_cv_l1_lambda1.0"):
        assert name in tables
    assert audit
    ruled = [i for i, line in enumerate(tables.splitlines()) if line.startswith("─")]
    assert len(ruled) > 6
    assert max(len(line) for line in tables.splitlines() if "─" in line) <= int(columns)
