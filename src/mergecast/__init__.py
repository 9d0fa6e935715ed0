"""mergecast: forecast what merging fine-tuned neural networks will do, before it is done.

Names are loaded where they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from mergecast.version import __version__

if TYPE_CHECKING:
    from mergecast.api.demo import demo
    from mergecast.api.explain import Explanation, explain
    from mergecast.api.forecasts import forecast
    from mergecast.api.inputs import load_tasks
    from mergecast.api.learning import analyse, evaluate, fit, unseen_suites
    from mergecast.api.measured import measure
    from mergecast.api.merge_evidence import merge_evidence
    from mergecast.api.metrics import metrics, pair_table, plan
    from mergecast.api.one_merge import forecast_merge
    from mergecast.api.outcomes import outcomes
    from mergecast.api.reports import report
    from mergecast.api.retention_monitor import RetentionMonitor
    from mergecast.api.search import search
    from mergecast.api.task_files import check_tasks, draft_tasks
    from mergecast.api.tuning import tune_merge
    from mergecast.checkpoints.checkpoint import Checkpoint
    from mergecast.errors import MergecastError
    from mergecast.evidence import METRICS, metric, metric_specs
    from mergecast.family.family import Family
    from mergecast.family.preflight import check
    from mergecast.forecast.estimators.predictors import PREDICTORS, predictor
    from mergecast.forecast.forecaster import Forecaster
    from mergecast.forecast.result import Forecast
    from mergecast.forecast.splitters import LeaveOneTaskOut, LeaveTwoTasksOut
    from mergecast.forecast.validation.evaluation import Evaluation
    from mergecast.merging import (
        METHODS,
        Recipe,
        merge,
        merging_method,
        read_mergekit,
        write_merge,
    )
    from mergecast.paper.reproduce import reproduce
    from mergecast.search.result import SearchResult
    from mergecast.suites.run import run_suite
    from mergecast.suites.status import suite_status
    from mergecast.suites.suite import SUITES
    from mergecast.tables.outcomes import OutcomeTable
    from mergecast.tables.pairs import PairTable
    from mergecast.tables.runs import load_run
    from mergecast.tasks.task import Samples, Task

_HOMES = {
    "Checkpoint": "mergecast.checkpoints.checkpoint",
    "Evaluation": "mergecast.forecast.validation.evaluation",
    "Explanation": "mergecast.api.explain",
    "Family": "mergecast.family.family",
    "Forecast": "mergecast.forecast.result",
    "Forecaster": "mergecast.forecast.forecaster",
    "LeaveOneTaskOut": "mergecast.forecast.splitters",
    "LeaveTwoTasksOut": "mergecast.forecast.splitters",
    "METHODS": "mergecast.merging",
    "METRICS": "mergecast.evidence",
    "MergecastError": "mergecast.errors",
    "OutcomeTable": "mergecast.tables.outcomes",
    "PREDICTORS": "mergecast.forecast.estimators.predictors",
    "PairTable": "mergecast.tables.pairs",
    "Recipe": "mergecast.merging",
    "RetentionMonitor": "mergecast.api.retention_monitor",
    "SUITES": "mergecast.suites.suite",
    "Samples": "mergecast.tasks.task",
    "SearchResult": "mergecast.search.result",
    "Task": "mergecast.tasks.task",
    "analyse": "mergecast.api.learning",
    "check": "mergecast.family.preflight",
    "check_tasks": "mergecast.api.task_files",
    "demo": "mergecast.api.demo",
    "draft_tasks": "mergecast.api.task_files",
    "evaluate": "mergecast.api.learning",
    "explain": "mergecast.api.explain",
    "fit": "mergecast.api.learning",
    "forecast": "mergecast.api.forecasts",
    "forecast_merge": "mergecast.api.one_merge",
    "load_run": "mergecast.tables.runs",
    "load_tasks": "mergecast.api.inputs",
    "measure": "mergecast.api.measured",
    "merge": "mergecast.merging",
    "merge_evidence": "mergecast.api.merge_evidence",
    "merging_method": "mergecast.merging",
    "metric": "mergecast.evidence",
    "metric_specs": "mergecast.evidence",
    "metrics": "mergecast.api.metrics",
    "outcomes": "mergecast.api.outcomes",
    "pair_table": "mergecast.api.metrics",
    "plan": "mergecast.api.metrics",
    "predictor": "mergecast.forecast.estimators.predictors",
    "read_mergekit": "mergecast.merging",
    "report": "mergecast.api.reports",
    "reproduce": "mergecast.paper.reproduce",
    "run_suite": "mergecast.suites.run",
    "search": "mergecast.api.search",
    "suite_status": "mergecast.suites.status",
    "unseen_suites": "mergecast.api.learning",
    "tune_merge": "mergecast.api.tuning",
    "write_merge": "mergecast.merging",
}

__all__ = [
    "METHODS",
    "METRICS",
    "PREDICTORS",
    "SUITES",
    "Checkpoint",
    "Evaluation",
    "Explanation",
    "Family",
    "Forecast",
    "Forecaster",
    "LeaveOneTaskOut",
    "LeaveTwoTasksOut",
    "MergecastError",
    "OutcomeTable",
    "PairTable",
    "Recipe",
    "RetentionMonitor",
    "Samples",
    "SearchResult",
    "Task",
    "__version__",
    "analyse",
    "check",
    "check_tasks",
    "demo",
    "draft_tasks",
    "evaluate",
    "explain",
    "fit",
    "forecast",
    "forecast_merge",
    "load_run",
    "load_tasks",
    "measure",
    "merge",
    "merge_evidence",
    "merging_method",
    "metric",
    "metric_specs",
    "metrics",
    "outcomes",
    "pair_table",
    "plan",
    "predictor",
    "read_mergekit",
    "report",
    "reproduce",
    "run_suite",
    "search",
    "suite_status",
    "tune_merge",
    "unseen_suites",
    "write_merge",
]


class _Package(ModuleType):
    """The package's own type: what it holds is loaded by name.

    `forecast`, `report` and `search` are names of functions *and* of packages: importing a module
    of such a package would bind the package in the function's place.
    """

    def __getattr__(self, name: str) -> object:
        if name not in _HOMES:
            problem = f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(problem, name=name, obj=self)
        return getattr(import_module(_HOMES[name]), name)

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *__all__})

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
