import shutil

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mergecast.cli import reproduce as command
from mergecast.errors import TableError, UsageError
from mergecast.paper.reproduce import reproduce
from mergecast.paper.results import read_setting
from mergecast.paper.sensitivity import calibration_sensitivity, published_sizes
from published_folder import METRICS, SETTING, change, metrics_file, write_results
from synthetic_suite import build_suite

SAMPLED = "activation_l2_distance"


@pytest.fixture
def measured():
    """A suite whose metric `reach` is measured with little noise (size 64) and with much (8)."""
    pairs, outcomes = build_suite("metric", n_tasks=7)
    random = np.random.default_rng(3)
    columns = ["reach:left<-right", "reach:right<-left"]
    noisy = {
        size: pairs.assign(**{c: pairs[c] + sd * random.normal(size=len(pairs)) for c in columns})
        for size, sd in ((64, 0.05), (8, 3.0))
    }
    return noisy, outcomes


def with_size(results, size, noise=0.0):
    """Write a metric file of one metric beside the setting's own."""
    home = metrics_file(results).parent / "calibration_sensitivity" / str(size)

    def edit(data):
        random = np.random.default_rng(size)
        matrix = [
            [v if v is None else v + noise * random.normal() for v in row]
            for row in data["metrics"][SAMPLED]["matrix"]
        ]
        data["metrics"] = {SAMPLED: {"matrix": matrix}}

    home.mkdir(parents=True)
    shutil.copy(metrics_file(results), home)
    change(home / metrics_file(results).name, edit)
    return home


def test_a_noisy_measurement_agrees_less_and_forecasts_worse(measured):
    tables, outcomes = measured
    found = calibration_sensitivity(tables, outcomes, predictors=["lasso"])
    metrics = found.metrics.set_index("metric")
    assert metrics.loc["cosine", "r"] == pytest.approx(1.0)
    assert metrics.loc["reach", "r"] < 0.8
    assert (metrics["first"] == 8).all()
    assert np.isnan(metrics.loc["flat", "r"])  # a constant has no correlation, not a perfect one
    fits = found.fits.set_index("size")
    assert fits.loc[64, "pooled_r"] > fits.loc[8, "pooled_r"] + 0.2
    assert fits.loc[64, "mae"] < fits.loc[8, "mae"]


def test_every_size_is_fitted_on_the_pairs_and_metrics_of_all(measured):
    tables, outcomes = measured
    gap = tables[8].copy()
    gap.loc[0, "cosine"] = np.nan
    found = calibration_sensitivity(
        {8: gap.drop(columns="flat"), 64: tables[64]}, outcomes, predictors=["ridge"]
    )
    assert found.fits["n_pairs"].tolist() == [20, 20]
    assert "flat" not in set(found.metrics["metric"])
    assert found.metrics.set_index("metric").loc["cosine", "n_pairs"] == 20


def test_seeds_show_how_much_of_a_difference_is_the_solver(measured):
    found = calibration_sensitivity(*measured, predictors=["paper", "ridge"], seeds=2).fits
    spread = found.set_index(["predictor", "size"])["per_fold_r_seed_sd"]
    assert (spread["paper"] > 0).all()
    assert (spread["ridge"] == 0).all()


def test_what_cannot_be_compared_is_refused(measured):
    tables, outcomes = measured
    with pytest.raises(UsageError, match="calibration sizes: 1 given"):
        calibration_sensitivity({8: tables[8]})
    with pytest.raises(TableError, match="size 64: pairs table, column 'left'"):
        calibration_sensitivity({8: tables[8], 64: tables[64].drop(columns="left")})
    other = tables[64].assign(suite="elsewhere")
    with pytest.raises(TableError, match="no pair with every metric is in all 2 sizes"):
        calibration_sensitivity({8: tables[8], 64: other}, outcomes)


def test_a_published_size_replaces_only_what_it_measured(results):
    with_size(results, 2, noise=0.5)
    pairs = read_setting(results, SETTING).pairs
    sizes = published_sizes(results, SETTING, pairs)
    assert list(sizes) == [2, 10]
    changed = [key for key in METRICS if not sizes[2].frame[key].equals(sizes[10].frame[key])]
    assert changed == [SAMPLED]
    assert published_sizes(write_results(results.parent / "none"), SETTING, pairs) == {}


def test_noise_of_the_samples_is_an_audit_finding_and_json_keeps_its_keys(results):
    with_size(results, 200, noise=9.0)
    found = reproduce(results, SETTING, ["constant"])
    (finding,) = [f for f in found.findings if f.code == "calibration_noise"]
    assert finding.message.startswith(f"{SAMPLED}: r ")
    assert "between 10 and 200 calibration samples" in finding.message
    assert len(found.to_dict()) == 6


def test_a_damaged_size_is_reported_and_does_not_stop_the_setting(results):
    (with_size(results, 2) / metrics_file(results).name).write_text("{")
    codes = {f.code for f in reproduce(results, SETTING, ["constant"]).findings}
    assert "unreadable_sensitivity" in codes
    with pytest.raises(TableError, match="not valid JSON"):
        published_sizes(results, SETTING, read_setting(results, SETTING).pairs)


def test_the_command_prints_sizes_and_fits_when_asked(results):
    with_size(results, 2, noise=0.5)
    app = typer.Typer()
    app.command()(command.command)

    def invoke(*options):
        arguments = [str(results), "--predictor", "constant", "--workers", "1", *options]
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, arguments)

    plain = invoke()
    assert plain.exit_code == 0, plain.output
    assert "Metrics at two calibration sizes" in plain.stdout
    assert "3 metrics read no samples" in plain.stdout
    assert "Fits at each calibration size" not in plain.stdout
    both = invoke("--sensitivity", "--analysis")
    assert both.exit_code == 0, both.output
    for text in ("Fits at each calibration size", "Signatures of lasso", "without activation"):
        assert text in both.stdout
    refused = invoke("--sensitivity", "--json").exception
    assert str(refused) == "--sensitivity: its tables are not in the JSON object; leave out --json"


def test_the_released_gradient_cosines_are_noise_and_activations_are_not(paper_results):
    pairs = read_setting(paper_results, "ViT-B-16_AdamW").pairs
    sizes = published_sizes(paper_results, "ViT-B-16_AdamW", pairs)
    assert list(sizes) == [2, 10, 30, 200]
    table = calibration_sensitivity(sizes).metrics
    r = table[(table["first"] == 10) & (table["second"] == 200)].set_index("metric")["r"]
    assert abs(r["encoder_gradient_cosine_similarity"]) < 0.1
    assert abs(r["input_gradient_cosine_similarity"]) < 0.1
    assert r["activation_cosine_similarity"] > 0.99
    assert r["task_vector_cosine_similarity"] == pytest.approx(1.0)
