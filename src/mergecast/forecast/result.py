"""A forecast: what each merge would do to each member, with which confidence, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mergecast.forecast.domain import abstentions
from mergecast.forecast.measured_use import MeasuredUse
from mergecast.forecast.recommend import MERGE
from mergecast.forecast.rows import ABSTAINED
from mergecast.tables.pairs import PAIR_KEYS
from mergecast.tables.plain import records
from mergecast.tables.show import as_html, as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mergecast.forecast.file import ForecasterFile
    from mergecast.tables.pairs import PairTable

ROW_COLUMNS = [
    "suite",
    "method",
    "left",
    "right",
    "member",
    "basis",
    "retention",
    "lower",
    "upper",
    "out_of_range",
    "reasons",
    "note",
]
# Pairs on one screen.
_SHOWN = 12


@dataclass(frozen=True, repr=False)
class Forecast:
    """What a forecaster says about a family.

    Attributes
    ----------
    rows : DataFrame
        One row a (pair, method, member), sorted: `basis` (``cold``: metrics only; ``warm``: also
        what the merges of one of the two models with others did; ``measured``: the merge itself was
        measured; ``family``: moved by other measured merges of it; ``abstained``: the models are
        too unlike those of the training, see `abstention`), `retention`, its interval `lower`,
        `upper` (from 0 to 1, or the most that the method was seen to keep), `out_of_range` (metrics
        outside the training range, the farthest first), `reasons` (up to three dicts `metric,
        value, contribution`, the three that moved the number most; the contribution is in
        retention, against a pair with average metrics; a model's known outcomes stand among the
        metrics as ``known outcomes of LABEL``, measured merges as ``measured merges of this
        family``, their value being the contribution), `note` (what was measured; or why there are
        no reasons, or why the forecast is missing: its numbers are then NaN).
    pairs : DataFrame
        One row a pair, see `recommend`.
    level : float
        Nominal level of the intervals.
    threshold : float
        Retention of the worst member below which the advice is not to merge.
    tier : str
        The evidence that was read.
    metrics : PairTable
        What was forecast.
    forecaster : ForecasterFile
        All that the forecaster knows.
    suite : str or None
        The training suite that the models were said to be of.
    measured, measured_sets : MeasuredUse or None
        What was made of measured pairs, and of measured sets; None where none were given.
    name : str
        What the forecaster is called: its file, or its shipped name.
    base, models : str, mapping of str to str
        Where the base and each model (by label) came from; empty where only a table was given.
    merge_options : tuple of str
        Options by which `mergecast merge` makes of these files what was forecast.
    refused : mapping of str to str
        Label of each model left out to the reason.
    doubtful : mapping of str to str
        Label of each model that hardly answers its own task to the figures: no advice is given
        about its merges.
    warnings : tuple of str
        What a reader should know first, a sentence each.
    sets : DataFrame or None
        All sets of some number of models under each method, best first, as `rank_sets`; None unless
        they were asked for.
    evidence : tuple of str
        The kinds of evidence that were gathered, cheapest first; empty where only a table was
        given.
    strengths : DataFrame or None
        The best strength of every pair, and of every set of the size asked for: rows of
        `STRENGTH_COLUMNS`. None unless they were asked for.
    curves : DataFrame or None
        What the sets that keep most of each size keep over strength: rows of `CURVE_COLUMNS`.
    task_scores : DataFrame or None
        What every model with labels scores on the samples that were asked: `task, single_score,
        base_score` (the base with its head), `majority` (the commonest class for all), `n_eval`.
        None where no model was run, or none has labels.
    depth : DataFrame or None
        Every pair's task vectors by layer: `left, right, layer`, `apart` (the layer's part of the
        squared distance between the two), `cosine`, `left_share`, `right_share` (its parts of the
        two squared norms). A description: no forecast is made of it. None where only a table was
        given.
    beside : DataFrame or None
        Measured pairs beside forecasts that do not know what was measured of them, as
        `beside_measured`; None where no measured pairs were given.
    """

    rows: pd.DataFrame
    pairs: pd.DataFrame
    level: float
    threshold: float
    tier: str
    metrics: PairTable
    forecaster: ForecasterFile
    suite: str | None = None
    name: str = ""
    measured: MeasuredUse | None = None
    measured_sets: MeasuredUse | None = None
    base: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    merge_options: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    doubtful: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sets: pd.DataFrame | None = None
    evidence: tuple[str, ...] = ()
    strengths: pd.DataFrame | None = None
    curves: pd.DataFrame | None = None
    beside: pd.DataFrame | None = None
    task_scores: pd.DataFrame | None = None
    depth: pd.DataFrame | None = None

    @property
    def uses(self) -> list[MeasuredUse]:
        """What was made of measured merges, of pairs and of sets."""
        return [use for use in (self.measured, self.measured_sets) if use is not None]

    @property
    def unused(self) -> list[str]:
        """The measured merges that were left out, with the reason: a sentence a reason."""
        return [*dict.fromkeys(text for use in self.uses for text in use.left_out)]

    @property
    def abstention(self) -> str:
        """For how many pairs there is no number, why, and what would give one; "" for none."""
        rows = self.rows[self.rows["basis"] == ABSTAINED]
        if rows.empty:
            return ""
        models = self.forecaster.tiers[self.tier]
        said = "; ".join(abstentions(rows, self.metrics, models))
        methods = sorted(rows["method"].unique())
        by = "" if len(methods) == self.rows["method"].nunique() else f" under {', '.join(methods)}"
        n_pairs = len(rows[PAIR_KEYS].drop_duplicates())
        richer = self.tier != next(reversed(self.forecaster.tiers))
        richer = richer and set(self.evidence) <= {self.tier}
        samples = "samples of the models' tasks (--tasks), or " if richer else ""
        why = (
            f"these models are out of the domain of {self.name} from {self.tier}. {said}"
            if said
            else f"nothing that {self.name} reads in {self.tier} tells what models of a kind that "
            "it never saw keep"
        )
        return (
            f"No forecast{by} for {n_pairs} of {len(self.pairs)} pairs: {why}. Give {samples}"
            "merges of them that were measured (--measured)."
        )

    def plot(self, path: str | Path | None = None) -> Figure:
        """Every pair as a map; beside it all that the page draws and this forecast has.

        What is kept over strength, measured members beside forecasts that did not know them, and
        by layer, how far the task vectors of the best pair lie apart.

        Parameters
        ----------
        path : str or Path, optional
            Also write it: a ``.png``, ``.svg`` or ``.pdf``.

        Returns
        -------
        matplotlib.figure.Figure
            Shown by a notebook.

        Raises
        ------
        UsageError
            matplotlib is not installed (``mergecast[plot]``), no pair has a forecast, or `path`
            ends otherwise.
        ResourceError
            It cannot be written.
        """
        from mergecast.forecast.picture import draw, save

        figure = draw(self.rows, self.pairs, self.curves, self.beside, self.depth)
        if path is not None:
            save(figure, path)
        return figure

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is missing or infinite is None."""
        return {
            "level": self.level,
            "threshold": self.threshold,
            "tier": self.tier,
            "abstention": self.abstention,
            "rows": records(self.rows),
            "pairs": records(self.pairs),
        }

    def __repr__(self) -> str:
        return as_text(self._lines(), self._overview(), rows=_SHOWN, notes=self._notes())

    def _repr_html_(self) -> str:
        return as_html(self._lines(), self._overview(), rows=_SHOWN, notes=self._notes())

    def _lines(self) -> list[str]:
        """What was forecast from what."""
        methods = self.rows["method"].nunique()
        advised = int((self.pairs["advice"] == MERGE).sum())
        head = (
            f"Forecast: {len(self.pairs)} pairs, {methods} merging methods, by {self.name} from "
            f"{self.tier}; advised to merge: {advised}"
        )
        interval = (
            f"best method of each pair; interval ({self.level:.0%}) of the member that keeps least"
        )
        taken = [f"evidence taken: {', '.join(self.evidence)}"] if self.evidence else []
        abstained = [self.abstention] if self.abstention else []
        return [head, *taken, *abstained, *(use.sentence for use in self.uses), interval]

    def _notes(self) -> list[str]:
        """What was left out and why, and what to know before the numbers are used."""
        refused = [f"left out: {label}: {reason}" for label, reason in self.refused.items()]
        return [*refused, *self.unused, *(f"warning: {warning}" for warning in self.warnings)]

    def _overview(self) -> pd.DataFrame:
        """One row a pair: the best method, what it keeps, and the weaker member's interval."""
        pairs = self.pairs.rename(columns={"worst_member": "member"})
        keys = [*PAIR_KEYS, "method", "member"]
        rows = pairs.merge(self.rows[[*keys, "upper"]], on=keys, how="left")
        bounds = [rows[end].map("{:.3f}".format) for end in ("lower", "upper")]
        return pd.DataFrame(
            {
                "pair": rows["left"] + " + " + rows["right"],
                "advice": rows["advice"],
                "method": rows["method"],
                "retention": rows["retention"],
                "worst member": rows["member"],
                "keeps": rows["worst_retention"],
                "interval": (bounds[0] + " to " + bounds[1]).where(rows["lower"].notna(), "–"),
            }
        )
