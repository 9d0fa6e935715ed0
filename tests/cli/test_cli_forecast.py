import json
from importlib import import_module

import numpy as np
import pytest
import yaml

from forecaster_files import linear_model, save_forecaster
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.forecast import shipped
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.method_forecast import BETWEEN


@pytest.fixture
def forecaster_file(tmp_path):
    tiers = {
        "weights": {
            "ties": linear_model("task_vector_magnitude_ratio", 0.1),
            "dare": linear_model("effective_rank", -0.2),
        }
    }
    return save_forecaster(tiers, tmp_path / "mine.json")


def call(*arguments):
    return run(["forecast", *map(str, arguments)])


def test_it_prints_forecasts_advice_and_reasons(family_paths, forecaster_file, capsys):
    base, models = family_paths
    assert call(base, *models, "--forecaster", forecaster_file) == 0
    printed = capsys.readouterr()
    for pair in ("a + b", "a + c", "b + c"):
        assert pair in printed.out
    assert "moved most" not in printed.out
    assert "every method of a pair, and why: --pair a+b" in printed.out
    assert call(base, *models, "--forecaster", forecaster_file, "--pair", "b+a") == 0
    printed = capsys.readouterr()
    assert "moved most (ties" in printed.out
    assert "task_vector_magnitude_ratio −0.0" in printed.out
    assert "b + c:" not in printed.out
    assert "pairs are forecast to keep" in printed.out or "pair is forecast" in printed.out


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("a+d", "model of --pair 'd': unknown; known: a, b, c"),
        ("a", "--pair: is 'a'; give two models, as a+b"),
    ],
)
def test_a_pair_that_is_not_there_is_said_before_anything_is_run(pair, said, family_paths, capsys):
    base, models = family_paths
    assert call(base, *models, "--forecaster", "none.json", "--pair", pair) == 2
    assert said in capsys.readouterr().err


def test_json_holds_what_the_model_says(family_paths, forecaster_file, capsys):
    base, models = family_paths
    assert call(base, *models[:2], "--forecaster", forecaster_file, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    row = next(row for row in summary["rows"] if row["method"] == "ties")
    value = row["reasons"][0]["value"]
    assert row["predicted"] == pytest.approx(0.9 + 0.1 * (value - 1))
    assert row["lower"] == pytest.approx(row["predicted"] - BETWEEN * 0.1)
    assert summary["header"]["models"].keys() == {"a", "b"}


def test_models_out_of_the_domain_get_no_number_and_the_reason(family_paths, tmp_path, capsys):
    base, models = family_paths
    tiers = {
        "weights": {"ties": linear_model("task_vector_l2_distance", -0.1, 90.0, 90.01)},
        "gradients": {"ties": linear_model("encoder_gradient_l2_distance", -0.1)},
    }
    mine = save_forecaster(tiers, tmp_path / "mine.json")
    assert call(base, *models, "--forecaster", mine, "--report", tmp_path, "--sets", 3) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "No forecast for 3 of 3 pairs: these models are out of the domain of" in printed
    assert printed.count("do not merge") == 0
    assert printed.count("task_vector_l2_distance is ") == 1  # once for all, not a pair
    assert "in training 90 to 90.01" in printed
    assert "samples of the models' tasks (--tasks), or merges of them that were measured" in printed
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No forecast for 3 of 3 pairs" in page
    summary = json.loads((tmp_path / "forecast.json").read_text(encoding="utf-8"))
    assert {row["basis"] for row in summary["rows"]} == {"abstained"}
    assert {row["predicted"] for row in summary["rows"]} == {None}
    assert {pair["advice"] for pair in summary["pairs"]} == {"no forecast"}
    assert summary["out_of_range"] == {}
    assert not [text for text in summary["warnings"] if "extrapolations" in text]


def test_a_refused_model_is_reported_and_the_rest_is_forecast(
    family_paths, forecaster_file, tmp_path, capsys
):
    base, models = family_paths
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    spoilt = {"embed.weight": np.full((30, 12), np.nan, dtype=np.float32)}
    for name, shape in (("conv.weight", (6, 3, 2, 2)), ("layer.bias", (12,)),
                        ("layer.weight", (12, 40)), ("scale", ())):  # fmt: skip
        spoilt[name] = np.ones(shape, dtype=np.float32)
    write_safetensors(tmp_path / "nan.safetensors", spoilt)
    paths = [*models[:2], broken, tmp_path / "nan.safetensors"]
    assert call(base, *paths, "--forecaster", forecaster_file, "--json") == 3
    printed = capsys.readouterr()
    assert "refused broken" in printed.err
    assert "refused nan" in printed.err
    summary = json.loads(printed.out)
    assert summary["header"]["refused"].keys() == {"broken", "nan"}
    assert len(summary["pairs"]) == 1


def test_one_model_is_no_pair(family_paths, forecaster_file, capsys):
    base, models = family_paths
    assert call(base, models[0], "--forecaster", forecaster_file) == 4
    assert "pairs need at least two fine-tuned models" in capsys.readouterr().err


def test_only_the_methods_asked_for(family_paths, forecaster_file, capsys):
    base, models = family_paths
    chosen = ("--forecaster", forecaster_file, "--method", "dare", "--json")
    assert call(base, *models, *chosen) == 0
    summary = json.loads(capsys.readouterr().out)
    assert {row["method"] for row in summary["rows"]} == {"dare"}
    assert [entry["method"] for entry in summary["methods"]] == ["dare"]
    assert call(base, *models, "--forecaster", forecaster_file, "--method", "tie") == 2
    assert "method 'tie': unknown; did you mean 'ties'?" in capsys.readouterr().err


def test_a_report_folder_gets_page_and_data(family_paths, forecaster_file, tmp_path, capsys):
    base, models = family_paths
    out = tmp_path / "out"
    assert call(base, *models, "--forecaster", forecaster_file, "--report", out) == 0
    assert f"page: {out / 'report.html'}" in capsys.readouterr().out
    assert "<h1>None of 3 pairs should be merged</h1>" in (out / "report.html").read_text("utf-8")
    assert json.loads((out / "forecast.json").read_text("utf-8"))["kind"] == "forecast"


def test_metrics_out_of_range_and_suspicious_models_are_named_on_stderr(
    family_paths, forecaster_file, tmp_path, capsys
):
    base, models = family_paths
    file = Forecaster.load(forecaster_file).file
    narrow = file.methods["ties"].features[0].model_copy(update={"low": 2.0, "high": 3.0})
    ties = file.methods["ties"].model_copy(update={"features": [narrow]})
    narrow_file = tmp_path / "narrow.json"
    Forecaster(file.model_copy(update={"tiers": {"weights": {"ties": ties}}})).save(narrow_file)
    twin = tmp_path / "twin.safetensors"
    twin.write_bytes(models[0].read_bytes())
    assert call(base, models[0], twin, "--forecaster", narrow_file, "--verbose") == 0
    printed = capsys.readouterr()
    assert "warning: Outside the forecaster's training range" in printed.err
    assert "task_vector_magnitude_ratio (1: a + twin)" in printed.err
    assert "has the same task vector as" in printed.err
    assert "out of the training range: task_vector_magnitude_ratio" in printed.out


def test_a_metric_that_the_table_lacks(family_paths, forecaster_file, tmp_path, capsys):
    base, models = family_paths
    file = Forecaster.load(forecaster_file).file
    methods = {"ties": linear_model("encoder_gradient_l2_distance", 0.1)}
    path = Forecaster(file.model_copy(update={"tiers": {"weights": methods}})).save(
        tmp_path / "g.json"
    )
    assert call(base, *models, "--forecaster", path) == 4
    assert "metric encoder_gradient_l2_distance missing" in capsys.readouterr().err


def test_the_shipped_default_comes_with_a_warning(
    family_paths, forecaster_file, tmp_path, monkeypatch, capsys
):
    base, models = family_paths
    data = tmp_path / "data"
    Forecaster.load(forecaster_file).save(data / "suites.json")
    monkeypatch.setattr(shipped, "DATA", data)
    assert call(base, *models) == 0
    assert "no forecaster given" in capsys.readouterr().err
    assert call(base, *models, "--forecaster", "suites") == 0
    assert "no forecaster given" not in capsys.readouterr().err
    assert call(base, *models, "--forecaster", "nothing") == 2
    assert "give a file or one of: suites" in capsys.readouterr().err


def test_no_forecaster_at_all(family_paths, tmp_path, monkeypatch, capsys):
    base, models = family_paths
    monkeypatch.setattr(shipped, "DATA", tmp_path / "none")
    assert call(base, *models) == 2
    assert "fit one with `mergecast fit" in capsys.readouterr().err


def test_a_base_that_is_not_there(tmp_path, forecaster_file, capsys):
    arguments = (tmp_path / "no.safetensors", tmp_path / "a", "--forecaster", forecaster_file)
    assert call(*arguments) == 4
    assert "no.safetensors" in capsys.readouterr().err


@pytest.fixture
def tiered_file(tmp_path):
    """Weights and labelled retention, for one method."""
    key = "retention_scrambled_kept_labelled"
    tiers = {
        "weights": {"ties": linear_model("task_vector_magnitude_ratio", 0.1)},
        "gradients": {"ties": linear_model(key, 0.2)},
    }
    return save_forecaster(tiers, tmp_path / "tiered.json")


def test_tasks_make_it_read_retention_and_nothing_else_that_costs(
    probe_family, tiered_file, capsys, monkeypatch
):
    built = probe_family("cnn")
    for module, name in (
        ("gradients.interference", "collect"),
        ("gradients.collect", "collect"),
    ):
        monkeypatch.setattr(import_module(f"mergecast.evidence.{module}"), name, None)
    options = ("--forecaster", tiered_file, "--calibration", 5, "--json")
    assert call(*built.arguments, *options) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["header"]["tier"] == "gradients"
    reasons = [reason["metric"] for row in summary["rows"] for reason in row["reasons"]]
    assert set(reasons) == {"retention_scrambled_kept_labelled"}
    models = [*built.arguments[:-2], "--private", "8.*"]
    assert call(*models, *options) == 0
    assert json.loads(capsys.readouterr().out)["header"]["tier"] == "weights"
    assert call(*models, *options, "--tier", "gradients") == 2
    assert "tasks: not given, but tier 'gradients' runs models" in capsys.readouterr().err
    assert call(*models, *options, "--tier", "gradient") == 2
    assert "did you mean 'gradients'" in capsys.readouterr().err


def test_without_labels_it_falls_back_and_says_why(probe_family, tiered_file, capsys):
    built = probe_family("vit")
    content = yaml.safe_load(built.tasks_file.read_text())
    for task in content["tasks"].values():
        del task["data"]["labels"]
    path = built.tasks_file.with_name("unlabelled.yaml")
    path.write_text(yaml.safe_dump(content))
    arguments = [*built.arguments[:-1], path]
    options = ("--forecaster", tiered_file, "--calibration", 5, "--json")
    assert call(*arguments, *options) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["header"]["tier"] == "weights"
    assert "warning: forecast from weights: what the forecaster reads of gradients" in printed.err
    assert "the samples have no labels" in printed.err


def test_sets_are_ranked_under_each_method_and_said_to_come_from_pairs(
    family_paths, forecaster_file, tmp_path, capsys
):
    base, models = family_paths
    page = tmp_path / "page"
    options = ("--forecaster", forecaster_file, "--sets", 3, "--report", page)
    assert call(base, *models, *options) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "The one set of 3, by method" in printed
    assert "a + b + c" in printed
    assert "validated on pairs, so there is no interval" in printed
    assert "a + b + c" in (page / "report.html").read_text()
    written = json.loads((page / "forecast.json").read_text())["sets"]
    assert call(base, *models, *options, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sets"] == written
    assert (written["size"], written["n_sets"]) == (3, 1)
    assert [entry["method"] for entry in written["methods"]] == ["dare", "ties"]
    [found] = written["methods"][1]["ranking"]
    assert found["members"] == ["a", "b", "c"]
    assert found["worst_predicted"] <= found["predicted"] <= found["pair_mean"]


def test_sets_of_two_order_the_pairs_by_their_forecasts(family_paths, forecaster_file, capsys):
    base, models = family_paths
    assert call(base, *models, "--forecaster", forecaster_file, "--sets", 2, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    pairs = {}
    for row in summary["rows"]:
        if row["method"] == "ties":
            pairs.setdefault((row["left"], row["right"]), []).append(row["predicted"])
    ranked = {tuple(e["members"]): e["predicted"] for e in summary["sets"]["methods"][1]["ranking"]}
    assert ranked == pytest.approx({pair: sum(kept) / 2 for pair, kept in pairs.items()})


@pytest.mark.parametrize(("size", "refused"), [(0, 0), (1, 0), (4, 0), (4, 1)])
def test_a_size_that_is_no_number_of_models_is_one_clear_line(
    size, refused, family_paths, forecaster_file, tmp_path, capsys
):
    base, models = family_paths
    broken = [tmp_path / f"{number}.safetensors" for number in range(refused)]
    for path in broken:
        path.write_bytes(b"nothing")
    options = ("--forecaster", forecaster_file, "--no-strict", "--sets", size)
    assert call(base, *models, *broken, *options) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"size of sets: is {size}, of 3 models; give 2 to 3" in printed.err
