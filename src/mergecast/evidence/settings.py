"""How models are run and merges are made for evidence; importing it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mergecast.errors import UsageError
from mergecast.runtime.least import at_least

if TYPE_CHECKING:
    from mergecast.merging.recipe import Recipe

#: Samples of every task where nobody asks for a number: a mean probability needs more of them
#: than a mean activation, and forecasts from retention still got better from 40 to here.
CALIBRATION = 100
#: Fewer are taken only where they are asked for: a mean of a handful says little.
LEAST = 10


@dataclass(frozen=True)
class ProbeSettings:
    """How models are run.

    Attributes
    ----------
    calibration : int, mapping of str to int or None
        Samples of every task, or by the label of its model; None, and a label left out, takes
        `CALIBRATION`, or all that a task has if it has fewer, but `LEAST` in any case.
    seed : int
        Of their choice.
    device : str
        Where models run.
    batch_size : int
        Samples run at once.
    layer : str or None
        Name of the block whose output is the activation; found by itself if None.
    cache : Path or None
        Folder of finished units, reused by later runs; a temporary one if None.
    """

    calibration: int | Mapping[str, int] | None = None
    seed: int = 0
    device: str = "cpu"
    batch_size: int = 32
    layer: str | None = None
    cache: Path | None = None

    def __post_init__(self) -> None:
        asked = self.calibration
        by_label = asked if isinstance(asked, Mapping) else {"": asked}
        for label, count in by_label.items():
            at_least(1, **{f"calibration of {label!r}" if label else "calibration": count})
        at_least(1, batch_size=self.batch_size)
        at_least(0, seed=self.seed)

    def count(self, label: str) -> int | None:
        """Samples asked for of a model's task; None where that is left open."""
        asked = self.calibration
        return asked.get(label) if isinstance(asked, Mapping) else asked


def usual_count(label: str, available: int) -> int:
    """Samples of a task that are taken where nobody asks for a number.

    Raises UsageError where it has fewer than `LEAST`.
    """
    if available < LEAST:
        ask = f"give it {LEAST}" + (
            f", or take all of {available} and as many of every task (--calibration {available})"
            if available
            else ""
        )
        raise UsageError(
            f"task {label!r}",
            f"has {available} calibration samples, and {LEAST} are the least that is taken unasked",
            ask,
        )
    return min(CALIBRATION, available)


@dataclass(frozen=True)
class MergeSettings:
    """How merges are made and measured, alike for retention, interference and pair probes.

    Attributes
    ----------
    samples : int or None
        Calibration samples a task; None takes as many as the other evidence. Retention was
        validated with 40: a mean probability needs more samples than a mean activation.
    merge_seed : int
        Of random masks; the seed that a real merge will be given.
    methods : tuple of str or None
        Merging methods that the table speaks of, by name or as a recipe's text; the usual ones if
        None.
    params : mapping of str to mapping
        Method to its parameters, where they differ from the defaults.
    size : int
        Number of models merged, stand-ins for partners included.
    partners : tuple of str
        Stand-ins for the partners in retention probes: ``base``, ``scrambled``.
    draws : int
        Shuffles of the scrambled partner that are averaged.
    reestimate_batchnorm : bool
        Measure BatchNorm's running statistics anew on the calibration samples after each merge;
        otherwise they stay as merged.
    """

    samples: int | None = None
    methods: tuple[str, ...] | None = None
    merge_seed: int = 0
    params: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    size: int = 2
    partners: tuple[str, ...] = ("base", "scrambled")
    draws: int = 3
    reestimate_batchnorm: bool = False

    def __post_init__(self) -> None:
        at_least(1, samples=self.samples, draws=self.draws)
        at_least(2, size=self.size)
        at_least(0, merge_seed=self.merge_seed)

    def recipes(self) -> dict[str, Recipe]:
        """What merges are made by, sorted by its label, which is what tables call it.

        Raises
        ------
        UsageError
            An unknown method, what is no recipe, or one that names models: evidence is of any.
        """
        from mergecast.merging.method import usual_methods

        found = {}
        for name in self.methods or usual_methods():
            recipe = self.recipe(name)
            if recipe.models:
                raise UsageError(
                    f"recipe {recipe.label}",
                    f"is of the models {', '.join(recipe.models)} alone",
                    "ask for it without weights or values of models, or measure its merges",
                )
            found[recipe.label] = recipe
        return dict(sorted(found.items()))

    def recipe(self, name: str) -> Recipe:
        """The recipe of a method by its name, with `params`, or of a recipe's text."""
        from mergecast.merging.recipe import Recipe

        made = Recipe.of(name, None if "(" in name else self.params.get(name))
        return replace(made, seed=made.seed or self.merge_seed)
