"""The tasks of a run folder as probes see them."""

from __future__ import annotations

import pandas as pd
import pytest
from safetensors.torch import load_file

from mergecast.errors import UsageError
from mergecast.suites.folder import run_tasks
from mergecast.tasks.probe import Probe


def test_a_suites_tasks_give_the_suites_scores(finished):
    scores = pd.read_parquet(finished / "tasks.parquet").set_index("task")["single_score"]
    tasks = run_tasks(finished)
    probe = None
    for name, task in tasks.items():
        probe = Probe(task, module=probe.module if probe else None)
        samples = task.samples(100, 0, "test")
        logits = probe.logits(load_file(finished / "models" / f"{name}.safetensors"), samples)
        assert float((logits.argmax(1) == samples.labels).float().mean()) == pytest.approx(
            scores[name]
        )
    with pytest.raises(UsageError, match="split 'dev': unknown.*known: train, calibration, test"):
        task.samples(1, 0, "dev")
    with pytest.raises(UsageError, match="holds no suite run"):
        run_tasks(finished / "models")


def test_every_tier_of_a_run(finished):
    import mergecast as mc

    models = sorted((finished / "models").iterdir())
    family = mc.Family.open(finished / "base.safetensors", models)
    table = mc.metrics(
        family, tasks=run_tasks(finished), tier="gradients", metrics="paper", calibration=20
    )
    keys = [spec.key for spec in mc.metric_specs("paper")]
    assert table[keys].notna().all(axis=None)
