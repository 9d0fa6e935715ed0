"""Pair metrics: one function a metric on fingerprints, and the table of all pairs."""

from mergecast.pairmetrics import effective_rank, subspace, task_vector
from mergecast.pairmetrics.spec import METRICS, MetricSpec, metric, metric_specs
from mergecast.pairmetrics.table import compute_metrics, table_of

__all__ = [
    "METRICS",
    "MetricSpec",
    "compute_metrics",
    "effective_rank",
    "metric",
    "metric_specs",
    "subspace",
    "table_of",
    "task_vector",
]
