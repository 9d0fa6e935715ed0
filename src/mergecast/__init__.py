"""mergecast: forecast what merging fine-tuned neural networks will do, before it is done.

Names are loaded where they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mergecast.version import __version__

if TYPE_CHECKING:
    from mergecast.checkpoints.checkpoint import Checkpoint
    from mergecast.errors import MergecastError
    from mergecast.evidence import METRICS, metric, metric_specs
    from mergecast.evidence import compute_metrics as metrics
    from mergecast.family.family import Family
    from mergecast.forecast.forecaster import Forecaster
    from mergecast.forecast.splitters import LeaveOneTaskOut, LeaveTwoTasksOut
    from mergecast.merging import METHODS, merge, merging_method, write_merge

_HOMES = {
    "Checkpoint": "mergecast.checkpoints.checkpoint",
    "Family": "mergecast.family.family",
    "Forecaster": "mergecast.forecast.forecaster",
    "LeaveOneTaskOut": "mergecast.forecast.splitters",
    "LeaveTwoTasksOut": "mergecast.forecast.splitters",
    "METHODS": "mergecast.merging",
    "METRICS": "mergecast.evidence",
    "MergecastError": "mergecast.errors",
    "merge": "mergecast.merging",
    "merging_method": "mergecast.merging",
    "metric": "mergecast.evidence",
    "metric_specs": "mergecast.evidence",
    "metrics": "mergecast.evidence:compute_metrics",
    "write_merge": "mergecast.merging",
}

__all__ = [
    "METHODS",
    "METRICS",
    "Checkpoint",
    "Family",
    "Forecaster",
    "LeaveOneTaskOut",
    "LeaveTwoTasksOut",
    "MergecastError",
    "__version__",
    "merge",
    "merging_method",
    "metric",
    "metric_specs",
    "metrics",
    "write_merge",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mergecast' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
