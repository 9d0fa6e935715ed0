"""Pair metrics: one function a metric on fingerprints, and the table of all pairs."""

from mergecast.pairmetrics import (
    activation,
    effective_rank,
    gradient,
    interference,
    probe,
    retention,
    subspace,
    task_vector,
    weights_kind,
)
from mergecast.pairmetrics.evidence import EVIDENCE, EvidenceKind, Request, Work, kinds
from mergecast.pairmetrics.spec import METRICS, MetricSpec, metric, metric_specs
from mergecast.pairmetrics.table import collect_evidence, compute_metrics, table_of

__all__ = [
    "EVIDENCE",
    "METRICS",
    "EvidenceKind",
    "MetricSpec",
    "Request",
    "Work",
    "activation",
    "collect_evidence",
    "compute_metrics",
    "effective_rank",
    "gradient",
    "interference",
    "kinds",
    "metric",
    "metric_specs",
    "probe",
    "retention",
    "subspace",
    "table_of",
    "task_vector",
    "weights_kind",
]
