"""PEFT LoRA adapters as task vectors: ΔW = scaling·B·A on the base, one parameter at a time.

Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685);
rsLoRA scaling α/√r from Kalajdzievski (arXiv 2312.03732). Adapter layout as PEFT writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from mergecast.checkpoints import dtypes
from mergecast.checkpoints.checkpoint import Array, Checkpoint, TensorInfo
from mergecast.checkpoints.lora_config import (
    REFUSED,
    is_transposed,
    of_module,
    read_adapter_config,
    refuse,
)
from mergecast.checkpoints.lora_init import initialisation, taken_out
from mergecast.errors import CheckpointError

_PREFIX = "base_model.model."
_FACTOR = re.compile(r"^(?P<module>.+)\.lora_(?P<emb>embedding_)?(?P<side>[AB])(\.weight)?$")


@dataclass(frozen=True)
class _Update:
    """ΔW of one parameter: names of the two factors, their scale, the weight's layout, and the
    initialisation that took a part out of the base.
    """

    factor_a: str
    factor_b: str
    scaling: float
    transposed: bool
    initial: str = ""


class LoraCheckpoint(Checkpoint):
    """A base model with a LoRA adapter on it.

    `array` gives W + ΔW in the base's dtype; `delta` gives ΔW itself, free of the rounding of
    that sum. Parameters that the adapter replaces whole (``modules_to_save``, biases) come from
    the adapter's file.
    """

    def __init__(
        self,
        path: Path,
        base: Checkpoint,
        adapter: Checkpoint,
        updates: Mapping[str, _Update],
        replaced: Mapping[str, str],
    ) -> None:
        infos = dict(base.infos)
        for name, source in replaced.items():
            info = adapter.info(source)
            infos[name] = TensorInfo(name, info.shape, info.dtype)
        super().__init__(path, infos, base.tied)
        self._base = base
        self._adapter = adapter
        self._updates = dict(updates)
        self._replaced = dict(replaced)
        self._taken: tuple[str, tuple[Array, Array] | None] = ("", None)

    def rank(self, name: str) -> int | None:
        """The rank of ΔW on `name`, or None where the adapter does not touch it by factors."""
        update = self._updates.get(name)
        return self._adapter.info(update.factor_a).shape[0] if update else None

    def delta(self, name: str, base: Array, start: int = 0) -> Array:
        """ΔW on flat elements from `start`; see `Checkpoint.delta`."""
        if name in self._updates:
            return self._product(name, start, start + base.size).astype(base.dtype)
        if name in self._replaced:
            return super().delta(name, base, start)
        return np.zeros(base.size, dtype=base.dtype)

    def dense_update(self, name: str) -> bool:
        """False for parameters the adapter leaves alone."""
        return name in self._updates or name in self._replaced

    def _read(self, info: TensorInfo, start: int, stop: int) -> Array:
        if info.name in self._replaced:
            source = self._adapter.info(self._replaced[info.name])
            return self._adapter._read(source, start, stop)
        stored = self._base._read(self._base.info(info.name), start, stop)
        if info.name not in self._updates:
            return stored
        total = stored.astype(np.float64) + self._product(info.name, start, stop)
        return total.astype(info.dtype)

    def _product(self, name: str, start: int, stop: int) -> Array:
        """Flat elements ``start:stop`` of scaling·B·A, in float64 for float32 factors' sake.

        Only the rows that hold them are multiplied: a large parameter is read in many parts.
        """
        update = self._updates[name]
        a = self._adapter.array(update.factor_a).astype(np.float64)
        b = self._adapter.array(update.factor_b).astype(np.float64)
        factors = [(update.scaling, b.reshape(b.shape[0], -1), a.reshape(a.shape[0], -1))]
        if update.initial:
            factors.append((-1.0, *self._taken_out(name, update)))
        parts = [
            scale * _elements(left, right, update.transposed, start, stop)
            for scale, left, right in factors
        ]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def _taken_out(self, name: str, update: _Update) -> tuple[Array, Array]:
        """What the initialisation subtracted; kept while one parameter is read in parts."""
        known, factors = self._taken
        if known != name or factors is None:
            weight = self._base.floats(name).reshape(self._base.info(name).shape)
            matrix = weight.T if update.transposed else weight
            rank = self._adapter.info(update.factor_a).shape[0]
            factors = taken_out(update.initial, matrix, rank, update.scaling)
            self._taken = (name, factors)
        return factors


def _elements(left: Array, right: Array, transposed: bool, start: int, stop: int) -> Array:
    """Flat elements ``start:stop`` of left·right, or of its transpose; only their rows are made."""
    if transposed:
        left, right = right.T, left.T
    columns = max(1, right.shape[1])
    first, last = start // columns, -(-stop // columns)
    part: Array = (left[first:last] @ right).reshape(-1)
    return part[start - first * columns : stop - first * columns]


def open_lora(folder: Path, base: Checkpoint) -> LoraCheckpoint:
    """Open a PEFT adapter folder on its base; raises CheckpointError for what is not LoRA."""
    from mergecast.checkpoints.safetensors_file import open_safetensors
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
    updates: dict[str, _Update] = {}
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
) -> _Update:
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
    return _Update(sides["A"], sides["B"], scaling, transposed, initial)


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
