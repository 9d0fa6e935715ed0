"""What a search makes as large as can be, and what a merge must keep to be worth making."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy.special import expit

from mergecast.errors import UsageError
from mergecast.merging.recipe_numbers import is_number
from mergecast.typing import Floats

Kind = Literal["mean", "worst", "weighted", "most"]
KINDS: tuple[Kind, ...] = ("mean", "worst", "weighted", "most")
#: The label that stands for every model in a requirement.
EVERY = "*"
#: What a requirement that is missed costs, as a multiple of what is missing.
_COST = 5.0
#: By how much a member must be above what it must keep for its set to count nearly whole, where the
#: largest is sought: a step would leave a search nothing to go by.
_SOFT = 0.005


@dataclass(frozen=True)
class Objective:
    """A number for what the members of a merge keep.

    Attributes
    ----------
    kind : {"mean", "worst", "weighted", "most"}
        The mean of what the members keep, the least of it, their mean by `importance`; or as many
        members as keep what is required, and of sets of one size the mean.
    importance : mapping of str to float
        Label to weight; 1 for models that it does not name.
    required : mapping of str to float
        Label, or ``*`` for every member, to the least that it must keep.

    Raises
    ------
    UsageError
        An unknown kind; importance that is no weight or goes with another kind; a requirement that
        is no share; as many members as possible without a requirement of them.
    """

    kind: Kind = "mean"
    importance: Mapping[str, float] = field(default_factory=dict)
    required: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError.unknown("objective", self.kind, KINDS)
        if (self.kind == "weighted") != bool(self.importance):
            wants = "needs" if self.kind == "weighted" else "takes no"
            raise UsageError(
                f"objective {self.kind}",
                f"{wants} importance of models",
                "give importance, a=2,b=1, with the objective weighted, and only with it",
            )
        if self.kind == "most" and EVERY not in self.required:
            raise UsageError(
                "objective most", "needs what every model must keep", 'require it, as "*>=0.95"'
            )
        for label, value in self.importance.items():
            if not (is_number(value) and np.isfinite(value) and value > 0):
                raise UsageError(
                    f"importance of {label!r}", f"is {value!r}", "give a number above 0"
                )
        for label, value in self.required.items():
            if not 0 < value <= 1.5:
                raise UsageError(
                    f"requirement of {label!r}",
                    f"is {value}",
                    "give a share of the model's own score, such as 0.95",
                )

    def check(self, labels: Sequence[str]) -> None:
        """Raise UsageError where a model is named that there is not."""
        for what, named in (("importance", self.importance), ("requirement", self.required)):
            for label in named:
                if label != EVERY and label not in labels:
                    raise UsageError.unknown(f"{what} of model", label, labels)

    @property
    def needed(self) -> tuple[str, ...]:
        """Models with a requirement of their own, which every merge must have."""
        return tuple(sorted({*self.required} - {EVERY}))

    def value(self, members: Sequence[str], kept: Floats) -> Floats:
        """The objective of what members keep, (..., k) to (...)."""
        if self.kind == "worst":
            return np.asarray(kept.min(axis=-1))
        weights = np.array([self.importance.get(label, 1.0) for label in members])
        return np.asarray(kept @ (weights / weights.sum()))

    def least(self, members: Sequence[str]) -> Floats:
        """What each member must keep, (k,); minus infinity where nothing is required."""
        every = self.required.get(EVERY, -np.inf)
        return np.array([max(self.required.get(label, -np.inf), every) for label in members])

    def met(self, members: Sequence[str], kept: Floats) -> Floats:
        """Whether every requirement is met, (..., k) to (...)."""
        return np.asarray((kept >= self.least(members)).all(axis=-1))

    def utility(self, members: Sequence[str], kept: Floats) -> Floats:
        """The objective, less what is missing of requirements several times, (..., k) to (...).

        Where the largest set is sought, each member counts 1 beside the objective if requirements
        are met.
        """
        value = self.value(members, kept)
        if not self.required:
            return value
        if self.kind == "most":
            over = (kept - self.least(members)).min(axis=-1)
            value = value + len(members) * expit(over / _SOFT)
        return np.asarray(value - _COST * np.maximum(self.least(members) - kept, 0.0).sum(axis=-1))
