"""The names people use: there, lazy, and functions whatever else has been imported."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import mergecast as mc

VERBS = [
    "analyse",
    "check",
    "check_tasks",
    "demo",
    "draft_tasks",
    "evaluate",
    "fit",
    "forecast",
    "forecast_merge",
    "load_run",
    "load_tasks",
    "measure",
    "merge",
    "metrics",
    "outcomes",
    "pair_table",
    "plan",
    "report",
    "reproduce",
    "run_suite",
    "suite_status",
    "tune_merge",
    "unseen_suites",
    "write_merge",
]


def test_every_name_is_there_and_listed():
    assert set(mc.__all__) <= set(dir(mc))
    assert all(getattr(mc, name) is not None for name in mc.__all__)
    assert set(VERBS) <= set(mc.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'forecasts'"):
        _ = mc.forecasts


def test_verbs_stay_verbs_though_rooms_have_their_names():
    for module in ("mergecast.forecast.forecaster", "mergecast.report.html"):
        assert import_module(module).__name__ == module
    assert inspect.isfunction(mc.forecast)
    assert inspect.isfunction(mc.report)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_documents_itself(verb):
    function = getattr(mc, verb)
    parameters = inspect.signature(function).parameters
    documented = inspect.getdoc(function)
    assert all(name in documented for name in parameters)
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def test_importing_the_package_costs_nothing():
    code = (
        "import sys, mergecast; dir(mergecast);"
        "print({'torch', 'pandas', 'numpy', 'scipy', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_metrics_of_weights_import_no_torch(family_paths):
    base, models = family_paths
    code = (
        "import sys, mergecast as mc; base, *models = sys.argv[1:];"
        "mc.check(base, models); mc.metrics(base, models); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(base), *map(str, models)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
