"""Evidence of a family, by kind, each collector beside its metrics; and the table of all pairs."""

from mergecast.evidence.kind import EVIDENCE, EvidenceKind, Step, kinds_of, wanted, with_companions
from mergecast.evidence.metric import METRICS, MetricSpec, metric, metric_specs
from mergecast.evidence.session import Session
from mergecast.evidence.settings import MergeSettings, ProbeSettings
from mergecast.evidence.table import Evidence, collect_evidence, table_stage

__all__ = [
    "EVIDENCE",
    "METRICS",
    "Evidence",
    "EvidenceKind",
    "MergeSettings",
    "MetricSpec",
    "ProbeSettings",
    "Session",
    "Step",
    "collect_evidence",
    "kinds_of",
    "metric",
    "metric_specs",
    "table_stage",
    "wanted",
    "with_companions",
]
