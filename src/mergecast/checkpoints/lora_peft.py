"""PEFT's adapter folders: which parameters an adapter changes, checked against its base.

Layout as PEFT writes it; rsLoRA's scaling α/√r from Kalajdzievski (arXiv 2312.03732).
"""

from __future__ import annotations

import re
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Checkpoint
from mergecast.checkpoints.lora import LoraCheckpoint, Update
from mergecast.checkpoints.lora_config import (
    REFUSED,
    is_transposed,
    of_module,
    read_adapter_config,
    refuse,
)
from mergecast.checkpoints.lora_init import initialisation
from mergecast.checkpoints.safetensors_file import open_safetensors
from mergecast.errors import CheckpointError

_PREFIX = "base_model.model."
_FACTOR = re.compile(r"^(?P<module>.+)\.lora_(?P<emb>embedding_)?(?P<side>[AB])(\.weight)?$")


def open_lora(folder: Path, base: Checkpoint) -> LoraCheckpoint:
    """Open a PEFT adapter folder on its base; raises CheckpointError for what is not LoRA."""
    from mergecast.checkpoints.torch_file import open_torch

    config = read_adapter_config(folder)
    if (folder / "adapter_model.safetensors").is_file():
        adapter: Checkpoint = open_safetensors(folder / "adapter_model.safetensors")
    elif (folder / "adapter_model.bin").is_file():
        adapter = open_torch(folder / "adapter_model.bin")
    else:
        raise CheckpointError(
            folder, "has no adapter_model.safetensors or .bin", "copy or download it again"
        )
    factors: dict[tuple[str, bool], dict[str, str]] = {}
    replaced: dict[str, str] = {}
    for name in adapter.names:
        if "lora_magnitude_vector" in name:
            raise refuse(folder, REFUSED["use_dora"])
        match = _FACTOR.match(name)
        if match:
            sides = factors.setdefault((match["module"], bool(match["emb"])), {})
            sides[match["side"]] = name
        elif ".lora_" in name:
            raise refuse(folder, f"the tensor {name!r}")
        elif ".base_layer." in name and _is_base(adapter, name, base):
            continue  # PEFT stores embeddings beside their factors, though nothing changed them
        else:
            target = _base_name(name.replace(".modules_to_save.", "."), base, new=True)
            if target in replaced and not _same(adapter, name, replaced[target]):
                raise _collision(folder, target, replaced[target], name)
            replaced.setdefault(target, name)
    updates: dict[str, Update] = {}
    for (module, is_embedding), sides in factors.items():
        target = _base_name(f"{module}.weight", base, new=False, folder=folder)
        if target in updates:
            raise _collision(folder, target, updates[target].factor_a, min(sides.values()))
        if target in replaced:
            raise _collision(folder, target, replaced[target], min(sides.values()))
        updates[target] = _update(folder, config, adapter, base, module, sides, is_embedding)
    return LoraCheckpoint(folder, base, adapter, updates, replaced)


def _is_base(adapter: Checkpoint, name: str, base: Checkpoint) -> bool:
    """Whether a stored base layer equals the base's own, in the precision of the coarser one."""
    target = _base_name(name, base, new=True)
    if target not in base.infos or base.info(target).shape != adapter.info(name).shape:
        return False
    own, stored = base.info(target).dtype, adapter.info(name).dtype
    coarse = min(own, stored, key=lambda dtype: dtype.itemsize)
    one, other = (c.array(n).astype(coarse) for c, n in ((base, target), (adapter, name)))
    return bool(np.array_equal(one.view(np.uint8), other.view(np.uint8)))


def _same(adapter: Checkpoint, one: str, other: str) -> bool:
    """Whether two tensors are equal, as PEFT stores both names of tied embeddings."""
    first, second = adapter.info(one), adapter.info(other)
    return (first.shape, first.dtype) == (second.shape, second.dtype) and (
        adapter.array(one).tobytes() == adapter.array(other).tobytes()
    )


def _collision(folder: Path, target: str, one: str, other: str) -> CheckpointError:
    return CheckpointError(
        folder,
        f"changes the base's {target!r} twice, by {one!r} and {other!r}",
        "merge the adapter into its base (PEFT's merge_and_unload) and give the result",
    )


def _update(
    folder: Path,
    config: dict[str, Any],
    adapter: Checkpoint,
    base: Checkpoint,
    module: str,
    sides: dict[str, str],
    is_embedding: bool,
) -> Update:
    if set(sides) != {"A", "B"}:
        raise CheckpointError(
            folder, f"module {module!r} has only factor {min(sides)}", "copy the adapter again"
        )
    a, b = adapter.info(sides["A"]), adapter.info(sides["B"])
    if min(len(a.shape), len(b.shape)) < 2 or not (a.is_floating and b.is_floating):
        raise CheckpointError(
            folder,
            f"module {module!r} holds factors A {a.dtype.name} {list(a.shape)} and "
            f"B {b.dtype.name} {list(b.shape)}, not matrices of floats",
            "copy the adapter again",
        )
    plain = module.removeprefix(_PREFIX)
    declared = int(of_module(config, "rank_pattern", plain))
    rank = a.shape[0]
    if rank != declared or b.shape[1] != rank:
        raise CheckpointError(
            folder,
            f"module {module!r} holds factors A {list(a.shape)} and B {list(b.shape)}, while the "
            f"config says rank {declared}",
            "fix r or rank_pattern in adapter_config.json",
        )
    alpha = float(of_module(config, "alpha_pattern", plain))
    scaling = alpha / (sqrt(rank) if config.get("use_rslora") else rank)
    name = _base_name(f"{module}.weight", base, new=False, folder=folder)
    shape = base.info(name).shape
    got = (b.shape[0], *a.shape[1:])
    transposed = is_embedding or is_transposed(got, shape, plain, base.path, config)
    want = shape[::-1] if transposed else shape
    if got != want or not dtypes.is_floating(base.info(name).dtype):
        raise CheckpointError(
            folder,
            f"ΔW of {module!r} is {list(got)}, but the base's {name!r} is {list(shape)}",
            "use the base model this adapter was trained on",
        )
    initial = "" if is_embedding else initialisation(folder, config)
    if initial == "olora" and transposed:
        raise refuse(folder, "an OLoRA adapter of a layer that stores its weight as (in, out)")
    return Update(sides["A"], sides["B"], scaling, transposed, initial)


def _base_name(name: str, base: Checkpoint, *, new: bool, folder: Path | None = None) -> str:
    """The base's name for an adapter's: PEFT's prefix off, then wrappers the base lacks."""
    plain = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
    candidate = plain
    while True:
        if candidate in base.infos:
            return candidate
        if candidate in base.tied:
            return base.tied[candidate]
        if "." not in candidate:
            break
        candidate = candidate.partition(".")[2]
    wrapped = [known for known in base.infos if known.endswith("." + plain)]
    if len(wrapped) == 1:
        return wrapped[0]
    if new:
        return plain
    raise CheckpointError(
        folder or "",
        f"adapts {plain!r}, which the base {base.path} does not have",
        "use the base model this adapter was trained on",
    )
