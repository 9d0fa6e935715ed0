"""What of a model belongs to its task: heads and poolers, told from the backbone by structure.

A pre-trained base and its ordinary fine-tunes differ in what stands beside the encoder: a
pre-training head here, a classifier there, a pooler in one of them. Libraries put all of that
outside one module, the backbone, that both have whole. So the rule needs no list of their names:
what is outside the backbone may differ. A list stays for networks without such a module.
"""

from __future__ import annotations

from collections.abc import Mapping

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.family.names import NameMap

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
#: Share of the base's elements that a module must hold to be its backbone.
_BACKBONE = 0.5

Infos = Mapping[str, TensorInfo]


def is_head(name: str) -> bool:
    """Whether a parameter's path contains a module that usually is a task's head."""
    return any(part in HEAD_MODULES for part in name.split(".")[:-1])


def is_pooler(name: str) -> bool:
    """Whether a parameter is of a pooler, which encoders are saved with or without."""
    return "pooler" in name.split(".")[:-1]


def outside_backbone(base: Infos, model: Infos, names: NameMap) -> tuple[set[str], set[str]]:
    """Names of the base, and of the model, that may be missing on the other side.

    The backbone is what both have whole: modules of the outermost level, inside the prefix that
    `names` found. There is one only where a single module of it holds half of the base's elements;
    a plain list of layers has none, and a model that lacks some of them is no model with another
    head.

    Parameters
    ----------
    base, model : mapping of str to TensorInfo
        Headers of the two checkpoints.
    names : NameMap
        How the model calls what the base has.

    Returns
    -------
    tuple of set of str
        Names in the base and names in the model that are outside the backbone. Names that
        `is_head` knows are not among them unless they are outside.
    """
    in_base = _groups(base, names.removed)
    in_model = _groups(model, names.added)
    inner = {group for group in in_base if group is not None}
    common = [group for group in inner if group in in_model]
    total = sum(info.size for info in base.values() if info.is_floating)
    sizes = [sum(base[name].size for name in in_base[group]) for group in common]
    whole = all(_whole(base, model, names, in_base[group]) for group in common)
    if not whole or max(sizes, default=0) < _BACKBONE * total:
        return set(), set()
    return _others(in_base, common), _others(in_model, common)


def _groups(infos: Infos, prefix: str) -> dict[str | None, list[str]]:
    """Names by their module of the outermost level inside `prefix`; None: outside the prefix."""
    groups: dict[str | None, list[str]] = {}
    for name, info in infos.items():
        if not info.is_floating:
            continue
        group = name[len(prefix) :].partition(".")[0] if name.startswith(prefix) else None
        groups.setdefault(group, []).append(name)
    return groups


def _others(groups: Mapping[str | None, list[str]], common: list[str]) -> set[str]:
    return {name for group, names in groups.items() if group not in common for name in names}


def _whole(base: Infos, model: Infos, names: NameMap, members: list[str]) -> bool:
    """Whether the model has every tensor of a module in its shape; heads and poolers aside."""
    for name in members:
        target = names.names.get(name, name)
        same = target in model and model[target].shape == base[name].shape
        if not (same or is_head(name) or is_pooler(name)):
            return False
    return True
