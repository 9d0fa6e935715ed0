"""The light preflight of a merge: headers, and a part of the weights."""

from __future__ import annotations

from math import sqrt

import numpy as np

from mergecast.errors import FamilyError
from mergecast.family.family import Family
from mergecast.family.findings import Finding, delta_findings
from mergecast.family.headers import header_findings

#: Elements of the base that are read to tell a wrong one: a wrong base shows in any of them.
_ELEMENTS = 1 << 22


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
    """What the task vectors look like on some parameters, spread over the network."""
    gram = np.zeros((family.size, family.size))
    square = 0.0
    for block in family.blocks(_spread(family)):
        gram += block.gram()
        square += block.base_norm() ** 2
    if not (np.isfinite(gram).all() and np.isfinite(square)):
        return []  # the merge itself names the parameter
    findings = delta_findings(list(family.names), gram, sqrt(square))
    # A model may equal its base in the part that was read, and its twin too.
    return [one for one in findings if one.rule in ("wrong base", "common component")]


def _spread(family: Family) -> list[str]:
    """Names of parameters, evenly spread, of `_ELEMENTS` elements together or one more."""
    infos = family.base.infos
    names = [name for name in family.shared if infos[name].size <= _ELEMENTS] or [
        min(family.shared, key=lambda name: infos[name].size)
    ]
    total = sum(infos[name].size for name in names)
    step = max(1, total // _ELEMENTS)
    return names[::step]
