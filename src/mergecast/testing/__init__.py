"""The common tests of everything that plugs in, for packages that bring something of their own.

Mergecast's own tests walk its registries with these very functions.

Examples
--------
In the tests of a package that registers merging methods, metrics, …::

    import pytest
    from mergecast.testing import checks

    @pytest.mark.parametrize("check", checks("my_package"), ids=str)
    def test_the_laws_of_mergecast(check):
        check()
"""

from __future__ import annotations

from typing import Any

from mergecast.errors import UsageError
from mergecast.testing import evidence, merging_methods, predictors, suites
from mergecast.testing.check import Check, Laws
from mergecast.testing.checkpoint_formats import check_checkpoint_format
from mergecast.testing.evidence import check_evidence_kind, check_metric
from mergecast.testing.merging_methods import check_merging_method
from mergecast.testing.predictors import check_predictor
from mergecast.testing.suites import check_suite

_LAWS: tuple[Laws[Any, Any], ...] = (
    merging_methods.LAWS,
    evidence.METRIC_LAWS,
    evidence.KIND_LAWS,
    predictors.LAWS,
    suites.LAWS,
)

__all__ = [
    "Check",
    "check_checkpoint_format",
    "check_evidence_kind",
    "check_merging_method",
    "check_metric",
    "check_predictor",
    "check_suite",
    "checks",
]


def checks(package: str | None = None) -> list[Check]:
    """Every common test of what a package registered, or of everything that is registered.

    Checkpoint formats are not among it: they are checked on a file (`check_checkpoint_format`).

    Parameters
    ----------
    package : str, optional
        Name of an import package, as in ``my_package``.

    Returns
    -------
    list of Check
        Call each; it raises AssertionError where a law is broken. Raises UsageError where the
        package registers nothing.
    """
    collected = [check for laws in _LAWS for check in laws.of_package(package)]
    if not collected:
        remedy = "give an import name, and see that the package is installed with its entry points"
        raise UsageError(f"package {package!r}", "registers nothing to check", remedy)
    return collected
