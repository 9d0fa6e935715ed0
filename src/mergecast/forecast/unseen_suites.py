"""A forecaster on suites that it never saw, beside what is to be had for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mergecast.errors import UsageError
from mergecast.forecast.forecaster import Forecaster
from mergecast.forecast.rows import ROW_KEYS, kin, member_rows
from mergecast.forecast.validation.beside import (
    AS_THEY_ARE,
    CONSTANT,
    NORM,
    PARTNER,
    delta_norms,
    on_a_line,
    partner_means,
)
from mergecast.forecast.validation.ceiling import ceilings, tried_errors
from mergecast.forecast.validation.decisions import method_regret
from mergecast.forecast.validation.over_tasks import (
    error_over_tasks,
    gain_over_tasks,
    inside_over_tasks,
)
from mergecast.forecast.validation.scoring import paired_predictions, pearson
from mergecast.forecast.validation.uncertainty import relabelled_r
from mergecast.runtime.progress import Progress, Silent
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.pairs import PairTable
from mergecast.tables.plain import records
from mergecast.tables.show import as_html, as_text

FORECASTER = "forecaster"
# Rows in a notebook: as many as an evaluation shows of its predictors.
_SHOWN = 16
COLUMNS = [
    "suite",
    "tier",
    "protocol",
    "method",
    "predictor",
    "pooled_r",
    "r_ceiling",
    "r_null",
    "per_fold_r",
    "mae",
    "bias",
    "mae_constant",
    "mae_tried",
    "coverage90",
    "width90",
    "answered",
    "n_pairs",
]


CHOICE_COLUMNS = [
    "suite",
    "tier",
    "n_pairs",
    "n_methods",
    "regret",
    "fixed_regret",
    "fixed_method",
    "gain_low",
    "gain_high",
]
TASK_COLUMNS = [
    "suite",
    "tier",
    "ratio",
    "ratio_low",
    "ratio_high",
    "task",
    "ratio_without",
    "inside",
    "inside_low",
    "inside_high",
]


@dataclass(frozen=True, repr=False)
class SuiteScores:
    """What forecasts of suites are worth.

    Attributes
    ----------
    rows : DataFrame
        One row a suite, tier, protocol, method and predictor: `pooled_r` over all pairs and
        `per_fold_r` (of ``suite``, the same); `r_ceiling`, the most that the outcomes' noise
        allows, and `r_null`, what chance gives (`relabelled_r`); `mae` of a pair, `bias`, the mean
        of forecast less measured, and `mae_constant`, the error of the suite's own mean, which
        nobody knows before; `mae_tried`, what making every merge and trying it on 100 labelled
        samples of each task would be off by; `coverage90` and `width90`, the share of members in
        their 90 % interval and its mean width, NaN for predictors without intervals; `answered`,
        the share of pairs that got a number, on which all but it, `mae_constant` and `mae_tried`
        are measured. The predictor ``partner mean (warm)`` knows other merges of both models.
    choices : DataFrame
        One row a suite and tier: what choosing every pair's method by the forecasts loses against
        the best choice in hindsight (`regret`, of `n_pairs` pairs and `n_methods` methods), and
        what the best fixed one does (`fixed_method`, `fixed_regret`), which nobody knows before;
        the difference lies between `gain_low` and `gain_high` in 90 % of draws of tasks.
    over_tasks : DataFrame
        One row a suite and tier: the error over that of the suite's own mean, means over all its
        methods (`ratio`), between which ends it lies in 90 % of draws of tasks, and what it is
        without the pairs of the `task` that counts most; the share of members in their interval
        (`inside`), and between which ends that lies.
    notes : list of str
        What was left out, and why.
    """

    rows: pd.DataFrame
    choices: pd.DataFrame
    over_tasks: pd.DataFrame
    notes: list[str]

    def __repr__(self) -> str:
        return as_text(["Forecasts of suites, means over methods"], self.overview())

    def _repr_html_(self) -> str:
        return as_html(["Forecasts of suites, means over methods"], self.overview(), rows=_SHOWN)

    def overview(self) -> pd.DataFrame:
        """Means over methods: one row a protocol, tier, suite and predictor."""
        keys = ["protocol", "tier", "suite", "predictor"]
        numbers = [column for column in COLUMNS[5:] if column != "n_pairs"]
        return self.rows.groupby(keys, sort=False)[numbers].mean().reset_index()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; undefined is None."""
        tables = {"rows": self.rows, "choices": self.choices, "over_tasks": self.over_tasks}
        return {**{name: records(table) for name, table in tables.items()}, "notes": self.notes}


def score_suites(
    tables: tuple[PairTable, OutcomeTable],
    tiers: list[str],
    progress: Progress | None = None,
    workers: int = 1,
) -> SuiteScores:
    """Forecast every suite by a forecaster of the others, at each tier of evidence.

    Suites of one kind (`kin`) are held out together.

    Parameters
    ----------
    tables : PairTable and OutcomeTable
        Of several suites.
    tiers : list of str
        What the forecasts may read.
    progress : Progress, optional
        Told of every suite and tier.
    workers : int
        Processes; the numbers do not depend on it.

    Raises
    ------
    UsageError
        All suites are of one kind.
    """
    pairs, outcomes = tables
    kins = sorted({kin(suite) for suite in pairs.suites})
    if len(kins) < 2:
        raise UsageError("suites", f"are of one kind ({kins[0]})", "give two or more kinds")
    advance = (progress or Silent()).stage("a suite unseen", len(kins) * len(tiers))
    rows: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    over_tasks: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for tier in tiers:
        cut = pairs.up_to(tier)
        norms = delta_norms(cut)
        for name in kins:
            others = [suite for suite in pairs.suites if kin(suite) != name]
            known = outcomes.keep(outcomes.frame["suite"].isin(others))
            seen = cut.keep(cut.frame["suite"].isin(others))
            forecaster = Forecaster.fit(seen, known, cheaper=False, warm=False, workers=workers)
            for suite in (suite for suite in pairs.suites if kin(suite) == name):
                new = cut.keep(cut.frame["suite"] == suite)
                truth = outcomes.keep(outcomes.frame["suite"] == suite)
                here = {"suite": suite, "tier": tier, "protocol": "suite"}
                untold = sorted(set(truth.recipes) - set(forecaster.file.methods))
                notes |= dict.fromkeys(
                    f"{method} of {suite}: no other kind of models was merged by it"
                    for method in untold
                )
                measured = truth.members().rename(columns={"retention": "measured"})
                told = forecaster.forecast(new).rows.merge(measured, on=[*ROW_KEYS, "method"])
                rows += [{**here, **row} for row in _scored(told, known, new, truth, norms)]
                choices += [{**here, **row} for row in _choice(told)]
                known_rows = _as_predicted(told)
                sure = error_over_tasks(known_rows) | inside_over_tasks(known_rows)
                over_tasks.append({**here, **sure})
            advance(1)
    return SuiteScores(
        pd.DataFrame(rows, columns=COLUMNS),
        pd.DataFrame(choices, columns=CHOICE_COLUMNS),
        pd.DataFrame(over_tasks, columns=TASK_COLUMNS),
        list(notes),
    )


def _choice(told: pd.DataFrame) -> list[dict[str, Any]]:
    """What choosing methods by a suite's forecasts loses; nothing where there are none."""
    rows = _as_predicted(told)
    rows = rows.groupby("method").filter(lambda table: table["predicted"].notna().any())
    n_methods = len(rows["method"].unique())
    found = records(method_regret(rows)) if n_methods > 1 else []
    return [{"n_methods": n_methods, **row, **gain_over_tasks(rows)} for row in found]


def _as_predicted(told: pd.DataFrame) -> pd.DataFrame:
    """Forecasts as a validation calls them, all of one fold."""
    return told.rename(columns={"retention": "predicted"}).assign(predictor=FORECASTER, fold="")


def _scored(
    told: pd.DataFrame,
    known: OutcomeTable,
    pairs: PairTable,
    truth: OutcomeTable,
    norms: pd.Series,
) -> Iterator[dict[str, Any]]:
    """The rows of one suite: by the forecaster's `told`, and by what there is without one."""
    measured = told[[*ROW_KEYS, "method", "measured"]]
    most, tried = ceilings(truth), tried_errors(truth)
    means = known.pairs().groupby("method")["retention"].mean()
    kept = known.members().set_index(ROW_KEYS).groupby("method")["retention"]
    for method, table in told.groupby("method", sort=True):
        name = str(method)
        members = member_rows(pairs, name)
        beside = {CONSTANT: pd.Series(means[name], members.index)}
        if len(norms):
            y, own = (
                kept.get_group(name),
                norms.reindex(pd.MultiIndex.from_frame(members[ROW_KEYS])),
            )
            beside[NORM] = on_a_line(norms.reindex(y.index), y, own.set_axis(members.index))
        for label, forms in AS_THEY_ARE.items():
            found = [form for form in forms if form in members]
            if found:
                beside[label] = members[found[0]]
        here = measured[measured["method"] == method]
        tables = {FORECASTER: table.rename(columns={"retention": "predicted"})}
        for label, values in beside.items():
            tables[label] = members[ROW_KEYS].assign(predicted=values).merge(here, on=ROW_KEYS)
        tables[PARTNER] = here.assign(predicted=partner_means(here))
        for label, one in tables.items():
            noise = {"r_ceiling": most.get(name), "mae_tried": tried.get(name)}
            yield {"method": name, "predictor": label, **noise, **_numbers(one)}


def _numbers(table: pd.DataFrame) -> dict[str, Any]:
    """The scores of one method's forecasts, member rows with `predicted` and `measured`."""
    defined = table.dropna(subset="measured")
    told = defined.dropna(subset="predicted")
    paired = paired_predictions(told.assign(fold=""))
    everyone = paired_predictions(defined.assign(fold="", predicted=0.0))
    truth = everyone["measured"].to_numpy()
    numbers: dict[str, Any] = {"n_pairs": len(truth), "answered": len(paired) / len(truth)}
    numbers["mae_constant"] = float(np.abs(truth - truth.mean()).mean())
    if paired.empty:
        return numbers
    predicted, measured = paired["predicted"].to_numpy(), paired["measured"].to_numpy()
    numbers["pooled_r"] = numbers["per_fold_r"] = pearson(predicted, measured)
    numbers["r_null"] = relabelled_r(paired)
    numbers["mae"] = float(np.abs(predicted - measured).mean())
    numbers["bias"] = float((predicted - measured).mean())
    if "lower" in told:
        numbers["coverage90"] = float(told["measured"].between(told["lower"], told["upper"]).mean())
        numbers["width90"] = float((told["upper"] - told["lower"]).mean())
    return numbers
