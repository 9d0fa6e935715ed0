"""While a model is fine-tuned: what it would keep, were it merged now with finished ones."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mergecast.api.inputs import Tasks, open_tasks
from mergecast.api.live_model import opened_live, settle
from mergecast.api.retention_looks import (
    COLUMNS,
    OVERHEAD,
    Row,
    latest,
    latest_table,
    logged,
    look,
    nothing,
    training_label,
)
from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.display.notebook import as_html
from mergecast.errors import MergecastError, UndefinedError, UsageError
from mergecast.evidence.settings import ProbeSettings
from mergecast.family.models import Models, paths_of
from mergecast.merging.recipe import Given, Recipe
from mergecast.runtime.allowance import Allowance
from mergecast.tables.show import as_text

if TYPE_CHECKING:
    from torch import nn

    from mergecast.search.partners import PartnerMerges

log = logging.getLogger(__name__)


class RetentionMonitor:
    """Watches a fine-tuning: what the model would keep if it were merged now with finished ones.

    At times the model's present weights are merged in memory with each partner's, θ₀ + (τ + τₚ) / 2
    by default, and the merge answers a few samples of both tasks, each with its own head. That is
    no forecast but the merge itself, of a training that is not finished. The time it takes is
    measured, and it waits until it is within a share of the training's own.

    Parameters
    ----------
    base : str, Path or Checkpoint
        The base model that all were fine-tuned from.
    partners : str, Path, sequence of them or mapping
        The finished models; or label to path.
    tasks : str, Path or mapping
        A file of tasks, a suite's run folder, or label to `Task`: of the partners and of the model
        in training.
    label : str, optional
        What the model in training is called among the tasks; by default the one that is no
        partner's.
    recipe : str, Recipe or mapping
        How it is merged with a partner.
    every : int
        Steps between two looks, at least.
    overhead : float
        What looks may take, as a share of the time of the training itself.
    calibration : int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer.
    seed : int
        Of the choice of samples.
    device : str, optional
        Where merges are made and run; by default where the model is, if that is CUDA, else the CPU.
    batch_size : int
        Samples run at once.

    Attributes
    ----------
    history : DataFrame
        One row a look, partner and member: `step`, `partner`, `model`, `kept` (the merge's score
        over the model's own of this moment, on the same samples; without labels the share of its
        own answers), `lower`, `upper` (a 90 % interval of what sampling adds), `own` (the model's
        own score), `samples`; where there is no number, a `note` that says why.
    label : str
        What the model in training is called.

    Raises
    ------
    UsageError
        No tasks, a partner or the model without one, a recipe that is not of two models.
    CheckpointError
        A model cannot be opened.

    Examples
    --------
    >>> import mergecast as mc
    >>> monitor = mc.RetentionMonitor("base/", ["b/"], tasks="t.yaml")  # doctest: +SKIP
    >>> monitor.watch(trainer)  # doctest: +SKIP
    >>> trainer.train()  # doctest: +SKIP
    >>> monitor.history  # doctest: +SKIP
    """

    def __init__(
        self,
        base: str | Path | Checkpoint,
        partners: Models,
        *,
        tasks: Tasks,
        label: str | None = None,
        recipe: Given = "weight_avg",
        every: int = 50,
        overhead: float = 0.05,
        calibration: int | None = None,
        seed: int = 0,
        device: str | None = None,
        batch_size: int = 32,
    ) -> None:
        if every < 1:
            raise UsageError("every", f"is {every}", "give 1 or more steps")
        Allowance(overhead)  # says what is wrong with it before anything is opened
        self.every, self.overhead, self._device = every, overhead, device
        self._settings = ProbeSettings(calibration, seed, "cpu", batch_size)
        if tasks is None:
            raise UsageError("tasks", "not given", "a merge is measured on samples of its tasks")
        known = open_tasks(tasks, "activations") or {}
        self.base = base if isinstance(base, Checkpoint) else Checkpoint.open(base)
        paths = paths_of(partners)
        self.label = training_label(label, known, list(paths))
        self.recipe = Recipe.of(recipe)
        for partner in paths:
            self.recipe.check(tuple(sorted((self.label, partner))))
        self._partners = {
            name: path if isinstance(path, Checkpoint) else Checkpoint.open(path, base=self.base)
            for name, path in paths.items()
        }
        self._tasks = known
        self._merges: PartnerMerges | None = None
        self._allowance: Allowance | None = None
        self._next = every
        self._rows: list[Row] = []
        self._said: set[str] = set()

    @property
    def history(self) -> pd.DataFrame:
        """What was seen so far, see the class."""
        return pd.DataFrame(self._rows, columns=COLUMNS)

    def watch(self, trainer: Any) -> None:
        """Watch what a `transformers.Trainer` trains, and log through it.

        Each look is logged as ``merge_retention/PARTNER``, what the model in training would keep,
        ``partner_retention/PARTNER``, what the partner would, and ``merge_retention_overhead``; so
        it stands in ``trainer.state.log_history`` and wherever the trainer reports to. What cannot
        be merged at all is an error before the first step.

        Parameters
        ----------
        trainer : transformers.Trainer
            Before it trains; several processes are fine where each holds the whole model.

        Raises
        ------
        UsageError
            Its model's weights are spread over processes.
        """
        from mergecast.api.trainer_callback import RetentionCallback

        trainer.add_callback(RetentionCallback(self, trainer))

    def begin(self, model: nn.Module, step: int = 0) -> None:
        """Start the clock of a training, and try a first look, which is not kept.

        Parameters
        ----------
        model : nn.Module
            That will be trained.
        step : int
            Where it starts.

        Raises
        ------
        FamilyError, CheckpointError, UsageError
            It cannot be merged with a partner, or not run on its task.
        UndefinedError
            A partner has no score on its own task.
        """
        self._allowance, self._next = Allowance(self.overhead), step + self.every
        with self._allowance.spend(once=True):
            self._opened(model).prepare()
        with self._allowance.spend():
            try:
                self._look(model, step)
            except UndefinedError as reason:  # a model that knows nothing yet
                log.info("before training: %s", reason)

    def step(self, step: int, model: nn.Module) -> dict[str, float]:
        """Say that a step was taken; look, if one is due and there is time for it.

        Parameters
        ----------
        step : int
            Of the training.
        model : nn.Module
            As it is after it.

        Returns
        -------
        dict of str to float
            What there is to log, as `watch` says; empty where there was no look. A look that gives
            no number is in `history`, with the reason, and in the log.

        Raises
        ------
        UsageError
            `begin` was not called.
        """
        allowance = self._begun()
        if step < self._next or not allowance.affords():
            return {}
        return self._kept_look(model, step)

    def end(self, step: int, model: nn.Module) -> dict[str, float]:
        """Say that the training ended; the last look, if there is time for it. See `step`."""
        allowance = self._begun()
        seen = bool(self._rows) and self._rows[-1]["step"] == step
        values = {} if seen or not allowance.affords() else self._kept_look(model, step)
        if not self._rows:
            log.warning(
                "no look at merges: the training took %.1f s, of which %.0f%% is less than the "
                "%.1f s that a first look needs; raise overhead, or lower calibration",
                allowance.rest,
                100 * self.overhead,
                allowance.spent,
            )
        return values

    def _begun(self) -> Allowance:
        if self._allowance is None:
            raise UsageError("RetentionMonitor", "was not told that training began", "call begin")
        return self._allowance

    def _kept_look(self, model: nn.Module, step: int) -> dict[str, float]:
        """A look whose rows are kept; what it cannot tell stops no training."""
        allowance = self._begun()
        self._next = step + self.every
        settle(model)
        with allowance.spend():
            try:
                rows = self._look(model, step)
            except MergecastError as reason:
                rows = [nothing(step, self.label, partner, reason) for partner in self._partners]
        self._rows += rows
        for row in rows:
            self._say(row["note"])
        values = logged(rows, self.label)
        return {**values, OVERHEAD: allowance.used} if values else {}

    def _say(self, reason: str) -> None:
        """Log a reason once."""
        if reason and reason not in self._said:
            self._said.add(reason)
            log.warning("no merge retention: %s", reason)

    def _opened(self, model: nn.Module) -> PartnerMerges:
        """Where merges are made, on the device of the first model that is seen."""
        if self._merges is None:
            from mergecast.runtime.devices import check_device
            from mergecast.search.partners import PartnerMerges

            at = next(model.parameters()).device
            device = self._device or (str(at) if at.type == "cuda" else "cpu")
            check_device(device)
            settings = replace(self._settings, device=device)
            self._merges = PartnerMerges(
                self.base, self._partners, self._tasks, self.label, self.recipe, settings
            )
        return self._merges

    def _look(self, model: nn.Module, step: int) -> list[Row]:
        with opened_live(model, self.base) as live:
            return look(self._opened(model), live, step)

    @property
    def _title(self) -> str:
        return (
            f"RetentionMonitor: {self.label} merged by {self.recipe} with "
            f"{', '.join(self._partners)}; looks: {self.history['step'].nunique()}"
        )

    def __repr__(self) -> str:
        return as_text([self._title], latest(self.history), rows=16)

    def _repr_html_(self) -> str:
        return as_html([self._title, latest_table(self.history)])
