"""What a run was asked for, and the units that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergecast.merging.recipe import Recipe
from mergecast.suites.merges import Merge, pair_merges, set_merges
from mergecast.suites.units import BaseUnit, ModelUnit, OutcomeUnit, Run, SingleUnit, Unit
from mergecast.tables.tiers import Tier

Digests = Mapping[str, str]
"""Task to the digest of its model's file."""


@dataclass(frozen=True)
class RunPlan:
    """A run with the cut it was asked for.

    Attributes
    ----------
    run : Run
        Folder, suite, recipe and seed.
    tasks : tuple of str
        Sorted.
    methods : tuple of str
        Merging methods by name, and whole recipes by their text, in the order of the tables.
    tier : Tier
        Evidence of the pair table.
    n_sets : int
        Random sets of each size that are merged beside the pairs.
    """

    run: Run
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    tier: Tier = "weights"
    n_sets: int = 0

    @property
    def recipes(self) -> list[Recipe]:
        """How models are merged: `methods` with their parameters and the run's seed."""
        return [self.run.merging(name) for name in self.methods]

    @property
    def pairs(self) -> list[Merge]:
        """Every recipe and pair."""
        return pair_merges(self.recipes, self.tasks)

    @property
    def sets(self) -> list[Merge]:
        """Every recipe and larger set."""
        return set_merges(self.recipes, self.tasks, self.n_sets, self.run.seed)

    def model_units(self, base: str) -> list[ModelUnit]:
        """One model a task, from the base of this digest."""
        return [ModelUnit(self.run, task, base) for task in self.tasks]

    def single_units(self, base: str, models: Digests) -> list[SingleUnit]:
        """The evaluations of the models that there are."""
        return [SingleUnit(self.run, task, base, digest) for task, digest in models.items()]

    def outcome_units(
        self, merges: Sequence[Merge], base: str, models: Digests
    ) -> list[OutcomeUnit]:
        """Those of some merges whose models are all there."""
        return [
            OutcomeUnit(self.run, recipe, members, base, tuple(models[task] for task in members))
            for recipe, members in merges
            if models.keys() >= {*members}
        ]

    def digests(self, records: Sequence[Mapping[str, Any] | None]) -> dict[str, str]:
        """Of models, from the records of `model_units` in their order; None is not finished."""
        return {
            task: record["sha256"]
            for task, record in zip(self.tasks, records, strict=True)
            if record is not None
        }

    def stages(self) -> dict[str, int]:
        """Every stage that the outcomes are made by, with its version."""
        units: list[Unit] = [
            BaseUnit(self.run),
            ModelUnit(self.run, "", ""),
            SingleUnit(self.run, "", "", ""),
            *(OutcomeUnit(self.run, recipe, (), "", ()) for recipe in self.recipes),
        ]
        stages = self.run.suite.stage.versions()
        for unit in units:
            stages |= unit.stage.versions()
        return dict(sorted(stages.items()))
