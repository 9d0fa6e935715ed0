"""Adding up what models do to each other's answers.

Fine-tuned models of one base hardly interact: on inputs of one task the features of a merge are
those of the base, plus the shift that each member's task vector causes (weight disentanglement,
Ortiz-Jimenez et al. 2023, arXiv 2305.12827; cross-task linearity, Zhou et al. 2024, arXiv
2402.03660). With a linear head the same holds of logits, which is where shifts are added up here.
Nothing is fitted and no labels are needed. What a model keeps is read half from the answers that
shifts add up to, half from what it was measured to lose beside its partners (`losses`).

A model's own shift under a method is measured: it is merged alone. A partner's is measured beside
the model's own, where a head reads what fine-tuning made and a partner alone would move nothing:
what a half of its task vector adds to a half of the model's, their average, and what all of it adds
to all, their sum. It is read at the method's *strength*, the share of its task vector whose effect
on its own answers is nearest to the method's: in proportion up to a half, on the line between the
two from there on. Twice the half's shift is not what strong merges do: of some encoders it says too
much, of others too little. Beside each other methods leave models more or less than alone: by how
much, the merges that are made say (`lefts`), and both shifts are read at that.

Methods do not leave all models the same strength. Where one leaves the task's own model less than
its partner, the partner's shift is less one beside that model than one from the base, which is
measured at a half as well; it is read between the two, by how much less is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mergecast.errors import UndefinedError

if TYPE_CHECKING:
    from torch import Tensor

#: The shares of a task vector at which shifts are measured.
HALF, WHOLE = 0.5, 1.0
#: No method is taken for stronger than twice the task vector.
STRONGEST = 2.0


@dataclass(frozen=True)
class Curve:
    """A model's effect on its own answers over the strength of its task vector.

    Attributes
    ----------
    half, whole : Tensor
        (r, k), shifts from the base's answers at half the task vector and at all of it.
    """

    half: Tensor
    whole: Tensor

    def at(self, strength: float) -> Tensor:
        """The shift at a strength: the parabola through 0, a half and 1."""
        bend = 2 * self.whole - 4 * self.half
        return (self.whole - bend) * strength + bend * strength**2

    def strength_of(self, shift: Tensor) -> float:
        """The strength whose shift is nearest to `shift`; constants of a row do not count.

        Raises UndefinedError where the task vector does nothing to the answers, or an answer is
        not finite.
        """
        import numpy as np

        if not all(bool(part.isfinite().all()) for part in (self.half, self.whole, shift)):
            raise UndefinedError("strength", "an answer is not finite")
        bend = centred(2 * self.whole - 4 * self.half)
        straight, wanted = centred(self.whole) - bend, centred(shift)
        if not float(straight.square().sum() + bend.square().sum()) > 0:
            raise UndefinedError("strength", "the model answers as its base does")
        # The squared distance is a polynomial of fourth degree; its minimum lies where the
        # derivative is zero, or at an end.
        inner = [[float((a * b).sum()) for b in (straight, bend, wanted)] for a in (straight, bend)]
        (aa, ab, aw), (_, bb, bw) = inner
        roots = np.roots([4 * bb, 6 * ab, 2 * aa - 4 * bw, -2 * aw])
        real = [float(root.real) for root in roots if abs(root.imag) < 1e-9]
        candidates = [0.0, STRONGEST, *(root for root in real if 0 < root < STRONGEST)]
        return min(
            candidates, key=lambda s: bb * s**4 + 2 * ab * s**3 + (aa - 2 * bw) * s**2 - 2 * aw * s
        )


@dataclass(frozen=True)
class Left:
    """What a merge leaves of a model beside others, by what it leaves of it alone.

    Attributes
    ----------
    factor, more : float
        What the strength alone is multiplied by, and what is added.
    """

    factor: float = 1.0
    more: float = 0.0

    def of(self, strength: float) -> float:
        """The strength of a model in the merge, by that of the model merged alone."""
        return min(max(self.factor * strength + self.more, 0.0), STRONGEST)


@dataclass(frozen=True)
class Shifts:
    """What the models of a family do to the answers on each task's samples.

    All answers are (r, k), float64; see `mergecast.evidence.retention.answers`.

    Attributes
    ----------
    base, single : mapping of str to Tensor
        Task to the answers of the base and of its own fine-tuned model.
    half : mapping of (str, str) to Tensor
        Model and task to the shift at half the model's task vector: alone on its own task, beside
        a half of the task's own model on another's.
    whole : mapping of (str, str) to Tensor
        The same of all of a model's task vector beside all of another task's own model; none where
        that was not measured, and shifts are in proportion to the half's.
    lone : mapping of (str, str) to Tensor
        The shift at a half of a model's task vector from the base, on another's task; none where
        that was not measured, and shifts are those beside the task's own model.
    alone : mapping of (str, str) to Tensor
        Task's model and method to the answers of the model merged alone.
    missing : mapping of (str, str) to str
        Why `alone` has none.
    """

    base: Mapping[str, Tensor]
    single: Mapping[str, Tensor]
    half: Mapping[tuple[str, str], Tensor]
    whole: Mapping[tuple[str, str], Tensor]
    lone: Mapping[tuple[str, str], Tensor]
    alone: Mapping[tuple[str, str], Tensor]
    missing: Mapping[tuple[str, str], str]

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Every model's effect on its own answers."""
        return {
            label: Curve(self.half[label, label], self.single[label] - self.base[label])
            for label in self.base
        }

    def own(self, label: str, method: str) -> Tensor:
        """The shift that a model has left under a method; raises UndefinedError."""
        if (label, method) in self.missing:
            raise UndefinedError(f"model {label!r}", self.missing[label, method])
        return self.alone[label, method] - self.base[label]

    def strength(self, label: str, method: str) -> float:
        """How much of a model's task vector a method leaves, by its effect; UndefinedError."""
        if (label, method) not in self._strengths:
            try:
                found = self.curves[label].strength_of(self.own(label, method))
            except UndefinedError as error:
                raise UndefinedError(f"model {label!r}", error.problem) from error
            self._strengths[label, method] = found
        return self._strengths[label, method]

    @cached_property
    def _strengths(self) -> dict[tuple[str, str], float]:
        """Those that were asked for."""
        return {}

    def beside(self, label: str, task: str, strength: float, own: float) -> Tensor:
        """What a model adds at a strength to another task's answers, beside that task's model.

        `own` is the strength that is left of the task's own model.
        """
        half, whole = self.half[label, task], self.whole.get((label, task))
        if strength <= HALF or whole is None:
            both = strength / HALF * half
        else:
            both = half + (strength - HALF) / (WHOLE - HALF) * (whole - half)
        lone = self.lone.get((label, task))
        if lone is None or own >= strength:
            return both
        alone = strength / HALF * lone
        return alone + own / strength * (both - alone)

    def of_pair(
        self,
        task: str,
        partner: str,
        method: str,
        left: Mapping[str, Left] | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """What the merge of two models by a method answers on the first's samples, (r, k).

        `left` is what it leaves of both, by default as much as of each alone; `share` is how much
        of the partner's shift counts. Raises UndefinedError where one of them cannot be merged
        alone.
        """
        self.strength(partner, method)
        as_alone = dict.fromkeys((task, partner), Left())
        answers, others = self.in_merge(task, method, left or as_alone, [partner])
        return answers + share * others[partner]

    def own_at(self, label: str, method: str, strength: float) -> Tensor:
        """A model's shift of its own answers under a method that leaves it so strong.

        Raises UndefinedError where the model cannot be merged alone.
        """
        now, curve = self.strength(label, method), self.curves[label]
        return self.own(label, method) + curve.at(strength) - curve.at(now)

    def in_merge(
        self, task: str, method: str, left: Mapping[str, Left], beside: Iterable[str]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What a task's model answers in a merge, and what each other one would add to it.

        `left` is what such a merge leaves of every model, by label. Models that cannot be merged
        alone, or have no strength, are not among the others.

        Raises UndefinedError where the task's own model cannot be merged alone.
        """
        own = self.own(task, method)
        try:
            mine = left[task].of(self.strength(task, method))
        except UndefinedError:
            mine = STRONGEST  # it does nothing: partners do beside it what they do without
        else:
            own = self.own_at(task, method, mine)
        others = {}
        for label in beside:
            with suppress(UndefinedError):
                strength = left[label].of(self.strength(label, method))
                if label != task:
                    others[label] = self.beside(label, task, strength, mine)
        return self.base[task] + own, others


def centred(rows: Tensor) -> Tensor:
    """Rows of logits less their mean, which no probability depends on."""
    return rows - rows.mean(dim=1, keepdim=True) if rows.shape[1] > 1 else rows
