"""A merge's strength and weights, chosen by what its members keep on a few samples of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mergecast.api.inputs import Tasks, open_family, open_tasks
from mergecast.errors import UndefinedError, UsageError
from mergecast.evidence.session import Session
from mergecast.evidence.settings import MergeSettings, ProbeSettings
from mergecast.family.family import Family, Models
from mergecast.merging.recipe import STRENGTH, Given, Recipe
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Array, Names

if TYPE_CHECKING:
    from mergecast.evidence.superposition.strengths import Direction

Objective = Literal["mean", "worst"]
#: Strengths that are tried first, in the members' root mean square length.
_GRID = (0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
#: How finely the best of them is looked around, as a share of it, and how often at most.
_CLOSE, _LOOKS = 0.05, 6
#: Merges a member that weights are worth, and the farthest a weight goes, as a logarithm.
_MERGES, _FARTHEST = 10, 1.5


@dataclass(frozen=True)
class TunedMerge:
    """A recipe with the strength and weights that were chosen, and all that was tried.

    Attributes
    ----------
    recipe : Recipe
        What was chosen.
    tried : DataFrame
        One row a merge: what was `sought` (``default``, ``strength``, ``weights``), scaling,
        weight of every member (``weight a``), what each kept (``kept a``), mean and worst.
    objective : str
        ``mean`` or ``worst``: what was made largest.
    way : str
        ``labelled`` or ``unlabelled``: how what is kept was asked.
    samples : mapping of str to int
        Label to the number of samples it was chosen on.
    """

    recipe: Recipe
    tried: pd.DataFrame
    objective: Objective
    way: str
    samples: Mapping[str, int]

    @property
    def chosen(self) -> pd.Series[Any]:
        """The row of `tried` that was chosen."""
        return self._best(self.tried)

    @property
    def steps(self) -> pd.DataFrame:
        """The recipe as given, then the best of every search beside it."""
        rows = [self._best(part) for _, part in self.tried.groupby("sought", sort=False)]
        return pd.DataFrame(rows).reset_index(drop=True)

    def __str__(self) -> str:
        names = {
            "default": "as given",
            "strength": "best strength, equal weights",
            "weights": "best weights",
        }
        lines = [f"{'':30}{'scaling':>8}{'mean':>7}{'worst':>7}"]
        for _, row in self.steps.iterrows():
            scaling = f"{row[STRENGTH]:.3f}" if np.isfinite(row[STRENGTH]) else "-"
            lines.append(
                f"{names[row['sought']]:30}{scaling:>8}{row['mean']:7.3f}{row['worst']:7.3f}"
            )
        count = min(self.samples.values())
        lines.append(
            f"kept of each model, {self.way}, on the {count} or more samples a task that it was "
            "chosen on: new samples keep a little less"
        )
        return "\n".join(lines)

    def _best(self, rows: pd.DataFrame) -> pd.Series[Any]:
        best: pd.Series[Any] = rows.iloc[
            int(np.nan_to_num(rows[self.objective], nan=-np.inf).argmax())
        ]
        return best


def tune_merge(
    family: Family | str | Path,
    models: Models | None = None,
    *,
    tasks: Tasks,
    method: Given,
    params: Mapping[str, object] | None = None,
    scaling: float | Literal["auto"] | None = "auto",
    weights: Mapping[str, float] | Literal["auto"] | None = None,
    objective: Objective = "mean",
    calibration: int | None = None,
    seed: int = 0,
    merge_seed: int = 0,
    device: str = "cpu",
    batch_size: int = 32,
    private: Names = (),
    strict: bool = True,
    progress: Progress | None = None,
) -> TunedMerge:
    """Choose the strength, and the models' weights, of one merge, by making it.

    All models are merged at several strengths in memory, each merge answers a few samples of every
    model's task, and the one is taken that keeps most. With weights, a merge with the best
    strength and equal weights stands beside it.

    Parameters
    ----------
    family : Family, str or Path
        A family, or the path of its base; all its models are merged.
    models : str, Path, sequence of them or mapping, optional
        The fine-tuned models beside a base's path; or label to path.
    tasks : str, Path or mapping
        A file of tasks, a suite's run folder, or label to `Task`.
    method : str, Recipe or mapping
        A merging method, or a whole recipe.
    params : mapping of str to object, optional
        The method's parameters beside its name.
    scaling : float or "auto", optional
        The strength, or ``auto`` to choose it; None for the recipe's own.
    weights : mapping of str to float or "auto", optional
        The models' weights, or ``auto`` to choose them.
    objective : {"mean", "worst"}
        What is made as large as can be: the mean of what the models keep, or the least.
    calibration : int, optional
        Samples of every task; by default 100, or all that a task has if it has fewer.
    seed : int
        Of the choice of samples.
    merge_seed : int
        Of random masks.
    device : str
        Where models run and merges are made.
    batch_size : int
        Samples run at once.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    progress : Progress, optional
        Told of every merge.

    Returns
    -------
    TunedMerge
        Its `recipe` is what `write_merge` takes.

    Raises
    ------
    UsageError
        The method has no strength or takes no weights where they are to be chosen, there is
        nothing to choose, or a model has no task.
    FamilyError, CheckpointError
        The models cannot be merged or run.
    UndefinedError
        What a model keeps is not defined, whatever the strength.
    """
    if scaling != "auto" and weights != "auto":
        raise UsageError("scaling and weights", "neither is 'auto'", "give 'auto' for one of them")
    if objective not in ("mean", "worst"):
        raise UsageError.unknown("objective", objective, ("mean", "worst"))
    given = Recipe.of(
        method,
        params,
        scaling=None if scaling == "auto" else scaling,
        weights=None if weights == "auto" else weights,
        seed=0 if isinstance(method, Recipe | Mapping) else merge_seed,
    )
    if scaling == "auto":
        given.check_strength()
    by_label = open_tasks(tasks, "activations")
    opened = open_family(family, models, private=private, strict=strict, tasks=by_label)
    if weights == "auto":
        Recipe(given.method, given.params, dict.fromkeys(opened.names, 1.0))  # refuses where none
    settings = ProbeSettings(calibration, seed, device, batch_size)
    with Session(opened, by_label, settings, MergeSettings(merge_seed=given.seed)) as session:
        search = _Search(session, given, objective, progress or Silent())
        best = search.trial("default", given)
        if scaling == "auto":
            best = search.strength(best)
        if weights == "auto":
            search.weights(best, free=scaling == "auto")
        return search.result()


class _Search:
    """Merges made so far, each measured on every member's samples."""

    def __init__(
        self, session: Session, given: Recipe, objective: Objective, progress: Progress
    ) -> None:
        self._session, self._given, self._objective = session, given, objective
        self._members = sorted(session.family.names)
        self._rows: list[dict[str, Any]] = []
        self._recipes: list[Recipe] = []
        self._directions: dict[str, Direction] = {}
        self._reasons: list[str] = []
        merges = 1 + len(_GRID) + _LOOKS + _MERGES * len(self._members)
        self._advance = progress.stage("merges tried, at most", merges)
        labelled = all(session.merge_samples(one).labels is not None for one in self._members)
        self._way = "labelled" if labelled else "unlabelled"

    def trial(self, sought: str, recipe: Recipe) -> Recipe:
        """Merge by a recipe and keep what every member keeps; the best so far of all."""
        from mergecast.evidence.retention.merges import answer, compare
        from mergecast.evidence.superposition.strengths import FORM, value_of

        strength, form = recipe.strength, f"{FORM}_{self._way}"
        tensors = self._direction(recipe).at(1.0 if strength is None else strength)
        kept: dict[str, float] = {}
        for member in self._members:
            comparison = compare(self._session, member, answer(self._session, member, tensors))
            try:
                kept[member] = value_of(comparison, form, member)
            except UndefinedError as reason:
                kept[member] = np.nan
                self._reasons.append(str(reason))
        values = np.array(list(kept.values()))
        self._rows.append(
            {
                "sought": sought,
                STRENGTH: np.nan if strength is None else strength,
                **{f"weight {one}": recipe.weights.get(one, 1.0) for one in self._members},
                **{f"kept {one}": value for one, value in kept.items()},
                "mean": values.mean(),
                "worst": values.min(),
            }
        )
        self._recipes.append(recipe)
        self._advance(1)
        return self._best()

    def strength(self, recipe: Recipe) -> Recipe:
        """The best strength with the recipe's weights: of a grid, then close to the best of it."""
        from scipy.optimize import minimize_scalar

        unit = self._unit(recipe)
        grid = [unit * part for part in _GRID]
        values = [self._value("strength", recipe, strength) for strength in grid]
        if not np.isfinite(values).any():
            raise UndefinedError(f"merge by {recipe}", f"nothing to compare: {self._reasons[0]}")
        place = int(np.nanargmax(values))
        ends = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        minimize_scalar(
            lambda strength: -_finite(self._value("strength", recipe, strength)),
            bounds=ends,
            method="bounded",
            options={"xatol": _CLOSE * grid[place], "maxiter": _LOOKS},
        )
        return self._best()

    def weights(self, recipe: Recipe, *, free: bool) -> Recipe:
        """The best weights, and strength where it is `free`, near a recipe of equal weights."""
        from scipy.optimize import minimize

        members = self._members

        def at(logs: Array) -> Recipe:
            factors = np.exp(logs - logs.mean())
            weights = {
                one: _short(recipe.weights.get(one, 1.0) * factor)
                for one, factor in zip(members, factors, strict=True)
            }
            changed = replace(recipe, weights=weights)
            if free and recipe.strength is not None:
                changed = changed.at(_short(recipe.strength * np.exp(logs.mean())))
            return changed

        def loss(logs: Array) -> float:
            self.trial("weights", at(logs))
            return -_finite(self._rows[-1][self._objective])

        minimize(
            loss,
            np.zeros(len(members)),
            method="COBYQA",
            bounds=[(-_FARTHEST, _FARTHEST)] * len(members),
            options={"maxfev": _MERGES * len(members), "initial_tr_radius": 0.3},
        )
        return self._best()

    def result(self) -> TunedMerge:
        """What was chosen and all that was tried."""
        samples = {one: len(self._session.merge_samples(one)) for one in self._members}
        tried = pd.DataFrame(self._rows)
        return TunedMerge(self._best(), tried, self._objective, self._way, samples)

    def _value(self, sought: str, recipe: Recipe, strength: float) -> float:
        self.trial(sought, recipe.at(_short(strength)))
        return float(self._rows[-1][self._objective])

    def _best(self) -> Recipe:
        values = np.array([row[self._objective] for row in self._rows], dtype=float)
        return self._recipes[0 if np.isnan(values).all() else int(np.nanargmax(values))]

    def _direction(self, recipe: Recipe) -> Direction:
        """A recipe at any strength; that of the last weights is kept."""
        alone = recipe if recipe.strength is None else recipe.at(1.0)
        if alone.key not in self._directions:
            self._directions.clear()
            self._directions[alone.key] = self._made(alone)
        return self._directions[alone.key]

    def _made(self, recipe: Recipe) -> Direction:
        from mergecast.checkpoints.torch_bridge import read_state
        from mergecast.evidence.superposition.strengths import Direction, direction
        from mergecast.merging.run import merge

        family, device = self._session.family, self._session.settings.device
        if recipe.strength is not None:
            return direction(self._session, recipe, partial(merge, family, device=device))
        merged, base = merge(family, recipe, device=device), read_state(family.base)
        step = {name: merged[name].float() - base[name].float() for name in family.shared}
        return Direction({name: base[name].float() for name in step}, step, 0.0)

    def _unit(self, recipe: Recipe) -> float:
        """The strength that makes a merge as long as its members, root mean square."""
        length = self._direction(recipe).length
        if not length > 0:
            raise UndefinedError(f"merge by {recipe}", "it adds nothing to the base")
        return self._length / length

    @cached_property
    def _length(self) -> float:
        from mergecast.evidence.superposition.strengths import length

        return float(np.sqrt(np.mean([length(self._session, one) ** 2 for one in self._members])))


def _short(number: float) -> float:
    """Three digits, as they are printed and can be given again."""
    return float(f"{number:.3g}")


def _finite(value: float) -> float:
    """Nothing kept where what is kept is not defined, for a search that goes on."""
    return value if np.isfinite(value) else 0.0
