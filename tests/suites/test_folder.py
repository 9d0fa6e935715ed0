"""``suite.json``: runs of other versions are read, or refused with what to do."""

from __future__ import annotations

import json
import shutil

import pytest

from mergecast.errors import UsageError
from mergecast.suites.folder import read_run, run_tasks
from mergecast.suites.run import run_suite
from mergecast.suites.status import suite_status


@pytest.fixture
def copy(tmp_path, finished):
    return shutil.copytree(finished, tmp_path / "copy")


def rewrite(folder, **fields):
    path = folder / "suite.json"
    content = {**json.loads(path.read_text()), **fields}
    kept = {name: value for name, value in content.items() if value is not None}
    path.write_text(json.dumps(kept))


def as_first_version(folder):
    """What the file held before stages had versions."""
    content = json.loads((folder / "suite.json").read_text())
    recipe = {k: v for k, v in content["recipe"].items() if k != "reestimate_batchnorm"}
    rewrite(folder, format=None, stages=None, n_sets=None, recipe=recipe, sets=2)


def test_a_run_of_an_earlier_version_gives_tasks_but_is_not_gone_on_with(copy, tiny):
    as_first_version(copy)
    assert list(run_tasks(copy)) == ["noisy", "parity", "upright"]
    assert read_run(copy).n_sets == 2
    message = "holds a run of an earlier mergecast, .*; run the suite in another folder"
    for call in (
        lambda: run_suite("digits-14", copy, recipe=tiny),
        lambda: suite_status(copy),
    ):
        with pytest.raises(UsageError, match=message):
            call()


def test_the_first_runs_had_neither_sets_nor_tiers(copy):
    as_first_version(copy)
    rewrite(copy, sets=None, tier=None)
    plan = read_run(copy)
    assert (plan.n_sets, plan.tier) == (0, "weights")


def test_a_run_of_a_newer_version_is_refused(copy, tiny):
    rewrite(copy, format=3, colour="blue")
    for call in (
        lambda: run_tasks(copy),
        lambda: run_suite("digits-14", copy, recipe=tiny),
    ):
        with pytest.raises(UsageError, match=r"newer mergecast \(format 3, .* 2\); update"):
            call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": None}, "cannot be read: seed: Field required"),
        ({"tier": "dreams"}, "cannot be read: tier: Input should be 'weights'"),
        ({"recipe": {"stepz": 3}}, r"a recipe this version does not know \(1 fields\)"),
        ({"suite": "digits-15"}, "did you mean 'digits-14'"),
    ],
)
def test_a_damaged_file_is_named_with_its_field(copy, change, message):
    rewrite(copy, **change)
    with pytest.raises(UsageError, match=message):
        read_run(copy)


def test_a_file_that_is_no_json_is_named(copy):
    (copy / "suite.json").write_text("{")
    with pytest.raises(UsageError, match=r"suite\.json: cannot be read: file: Invalid JSON"):
        read_run(copy)
