"""What of a model belongs to its task: heads and poolers, told from the backbone by structure.

A pre-trained base and its ordinary fine-tunes differ in what stands beside the encoder: a
pre-training head here, a classifier there, a pooler in one of them. Libraries put all of that
outside one module, the backbone, that both have whole. So the rule needs no list of their names:
what is outside the backbone may differ. A list stays for networks without such a module.
"""

from __future__ import annotations

from collections.abc import Mapping

from mergecast.checkpoints.checkpoint import TensorInfo
from mergecast.checkpoints.tables import is_table

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
#: Share of the smaller side's elements that the modules of the backbone must hold.
_BACKBONE = 0.5

Infos = Mapping[str, TensorInfo]


def is_head(name: str) -> bool:
    """Whether a parameter's path contains a module that usually is a task's head."""
    return any(part in HEAD_MODULES for part in name.split(".")[:-1])


def is_pooler(name: str) -> bool:
    """Whether a parameter is of a pooler, which encoders are saved with or without."""
    return "pooler" in name.split(".")[:-1]


def is_statistic(name: str) -> bool:
    """Whether a tensor was measured, not trained: running means and variances of BatchNorm."""
    return name.rpartition(".")[2] in ("running_mean", "running_var")


def is_buffer(name: str, info: TensorInfo) -> bool:
    """Whether a tensor is no trained weight; see `is_table`."""
    return is_table(name, info.shape, is_floating=info.is_floating)


def outside_backbone(base: Infos, model: Infos) -> tuple[set[str], set[str]]:
    """Names of the base, and of the model, that may be missing on the other side.

    The backbone is what both have whole: modules of the outermost level that hold half of the
    elements of the smaller one (an encoder may be all that a model has of its base) together, one
    of them at least being a module of modules. A plain list of layers has none, and a model that
    lacks some of them is no model with another head.

    Parameters
    ----------
    base, model : mapping of str to TensorInfo
        Headers of the two checkpoints, under the base's names.

    Returns
    -------
    tuple of set of str
        Names in the base and names in the model that are outside the backbone; empty sets where
        there is none.
    """
    in_base, in_model = _groups(base), _groups(model)
    common = [group for group in in_base if group in in_model]
    total = min(
        sum(info.size for info in infos.values() if info.is_floating) for infos in (base, model)
    )
    size = sum(base[name].size for group in common for name in in_base[group])
    nested = any(name.count(".") > 2 for group in common for name in in_base[group])
    whole = all(_whole(base, model, in_base[group]) for group in common)
    if not (whole and nested and size >= _BACKBONE * total):
        return set(), set()
    return _others(in_base, common), _others(in_model, common)


def _groups(infos: Infos) -> dict[str, list[str]]:
    """Names of floating-point tensors by their module of the outermost level."""
    groups: dict[str, list[str]] = {}
    for name, info in infos.items():
        if info.is_floating and not is_buffer(name, info):
            groups.setdefault(name.partition(".")[0], []).append(name)
    return groups


def _others(groups: Mapping[str, list[str]], common: list[str]) -> set[str]:
    return {name for group, names in groups.items() if group not in common for name in names}


def _whole(base: Infos, model: Infos, members: list[str]) -> bool:
    """Whether the model has every tensor of a module in its shape; heads and poolers aside."""
    for name in members:
        same = name in model and model[name].shape == base[name].shape
        if not (same or is_head(name) or is_pooler(name)):
            return False
    return True
