"""Sets of a family's models ranked: from their answers where there are any, else from pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from mergecast.errors import UndefinedError
from mergecast.evidence.session import Session
from mergecast.forecast.few_samples import FewSamples
from mergecast.forecast.measured_sets import rank_with_measured
from mergecast.forecast.measured_use import MeasuredUse
from mergecast.forecast.method_forecast import at_most, interval_of_new
from mergecast.forecast.result import Forecast
from mergecast.forecast.rows import MEASURED
from mergecast.forecast.sets import CHECKED, SUPERPOSED, Sets, rank_all_sets
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.sets import join_members, split_members
from mergecast.typing import Floats

if TYPE_CHECKING:
    from mergecast.evidence.superposition.sets import SetReadings


@dataclass(frozen=True)
class RankedSets:
    """Sets of one size under each method, and what was made of measured ones.

    Attributes
    ----------
    table : DataFrame
        As `rank_all_sets`, with an interval of the mean, `lower` and `upper`, for sets that are
        forecast from answers; NaN for others.
    measured : MeasuredUse or None
        None where no measured set was given.
    warnings : tuple of str
        Why there is less than was asked for.
    unjudged : mapping of str to str
        Label of every model whose sets alone go by pairs, since what is kept of its answers is not
        defined, to the reason.
    """

    table: pd.DataFrame
    measured: MeasuredUse | None
    warnings: tuple[str, ...] = ()
    unjudged: Mapping[str, str] = field(default_factory=dict)


def forecast_sets(
    made: Forecast,
    size: int,
    doubtful: Collection[str],
    measured: OutcomeTable | None,
    session: Session | None,
) -> RankedSets | None:
    """All sets of a size ranked, those with a model that hardly answers its task aside.

    Parameters
    ----------
    made : Forecast
        Of the pairs.
    size : int
        Members of a set.
    doubtful : collection of str
        Labels of models that hardly answer their own task.
    measured : OutcomeTable or None
        Sets of that size that were measured.
    session : Session or None
        The models and tasks whose answers are stored; None to go by pairs.

    Returns
    -------
    RankedSets or None
        None where too few models are left for such a set; see `too_few`.
    """
    doubted = made.rows["left"].isin(doubtful) | made.rows["right"].isin(doubtful)
    rows = made.rows[~doubted]
    names = sorted({*rows["left"], *rows["right"]})
    if len(names) < size:
        return None
    if session is None or size == 2:
        return _ranked(made, rows, size, measured)
    try:
        with replace(session, family=session.family.subset(names), keys=None) as narrow:
            return _from_answers(made, rows, size, measured, narrow)
    except UndefinedError as error:
        found = _ranked(made, rows, size, measured)
        return replace(found, warnings=(f"sets are forecast from pairs alone: {error}",))


def too_few(size: int, answering: Sequence[str], doubtful: Collection[str]) -> str:
    """Why no set of a size is forecast, and what to do; `answering` are the models not in doubt."""
    most = len(answering)
    smaller = f", or ask for sets of {2 if most == 2 else f'2 to {most}'}" if most > 1 else ""
    hardly = "answer their own tasks" if len(doubtful) > 1 else "answers its own task"
    return (
        f"no set of {size} is forecast: {', '.join(sorted(doubtful))} hardly {hardly}, which "
        f"leaves {', '.join(answering) or 'no model'}; put that right{smaller}"
    )


def _ranked(
    made: Forecast, rows: pd.DataFrame, size: int, measured: OutcomeTable | None
) -> RankedSets:
    if measured is None:
        table, use = rank_all_sets(rows, size), None
    else:
        table, use = rank_with_measured(rows, size, measured, made.level)
    return RankedSets(table, use)


def _from_answers(
    made: Forecast,
    rows: pd.DataFrame,
    size: int,
    measured: OutcomeTable | None,
    session: Session,
) -> RankedSets:
    """Sets by what their members' answers say, those first that their pairs speak for."""
    from mergecast.evidence.superposition.sets import collect_sets, most_sets

    by_pairs = rank_all_sets(rows, size)
    means = by_pairs.groupby("members")["retention"].mean().sort_values(ascending=False)
    most = most_sets(session, size)
    chosen, left = means.index[:most], len(means) - most
    if measured is not None:
        known = measured.frame["members"].unique()
        chosen = chosen.union(means.index[means.index.isin(known)])
    said = f"{most:,} of {len(means):,} sets of {size} are forecast, those of the best pairs"
    said += ", and those that are merged as a check or were measured"
    readings = collect_sets(session, sorted(tuple(split_members(one)) for one in chosen))

    def judged(joined: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which sets have members alone whose answers tell what is kept."""
        return np.array([not readings.unjudged.keys() & {*split_members(x)} for x in joined])

    def answers(method: str, joined: list[str], _: Sets, each: Floats) -> Floats:
        if method not in readings.kept:
            return each
        found = at_most(made.forecaster.tiers[made.tier][method], readings.of(method, joined))
        found = np.where(judged(joined)[:, None], found, each)
        # Where a pair has no forecast, as out of the forecaster's domain, its sets have none.
        return np.where(np.isnan(each).any(axis=1, keepdims=True), np.nan, found)

    if measured is None:
        table, use = rank_all_sets(rows, size, answers), None
    else:
        table, use = rank_with_measured(rows, size, measured, made.level, answers)
    here = {join_members(one) for one in readings.members}
    table = table[table["members"].isin(here)].reset_index(drop=True)
    merges = pd.MultiIndex.from_frame(table[["method", "members"]])
    answered = table["method"].isin(readings.kept) & judged(table["members"])
    basis = table["basis"].mask(answered, SUPERPOSED)
    checked = [(name, join_members(one)) for name, sets in readings.checked.items() for one in sets]
    basis = basis.mask(merges.isin(checked), CHECKED)
    table = table.assign(basis=basis.mask(table["basis"] == MEASURED, MEASURED))
    table = with_intervals(table, made, readings)
    return RankedSets(table, use, (said,) if left > 0 else (), readings.unjudged)


def with_intervals(table: pd.DataFrame, made: Forecast, readings: SetReadings) -> pd.DataFrame:
    """The table with `lower` and `upper` of sets that are forecast from answers, too."""
    models, few = made.forecaster.tiers[made.tier], FewSamples.of(made.metrics)
    if "lower" not in table:
        table = table.assign(lower=float("nan"), upper=float("nan"))
    for method, rows in table[table["basis"].isin([SUPERPOSED, CHECKED])].groupby("method"):
        numbers = rows["retention"].to_numpy(dtype="float64")
        alone = readings.alone_of(str(method), rows["members"].tolist()).mean(axis=1)
        others = len(readings.members[0]) - 1
        sets = zip(numbers, map(split_members, rows["members"]), strict=True)
        more = np.array([few.of_mean(number, tuple(members)) for number, members in sets])
        lower, upper = interval_of_new(
            models[str(method)], numbers, made.level, alone, others, np.nan_to_num(more)
        )
        table.loc[rows.index, ["lower", "upper"]] = np.column_stack([lower, upper])
    return table
