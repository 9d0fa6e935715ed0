"""LoRA adapters written as PEFT's folders: where each factor goes, and the config that says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mergecast.checkpoints.hub import is_model_name, model_name
from mergecast.checkpoints.lora import LoraCheckpoint
from mergecast.errors import CheckpointError, FamilyError
from mergecast.typing import Array

#: PEFT's names of an adapter's two files.
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_WITHOUT = "merge to whole weights, without adapter"


@dataclass(frozen=True)
class Place:
    """Where PEFT keeps ΔW of one parameter.

    Attributes
    ----------
    module : str
        The path of the module that is adapted.
    transposed : bool
        Whether the base stores the weight as (in, out).
    embedding : bool
        Whether the module is an embedding.
    inner, outer : tuple of int
        Dimensions of A after (rank,), and of B after (out, rank): more than one of a convolution.
    ranks : int
        The members' ranks added up: the most that a linear merge of them has.
    """

    module: str
    transposed: bool
    embedding: bool
    inner: tuple[int, ...]
    outer: tuple[int, ...]
    ranks: int

    def matrix(self, delta: Array) -> Array:
        """A delta of the base's shape as the matrix (out, in) that B·A is."""
        turned = delta.T if self.transposed else delta
        return turned.reshape(turned.shape[0], -1)

    def tensors(self, left: Array, right: Array) -> dict[str, Array]:
        """Factors (out, r) and (r, in) under PEFT's names, in its shapes."""
        kind, end = ("embedding_", "") if self.embedding else ("", ".weight")
        name = f"{_PREFIX}{self.module}.lora_{kind}"
        return {
            f"{name}A{end}": right.reshape(len(right), *self.inner),
            f"{name}B{end}": left.reshape(*left.shape, *self.outer),
        }


def places(members: Mapping[str, LoraCheckpoint], names: Iterable[str]) -> dict[str, Place]:
    """Where a merge of adapters keeps ΔW of the parameters that some member adapts by factors.

    Parameters
    ----------
    members : mapping of str to LoraCheckpoint
        Label to adapter, all of one base.
    names : iterable of str
        Parameters of the base.

    Raises
    ------
    FamilyError
        Members call the module of a parameter differently, or their factors have other shapes.
    """
    found: dict[str, Place] = {}
    by_label: dict[str, str] = {}
    for name in names:
        for label, member in members.items():
            if name not in member.updates:
                continue
            place = _place(member, name)
            if name in found:
                place = _joined(name, (by_label[name], found[name]), (label, place))
            else:
                by_label[name] = label
            found[name] = place
    return found


def _place(member: LoraCheckpoint, name: str) -> Place:
    update = member.updates[name]
    a, b = member.factor_shapes(name)
    # What an initialisation took out of the base is of the same rank again.
    ranks = 2 * a[0] if update.initial else a[0]
    return Place(update.module, update.transposed, update.embedding, a[1:], b[2:], ranks)


def _joined(name: str, one: tuple[str, Place], other: tuple[str, Place]) -> Place:
    (label, place), (another, second) = one, other
    for what in ("module", "transposed", "embedding", "inner", "outer"):
        mine, theirs = getattr(place, what), getattr(second, what)
        if mine != theirs:
            raise FamilyError(
                f"models {label!r} and {another!r}",
                f"adapt the base's {name!r} as different modules ({what} {mine} and {theirs}), so "
                "that no one adapter holds both",
                _WITHOUT,
            )
    return replace(place, ranks=place.ranks + second.ranks)


def kept_whole(members: Mapping[str, LoraCheckpoint], names: Iterable[str]) -> dict[str, str]:
    """Parameters that some adapter holds whole, to their names in PEFT's file.

    These are those of its ``modules_to_save``, and trained biases.

    Raises
    ------
    CheckpointError
        A parameter is neither, or is tied to another, and PEFT would not load it.
    """
    found: dict[str, str] = {}
    for name in names:
        for member in members.values():
            if name not in member.replaced:
                continue
            stored = member.replaced[name].replace(".modules_to_save.", ".")
            saved = _saved_in(member.config.get("modules_to_save"), stored)
            if not saved and not stored.endswith(".bias"):
                raise CheckpointError(
                    member.path,
                    f"holds {name!r} whole, outside its modules_to_save: PEFT puts no such tensor "
                    "on a base",
                    _WITHOUT,
                )
            if name in member.tied.values():
                raise CheckpointError(
                    member.path,
                    f"holds {name!r} whole, which the base ties to another parameter: an adapter "
                    "would untie them",
                    _WITHOUT,
                )
            found.setdefault(name, stored)
    return found


def _saved_in(saved: object, stored: str) -> list[str]:
    """Of a config's ``modules_to_save``, the entries that a tensor is of, by PEFT's rule.

    A module is saved whose path ends as an entry does: ``classifier`` names a ``pre_classifier``,
    too, and all that is in it.
    """
    *parents, _ = stored.removeprefix(_PREFIX).split(".")
    paths = [".".join(parents[: depth + 1]) for depth in range(len(parents))]
    entries = saved if isinstance(saved, list) else ()
    return [one for one in entries if any(path.endswith(one) for path in paths)]


def merged_config(
    members: Sequence[LoraCheckpoint],
    base: Path,
    ranks: Mapping[Place, int],
    whole: Iterable[str],
    *,
    headless: bool,
) -> dict[str, Any]:
    """``adapter_config.json`` of a merge of adapters, in which every scaling α/r is 1.

    Parameters
    ----------
    members : sequence of LoraCheckpoint
        What was merged: what all their configs say alike is kept.
    base : Path
        The base's folder or file.
    ranks : mapping of Place to int
        The rank of every adapted module.
    whole : iterable of str
        Names in the adapter's file of parameters that it holds whole.
    headless : bool
        Whether members have heads that the merge has not: of their kind of task, PEFT would want
        one.
    """
    stored = list(whole)
    saved = {one for m in members for n in stored for one in _saved(m, n)}
    biases = [n for n in stored if not any(_saved(m, n) for m in members)]
    kinds = {str(m.config.get("bias", "none")) for m in members}
    recorded = _agreed(members, "base_model_name_or_path")
    known = recorded and (Path(recorded).exists() or is_model_name(recorded))
    config = {
        **_of_ranks(ranks),
        "auto_mapping": _agreed(members, "auto_mapping"),
        "base_model_name_or_path": recorded if known else model_name(base) or str(base),
        "bias": "none" if not biases else "all" if "all" in kinds else "lora_only",
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_dropout": 0.0,
        "modules_to_save": sorted(saved) or None,
        "peft_type": "LORA",
        "revision": _agreed(members, "revision") if known else None,
        "task_type": None if headless else _agreed(members, "task_type"),
        "use_rslora": False,
    }
    return dict(sorted(config.items()))


def config_with_head(
    config: Mapping[str, Any],
    member: LoraCheckpoint,
    ranks: Mapping[Place, int],
    whole: Iterable[str],
) -> dict[str, Any]:
    """The config of a merged adapter with one member's own head on it.

    Parameters
    ----------
    config : mapping of str to object
        The merged adapter's.
    member : LoraCheckpoint
        Whose head it is: kind of task, class and ``modules_to_save`` are as it says.
    ranks : mapping of Place to int
        The rank of every adapted module, the merged ones and the member's own.
    whole : iterable of str
        Names in the adapter's file of what the member's head holds whole.
    """
    named = member.config.get("modules_to_save")
    saved = {*(config["modules_to_save"] or ()), *(named if isinstance(named, list) else ())}
    biases = any(not _saved(member, name) for name in whole)
    kinds = {config["bias"], *([member.config.get("bias"), "lora_only"] if biases else ())}
    own = {
        "auto_mapping": member.config.get("auto_mapping"),
        "bias": "all" if "all" in kinds else "lora_only" if "lora_only" in kinds else "none",
        "modules_to_save": sorted(saved) or None,
        "task_type": member.config.get("task_type"),
    }
    return {**config, **_of_ranks(ranks), **own}


def _of_ranks(ranks: Mapping[Place, int]) -> dict[str, Any]:
    """What a config says of the modules that are adapted."""
    rank = max(ranks.values())
    # PEFT takes the first pattern that the end of a module's path matches: long paths come first.
    ordered = sorted(ranks, key=lambda place: (-len(place.module), place.module))
    several = len(set(ranks.values())) > 1
    pattern = {place.module: ranks[place] for place in ordered} if several else {}
    return {
        "alpha_pattern": pattern,
        "fan_in_fan_out": any(one.transposed and not one.embedding for one in ranks),
        "lora_alpha": rank,
        "r": rank,
        "rank_pattern": pattern,
        "target_modules": sorted(place.module for place in ranks),
    }


def _saved(member: LoraCheckpoint, stored: str) -> list[str]:
    return _saved_in(member.config.get("modules_to_save"), stored)


def _agreed(members: Iterable[LoraCheckpoint], key: str) -> Any:
    """What all configs say under a key; None where they differ."""
    said: Iterator[Any] = (member.config.get(key) for member in members)
    first = next(said)
    return first if all(one == first for one in said) else None
