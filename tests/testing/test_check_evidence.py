"""The common tests tell a metric or a kind of evidence that breaks a law, by name."""

from __future__ import annotations

import itertools
import sys
from types import ModuleType

import pytest

from mergecast.errors import UsageError
from mergecast.evidence import EVIDENCE, METRICS, EvidenceKind, Step, metric
from mergecast.evidence.readings import Readings
from mergecast.runtime.stage import Stage
from mergecast.testing import check_evidence_kind, check_metric

DECLARED = {"family": "test", "tier": "weights", "symmetric": True, "range": (0, 1), "source": "x"}


@pytest.mark.parametrize(
    ("function", "changes", "problem"),
    [
        (lambda pair: 0.5, {}, "it declares itself: its function has no docstring"),
        (lambda pair: 0.5, {"source": ""}, "has no family, source or set"),
        (
            lambda pair: 0.5,
            {"evidence": "gradients"},
            "tier 'weights' is cheaper than 'gradients', that of its evidence",
        ),
        (
            lambda pair: pair.norms[0] / sum(pair.norms),
            {},
            "it depends on which of two models is the first",
        ),
        (
            lambda pair: 0.5,
            {"symmetric": False},
            "it does not depend on which of two models is the first",
        ),
        (lambda pair: 2.0, {}, "values are in their range: metric 'broken' of a and b: is 2.0"),
        (lambda pair: float("nan"), {}, "is nan, not in its range"),
    ],
)
def test_a_broken_law_of_a_metric_is_named(function, changes, problem):
    if "docstring" not in problem:
        function.__doc__ = "What it says."
    with METRICS.isolated():
        metric("broken", **{**DECLARED, **changes})(function)
        with pytest.raises(AssertionError, match=f"metric 'broken': .*{problem}"):
            check_metric("broken")


@pytest.mark.parametrize("key", ["a@ties", "a:left<-right"])
def test_a_metric_is_named_without_method_and_direction(key):
    with METRICS.isolated(), pytest.raises(UsageError, match="is no name of a metric; give a name"):
        metric(key, **DECLARED)


COUNTER = itertools.count()


def collector(**changes):
    """A module that collects the same number of every model, but for what is changed."""

    def collect(session):
        values = {}
        for label in session.family.names:
            spec = session.spec(module.STAGE, label, session.samples(label), n=changes.get("n", 0)
                                and next(COUNTER))  # fmt: skip
            values[label, "one"] = session.unit(spec, lambda: {"one": 1.0})["one"]
        return Readings(values, {})

    module = ModuleType("a_collector")
    module.STAGE = changes.get("stage", Stage("a kind"))
    module.collect = collect
    module.steps = lambda session: iter([Step(lambda: collect(session), changes.get("times", 1))])
    return module


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stage": "a kind"}, "it says what it is made by: a_collector.STAGE is no stage"),
        ({"n": 1}, "a second run computes again what the first one stored"),
        ({"times": 0}, "a plan can time it: a step is taken 0 times"),
        ({}, ""),
    ],
)
def test_a_broken_law_of_a_kind_is_named(changes, problem, monkeypatch):
    monkeypatch.setitem(sys.modules, "a_collector", collector(**changes))
    with METRICS.isolated(), EVIDENCE.isolated():
        EVIDENCE.add("a kind", EvidenceKind("a kind", "activations", "a_collector"))
        declared = {**DECLARED, "tier": "activations", "evidence": "a kind"}
        metric("one", **declared)(lambda pair: pair.alone("one"))
        if not problem:
            check_evidence_kind("a kind")
            return
        with pytest.raises(AssertionError, match=f"evidence kind 'a kind': .*{problem}"):
            check_evidence_kind("a kind")
