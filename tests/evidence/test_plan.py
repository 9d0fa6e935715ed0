"""A plan does every step once, and counts what collecting does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from mergecast.evidence import EVIDENCE, MergeSettings
from mergecast.evidence.plan import plan
from mergecast.merging import METHODS, merging_method
from mergecast.tasks.probe import Probe
from tiny_models import tiny_session

#: All samples fit one batch, so that a pass is one call.
SAMPLES = 4


def session_of(folder, **merges):
    session = tiny_session(folder, merges=MergeSettings(draws=2, **merges))
    session.settings = replace(session.settings, calibration=SAMPLES)
    return session


@pytest.mark.parametrize("kind", ["activations", "inputs", "retention", "gradients", "probe"])
def test_passes_are_those_that_collecting_takes(tmp_path, kind, monkeypatch):
    session = session_of(tmp_path, methods=("ties", "weight_avg"))
    rows = {row.kind: row for row in plan(session, "probe", "all")}
    calls, forward = Counter(), Probe.forward

    def counted(self, samples):
        calls["forward"] += 1
        return forward(self, samples)

    monkeypatch.setattr(Probe, "forward", counted)
    if kind == "probe":  # retention comes before it, and a model's own answers with that
        EVIDENCE.get("retention").collector.collect(session)
        calls.clear()
    EVIDENCE.get(kind).collector.collect(session)
    assert rows[kind].forward_passes == calls["forward"]


def test_metrics_that_are_named_are_planned_alone(tmp_path):
    session = session_of(tmp_path, methods=("ties",))
    rows = plan(session, "activations", keys=["task_vector_cosine_similarity"])
    assert [row.kind for row in rows] == ["weights"]


def test_every_kind_of_every_tier_has_its_cost(tmp_path):
    session = session_of(tmp_path, methods=("ties", "tsv"))
    rows = {row.kind: row for row in plan(session, "probe", "all")}
    assert list(rows)[:2] == ["weights", "activations"]
    assert set(rows) == set(EVIDENCE.names())
    assert all(row.minutes > 0 and row.memory > 0 for row in rows.values())
    assert rows["interference"].backward_passes == 3 * 9
    assert rows["inputs"].kept > 0


def test_more_of_the_same_costs_in_proportion(tmp_path):
    few, many = (
        {row.kind: row for row in plan(session_of(tmp_path, methods=methods), "activations")}
        for methods in (("weight_avg",), ("ties", "tsv", "weight_avg"))
    )
    assert few["retention"].forward_passes == 3 + 3 * 3
    assert many["retention"].forward_passes == 3 + 3 * 3 * 3


def test_a_method_that_cannot_merge_two_models_is_no_obstacle(tmp_path):
    with METHODS.isolated():
        merging_method("only_one", reference="a test", max_members=1)(lambda block: block.deltas[0])
        session = session_of(tmp_path, methods=("only_one",))
        assert plan(session, "probe")[-1].kind == "probe"


def test_a_plan_leaves_no_trace_in_the_cache(tmp_path):
    session = session_of(tmp_path, methods=("ties",))
    session.settings = replace(session.settings, cache=tmp_path / "cache")
    plan(session, "gradients")
    assert not (tmp_path / "cache").exists()


#: Four models of 3 MB on a task of noise; prints what a plan says of memory, and what it takes.
MEMORY = """
import resource, sys
from pathlib import Path

import torch
from torch import nn

import mergecast as mc
from mergecast.checkpoints.writer import write_safetensors
from mergecast.tasks.task import Task, take

WIDTH, CLASSES = 900, 3


class Noise(Task):
    def build(self):
        return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))

    def samples(self, count, seed, split="calibration"):
        draw = torch.Generator().manual_seed(len(self.name))
        inputs = {"input": torch.randn(40, WIDTH, generator=draw)}
        return take(self.name, split, inputs, torch.arange(40) % CLASSES, count, seed)


names = [6 * letter for letter in "abcd"]
tasks = {name: Noise(name, private=("2.*",)) for name in names}
folder = Path(sys.argv[1])
draw = torch.Generator().manual_seed(0)
base = tasks[names[0]].build().state_dict()
for name in ("base", *names):
    moved = {k: v + 0.01 * torch.randn(v.shape, generator=draw) for k, v in base.items()}
    write_safetensors(folder / f"{name}.safetensors", {k: v.numpy() for k, v in moved.items()})
given = {"tasks": tasks, "tier": "activations", "metrics": "superposition", "calibration": 40}
given["methods"] = ["tsv", "ties"]
models = {name: folder / f"{name}.safetensors" for name in names}
if sys.argv[2] == "plan":
    print(max(row.memory for row in mc.plan(folder / "base.safetensors", models, **given)))
else:
    mc.metrics(folder / "base.safetensors", models, **given)
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are in other units elsewhere")
def test_the_peak_is_the_one_that_collecting_has(tmp_path):
    def said(what):
        command = [sys.executable, "-c", MEMORY, str(tmp_path), what]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert said("plan") == pytest.approx(said("collect"), rel=0.2)
