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


def delta_findings(names: Sequence[str], gram: Array, base_norm: float) -> list[Finding]:
    """Findings on the task vectors of models, from their Gram matrix (N, N)."""
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
    cosines = gram[np.ix_(changed, changed)] / np.outer(norms[changed], norms[changed])
    findings += _similarity_findings([names[i] for i in changed], cosines)
    return findings


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1000 else f"{ratio:.1e}"


def _similarity_findings(names: Sequence[str], cosines: Array) -> list[Finding]:
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
    return findings
