"""Trials of a search in Optuna's storage: one a merge that was measured, for its dashboard."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.search.candidates import Candidate
from mergecast.search.steps import Step

if TYPE_CHECKING:
    from optuna.trial import Trial

#: The file of a search's trials, in its cache: `optuna-dashboard FILE` shows them.
FILE = "trials.log"


class Trials:
    """Keeps what a search measures as trials, asked and told; going on where a search was killed.

    Parameters
    ----------
    folder : Path
        Where `FILE` is.
    name : str
        Of the study: the same for the same search.
    labels, methods : sequence of str
        The models and methods that there are.
    """

    def __init__(
        self, folder: Path, name: str, labels: Sequence[str], methods: Sequence[str]
    ) -> None:
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalStorage
        from optuna.trial import Trial, TrialState

        logging.getLogger("optuna").setLevel(logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(folder / FILE)))
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True
        )
        self._labels, self._methods = tuple(labels), tuple(methods)
        self._open: dict[str, Trial] = {}
        self._values: dict[str, tuple[float, int]] = {}
        self._done: dict[str, int] = {}
        for one in self._study.trials:
            key = str(one.user_attrs.get("merge", ""))
            if one.state == TrialState.RUNNING and key:
                self._open[key] = Trial(self._study, one._trial_id)
                self._values[key] = (float("nan"), max(one.intermediate_values, default=0))
            elif one.state == TrialState.COMPLETE:
                seen = max(one.intermediate_values, default=0)
                self._done[key] = max(self._done.get(key, 0), seen)

    def told(self, step: Step, value: float) -> None:
        """One more measurement of a merge, of which the objective is `value` so far."""
        key = step.candidate.key
        if step.seen.samples <= self._done.get(key, 0):
            return  # a trial that was ended knows as much
        if key not in self._open:
            self._open[key] = self._ask(step.candidate)
        seen = self._values.get(key, (0.0, 0))[1]
        if step.seen.samples > seen:
            self._open[key].report(value, step.seen.samples)
        self._values[key] = (value, max(step.seen.samples, seen))

    def end(self) -> None:
        """Every trial gets the value that it was last seen to have."""
        import optuna

        for key, trial in self._open.items():
            value, _ = self._values[key]
            if value == value:
                self._study.tell(trial, value)
            else:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._open.clear()

    def _ask(self, candidate: Candidate) -> Trial:
        from optuna.distributions import (
            BaseDistribution,
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        inside = {f"has {x}": int(x in candidate.members) for x in self._labels}
        params: dict[str, object] = {"method": candidate.method, **inside}
        ways: dict[str, BaseDistribution] = {
            "method": CategoricalDistribution(self._methods),
            **dict.fromkeys(inside, IntDistribution(0, 1)),
        }
        for name, value in _numbers(candidate).items():
            params[name] = value
            ways[name] = FloatDistribution(min(0.0, value), max(10.0, value))
        named = {"merge": candidate.key, "name": candidate.name}
        self._study.enqueue_trial(params, user_attrs=named)
        return self._study.ask(ways)


def _numbers(candidate: Candidate) -> dict[str, float]:
    """A recipe's strength and every member's weight, where the method takes them."""
    recipe, found = candidate.recipe, dict[str, float]()
    if recipe.strength is not None:
        found["scaling"] = recipe.strength
    if recipe.merging_method.weights != "none":
        # Weights that nobody gives are 1.
        found |= {f"weight {x}": recipe.weights.get(x, 1.0) for x in candidate.members}
    return found
