"""Pair metrics: one function a metric on fingerprints, and the table of all pairs."""

from mergecast.evidence.activations import metrics as activation
from mergecast.evidence.gradients import metrics as gradient
from mergecast.evidence.interference import metrics as interference
from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Request, Work, kinds
from mergecast.evidence.metric import METRICS, MetricSpec, metric, metric_specs
from mergecast.evidence.retention import metrics as retention
from mergecast.evidence.retention import probe_metrics as probe
from mergecast.evidence.table import collect_evidence, pair_table, table_of
from mergecast.evidence.weights import collect as weights_kind
from mergecast.evidence.weights import effective_rank, subspace, task_vector

__all__ = [
    "EVIDENCE",
    "METRICS",
    "EvidenceKind",
    "MetricSpec",
    "Request",
    "Work",
    "activation",
    "collect_evidence",
    "effective_rank",
    "gradient",
    "interference",
    "kinds",
    "metric",
    "metric_specs",
    "pair_table",
    "probe",
    "retention",
    "subspace",
    "table_of",
    "task_vector",
    "weights_kind",
]
