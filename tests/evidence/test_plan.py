"""A plan does every step once, and counts what collecting does."""

from __future__ import annotations

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
