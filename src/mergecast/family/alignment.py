"""Aligning a base and its models by parameter name: what is shared, what is private, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mergecast.checkpoints.checkpoint import Checkpoint, TensorInfo
from mergecast.errors import FamilyError
from mergecast.family import ties

#: A parameter under a module of one of these names may differ between models: a task's head.
HEAD_MODULES = frozenset(
    {
        "classification_head",
        "classifier",
        "cls",
        "fc",
        "head",
        "heads",
        "lm_head",
        "qa_outputs",
        "score",
        "seq_relationship",
    }
)
_EMBEDDING_MARKS = ("embed", "wte", "word_embeddings", "shared.weight", "lm_head")


@dataclass(frozen=True)
class Exclusion:
    """A parameter that takes no part in merging and metrics.

    Attributes
    ----------
    name : the parameter.
    kind : ``private`` (a head, or a mismatch that was allowed) or ``buffer`` (integers).
    reason : why, with the shapes or the models concerned.
    """

    name: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Alignment:
    """The parameters of a family.

    Attributes
    ----------
    shared : floating-point parameters of the same shape in base and all models, sorted.
    excluded : everything else, sorted by name, each with its reason.
    aliases : model label to {shared name: the name this model has it under}, for tied tensors.
    """

    shared: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    aliases: Mapping[str, Mapping[str, str]]


def is_head(name: str) -> bool:
    """Whether a parameter's path contains a module that usually is a task's head."""
    return any(part in HEAD_MODULES for part in name.split(".")[:-1])


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
    known = set(base.infos) | set(base.tied)
    extras: dict[str, list[str]] = {}
    for label, model in models.items():
        used = set(aliases[label].values())
        for name in model.names:
            if name not in known and name not in used:
                extras.setdefault(name, []).append(label)
    for name, owners in extras.items():
        whose = "all models" if len(owners) == len(models) else ", ".join(owners)
        excluded.append(Exclusion(name, "private", f"not in the base; in {whose}"))
    for name in sorted({name for found in apart.values() for name in found}):
        owners = [label for label, found in apart.items() if name in found]
        reason = f"tied to {base.tied.get(name, name)} in the base, trained apart in "
        excluded.append(Exclusion(name, "private", reason + ", ".join(owners)))
    if not shared:
        raise FamilyError(
            base.path,
            f"shares no floating-point parameter with {', '.join(models)}",
            "give checkpoints of one architecture",
        )
    return Alignment(tuple(shared), tuple(sorted(excluded, key=lambda e: e.name)), aliases)


def mismatch(
    base: Checkpoint, model: Checkpoint, private: Sequence[str] = ()
) -> FamilyError | None:
    """What keeps a model from being a fine-tune of `base`, or None: the strict rule.

    Missing, extra or differently shaped parameters are accepted only in task heads and under
    `private` patterns.
    """
    for name, kept in ties.trained_apart(base, model).items():
        if not _matches(name, private):
            return FamilyError(
                model.path,
                f"the base ties {kept!r} and {name!r}, this model trained them apart",
                f"leave {name!r} out with --private {name} or --no-strict",
            )
    aliases = ties.aliases(base, model)
    used = set(aliases.values())
    free = [name for name in base.infos if not is_head(name) and not _matches(name, private)]
    missing = [name for name in free if _find(model, aliases, name) is None]
    extra = [
        name
        for name in model.names
        if name not in base.infos
        and name not in base.tied
        and name not in used
        and not is_head(name)
        and not _matches(name, private)
    ]
    shapes = [
        (name, base.infos[name].shape, info.shape)
        for name in free
        if (info := _find(model, aliases, name)) is not None
        and info.shape != base.infos[name].shape
    ]
    if not (missing or extra or shapes):
        return None
    floats = [name for name in free if base.infos[name].is_floating]
    bad = {name for name, *_ in shapes} | set(missing)
    if floats and sum(name in bad for name in floats) > len(floats) / 2:
        return FamilyError(
            model.path,
            f"is of another architecture: it has {len(floats) - sum(n in bad for n in floats)} of "
            f"the base's {len(floats)} parameters",
            "use the base model this checkpoint was fine-tuned from",
        )
    remedy = "name task heads with --private PATTERN, or pass --no-strict to leave them out"
    for name, want, got in shapes:
        if len(want) == 2 and want[1] == got[1] and any(m in name for m in _EMBEDDING_MARKS):
            return FamilyError(
                model.path,
                f"vocabulary of {got[0]} rows in {name!r}, the base has {want[0]}",
                "resize the embeddings to the base's vocabulary, or pass --no-strict",
            )
    if shapes:
        name, want, got = shapes[0]
        problem = f"{len(shapes)} parameter(s) of another shape, first {name!r}: "
        return FamilyError(model.path, f"{problem}{list(got)}, the base has {list(want)}", remedy)
    which, names = ("missing", missing) if missing else ("extra", extra)
    return FamilyError(model.path, f"{len(names)} {which} parameter(s), first {names[0]!r}", remedy)


def _exclusion(
    info: TensorInfo,
    models: Mapping[str, Checkpoint],
    aliases: Mapping[str, Mapping[str, str]],
    private: Sequence[str],
) -> Exclusion | None:
    name = info.name
    if not info.is_floating:
        return Exclusion(name, "buffer", f"{info.dtype.name} values, kept from the base")
    if info.size == 0:
        return Exclusion(name, "buffer", "no elements, kept from the base")
    if _matches(name, private):
        return Exclusion(name, "private", "named private")
    found = {label: _find(model, aliases[label], name) for label, model in models.items()}
    absent = [label for label, other in found.items() if other is None]
    if absent:
        return Exclusion(name, "private", f"missing in {', '.join(absent)}")
    other_shape = [
        f"{label} {list(other.shape)}"
        for label, other in found.items()
        if other is not None and other.shape != info.shape
    ]
    if other_shape:
        return Exclusion(
            name, "private", f"shape {list(info.shape)} in the base, {', '.join(other_shape)}"
        )
    integers = [
        label for label, other in found.items() if other is not None and not other.is_floating
    ]
    if integers:
        return Exclusion(name, "private", f"integer values in {', '.join(integers)}")
    return None


def _find(model: Checkpoint, aliases: Mapping[str, str], name: str) -> TensorInfo | None:
    return model.infos.get(aliases.get(name, name))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
