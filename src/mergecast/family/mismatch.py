"""The strict rule: what keeps a model from being a fine-tune of its base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.patterns import matches
from mergecast.checkpoints.side_files import vocabulary
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS, OUTPUT_EMBEDDINGS
from mergecast.errors import FamilyError
from mergecast.family import ties
from mergecast.family.alignment import find
from mergecast.family.heads import is_buffer, is_head, is_pooler, outside_backbone

_EMBEDDING_MARKS = ("embed", "wte", "word_embeddings", "shared.weight", "lm_head")
#: What to do about models with other tokens than their base.
BY_TOKEN = "match rows by token: --vocabulary union keeps new ones, base does not"
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
    differences = _differences(base, model, private)
    if not (differences.missing or differences.extra or differences.shapes):
        return None
    return _other_architecture(base, model, differences) or _error(base, model, differences)


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
    base: Checkpoint, model: Checkpoint, differences: _Differences
) -> FamilyError | None:
    floats = [name for name in differences.compared if base.infos[name].is_floating]
    differing = {name for name, *_ in differences.shapes} | set(differences.missing)
    if not floats or sum(name in differing for name in floats) <= len(floats) / 2:
        return None
    shared = len(floats) - sum(name in differing for name in floats)
    return FamilyError(
        model.path,
        f"is of another architecture: it has {shared} of the base's {len(floats)} parameters"
        f"{_nearest(differences)}",
        "use the base model this checkpoint was fine-tuned from",
    )


def _error(base: Checkpoint, model: Checkpoint, differences: _Differences) -> FamilyError:
    for name, want, got in differences.shapes:
        if len(want) == 2 and want[1] == got[1] and any(m in name for m in _EMBEDDING_MARKS):
            return FamilyError(
                model.path,
                f"vocabulary of {got[0]} rows in {name!r}, the base has {want[0]}",
                BY_TOKEN
                if name.endswith(INPUT_EMBEDDINGS + OUTPUT_EMBEDDINGS) and _tokens(base, model)
                else "resize the embeddings to the base's vocabulary, or pass --no-strict",
            )
    if differences.shapes:
        name, want, got = differences.shapes[0]
        problem = f"{len(differences.shapes)} parameter(s) of another shape, first {name!r}: "
        return FamilyError(model.path, f"{problem}{list(got)}, the base has {list(want)}", _REMEDY)
    which, names = (
        ("missing", differences.missing) if differences.missing else ("extra", differences.extra)
    )
    problem = f"{len(names)} {which} parameter(s), first {names[0]!r}"
    return FamilyError(model.path, f"{problem}{_nearest(differences)}", _REMEDY)


def _tokens(base: Checkpoint, model: Checkpoint) -> bool:
    """Whether files say which token each row is of, in both."""
    return bool(vocabulary(base.path) and vocabulary(model.path))


def _nearest(differences: _Differences) -> str:
    """The name in the model that comes nearest to the first that is missing."""
    if not (differences.missing and differences.extra):
        return ""
    near = get_close_matches(differences.missing[0], differences.extra, n=1, cutoff=0.0)
    return f"; nearest to the base's {differences.missing[0]!r} is its {near[0]!r}" if near else ""
