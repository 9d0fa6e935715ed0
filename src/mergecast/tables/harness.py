"""Evaluations by lm-evaluation-harness as outcomes: each member judged on its own task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from mergecast.errors import TableError, UsageError
from mergecast.tables.harness_file import Document, HarnessFile, Sample
from mergecast.tables.missing import MissingOutcome
from mergecast.tables.outcomes import OutcomeTable
from mergecast.tables.paired import retention_stderr
from mergecast.tables.sets import JOIN, join_members, split_members
from mergecast.typing import Floats

# A mean over samples is stored with all digits; sums in another order differ in the last ones.
_SAME_MEAN = 1e-6
_UNKNOWN = object()


class ModelScores(BaseModel):
    """A single model's evaluation, and what it was fine-tuned for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    results: Path
    """A results file of lm_eval, or its folder."""
    task: str
    """The harness task, or group, that the model is judged on."""
    metric: str | None = None
    """``metric,filter`` or the metric alone; by default the first of which more is better."""


class Scores(BaseModel):
    """Which evaluation is of what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    suite: str = ""
    """The suite column, as of the pair table."""
    seed: int = Field(0, ge=0)
    """Seed of the merges."""
    models: dict[str, ModelScores] = Field(min_length=1)
    """Label to the single model."""
    merges: dict[str, dict[str, Path]] = Field(min_length=1)
    """Merging method or recipe to members, joined by ``+``, to the merge's results."""


@dataclass(frozen=True)
class _Single:
    """A member alone: its evaluation, what it is judged by, its score and its samples."""

    file: HarnessFile
    task: str
    key: str
    score: float
    samples: dict[Document, Sample] | str


def harness_outcomes(scores: Scores, folder: Path) -> OutcomeTable:
    """The outcome table of evaluations.

    Parameters
    ----------
    scores : Scores
        Which evaluation is of what.
    folder : Path
        What paths are relative to.

    Returns
    -------
    OutcomeTable
        With `harness_task`, `metric` and `retention_stderr`: the standard error of retention over
        documents that both models answered, missing with a reason where there are none.

    Raises
    ------
    UsageError
        A member that is no model, a metric that is no score.
    TableError
        A file that cannot be read or lacks a task; two that were not evaluated alike.
    """
    singles = {label: _single(model, folder) for label, model in scores.models.items()}
    rows: list[dict[str, Any]] = []
    missing: list[MissingOutcome] = []
    for by, sets in scores.merges.items():
        for named, path in sets.items():
            members = _members(named, singles)
            for member in members:
                key: dict[str, Any] = {
                    "suite": scores.suite,
                    "method": by.partition("(")[0],
                    "recipe": by,
                    "members": join_members(members),
                    "task": member,
                    "seed": scores.seed,
                }
                row, reasons = _row(singles[member], folder / path)
                rows.append(key | row)
                missing += [
                    MissingOutcome(**key, reason=reason, column=column)
                    for column, reason in reasons.items()
                ]
    recipe = {
        label: {"task": single.task, "metric": single.key, **single.file.settings(single.task)}
        for label, single in singles.items()
    }
    return OutcomeTable(pd.DataFrame(rows), missing=missing, recipe={"lm_eval": recipe})


def _single(model: ModelScores, folder: Path) -> _Single:
    file = HarnessFile.read(folder / model.results, model.task)
    key = file.metric(model.task, model.metric)
    score = file.score(model.task, key)
    if not np.isfinite(score):
        raise TableError(file.path, f"{key} of task {model.task!r} is {score}", "evaluate it again")
    return _Single(file, model.task, key, score, _samples(file, model.task, key, score))


def _members(named: str, singles: Mapping[str, _Single]) -> list[str]:
    members = sorted(split_members(named))
    if len(members) < 2 or len(set(members)) < len(members):
        raise UsageError(f"merge {named!r}", "is not of two or more models", f"write a{JOIN}b")
    for member in members:
        if member not in singles:
            raise UsageError.unknown(f"merge {named!r}: model", member, singles)
    return members


def _row(single: _Single, path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of one member in one merge, and why some are missing."""
    merged = HarnessFile.read(path, single.task)
    _refuse_other_settings(single, merged)
    score = merged.score(single.task, single.key)
    n_eval = merged.n_eval(single.task)
    row = {
        "score": score if np.isfinite(score) else np.nan,
        "single_score": single.score,
        "retention": score / single.score if np.isfinite(score) and single.score > 0 else np.nan,
        "n_eval": n_eval,
        "metric": single.key,
        "harness_task": single.task,
        "retention_stderr": np.nan,
    }
    if not np.isfinite(score):
        return row, {"retention": f"{single.key} of {merged.path} is {score}"}
    if single.score <= 0:
        reason = "the single model's score is 0, so there is nothing to retain"
        return row, dict.fromkeys(["retention", "retention_stderr"], reason)
    alone, merged_samples = single.samples, _samples(merged, single.task, single.key, score)
    if isinstance(alone, str) or isinstance(merged_samples, str):
        reason = alone if isinstance(alone, str) else str(merged_samples)
        return row, {"retention_stderr": reason}
    values = _paired(alone, merged_samples, f"task {single.task!r}", single.file.path, merged.path)
    return row | {"n_eval": len(values), "retention_stderr": retention_stderr(*values.T[::-1])}, {}


def _refuse_other_settings(single: _Single, merged: HarnessFile) -> None:
    alone, together = single.file.settings(single.task), merged.settings(single.task)
    for name, value in alone.items():
        other = together.get(name, _UNKNOWN)
        if other is not _UNKNOWN and other != value:
            raise TableError(
                merged.path,
                f"{name} is {_short(other)}, but {_short(value)} in {single.file.path}",
                "evaluate both alike",
            )


def _samples(file: HarnessFile, task: str, key: str, score: float) -> dict[Document, Sample] | str:
    """Samples whose mean is the score, or why there are none."""
    samples = file.samples(task, key)
    if isinstance(samples, str):
        return samples
    mean = float(np.mean([sample.value for sample in samples.values()]))
    if abs(mean - score) <= _SAME_MEAN:
        return samples
    if file.is_mean(task, key):
        raise TableError(
            file.path,
            f"{key} of task {task!r} is {score:g}, but {mean:g} on its {len(samples)} samples",
            "keep results and samples of one run together",
        )
    return f"{key} of {task!r} is not the mean of its samples"


def _paired(
    alone: Mapping[Document, Sample],
    merged: Mapping[Document, Sample],
    about: str,
    alone_path: Path,
    path: Path,
) -> Floats:
    """Values of both models, a row a document; TableError where one answered others."""
    new, absent = len(merged.keys() - alone.keys()), len(alone.keys() - merged.keys())
    if new or absent:
        raise TableError(
            path,
            f"{about}: {new} of its {len(merged)} documents are not in {alone_path}, and {absent} "
            f"of the {len(alone)} there are not here",
            "evaluate both on the same documents",
        )
    pairs = [(alone[document], merged[document]) for document in sorted(merged)]
    other = sum(one.prompt != two.prompt for one, two in pairs)
    if other:
        problem = f"{about}: {other} of {len(pairs)} prompts differ from those of {alone_path}"
        raise TableError(path, problem, "evaluate both alike")
    return np.array([[one.value, two.value] for one, two in pairs], dtype="float64")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:36]}…{text[-1]}"
