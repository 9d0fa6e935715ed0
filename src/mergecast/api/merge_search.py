"""Merges that are made in memory and compared, and the one that keeps most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from mergecast.display.notebook import as_html
from mergecast.errors import UndefinedError
from mergecast.evidence.session import Session
from mergecast.merging.recipe import STRENGTH, Recipe
from mergecast.merging.recipe_text import three_digits
from mergecast.report.table import Table, number
from mergecast.runtime.progress import Progress
from mergecast.tables.show import as_text
from mergecast.typing import Array

if TYPE_CHECKING:
    from torch import Tensor

Objective = Literal["mean", "worst"]
#: Strengths that are tried first, in the members' root mean square length.
_GRID = (0.2, 0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
#: How finely the best of them is looked around, as a share of it, and how often at most.
_CLOSE, _LOOKS = 0.05, 6
#: Merges a member that weights are worth, and the farthest a weight goes, as a logarithm.
_MERGES, _FARTHEST = 10, 1.5
#: What is expected to be kept of the members' scores, and what is shown of a merge.
RETENTION = "retention"
_SHOWN = (STRENGTH, "mean", "worst", RETENTION)
_SOUGHT = {"given": "as given", "strength": "best strength", "weights": "best weights"}


@dataclass(frozen=True, repr=False)
class TunedMerge:
    """A recipe with the strength and weights that were chosen, and all that was tried.

    Attributes
    ----------
    recipe : Recipe
        What was chosen.
    tried : DataFrame
        One row a merge: what was `sought` (``given``: the recipe as it came, ``strength``,
        ``weights``), scaling, weight of every member (``weight a``), how near the answers of each
        stay to its own (``kept a``, the form `matched`), mean and worst of these, and the mean
        `retention` that is expected (the form `expected`).
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

    @property
    def curve(self) -> pd.DataFrame:
        """What is kept over strength: rows of `tried` as it was given and as strengths were looked
        for, by strength; none where the method has no strength, or it was not looked for.
        """
        rows = self.tried
        if not (rows["sought"] == "strength").any():
            return rows.iloc[:0]
        rows = rows[rows["sought"].isin(["given", "strength"])].dropna(subset=STRENGTH)
        ordered = rows.sort_values(STRENGTH, kind="stable").drop_duplicates(STRENGTH)
        return ordered.reset_index(drop=True)

    @property
    def parts(self) -> list[Table | str]:
        """What the command shows: a row a step, and what the numbers are."""
        rows: list[list[str] | None] = [
            [_SOUGHT[step["sought"]], *(number(step[key]) for key in _SHOWN)]
            for step in self.steps.to_dict("records")
        ]
        table = Table("What the models keep", ["merge", *_SHOWN], rows)
        over = [[number(row[key]) for key in _SHOWN] for row in self.curve.to_dict("records")]
        curve = Table("Over strength", [*_SHOWN], list(over))
        return [table, *([curve] if over else []), self._sentence]

    def __repr__(self) -> str:
        shown = self.steps[["sought", *_SHOWN]]
        return as_text([f"Chosen: {self.recipe}"], shown, notes=[self._sentence])

    def _repr_html_(self) -> str:
        return as_html([f"Chosen: {self.recipe}", *self.parts])

    @property
    def _sentence(self) -> str:
        few, many = min(self.samples.values()), max(self.samples.values())
        count = str(few) if few == many else f"{few} to {many}"
        return (
            f"Mean and worst: how near each model's answers stay to its own ({self.way}), by which "
            "the merge was chosen; retention: the mean share of their scores that models are "
            f"expected to keep. Both on the {count} samples a task that it was chosen on: of new "
            "samples a little less."
        )

    def _best(self, rows: pd.DataFrame) -> pd.Series[Any]:
        place = int(np.nan_to_num(rows[self.objective], nan=-np.inf).argmax())
        best: pd.Series[Any] = rows.iloc[place]
        return best


class MergeSearch:
    """Merges of a whole family, each measured on every member's samples.

    Parameters
    ----------
    session : Session
        Family and tasks.
    objective : {"mean", "worst"}
        What is made as large as can be.
    progress : Progress
        Told of every merge.
    """

    def __init__(self, session: Session, objective: Objective, progress: Progress) -> None:
        from mergecast.evidence.superposition.strengths import way_of_asking

        self._session, self._objective = session, objective
        self._members = sorted(session.family.names)
        self._way = way_of_asking(session)
        self._tried: list[tuple[Recipe, dict[str, Any]]] = []
        self._reasons: list[str] = []
        self._progress, self._advance = progress, progress.stage("merge as given", 1)

    def trial(
        self, sought: str, recipe: Recipe, tensors: Mapping[str, Tensor] | None = None
    ) -> float:
        """What a merge keeps by the objective, NaN where that is not defined.

        `tensors` are the merge where it was made already.
        """
        from mergecast.evidence.retention.merges import answer, compare
        from mergecast.evidence.superposition.strengths import CHOICE, FORM, merged, value_of

        form, kept = f"{CHOICE}_{self._way}", dict[str, float]()
        expected: list[float] = []
        if tensors is None:
            tensors = merged(self._session, recipe, self._members)
        for member in self._members:
            comparison = compare(
                self._session, member, answer(self._session, member, tensors, self._members)
            )
            try:
                kept[member] = value_of(comparison, form, member)
            except UndefinedError as reason:
                kept[member] = np.nan
                self._reasons.append(str(reason))
            told = comparison.values.get(f"{FORM}_{self._way}", np.nan)  # noqa: PD011
            expected.append(told)
        values = np.array(list(kept.values()))
        row: dict[str, Any] = {
            "sought": sought,
            STRENGTH: np.nan if recipe.strength is None else recipe.strength,
            **{f"weight {one}": recipe.weights.get(one, 1.0) for one in self._members},
            **{f"kept {one}": value for one, value in kept.items()},
            "mean": float(values.mean()),
            "worst": float(values.min()),
            RETENTION: float(np.mean(expected)),
        }
        self._tried.append((recipe, row))
        self._advance(1)
        return float(row[self._objective])

    def strength(self, recipe: Recipe) -> None:
        """Look for the best strength of a recipe: on a grid, then close to the best of it."""
        from scipy.optimize import minimize_scalar

        from mergecast.evidence.superposition.strengths import direction, length

        way = direction(self._session, recipe, self._members)
        if not way.length > 0:
            raise UndefinedError(f"merge by {recipe}", "it adds nothing to the base")
        lengths = [length(self._session, one) for one in self._members]
        unit = float(np.sqrt(np.mean(np.square(lengths)))) / way.length

        def kept(strength: float) -> float:
            changed = recipe.at(three_digits(strength))
            return self.trial("strength", changed, way.at(changed.params[STRENGTH]))

        most = len(_GRID) + _LOOKS
        self._advance = self._progress.stage("strengths tried, at most", most)
        grid = [unit * part for part in _GRID]
        values = np.nan_to_num([kept(strength) for strength in grid], nan=-np.inf)
        place = int(values.argmax())
        minimize_scalar(
            lambda strength: -_finite(kept(strength)),
            bounds=(grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]),
            method="bounded",
            options={"xatol": _CLOSE * grid[place], "maxiter": _LOOKS},
        )

    def weights(self, *, free: bool) -> None:
        """Look for the best weights near the best recipe so far, its strength `free` or not."""
        from scipy.optimize import minimize

        recipe, members = self._best(), self._members

        def loss(logs: Array) -> float:
            factors = np.exp(logs - logs.mean())
            weights = {
                one: three_digits(recipe.weights.get(one, 1.0) * factor)
                for one, factor in zip(members, factors, strict=True)
            }
            changed = replace(recipe, weights=weights)
            if free and recipe.strength is not None:
                changed = changed.at(three_digits(recipe.strength * np.exp(logs.mean())))
            return -_finite(self.trial("weights", changed))

        most = _MERGES * len(members)
        self._advance = self._progress.stage("weights tried, at most", most)
        minimize(
            loss,
            np.zeros(len(members)),
            method="COBYQA",
            bounds=[(-_FARTHEST, _FARTHEST)] * len(members),
            options={"maxfev": most, "initial_tr_radius": 0.3},
        )

    def result(self) -> TunedMerge:
        """What was chosen and all that was tried; raises UndefinedError where nothing is kept."""
        samples = {one: len(self._session.merge_samples(one)) for one in self._members}
        tried = pd.DataFrame([row for _, row in self._tried])
        if tried[self._objective].isna().all():
            raise UndefinedError("merges", f"nothing to compare: {self._reasons[0]}")
        return TunedMerge(self._best(), tried, self._objective, self._way, samples)

    def _best(self) -> Recipe:
        values = np.nan_to_num([row[self._objective] for _, row in self._tried], nan=-np.inf)
        return self._tried[int(values.argmax())][0]


def _finite(value: float) -> float:
    """Nothing kept where what is kept is not defined, for a search that goes on."""
    return value if np.isfinite(value) else 0.0
