"""Aligning a base and its models by parameter name: what is shared, what is private, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.checkpoints.patterns import matches
from mergecast.errors import FamilyError
from mergecast.family import ties
from mergecast.family.heads import is_buffer


@dataclass(frozen=True)
class Exclusion:
    """A parameter that takes no part in merging and metrics.

    Attributes
    ----------
    name : str
        The parameter.
    kind : str
        ``private`` (a head, or a mismatch that was allowed) or ``buffer`` (integers).
    reason : str
        Why, with the shapes or the models concerned.
    """

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Alignment:
    """The parameters of a family.

    Attributes
    ----------
    shared : tuple of str
        Floating-point parameters of the same shape in base and all models, sorted.
    excluded : tuple of Exclusion
        Everything else, sorted by name, each with its reason.
    aliases : mapping of str to mapping of str to str
        Model label to {shared name: the name this model has it under}, for tied tensors.
    """

    shared: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    aliases: Mapping[str, Mapping[str, str]]


def align(
    base: Checkpoint,
    models: Mapping[str, Checkpoint],
    private: Sequence[str] = (),
) -> Alignment:
    """Sort every parameter of a family into shared and excluded, each with the reason.

    Parameters
    ----------
    base : Checkpoint
        The base model.
    models : mapping of str to Checkpoint
        Label to model, equal tensors tied as the base ties them (`ties.tied_as`).
    private : sequence of str
        Glob patterns of parameters to treat as private even though all models share them.

    Raises
    ------
    FamilyError
        No parameter is shared.
    """
    apart = {label: ties.trained_apart(base, model) for label, model in models.items()}
    aliases = {label: ties.aliases(base, model) for label, model in models.items()}
    shared: list[str] = []
    excluded: list[Exclusion] = []
    for name, info in base.infos.items():
        exclusion = _exclusion(info, models, aliases, private)
        if exclusion:
            excluded.append(exclusion)
        else:
            shared.append(name)
    in_base = set(base.infos) | set(base.tied)
    extras: dict[str, list[str]] = {}
    for label, model in models.items():
        used = set(aliases[label].values())
        for name in model.names:
            if name not in in_base and name not in used:
                extras.setdefault(name, []).append(label)
    for name, owners in extras.items():
        whose = "all models" if len(owners) == len(models) else ", ".join(owners)
        kind = "buffer" if is_buffer(name, models[owners[0]].infos[name]) else "private"
        excluded.append(Exclusion(name, kind, f"not in the base; in {whose}"))
    for name in sorted({name for names in apart.values() for name in names}):
        owners = [label for label, names in apart.items() if name in names]
        reason = f"tied to {base.tied.get(name, name)} in the base, trained apart in "
        excluded.append(Exclusion(name, "private", reason + ", ".join(owners)))
    if not shared:
        raise FamilyError(
            base.path,
            f"shares no floating-point parameter with {', '.join(models)}",
            "give checkpoints of one architecture",
        )
    return Alignment(tuple(shared), tuple(sorted(excluded, key=lambda e: e.name)), aliases)


def set_aside(alignment: Alignment, private: Sequence[str]) -> Alignment:
    """The alignment with the shared parameters of these glob patterns private too.

    Raises
    ------
    FamilyError
        No shared parameter is left.
    """
    named = [name for name in alignment.shared if matches(name, private)]
    shared = tuple(name for name in alignment.shared if name not in named)
    if not shared:
        raise FamilyError(
            "family",
            f"has no shared parameter outside {', '.join(private)}",
            "name task heads alone as private",
        )
    excluded = [*alignment.excluded, *(_named_private(name) for name in named)]
    return Alignment(shared, tuple(sorted(excluded, key=lambda e: e.name)), alignment.aliases)


def _exclusion(
    info: TensorInfo,
    models: Mapping[str, Checkpoint],
    aliases: Mapping[str, Mapping[str, str]],
    private: Sequence[str],
) -> Exclusion | None:
    name = info.name
    infos = {label: find(model, aliases[label], name) for label, model in models.items()}
    absent = [label for label, other in infos.items() if other is None]
    if not info.is_floating:
        return Exclusion(name, "buffer", f"{info.dtype.name} values, kept from the base")
    if info.size == 0:
        return Exclusion(name, "buffer", "no elements, kept from the base")
    if matches(name, private):
        return _named_private(name)
    if absent and is_buffer(name, info):
        return Exclusion(name, "buffer", f"not saved in {', '.join(absent)}, kept from the base")
    if absent:
        return Exclusion(name, "private", f"missing in {', '.join(absent)}")
    other_shape = [
        f"{label} {list(other.shape)}"
        for label, other in infos.items()
        if other is not None and other.shape != info.shape
    ]
    if other_shape:
        return Exclusion(
            name, "private", f"shape {list(info.shape)} in the base, {', '.join(other_shape)}"
        )
    integers = [
        label for label, other in infos.items() if other is not None and not other.is_floating
    ]
    if integers:
        return Exclusion(name, "private", f"integer values in {', '.join(integers)}")
    return None


def _named_private(name: str) -> Exclusion:
    return Exclusion(name, "private", "named private")


def find(model: Checkpoint, aliases: Mapping[str, str], name: str) -> TensorInfo | None:
    """A base's parameter in a model, under its own name or that of the tensor it is tied to."""
    return model.infos.get(aliases.get(name, name))
