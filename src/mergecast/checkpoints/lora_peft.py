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
from mergecast.checkpoints.module_names import module_names
from mergecast.checkpoints.safetensors_file import open_safetensors
from mergecast.checkpoints.tied import (
    INPUT_EMBEDDINGS,
    answers_by_embeddings,
    is_language_model,
    is_output_layer,
)
from mergecast.errors import CheckpointError

_PREFIX = "base_model.model."
#: A module that PEFT keeps beside the trained one, which runs in its place.
_REPLACED = (".original_module.", ".modules_to_save.")
#: PEFT's tasks of models that answer with tokens.
_LANGUAGE = ("CAUSAL_LM", "SEQ_2_SEQ_LM")
_FACTOR = re.compile(r"^(?P<module>.+)\.lora_(?P<emb>embedding_)?(?P<side>[AB])(\.weight)?$")


def open_lora(folder: Path, base: Checkpoint, stored: Checkpoint | None = None) -> LoraCheckpoint:
    """Open a PEFT adapter folder on its base; raises CheckpointError for what is not LoRA.

    Its file of factors may be given open, as `stored`.
    """
    config = read_adapter_config(folder)
    adapter = _factors(folder) if stored is None else stored
    names = BaseNames(folder, base, config)
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
        elif ".base_layer." in name and _is_base(adapter, name, base, names):
            continue  # PEFT stores embeddings beside their factors, though nothing changed them
        elif name.replace(*_REPLACED) != name and name.replace(*_REPLACED) in adapter.infos:
            continue  # and what a module that is saved whole stands in the place of
        else:
            target = names.get(name.replace(".modules_to_save.", "."), new=True)
            if target in replaced and not adapter.equal(name, replaced[target]):
                raise _collision(folder, target, replaced[target], name)
            replaced.setdefault(target, name)
    updates: dict[str, Update] = {}
    for (module, is_embedding), sides in factors.items():
        target = names.get(f"{module}.weight", new=False)
        if _moves_outputs_too(target, base, config):
            raise _tied(folder, target)
        if target in updates:
            raise _collision(folder, target, updates[target].factor_a, min(sides.values()))
        if target in replaced:
            raise _collision(folder, target, replaced[target], min(sides.values()))
        updates[target] = _update(
            folder, config, adapter, base, module, target, sides, is_embedding
        )
    return LoraCheckpoint(folder, base, adapter, updates, replaced, config)


def _factors(folder: Path) -> Checkpoint:
    from mergecast.checkpoints.torch_file import open_torch

    if (folder / "adapter_model.safetensors").is_file():
        return open_safetensors(folder / "adapter_model.safetensors")
    if (folder / "adapter_model.bin").is_file():
        return open_torch(folder / "adapter_model.bin")
    raise CheckpointError(
        folder, "has no adapter_model.safetensors or .bin", "copy or download it again"
    )


def _is_base(adapter: Checkpoint, name: str, base: Checkpoint, names: BaseNames) -> bool:
    """Whether a stored base layer equals the base's own, in the precision of the coarser one."""
    target = names.get(name, new=True)
    if target not in base.infos or base.info(target).shape != adapter.info(name).shape:
        return False
    exact, stored = base.info(target).dtype, adapter.info(name).dtype
    coarse = min(exact, stored, key=lambda dtype: dtype.itemsize)
    one, other = (c.array(n).astype(coarse) for c, n in ((base, target), (adapter, name)))
    return bool(np.array_equal(one.view(np.uint8), other.view(np.uint8)))


def _collision(folder: Path, target: str, one: str, other: str) -> CheckpointError:
    return CheckpointError(
        folder,
        f"changes the base's {target!r} twice, by {one!r} and {other!r}",
        "merge the adapter into its base (PEFT's merge_and_unload) and give the result",
    )


def _moves_outputs_too(name: str, base: Checkpoint, config: dict[str, Any]) -> bool:
    """Whether a change of a base's parameter would change its output layer as well.

    PEFT changes the input embeddings alone, unless it was told to tie both, `ensure_weight_tying`.
    """
    if config.get("ensure_weight_tying"):
        return False
    if not (name.endswith(INPUT_EMBEDDINGS) or is_output_layer(name)):
        return False
    task, mapping = config.get("task_type"), config.get("auto_mapping")
    as_language: bool | None = None
    if task:
        as_language = str(task) in _LANGUAGE
    elif isinstance(mapping, dict) and mapping.get("base_model_class"):
        as_language = is_language_model(str(mapping["base_model_class"]))
    return answers_by_embeddings(base, as_language=as_language)


def _tied(folder: Path, name: str) -> CheckpointError:
    return CheckpointError(
        folder,
        f"adapts {name!r}, and in this base input embeddings and output layer are one tensor: PEFT "
        "moves one of them, merged weights would move both",
        "give a base and adapter trained with both apart (tie_word_embeddings false), or leave it "
        "out",
    )


def _update(
    folder: Path,
    config: dict[str, Any],
    adapter: Checkpoint,
    base: Checkpoint,
    module: str,
    name: str,
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
    shape = base.info(name).shape
    if not dtypes.is_floating(base.info(name).dtype):
        raise CheckpointError(
            folder,
            f"adapts {name!r}, which the base {base.path} stores as {base.info(name).dtype.name}: "
            "a quantised base has no weight that ΔW could be added to",
            "give the base before quantisation",
        )
    got = (b.shape[0], *a.shape[1:])
    transposed = is_embedding or is_transposed(got, shape, plain, base.path, config)
    want = shape[::-1] if transposed else shape
    if got != want:
        raise CheckpointError(
            folder,
            f"ΔW of {module!r} is {list(got)}, but the base's {name!r} is {list(shape)}",
            "use the base model this adapter was trained on",
        )
    initial = "" if is_embedding else initialisation(folder, config)
    if initial == "olora" and transposed:
        raise refuse(folder, "an OLoRA adapter of a layer that stores its weight as (in, out)")
    return Update(sides["A"], sides["B"], scaling, transposed, initial, plain, is_embedding)


class BaseNames:
    """The base's names for those of an adapter.

    PEFT's prefix goes, then wrappers that the base lacks; where that leads nowhere, transformers
    says what the module is called that the base's checkpoint keeps under an older name.

    Parameters
    ----------
    folder : Path
        The adapter's, for errors.
    base : Checkpoint
        The base model.
    config : dict
        The adapter's, which may name the class that it was trained on.
    """

    def __init__(self, folder: Path, base: Checkpoint, config: dict[str, Any]) -> None:
        self._folder, self._base, self._config = folder, base, config
        mapping = config.get("auto_mapping")
        named = mapping.get("base_model_class") if isinstance(mapping, dict) else None
        self._classes = [str(named)] if named else []
        self._by_module: dict[str, str] | None = None

    def get(self, name: str, *, new: bool) -> str:
        """The base's name.

        Parameters
        ----------
        name : str
            The adapter's.
        new : bool
            Whether it may be a parameter that the base lacks, which then keeps its name.

        Raises
        ------
        CheckpointError
            The base has no such parameter.
        """
        plain = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
        target = self._shortened(plain) or self._renamed(plain)
        if target is not None:
            return target
        if new:
            return plain
        if _moves_outputs_too(plain, self._base, self._config):
            raise _tied(self._folder, plain)
        raise CheckpointError(
            self._folder,
            f"adapts {plain!r}, which {self._base.path} does not have",
            "use the base model this adapter was trained on",
        )

    def _shortened(self, plain: str) -> str | None:
        base, candidate = self._base, plain
        while True:
            if candidate in base.infos:
                return candidate
            if candidate in base.tied:
                return base.tied[candidate]
            if "." not in candidate:
                break
            candidate = candidate.partition(".")[2]
        wrapped = [inner for inner in base.infos if inner.endswith("." + plain)]
        return wrapped[0] if len(wrapped) == 1 else None

    def _renamed(self, plain: str) -> str | None:
        if self._by_module is None:
            folder = self._base.path
            names = module_names(folder, self._classes, self._base.infos) if folder.is_dir() else {}
            self._by_module = names
        return self._by_module.get(plain)
