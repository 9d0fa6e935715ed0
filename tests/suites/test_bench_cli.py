import json

import pytest
from typer.testing import CliRunner

from mergecast.cli.bench import app
from mergecast.suites.digits.recipe import DigitsRecipe
from mergecast.suites.digits.suite import Digits

runner = CliRunner()


class TinyRecipe(DigitsRecipe):
    base_steps: int = 2
    head_steps: int = 2
    steps: int = 2
    n_test: int = 50
    depth: int = 1


@pytest.mark.parametrize("command", ["list", "fetch", "run", "status"])
def test_every_command_shows_an_example(command):
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"mergecast bench {command}" in result.stdout


def test_list_names_suites_and_tasks():
    assert "digits-14  14 tasks" in runner.invoke(app, ["list"]).stdout
    suites = json.loads(runner.invoke(app, ["list", "--json"]).stdout)["suites"]
    tasks = {suite["suite"]: len(suite["tasks"]) for suite in suites}
    assert tasks == {"clip-n20": 20, "digits-14": 14, "image-11": 11, "lm-6": 6, "text-15": 15}


def test_fetch_says_that_nothing_is_needed():
    result = runner.invoke(app, ["fetch", "digits-14"])
    assert "needs no download" in result.stdout


def test_settings_of_a_suite_are_its_own(tmp_path):
    arguments = ["run", "digits-14", "-o", str(tmp_path)]
    for more, said in (
        (["--backbone", "x"], "backbone"),
        (["--suite-param", "steps=0"], "setting steps"),
        (["--suite-param", "steps"], "steps=200"),
    ):
        result = runner.invoke(app, [*arguments, *more])
        assert result.exit_code != 0
        assert said in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_run_summarises_and_status_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "recipe_type", TinyRecipe)
    cut = ["--only", "parity, loops", "--method", "ties", "--method", "tsv", "--workers", "1"]
    arguments = ["run", "digits-14", "-o", str(tmp_path), "--tier", "weights", *cut]
    text = runner.invoke(app, arguments).stdout
    assert "Retention of a pair" in text
    assert f"{tmp_path}/outcomes.parquet" in text
    parsed = json.loads(runner.invoke(app, [*arguments, "--json"]).stdout)
    assert list(parsed["pair_retention"]) == ["ties", "tsv"]
    assert parsed["pair_retention"]["ties"]["count"] == 1

    place = ["digits-14", "-o", str(tmp_path)]
    assert "outcomes  2/2" in runner.invoke(app, ["status", *place]).stdout
    counts = json.loads(runner.invoke(app, ["status", *place, "--json"]).stdout)
    assert counts["models"] == {"done": 2, "total": 2}


def test_run_merges_random_sets_beside_the_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(Digits, "recipe_type", TinyRecipe)
    cut = ["--only", "parity,loops,prime,noisy", "--method", "ties", "--workers", "1"]
    arguments = ["run", "digits-14", "-o", str(tmp_path), "--tier", "weights", *cut]
    text = runner.invoke(app, [*arguments, "--n-sets", "2"]).stdout
    assert "Retention of a larger set" in text
    parsed = json.loads(runner.invoke(app, [*arguments, "--n-sets", "2", "--json"]).stdout)
    assert parsed["pair_retention"]["ties"]["count"] == 6
    counts = {row["size"]: row["count"] for row in parsed["set_retention"]}
    assert counts == {3: 2, 4: 1}
    place = ["digits-14", "-o", str(tmp_path)]
    assert "sets      3/3" in runner.invoke(app, ["status", *place]).stdout
    assert runner.invoke(app, [*arguments, "--n-sets", "-1"]).exit_code == 2
