"""Tied tensors across a family: which names are one tensor, and which a model trained apart."""

from __future__ import annotations

from mergecast.checkpoints.checkpoint import Checkpoint


def tied_as(base: Checkpoint, model: Checkpoint) -> Checkpoint:
    """The model with names of equal values tied where the base ties them, so that they are one."""
    ties = {
        other: kept
        for other, kept in trained_apart(base, model).items()
        if model.equal(kept, other)
    }
    return model.with_ties(ties) if ties else model


def aliases(base: Checkpoint, model: Checkpoint) -> dict[str, str]:
    """Base names that a model has under another name of the same tied tensor.

    A tensor that the model ties serves every base name it is tied to.
    """
    names: dict[str, str] = {}
    for name in base.infos:
        if name in model.infos:
            continue
        for other in (name, *_aliases_of(base, name)):
            kept = model.tied.get(other, other)
            if kept in model.infos:
                names[name] = kept
                break
    return names


def trained_apart(base: Checkpoint, model: Checkpoint) -> dict[str, str]:
    """Names that the base ties to another and that the model holds by themselves.

    Once equal ones are tied (`tied_as`) their values differ.

    Returns
    -------
    dict
        The name that would be lost, to the name in `model` that stands for the base's tensor.
    """
    apart: dict[str, str] = {}
    for name in sorted(set(base.tied.values())):
        kept, *others = [n for n in (name, *_aliases_of(base, name)) if n in model.infos] or [name]
        apart |= dict.fromkeys(others, kept)
    return apart


def _aliases_of(base: Checkpoint, kept: str) -> list[str]:
    return [alias for alias, name in base.tied.items() if name == kept]
