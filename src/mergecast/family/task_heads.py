"""Which parameters answer one task alone: what a merge averages, leaves out or takes from the base.

Layers that turn features into a vocabulary are no task's head: all language models share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.tied import INPUT_EMBEDDINGS
from mergecast.family.family import Family
from mergecast.family.findings import Finding
from mergecast.family.heads import HEAD_MODULES, is_buffer, is_pooler, outside_backbone
from mergecast.family.meaning import label_names

#: Layers that turn features into tokens: what a base ties to its embeddings.
OUTPUT_LAYERS = frozenset(
    {"lm_head", "embed_out", "proj_out", "vocab_projector", "generator_lm_head"}
)


def shared_heads(family: Family) -> list[str]:
    """Parameters of task heads that base and all models have, so that a merge mixes them."""
    heads = _task_heads(family.base)
    return [name for name in family.shared if name in heads]


def has_heads(family: Family) -> bool:
    """Whether a model has what a merge does not take, see `own_names`."""
    return any(own_names(family, label) for label in family.names)


def own_names(family: Family, label: str) -> list[str]:
    """What a model has and a merge does not take: its head, and what differs in shape.

    Parameters
    ----------
    family : Family
        Base and models.
    label : str
        The model.

    Returns
    -------
    list of str
        Names in the model's checkpoint, sorted; buffers are not among them.
    """
    model = family.models[label]
    aliases = family.alignment.aliases.get(label, {})
    merged = {aliases.get(name, name) for name in family.shared}
    return [
        name
        for name, info in model.infos.items()
        if name not in merged and info.is_floating and not is_buffer(name, info)
    ]


def base_heads(family: Family) -> list[str]:
    """Heads of the base that no merge changes, whatever they are called."""
    beside: set[str] = set(_task_heads(family.base))
    for model in family.models.values():
        beside |= outside_backbone(family.base.infos, model.infos)[0]
    shared = set(family.shared)
    return [
        name
        for name in family.base.names
        if name in beside and name not in shared and not is_pooler(name)
    ]


def head_findings(family: Family) -> Iterator[Finding]:
    """Heads that a merged folder carries and that answer no model's task."""
    mixed = shared_heads(family)
    if mixed:
        folders = [model.path for model in family.models.values()]
        named = {label_names(folder) for folder in folders}
        one_task = len(folders) < 2 or (len(named) == 1 and None not in named)
        yield Finding(
            "note" if one_task else "warning",
            "shared head",
            "family",
            f"{len(mixed)} head parameter(s) are in every model and will be merged, first "
            f"{mixed[0]!r}" + ("" if one_task else "; nothing says that the tasks are one"),
            f"if they belong to tasks, name them with --private {modules(mixed)[0]}.*",
            "family",
        )
    of_models = {module for label in family.models for module in _own_modules(family, label)}
    unchanged = [one for one in modules(base_heads(family)) if one in of_models]
    if unchanged:
        yield Finding(
            "warning",
            "base head",
            "family",
            f"models have a {', '.join(unchanged)} of their own: a merged folder carries the "
            "base's, which answers none of their tasks",
            "put each model's head on the merged encoder: merge --heads writes them",
            "family",
        )


def head_line(family: Family, *, apart: bool = False) -> str:
    """One line for people: which head a merged folder carries, and whose were left out.

    Parameters
    ----------
    family : Family
        Base and models.
    apart : bool
        Whether heads are written beside the encoder.
    """
    owners = {label: _own_modules(family, label) for label in family.names}
    listing = "; ".join(f"{label}: {', '.join(of)}" for label, of in owners.items() if of)
    if apart:
        return f"the folder is the encoder alone; kept with each model: {listing}"
    mixed, kept = modules(shared_heads(family)), modules(base_heads(family))
    partly = [one for one in mixed if one in kept]
    kinds = {
        "{}, averaged with the rest": [one for one in mixed if one not in partly],
        "{}, part averaged and part the base's": partly,
        "the base's {}, not merged": [one for one in kept if one not in partly],
    }
    carried = [words.format(", ".join(of)) for words, of in kinds.items() if of]
    text = "the folder carries " + ("; ".join(carried) or "no task's head")
    return f"{text}; left out, --heads writes them: {listing}" if listing else text


def modules(names: Iterable[str]) -> list[str]:
    """The modules that hold parameters, as deep as a head's name is, in order of first sight."""
    return list(dict.fromkeys(_module(name) for name in names))


def _own_modules(family: Family, label: str) -> list[str]:
    """Of what a model has for itself, the modules that it does not only pass on from its base."""
    model = family.models[label]
    return modules(name for name in own_names(family, label) if model.dense_update(name))


def _task_heads(base: Checkpoint) -> set[str]:
    """The base's parameters in outermost modules called as heads, but for a vocabulary's."""
    tops = {name.partition(".")[0] for name in base.infos}
    wrapper = f"{tops.pop()}." if len(tops) == 1 else ""
    by_module: dict[str, list[str]] = {}
    for name, info in base.infos.items():
        first, dot, _ = name.removeprefix(wrapper).partition(".")
        if dot and first in HEAD_MODULES and info.is_floating:
            by_module.setdefault(first, []).append(name)
    rows = {
        base.infos[base.tied.get(name, name)].shape[0]
        for name in (*base.infos, *base.tied)
        if name.endswith(INPUT_EMBEDDINGS)
    }
    return {
        name
        for first, names in by_module.items()
        if first not in OUTPUT_LAYERS
        and not any(base.infos[one].shape[:1] and base.infos[one].shape[0] in rows for one in names)
        for name in names
    }


def _module(name: str) -> str:
    parts = name.split(".")
    ends = (place + 1 for place, part in enumerate(parts[:-1]) if part in HEAD_MODULES)
    return ".".join(parts[: next(ends, max(1, min(2, len(parts) - 1)))])
