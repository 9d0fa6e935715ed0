"""What a model that is tried scores on its samples, beside its base and the commonest class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from mergecast.tasks.measure import TaskScore, measure
from mergecast.tasks.probe import Probe
from mergecast.tasks.standing import Standing
from mergecast.tasks.task import Samples, Split

#: Scores of two splits that lie further apart than so many standard errors are not of like samples.
_APART = 4.0


@dataclass
class TriedScores:
    """Mean scores on the samples tried; None without labels.

    Attributes
    ----------
    score, base, commonest : float or None
        Of the model, of its base with the model's head, and of the commonest class for all.
    test : float or None
        Of the model on its test samples.
    warnings : list of str
        Why this is hardly a model of its task, or its splits hardly of one task.
    """

    score: float | None = None
    base: float | None = None
    commonest: float | None = None
    test: float | None = None
    warnings: list[str] = field(default_factory=list)


def tried_scores(
    probe: Probe,
    base: Mapping[str, Tensor] | None,
    read: Mapping[Split, Samples],
    batch_size: int,
) -> TriedScores:
    """The scores of a model that is loaded, and what is doubtful about them.

    Parameters
    ----------
    probe : Probe
        With the model's weights; the base's are in it afterwards, where they are given.
    base : mapping of str to Tensor, optional
        The base's tensors, with the model's head.
    read : mapping of str to Samples
        Samples by split.
    batch_size : int
        Samples run at once.
    """
    found, samples = TriedScores(), read["calibration"]
    if samples.labels is None:
        if probe.task.outputs == "classes":
            with torch.no_grad():
                logits = [probe.forward(batch).cpu() for batch in samples.batches(batch_size)]
            found.warnings += _doubts(Standing.unlabelled(torch.cat(logits)))
        return found
    labelled = {split: some for split, some in read.items() if some.labels is not None}
    mine = {split: measure(probe, some, batch_size) for split, some in labelled.items()}
    single, test = mine["calibration"], mine.get("test")
    found.score = single.values.get("score")
    found.test = None if test is None else test.values.get("score")
    if "score" in single.missing and "loss" in single.missing:
        found.warnings.append(single.missing["score"])
    if base is None or found.score is None:
        return found
    probe.load(base)
    standings = {}
    for split, some in labelled.items():
        if some.labels is not None and "score" in mine[split].values:
            of_base = measure(probe, some, batch_size)
            standings[split] = Standing.labelled(mine[split], some.labels, of_base)
    standing = standings["calibration"]
    found.base = None if standing.base is None else standing.base.score
    found.commonest = None if standing.majority is None else standing.majority.score
    found.warnings += _doubts(standing)
    if "test" in standings and not found.warnings:
        found.warnings += _doubts(standings["test"], "on its test samples ")
    if test is not None and not found.warnings:
        found.warnings += _apart(single, test)
    return found


def _doubts(standing: Standing, where: str = "") -> list[str]:
    return [f"{where}the model {standing.doubt}; {standing.remedy}"] if standing.doubt else []


def _apart(single: TaskScore, test: TaskScore) -> list[str]:
    """That a model scores much less on its test samples than on the others."""
    if not (single.samples and test.samples):
        return []
    ours, theirs = np.array(single.samples), np.array(test.samples)
    both = np.concatenate([ours, theirs])
    error = both.std() * np.sqrt(1 / len(ours) + 1 / len(theirs))
    if not ours.mean() - theirs.mean() > _APART * error:
        return []
    return [
        f"the model scores {ours.mean():.3f} on {len(ours)} samples of `data:` and "
        f"{theirs.mean():.3f} on {len(theirs)} test samples: the two are not labelled alike or not "
        "of one kind, or the model was trained on those of `data:`; what is forecast from these "
        "will not hold on those"
    ]
