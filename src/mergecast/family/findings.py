"""What preflight can find in task vectors, and the thresholds of its rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mergecast.typing import Array

Severity = Literal["error", "warning", "note"]
Subject = Literal["model", "base", "family"]

#: ‖τ‖/‖θ₀‖ of fine-tuned models is 0.001–0.2; two unrelated models of equal norm give 1.4.
NORM_WARNING, NORM_ERROR = 0.5, 1.0
#: Fine-tunes for different tasks have cosines near 0; a wrong base adds one vector to all.
COMMON_WARNING, COMMON_ERROR = 0.7, 0.95
#: With one of several fine-tuned models in the base's place all others' cosines are near 1/2: 0.32
#: to 0.73 with each of 79 models of six suites there, their means at least 0.39; with the true base
#: no two models have more than 0.25 (`benchmarks/forgotten_base.py`). Published families tuned
#: alike by LoRA come to 0.51.
ONE_OF_THEM_LEAST, ONE_OF_THEM_MEAN = 0.3, 0.38
#: The rule that a model hardly answers its own task, which takes running it.
NO_MODEL = "no model of its task"
#: Share of elements of a 16-bit model that equal the base's exactly, in parameters it changed.
VANISHED_SHARE = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing found.

    Attributes
    ----------
    severity : Severity
        ``error`` (this model should not be used), ``warning`` or ``note``.
    rule : str
        A short name of the rule.
    about : str
        The model's label; ``base`` or ``family`` where `subject` is.
    message : str
        What was found, with the value.
    remedy : str
        What to do.
    subject : Subject
        Whether it is about one model, the base, or the family; a label may be any word.
    """

    severity: Severity
    rule: str
    about: str
    message: str
    remedy: str = ""
    subject: Subject = "model"


def delta_findings(
    names: Sequence[str], gram: Array, base_norm: float, trained: Array | None = None
) -> list[Finding]:
    """Findings on the task vectors of models.

    Parameters
    ----------
    names : sequence of str
        Labels.
    gram : (N, N) array
        Their inner products.
    base_norm : float
        ‖θ₀‖.
    trained : (N, N) array, optional
        The inner products of what was trained alone: running statistics of BatchNorm move alike in
        all models. Without them it is not asked whether the base is one of the models.
    """
    norms = np.sqrt(np.diagonal(gram))
    findings: list[Finding] = []
    for name, norm in zip(names, norms, strict=True):
        ratio = norm / base_norm if base_norm else np.inf
        if norm == 0:
            findings.append(
                Finding(
                    "error",
                    "zero task vector",
                    name,
                    "equals the base in every shared parameter",
                    "leave it out: there is nothing to merge",
                )
            )
        elif ratio > NORM_WARNING:
            findings.append(
                Finding(
                    "error" if ratio > NORM_ERROR else "warning",
                    "wrong base",
                    name,
                    f"its distance from the base is {_times(ratio)} of the base's norm, "
                    "fine-tuning usually stays under 0.2",
                    "give the base model it was fine-tuned from",
                )
            )
    changed = [i for i, norm in enumerate(norms) if norm > 0]
    findings += _similarity_findings(
        [names[i] for i in changed],
        _cosines(gram[np.ix_(changed, changed)]),
        None if trained is None else _cosines(trained[np.ix_(changed, changed)]),
    )
    return findings


def _cosines(gram: Array) -> Array:
    """NaN where a vector is zero."""
    norms = np.sqrt(np.diagonal(gram))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(gram / np.outer(norms, norms))


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1000 else f"{ratio:.1e}"


def _similarity_findings(
    names: Sequence[str], cosines: Array, trained: Array | None
) -> list[Finding]:
    findings = []
    distinct: list[int] = []
    for j, name in enumerate(names):
        twin = next((i for i in distinct if cosines[i, j] > 1 - 1e-9), None)
        if twin is None:
            distinct.append(j)
            continue
        findings.append(
            Finding(
                "warning",
                "identical task vectors",
                name,
                f"has the same task vector as {names[twin]!r}",
                "give each model once",
            )
        )
    # Copies of one model say nothing of its base, so each task vector counts once.
    cosines = cosines[np.ix_(distinct, distinct)]
    above = np.triu_indices(len(distinct), k=1)
    if len(distinct) >= 3 and cosines[above].min() > COMMON_WARNING:
        findings.append(
            Finding(
                "error" if cosines[above].min() > COMMON_ERROR else "warning",
                "common component",
                "family",
                f"all task vectors share one direction (smallest cosine "
                f"{cosines[above].min():.2f}), as they do when the base is not theirs",
                "give the base model they were fine-tuned from",
                "family",
            )
        )
    elif len(distinct) >= 2 and trained is not None:
        between = trained[np.ix_(distinct, distinct)][above]
        if between.min() > ONE_OF_THEM_LEAST and between.mean() > ONE_OF_THEM_MEAN:
            findings.append(
                Finding(
                    "warning",
                    "common component",
                    "family",
                    f"task vectors share much (cosines {between.min():.2f} to "
                    f"{between.max():.2f}), as they do where the base is itself a model that was "
                    "fine-tuned, like them",
                    "give first the base that all were fine-tuned from, unless this is it",
                    "family",
                )
            )
    return findings
