"""What is wrong with a pair or outcome table, before anything is fitted to it.

Severities: ``error`` (results from this table do not mean what they say), ``warning`` (read them
with this in mind), ``info``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from mergecast.analysis.groups import range_of
from mergecast.forecast.validation.scoring import is_constant, pearson
from mergecast.tables.columns import Column
from mergecast.tables.outcomes import OutcomesLike, OutcomeTable, as_outcomes
from mergecast.tables.pairs import PairsLike, PairTable, as_pairs

ERROR, WARNING, INFO = "error", "warning", "info"
_ORDER = {ERROR: 0, WARNING: 1, INFO: 2}

# Published values are float32: this far beyond a bound is rounding.
_ROUNDING = 1e-6
# |r| from which two metrics are one: their coefficients cannot be told apart.
_COLLINEAR = 0.9999
# A single score that differs by more between pairs is not one model's score.
_SAME_SCORE = 1e-4
# Up to so many names are spelled out.
_LISTED = 4


@dataclass(frozen=True)
class AuditFinding:
    """One thing that a reader of results must know."""

    code: str
    severity: str
    message: str


def audit(
    pairs: PairsLike,
    outcomes: OutcomesLike,
    base_scores: Mapping[str, float] | None = None,
) -> list[AuditFinding]:
    """Findings on one suite's tables, errors first.

    Parameters
    ----------
    pairs, outcomes : table or DataFrame
    base_scores : Mapping[str, float], optional
        Task to the score of the base model without fine-tuning, where it is known.

    Raises
    ------
    TableError
        A table breaks its schema.
    """
    pairs, outcomes = as_pairs(pairs), as_outcomes(outcomes)
    findings = [
        *_impossible(pairs),
        *_constant_metrics(pairs),
        *_missing(pairs),
        *_redundant(pairs),
        *_constant_outcomes(outcomes),
        *_duplicated_methods(outcomes),
        *_unstable_singles(outcomes),
        *_targets(outcomes),
        *_no_gain(outcomes, base_scores),
    ]
    return ordered(findings)


def ordered(findings: list[AuditFinding]) -> list[AuditFinding]:
    """Errors first, then warnings, else in the given order."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def raw_outcomes(outcomes: OutcomeTable) -> OutcomeTable:
    """The same outcomes with the raw score as target: every single score counts as 1.

    The released pipeline of the paper fits this (mean accuracy of the two tasks), so it is needed
    to reproduce it; it mostly tells how difficult the two tasks are.
    """
    frame = outcomes.frame.assign(single_score=1.0, retention=outcomes.frame["score"])
    return replace(outcomes, frame=frame)


def _impossible(pairs: PairTable) -> Iterator[AuditFinding]:
    for key, columns in pairs.features().items():
        low, high = range_of(key)
        values = pairs.frame[list(dict.fromkeys(columns))].to_numpy().ravel()
        values = values[~np.isnan(values)]
        for bad, bound, word in (
            (values > high + _ROUNDING * max(1.0, abs(high)), high, "above"),
            (values < low - _ROUNDING * max(1.0, abs(low)), low, "below"),
        ):
            if bad.any():
                extreme = values[bad].max() if word == "above" else values[bad].min()
                text = f"{key}: {bad.sum()} of {len(values)} values {word} {bound:g}, to"
                yield AuditFinding(
                    "impossible_metric",
                    ERROR,
                    f"{text} {extreme:.6g}: accumulation in float32, or task vectors taken from "
                    "another base",
                )


def _constant_metrics(pairs: PairTable) -> Iterator[AuditFinding]:
    for key in pairs.metrics:
        values = pairs.frame[key].dropna().to_numpy()
        if len(values) > 1 and is_constant(values):
            text = f"{key} is {values[0]:.6g} for all {len(values)} pairs: it can explain nothing"
            yield AuditFinding("constant_metric", WARNING, text)


def _missing(pairs: PairTable) -> Iterator[AuditFinding]:
    absent = pairs.frame[pairs.metrics].isna()
    incomplete = absent.any(axis=1)
    if incomplete.any():
        names = (pairs.frame["left"] + "+" + pairs.frame["right"])[incomplete]
        keys = absent.sum()
        keys = keys[keys > 0].sort_values(ascending=False, kind="stable")
        text = f"{incomplete.sum()} of {len(pairs)} pairs lack a metric ({_listing(names)}); "
        text += "most often " + _listing([f"{key} in {count}" for key, count in keys.items()])
        yield AuditFinding("missing_metrics", WARNING, text)


def _redundant(pairs: PairTable) -> Iterator[AuditFinding]:
    """Groups of metrics that are linear functions of one another."""
    keys = [key for key in pairs.metrics if not Column.parse(key).direction]
    usable = [key for key in keys if pairs.frame[key].notna().sum() > 2]
    usable = [key for key in usable if not is_constant(pairs.frame[key].dropna().to_numpy())]
    same = pairs.frame[usable].corr().abs().to_numpy() > _COLLINEAR
    grouped: set[str] = set()
    for i, key in enumerate(usable):
        mates = [usable[j] for j in np.flatnonzero(same[i]) if usable[j] not in grouped]
        if key not in grouped and len(mates) > 1:
            grouped.update(mates)
            yield AuditFinding(
                "redundant_metrics",
                INFO,
                f"{' and '.join(mates)} are one metric up to a linear map (|r| > {_COLLINEAR}): "
                "how a fit splits the coefficient between them is arbitrary",
            )


def _constant_outcomes(outcomes: OutcomeTable) -> Iterator[AuditFinding]:
    for method, rows in outcomes.pairs().groupby("method", sort=True):
        values = rows["retention"].dropna().to_numpy()
        if len(values) > 1 and is_constant(values):
            text = f"{method}: retention is {values[0]:.6g} for all {len(values)} pairs"
            yield AuditFinding("constant_outcome", ERROR, f"{text}: nothing can be learned from it")


def _duplicated_methods(outcomes: OutcomeTable) -> Iterator[AuditFinding]:
    keys = ["suite", "members", "task", "seed"]
    scores = {
        str(name): rows.set_index(keys)["score"] for name, rows in outcomes.frame.groupby("recipe")
    }
    for a, b in combinations(sorted(scores), 2):
        both = pd.concat([scores[a], scores[b]], axis=1, join="inner").to_numpy()
        if len(both) > 2 and (both[:, 0] == both[:, 1]).all():
            text = f"{a} and {b} have the same score in all {len(both)} rows that both have"
            yield AuditFinding("duplicated_outcomes", ERROR, text)


def _unstable_singles(outcomes: OutcomeTable) -> Iterator[AuditFinding]:
    spread = outcomes.frame.groupby(["suite", "task"])["single_score"].agg(np.ptp)
    wide = spread[spread > _SAME_SCORE].reset_index()
    for task, width in zip(wide["task"], wide["single_score"], strict=True):
        text = f"the single model of {task} has scores that differ by up to {width:.4g}"
        yield AuditFinding("inconsistent_single_score", WARNING, text)


def _targets(outcomes: OutcomeTable) -> Iterator[AuditFinding]:
    """Whether a fit to raw scores would be a fit to the difficulty of the tasks."""
    single = outcomes.frame.groupby("task")["single_score"].mean()
    pairs = outcomes.pairs()
    pairs["raw"] = raw_outcomes(outcomes).pairs()["retention"]
    pairs["difficulty"] = pairs["left"].map(single) + pairs["right"].map(single)
    for method, rows in pairs.dropna().groupby("method", sort=True):
        raw, *others = (rows[key].to_numpy() for key in ("raw", "difficulty", "retention"))
        by_task, between = (pearson(raw, values) for values in others)
        if by_task**2 > 0.5:
            text = (
                f"{method}: the raw score of a pair follows the two single scores alone "
                f"(r {by_task:.2f}) and its retention with r {between:.2f}: a fit to raw scores "
                "mostly learns how difficult the tasks are"
            )
            yield AuditFinding("raw_target", WARNING, text)


def _no_gain(outcomes: OutcomeTable, base: Mapping[str, float] | None) -> Iterator[AuditFinding]:
    single = outcomes.frame.groupby("task")["single_score"].mean()
    if base is None:
        text = "scores of the base model are not known: members without any gain cannot be found"
        yield AuditFinding("base_scores_unknown", INFO, text)
        return
    for task, score in single.items():
        if task not in base:
            text = f"the base model's score on {task} is not known"
            yield AuditFinding("base_scores_unknown", INFO, text)
        elif score <= base[str(task)]:
            yield AuditFinding(
                "no_gain",
                WARNING,
                f"{task}: fine-tuned score {score:.4g} is no better than the base's "
                f"{base[str(task)]:.4g}: its retention measures nothing",
            )


def _listing(names: Iterable[str]) -> str:
    words = list(names)
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return ", ".join(words[:_LISTED]) + more
