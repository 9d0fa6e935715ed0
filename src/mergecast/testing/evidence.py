"""The laws of metrics and of kinds of evidence, checked on a tiny family with tasks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mergecast.errors import UndefinedError
from mergecast.evidence.kind import EVIDENCE, EvidenceKind
from mergecast.evidence.metric import METRICS, MetricSpec
from mergecast.evidence.session import Session
from mergecast.evidence.settings import ProbeSettings
from mergecast.evidence.table import Evidence, collect_evidence
from mergecast.family.family import Family
from mergecast.merging.method import METHODS, usual_methods
from mergecast.runtime.stage import Stage
from mergecast.tables.tiers import TIERS
from mergecast.testing.check import Laws, expect

#: Three models, and a fourth that equals its base: what there is nothing of must have a reason.
_LABELS, _SAME = "abc", "d"


def check_metric(key: str) -> None:
    """Run every common test of a metric, on tiny models that are made for it.

    Parameters
    ----------
    key : str
        What it is registered as.

    Raises
    ------
    AssertionError
        It breaks a law; the message says which and how.
    UsageError
        No such metric.

    Examples
    --------
    >>> check_metric("task_vector_cosine_similarity")
    """
    for check in METRIC_LAWS.of(key, METRICS.get(key)):
        check()


def check_evidence_kind(name: str) -> None:
    """Run every common test of a kind of evidence; see `check_metric`.

    Parameters
    ----------
    name : str
        What it is registered as.

    Raises
    ------
    AssertionError
        It breaks a law; the message says which and how.
    UsageError
        No such kind.
    """
    for check in KIND_LAWS.of(name, EVIDENCE.get(name)):
        check()


def it_declares_itself(spec: MetricSpec) -> None:
    """Group, source, sets and what it says; evidence of its tier or a cheaper one."""
    expect(bool(spec.family and spec.source and spec.sets), "has no family, source or set")
    expect(bool(inspect.getdoc(spec.function)), "its function has no docstring")
    kind = EVIDENCE.get(spec.evidence)
    cheap = TIERS.index(kind.tier) <= TIERS.index(spec.tier)
    expect(cheap, f"tier {spec.tier!r} is cheaper than {kind.tier!r}, that of its evidence")


def it_is_directed_if_declared_so(spec: MetricSpec) -> None:
    """Only a directed metric depends on which of two models is the first, and it does."""
    evidence = _evidence(EVIDENCE.get(spec.evidence)).kinds[spec.evidence]
    directed = False
    for about in usual_methods() if spec.per_method else ("",):
        for labels in (("a", "b"), ("a", "c"), ("b", "c")):
            first, second = (
                _value(spec, evidence.pair(*order), about) for order in (labels, labels[::-1])
            )
            directed |= not np.isclose(first, second, rtol=1e-9, equal_nan=True)
    seen = "depends" if directed else "does not depend"
    expect(directed != spec.symmetric, f"it {seen} on which of two models is the first")


def values_are_in_their_range(spec: MetricSpec) -> None:
    """Three models have values; with one that equals its base there may be a reason instead."""
    evidence = replace(_evidence(EVIDENCE.get(spec.evidence)), metrics=[spec])
    table = evidence.table([*_LABELS, _SAME])
    plain = table.frame[~table.frame[["left", "right"]].isin([_SAME]).any(axis=1)]
    for column in table.metrics:
        expect(bool(plain[column].notna().any()), f"{column} has no value of three models")


def the_order_of_models_does_not_matter(spec: MetricSpec) -> None:
    """In whatever order models are given, a pair has the same values."""
    kind, names = EVIDENCE.get(spec.evidence), [*_LABELS, _SAME]
    first, second = (
        replace(_evidence(kind, backwards), metrics=[spec]).table(names).to_pandas()
        for backwards in (False, True)
    )
    same = all(
        np.allclose(first[column], second[column], rtol=1e-6, atol=1e-9, equal_nan=True)
        for column in first.columns[3:]
    )
    expect(same, "models given in another order have other values")


def it_says_what_it_is_made_by(kind: EvidenceKind) -> None:
    """A tier, a stage, and a metric that reads it."""
    expect(kind.tier in TIERS, f"tier {kind.tier!r} is none of {', '.join(TIERS)}")
    expect(isinstance(kind.collector.STAGE, Stage), f"{kind.module}.STAGE is no stage")
    expect(bool(_specs(kind)), "no metric reads it")


def what_is_stored_is_not_made_again(kind: EvidenceKind) -> None:
    """A second run with the same cache adds nothing to it and gives the same numbers."""
    tables, stored = [], []
    with TemporaryDirectory(prefix="mergecast-") as folder:
        for _ in range(2):
            with _session(Path(folder)) as session:
                evidence = collect_evidence(session, TIERS[-1], keys=_keys(kind))
                tables.append(evidence.table([*_LABELS, _SAME]).to_pandas())
            stored.append({file: file.stat().st_mtime_ns for file in Path(folder).rglob("*")})
    expect(stored[0] == stored[1], "a second run computes again what the first one stored")
    expect(tables[0].equals(tables[1]), "a second run gives other numbers")


def a_plan_can_time_it(kind: EvidenceKind) -> None:
    """Every step can be run by itself and says how often it is taken."""
    with TemporaryDirectory(prefix="mergecast-") as folder, _session(Path(folder)) as session:
        asked = session.narrowed(session.family.names, _keys(kind))
        for step in kind.collector.steps(asked):
            step.run()
            expect(step.times > 0, f"a step is taken {step.times} times")


METRIC_LAWS: Laws[MetricSpec, MetricSpec] = Laws(
    METRICS,
    (
        it_declares_itself,
        it_is_directed_if_declared_so,
        values_are_in_their_range,
        the_order_of_models_does_not_matter,
    ),
    lambda spec: spec,
)
KIND_LAWS: Laws[EvidenceKind, EvidenceKind] = Laws(
    EVIDENCE,
    (it_says_what_it_is_made_by, what_is_stored_is_not_made_again, a_plan_can_time_it),
    lambda kind: kind,
)


def _evidence(kind: EvidenceKind, backwards: bool = False) -> Evidence:
    return _collected(kind, tuple(_specs(kind)), tuple(METHODS), backwards)


@lru_cache(maxsize=32)
def _collected(kind: EvidenceKind, specs: object, methods: object, backwards: bool) -> Evidence:
    """Collected once for all metrics that read it, whatever is registered meanwhile."""
    del specs, methods
    with _session(Path(_scratch().name) / "cache", backwards) as session:
        return collect_evidence(session, TIERS[-1], keys=_keys(kind))


@lru_cache(maxsize=1)
def _scratch() -> TemporaryDirectory[str]:
    """Evidence may read its files as long as there is a process."""
    return TemporaryDirectory(prefix="mergecast-")


@contextmanager
def _session(cache: Path, backwards: bool = False) -> Iterator[Session]:
    from mergecast.checkpoints.writer import write_safetensors
    from mergecast.testing.tiny import tiny_states, tiny_tasks

    labels = [*_LABELS, _SAME]
    states = tiny_states("".join(labels))
    states[_SAME] |= states["base"]
    with TemporaryDirectory(prefix="mergecast-") as folder:
        paths = {label: Path(folder) / f"{label}.safetensors" for label in states}
        for label, path in paths.items():
            write_safetensors(path, states[label])
        order = reversed(labels) if backwards else labels
        family = Family.open(paths["base"], {label: paths[label] for label in order})
        settings = ProbeSettings(calibration=12, cache=cache)
        with Session(family, tiny_tasks("".join(labels)), settings) as session:
            yield session


def _value(spec: MetricSpec, pair: Any, method: str) -> float:
    try:
        return float(spec.function(pair, *([method] if spec.per_method else [])))
    except UndefinedError:
        return np.nan


def _specs(kind: EvidenceKind) -> list[MetricSpec]:
    return [spec for spec in METRICS if spec.evidence == kind.name]


def _keys(kind: EvidenceKind) -> list[str]:
    return [spec.key for spec in _specs(kind)]
