"""The light preflight of a merge: headers, and a part of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import sqrt

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.errors import FamilyError
from mergecast.family.family import Family
from mergecast.family.findings import Finding, delta_findings
from mergecast.family.headers import header_findings
from mergecast.family.heads import is_statistic
from mergecast.typing import Array

#: Elements up to which a family is read whole.
_SMALL = 1 << 22
#: Of larger ones, matrices that are looked at, spread over the network, and elements read of each.
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
        `check` would refuse the base, the family or one of the models; a model that equals its
        base is only warned of, since a merge with it is well defined.
    """
    findings = [one for one in header_findings(family) if one.severity != "note"]
    judged = _judged(family, *_sampled(family))
    if any(one.severity == "error" for one in judged):
        # A part has raised a suspicion: whether it holds is decided as `check` decides it.
        judged = _judged(family, *_whole(family))
        overflow = _overflow(family)
        judged = [replace(one, message=f"{one.message}{overflow}") for one in judged]
    findings += judged
    for one in findings:
        if one.severity == "error":
            about = f"model {one.about!r}" if one.subject == "model" else one.about
            raise FamilyError(about, one.message, one.remedy)
    return findings


def _judged(family: Family, gram: Array, square: float) -> list[Finding]:
    """Findings on the task vectors; none where a value is not finite: the merge names its place."""
    if not (np.isfinite(gram).all() and np.isfinite(square)):
        return []
    trained = None if any(map(is_statistic, family.shared)) else gram
    findings = delta_findings(list(family.names), gram, sqrt(square), trained)
    return [
        replace(one, severity="warning") if one.rule == "zero task vector" else one
        for one in findings
    ]


def _sampled(family: Family) -> tuple[Array, float]:
    """Gram matrix (N, N) of the task vectors and the base's squared norm, from a part of them.

    Vectors are read whole and matrices in part, which stand for all of them: norms are near 1 in
    every model, so that they alone would hide a wrong base, and without them it would seem worse.
    """
    infos = family.base.infos
    sizes = {name: infos[name].size for name in family.shared}
    if sum(sizes.values()) <= _SMALL:
        return _sums(family, sizes)
    matrices = [name for name in family.shared if len(infos[name].shape) > 1]
    gram, square = _sums(family, {n: sizes[n] for n in family.shared if n not in set(matrices)})
    looked_at = matrices[:: -(-len(matrices) // _MATRICES)] if matrices else []
    read = {name: min(sizes[name], _ELEMENTS) for name in looked_at}
    part, part_square = _sums(family, read)
    stand_for = sum(sizes[name] for name in matrices) / max(1, sum(read.values()))
    return gram + stand_for * part, square + stand_for * part_square


def _sums(family: Family, read: Mapping[str, int]) -> tuple[Array, float]:
    """The same of the first elements of some parameters, so many of each."""
    gram, square = np.zeros((family.size, family.size)), 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for name, count in read.items():
            base, deltas = family.block(name).part(0, count)
            doubles = deltas.astype(np.float64)
            gram += doubles @ doubles.T
            square += float(np.square(base, dtype=np.float64).sum())
    return gram, square


def _overflow(family: Family) -> str:
    """Words for a parameter whose summed models leave the base's stored dtype; "" without one."""
    for block in family.blocks():
        if dtypes.is_low_precision(block.dtype):
            with np.errstate(over="ignore", invalid="ignore"):
                for base, deltas in block.chunks():
                    summed = (base + deltas.sum(axis=0)).astype(block.dtype)
                    if not np.isfinite(summed.astype(np.float32)).all():
                        return f", and their sum overflows {block.dtype.name} in {block.name!r}"
    return ""


def _whole(family: Family) -> tuple[Array, float]:
    """The same of all parameters, one at a time."""
    gram, square = np.zeros((family.size, family.size)), 0.0
    for block in family.blocks():
        gram += block.gram()
        square += block.base_norm() ** 2
    return gram, square
