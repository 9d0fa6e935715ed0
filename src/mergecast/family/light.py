"""The light preflight of a merge: headers, and a part of the weights."""

from __future__ import annotations

from math import sqrt

import numpy as np

from mergecast.errors import FamilyError
from mergecast.family.family import Family
from mergecast.family.findings import Finding, delta_findings
from mergecast.family.headers import header_findings

#: Matrices that are looked at, spread over the network, and elements read of each: a wrong base
#: shows in any of them, while vectors (norms, biases) of unrelated models may be alike.
_MATRICES = 16
_ELEMENTS = 1 << 18


def refuse_unusable(family: Family) -> list[Finding]:
    """Findings that speak against merging a family, short of reading all of its weights.

    Returns
    -------
    list of Finding
        Warnings; what `check` only notes is left out.

    Raises
    ------
    FamilyError
        `check` would refuse the base, the family or one of the models.
    """
    findings = [one for one in header_findings(family) if one.severity != "note"]
    findings += _sampled(family)
    for one in findings:
        if one.severity == "error":
            about = f"model {one.about!r}" if one.subject == "model" else one.about
            raise FamilyError(about, one.message, one.remedy)
    return findings


def _sampled(family: Family) -> list[Finding]:
    """What the task vectors look like on parts of some parameters."""
    gram = np.zeros((family.size, family.size))
    square = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for name in _spread(family):
            block = family.block(name)
            base, deltas = block.part(0, min(block.size, _ELEMENTS))
            doubles = deltas.astype(np.float64)
            gram += doubles @ doubles.T
            square += float(np.square(base, dtype=np.float64).sum())
    if not (np.isfinite(gram).all() and np.isfinite(square)):
        return []  # the merge itself names the parameter
    findings = delta_findings(list(family.names), gram, sqrt(square))
    # A model may equal its base in the part that was read, and its twin too.
    return [one for one in findings if one.rule in ("wrong base", "common component")]


def _spread(family: Family) -> list[str]:
    """Names of at most `_MATRICES` shared matrices, evenly spread; of any parameters without."""
    infos = family.base.infos
    names = [name for name in family.shared if len(infos[name].shape) > 1] or [*family.shared]
    return names[:: -(-len(names) // _MATRICES)]
