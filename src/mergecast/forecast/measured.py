"""Forecasts moved by what merges of the same family did: `Forecaster.forecast(measured=…)`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from mergecast.errors import UsageError
from mergecast.forecast.effects_posterior import Rows, posterior
from mergecast.forecast.measured_use import ASSUMED_ERROR, MeasuredUse
from mergecast.forecast.method_forecast import N_REASONS
from mergecast.forecast.rows import ABSTAINED, FAMILY, MEASURED
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.sets import JOIN, split_members
from mergecast.typing import Floats

KNOWN = "measured merges of this family"
"""What the reasons call the part of a forecast that measured merges gave."""

#: A forecaster's own error at most, as a standard deviation: retention lies between 0 and about 1.
_MOST_ERROR = 0.25
_LEAST_NOISE = 1e-3
# Models that a sentence names.
_NAMED = 5
_KEYS = ["method", "left", "right", "member"]


def with_measured(
    rows: pd.DataFrame, outcomes: OutcomeTable, level: float
) -> tuple[pd.DataFrame, MeasuredUse]:
    """The rows of a forecast, moved by the merges of its pairs that were measured.

    A measured row is what was measured, shrunk by its sampling noise towards what the others say;
    any other is its forecast, moved by what it has in common with them: the family, the model, the
    partner, methods that are alike. `effects_posterior` says how. Where the forecaster abstains,
    the mean of what was measured under the method stands in for its forecast.

    Parameters
    ----------
    rows : DataFrame
        As `Forecast.rows`, of one suite.
    outcomes : OutcomeTable
        What merges did; its labels are those of the rows, and its suite is theirs.
    level : float
        Nominal level of the intervals.

    Raises
    ------
    UsageError
        Rows or outcomes of several suites; no merge that can be used.
    """
    known, left_out = measured_pairs(rows, outcomes)
    beside = rows[_KEYS].merge(known, on=_KEYS, how="left")
    measured, noise = (beside[key].to_numpy() for key in ("measured", "variance"))
    abstained = (rows["basis"] == ABSTAINED).to_numpy()
    means = rows["method"].map(known.groupby("method")["measured"].mean())
    rows = rows.assign(retention=rows["retention"].where(~abstained, means))
    forecast = rows["retention"].to_numpy(dtype="float64")
    here, asked = np.isfinite(measured), np.isfinite(forecast)
    # A pair without a forecast that was measured is what was measured.
    retention, variance = measured.copy(), noise.copy()
    if (both := here & asked).any():
        coded = coded_rows(rows[asked], level)
        residuals = (measured - forecast)[both]
        moved, spread = posterior(coded.take(both[asked]), residuals, noise[both], coded)
        retention[asked] = np.maximum(forecast[asked] + moved, 0.0)
        # Of a merge still to be measured, the interval is of what measuring it would give.
        still = spread + np.nanmedian(noise)
        variance[asked] = np.where(here[asked], np.fmin(spread, noise[asked]), still)
    half = ndtri((1 + level) / 2) * np.sqrt(variance)
    # What is learned of a model moves methods that nobody measured, too; their intervals stay.
    learned = here | rows["method"].isin(known["method"]).to_numpy()
    half = np.where(learned, half, _half_widths(rows))
    change = retention - forecast
    touched = np.isfinite(retention) & (learned | (np.abs(change) > 0))
    reasons = [
        [] if is_measured else _with_reason(before, moved) if is_moved else before
        for is_measured, is_moved, before, moved in zip(
            here, touched, rows["reasons"], change, strict=True
        )
    ]
    said = [f"measured {y:.3f} ± {e:.3f}" for y, e in zip(measured, np.sqrt(noise), strict=True)]
    alone = "from measured merges alone, " + rows["note"]
    updated = rows.assign(
        retention=np.where(touched, retention, forecast),
        lower=np.where(touched, np.maximum(retention - half, 0.0), rows["lower"]),
        upper=np.where(touched, retention + half, rows["upper"]),
        basis=np.where(here, MEASURED, np.where(touched, FAMILY, rows["basis"])),
        note=np.where(here, said, np.where(abstained & touched, alone, rows["note"])),
        reasons=pd.Series(reasons, index=rows.index, dtype=object),
    )
    return updated, MeasuredUse.of(known, change[touched & ~here & ~abstained], left_out)


def measured_pairs(
    rows: pd.DataFrame, outcomes: OutcomeTable
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The members of measured pairs that bear on a forecast, and why others were left out.

    Columns `method, left, right, member, measured, variance, assumed`, as of `usable_merges`.
    """
    known, left_out = usable_merges(rows, outcomes)
    names = known["members"].str.partition(JOIN)
    return known.assign(left=names[0], right=names[2]).drop(columns="members"), left_out


def usable_merges(
    rows: pd.DataFrame, outcomes: OutcomeTable, size: int = 2
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The members of measured merges that bear on a forecast, and why others were left out.

    Columns `method, members, member, measured, variance` (of the sampling noise), means over seeds,
    and `assumed`, of how many rows the latter is assumed.
    """
    for what, suites in (("forecast", rows["suite"].unique()), ("measured", outcomes.suites)):
        if len(suites) > 1:
            raise UsageError(
                f"measured merges, {what} suites {', '.join(map(repr, sorted(suites)))}",
                "labels of several suites say nothing of each other",
                "give the merges of one family",
            )
    frame = outcomes.by_recipe.assign(reason=_reasons_against(rows, outcomes, size))
    used = frame[frame["reason"] == ""]
    left_out = tuple(left_out_sentences(frame[frame["reason"] != ""]))
    if used.empty:
        raise UsageError(
            "measured merges",
            f"none can be used: {'; '.join(left_out)}",
            f"give merges of {size} of these models, by label and by methods forecast here",
        )
    table = pd.DataFrame(
        {
            "method": used["method"],
            "members": used["members"],
            "member": used["task"],
            "measured": used["retention"],
            "variance": sampling_variance(used),
            "assumed": np.isnan(_known_variance(used)),
        }
    )
    seeds = table.groupby(["method", "members", "member"], sort=True)
    means = seeds.agg({"measured": "mean", "variance": "mean", "assumed": "sum"})
    return means.reset_index(), left_out


def _reasons_against(rows: pd.DataFrame, outcomes: OutcomeTable, size: int) -> list[str]:
    """Why each row of measured merges cannot be used; empty where it can."""
    models, methods = {*rows["left"], *rows["right"]}, {*rows["method"]}
    frame = outcomes.by_recipe
    keys = ["suite", "method", "members", "seed"]
    lacking = frame["retention"].isna().groupby([frame[key] for key in keys]).transform("any")
    strangers = sorted({name for m in frame["members"] for name in split_members(m)} - models)
    forecast = sorted(methods)
    more = ", …" if len(strangers) > _NAMED else ""
    unknown = f"with models that are not forecast here ({', '.join(strangers[:_NAMED])}{more})"
    reasons = []
    for method, members, lacks in zip(frame["method"], frame["members"], lacking, strict=True):
        names = split_members(members)
        if not models.issuperset(names):
            reasons.append(unknown)
        elif len(names) != size:
            reasons.append(f"of {len(names)} models, where forecasts are of {size}")
        elif method not in methods:
            reasons.append(f"by {method}, which is not forecast here ({', '.join(forecast)} are)")
        else:
            reasons.append("retention is missing" if lacks else "")
    return reasons


def left_out_sentences(frame: pd.DataFrame) -> Iterator[str]:
    """A sentence a reason, from rows of outcomes with `reason`."""
    merges = frame[["method", "members", "seed", "reason"]].drop_duplicates()
    for reason, count in merges["reason"].value_counts(sort=False).items():
        yield f"{count} measured merge{'s' if count > 1 else ''} left out: {reason}"


def sampling_variance(frame: pd.DataFrame) -> Floats:
    """Variance of each measured retention around that on infinitely many samples, (n,).

    `retention_stderr` squared where a table has it. Otherwise from the scores as shares of `n_eval`
    samples, by half of what it were if merged and single model had answered different samples:
    they answer the same. Where neither tells it, `ASSUMED_ERROR` squared. Never below that of one
    sample more or less.
    """
    n = frame["n_eval"].to_numpy(dtype="float64")
    least = np.where(np.isfinite(n), 1 / n, 0.0) ** 2
    known = _known_variance(frame)
    guess = np.where(np.isfinite(known), known, ASSUMED_ERROR**2)
    return np.asarray(np.maximum(guess, np.maximum(least, _LEAST_NOISE**2)))


def _known_variance(frame: pd.DataFrame) -> Floats:
    """The same by what the table says, (n,); NaN where it says too little."""
    n, score, single, retention = (
        frame[key].to_numpy(dtype="float64")
        for key in ("n_eval", "score", "single_score", "retention")
    )
    shares = has_shares(frame)
    with np.errstate(divide="ignore", invalid="ignore"):
        binomial = score * (1 - score) + retention**2 * single * (1 - single)
        known = np.where(shares, 0.5 * binomial / n / single**2, np.nan)
    if "retention_stderr" in frame:
        stderr = frame["retention_stderr"].to_numpy(dtype="float64")
        known = np.where(np.isfinite(stderr), stderr**2, known)
    return np.asarray(known)


def has_shares(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each row's scores can be shares of samples, (n,)."""
    score, single = (frame[key].to_numpy(dtype="float64") for key in ("score", "single_score"))
    return np.asarray((score >= 0) & (score <= 1) & (single > 0) & (single <= 1))


def _with_reason(reasons: list[dict[str, object]], moved: float) -> list[dict[str, object]]:
    """What moved a row, with the measured merges among it."""
    mine = {"metric": KNOWN, "value": moved, "contribution": moved}
    return sorted([mine, *reasons], key=lambda r: -abs(float(str(r["contribution"]))))[:N_REASONS]


def own_errors(rows: pd.DataFrame, level: float) -> Floats:
    """The forecaster's own error in each row, as a standard deviation: from its interval, (n,)."""
    half = _half_widths(rows)
    error = np.where(np.isfinite(half), half / ndtri((1 + level) / 2), _MOST_ERROR)
    return np.asarray(np.minimum(error, _MOST_ERROR))


def _half_widths(rows: pd.DataFrame) -> Floats:
    """Half of each row's interval, (n,): one of its ends may be cut at what retention can be."""
    ends = pd.concat([rows["upper"] - rows["retention"], rows["retention"] - rows["lower"]], axis=1)
    return ends.max(axis=1).to_numpy(dtype="float64")


def coded_rows(rows: pd.DataFrame, level: float) -> Rows:
    """Rows with a forecast, as the posterior takes them."""
    models = {name: i for i, name in enumerate(sorted({*rows["left"], *rows["right"]}))}
    partner = rows["right"].where(rows["member"] == rows["left"], rows["left"])
    rest = own_errors(rows, level)
    by_method = rows["method"]
    return Rows(
        method=pd.factorize(by_method)[0],
        member=rows["member"].map(models).to_numpy(),
        partner=partner.map(models).to_numpy(),
        z=(rows["retention"] - rows.groupby("method")["retention"].transform("mean")).to_numpy(),
        scale=pd.Series(rest, index=rows.index).groupby(by_method).transform("min").to_numpy(),
        rest=rest,
        common=np.full(len(rows), rest.min()),
    )
