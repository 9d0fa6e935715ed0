"""What is told of a search while it runs: to Optuna's trials and to the progress."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from mergecast.evidence.session import Session
from mergecast.runtime.progress import Progress
from mergecast.runtime.store import text_digest
from mergecast.search.objective import Objective
from mergecast.search.run import Search
from mergecast.search.steps import Step
from mergecast.search.trials import Trials

#: Measurements that progress counts up to, where there is no budget of them.
_USUAL = 100


class Told:
    """Passes every step on, to Optuna's trials and to the progress, and keeps its time."""

    def __init__(
        self, search: Search, trials: Trials, progress: Progress, looks: int | None
    ) -> None:
        self.seconds: list[float] = []
        self._began, self._search, self._trials = monotonic(), search, trials
        self._advance = progress.stage("merges measured, at most", looks or _USUAL)
        self._left = looks or _USUAL

    def __call__(self, step: Step) -> None:
        """Pass on one measurement."""
        self.seconds.append(monotonic() - self._began)
        value = self._search.objective.value(step.candidate.members, step.seen.kept)
        self._trials.told(step, float(value))
        if self._left:
            self._left -= 1
            self._advance(1)


def study_of(
    session: Session, sought: Objective, seed: int, methods: Sequence[str], judge: str
) -> str:
    """A name that another search does not have; `judge` says what measures merges."""
    models = {label: session.digest(label) for label in sorted(session.family.names)}
    words = f"{session.base_digest} {session.shared_digest} {models} {sought} {seed} {methods}"
    words += f" {[session.task(label).definition for label in models]}"
    words += f" {judge} {session.settings.calibration}"
    if session.family.vocabulary is not None:
        words += f" {session.family.vocabulary.mode}"
    return f"mergecast {text_digest(words)[:12]}"
