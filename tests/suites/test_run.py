import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pandas as pd
import pytest

from mergecast.errors import FamilyError, ResourceError, UndefinedError, UsageError
from mergecast.suites.digits.task import DigitsTask
from mergecast.suites.merges import SIX
from mergecast.suites.run import run_suite
from mergecast.suites.status import suite_status
from mergecast.suites.suite import Recipe
from mergecast.tables.missing import MissingOutcome
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable

TABLES = ("tasks", "pairs", "outcomes")
TASKS = ["parity", "upright", "noisy"]


def tables(folder):
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}


def assert_same_tables(folder, other):
    for name, table in tables(folder).items():
        pd.testing.assert_frame_equal(table, tables(other)[name], check_exact=True)


def test_the_tables_follow_their_contract(finished):
    written = tables(finished)
    tasks = written["tasks"].set_index("task")
    assert list(tasks.index) == sorted(TASKS)
    assert list(tasks["n_eval"]) == [100, 100, 100]
    pairs = written["pairs"]
    assert pairs[["left", "right"]].to_numpy().tolist() == [
        ["noisy", "parity"],
        ["noisy", "upright"],
        ["parity", "upright"],
    ]
    table = PairTable.read(finished / "pairs.parquet")
    assert table.tier_names == ["weights", "activations", "labels", "gradients"]
    assert "retention_kept_labelled@ties:left<-right" in pairs
    outcomes = written["outcomes"]
    assert len(outcomes) == 6 * (3 * 2 + 3)
    assert list(dict.fromkeys(outcomes["method"])) == list(SIX)
    pairs = {"noisy+parity", "noisy+upright", "parity+upright"}
    assert set(outcomes["members"]) == {*pairs, "noisy+parity+upright"}
    assert (outcomes["retention"] == outcomes["score"] / outcomes["single_score"]).all()
    assert (outcomes["single_score"] == outcomes["task"].map(tasks["single_score"])).all()
    assert outcomes["probability"].between(0, 1).all()
    outcome_table = OutcomeTable.read(finished / "outcomes.parquet")
    assert outcome_table.missing == ()
    for written in (table, outcome_table):
        assert written.versions.keys() >= {"suite digits-14", "base", "fine-tune"}
        assert written.recipe["suite"]["steps"] == 4
    assert outcome_table.versions.keys() >= {"evaluation", "merge", "method ties"}


def test_the_checkpoints_are_a_family_with_private_heads(finished):
    from mergecast.family.family import Family

    models = [finished / "models" / f"{task}.safetensors" for task in TASKS]
    family = Family.open(finished / "base.safetensors", models)
    assert list(family.names) == TASKS
    assert {exclusion.name for exclusion in family.private} == {"head.bias", "head.weight"}


def test_the_folder_says_what_it_holds(finished):
    content = json.loads((finished / "suite.json").read_text())
    assert content["suite"] == "digits-14"
    assert content["recipe"]["steps"] == 4
    assert set(content["versions"]) >= {"mergecast", "torch", "python"}
    assert set(content["stages"]) >= {"suite digits-14", "fine-tune", "evaluation", "method ties"}
    assert suite_status(finished) == {
        "base": (1, 1),
        "models": (3, 3),
        "outcomes": (18, 18),
        "sets": (6, 6),
        "pairs": (1, 1),
    }


def settled(units):
    """Finished units and their times, once the workers have noticed the death of their parent."""

    def finished():
        paths = [path for path in units.glob("*.json") if "unfinished" not in path.name]
        return {path: path.stat().st_mtime_ns for path in paths}

    before, end = finished(), time.monotonic() + 200
    while True:
        time.sleep(0.5)
        now = finished()
        if now == before:
            return now
        assert time.monotonic() < end, "orphaned workers go on"
        before = now


def test_killed_in_the_middle_it_loses_nothing_and_two_workers_write_the_same(
    request, tmp_path, tiny, finished
):
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from mergecast.suites.digits.recipe import DigitsRecipe
            from mergecast.suites.run import run_suite

            if __name__ == "__main__":
                recipe = DigitsRecipe.model_validate_json(sys.argv[2])
                run_suite(
                    "digits-14", sys.argv[1], only=sys.argv[3:], workers=2, recipe=recipe
                )
            """
        )
    )
    folder = tmp_path / "run"
    program = subprocess.Popen(
        [sys.executable, str(script), str(folder), tiny.model_dump_json(), *TASKS]
    )
    request.addfinalizer(lambda: (program.kill(), program.wait()))
    units = folder / "units"
    end = time.monotonic() + 300  # a busy machine is no failure
    while not units.exists() or len(list(units.glob("*.json"))) < 9:
        assert time.monotonic() < end, "no unit was finished"
        assert program.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    with pytest.raises(ResourceError, match=rf"another process \(pid {program.pid}\)"):
        run_suite("digits-14", folder, only=TASKS, workers=1, recipe=tiny)
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    done, total = suite_status(folder)["outcomes"]
    assert 2 <= done < total
    before = settled(units)
    run_suite("digits-14", folder, only=TASKS, workers=1, recipe=tiny)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(folder.rglob("*unfinished*"))
    assert_same_tables(folder, finished)


@pytest.fixture
def copy(tmp_path, finished):
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.parametrize("damaged", ["models/parity.safetensors", "record"])
def test_a_damaged_unit_is_computed_again_and_said_so(copy, finished, tiny, caplog, damaged):
    path = max((copy / "units").glob("*.json")) if damaged == "record" else copy / damaged
    path.write_bytes(path.read_bytes()[:-40])
    run_suite("digits-14", copy, only=TASKS, workers=1, recipe=tiny)
    assert path.name in caplog.text
    assert "computed again" in caplog.text
    assert_same_tables(copy, finished)


def test_a_finished_run_trains_nothing_again_and_may_be_cut_or_grown(copy, tiny, monkeypatch):
    monkeypatch.setattr("mergecast.suites.digits.suite.Digits.fine_tune", _never)
    run_suite(
        "digits-14", copy, only=["parity", "noisy"], methods=["slerp"], recipe=tiny, workers=1
    )
    outcomes = pd.read_parquet(copy / "outcomes.parquet")
    assert outcomes[["method", "members"]].drop_duplicates().to_numpy().tolist() == [
        ["slerp", "noisy+parity"]
    ]


def test_another_recipe_or_seed_in_the_same_folder_is_refused(copy, tiny):
    hotter = tiny.model_copy(update={"rate": 0.5})
    with pytest.raises(UsageError, match=r"holds a run with recipe\.rate 0\.001, not 0\.5; choose"):
        run_suite("digits-14", copy, only=TASKS, recipe=hotter)
    with pytest.raises(UsageError, match="holds a run with seed 0, not 1"):
        run_suite("digits-14", copy, only=TASKS, recipe=tiny, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "digits"}, "did you mean 'digits-14'"),
        ({"only": ["parity", "primes"]}, "did you mean 'prime'"),
        ({"only": ["parity"]}, "name at least two"),
        ({"methods": ["tie"]}, "did you mean 'ties'"),
        ({"methods": []}, "name at least one"),
        ({"workers": 0}, "workers: is 0; give 1 or more"),
        ({"recipe": Recipe()}, "digits-14 takes DigitsRecipe"),
    ],
)
def test_wrong_arguments_are_usage_errors_and_leave_no_folder(tmp_path, tiny, change, message):
    arguments = {"name": "digits-14", "out": tmp_path / "run", "recipe": tiny, **change}
    with pytest.raises(UsageError, match=message):
        run_suite(**arguments)
    assert not (tmp_path / "run" / "suite.json").exists()


def test_a_merge_without_a_score_is_missing_with_its_reason(copy, tiny, caplog, monkeypatch):
    def diverge(family, method, **_):
        raise FamilyError("parameter 'position'", "gave non-finite values")

    monkeypatch.setattr("mergecast.suites.evaluate.merge", diverge)
    run_suite("digits-14", copy, only=TASKS, methods=["ties", "slerp"], recipe=tiny, workers=1)
    table = OutcomeTable.read(copy / "outcomes.parquet")
    outcomes = table.frame.set_index("method")
    assert outcomes.loc["slerp", ["score", "retention", "loss"]].isna().all(axis=None)
    assert outcomes.loc["ties", "score"].notna().all()
    assert table.missing[0] == MissingOutcome(
        suite="digits-14",
        method="slerp",
        members="noisy+parity",
        task="noisy",
        seed=0,
        reason="parameter 'position': gave non-finite values",
    )
    assert len(table.missing) == 9
    assert "noisy+parity+upright" in set(outcomes.loc["slerp", "members"])
    assert "slerp of noisy+parity has no score on noisy: parameter 'position'" in caplog.text


def test_one_member_without_a_score_leaves_the_other_its_own(copy, tiny, monkeypatch):
    accuracy = DigitsTask.score

    def fails_on_parity(task, logits, labels):
        if task.name == "parity":
            raise UndefinedError("task 'parity'", "has no score today")
        return accuracy(task, logits, labels)

    monkeypatch.setattr(DigitsTask, "score", fails_on_parity)
    run_suite("digits-14", copy, only=TASKS, methods=["slerp"], recipe=tiny, workers=1)
    outcomes = pd.read_parquet(copy / "outcomes.parquet")
    assert outcomes["score"].isna().tolist() == (outcomes["task"] == "parity").tolist()


def test_parameters_of_methods_come_from_the_recipe_and_are_checked_first(tmp_path, copy, tiny):
    wrong = tiny.model_copy(update={"merging": {"ties": {"densety": 0.3}}})
    with pytest.raises(UsageError, match="did you mean 'density'"):
        run_suite("digits-14", tmp_path / "run", only=TASKS, recipe=wrong)
    still = tiny.model_copy(update={"merging": {"task_arithmetic": {"scaling": 0.0}}})
    folder = run_suite(
        "digits-14",
        tmp_path / "still",
        only=["parity", "upright"],
        methods=["task_arithmetic"],
        tier="weights",
        recipe=still,
        workers=1,
    )
    written = tables(folder)
    base = written["tasks"].set_index("task")["base_score"]
    outcomes = written["outcomes"]
    assert (outcomes["score"] == outcomes["task"].map(base)).all()


def _never(*_args, **_kwargs):
    pytest.fail("a finished model was trained again")
