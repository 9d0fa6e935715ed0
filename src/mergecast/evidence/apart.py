"""Test samples that are among the samples that forecasts read: said where merges are scored."""

from __future__ import annotations

from collections.abc import Sequence

from mergecast.errors import UsageError
from mergecast.evidence.session import Session
from mergecast.family.findings import Finding
from mergecast.tasks.apart import one_source, shared

#: Samples of a task, in the order in which forecasts take them, that its test is compared with.
_COMPARED = 1000
_TELLS = "merges measured on them say less of how far off forecasts are than they seem to"
_REMEDY = "give `test:` samples that are not in `data:`"


def shared_tests(session: Session, labels: Sequence[str]) -> list[Finding]:
    """A warning for every task whose test samples are, all or some, among its other samples.

    By content: the same input of the model with the same label. Test samples are compared with
    those that forecasts take first, 1000 at most. A task without test samples is passed over.

    Parameters
    ----------
    session : Session
        Family, tasks and the seed of the choice of samples.
    labels : sequence of str
        The models whose tasks are asked about.
    """
    findings = []
    for label in labels:
        task = session.task(label)
        if source := one_source(task):
            message = f"its `data:` and `test:` are the same: {source}; {_TELLS}"
            findings.append(Finding("warning", "test samples", label, message, _REMEDY))
            continue
        try:
            tests = session.test_samples(label)
        except UsageError as error:
            if error.thing.endswith("split 'test'"):
                continue
            raise
        count = min(task.size("calibration"), _COMPARED)
        twice = int(shared([task.samples(count, session.settings.seed)], tests).sum())
        if twice:
            message = (
                f"{twice} of its {len(tests)} test samples {'is' if twice == 1 else 'are'} also, "
                f"with the same content, among {count} of its `data:`, which forecasts are made "
                f"from: {_TELLS}"
            )
            findings.append(Finding("warning", "test samples", label, message, _REMEDY))
    return findings
