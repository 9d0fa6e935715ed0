"""What a search found, what it measured on the way, and what it never tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from mergecast.display.kept import ANSWERS, SCORE, Own
from mergecast.display.notebook import as_html
from mergecast.forecast.recommend import MERGE, THRESHOLD
from mergecast.search.candidates import Candidate
from mergecast.search.objective import EVERY, Objective
from mergecast.search.shown import search_parts
from mergecast.search.verify import Scored, Verified
from mergecast.search.worth import Worth
from mergecast.tables.plain import records
from mergecast.tables.sets import join_members
from mergecast.tables.show import as_text
from mergecast.typing import Floats

_SHOWN = 10


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    chosen : Candidate
        The merge that is thought best: models and recipe.
    objective : Objective
        What was sought and required.
    forecast, forecast_sd : (k,) array
        What each member of the chosen merge was forecast to keep before anything was measured, NaN
        where there was no forecast, and the error that it gave itself.
    seen : (k,) array
        What each member kept where the search measured it, by a scorer or on the samples that it
        looked at.
    base_kept : (k,) array
        What the base keeps of each member's score, with the member's head, on the untouched
        samples; NaN where a scorer judged, which does not know the base.
    believed : float
        The objective of the chosen merge after the search, on the samples that it looked at.
    certainty : float
        The probability, after the search, that no merge is better by more than `epsilon`.
    epsilon : float
        What does not matter.
    verified : Verified, Scored or None
        What it keeps on samples that the search never touched; of a scorer that verifies, its
        scores, without intervals; None with a scorer that none verifies.
    tried : DataFrame
        One row a merge that was measured, best first: `members`, `recipe`, `forecast`, `measured`,
        `stderr`, `believed` (all of the objective), `samples` a member, and `kept LABEL`.
    untried : DataFrame
        The best that were not measured: `members`, `recipe`, `forecast`, `believed`, `sd`, `why`.
    path : DataFrame
        One row a measurement: `look`, `passes` and `seconds` so far, `members`, `recipe`,
        `samples`, `measured`; `best` and `value`, the merge then thought best; `certainty`.
    samples : mapping of str to mapping
        Label to how many samples were `looked` at and `held` back (`held_from` test or data), how
        many were left out as `shared` by both, and whether they are `labelled`; empty by a scorer.
    cost : mapping of str to float
        `evidence_seconds`, `search_seconds`, `verification_seconds`, all `measurements` of the
        search, and the `samples`, or runs of a scorer, that they took.
    ended : str
        Why the search ended.
    left_out : tuple of str
        What was not looked at, and why.
    warnings : tuple of str
        What to know first.
    base, models : str, mapping of str to str
        Where the base and each model came from.
    refused : mapping of str to str
        Label of every model that could not be used, to the reason.
    out : Path or None
        The merged folder; None where none was written.
    """

    chosen: Candidate
    objective: Objective
    forecast: Floats
    forecast_sd: Floats
    seen: Floats
    base_kept: Floats
    believed: float
    certainty: float
    epsilon: float
    verified: Verified | Scored | None
    tried: pd.DataFrame
    untried: pd.DataFrame
    path: pd.DataFrame
    samples: Mapping[str, Mapping[str, Any]]
    cost: Mapping[str, float]
    ended: str
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    base: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None

    @property
    def members(self) -> tuple[str, ...]:
        """Labels of the chosen merge."""
        return self.chosen.members

    @property
    def members_at(self) -> dict[str, str]:
        """Label of every member of the chosen merge to where it came from."""
        return {label: self.models[label] for label in self.members}

    @property
    def verdict(self) -> list[str]:
        """What to do, in a few sentences."""
        names = ", ".join(self.members)
        how = f"{names} by {self.chosen.recipe}"
        if self.objective.kind == "most" and self.advice == MERGE:
            how += f", the most that were found to keep what is required ({self.required})"
        found = self.verified
        if found is None:
            said = (
                f"{self._what} is {self.believed:.3f} by the scorer, on what the merge was chosen "
                "by, and may be too good"
            )
        elif isinstance(found, Scored):
            said = (
                f"by the verification scorer, which the search never asked, {self._what} is "
                f"{found.value:.3f}"
            )
        else:
            low, high = found.interval
            said = (
                f"on samples that the search never touched {self._what} is {found.value:.3f} "
                f"({found.level:.0%} interval {low:.3f} to {high:.3f})"
            )
        worth = self.worth
        if self.advice == MERGE:
            beside = [text for text in (worth.at_a_loss, worth.beside_base) if text]
            return [f"Merge {how}: {said}.", *beside]
        missed = f"no merge was found that keeps what is required ({self.required})"
        lost = f"the best merge that was found {worth.why_not}"
        reasons = [*([] if worth.met else [missed]), *([lost] if worth.lost else [])]
        return [
            f"Do not merge: {'; '.join(reasons)}. The best one, {how}: {said}.",
            self.alternative,
        ]

    @property
    def advice(self) -> str:
        """``merge`` or ``do not merge``.

        The latter where what is required was not kept, or the merge keeps nothing of a member or
        less than the base does: on untouched samples, or by the last scorer that was asked.
        """
        return self.worth.advice

    @property
    def worth(self) -> Worth:
        """What the members keep beside nothing, the base, and what `forecast` asks for."""
        kept = self.seen if self.verified is None else self.verified.kept
        return Worth(kept, self.base_kept, self.objective.least(self.members), self.own)

    @property
    def required(self) -> str:
        """What is required, in words."""
        return ", ".join(
            f"{'every model' if label == EVERY else label} at least {value:g}"
            for label, value in sorted(self.objective.required.items())
        )

    @property
    def alternative(self) -> str:
        """What to do instead of merging."""
        count = len(self.models)
        return (
            f"Instead: keep the {count} models apart and route each request to its own, which "
            f"costs {count} times the memory and loses nothing; or {self.worth.remedy}."
        )

    @property
    def judged(self) -> str:
        """What the figures of what is kept are, in a sentence."""
        found = self.verified
        if found is None:
            return (
                "The scorer is the judge; nothing was held back from it, so that its figure, the "
                "best of all that were tried, may be too good. A verification scorer would tell."
            )
        if isinstance(found, Scored):
            return (
                "Kept: the merge's score over the model's own, both by the verification scorer, "
                "which the search never asked; single numbers, so that there is no interval."
            )
        return (
            f"Kept: on {found.samples} samples or more of each task that the search never "
            f"touched; intervals are of {found.level:.0%}. {self.own.caution}"
        ).rstrip()

    @property
    def own(self) -> Own:
        """What the members keep a part of: their own scores, or answers where there is no label."""
        told = {label: self.samples.get(label, {}) for label in self.members}
        return Own({label: bool(one.get("labelled", True)) for label, one in told.items()})

    @property
    def _what(self) -> str:
        words = {
            "mean": f"the mean of what the models keep of {self.own.all}",
            "worst": f"the least that a model keeps of {self.own.each}",
            "weighted": f"the weighted mean of what the models keep of {self.own.all}",
            "most": f"the mean of what the models keep of {self.own.all}",
        }
        return words[self.objective.kind]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = self.verified
        rows = []
        for place, label in enumerate(self.members):
            told, seen = float(self.forecast[place]), float(self.seen[place])
            row: dict[str, Any] = {"model": label, "forecast": None if isnan(told) else told}
            row |= {"of": SCORE if self.own.labelled[label] else ANSWERS, "seen": seen}
            base = float(self.base_kept[place])
            row["base"] = None if isnan(base) else base
            if found is not None:
                row["kept"] = float(found.kept[place])
            if isinstance(found, Scored):
                row["own_score"] = float(found.own[place])
                row["merged_score"] = float(found.merged[place])
            elif found is not None:
                row["lower"] = float(found.lower[place])
                row["upper"] = float(found.upper[place])
            rows.append(row)
        return {
            "advice": self.advice,
            "verdict": self.verdict,
            "members": list(self.members),
            "recipe": self.chosen.recipe.as_mapping(),
            "objective": {
                "kind": self.objective.kind,
                "importance": dict(self.objective.importance),
                "required": dict(self.objective.required),
            },
            "verified": None if found is None else _plain(found),
            "judged": self.judged,
            "kept": rows,
            "threshold": THRESHOLD,
            "below": list(self.worth.below),
            "lost": self.worth.lost,
            "believed": self.believed,
            "certainty": self.certainty,
            "epsilon": self.epsilon,
            "ended": self.ended,
            "cost": dict(self.cost),
            "samples": {label: dict(one) for label, one in self.samples.items()},
            "tried": records(self.tried),
            "untried": records(self.untried),
            "path": records(self.path),
            "left_out": list(self.left_out),
            "warnings": list(self.warnings),
            "base": self.base,
            "models": dict(self.models),
            "refused": dict(self.refused),
            "out": None if self.out is None else str(self.out),
        }

    def __repr__(self) -> str:
        columns = ["members", "recipe", "forecast", "measured", "samples"][: 4 + bool(self.samples)]
        return as_text(
            self.verdict, self.tried[columns], rows=_SHOWN, notes=[self.ended, *self.warnings]
        )

    def _repr_html_(self) -> str:
        warnings = [f"warning: {text}" for text in (*self.left_out, *self.warnings)]
        return as_html([*search_parts(self.to_dict()), *warnings])


def _plain(found: Verified | Scored) -> dict[str, Any]:
    """A verification as data: by samples with an interval, by a scorer with its name."""
    if isinstance(found, Scored):
        return {"value": found.value, "scorer": found.by}
    low, high = found.interval
    return {
        "value": found.value,
        "lower": low,
        "upper": high,
        "level": found.level,
        "samples": found.samples,
    }


def joined(candidate: Candidate) -> dict[str, str]:
    """A merge's models and recipe, as tables hold them."""
    return {"members": join_members(candidate.members), "recipe": str(candidate.recipe)}
