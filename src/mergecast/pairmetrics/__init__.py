"""Pair metrics: one function a metric on fingerprints, and the table of all pairs."""

from mergecast.pairmetrics import (
    effective_rank,
    interference,
    probe,
    retention,
    subspace,
    task_vector,
)
from mergecast.pairmetrics.evidence import EvidencePair, evidence_table
from mergecast.pairmetrics.spec import METRICS, MetricSpec, metric, metric_specs
from mergecast.pairmetrics.table import compute_metrics, table_of

__all__ = [
    "METRICS",
    "EvidencePair",
    "MetricSpec",
    "compute_metrics",
    "effective_rank",
    "evidence_table",
    "interference",
    "metric",
    "metric_specs",
    "probe",
    "retention",
    "subspace",
    "table_of",
    "task_vector",
]
