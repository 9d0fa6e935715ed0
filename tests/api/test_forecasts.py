"""`mc.forecast`: what the command says, from inputs as people have them."""

from __future__ import annotations

import json
import shlex
from importlib import import_module

import numpy as np
import pytest

import mergecast as mc
from forecaster_files import linear_model, save_forecaster
from mergecast.checkpoints.writer import write_safetensors
from mergecast.cli.main import run
from mergecast.errors import CheckpointError, FamilyError, UsageError
from recorded_progress import RecordedProgress
from tiny_family import arrays

KEPT = "retention_scrambled_kept_labelled"


@pytest.fixture
def forecaster(tmp_path):
    """The file of two methods that read one metric of weights each."""
    models = {
        "ties": linear_model("task_vector_magnitude_ratio", 0.1),
        "dare": linear_model("effective_rank", -0.2),
    }
    return save_forecaster({"weights": models}, tmp_path / "mine.json")


@pytest.fixture
def tiered(tmp_path):
    """The file of a method that reads weights, or retention where there are tasks."""
    tiers = {
        "weights": {"ties": linear_model("task_vector_magnitude_ratio", 0.1)},
        "gradients": {"ties": linear_model(KEPT, 0.2)},
    }
    return save_forecaster(tiers, tmp_path / "tiered.json")


def test_it_says_what_the_command_says(family_paths, forecaster, capsys):
    base, models = family_paths
    found = mc.forecast(base, models, forecaster=forecaster, sets=3)
    options = ("--forecaster", forecaster, "--sets", "3", "--json")
    assert run(["forecast", str(base), *map(str, models), *options]) == 0
    printed = capsys.readouterr()
    assert mc.report(found) == json.loads(printed.out)
    said = [line.removeprefix("mergecast: warning: ") for line in printed.err.splitlines()]
    assert list(found.warnings) == said


def test_paths_as_text_a_family_and_labels_give_the_same_numbers(family_paths, forecaster):
    base, models = family_paths
    in_memory = mc.Forecaster(mc.Forecaster.load(forecaster).file)
    found = [
        mc.forecast(str(base), [str(path) for path in models], forecaster=forecaster),
        mc.forecast(mc.Family.open(base, models), forecaster=in_memory),
        mc.forecast(base, dict(zip("abc", models, strict=True)), forecaster=forecaster),
    ]
    for other in found[1:]:
        assert other.rows.equals(found[0].rows)
        assert (other.base, other.models) == (found[0].base, found[0].models)
    assert [forecast.name for forecast in found] == [
        forecaster,
        "forecaster in memory",
        forecaster,
    ]


@pytest.mark.parametrize("private", [(), "layer.bias"])
def test_the_next_command_makes_what_was_forecast(family_paths, tmp_path, private):
    base, models = family_paths
    keep_all = {"ties": linear_model("task_vector_magnitude_ratio", 0.0)}
    forecaster = save_forecaster({"weights": keep_all}, tmp_path / "mine.json")
    found = mc.forecast(base, models, private=private, forecaster=forecaster)
    words = shlex.split(mc.report(found)["next"])
    assert words[:2] == ["mergecast", "merge"]
    assert run([*words[1:-1], str(tmp_path / "merged")]) == 0
    family = mc.Family.open(base, models, private=private)
    chosen = [path.stem for path in models if str(path) in words]
    wanted = mc.merge(family, "ties", members=chosen)
    made = mc.Checkpoint.open(tmp_path / "merged")
    for name in family.shared:
        np.testing.assert_allclose(made.floats(name).reshape(-1), wanted[name].reshape(-1))
    assert made.infos.keys() >= {*family.shared}
    assert ("layer.bias" in family.shared) == (not private)
    assert sorted(path.name for path in (tmp_path / "merged" / "heads").iterdir()) == chosen


def test_what_was_left_out_and_why_is_on_the_result(family_paths, forecaster, tmp_path, caplog):
    base, models = family_paths
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    write_safetensors(tmp_path / "frozen.safetensors", arrays(0))
    spoilt = arrays(4)
    spoilt["layer.bias"][0] = np.nan
    write_safetensors(tmp_path / "nan.safetensors", spoilt)
    more = [tmp_path / f"{name}.safetensors" for name in ("broken", "frozen", "nan")]
    found = mc.forecast(base, [*models[:2], *more], forecaster=forecaster)
    assert found.refused.keys() == {"broken", "frozen", "nan"}
    assert "equals the base in every shared parameter" in found.refused["frozen"]
    assert "holds NaN or infinity" in found.refused["nan"]
    assert len(found.pairs) == 1
    shown = " ".join(str(found).split())
    assert "left out: frozen: equals the base in every shared parameter" in shown
    # And said as soon as it is known: in a terminal, before the work on the others.
    assert [line.split(":")[0] for line in caplog.messages] == [
        "refused broken",
        "refused nan",
        "refused frozen",
    ]


def test_only_some_methods_one_of_them_as_text(family_paths, forecaster):
    base, models = family_paths
    found = mc.forecast(base, models, forecaster=forecaster, methods="dare")
    assert set(found.rows["method"]) == {"dare"}
    with pytest.raises(UsageError, match=r"method 'tie': unknown; did you mean 'ties'\?"):
        mc.forecast(base, models, forecaster=forecaster, methods=["tie"])
    with pytest.raises(UsageError, match="method 'fisher': is none that .* forecasts .*dare"):
        mc.forecast(base, models, forecaster=forecaster, methods=["fisher"])


def test_a_text_of_private_parameters_is_one_pattern(family_paths, forecaster):
    base, models = family_paths
    family = mc.Family.open(base, models, private="layer.*")
    assert {e.name for e in family.private} == {"layer.bias", "layer.weight", "head.weight"}
    one, other = (
        mc.forecast(base, models, private=private, forecaster=forecaster)
        for private in ("layer.*", ["layer.*"])
    )
    assert one.rows.equals(other.rows)
    assert not one.rows.equals(mc.forecast(base, models, forecaster=forecaster).rows)


def test_tasks_are_a_file_or_given_and_nothing_more_is_gathered(
    probe_family, tiered, monkeypatch, tmp_path
):
    built = probe_family("cnn")
    for module in ("gradients.interference", "gradients.collect"):
        monkeypatch.setattr(import_module(f"mergecast.evidence.{module}"), "collect", None)
    options = {"forecaster": tiered, "calibration": 5, "cache": tmp_path / "work"}
    progress = RecordedProgress()
    found = mc.forecast(
        built.base, built.models, tasks=built.tasks_file, progress=progress, **options
    )
    assert found.tier == "gradients"
    assert found.evidence == ("weights", "retention")
    assert "evidence taken: weights, retention" in str(found)
    assert mc.report(found)["verdict"][-1] == (
        "Evidence taken: weights, retention (tier gradients)."
    )
    reasons = {reason["metric"] for row in found.rows["reasons"] for reason in row}
    assert reasons == {KEPT}
    assert any("retention" in stage for stage in progress.stages)
    family = mc.Family.open(built.base, built.models, private="8.*")
    again = mc.forecast(family, tasks=mc.load_tasks(built.tasks_file), **options)
    assert again.rows.equals(found.rows)
    assert mc.forecast(family, **options).tier == "weights"
    more = mc.forecast(
        family, tasks=mc.load_tasks(built.tasks_file), metrics="superposition", **options
    )
    assert more.evidence == ("weights", "retention", "superposition")
    assert more.rows.equals(found.rows)
    assert any(name.startswith("superposed_") for name in more.metrics.metrics)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": None}, UsageError, "models: none given; give the fine-tuned models"),
        ({"models": []}, UsageError, "models: none given"),
        ({"tier": "gradients"}, UsageError, "tasks: not given, but tier 'gradients' runs models"),
        ({"tier": "gradient"}, UsageError, "did you mean 'gradients'"),
        ({"metrics": "papers"}, UsageError, "did you mean 'paper'"),
        ({"tasks": "none.yaml"}, UsageError, "none.yaml: cannot be read"),
        ({"tasks": "none.yaml", "device": "gpu"}, UsageError, "device 'gpu': unknown; use cpu"),
        ({"sets": 4}, UsageError, "size of sets: is 4, of 3 models; give 2 to 3"),
        ({"suite": "toys"}, UsageError, "suite 'toys': unknown; did you mean 'toy'"),
        ({"forecaster": "suite"}, UsageError, "give a file or one of: suites"),
        ({"family": "none.safetensors"}, CheckpointError, "none.safetensors: does not exist"),
    ],
)
def test_bad_input_is_one_line_that_says_what_to_do(change, error, message, family_paths, tiered):
    base, models = family_paths
    options = {"family": base, "models": models, "forecaster": tiered, **change}
    with pytest.raises(error) as caught:
        mc.forecast(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_model_is_no_pair_as_text_or_listed(family_paths, forecaster):
    base, models = family_paths
    for given in (models[0], str(models[0]), models[:1]):
        with pytest.raises(FamilyError, match="pairs need at least two fine-tuned models"):
            mc.forecast(base, given, forecaster=forecaster)


def test_a_family_that_is_open_takes_no_models_beside_it(family_paths, forecaster):
    base, models = family_paths
    family = mc.Family.open(base, models)
    with pytest.raises(UsageError, match="models: given beside a family that is open"):
        mc.forecast(family, models, forecaster=forecaster)
    with pytest.raises(UsageError, match="private: given beside a family that is open"):
        mc.forecast(family, private="head.*", forecaster=forecaster)


def test_the_reference_family_in_one_call(reference):
    models = [reference / f"model_{label}.safetensors" for label in "abcd"]
    found = mc.forecast(mc.Family.open(reference / "base.safetensors", models))
    assert found.name == "suites"
    assert "no forecaster given" in found.warnings[0]
    assert len(found.pairs) == 6
    screen = str(found).splitlines()
    assert len(screen) <= 28
    assert max(map(len, screen)) <= 100
    shown = " ".join(str(found).split())
    # Random matrices are no network that anything was learned of.
    assert set(found.pairs["advice"]) == {"no forecast"}
    assert "No forecast for 6 of 6 pairs: nothing that suites reads in weights tells" in shown
    assert "(--tasks), or merges of them that were measured (--measured)" in shown
    assert all(f"warning: {' '.join(text.split()[:12])}" in shown for text in found.warnings)
    assert "<table" in found._repr_html_()
