"""The strict rule: what keeps a model from being a fine-tune of its base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.patterns import matches
from mergecast.errors import FamilyError
from mergecast.family import ties
from mergecast.family.alignment import find
from mergecast.family.heads import is_buffer, is_head, is_pooler, outside_backbone

_EMBEDDING_MARKS = ("embed", "wte", "word_embeddings", "shared.weight", "lm_head")
_REMEDY = "name task heads with --private PATTERN, or pass --no-strict to leave them out"
Shape = tuple[int, ...]


def mismatch(
    base: Checkpoint, model: Checkpoint, private: Sequence[str] = ()
) -> FamilyError | None:
    """What keeps a model from being a fine-tune of `base`, or None: the strict rule.

    Missing, extra or differently shaped parameters are accepted in task heads, outside the
    backbone that both have whole, under `private` patterns, and where they are buffers that some
    versions save and others do not.

    Parameters
    ----------
    base, model : Checkpoint
        The model under the base's names, equal tensors tied as the base ties them.
    private : sequence of str
        Glob patterns of parameters that belong to tasks.
    """
    for name, kept in ties.trained_apart(base, model).items():
        if not matches(name, private):
            return FamilyError(
                model.path,
                f"the base ties {kept!r} and {name!r}, this model trained them apart",
                f"leave {name!r} out with --private {name} or --no-strict",
            )
    found = _differences(base, model, private)
    if not (found.missing or found.extra or found.shapes):
        return None
    return _other_architecture(base, model, found) or _error(model, found)


@dataclass(frozen=True)
class _Differences:
    """Names of the base that the model lacks, names that it has beside, and other shapes."""

    compared: list[str]
    missing: list[str]
    extra: list[str]
    shapes: list[tuple[str, Shape, Shape]]


def _differences(base: Checkpoint, model: Checkpoint, private: Sequence[str]) -> _Differences:
    aliases = ties.aliases(base, model)
    used = set(aliases.values())
    base_heads, model_heads = outside_backbone(base.infos, model.infos)
    compared = [name for name in base.infos if not is_head(name) and not matches(name, private)]
    missing = [
        name
        for name in compared
        if find(model, aliases, name) is None
        and not (name in base_heads or is_pooler(name) or is_buffer(name, base.infos[name]))
    ]
    extra = [
        name
        for name in model.names
        if name not in base.infos
        and name not in base.tied
        and name not in used
        and not (is_head(name) or name in model_heads or is_pooler(name))
        and not is_buffer(name, model.infos[name])
        and not matches(name, private)
    ]
    shapes = [
        (name, base.infos[name].shape, info.shape)
        for name in compared
        if (info := find(model, aliases, name)) is not None
        and info.shape != base.infos[name].shape
        and not is_buffer(name, base.infos[name])
    ]
    return _Differences(compared, missing, extra, shapes)


def _other_architecture(
    base: Checkpoint, model: Checkpoint, found: _Differences
) -> FamilyError | None:
    floats = [name for name in found.compared if base.infos[name].is_floating]
    bad = {name for name, *_ in found.shapes} | set(found.missing)
    if not floats or sum(name in bad for name in floats) <= len(floats) / 2:
        return None
    shared = len(floats) - sum(name in bad for name in floats)
    return FamilyError(
        model.path,
        f"is of another architecture: it has {shared} of the base's {len(floats)} parameters"
        f"{_nearest(found)}",
        "use the base model this checkpoint was fine-tuned from",
    )


def _error(model: Checkpoint, found: _Differences) -> FamilyError:
    for name, want, got in found.shapes:
        if len(want) == 2 and want[1] == got[1] and any(m in name for m in _EMBEDDING_MARKS):
            return FamilyError(
                model.path,
                f"vocabulary of {got[0]} rows in {name!r}, the base has {want[0]}",
                "resize the embeddings to the base's vocabulary, or pass --no-strict",
            )
    if found.shapes:
        name, want, got = found.shapes[0]
        problem = f"{len(found.shapes)} parameter(s) of another shape, first {name!r}: "
        return FamilyError(model.path, f"{problem}{list(got)}, the base has {list(want)}", _REMEDY)
    which, names = ("missing", found.missing) if found.missing else ("extra", found.extra)
    problem = f"{len(names)} {which} parameter(s), first {names[0]!r}"
    return FamilyError(model.path, f"{problem}{_nearest(found)}", _REMEDY)


def _nearest(found: _Differences) -> str:
    """The name in the model that comes nearest to the first that is missing."""
    if not (found.missing and found.extra):
        return ""
    near = get_close_matches(found.missing[0], found.extra, n=1, cutoff=0.0)
    return f"; nearest names: {found.missing[0]!r} here, {near[0]!r} there" if near else ""
