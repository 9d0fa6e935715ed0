"""Preflight: what is wrong with a family before anything is merged or measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.hub_headers import is_unfetched, unfetched_bytes
from mergecast.errors import CheckpointError
from mergecast.family.blocks import ParamBlock
from mergecast.family.family import Family
from mergecast.family.findings import VANISHED_SHARE, Finding, delta_findings
from mergecast.family.headers import dtype_names, header_findings
from mergecast.family.heads import is_statistic
from mergecast.family.models import Models, paths_of
from mergecast.family.reading import Reading, readings
from mergecast.runtime.progress import Progress, Silent
from mergecast.typing import Array, Names


@dataclass(frozen=True)
class Preflight:
    """The verdict on a family.

    Attributes
    ----------
    family : Family
        The aligned models that could be opened.
    relative_norms : dict of str to float
        Label to ‖τ‖/‖θ₀‖ over the shared parameters.
    findings : tuple of Finding
        Errors first, then warnings and notes.
    headers : bool
        Whether headers, configs and tokenizers were compared, and no weight.
    """

    family: Family
    relative_norms: dict[str, float]
    findings: tuple[Finding, ...] = field(default=())
    headers: bool = False

    @property
    def refused(self) -> list[str]:
        """Labels of models with an error, sorted."""
        errors = (f for f in self.findings if f.severity == "error")
        return sorted({f.about for f in errors if f.subject == "model"})

    @property
    def usable(self) -> list[str]:
        """Labels of models without an error; none if the base or the family has one."""
        if any(f.severity == "error" and f.subject != "model" for f in self.findings):
            return []
        return [name for name in self.family.names if name not in self.refused]

    @property
    def readings(self) -> list[Reading]:
        """Which files were read by which rule, what was left out, which names were aligned."""
        return readings(self.family)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        infos = self.family.base.infos
        return {
            "base": str(self.family.base.path),
            "models": {name: str(c.path) for name, c in self.family.models.items()},
            "usable": self.usable,
            "refused": self.refused,
            "shared_parameters": len(self.family.shared),
            "shared_elements": sum(infos[name].size for name in self.family.shared),
            "headers": self.headers,
            "relative_norms": self.relative_norms,
            "excluded": [vars(e) for e in self.family.alignment.excluded],
            "readings": [vars(one) for one in self.readings],
            "findings": [vars(f) for f in self.findings],
        }


def check(
    base: str | Path,
    models: Models,
    *,
    private: Names = (),
    strict: bool = True,
    vocabulary: str | None = None,
    headers: bool | None = None,
    progress: Progress | None = None,
) -> Preflight:
    """Open, align and read a family once, and report what would spoil a merge; nothing is merged.

    Of models of the hub that are not here, headers, configs and tokenizers alone are fetched, and
    a warning says that no weight was compared.

    Parameters
    ----------
    base : str or Path
        The base model.
    models : str, Path, sequence of them or mapping
        Fine-tuned models, or label to path.
    private : str or sequence of str
        Glob patterns of parameters that belong to tasks.
    strict : bool
        Refuse models that differ from the base outside task heads.
    vocabulary : {"base", "union"}, optional
        Match rows of embeddings by token; see `Family.open`.
    headers : bool, optional
        Compare headers alone, and no weight, or fetch what is not here and compare all; by default
        headers alone where a model of the hub is not here.
    progress : Progress, optional
        Told of every parameter read.

    Returns
    -------
    Preflight
        What is usable, what is refused, and why.

    Raises
    ------
    CheckpointError, FamilyError
        The base cannot be opened, or no model can be used at all.
    """
    if headers is None:
        headers = _any_unfetched(base, models)
    family = Family.open(
        base,
        models,
        private=private,
        strict=strict,
        vocabulary=vocabulary,
        headers=headers,
        on_error="refuse",
    )
    findings = [
        Finding(
            "error",
            "unreadable" if isinstance(error, CheckpointError) else "mismatch",
            label,
            f"{error.thing}: {error.problem}",
            error.remedy,
        )
        for label, error in family.refused.items()
    ]
    findings += header_findings(family)
    norms: dict[str, float] = {}
    if headers:
        findings.append(_not_compared(base, models))
    else:
        found, norms = _weights(family, progress or Silent())
        findings += found
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda f: (order[f.severity], f.about, f.rule))
    return Preflight(family, norms, tuple(findings), headers)


def _any_unfetched(base: str | Path, models: Models) -> bool:
    """Whether a model of the hub is not here; a name that the hub does not know is no such."""
    for path in _places(base, models):
        with suppress(CheckpointError):
            if is_unfetched(path):
                return True
    return False


def _places(base: str | Path, models: Models) -> list[str | Path]:
    """Where base and models are, those left out that are open already."""
    given = (base, *paths_of(models).values())
    return [path for path in given if not isinstance(path, Checkpoint)]


def _not_compared(base: str | Path, models: Models) -> Finding:
    """What says that headers alone were read, and what the rest would take."""
    waiting = 0
    for path in _places(base, models):
        with suppress(CheckpointError):  # which a finding of its own says
            waiting += unfetched_bytes(path)
    more = f"; {waiting / 1e9:,.3g} GB of them are on the hub and not here" if waiting else ""
    return Finding(
        "warning",
        "headers",
        "family",
        f"headers, configs and tokenizers were compared, and no weights{more}",
        "to compare them as well say --no-headers",
        "family",
    )


def _weights(family: Family, progress: Progress) -> tuple[list[Finding], dict[str, float]]:
    """What the weights say, all of them, and label to ‖τ‖/‖θ₀‖."""
    gram, statistics = np.zeros((2, family.size, family.size))
    base_square = 0.0
    vanished = np.zeros((family.size, 2))
    non_finite: dict[str, list[str]] = {}
    base_non_finite: list[str] = []
    advance = progress.stage("reading", len(family.shared))
    for block in family.blocks():
        part = block.gram()
        square = block.base_norm() ** 2
        if not np.isfinite(square):
            base_non_finite.append(block.name)
        for label in block.non_finite(part):
            non_finite.setdefault(label, []).append(block.name)
        gram += part
        if is_statistic(block.name):
            statistics += part
        base_square += square
        vanished += _vanished(family, block, part)
        advance(1)
    findings = [
        *_non_finite_findings(non_finite, base_non_finite),
        *_vanished_findings(family, vanished),
    ]
    finite = [i for i, name in enumerate(family.names) if name not in non_finite]
    if not base_non_finite:
        names = [family.names[i] for i in finite]
        both = [one[np.ix_(finite, finite)] for one in (gram, gram - statistics)]
        findings += delta_findings(names, both[0], sqrt(base_square), both[1])
    norms = {
        family.names[i]: float(sqrt(gram[i, i] / base_square)) if base_square else float("inf")
        for i in finite
        if not base_non_finite
    }
    return findings, norms


def _vanished(family: Family, block: ParamBlock, gram: Array) -> Array:
    """Per model (elements equal to the base's, elements) where a 16-bit model changed a block."""
    counts = np.zeros((family.size, 2))
    for i, model in enumerate(family.models.values()):
        info = model.infos.get(block.name)
        if info is None or not dtypes.is_low_precision(info.dtype) or not gram[i, i] > 0:
            continue
        zeros = sum(int((deltas[i] == 0).sum()) for _, deltas in block.chunks())
        counts[i] = zeros, block.size
    return counts


def _vanished_findings(family: Family, counts: Array) -> list[Finding]:
    findings = []
    for name, (zeros, total) in zip(family.names, counts, strict=True):
        if total and zeros / total > VANISHED_SHARE:
            stored = ", ".join(dtype_names(family.models[name], family.shared))
            findings.append(
                Finding(
                    "warning",
                    "vanished deltas",
                    name,
                    f"{zeros / total:.0%} of its changed parameters' elements equal the base's: "
                    f"storage as {stored} rounded the rest of the fine-tuning away",
                    "use the float32 checkpoint if there is one",
                )
            )
    return findings


def _non_finite_findings(
    models: Mapping[str, Sequence[str]], base: Sequence[str]
) -> Iterator[Finding]:
    """NaN and infinities; a base that holds some makes every difference so: it is said once."""
    places: Mapping[str, Sequence[str]] = {"base": base} if base else models
    for label, names in places.items():
        yield Finding(
            "error",
            "non-finite",
            label,
            f"NaN or infinity in {len(names)} parameter(s), first {names[0]!r}",
            "fetch it again or leave it out",
            "base" if base else "model",
        )
