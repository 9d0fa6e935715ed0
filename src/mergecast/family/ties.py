"""Tied tensors across a family: which names are one tensor, and which a model trained apart."""

from __future__ import annotations

import numpy as np

from mergecast.checkpoints.checkpoint import Checkpoint


def aliases(base: Checkpoint, model: Checkpoint) -> dict[str, str]:
    """Base names that a model has under another name of the same tied tensor.

    A tensor that the model ties serves every base name it is tied to.
    """
    found: dict[str, str] = {}
    for name in base.infos:
        if name in model.infos:
            continue
        for other in (name, *_aliases_of(base, name)):
            kept = model.tied.get(other, other)
            if kept in model.infos:
                found[name] = kept
                break
    return found


def trained_apart(base: Checkpoint, model: Checkpoint) -> dict[str, str]:
    """Names of the model that the base ties to another and that differ from it there.

    Names whose values are equal are noted as tied in `model`, and so are compared once only.

    Returns
    -------
    The name that would be lost, to the name in `model` that stands for the base's tensor.
    """
    apart: dict[str, str] = {}
    for name in sorted(set(base.tied.values())):
        kept, *others = [n for n in (name, *_aliases_of(base, name)) if n in model.infos] or [name]
        for other in others:
            if _equal(model, kept, other):
                del model.infos[other]
                model.tied[other] = kept
            else:
                apart[other] = kept
    return apart


def _aliases_of(base: Checkpoint, kept: str) -> list[str]:
    return [alias for alias, name in base.tied.items() if name == kept]


def _equal(model: Checkpoint, one: str, other: str) -> bool:
    first, second = model.infos[one], model.infos[other]
    if (first.shape, first.dtype) != (second.shape, second.dtype):
        return False
    one_raw = model.array(one).reshape(-1).view(np.uint8)
    return np.array_equal(one_raw, model.array(other).reshape(-1).view(np.uint8))
