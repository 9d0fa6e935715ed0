"""Numbers that no call takes: refused by name before anything is read, as the command refuses."""

from __future__ import annotations

import pytest

import mergecast as mc
from mergecast.cli.main import run
from mergecast.errors import UsageError
from mergecast.runtime.workers import Workers
from mergecast.testing.tiny import tiny_family, tiny_tasks


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "workers: is 0; give 1 or more"),
        ({"workers": -2}, "workers: is -2; give 1 or more"),
        ({"seed": -1}, "seed: is -1; give 0 or more"),
        ({"merge_seed": -1}, "merge_seed: is -1; give 0 or more"),
        ({"batch_size": 0}, "batch_size: is 0; give 1 or more"),
    ],
)
def test_evidence(tmp_path, given, said, capsys):
    family = tiny_family(tmp_path)
    for call in (mc.forecast, mc.metrics, mc.plan):
        with pytest.raises(UsageError, match=said):
            call(family, tasks=tiny_tasks(), **given)
    [(name, value)] = given.items()
    option = f"--{name.replace('_', '-')}"
    assert run(["metrics", "base", "a", "b", option, str(value)]) == 2
    assert option in capsys.readouterr().err


def test_other_calls(tmp_path):
    family, tasks = tiny_family(tmp_path), tiny_tasks()
    with pytest.raises(UsageError, match="workers: is 0"):
        mc.search(family, tasks=tasks, methods=["ties"], workers=0)
    with pytest.raises(UsageError, match="workers: is 0"):
        mc.write_merge(family, "ties", tmp_path / "merged", workers=0)
    assert not (tmp_path / "merged").exists()
    with pytest.raises(UsageError, match="workers: is 0"):
        Workers(0)
    with pytest.raises(UsageError, match="seed: is -1"):
        mc.tune_merge(family, tasks=tasks, method="ties", seed=-1)
    with pytest.raises(UsageError, match="seed: is -1"):
        mc.run_suite("digits-14", tmp_path / "run", seed=-1)
    with pytest.raises(UsageError, match="seed: is -1"):
        mc.check_tasks(tmp_path / "tasks.yaml", seed=-1)
    for call in (mc.evaluate, mc.analyse):
        with pytest.raises(UsageError, match="seed: is -1"):
            call(tmp_path, seed=-1)
